/**
 * Battles with their sums. A batch of many comes in pieces, each of which is a commit, and between which others are served: nobody sees
 * its battles, its sums and its names before the last piece makes it whole. What a crash or a refusal leaves of it is taken away later.
 */
import { createHash, randomUUID } from 'node:crypto';

import type { Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import type { Steps } from '#runtime/turns.ts';

import { battleOf, Fault, type Defaults, type NewBattle } from '../battle.ts';
import { readCsv, readJsonl, Unreadable, type Table } from '../exchange/csv.ts';
import { maxBattles, maxListed, maxNamedRefusals } from '../limits.ts';
import { kindOf } from '../subject.ts';
import type { Names } from './names.ts';

export interface Recording {
  readonly owner: string;
  readonly batch: string | undefined;
  readonly battles?: readonly unknown[] | undefined;
  readonly csv?: string | undefined;
  readonly jsonl?: string | undefined;
  readonly defaults: Defaults;
}

export interface Recorded {
  readonly batch: string;
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  /** The first of those that were refused. */
  readonly refused: readonly { readonly index: number; readonly message: string }[];
  readonly ignored: readonly string[];
  /** How many battles there are now. */
  readonly last: number;
}

/** Rows of a piece: some 30 ms. */
const rowsPerPiece = 1_000;

/** A batch on its way. */
interface Staging {
  readonly owner: string;
  readonly number: number;
  readonly naming: ReturnType<Names['naming']>;
  readonly refused: { index: number; message: string }[];
  /** Rows that were looked at. */
  read: number;
  accepted: number;
  rejected: number;
  bytes: number;
  /** Whether a piece of it is on disk. */
  isBegun: boolean;
}

/** Of one pair, kind of task and judge: judge, task type, a, b, wins of a and of b, ties, both bad. */
type Sums = number[];

/** @param writing one transaction. @param requireWithin throws when a token keeps more than it may. */
export function openBattles(
  database: Database,
  names: Names,
  writing: <Value>(work: () => Value) => Value,
  requireWithin: (owner: string) => void,
) {
  const batchBy = database.prepare<[string, string], { sha256: Buffer; battles: number }>(
    'SELECT sha256, battles FROM batch WHERE owner = ? AND key = ?',
  );
  const addBatch = database.prepare('INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
  const through = database.prepare<[], number>('SELECT coalesce(max(through), 0) FROM batch').pluck();
  const addBattle = database.prepare('INSERT INTO battle VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)');
  const nextBattle = database.prepare<[], number>('SELECT coalesce(max(id), 0) + 1 FROM battle').pluck();
  const addPair = database.prepare(
    'INSERT INTO pair_agg VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (judge, task_type, a, b) DO UPDATE SET wa = wa + excluded.wa, wb = wb + excluded.wb, t = t + excluded.t, bb = bb + excluded.bb',
  );
  const addDue = database.prepare('INSERT INTO pair_due VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)');
  const dueOf = database
    .prepare<[number, number]>(
      'SELECT id, judge, task_type, a, b, wa, wb, t, bb FROM pair_due WHERE batch = ? LIMIT ?',
    )
    .raw();
  const dropDue = database.prepare('DELETE FROM pair_due WHERE id = ?');
  const begin = database.prepare('INSERT INTO unfinished VALUES (?, ?)');
  const finish = database.prepare('DELETE FROM unfinished WHERE batch = ?');
  const unfinished = database.prepare<[], number>('SELECT batch FROM unfinished').pluck();
  const firstOf = database.prepare<[number], number>('SELECT first FROM unfinished WHERE batch = ?').pluck();
  const setFirst = database.prepare('UPDATE unfinished SET first = ? WHERE batch = ?');
  const battlesOf = database
    .prepare<[number, number, number], number>(
      'SELECT id FROM battle WHERE id >= ? AND batch = ? ORDER BY id LIMIT ?',
    )
    .pluck();
  const dropBattle = database.prepare('DELETE FROM battle WHERE id = ?');
  const lastNumber = database
    .prepare<[], number>(
      'SELECT max(coalesce((SELECT max(id) FROM batch), 0), coalesce((SELECT max(batch) FROM unfinished), 0))',
    )
    .pluck();

  let lastGiven = lastNumber.get() ?? 0;
  /** Batches that were left, and those that are whole but for the sums of pairs. */
  const left = unfinished.all();
  const due = database
    .prepare<[], number>(
      'SELECT DISTINCT batch FROM pair_due WHERE batch NOT IN (SELECT batch FROM unfinished)',
    )
    .pluck()
    .all();

  /** Each step is one commit, and has few enough rows not to keep others waiting. What one token sends is asked for one after the other. */
  function* record(recording: Recording): Steps<Recorded> {
    const { owner, defaults } = recording;
    const sha256 = digestOf(recording);
    const batch = recording.batch ?? randomUUID();
    const before = batchBy.get(owner, batch);
    if (before) {
      if (!before.sha256.equals(sha256)) {
        throw new ToolError('conflict', `The batch ${JSON.stringify(batch)} was stored with other battles.`, {
          hint: 'Nothing was changed. Give other battles another batch_id.',
        });
      }
      const none = { accepted: 0, rejected: 0, refused: [], ignored: [] };
      return { ...none, batch, duplicates: before.battles, last: through.get() ?? 0 };
    }
    const { rows, ignored } = tableOf(recording);
    const most = recording.battles ? maxListed : maxBattles;
    const number = (lastGiven += 1);
    const staging: Staging = {
      owner,
      number,
      naming: names.naming(owner),
      refused: [],
      read: 0,
      accepted: 0,
      rejected: 0,
      bytes: 0,
      isBegun: false,
    };
    try {
      for (;;) {
        const piece = nextOf(rows, rowsPerPiece);
        const isLast = piece.length < rowsPerPiece;
        if (staging.read + piece.length === 0)
          throw new ToolError('invalid_input', 'There is no battle in it.');
        if (staging.read + piece.length > most) {
          throw new ToolError('too_large', `There are more than ${most} battles in it.`, {
            hint: 'Nothing was stored: send fewer at once.',
          });
        }
        const last = writing(() => {
          put(staging, piece, recording, isLast);
          return isLast ? made(staging, [batch, sha256, defaults.nowMs]) : 0;
        });
        if (isLast) {
          if (staging.isBegun) due.push(number);
          const { accepted, rejected, refused } = staging;
          return { batch, accepted, duplicates: 0, rejected, refused, ignored: ignored(), last };
        }
        staging.isBegun = true;
        yield;
      }
    } catch (error) {
      if (staging.isBegun) left.push(number);
      throw error;
    } finally {
      staging.naming.release();
    }
  }

  /** Stores what can be stored of a piece, and its sums. */
  function put(
    staging: Staging,
    piece: readonly unknown[],
    { csv, defaults }: Recording,
    isLast: boolean,
  ): void {
    if (!staging.isBegun && !isLast) begin.run(staging.number, nextBattle.get());
    const pairs = new Map<string, Sums>();
    for (const row of piece) {
      const index = staging.read;
      staging.read += 1;
      try {
        if (row instanceof Unreadable) throw new Fault(row.message);
        keep(staging, battleOf(row, defaults, csv === undefined), pairs);
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        staging.rejected += 1;
        if (staging.refused.length < maxNamedRefusals)
          staging.refused.push({ index, message: error.message });
      }
    }
    const isWhole = isLast && !staging.isBegun;
    for (const sums of pairs.values()) {
      if (isWhole) addPair.run(...sums);
      else addDue.run(staging.number, ...sums);
    }
  }

  function keep(staging: Staging, battle: NewBattle, pairs: Map<string, Sums>): void {
    const { number, naming } = staging;
    const a = naming.subject(battle.a, kindOf(battle.a));
    const b = naming.subject(battle.b, kindOf(battle.b));
    const taskType = naming.taskType(battle.taskType);
    const judge = naming.judge(battle.judge, battle.source);
    const { outcome, isBothBad, item, isSwapped, lengthA, lengthB, atMs } = battle;
    const swapped = isSwapped === null ? null : Number(isSwapped);
    const shown = [Number(isBothBad), judge, swapped, lengthA, lengthB, atMs];
    addBattle.run(number, item, taskType, a, b, outcome, ...shown);
    const [low, high] = a < b ? [a, b] : [b, a];
    const key = `${judge} ${taskType} ${low} ${high}`;
    let sums = pairs.get(key);
    if (!sums) pairs.set(key, (sums = [judge, taskType, low, high, 0, 0, 0, 0]));
    const at = isBothBad ? 7 : outcome === 0.5 ? 6 : (outcome === 1) === a < b ? 4 : 5;
    sums[at] = (sums[at] ?? 0) + 1;
    staging.accepted += 1;
    staging.bytes += 80 + (item?.length ?? 0);
  }

  /** Makes a batch seen. @returns how many battles there are with it. */
  function made(
    { owner, number, naming, accepted, bytes, isBegun }: Staging,
    [key, sha256, atMs]: readonly [string, Buffer, number],
  ): number {
    const last = (through.get() ?? 0) + accepted;
    if (isBegun) finish.run(number);
    if (accepted === 0) return last;
    naming.store();
    addBatch.run(number, owner, key, sha256, accepted, bytes, atMs, last);
    requireWithin(owner);
    return last;
  }

  /** Of batches that are whole: their sums are added to those of all. */
  function* addSums(): Steps<void> {
    for (let batch = due[0]; batch !== undefined; batch = due[0]) {
      const rows = dueOf.all(batch, rowsPerPiece) as [number, ...Sums][];
      writing(() => {
        for (const [id, ...sums] of rows) {
          addPair.run(...sums);
          dropDue.run(id);
        }
      });
      if (rows.length < rowsPerPiece) due.shift();
      yield;
    }
  }

  /** Of batches that were left: they go. */
  function* clear(): Steps<void> {
    for (let batch = left[0]; batch !== undefined; batch = left[0]) {
      const number = batch;
      const battles = battlesOf.all(firstOf.get(number) ?? 0, number, rowsPerPiece);
      const sums = dueOf.all(number, rowsPerPiece) as [number, ...Sums][];
      const isLast = battles.length < rowsPerPiece && sums.length < rowsPerPiece;
      writing(() => {
        for (const id of battles) dropBattle.run(id);
        for (const [id] of sums) dropDue.run(id);
        if (isLast) finish.run(number);
        else if (battles.length > 0) setFirst.run(battles.at(-1), number);
      });
      if (isLast) left.shift();
      yield;
    }
  }

  return {
    record,
    /** What is left to be done for batches that came in pieces; nobody waits for it. */
    *tidy(): Steps<void> {
      yield* addSums();
      yield* clear();
    },
    hasToTidy: () => due.length + left.length > 0,
  };
}

function nextOf(rows: Iterator<unknown>, count: number): unknown[] {
  const found: unknown[] = [];
  while (found.length < count) {
    const next = rows.next();
    if (next.done === true) break;
    found.push(next.value);
  }
  return found;
}

function tableOf({ battles, csv, jsonl }: Recording): Table {
  if (csv !== undefined) return readCsv(csv);
  return { rows: jsonl === undefined ? (battles ?? []).values() : readJsonl(jsonl), ignored: () => [] };
}

/** Of all that decides what is stored, but for the clock. */
function digestOf({ battles, csv, jsonl, defaults: { taskType, judge, source } }: Recording): Buffer {
  const hash = createHash('sha256').update(JSON.stringify([taskType, judge, source]));
  hash.update(csv ?? jsonl ?? JSON.stringify(battles ?? []));
  return hash.digest();
}
