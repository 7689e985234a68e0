/** Reads a trail piece by piece, for whoever keeps a copy of it. */
import { open, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

import { segmentName, segmentNumber, segmentsOf } from './audit-chain.ts';

/** A place in a trail: the number of a segment, and how many of its bytes come before. */
export interface TrailPlace {
  readonly segment: number;
  readonly bytes: number;
}

export interface TrailPage {
  /** Whole lines, each with its end. */
  readonly lines: Buffer;
  /** Where the next page begins. */
  readonly next: TrailPlace;
}

const pageBytes = 1024 * 1024;
const lineEnd = 0x0a;

/**
 * The whole lines of `folder` after a place, at most 1 MiB of one segment. Where the segment has gone by its age, the page
 * begins with the oldest that is there. Without lines, nothing came after the place yet. A line that is longer than a page is
 * no record, as a look at the whole trail tells, and is passed over: the records after it are read.
 *
 * `undefined` where the trail is shorter than the place says: it was cut, or replaced.
 */
export async function trailPage(
  folder: string,
  { segment, bytes }: TrailPlace,
): Promise<TrailPage | undefined> {
  const numbers = segmentsOf(folder).map((name) => segmentNumber(name) ?? 0);
  const number = numbers.find((one) => one >= segment);
  if (number === undefined) {
    return bytes > 0 || numbers.length > 0 ? undefined : { lines: Buffer.alloc(0), next: { segment, bytes } };
  }
  const from = number === segment ? bytes : 0;
  await using file = await open(join(folder, segmentName(number)));
  const newBytes = (await file.stat()).size - from;
  if (newBytes < 0) return undefined;
  // Most looks find nothing new.
  const { buffer, bytesRead } = await file.read({
    buffer: Buffer.alloc(Math.min(newBytes, pageBytes)),
    position: from,
  });
  const lines = buffer.subarray(0, buffer.lastIndexOf(lineEnd, bytesRead - 1) + 1);
  if (lines.length === 0 && bytesRead === pageBytes) {
    const end = await endOfLine(file, from + bytesRead);
    if (end !== undefined) return trailPage(folder, { segment: number, bytes: end });
  }
  const following = numbers.find((one) => one > number);
  if (lines.length === 0 && following !== undefined)
    return trailPage(folder, { segment: following, bytes: 0 });
  return { lines, next: { segment: number, bytes: from + lines.length } };
}

/** @returns where the next line begins; `undefined` where this one has no end yet. */
async function endOfLine(file: FileHandle, from: number): Promise<number | undefined> {
  const piece = Buffer.alloc(pageBytes);
  for (let position = from; ;) {
    // oxlint-disable-next-line no-await-in-loop -- one piece after the other
    const { bytesRead } = await file.read({ buffer: piece, position });
    if (bytesRead === 0) return undefined;
    const at = piece.subarray(0, bytesRead).indexOf(lineEnd);
    if (at >= 0) return position + at + 1;
    position += bytesRead;
  }
}

/** As it stands in a query: `12:4096`. */
export const placeText = ({ segment, bytes }: TrailPlace) => `${segment}:${bytes}`;

export function parsePlace(text: string): TrailPlace | undefined {
  const [, segment, bytes] = /^(\d{1,6}):(\d{1,12})$/.exec(text) ?? [];
  return segment === undefined ? undefined : { segment: Number(segment), bytes: Number(bytes) };
}
