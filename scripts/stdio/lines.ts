/** Lines in and out: the framing of MCP over standard input and output. */
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';

/** A longer one is no message that a server would take. */
const longestLine = 64 * 1024 * 1024;
const newline = 0x0a;

/** Each line without its end, as it came; `undefined` for one that is too long. Blank ones are left out. */
export async function* linesOf(input: Readable): AsyncGenerator<Buffer | undefined> {
  let parts: Buffer[] = [];
  let length = 0;
  const take = (): Buffer | undefined => {
    const line = length > longestLine ? undefined : Buffer.concat(parts);
    parts = [];
    length = 0;
    return line;
  };
  for await (const chunk of input as AsyncIterable<Buffer>) {
    let from = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, from)) {
      length += end - from;
      parts.push(chunk.subarray(from, end));
      from = end + 1;
      const line = take();
      if (line === undefined || !isBlank(line)) yield line;
    }
    length += chunk.length - from;
    // What is too long is read to its end, and not kept.
    if (length > longestLine) parts = [];
    else parts.push(chunk.subarray(from));
  }
  const last = take();
  if (last === undefined || !isBlank(last)) yield last;
}

const isBlank = (line: Buffer) => line.every((byte) => byte === 0x20 || byte === 0x09 || byte === 0x0d);

/** @returns when there is room for the next one. */
export async function writeLine(output: Writable, line: string): Promise<void> {
  if (output.destroyed || output.writableEnded) return;
  if (!output.write(`${line}\n`))
    await Promise.race([once(output, 'drain'), once(output, 'close')]).catch(() => {});
}
