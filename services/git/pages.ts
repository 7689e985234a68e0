/** Long answers in parts: text by bytes, lists by count. Each part asks git again and passes over what was read. */
import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';

import type { GitOptions, Repository } from './git.ts';
import { maxOffsetBytes } from './limits.ts';

export interface Continued {
  readonly truncated?: true;
  readonly next_cursor?: string;
}

interface Paged {
  readonly cursor?: string | undefined;
}

const position = z.tuple([z.int().min(0).max(maxOffsetBytes)]);

/** Where the call goes on, and how the one after it will. */
export function placeIn(tool: string, { cursor, ...args }: Paged) {
  const [start] = decodeCursor(tool, args, cursor, position, [0]);
  return {
    start,
    next: (at: number): Continued => ({ truncated: true, next_cursor: encodeCursor(tool, args, [at]) }),
  };
}

/** Up to the last whole line that fits; of a longer line, up to the last whole character. */
export function wholeLines(bytes: Buffer): Buffer {
  const end = bytes.lastIndexOf(10) + 1;
  if (end > 0) return bytes.subarray(0, end);
  let lead = bytes.length - 1;
  while (lead > bytes.length - 4 && ((bytes[lead] ?? 0) & 0xc0) === 0x80) lead -= 1;
  const first = bytes[lead] ?? 0;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
  return lead > 0 && lead + length > bytes.length ? bytes.subarray(0, lead) : bytes;
}

export interface BytePage extends Continued {
  readonly bytes: Buffer;
}

export async function bytePage(
  tool: string,
  args: Paged & { readonly max_bytes: number },
  repository: Repository,
  gitArgs: readonly string[],
  options: GitOptions = {},
): Promise<BytePage> {
  const { start, next } = placeIn(tool, args);
  const { output, isCut } = await repository.run(gitArgs, {
    ...options,
    skipBytes: start,
    takeBytes: args.max_bytes,
  });
  if (!isCut) return { bytes: output };
  const bytes = wholeLines(output);
  return { bytes, ...next(start + bytes.length) };
}

export interface TextPage extends Continued {
  readonly text: string;
}

/** Bytes that are no UTF-8 become U+FFFD. */
export async function textPage(...args: Parameters<typeof bytePage>): Promise<TextPage> {
  const { bytes, ...more } = await bytePage(...args);
  return { text: bytes.toString(), ...more };
}

/** For clients that look at the text alone. */
export const goingOn = ({ next_cursor }: { readonly next_cursor?: string | undefined }): string =>
  next_cursor === undefined ? '' : `\n[There is more: call again with cursor "${next_cursor}".]`;

/** A part of a list that was read beyond `limit` by one, or as a whole from `skipped` on. */
export function listPage<Item>(
  found: readonly Item[],
  limit: number,
  { start, next }: ReturnType<typeof placeIn>,
): { readonly items: readonly Item[] } & Continued {
  const items = found.slice(0, limit);
  return found.length > limit ? { items, ...next(start + limit) } : { items };
}
