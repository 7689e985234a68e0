/**
 * Who called what, when, and how it went; never arguments or results. Each process appends to its own chain of records
 * (audit-chain.ts).
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rename, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';

import {
  genesis,
  hashOf,
  headMissing,
  lastGroup,
  parseRecord,
  readHead,
  segmentName,
  segmentsOf,
  type Head,
} from './audit-chain.ts';
import { syncFolder } from '../files.ts';

/** What one record says. */
export interface AuditEvent {
  readonly time: string;
  readonly caller: string;
  readonly method: string;
  /** The tool, prompt or resource; `null` where there is none. */
  readonly target: string | null;
  /** `ok` or an error code. */
  readonly outcome: string;
  readonly durationMs: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly traceId: string;
}

const defaultSegmentBytes = 16 * 1024 * 1024;
const syncEveryMs = 1_000;
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

/** Appends to the chain in `folder`. Records are written in order and synced every second, or when asked. */
export class AuditTrail implements AsyncDisposable {
  readonly #folder: string;
  readonly #onFailure: (error: unknown) => void;
  readonly #segmentBytes: number;
  readonly #timer: NodeJS.Timeout;
  #file: FileHandle;
  #segment: number;
  #sizeBytes: number;
  #sequence: number;
  #previous: string;
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
    end: { segment: number; sizeBytes: number; sequence: number; previous: string },
    onFailure: (error: unknown) => void,
    segmentBytes: number,
  ) {
    this.#folder = folder;
    this.#file = file;
    this.#segment = end.segment;
    this.#sizeBytes = end.sizeBytes;
    this.#sequence = end.sequence;
    this.#previous = end.previous;
    this.#onFailure = onFailure;
    this.#segmentBytes = segmentBytes;
    this.#timer = setInterval(() => void this.sync().catch(onFailure), syncEveryMs);
    this.#timer.unref();
  }

  /** Goes on where the chain ends. A last line that a power cut tore off is cut away and told in a record of its own. */
  static async open(
    folder: string,
    onFailure: (error: unknown) => void,
    segmentBytes = defaultSegmentBytes,
  ): Promise<AuditTrail> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const names = segmentsOf(folder);
    const segment = Number(/\d+/.exec(names.at(-1) ?? '1')?.[0]);
    const path = join(folder, segmentName(segment));
    const contents = existsSync(path) ? await readFile(path) : Buffer.alloc(0);
    const wholeBytes = contents.lastIndexOf(0x0a) + 1;
    const file = await open(path, 'a', 0o600);
    if (wholeBytes < contents.length) await file.truncate(wholeBytes);
    syncFolder(folder);
    const before =
      wholeBytes > 0 ? contents.subarray(0, wholeBytes) : await readSegment(folder, names.at(-2));
    const end = before === undefined ? { sequence: 0, hash: genesis } : endOf(before.toString('utf8'));
    const head = readHead(folder);
    // Before the first record, so that a head is missing only where somebody took it away.
    if (head === undefined && before === undefined) await writeHead(folder, end);
    // Where the file and the head disagree, the head is followed: the gap then stays visible for ever.
    const { sequence, hash } = typeof head === 'object' && head.sequence >= end.sequence ? head : end;
    const trail = new AuditTrail(
      folder,
      file,
      { segment, sizeBytes: wholeBytes, sequence, previous: hash },
      onFailure,
      segmentBytes,
    );
    // Said in the chain, or the next head would hide what the lost one would have shown.
    if (head === 'damaged' || (head === undefined && before !== undefined)) trail.append(note(headMissing));
    if (wholeBytes < contents.length) {
      trail.append({ ...note('torn_record_removed'), requestBytes: contents.length - wholeBytes });
    }
    return trail;
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
      this.#chain({ ...note('refusals_not_recorded'), requestBytes: this.#dropped });
      this.#dropped = 0;
    }
    this.#pack();
    const packs = this.#packs;
    const records = this.#waiting;
    const pieces: Buffer[] = [];
    let previous = this.#previous;
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
    const head = { sequence: this.#sequence, hash: previous };
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
    this.#previous = previous;
    try {
      await writeHead(this.#folder, head);
      this.#failing = false;
    } catch (error) {
      this.#failing = true;
      throw error;
    }
  }

  async #nextSegment(): Promise<void> {
    const next = await open(join(this.#folder, segmentName(this.#segment + 1)), 'a', 0o600);
    syncFolder(this.#folder);
    await this.#file.close();
    this.#file = next;
    this.#segment += 1;
    this.#sizeBytes = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
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
  return (
    `"sequence":${sequence},"time":"${time}","caller":${quoted(caller)},` +
    `"method":${quoted(method)},"target":${target === null ? 'null' : quoted(target)},"outcome":${quoted(outcome)},` +
    `"durationMs":${durationMs},"requestBytes":${requestBytes},"responseBytes":${responseBytes},"traceId":"${traceId}"}`
  );
}

/** Like `writeFileAtomic`, but off the event loop: this happens every second under load. */
async function writeHead(folder: string, head: Head): Promise<void> {
  const file = join(folder, 'head.json');
  const temporary = await open(`${file}.tmp`, 'w', 0o600);
  try {
    await temporary.writeFile(`${JSON.stringify(head)}\n`);
    await temporary.datasync();
  } finally {
    await temporary.close();
  }
  await rename(`${file}.tmp`, file);
}

function note(outcome: string): AuditEvent {
  const time = new Date().toISOString();
  return {
    time,
    caller: '',
    method: 'audit',
    target: null,
    outcome,
    durationMs: 0,
    requestBytes: 0,
    responseBytes: 0,
    traceId: '',
  };
}

async function readSegment(folder: string, name: string | undefined): Promise<Buffer | undefined> {
  return name === undefined ? undefined : readFile(join(folder, name));
}

/** Where a chain goes on whose last segment has this text. */
function endOf(text: string): Head {
  const lines = text.trimEnd().split('\n');
  const sequence = parseRecord(lines.at(-1) ?? '')?.sequence ?? 0;
  return sequence === 0
    ? { sequence, hash: genesis }
    : { sequence, hash: hashOf(lastGroup(lines).join('\n')) };
}
