/** Looks whether what was sealed is as it was. */
import type { Database } from '#runtime/database.ts';

import { seqBits } from '../limits.ts';
import {
  chainHash,
  chainStart,
  firstSeal,
  sealHash,
  type OpaqueRow,
  type SealRow,
  type StepRow,
} from './seals.ts';

export interface Fault {
  readonly owner: string;
  readonly chain_id: string;
  readonly finding: string;
}

export interface Verified {
  readonly is_whole: boolean;
  readonly chains: number;
  readonly steps: number;
  /** Stored, and not sealed yet: seconds old, unless steps come faster than they are sealed. */
  readonly steps_not_sealed: number;
  readonly seals: number;
  /** To be noted elsewhere: whoever makes all seals anew gets another. */
  readonly head: string;
  readonly faults: readonly Fault[];
  readonly more_faults: number;
}

interface Chain {
  readonly id: number;
  readonly last_seq: number;
  readonly n_steps: number;
  readonly tended_seq: number;
  readonly hash: Buffer | null;
}

const mostFaults = 100;
const rowsAtOnce = 500;

export interface Asked {
  readonly owner?: string | undefined;
  readonly uid?: string | undefined;
  /** Up to this seal the list is looked at before; its hash, noted elsewhere. */
  readonly head?: string | undefined;
}

/** In steps, between which others are served: each is one transaction. */
export function* verified(database: Database, { owner, uid, head: noted }: Asked): Generator<void, Verified> {
  const read = <Value>(work: () => Value): Value => database.transaction(work)();
  const sealsAfter = database.prepare<[number, number], SealRow>(
    'SELECT * FROM seal WHERE n > ? ORDER BY n LIMIT ?',
  );
  const sealsOf = database.prepare<[string, Buffer], SealRow>(
    'SELECT * FROM seal WHERE owner = ? AND uid = ? ORDER BY n',
  );
  const chainOf = database.prepare<[string, Buffer], Chain>(
    'SELECT id, last_seq, n_steps, tended_seq, hash FROM chain WHERE owner = ? AND uid = ?',
  );
  const stepsAfter = database.prepare<[number, number, number], StepRow>(
    'SELECT * FROM step WHERE id > ? AND id < ? ORDER BY id LIMIT ?',
  );
  const opaqueBetween = database.prepare<[number, number], OpaqueRow>(
    'SELECT step_id, kind, is_text, payload FROM step_opaque WHERE step_id BETWEEN ? AND ? ORDER BY step_id, idx',
  );
  const chainsAfter = database.prepare<
    [number, number],
    { readonly id: number; readonly owner: string; readonly uid: Buffer }
  >('SELECT id, owner, uid FROM chain WHERE id > ? ORDER BY id LIMIT ?');
  const faults: Fault[] = [];
  let [moreFaults, chains, steps, notSealed, seals] = [0, 0, 0, 0, 0];
  const find = (ofOwner: string, ofUid: Buffer, finding: string) => {
    if (faults.length < mostFaults) faults.push({ owner: ofOwner, chain_id: ofUid.toString('hex'), finding });
    else moreFaults += 1;
  };

  // The list of seals.
  let before: { n: number; hash: Buffer } = { n: 0, hash: firstSeal };
  let isNotedSeen = noted === undefined;
  const removed = new Map<string, SealRow>();
  for (;;) {
    const rows = read(() => sealsAfter.all(before.n, rowsAtOnce));
    for (const row of rows) {
      const isNext = row.n === before.n + 1 && sealHash(before.hash, row).equals(row.hash);
      if (!isNext) find(row.owner, row.uid, `seal ${row.n} does not follow from the one before`);
      if (row.hash.toString('hex') === noted) isNotedSeen = true;
      before = row;
      const key = `${row.uid.toString('hex')} ${row.owner}`;
      if (row.kind === 'deleted' || row.kind === 'expired') removed.delete(key);
      else removed.set(key, row);
    }
    seals += rows.length;
    if (rows.length < rowsAtOnce) break;
    yield;
  }
  const head = before.hash.toString('hex');
  if (!isNotedSeen)
    find('', Buffer.alloc(0), 'the noted head is not among the seals: they were made anew, or cut');

  // Sealed chains that are not there.
  for (const row of removed.values()) {
    if (owner !== undefined && row.owner !== owner) continue;
    const isGone = read(() => {
      const last = sealsOf.all(row.owner, row.uid).at(-1);
      return !chainOf.get(row.owner, row.uid) && last?.kind !== 'deleted' && last?.kind !== 'expired';
    });
    if (isGone) find(row.owner, row.uid, 'the chain was sealed, and is gone');
    yield;
  }
  removed.clear();

  function* chain(ofOwner: string, ofUid: Buffer): Generator<void, void> {
    const [row, own] = read(() => [chainOf.get(ofOwner, ofUid), sealsOf.all(ofOwner, ofUid)] as const);
    if (!row) return;
    chains += 1;
    notSealed += row.last_seq - row.tended_seq;
    // What was redacted was hashed anew; what a chain of this name had before it was deleted is not this one.
    const from = own.findLastIndex(({ kind }) => kind !== 'sealed');
    const due = new Map(
      own
        .slice(Math.max(from, 0))
        .filter(
          ({ kind, through_seq: seq }) => (kind === 'sealed' || kind === 'redacted') && seq <= row.tended_seq,
        )
        .map((seal) => [seal.through_seq, seal.chain_hash]),
    );
    if (row.hash) {
      // Sealed in the transaction that hashed the last step: nothing follows it in the list that would show that it is gone.
      if (row.tended_seq === row.last_seq && row.last_seq > 0 && !due.has(row.last_seq))
        find(ofOwner, ofUid, `the seal of step ${row.last_seq} is gone`);
      due.set(row.tended_seq, row.hash);
    }
    let hash = chainStart(ofOwner, ofUid);
    let after = row.id * seqBits;
    let [count, good] = [0, 0];
    let isBroken = false;
    for (;;) {
      const rows = read(() => {
        const some = stepsAfter.all(after, row.id * seqBits + row.last_seq + 1, rowsAtOnce);
        const parts = Map.groupBy(
          some.length === 0 ? [] : opaqueBetween.all(some[0]?.id ?? 0, some.at(-1)?.id ?? 0),
          (one) => one.step_id,
        );
        return some.map((step) => ({ step, opaque: parts.get(step.id) ?? [] }));
      });
      for (const { step, opaque } of rows) {
        const seq = step.id % seqBits;
        count += 1;
        after = step.id;
        if (seq > row.tended_seq || isBroken) continue;
        hash = chainHash(hash, step, opaque);
        const sealed = due.get(seq);
        if (!sealed) continue;
        due.delete(seq);
        if (sealed.equals(hash)) good = seq;
        else {
          find(ofOwner, ofUid, `steps ${good + 1} to ${seq} are not as they were sealed`);
          isBroken = true;
        }
      }
      if (rows.length < rowsAtOnce) break;
      yield;
    }
    steps += count;
    if (!isBroken && [...due.keys()].some((seq) => seq > 0))
      find(
        ofOwner,
        ofUid,
        `step ${Math.min(...[...due.keys()].filter((seq) => seq > 0))} was sealed, and is gone`,
      );
    if (count !== row.n_steps)
      find(ofOwner, ofUid, `there are ${count} steps, and ${row.n_steps} were stored`);
  }

  if (owner !== undefined && uid !== undefined) {
    yield* chain(owner, Buffer.from(uid, 'hex'));
  } else {
    for (let after = 0; ;) {
      const rows = read(() => chainsAfter.all(after, rowsAtOnce));
      for (const row of rows) {
        if (owner === undefined || row.owner === owner) yield* chain(row.owner, row.uid);
        after = row.id;
        yield;
      }
      if (rows.length < rowsAtOnce) break;
    }
  }
  return {
    is_whole: faults.length === 0,
    chains,
    steps,
    steps_not_sealed: notSealed,
    seals,
    head,
    faults,
    more_faults: moreFaults,
  };
}
