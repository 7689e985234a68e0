/** Reads text out of open files, in bounded pieces. */
import { isUtf8 } from 'node:buffer';
import { hash } from 'node:crypto';

import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

import type { Handle } from './handle.ts';
import { bufferBytes, maxTextBytes } from './limits.ts';
import { teller } from './work.ts';

type Stop = Pick<Call, 'signal'>;
export const newline = 0x0a;
/** Of UTF-32, the longest. */
const markBytes = 4;

/** Of the contents: two files with the same contents have the same. */
export const etagOf = (contents: Buffer) => hash('sha256', contents).slice(0, 32);

/** All of a file. @throws ToolError `too_large`. */
export async function readAll(
  file: Handle,
  maxBytes = maxTextBytes,
  seen?: { readonly size: number },
): Promise<Buffer> {
  const { path } = file;
  const { size } = seen ?? (await file.stat());
  if (size > maxBytes) throw tooLarge(path, size, maxBytes);
  // It may have grown, and some files do not say how long they are.
  const contents = await readPiece(file, 0, maxBytes + 1, size + 1);
  if (contents.length > maxBytes) throw tooLarge(path, contents.length, maxBytes);
  return contents;
}

const tooLarge = (path: string, size: number, maxBytes: number) =>
  new ToolError('too_large', `The file has ${size} bytes; at most ${maxBytes} are read at once: ${path}`, {
    hint: 'Read a part: read_text_file, read_file_lines, search_file_contents.',
  });

/** As many bytes as there are, but not more than wanted; so many at first. */
async function readPiece(file: Handle, position: number, length: number, first = length): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let total = 0;
  let next = Math.min(first, length, bufferBytes);
  for (;;) {
    const piece = Buffer.allocUnsafe(next);
    const read = await file.read(piece, position + total);
    pieces.push(piece.subarray(0, read));
    total += read;
    if (read < next || total === length) break;
    next = Math.min(bufferBytes, length - total);
  }
  return pieces.length === 1 ? (pieces[0] ?? Buffer.alloc(0)) : Buffer.concat(pieces, total);
}

/** @throws ToolError `invalid_input` for what is no text, or none in UTF-8. */
export function asText(contents: Buffer, path: string): string {
  if (encodingOf(contents)) throw notUtf8(path);
  if (!isUtf8(contents) || contents.includes(0)) throw noText(path);
  return contents.toString('utf8');
}

/** Two encodings in one file could not be read again. @throws ToolError `invalid_input`. */
export async function requireUtf8(file: Handle): Promise<void> {
  if (encodingOf(await readPiece(file, 0, markBytes))) throw notUtf8(file.path);
}

const notUtf8 = (path: string) =>
  new ToolError('invalid_input', `This is text in UTF-16, which is read and not changed: ${path}`, {
    hint: 'write_file replaces it by a text in UTF-8.',
  });

const noText = (path: string) =>
  new ToolError('invalid_input', `This is no UTF-8 text: ${path}`, {
    hint: 'read_media_file returns any file as it is. get_file_hash computes its fingerprint.',
  });

export type Encoding = 'utf-16le' | 'utf-16be';

/** What the mark at the start of a text says; nothing for UTF-8. */
export function encodingOf([first, second, third, fourth]: Buffer): Encoding | undefined {
  // The mark of UTF-32 begins as that of UTF-16 does.
  if (first === 0xff && second === 0xfe) return third === 0 && fourth === 0 ? undefined : 'utf-16le';
  return first === 0xfe && second === 0xff ? 'utf-16be' : undefined;
}

/** @throws ToolError `invalid_input`. */
function decoded(contents: Buffer, encoding: Encoding, path: string): string {
  let text;
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(contents);
  } catch {
    throw noText(path);
  }
  if (text.includes('\0')) throw noText(path);
  return text;
}

/** Text of either encoding, to be read and not to be changed. */
export function asReadable(
  contents: Buffer,
  path: string,
): { readonly text: string; readonly encoding?: Encoding } {
  const encoding = encodingOf(contents);
  return encoding ? { text: decoded(contents, encoding, path), encoding } : { text: asText(contents, path) };
}

/** Text in UTF-8 that is read in parts. */
export interface Source {
  /** For messages. */
  readonly path: string;
  readonly size: number;
  /** What the file is in, if it is not in UTF-8. */
  readonly encoding?: Encoding;
  /** As many bytes as there are, but not more than wanted. */
  read(position: number, length: number): Promise<Buffer>;
  pieces(call: Stop, start?: number): AsyncIterable<Buffer>;
}

/** A file in UTF-16 is held as a whole, and so is one that does not say how large it is. @throws ToolError `too_large`. */
export async function sourceOf(file: Handle): Promise<Source> {
  const encoding = encodingOf(await readPiece(file, 0, markBytes));
  const { size } = await file.stat();
  if (!encoding && size > 0) {
    return {
      path: file.path,
      size,
      read: async (position, length) => readPiece(file, position, length),
      pieces: (call, start) => piecesOf(file, call, start),
    };
  }
  const all = await readAll(file);
  const contents = encoding ? Buffer.from(decoded(all, encoding, file.path)) : all;
  return {
    path: file.path,
    size: contents.length,
    ...(encoding && { encoding }),
    read: async (position, length) => contents.subarray(position, position + length),
    async *pieces(_call, start = 0) {
      if (start < contents.length) yield contents.subarray(start);
    },
  };
}

/** Lines that fit into one answer: whole ones, but where one alone is too long. */
export interface Page {
  readonly contents: Buffer;
  /** Where those that were asked for go on, and how many they still are. */
  readonly rest: { readonly position: number; readonly lines: number } | undefined;
}

export async function pageFrom(
  source: Source,
  position: number,
  lines: number,
  maxBytes: number,
): Promise<Page & { readonly isEnd: boolean }> {
  const piece = await source.read(position, maxBytes + 1);
  const hasMore = piece.length > maxBytes;
  const most = Math.min(piece.length, maxBytes);
  let found = 0;
  let length = 0;
  for (let at = 0; at < most && found < lines; at += 1) {
    if (piece[at] !== newline) continue;
    found += 1;
    length = at + 1;
  }
  if (found === lines) {
    const contents = piece.subarray(0, length);
    return { contents, rest: undefined, isEnd: length === piece.length };
  }
  if (!hasMore) return { contents: piece, rest: undefined, isEnd: true };
  const end = length === 0 ? wholeCharacters(piece, most) : length;
  return {
    contents: piece.subarray(0, end),
    rest: { position: position + end, lines: lines - found },
    isEnd: false,
  };
}

/** The last lines before a position. A line end at the end of them begins no line. */
export async function pageBefore(
  source: Source,
  position: number,
  lines: number,
  maxBytes: number,
): Promise<Page> {
  if (!Number.isSafeInteger(position)) throw tooLarge(source.path, position, Number.MAX_SAFE_INTEGER);
  const from = Math.max(0, position - maxBytes);
  const piece = await source.read(from, position - from);
  let found = 0;
  let start = piece.length;
  for (let at = piece.length - 2; at >= 0 && found < lines; at -= 1) {
    if (piece[at] !== newline) continue;
    found += 1;
    start = at + 1;
  }
  if (found === lines) return { contents: piece.subarray(start), rest: undefined };
  if (from === 0) return { contents: piece, rest: undefined };
  if (found === 0) start = firstCharacter(piece);
  return {
    contents: piece.subarray(start),
    rest: { position: from + start, lines: lines - found },
  };
}

const isContinuation = (byte = 0) => (byte & 0xc0) === 0x80;
const continuationBytes = 3;

/** The end of the last character that lies before one. What is no text is cut anywhere, and refused later. */
function wholeCharacters(piece: Buffer, end: number): number {
  let at = end;
  while (end - at < continuationBytes && isContinuation(piece[at])) at -= 1;
  return isContinuation(piece[at]) ? end : at;
}

function firstCharacter(piece: Buffer): number {
  let at = 0;
  while (at < continuationBytes && isContinuation(piece[at])) at += 1;
  return at;
}

export const withoutLastEnd = (contents: Buffer) =>
  contents.at(-1) === newline ? contents.subarray(0, -1) : contents;

/** Where so many lines end; `undefined` when there are fewer. Reads from the start: nothing says where a line begins. */
export async function endOfLines(
  source: Source,
  count: number,
  call: Stop & Pick<Call, 'progress'>,
): Promise<number | undefined> {
  const tell = teller(call);
  let line = 0;
  let passed = 0;
  if (count === 0) return 0;
  for await (const piece of source.pieces(call)) {
    for (let end = piece.indexOf(newline); end >= 0; end = piece.indexOf(newline, end + 1)) {
      line += 1;
      if (line === count) return passed + end + 1;
    }
    passed += piece.length;
    tell(passed, source.size, 'bytes looked at');
  }
  return undefined;
}

/** The bytes of a file in order, as many at a time as a buffer holds. The buffer is used again. */
export async function* piecesOf(file: Handle, { signal }: Stop, start = 0): AsyncGenerator<Buffer, void> {
  const buffer = Buffer.allocUnsafe(bufferBytes);
  for (let position = start; ;) {
    signal.throwIfAborted();
    const read = await file.readInPool(buffer, position);
    if (read === 0) return;
    position += read;
    yield buffer.subarray(0, read);
  }
}
