/** Reads text out of open files, in bounded pieces. */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';

import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

import { bufferBytes, maxTextBytes } from './limits.ts';

type Stop = Pick<Call, 'signal'>;
const newline = 0x0a;

/** Of the contents: two files with the same contents have the same. */
export const etagOf = (contents: Buffer) => createHash('sha256').update(contents).digest('hex').slice(0, 32);

/** All of a file. @throws ToolError `too_large`. */
export async function readAll(file: FileHandle, path: string, maxBytes = maxTextBytes): Promise<Buffer> {
  const { size } = await file.stat();
  if (size > maxBytes) throw tooLarge(path, size, maxBytes);
  const pieces: Buffer[] = [];
  let total = 0;
  for (;;) {
    // It may have grown, and some files do not say how long they are.
    const piece = Buffer.allocUnsafe(Math.min(bufferBytes, maxBytes + 1 - total));
    const { bytesRead } = await file.read(piece, 0, piece.length, total);
    if (bytesRead === 0) return Buffer.concat(pieces, total);
    pieces.push(piece.subarray(0, bytesRead));
    total += bytesRead;
    if (total > maxBytes) throw tooLarge(path, total, maxBytes);
  }
}

const tooLarge = (path: string, size: number, maxBytes: number) =>
  new ToolError('too_large', `The file has ${size} bytes; at most ${maxBytes} are read at once: ${path}`, {
    hint: 'Read a part: head or tail of read_text_file, read_file_lines, search_file_contents.',
  });

/** @throws ToolError `invalid_input` for what is no text. */
export function asText(contents: Buffer, path: string): string {
  if (!isUtf8(contents) || contents.includes(0)) {
    throw new ToolError('invalid_input', `This is no UTF-8 text: ${path}`, {
      hint: 'read_media_file returns any file as it is, get_file_hash its fingerprint.',
    });
  }
  return contents.toString('utf8');
}

/** The lines, without the end of the last; a line end at the end of the file ends the last line and begins none. */
export async function headOf(file: FileHandle, path: string, count: number, call: Stop): Promise<string> {
  const { contents } = await linesFrom(file, path, 1, count, call);
  return asText(contents, path);
}

export async function tailOf(file: FileHandle, path: string, count: number, call: Stop): Promise<string> {
  const { size } = await file.stat();
  if (!Number.isSafeInteger(size)) throw tooMuch(path, `last ${count}`);
  const pieces: Buffer[] = [];
  let position = size;
  let lineEnds = 0;
  while (position > 0) {
    call.signal.throwIfAborted();
    const length = Math.min(bufferBytes, position);
    position -= length;
    const piece = await readPiece(file, position, length);
    // A line end at the end of the file begins no line.
    let index = position + length === size ? piece.length - 1 : piece.length;
    while (index > 0 && (index = piece.lastIndexOf(newline, index - 1)) >= 0) {
      lineEnds += 1;
      if (lineEnds < count) continue;
      pieces.unshift(piece.subarray(index + 1));
      return asText(withoutLastEnd(Buffer.concat(pieces)), path);
    }
    pieces.unshift(piece);
    if (size - position > maxTextBytes) throw tooMuch(path, `last ${count}`);
  }
  return asText(withoutLastEnd(Buffer.concat(pieces)), path);
}

const withoutLastEnd = (contents: Buffer) =>
  contents.at(-1) === newline ? contents.subarray(0, -1) : contents;

/** Where so many lines of a file end; `undefined` when it has fewer. Reads from the start: nothing says where a line begins. */
export async function endOfLines(file: FileHandle, count: number, call: Stop): Promise<number | undefined> {
  let line = 0;
  let passed = 0;
  if (count === 0) return 0;
  for await (const piece of piecesOf(file, call)) {
    for (let end = piece.indexOf(newline); end >= 0; end = piece.indexOf(newline, end + 1)) {
      line += 1;
      if (line === count) return passed + end + 1;
    }
    passed += piece.length;
  }
  return undefined;
}

/** Lines by number, and whether the file ends with them. */
export async function linesFrom(
  file: FileHandle,
  path: string,
  first: number,
  count: number,
  call: Stop,
): Promise<{ readonly contents: Buffer; readonly found: number; readonly isEnd: boolean }> {
  const nothing = { contents: Buffer.alloc(0), found: 0, isEnd: true };
  const start = await endOfLines(file, first - 1, call);
  if (start === undefined) return nothing;
  const pieces: Buffer[] = [];
  let kept = 0;
  let found = 0;
  for await (const piece of piecesOf(file, call, start)) {
    let end = -1;
    while (found < count && (end = piece.indexOf(newline, end + 1)) >= 0) found += 1;
    const isLast = found === count;
    pieces.push(Buffer.from(isLast ? piece.subarray(0, end + 1) : piece));
    kept += isLast ? end + 1 : piece.length;
    if (kept > maxTextBytes) throw tooMuch(path, String(count));
    if (!isLast) continue;
    const isEnd = (await readPiece(file, start + kept, 1)).length === 0;
    return { contents: withoutLastEnd(Buffer.concat(pieces)), found, isEnd };
  }
  const contents = Buffer.concat(pieces);
  const isOpen = contents.length > 0 && contents.at(-1) !== newline;
  return { contents: withoutLastEnd(contents), found: found + (isOpen ? 1 : 0), isEnd: true };
}

async function readPiece(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const piece = Buffer.allocUnsafe(length);
  const { bytesRead } = await file.read(piece, 0, length, position);
  return piece.subarray(0, bytesRead);
}

const tooMuch = (path: string, lines: string) =>
  new ToolError('too_large', `The ${lines} lines have more than ${maxTextBytes} bytes: ${path}`, {
    hint: 'Ask for fewer lines.',
  });

/** The bytes of a file in order, as many at a time as a buffer holds. The buffer is used again. */
export async function* piecesOf(file: FileHandle, { signal }: Stop, start = 0): AsyncGenerator<Buffer, void> {
  const buffer = Buffer.allocUnsafe(bufferBytes);
  for (let position = start; ;) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
