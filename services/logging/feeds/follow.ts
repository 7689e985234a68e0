/**
 * Follows a file as it grows, is renamed and made anew, or is emptied in place. Where it stands is kept with the lines, in one
 * commit: a start reads on from there, and no line comes twice.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  statSync,
  type Stats,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { z } from 'zod';

/** A file is known by its beginning too: an inode is used again, and a file that is emptied in place keeps it. */
const markBytes = 1_024;
const chunkBytes = 1_048_576;
/** Of a line that is longer than one. */
const chunksPerLook = 8;
/** Of a longer line the beginning is kept. */
export const longestLineBytes = 1_048_576;
const keptOfLongLine = 262_144;
/** Who renames a file may still write to it for a while. */
const lingerMs = 3_000;
/** The kernel's clock of files may go so much behind. */
const clockLagMs = 20;

const positionSchema = z.strictObject({
  inode: z.number(),
  device: z.number(),
  /** Behind the last line that was taken. */
  offset: z.number().int().min(0),
  /** Of the first bytes, and of how many. */
  mark: z.string(),
  markedBytes: z.number().int().min(0),
});
export type Position = z.output<typeof positionSchema>;

export interface FileLine {
  readonly bytes: Buffer;
  /** How long it is, where only its beginning is kept. */
  readonly length: number;
}

export interface Read {
  readonly lines: readonly FileLine[];
  readonly position: Position;
}

export type Event = 'vanished' | 'truncated' | 'lost_rotated' | 'unreadable' | 'appeared';

interface OpenFile {
  readonly fd: number;
  readonly stats: Stats;
  /** When it was written to, as of the last look. */
  writtenMs: number;
  /** Where the next bytes are read. */
  at: number;
  /** Behind the last whole line. */
  offset: number;
  /** Bytes of a line that has not ended; of a long one, the beginning, and how long it is so far. */
  pending: Buffer[];
  pendingBytes: number;
  mark: string;
  markedBytes: number;
}

export class Follower implements Disposable {
  readonly path: string;
  readonly #tell: (event: Event, detail?: string) => void;
  #file: OpenFile | undefined;
  /** A start: where it was left. */
  #left: Position | undefined;
  #renamedAtMs: number | undefined;
  #isMissing = false;
  /** When it was first seen not to be there: what was made since has not been read, whatever its name is by now. */
  #absentAtMs: number | undefined;

  /** @param absentAtMs when it was not there, if that is known. */
  constructor(
    path: string,
    position: string | undefined,
    tell: (event: Event, detail?: string) => void,
    absentAtMs?: number,
  ) {
    this.path = path;
    this.#tell = tell;
    this.#absentAtMs = absentAtMs;
    this.#left = position === undefined ? undefined : positionSchema.safeParse(parsed(position)).data;
  }

  /** What was written since the last look, up to a bound; `undefined` when nothing was. The next look goes on behind it. */
  poll(nowMs: number): Read | undefined {
    this.#file ??= this.#begin();
    if (!this.#file) {
      this.#absentAtMs ??= nowMs;
      return undefined;
    }
    const file = this.#file;
    if (this.#wasEmptied(file)) {
      this.#tell('truncated');
      file.at = 0;
      file.offset = 0;
      file.pending = [];
      file.pendingBytes = 0;
      file.markedBytes = 0;
      mark(file, fstatSync(file.fd).size);
    }
    for (let round = 0; round < chunksPerLook; round += 1) {
      const before = file.at;
      const lines = this.#readLines(file);
      if (lines.length > 0) return { lines, position: positionOf(file) };
      if (file.at === before) break;
    }
    return this.#isOver(file, nowMs) ? this.#goOn(file) : undefined;
  }

  [Symbol.dispose](): void {
    if (this.#file) closeSync(this.#file.fd);
    this.#file = undefined;
  }

  #begin(): OpenFile | undefined {
    const left = this.#left;
    this.#left = undefined;
    if (left) {
      const files = rotatedOf(this.path);
      // A file that was copied and then emptied goes on in its copy, which has its beginning and is as long at least.
      const same =
        files.find(({ file }) => isSame(file, left)) ?? files.findLast(({ file }) => isCopy(file, left));
      if (same) {
        const found = this.#open(same.file, left.offset);
        if (found) return found;
      } else if (left.offset > 0) this.#tell('lost_rotated');
    }
    return this.#openNext(this.#renamedBefore() ?? this.path);
  }

  /** The oldest that was made and renamed before it was found. */
  #renamedBefore(): string | undefined {
    const sinceMs = (this.#absentAtMs ?? Infinity) - clockLagMs;
    if (sinceMs === Infinity || !statSync(this.path, { throwIfNoEntry: false })) return undefined;
    this.#absentAtMs = undefined;
    const isRotated = (file: string) => /^(?:\.\d{1,4}|[.-]\d{8}[\d.-]*)$/.test(file.slice(this.path.length));
    return rotatedOf(this.path).find(({ file, stats }) => stats.birthtimeMs >= sinceMs && isRotated(file))
      ?.file;
  }

  #openNext(path: string): OpenFile | undefined {
    this.#renamedAtMs = undefined;
    const next = path === this.path ? undefined : this.#open(path, 0);
    if (next) return next;
    const file = this.#open(this.path, 0);
    if (!file) {
      if (!this.#isMissing) this.#tell('vanished');
      this.#isMissing = true;
    } else if (this.#isMissing) {
      this.#isMissing = false;
      this.#tell('appeared');
    }
    return file;
  }

  #open(path: string, offset: number): OpenFile | undefined {
    let fd: number | undefined;
    try {
      // A pipe of that name must not hold the thread.
      fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
      const stats = fstatSync(fd);
      if (!stats.isFile()) throw new Error('it is no file');
      const from = offset <= stats.size ? offset : 0;
      const own = { fd, stats, writtenMs: stats.mtimeMs, at: from, offset: from };
      return { ...own, pending: [], pendingBytes: 0, mark: '', markedBytes: 0 };
    } catch (error) {
      if (fd !== undefined) closeSync(fd);
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' && !this.#isMissing) {
        this.#tell('unreadable', (error as Error).message);
        this.#isMissing = true;
      }
      return undefined;
    }
  }

  #wasEmptied(file: OpenFile): boolean {
    const { size, mtimeMs } = fstatSync(file.fd);
    // Filled again to the very size it had, it tells by its time alone that it was written to.
    const isWritten = size > file.at || mtimeMs !== file.writtenMs;
    file.writtenMs = mtimeMs;
    if (size < file.at) return true;
    if (file.markedBytes > 0 && isWritten && markOf(file.fd, file.markedBytes) !== file.mark) return true;
    if (file.markedBytes < markBytes) mark(file, size);
    return false;
  }

  #readLines(file: OpenFile): FileLine[] {
    if (fstatSync(file.fd).size === file.at) return [];
    const chunk = Buffer.allocUnsafe(chunkBytes);
    const count = readSync(file.fd, chunk, 0, chunkBytes, file.at);
    const lines: FileLine[] = [];
    let start = 0;
    for (;;) {
      const end = chunk.subarray(0, count).indexOf(0x0a, start);
      if (end < 0) break;
      lines.push(ended(file, chunk.subarray(start, end)));
      start = end + 1;
      file.offset = file.at + start;
    }
    if (start < count) hold(file, chunk.subarray(start, count));
    file.at += count;
    return lines;
  }

  /** Whether another file has its name, or none, and nobody writes to it any more. */
  #isOver(file: OpenFile, nowMs: number): boolean {
    const { size } = fstatSync(file.fd);
    if (file.at < size) return false;
    const named = statSync(this.path, { throwIfNoEntry: false });
    if (named?.ino === file.stats.ino && named.dev === file.stats.dev) {
      this.#renamedAtMs = undefined;
      return false;
    }
    this.#renamedAtMs ??= nowMs;
    // Where another file came and went since, nobody writes to this one.
    return this.#after(file) !== this.path || nowMs - this.#renamedAtMs >= lingerMs;
  }

  /** What came after a file: one that was renamed too since, or the one that has the name now. */
  #after({ fd, stats }: OpenFile): string {
    const { mtimeMs } = fstatSync(fd);
    const files = rotatedOf(this.path);
    const at = files.findIndex(({ stats: other }) => other.ino === stats.ino && other.dev === stats.dev);
    // A copy that lies there for long sorts behind it too, and is none.
    const isLater = (one: Rotated) => ageOf(one.file, this.path) < 0 || one.stats.mtimeMs >= mtimeMs;
    const next = at < 0 ? undefined : files.slice(at + 1).find(isLater);
    return next?.file ?? this.path;
  }

  /** The last line of a file that is over needs no end. */
  #goOn(file: OpenFile): Read | undefined {
    const lines = file.pendingBytes > 0 ? [ended(file, Buffer.alloc(0))] : [];
    file.offset = file.at;
    const next = this.#after(file);
    closeSync(file.fd);
    this.#file = this.#openNext(next);
    if (lines.length === 0) return undefined;
    return { lines, position: this.#file ? positionOf(this.#file) : positionOf(file) };
  }
}

function hold(file: OpenFile, bytes: Buffer): void {
  const room =
    (file.pendingBytes < longestLineBytes ? longestLineBytes : keptOfLongLine) - lengthOf(file.pending);
  if (room > 0) file.pending.push(Buffer.from(bytes.subarray(0, room)));
  file.pendingBytes += bytes.length;
}

function ended(file: OpenFile, rest: Buffer): FileLine {
  if (file.pendingBytes === 0 && rest.length <= longestLineBytes) return { bytes: rest, length: rest.length };
  hold(file, rest);
  const whole = Buffer.concat(file.pending);
  const length = file.pendingBytes;
  file.pending = [];
  file.pendingBytes = 0;
  return { bytes: length > longestLineBytes ? whole.subarray(0, keptOfLongLine) : whole, length };
}

const lengthOf = (parts: readonly Buffer[]) => parts.reduce((sum, { length }) => sum + length, 0);

/** What a file is known by, as long as it is. */
function mark(file: OpenFile, size: number): void {
  if (size <= file.markedBytes) return;
  file.markedBytes = Math.min(size, markBytes);
  file.mark = markOf(file.fd, file.markedBytes);
}

function markOf(fd: number, bytes: number): string {
  const start = Buffer.alloc(bytes);
  const count = readSync(fd, start, 0, bytes, 0);
  return createHash('sha256').update(start.subarray(0, count)).digest('base64url').slice(0, 22);
}

const positionOf = ({ stats, offset, mark, markedBytes }: OpenFile): Position => ({
  inode: stats.ino,
  device: stats.dev,
  offset,
  mark,
  markedBytes,
});

interface Rotated {
  readonly file: string;
  readonly stats: Stats;
}

/** The file and what it was renamed to (`name.1`, `name-20261129`), the oldest first; without what was packed. */
function rotatedOf(path: string): Rotated[] {
  const folder = dirname(path);
  const name = basename(path);
  try {
    return readdirSync(folder)
      .filter(
        (one) =>
          one === name ||
          (one.startsWith(name) &&
            /^[.-][\w.-]*$/.test(one.slice(name.length)) &&
            !/\.(?:gz|xz|zst|bz2|tmp)$/.test(one)),
      )
      .map((one) => join(folder, one))
      .flatMap((file) => {
        const stats = statSync(file, { throwIfNoEntry: false });
        return stats?.isFile() ? [{ file, stats }] : [];
      })
      .toSorted(
        (one, other) =>
          ageOf(one.file, path) - ageOf(other.file, path) || one.stats.mtimeMs - other.stats.mtimeMs,
      );
  } catch {
    return [];
  }
}

/** The place in the order: of numbered ones the highest is the oldest, and the one without a number the newest. */
function ageOf(file: string, path: string): number {
  if (file === path) return 1;
  const number = /^\.(\d{1,4})$/.exec(file.slice(path.length))?.[1];
  return number === undefined ? 0 : -Number(number);
}

function isSame(file: string, left: Position): boolean {
  const stats = statSync(file, { throwIfNoEntry: false });
  return stats?.ino === left.inode && stats.dev === left.device && isCopy(file, left);
}

function isCopy(file: string, { mark, markedBytes, offset }: Position): boolean {
  const stats = statSync(file, { throwIfNoEntry: false });
  if (!stats || stats.size < offset || markedBytes === 0) return markedBytes === 0 && offset === 0;
  try {
    const fd = openSync(file, 'r');
    try {
      return markOf(fd, markedBytes) === mark;
    } finally {
      closeSync(fd);
    }
  } catch {
    return false;
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
