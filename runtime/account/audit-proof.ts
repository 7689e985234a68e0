/** Does a trail hold? In itself, and against the heads that others have seen. */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, existsSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import {
  genesis,
  headName,
  noteMethod,
  notes,
  parseRecord,
  readHead,
  segmentNumber,
  type ChainRecord,
  type Head,
} from './audit-chain.ts';

/** A head as somebody else saw it. */
export interface Anchor extends Head {
  readonly seenAt: string;
  /** In words: `health`, or an archive. */
  readonly seenBy: string;
}

export interface AuditVerdict {
  readonly records: number;
  /** What is wrong, with the place; empty when the chain is whole. */
  readonly faults: readonly string[];
  /** What the trail itself tells of its past: restores, what a crash left, what went by its age. */
  readonly notes: readonly string[];
}

/** More says nothing new. */
const mostFaults = 50;
const mostNotes = 20;
const longestLineBytes = 64 * 1024;
/** Far above what is ever written: a planted file of a terabyte is not read to its end. */
const longestSegmentBytes = 1024 ** 3;
/** How long the head of a process at work may be behind its records. */
const headWithinMs = 2_000;
const lookEveryMs = 20;

/**
 * Reads the whole chain in `folder` and names every place where it does not hold. The process may go on appending meanwhile.
 * `isEnd`: what came before the first record there is elsewhere.
 */
export async function verifyAudit(
  folder: string,
  anchors: readonly Anchor[] = [],
  { headWithin = headWithinMs, isEnd = false } = {},
): Promise<AuditVerdict> {
  const head = readHead(folder);
  const walk = new Walk(head, anchors);
  const names = walk.takeNames(folder);
  for (const name of names) {
    if (walk.isOver) break;
    await walk.takeSegment(folder, name, name === names.at(-1));
  }
  if (!walk.isOver) walk.end(isEnd);
  if (typeof head === 'object') {
    const behind = await headBehind(folder, walk.sequence, headWithin);
    if (behind !== undefined) {
      walk.fault(
        `records ${behind + 1} to ${walk.sequence} are beyond head.json: the process was killed as it wrote them, or somebody put them in`,
      );
    }
  }
  return { records: walk.records, faults: walk.faults, notes: walk.notes };
}

/** @returns where the head stays while there are records up to `sequence`. A process writes it right after them. */
async function headBehind(folder: string, sequence: number, withinMs: number): Promise<number | undefined> {
  for (let waitedMs = 0; ; waitedMs += lookEveryMs) {
    const head = readHead(folder);
    if (typeof head !== 'object' || head.sequence >= sequence) return undefined;
    if (waitedMs >= withinMs) return head.sequence;
    await sleep(lookEveryMs);
  }
}

/** An end of a group that has to be there; of the trail's own head, nobody else saw it. */
type Due = Pick<Head, 'sequence' | 'hash'> & Partial<Anchor>;

class Walk {
  readonly faults: string[] = [];
  readonly notes: string[] = [];
  readonly #due: Map<number, Due[]>;
  records = 0;
  /** Of the last record; of the one before the first that is there, at the start. */
  sequence = 0;
  #first: number | undefined;
  /** What the first record there is follows, where others have gone. */
  #firstPrevious = genesis;
  #expired: { readonly sequence: number; readonly hash: string | undefined } | undefined;
  #group: Hash | undefined;
  #groupSize = 0;
  #place = '';

  constructor(head: Head | 'damaged' | undefined, anchors: readonly Anchor[]) {
    const due: readonly Due[] = typeof head === 'object' ? [head, ...anchors] : anchors;
    this.#due = Map.groupBy(
      due.filter(({ sequence }) => sequence > 0),
      ({ sequence }) => sequence,
    );
    if (head === 'damaged') this.fault('head.json is damaged, so a cut-off end cannot be ruled out');
    // It is there from the start, before the first record.
    if (head === undefined) this.fault('head.json is missing, so a cut-off end cannot be ruled out');
  }

  get isOver(): boolean {
    return this.faults.length > mostFaults;
  }

  fault(words: string): void {
    if (this.faults.length < mostFaults) this.faults.push(words);
    else if (this.faults.length === mostFaults)
      this.faults.push('there is more: this is where we stopped looking');
  }

  /** The segments in their order, after a look at everything that lies there. */
  takeNames(folder: string): string[] {
    if (!existsSync(folder)) return [];
    const names: string[] = [];
    for (const name of readdirSync(folder).toSorted()) {
      const state = lstatSync(join(folder, name), { throwIfNoEntry: false });
      const number = segmentNumber(name);
      if (!state || name === `${headName}.tmp`) continue;
      if (number === undefined && name !== headName) this.fault(`${name} does not belong to a trail`);
      else if (!state.isFile()) this.fault(`${name} is no plain file`);
      else if (state.nlink > 1) this.fault(`${name} is linked: it has another name elsewhere`);
      if (number === undefined) continue;
      const before = segmentNumber(names.at(-1) ?? '') ?? number - 1;
      if (number !== before + 1) this.fault(`${name} comes where number ${before + 1} is due`);
      if (state.isFile() && state.size > longestSegmentBytes)
        this.fault(`${name} is longer than any segment`);
      else if (state.isFile()) names.push(name);
    }
    return names;
  }

  async takeSegment(folder: string, name: string, isLast: boolean): Promise<void> {
    let lineNumber = 0;
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of createReadStream(join(folder, name), { highWaterMark: 1024 * 1024 })) {
      const bytes = Buffer.concat([rest, chunk as Buffer]);
      let from = 0;
      for (let to = bytes.indexOf(0x0a); to >= 0; to = bytes.indexOf(0x0a, from)) {
        lineNumber += 1;
        this.#take(bytes.subarray(from, to), `${name}:${lineNumber}`);
        from = to + 1;
        if (this.isOver) return;
      }
      rest = bytes.subarray(from);
      if (rest.length > longestLineBytes) {
        this.fault(`${name}:${lineNumber + 1} is longer than any record`);
        return;
      }
    }
    // The process may be writing the last line right now; anywhere else a line without an end was cut off.
    if (rest.length > 0 && !isLast) this.fault(`${name} has a line without an end`);
  }

  #take(line: Buffer, place: string): void {
    const record = parseRecord(line.toString('utf8'));
    this.records += 1;
    if (this.#first === undefined) this.#begin(record, place);
    if (!record) {
      this.fault(`${place} is not a record`);
    } else if (record.sequence !== this.sequence + 1) {
      this.fault(`${place} has number ${record.sequence} where ${this.sequence + 1} is due`);
    }
    if (record?.previous !== undefined) {
      if (record.previous !== this.#closeGroup() && record.sequence === this.sequence + 1) {
        this.fault(`${place} does not follow from ${this.#groupName()} before it, which was changed`);
      }
      this.#group = createHash('sha256');
      this.#groupSize = 0;
    } else if (this.#due.delete(this.sequence)) {
      this.fault(`${place} goes on where what was written together had ended`);
    }
    if (this.#groupSize > 0) this.#group?.update('\n');
    this.#group?.update(line);
    this.#groupSize += 1;
    this.sequence = record?.sequence ?? this.sequence + 1;
    this.#place = place;
    if (record?.method === noteMethod) this.#takeNote(record, place);
  }

  #begin(record: ChainRecord | undefined, place: string): void {
    this.#first = record?.sequence ?? 1;
    this.sequence = this.#first - 1;
    if (record?.previous === undefined) {
      this.fault(`${place} does not say what it follows`);
      this.#group = createHash('sha256');
    }
    if (this.#first > 1) this.#firstPrevious = record?.previous ?? '';
  }

  #groupName(): string {
    return this.#groupSize > 1 ? `one of the ${this.#groupSize} records` : 'the record';
  }

  /** @returns the hash of the group that ends here, after a look at who knows it. */
  #closeGroup(): string {
    // What the first record follows that is there is known where others went by their age: see `end`.
    if (!this.#group) return this.#firstPrevious;
    const hash = this.#group.copy().digest('hex');
    for (const due of this.#due.get(this.sequence) ?? []) {
      const who = due.seenBy === undefined ? 'was written there' : `${due.seenBy} saw there on ${due.seenAt}`;
      if (due.hash !== hash) this.fault(`${this.#place} is not the record that ${who}`);
    }
    this.#due.delete(this.sequence);
    return hash;
  }

  #takeNote({ outcome, target, time }: ChainRecord, place: string): void {
    const on = time === undefined ? '' : ` on ${time}`;
    if (outcome === notes.headMissing) {
      this.fault(`${place} tells that head.json was gone or damaged when the process started`);
    } else if (outcome === notes.expired) {
      const [, sequence = '0', hash] = /^1-(\d+)(?: ([0-9a-f]{64}))?$/.exec(target ?? '') ?? [];
      this.#expired = { sequence: Number(sequence), hash };
    } else if (outcome === notes.restored) {
      this.#note(`restored${on}: up to record ${this.sequence - 1} it is that of ${target ?? 'an archive'}`);
    } else if (outcome === notes.headBehind) {
      this.#note(`${place} tells of a start${on} with records beyond head.json: ${target ?? ''}`);
    } else if (outcome === notes.torn) {
      this.#note(`${place} tells of a record that was torn off, by a crash${on}`);
    }
  }

  #note(words: string): void {
    this.notes.push(words);
    if (this.notes.length > mostNotes) this.notes.shift();
  }

  /** After the last record. */
  end(isEnd: boolean): void {
    this.#closeGroup();
    const first = this.#first ?? 1;
    if (first > 1 && !isEnd) {
      const { sequence = 0, hash } = this.#expired ?? {};
      if (sequence < first - 1) this.fault(`records 1 to ${first - 1} are gone`);
      else this.#note(`records 1 to ${first - 1} went by their age or number`);
      if (sequence === first - 1 && hash !== undefined && hash !== this.#firstPrevious)
        this.fault(`record ${first} does not follow from the ones that went before it`);
    }
    const beyond = [...this.#due].filter(([sequence]) => sequence > this.sequence);
    const [furthest, [due] = []] = beyond.toSorted(([a], [b]) => b - a)[0] ?? [];
    if (furthest === undefined) return;
    const who = due?.seenBy === undefined ? '' : `, as ${due.seenBy} saw on ${due.seenAt}`;
    this.fault(`the chain ends at record ${this.sequence}, but had come to ${furthest}${who}`);
  }
}
