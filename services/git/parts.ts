/** Answers of git with an end mark after each part, read as they come: none is held as a whole, and none holds the process. */

import { ToolError } from '#runtime/errors.ts';

import { maxPartBytes } from './limits.ts';

type Take = (part: string) => void;

/** Cuts bytes into texts at each mark; what has no mark yet waits for the next bytes. */
export function partReader(take: Take, mark: number): (chunk: Buffer) => void {
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  const separator = String.fromCharCode(mark);
  return (chunk) => {
    const first = chunk.indexOf(mark);
    waitingBytes += first < 0 ? chunk.length : first;
    if (waitingBytes > maxPartBytes) throw tooLong();
    if (first < 0) {
      waiting.push(chunk);
      return;
    }
    const end = chunk.lastIndexOf(mark);
    const text = Buffer.concat([...waiting, chunk.subarray(0, end)]).toString();
    waiting = [chunk.subarray(end + 1)];
    waitingBytes = chunk.length - end - 1;
    for (const part of text.split(separator)) {
      if (part.length > maxPartBytes) throw tooLong();
      take(part);
    }
  };
}

const tooLong = () => new ToolError('too_large', `A name in this list has more than ${maxPartBytes} bytes.`);

/** Reads records whose parts end with these marks, in turn. Of a longer part, the beginning is kept. */
export function recordReader(
  take: (...parts: string[]) => void,
  marks: readonly number[],
): (chunk: Buffer) => void {
  const parts: string[] = [];
  let waiting: Buffer[] = [];
  let room = maxPartBytes;
  const keep = (piece: Buffer) => {
    if (room > 0) waiting.push(piece.subarray(0, room));
    room -= piece.length;
  };
  return (chunk) => {
    for (let at = 0; at < chunk.length;) {
      const end = chunk.indexOf(marks[parts.length] ?? 0, at);
      keep(chunk.subarray(at, end < 0 ? undefined : end));
      if (end < 0) return;
      at = end + 1;
      parts.push(Buffer.concat(waiting).toString());
      waiting = [];
      room = maxPartBytes;
      if (parts.length === marks.length) take(...parts.splice(0));
    }
  };
}

/** Keeps those from `start` on, up to `count`, and tells how many there were. */
export function window<Item>(start: number, count: number) {
  const items: Item[] = [];
  let seen = 0;
  return {
    items,
    get seen() {
      return seen;
    },
    add(make: () => Item): void {
      if (seen >= start && items.length < count) items.push(make());
      seen += 1;
    },
  };
}
