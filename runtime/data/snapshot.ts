/**
 * What a process keeps, as one stream that its owner makes: databases as they are at one moment, other files beside them.
 * The stream is lines of JSON; the line of a file is followed by exactly its bytes, and these by the line of their hash.
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, rmSync } from 'node:fs';
import { mkdir, open, readdir, rm, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import { z } from 'zod';

import { headName, headText, type Head } from '../account/audit-chain.ts';
import type { AuditCut } from '../account/audit.ts';
import { DamagedDataError } from '../errors.ts';
import type { Word } from './copy-worker.ts';

/** One line of the stream. */
export const frameSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('working'), path: z.string(), share: z.number() }),
  z.strictObject({
    kind: z.literal('file'),
    path: z.string(),
    bytes: z.number().int().min(0),
    isDatabase: z.boolean(),
  }),
  z.strictObject({ kind: z.literal('hash'), sha256: z.string() }),
  z.strictObject({
    kind: z.literal('held'),
    path: z.string(),
    bytes: z.number().int().min(0),
    sha256: z.string(),
  }),
  z.strictObject({ kind: z.literal('failed'), reason: z.string() }),
  z.strictObject({ kind: z.literal('end'), files: z.number() }),
]);

type Frame = z.output<typeof frameSchema>;

/** Files that whoever asks has already, by their hashes: closed files of the trail need no second copy. */
export type Held = ReadonlyMap<string, string>;

/** What `take` needs to know of a folder. */
export interface SnapshotSource {
  readonly dataDir: string;
  /** Files which no copy of the folder may hold. */
  readonly secretFiles: readonly string[];
}

/** How a snapshot came to its end; `cancelled` by a reader who went away. */
export interface SnapshotEnd {
  readonly outcome: 'ok' | 'cancelled' | 'unavailable';
  readonly error: unknown;
  readonly sentBytes: number;
}

/** Copies of databases on their way out lie here, one at a time. */
const scratchName = '.snapshot';
/** Whoever reads hears of a long copy this often, so that no connection looks dead. */
const wordEveryMs = 1_000;
const chunkBytes = 256 * 1024;
/** Where a process keeps its trail, in its folder. */
const trailName = 'audit';

/** The snapshots of one process, one at a time. Dispose it to break one off. */
export class Snapshots implements AsyncDisposable {
  readonly #source: SnapshotSource;
  readonly #cut: () => Promise<AuditCut | undefined>;
  readonly #stop = new AbortController();
  #running: AsyncGenerator<Buffer, void> | undefined;

  /** `cut` is of the audit trail in the folder, where one is being written. What a crash left of the last snapshot goes. */
  constructor(source: SnapshotSource, cut: () => Promise<AuditCut | undefined>) {
    this.#source = source;
    this.#cut = cut;
    rmSync(join(source.dataDir, scratchName), { recursive: true, force: true });
  }

  /** @returns `undefined` while another one is being taken. */
  take(held: Held, ended: (end: SnapshotEnd) => void): ReadableStream<Uint8Array> | undefined {
    if (this.#running) return undefined;
    const running = this.#observed(held, ended);
    this.#running = running;
    return new ReadableStream({
      async pull(controller) {
        const { done, value } = await running.next();
        if (value) controller.enqueue(value);
        if (done) controller.close();
      },
      cancel: async () => {
        await running.return();
        this.#running = undefined; // also where it had not begun
      },
    });
  }

  async *#observed(held: Held, ended: (end: SnapshotEnd) => void): AsyncGenerator<Buffer, void> {
    let sentBytes = 0;
    let outcome: SnapshotEnd['outcome'] = 'cancelled';
    let error: unknown;
    try {
      for await (const chunk of snapshotOf(this.#source, this.#stop.signal, this.#cut, held)) {
        yield chunk;
        sentBytes += chunk.length;
      }
      outcome = 'ok';
    } catch (thrown) {
      outcome = 'unavailable';
      error = thrown;
      yield line({ kind: 'failed', reason: reasonOf(thrown) });
    } finally {
      this.#running = undefined;
      ended({ outcome, error, sentBytes });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('the process stops'));
    await this.#running?.return();
  }
}

/**
 * All files of a folder that nobody else works on. The audit trail goes last, as it is on disk then: a change that is in the
 * copy has its record there.
 */
export async function* snapshotOf(
  { dataDir, secretFiles }: SnapshotSource,
  signal: AbortSignal,
  cutTrail: () => Promise<AuditCut | undefined>,
  held: Held = new Map(),
): AsyncGenerator<Buffer, void> {
  const scratch = join(dataDir, scratchName);
  await rm(scratch, { recursive: true, force: true });
  await mkdir(scratch, { mode: 0o700 });
  let files = 0;
  try {
    const paths = await filesBelow(dataDir, secretFiles);
    for (const path of paths.filter((one) => !isOfTrail(one))) {
      const file = join(dataDir, path);
      // Its owner may have let it go since the folder was read.
      if (!existsSync(file)) continue;
      if (!(await isDatabase(file))) {
        files += yield* sent(file, path, false, signal);
        continue;
      }
      const copy = join(scratch, 'database');
      yield* copied(file, copy, path, signal);
      files += yield* sent(copy, path, true, signal);
      await rm(copy);
    }
    using cut = await cutTrail();
    for (const path of (await filesBelow(dataDir, secretFiles)).filter(isOfTrail)) {
      const file = join(dataDir, path);
      const name = basename(path);
      const end = cut && name === cut.segment ? cut.sizeBytes : undefined;
      if (cut && name === headName) files += yield* sentHead(path, cut.head);
      else if (await isHeld(file, held.get(path), signal)) files += yield* told(file, path, held);
      else if (!cut || name <= cut.segment) files += yield* sent(file, path, false, signal, end);
    }
    yield line({ kind: 'end', files });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** A file of the records of calls, in the folder of a process. */
export const isOfTrail = (path: string) => dirname(path) === trailName;

/** Whether the file is the one with this hash. */
async function isHeld(file: string, sha256: string | undefined, signal: AbortSignal): Promise<boolean> {
  if (sha256 === undefined) return false;
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file, { highWaterMark: chunkBytes, signal }))
    hash.update(chunk as Buffer);
  return hash.digest('hex') === sha256;
}

async function* told(file: string, path: string, held: Held): AsyncGenerator<Buffer, number> {
  const { size: bytes } = await stat(file);
  yield line({ kind: 'held', path, bytes, sha256: held.get(path) ?? '' });
  return 1;
}

function* sentHead(path: string, head: Head): Generator<Buffer, number> {
  const text = Buffer.from(headText(head));
  yield line({ kind: 'file', path, bytes: text.length, isDatabase: false });
  yield text;
  yield line({ kind: 'hash', sha256: createHash('sha256').update(text).digest('hex') });
  return 1;
}

/**
 * What no copy of a folder holds: locks, secrets, what is half written, and the journals of databases, which `has` tells by
 * the database beside them.
 */
export function isLeftOut(
  path: string,
  secretFiles: readonly string[],
  has: (path: string) => boolean,
): boolean {
  const owner = path.replace(/-(?:wal|shm|journal)$/, '');
  return (
    path === '.lock' ||
    path.split('/')[0] === scratchName ||
    secretFiles.includes(path) ||
    path.endsWith('.tmp') ||
    (owner !== path && has(owner))
  );
}

/** Paths inside the folder, in order. @throws DamagedDataError for what is neither a file nor a folder. */
export async function filesBelow(folder: string, secretFiles: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  const walk = async (below: string) => {
    const entries = await readdir(join(folder, below), { withFileTypes: true });
    const paths = new Set(entries.map(({ name }) => join(below, name)));
    for (const entry of entries) {
      const path = join(below, entry.name);
      if (isLeftOut(path, secretFiles, (other) => paths.has(other))) continue;
      if (entry.isDirectory()) await walk(path);
      else if (entry.isFile()) found.push(path);
      else throw new DamagedDataError(`${join(folder, path)} is neither a file nor a folder: move it away.`);
    }
  };
  await walk('.');
  return found.toSorted();
}

export async function isDatabase(file: string): Promise<boolean> {
  if (file.endsWith('.db') || existsSync(`${file}-wal`)) return true;
  const magic = 'SQLite format 3\0';
  await using handle = await openIfThere(file);
  const { buffer, bytesRead } = (await handle?.read(Buffer.alloc(magic.length))) ?? { bytesRead: 0 };
  return bytesRead === magic.length && buffer?.toString('latin1') === magic;
}

async function* copied(
  from: string,
  to: string,
  path: string,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void> {
  const worker = new Worker(new URL('copy-worker.ts', import.meta.url), { workerData: { from, to } });
  let share = 0;
  let isDone = false;
  const copying = new Promise<void>((resolve, reject) => {
    worker.on('message', (word: Word) => {
      if ('share' in word) ({ share } = word);
      else if ('done' in word) resolve();
      else reject(word.isDamage ? new DamagedDataError(word.message) : failureOf(word));
    });
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error('the copying thread ended')));
  }).finally(() => {
    isDone = true;
  });
  const stop = () => worker.postMessage('stop');
  signal.addEventListener('abort', stop, { once: true });
  try {
    for (;;) {
      await Promise.race([copying, sleep(wordEveryMs, undefined, { ref: false })]);
      signal.throwIfAborted();
      if (isDone) return;
      yield line({ kind: 'working', path, share });
    }
  } finally {
    signal.removeEventListener('abort', stop);
    stop();
    await copying.catch(() => {}); // it was thrown above, or is of no interest any more
    await worker.terminate();
  }
}

function failureOf({
  message,
  code,
}: {
  readonly message: string;
  readonly code: string | undefined;
}): Error {
  return Object.assign(new Error(message), { code });
}

/** @returns how many files were sent: none where it is gone meanwhile. */
async function* sent(
  file: string,
  path: string,
  isDatabase: boolean,
  signal: AbortSignal,
  length?: number,
): AsyncGenerator<Buffer, number> {
  await using handle = await openIfThere(file);
  if (!handle) return 0;
  const bytes = length ?? (await handle.stat()).size;
  yield line({ kind: 'file', path, bytes, isDatabase });
  const hash = createHash('sha256');
  for (let position = 0; position < bytes;) {
    signal.throwIfAborted();
    const size = Math.min(chunkBytes, bytes - position);
    const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(size), 0, size, position);
    if (bytesRead === 0) throw new DamagedDataError(`${file} became shorter while it was read.`);
    const chunk = buffer.subarray(0, bytesRead);
    hash.update(chunk);
    position += bytesRead;
    yield chunk;
  }
  yield line({ kind: 'hash', sha256: hash.digest('hex') });
  return 1;
}

async function openIfThere(file: string): Promise<FileHandle | undefined> {
  try {
    return await open(file, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function line(frame: Frame): Buffer {
  return Buffer.from(`${JSON.stringify(frame)}\n`);
}

/** In words for whoever makes a backup. What a bug says stays in the log. */
function reasonOf(error: unknown): string {
  if (error instanceof DamagedDataError) return error.message;
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'SQLITE_FULL' || code === 'ENOSPC' || code === 'EDQUOT') {
    return 'The disk is full: a copy of each database needs room in the data folder for a moment.';
  }
  return `Its files could not be copied (${code ?? 'see its log'}).`;
}
