/**
 * Who called what, when, and how it went; never arguments or results. Each process appends to its own chain of records
 * (audit-chain.ts).
 */
import { createHash, randomBytes } from 'node:crypto';
import { constants, lstatSync, statSync } from 'node:fs';
import { mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

import { DamagedDataError } from '../errors.ts';
import { syncFolder } from '../files.ts';
import {
  genesis,
  hashOf,
  headName,
  headText,
  lastGroup,
  noteMethod,
  notes,
  parseRecord,
  readHead,
  segmentName,
  segmentNumber,
  segmentsOf,
  type AuditEvent,
  type ChainRecord,
  type Head,
} from './audit-chain.ts';
import { AuditShares } from './audit-shares.ts';

const defaultSegmentBytes = 16 * 1024 * 1024;
/** In which the last group of a segment begins. */
const tailBytes = 4 * 1024 * 1024;
/** A clock that is fast for a while takes no more of the past than this, each time a segment is full. */
const expiredAtOnce = 2;
const dayMs = 24 * 3_600_000;
const syncEveryMs = 1_000;
/** How often the sums of calls are recorded that have no record of their own. */
const sumEveryMs = 5 * 60_000;
/** Refusals of strangers that are recorded one by one between two syncs; the others are counted. */
const strangersPerSync = 20;

/** Under load a sync begins before its second is over, so that what waits stays small. */
const syncAtRecords = 20_000;
/**
 * Records that wait are packed into bytes, so many at a time: as texts they would outlive the garbage collector's first
 * rounds, which costs more than making them.
 */
const recordsPerPack = 50;
/** Records that come together are chained as one: a hash of many costs little more than a hash of one. */
const packsPerGroup = 20;
const between = Buffer.from('\n{');
const lineEnd = Buffer.from('\n');
/**
 * Records that wait for the disk before no more calls are taken, about 30 MB: an audited fleet does not work unaudited.
 * Calls that were running then still get their records, up to twice as many; refusals beyond that are only counted.
 */
export const callsEndAt = 100_000;

export interface TrailOptions {
  /** A segment that would become longer is closed, and the next one begun. */
  readonly segmentBytes?: number;
  /** Closed segments go, the oldest first, when all together are larger, or when they are older. */
  readonly keepBytes?: number;
  readonly keepDays?: number;
  /** What is there came from this archive: a chain of its own begins, which says so. */
  readonly restoredFrom?: string;
}

/** What of a trail was on disk at one moment: whole segments, and this much of the last one. */
export interface AuditCut extends Disposable {
  readonly head: Head;
  readonly segment: string;
  readonly sizeBytes: number;
}

/** Appends to the chain in `folder`. Records are written in order and synced every second, or when asked. */
export class AuditTrail implements AsyncDisposable {
  readonly folder: string;
  readonly #onFailure: (error: unknown) => void;
  readonly #segmentBytes: number;
  readonly #keepBytes: number;
  readonly #keepMs: number;
  readonly #timer: NodeJS.Timeout;
  readonly #sumTimer: NodeJS.Timeout;
  readonly #shares = new AuditShares();
  #file: FileHandle;
  #segment: number;
  #sizeBytes: number;
  #sequence: number;
  /** As it is on disk. */
  #head: Head;
  /** Copies that are being made. */
  #holds = 0;
  #expiring: Promise<void> | undefined;
  /** The records that wait: their texts after the brace, and those that came before, packed. */
  #texts: string[] = [];
  #packs: Buffer[] = [];
  #waiting = 0;
  #working: Promise<void> | undefined;
  #failing = false;
  #dropped = 0;
  #strangers = 0;

  private constructor(
    folder: string,
    file: FileHandle,
    end: { readonly segment: number; readonly sizeBytes: number; readonly head: Head },
    onFailure: (error: unknown) => void,
    {
      segmentBytes = defaultSegmentBytes,
      keepBytes = Number.POSITIVE_INFINITY,
      keepDays = Number.POSITIVE_INFINITY,
    }: TrailOptions,
  ) {
    this.folder = folder;
    this.#file = file;
    this.#segment = end.segment;
    this.#sizeBytes = end.sizeBytes;
    this.#sequence = end.head.sequence;
    this.#head = end.head;
    this.#onFailure = onFailure;
    this.#segmentBytes = segmentBytes;
    this.#keepBytes = keepBytes;
    this.#keepMs = keepDays * dayMs;
    this.#timer = setInterval(() => void this.sync().catch(onFailure), syncEveryMs);
    this.#timer.unref();
    this.#sumTimer = setInterval(() => this.#appendSums(), sumEveryMs);
    this.#sumTimer.unref();
  }

  /**
   * Goes on where the chain ends. A last line that a power cut tore off is cut away and told in a record of its own.
   *
   * @throws DamagedDataError where the last segment is no plain file, or nothing that we wrote.
   */
  static async open(
    folder: string,
    onFailure: (error: unknown) => void,
    options: TrailOptions = {},
  ): Promise<AuditTrail> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const names = segmentsOf(folder);
    const last = names.at(-1) ?? segmentName(1);
    const file = await openSegment(join(folder, last));
    await using stack = new AsyncDisposableStack();
    stack.use(file);
    const { sizeBytes, wholeBytes, lines } = await tailOf(file, join(folder, last));
    if (wholeBytes < sizeBytes) await file.truncate(wholeBytes);
    syncFolder(folder);
    const before = wholeBytes > 0 ? lines : await linesOfLast(folder, names.at(-2));
    const end = before === undefined ? { sequence: 0, hash: genesis } : endOf(before);
    const found = readHead(folder);
    const known = typeof found === 'object' ? found : undefined;
    // Where the file and the head disagree, the head is followed: the gap then stays visible for ever.
    const { sequence, hash } = known && known.sequence >= end.sequence ? known : end;
    const chain = options.restoredFrom === undefined && known?.chain ? known.chain : newChain();
    const head: Head = { chain, sequence, hash };
    // Before the first record, so that a head is missing only where somebody took it away.
    if ((found === undefined && before === undefined) || known?.chain === '') {
      await writeHead(folder, head);
      syncFolder(folder);
    }
    const segment = segmentNumber(last) ?? 1;
    const trail = new AuditTrail(folder, file, { segment, sizeBytes: wholeBytes, head }, onFailure, options);
    // Said in the chain, or the next head would hide what the lost one would have shown.
    if (found === 'damaged' || (found === undefined && before !== undefined))
      trail.append(note(notes.headMissing));
    if (known && known.sequence < end.sequence)
      trail.append(note(notes.headBehind, `${known.sequence + 1}-${end.sequence}`));
    if (wholeBytes < sizeBytes) trail.append({ ...note(notes.torn), requestBytes: sizeBytes - wholeBytes });
    if (options.restoredFrom !== undefined) {
      trail.append(note(notes.restored, options.restoredFrom));
      // Where the archive came without the oldest ones.
      const first = names[0] === undefined ? undefined : await firstRecord(join(folder, names[0]));
      if (first && first.sequence > 1) trail.append(expiredUpTo(first));
    }
    stack.move(); // the trail closes it
    return trail;
  }

  /** How far the chain has come on disk. */
  get head(): Head {
    return this.#head;
  }

  /** For a copy that others read while the chain goes on: nothing goes by its age until it is disposed. */
  async cut(): Promise<AuditCut> {
    this.#appendSums();
    await this.sync();
    this.#holds += 1;
    // One that is going at this moment is gone before anybody looks which there are.
    await this.#expiring;
    return {
      head: this.#head,
      segment: segmentName(this.#segment),
      sizeBytes: this.#sizeBytes,
      [Symbol.dispose]: () => {
        this.#holds -= 1;
      },
    };
  }

  /** Records that are not on disk yet: many of them mean that the disk takes none. */
  get backlog(): number {
    return this.#waiting;
  }

  /** Whether so many wait that nothing more may run. */
  get full(): boolean {
    return this.#waiting >= callsEndAt;
  }

  /** Whether the last attempt to write failed. */
  get failing(): boolean {
    return this.#failing;
  }

  append(event: AuditEvent): void {
    if (this.#waiting >= 2 * callsEndAt) {
      this.#dropped += 1;
      return;
    }
    if (this.#chain(event) === syncAtRecords) void this.sync().catch(this.#onFailure);
  }

  /**
   * The record of a call. Beyond the share of its token the call is only counted (audit-shares.ts).
   *
   * @param isChange whether it may have changed something.
   */
  appendCall(event: AuditEvent, isChange: boolean): void {
    const taken = this.#shares.take(event, isChange);
    if (taken === 'recorded') this.append(event);
    else if (taken === 'first counted') this.append({ ...note(notes.counted), caller: event.caller });
  }

  #appendSums(): void {
    for (const sum of this.#shares.sums()) this.append(sum);
  }

  /** @returns how many records wait now. */
  #chain(event: AuditEvent): number {
    this.#sequence += 1;
    if (this.#texts.push(bodyOf(this.#sequence, event)) === recordsPerPack) this.#pack();
    this.#waiting += 1;
    return this.#waiting;
  }

  #pack(): void {
    if (this.#texts.length > 0) this.#packs.push(Buffer.from(this.#texts.join('\n{')));
    this.#texts = [];
  }

  /** Like `append`, for callers without a good token: anybody on the host could fill the disk with such records. */
  appendStranger(event: AuditEvent): void {
    this.#strangers += 1;
    if (this.#strangers > strangersPerSync) this.#dropped += 1;
    else this.append(event);
  }

  /** Resolves when everything appended so far is on disk. Callers that come together share one sync. */
  async sync(): Promise<void> {
    if (this.#working) await this.#working;
    if (this.#waiting === 0 && this.#dropped === 0) return this.#working;
    this.#working ??= this.#write().finally(() => {
      this.#working = undefined;
    });
    return this.#working;
  }

  async #write(): Promise<void> {
    if (this.#dropped > 0) {
      this.#chain({ ...note(notes.refused), requestBytes: this.#dropped });
      this.#dropped = 0;
    }
    this.#pack();
    const packs = this.#packs;
    const records = this.#waiting;
    const pieces: Buffer[] = [];
    let previous = this.#head.hash;
    for (let from = 0; from < packs.length; from += packsPerGroup) {
      const group = [
        Buffer.from(`{"previous":"${previous}",`),
        ...packs
          .slice(from, from + packsPerGroup)
          .flatMap((pack, index) => (index > 0 ? [between, pack] : [pack])),
      ];
      const hash = createHash('sha256');
      for (const piece of group) hash.update(piece);
      previous = hash.digest('hex');
      pieces.push(...group, lineEnd);
    }
    const bytes = Buffer.concat(pieces);
    const head: Head = { chain: this.#head.chain, sequence: this.#sequence, hash: previous };
    const segment = this.#segment;
    this.#packs = [];
    this.#waiting = 0;
    this.#strangers = 0;
    try {
      if (this.#sizeBytes > 0 && this.#sizeBytes + bytes.length > this.#segmentBytes)
        await this.#nextSegment();
      await this.#file.appendFile(bytes);
      await this.#file.datasync();
    } catch (error) {
      // Whatever part was written is cut off again, and all of it is tried again with the next sync.
      await this.#file.truncate(this.#sizeBytes).catch(this.#onFailure);
      this.#packs = [...packs, ...this.#packs];
      this.#waiting += records;
      this.#failing = true;
      throw error;
    }
    this.#sizeBytes += bytes.length;
    this.#head = head;
    try {
      await writeHead(this.folder, head);
      this.#failing = false;
    } catch (error) {
      this.#failing = true;
      throw error;
    }
    if (this.#segment > segment) this.#expireSoon();
  }

  async #nextSegment(): Promise<void> {
    const next = await openSegment(join(this.folder, segmentName(this.#segment + 1)));
    syncFolder(this.folder);
    await this.#file.close();
    this.#file = next;
    this.#segment += 1;
    this.#sizeBytes = 0;
  }

  #expireSoon(): void {
    this.#expiring ??= this.#expire()
      .catch(this.#onFailure)
      .finally(() => {
        this.#expiring = undefined;
      });
  }

  /** Said in the chain first, so that what is missing afterwards is not missed. */
  async #expire(): Promise<void> {
    const names = segmentsOf(this.folder).filter((name) => name !== segmentName(this.#segment));
    const states = names.map((name) => statSync(join(this.folder, name)));
    let bytes = states.reduce((sum, { size }) => sum + size, this.#sizeBytes);
    let count = 0;
    for (const { size, mtimeMs } of states.slice(0, expiredAtOnce)) {
      if (bytes <= this.#keepBytes && Date.now() - mtimeMs <= this.#keepMs) break;
      bytes -= size;
      count += 1;
    }
    if (count === 0 || this.#holds > 0) return;
    const next = await firstRecord(join(this.folder, names[count] ?? segmentName(this.#segment)));
    // What was tampered with stays, to be looked at.
    if (next?.previous === undefined) return;
    this.append(expiredUpTo(next));
    await this.sync();
    for (const name of names.slice(0, count)) {
      // A copy may have begun meanwhile: they go the next time.
      if (this.#holds > 0) break;
      await rm(join(this.folder, name)); // oxlint-disable-line no-await-in-loop -- the oldest first
    }
    syncFolder(this.folder);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    clearInterval(this.#sumTimer);
    this.#appendSums();
    await this.#expiring;
    await this.sync().catch(this.#onFailure);
    await this.#file.close();
  }
}

const quotedNames = new Map<string, string>();
const mostQuotedNames = 1_000;

/** Names come from short lists, of tokens, tools and outcomes: each is made fit for JSON once. */
function quoted(name: string): string {
  let text = quotedNames.get(name);
  if (text === undefined) {
    text = JSON.stringify(name);
    if (quotedNames.size < mostQuotedNames) quotedNames.set(name, text);
  }
  return text;
}

/** The JSON of a record after its brace, put together by hand: it is made for every call. */
function bodyOf(sequence: number, event: AuditEvent): string {
  const { time, caller, method, target, outcome, durationMs, requestBytes, responseBytes, traceId } = event;
  const { calls, since } = event;
  const sum = calls === undefined ? '' : `,"calls":${calls},"since":"${since}"`;
  return (
    `"sequence":${sequence},"time":"${time}","caller":${quoted(caller)},` +
    `"method":${quoted(method)},"target":${target === null ? 'null' : quoted(target)},"outcome":${quoted(outcome)},` +
    `"durationMs":${durationMs},"requestBytes":${requestBytes},"responseBytes":${responseBytes},"traceId":"${traceId}"${sum}}`
  );
}

/** Like `writeFileAtomic`, but off the event loop: this happens every second under load. */
async function writeHead(folder: string, head: Head): Promise<void> {
  const file = join(folder, headName);
  const temporary = await open(`${file}.tmp`, 'w', 0o600);
  try {
    await temporary.writeFile(headText(head));
    await temporary.datasync();
  } finally {
    await temporary.close();
  }
  await rename(`${file}.tmp`, file);
}

const newChain = () => randomBytes(8).toString('hex');

function note(outcome: string, target: string | null = null): AuditEvent {
  const time = new Date().toISOString();
  return {
    time,
    caller: '',
    method: noteMethod,
    target,
    outcome,
    durationMs: 0,
    requestBytes: 0,
    responseBytes: 0,
    traceId: '',
  };
}

/** That what came before this record is gone on purpose. */
function expiredUpTo({ sequence, previous = '' }: ChainRecord): AuditEvent {
  return note(notes.expired, `1-${sequence - 1} ${previous}`);
}

/** For appending, and for reading what was there. @throws DamagedDataError for a link: the records would go elsewhere. */
async function openSegment(path: string): Promise<FileHandle> {
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDWR } = constants;
  const state = lstatSync(path, { throwIfNoEntry: false });
  if (state && !state.isFile()) throw new DamagedDataError(`${path} is no plain file: move it away.`);
  return open(path, O_APPEND | O_CREAT | O_NOFOLLOW | O_RDWR, 0o600);
}

/** The last lines of a segment, and how much of it is whole. */
async function tailOf(file: FileHandle, path: string) {
  const { size: sizeBytes } = await file.stat();
  const length = Math.min(sizeBytes, tailBytes);
  const { buffer } = await file.read(Buffer.alloc(length), 0, length, sizeBytes - length);
  const end = buffer.lastIndexOf(0x0a) + 1;
  if (end === 0 && length < sizeBytes)
    throw new DamagedDataError(`${path} is nothing that was written here: move it away.`);
  const lines = buffer
    .subarray(0, Math.max(0, end - 1))
    .toString('utf8')
    .split('\n');
  return {
    sizeBytes,
    wholeBytes: sizeBytes - length + end,
    // The first one has lost its beginning.
    lines: length < sizeBytes ? lines.slice(1) : lines,
  };
}

async function linesOfLast(folder: string, name: string | undefined): Promise<string[] | undefined> {
  if (name === undefined) return undefined;
  await using file = await openSegment(join(folder, name));
  return (await tailOf(file, name)).lines;
}

/** Where a chain goes on whose last segment ends with these lines. */
function endOf(lines: readonly string[]): Pick<Head, 'sequence' | 'hash'> {
  const sequence = parseRecord(lines.at(-1) ?? '')?.sequence ?? 0;
  return sequence === 0
    ? { sequence, hash: genesis }
    : { sequence, hash: hashOf(lastGroup(lines).join('\n')) };
}

async function firstRecord(path: string): Promise<ChainRecord | undefined> {
  await using file = await open(path, 'r');
  const { buffer, bytesRead } = await file.read(Buffer.alloc(4_096), 0, 4_096, 0);
  return parseRecord(buffer.toString('utf8', 0, bytesRead).split('\n')[0] ?? '');
}
