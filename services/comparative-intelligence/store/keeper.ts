/** What is written: battles with their sums, the copy of decisions, and what was answered. Each call is one transaction. */
import { createHash, randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';

import { openDatabase, transactionsOf } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import { openQuotas, type Quota } from '#runtime/quotas.ts';

import { battleOf, Fault, type Defaults, type NewBattle } from '../battle.ts';
import { readCsv, readJsonl, Unreadable, type Table } from '../exchange/csv.ts';
import {
  maxBattles,
  maxComparisons,
  maxJudges,
  maxListed,
  maxNamedRefusals,
  maxReports,
  maxRuns,
  maxSubjects,
  maxTaskTypes,
} from '../limits.ts';
import { kindOf, type Kind } from '../subject.ts';

export interface Keeping {
  readonly quota: Quota;
  /** Decisions that the copy holds at most; the oldest go. */
  readonly decisions: number;
}

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
  /** The last battle that is stored. */
  readonly last: number;
}

/** A decision as model-profile tells it. */
export interface CopiedDecision {
  readonly uid: string;
  readonly subject: string;
  readonly taskType: string;
  readonly item: string | null;
  readonly cluster: string | null;
  readonly outcome: number | null;
  /** Its place in `sources`. */
  readonly source: number | null;
  readonly confidence: number | null;
  readonly costUsd: number | null;
  readonly latencyMs: number | null;
  readonly propensity: number | null;
  readonly atMs: number;
}

/** One change of model-profile, and what it is known by: after a restore there, its number may belong to another. */
export interface Mark {
  readonly change: number;
  readonly identity: number;
}

export interface CopyPage {
  readonly kind: Kind;
  readonly decisions: readonly CopiedDecision[];
  /** Of the last of them. */
  readonly newest?: Mark | undefined;
  /** The last change that is in it: the next page begins there. */
  readonly change: number;
  /** Whether nothing is left to be copied; then the copy is in step as of `atMs`. */
  readonly isComplete: boolean;
  readonly atMs: number;
}

export interface NewRun {
  readonly owner: string;
  readonly method: string;
  readonly params: string;
  readonly seed: number;
  readonly snapshot: string;
  readonly atMs: number;
  readonly ratings: readonly {
    readonly subject: string;
    readonly rating: number;
    readonly lower: number;
    readonly upper: number;
    readonly rank: number;
    readonly worstRank: number;
    readonly n: number;
  }[];
}

export type NewComparison = readonly [
  owner: string,
  a: string,
  b: string,
  params: string,
  snapshot: string,
  figure: string,
  atMs: number,
];

export interface NewRecommendation {
  readonly owner: string;
  readonly taskType: string;
  readonly chosen: string;
  readonly best: number;
  readonly loss: number;
  readonly propensity: number;
  readonly reason: string;
  readonly params: string;
  readonly seed: number;
  readonly snapshot: string;
  readonly atMs: number;
}

const quotaRemedy = 'Reports make room when newer ones replace them; battles stay.';

/** Creates and migrates the database where needed. @throws as `openDatabase`. */
export function openKeeper(file: string, { quota, decisions: mostDecisions }: Keeping) {
  const database = openDatabase(file, fileURLToPath(new URL('migrations', import.meta.url)));
  const { write, probe } = transactionsOf(database);
  const quotas = openQuotas(database, quota, quotaRemedy);

  /** Numbers of names, remembered; a transaction that is undone takes back what it remembered. */
  function namesOf(table: string, columns: readonly string[], most: number, what: string) {
    const known = new Map<string, number>();
    const counts = new Map<string, number>();
    const count = database.prepare<[string], number>(`SELECT count(*) FROM ${table} WHERE owner = ?`).pluck();
    const find = database
      .prepare<(string | number)[], number>(
        `SELECT id FROM ${table} WHERE ${columns.map((column) => `${column} = ?`).join(' AND ')}`,
      )
      .pluck();
    const add = database.prepare<(string | number)[]>(
      `INSERT INTO ${table} (${columns.join(', ')}, owner) VALUES (${columns.map(() => '?').join(', ')}, ?)`,
    );
    return {
      clear(): void {
        known.clear();
        counts.clear();
      },
      /** @param owner whose battles name it; nobody for decisions, whose names model-profile bounds. @throws Fault when the owner has named too many. */
      idOf(owner: string, ...values: (string | number)[]): number {
        const key = values.join('\0');
        let id = known.get(key) ?? find.get(...values);
        if (id === undefined) {
          const named = counts.get(owner) ?? count.get(owner) ?? 0;
          if (owner !== '' && named >= most)
            throw new Fault(`The token "${owner}" has named ${most} ${what} already.`);
          id = Number(add.run(...values, owner).lastInsertRowid);
          counts.set(owner, named + 1);
        }
        known.set(key, id);
        return id;
      },
    };
  }
  const subjects = namesOf('subject', ['key', 'kind'], maxSubjects, 'models and clients');
  const taskTypes = namesOf('task_type', ['name'], maxTaskTypes, 'task types');
  const judges = namesOf('judge', ['name', 'source'], maxJudges, 'judges');

  function writing<Value>(work: () => Value): Value {
    try {
      return write(work);
    } catch (error) {
      for (const names of [subjects, taskTypes, judges]) names.clear();
      throw error;
    }
  }

  const batchBy = database.prepare<[string, string], { sha256: Buffer; battles: number }>(
    'SELECT sha256, battles FROM batch WHERE owner = ? AND key = ?',
  );
  const addBatch = database.prepare('INSERT INTO batch VALUES (NULL, ?, ?, ?, ?, ?, ?)');
  const addBattle = database.prepare('INSERT INTO battle VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)');
  const addPair = database.prepare(
    'INSERT INTO pair_agg VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (judge, task_type, a, b) DO UPDATE SET wa = wa + excluded.wa, wb = wb + excluded.wb, t = t + excluded.t, bb = bb + excluded.bb',
  );
  const nextBatch = database.prepare<[], number>('SELECT coalesce(max(id), 0) + 1 FROM batch').pluck();
  const lastBattle = database.prepare<[], number>('SELECT coalesce(max(id), 0) FROM battle').pluck();

  function record(recording: Recording): Recorded {
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
      return {
        batch,
        accepted: 0,
        duplicates: before.battles,
        rejected: 0,
        refused: [],
        ignored: [],
        last: lastBattle.get() ?? 0,
      };
    }
    const { rows, ignored } = tableOf(recording);
    const most = recording.battles ? maxListed : maxBattles;
    if (rows.length === 0) throw new ToolError('invalid_input', 'There is no battle in it.');
    if (rows.length > most) {
      throw new ToolError('too_large', `There are more than ${most} battles in it.`, {
        hint: 'Nothing was stored: send fewer at once.',
      });
    }
    return writing(() => {
      const number = nextBatch.get() ?? 1;
      const refused: { index: number; message: string }[] = [];
      const pairs = new Map<string, number[]>();
      let [accepted, rejected, bytes] = [0, 0, 0];
      for (const [index, row] of rows.entries()) {
        try {
          if (row instanceof Unreadable) throw new Fault(row.message);
          bytes += keep(owner, battleOf(row, defaults, recording.csv === undefined), number, pairs);
          accepted += 1;
        } catch (error) {
          if (!(error instanceof Fault)) throw error;
          rejected += 1;
          if (refused.length < maxNamedRefusals) refused.push({ index, message: error.message });
        }
      }
      if (accepted > 0) {
        for (const sums of pairs.values()) addPair.run(...sums);
        addBatch.run(owner, batch, sha256, accepted, bytes, defaults.nowMs);
        quotas.requireWithin(owner);
      }
      return { batch, accepted, duplicates: 0, rejected, refused, ignored, last: lastBattle.get() ?? 0 };
    });
  }

  /** Stores one, and adds it to the sums of its pair. @returns its size in bytes. */
  function keep(owner: string, battle: NewBattle, batch: number, pairs: Map<string, number[]>): number {
    const a = subjects.idOf(owner, battle.a, kindOf(battle.a));
    const b = subjects.idOf(owner, battle.b, kindOf(battle.b));
    const taskType = taskTypes.idOf(owner, battle.taskType);
    const judge = judges.idOf(owner, battle.judge, battle.source);
    const { outcome, isBothBad, item, isSwapped, lengthA, lengthB, atMs } = battle;
    const isSwappedAs = isSwapped === null ? null : Number(isSwapped);
    addBattle.run(
      batch,
      item,
      taskType,
      a,
      b,
      outcome,
      Number(isBothBad),
      judge,
      isSwappedAs,
      lengthA,
      lengthB,
      atMs,
    );
    const [low, high] = a < b ? [a, b] : [b, a];
    const key = `${judge} ${taskType} ${low} ${high}`;
    let sums = pairs.get(key);
    if (!sums) pairs.set(key, (sums = [judge, taskType, low, high, 0, 0, 0, 0]));
    const at = isBothBad ? 7 : outcome === 0.5 ? 6 : (outcome === 1) === a < b ? 4 : 5;
    sums[at] = (sums[at] ?? 0) + 1;
    return 80 + (item?.length ?? 0);
  }

  const copyDecision = database.prepare(
    'INSERT INTO decision VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uid) DO UPDATE SET outcome = excluded.outcome, source = excluded.source, confidence = excluded.confidence, cost_usd = excluded.cost_usd, latency_ms = excluded.latency_ms, propensity = excluded.propensity',
  );
  const setSync = database.prepare(
    'INSERT INTO sync VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
  );
  const syncOf = database.prepare<[string], number>('SELECT value FROM sync WHERE name = ?').pluck();
  const dropOldest = database.prepare('DELETE FROM decision WHERE id <= (SELECT max(id) FROM decision) - ?');

  function copy({ kind, decisions, newest, change, isComplete, atMs }: CopyPage): void {
    writing(() => {
      for (const decision of decisions) {
        copyDecision.run(
          decision.uid,
          subjects.idOf('', decision.subject, kindOf(decision.subject)),
          taskTypes.idOf('', decision.taskType),
          decision.item,
          decision.cluster,
          decision.outcome,
          decision.source,
          decision.confidence,
          decision.costUsd,
          decision.latencyMs,
          decision.propensity,
          decision.atMs,
        );
      }
      if (decisions.length > 0) dropOldest.run(mostDecisions);
      setSync.run(`change:${kind}`, change);
      if (newest && newest.change > (syncOf.get('mark:change') ?? 0)) {
        setSync.run('mark:change', newest.change);
        setSync.run('mark:identity', newest.identity);
      }
      if (isComplete) setSync.run(`in_step_ms:${kind}`, atMs);
    });
  }

  const startAnew = [database.prepare('DELETE FROM decision'), database.prepare('DELETE FROM sync')];

  const addRun = database.prepare('INSERT INTO rating_run VALUES (NULL, ?, ?, ?, ?, ?, ?)');
  const addRating = database.prepare('INSERT INTO rating VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
  const dropRuns = database.prepare('DELETE FROM rating_run WHERE id <= ?');
  const addComparison = database.prepare('INSERT INTO comparison VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)');
  const looks = database
    .prepare<[string, string, string], number>(
      'SELECT count(DISTINCT snapshot) FROM comparison WHERE a = ? AND b = ? AND params = ?',
    )
    .pluck();
  const dropComparisons = database.prepare('DELETE FROM comparison WHERE id <= ?');
  const addRecommendation = database.prepare(
    'INSERT INTO recommendation VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const addReport = database.prepare('INSERT INTO report VALUES (NULL, ?, ?, ?, ?, ?)');
  const dropReports = database.prepare(
    'DELETE FROM report WHERE id IN (SELECT id FROM report WHERE owner = ? ORDER BY id DESC LIMIT -1 OFFSET ?)',
  );

  return {
    record,
    copy,
    /** Forgets the copy of decisions, so that it is made from the start. */
    forgetCopy(): void {
      writing(() => {
        for (const statement of startAnew) statement.run();
      });
    },

    /** @returns the number of the run. */
    keepRun: ({ owner, method, params, seed, snapshot, atMs, ratings }: NewRun): number =>
      write(() => {
        const run = Number(addRun.run(owner, method, params, seed, snapshot, atMs).lastInsertRowid);
        for (const { subject, rating, lower, upper, rank, worstRank, n } of ratings) {
          addRating.run(run, subject, rating, lower, upper, rank, worstRank, n);
        }
        dropRuns.run(run - maxRuns);
        return run;
      }),

    /** @returns in how many states of the data this comparison was looked at. */
    keepComparison: (row: NewComparison): number =>
      write(() => {
        const { lastInsertRowid } = addComparison.run(...row);
        dropComparisons.run(Number(lastInsertRowid) - maxComparisons);
        const [, a, b, params] = row;
        return looks.get(a, b, params) ?? 0;
      }),

    keepRecommendation: (row: NewRecommendation): number =>
      write(() => {
        const { owner, taskType, chosen, best, loss, propensity, reason, params, seed, snapshot, atMs } = row;
        const { lastInsertRowid } = addRecommendation.run(
          owner,
          taskType,
          chosen,
          best,
          loss,
          propensity,
          reason,
          params,
          seed,
          snapshot,
          atMs,
        );
        quotas.requireWithin(owner);
        return Number(lastInsertRowid);
      }),

    keepReport: ({
      owner,
      format,
      body,
      atMs,
    }: {
      owner: string;
      format: string;
      body: string;
      atMs: number;
    }): string =>
      write(() => {
        const uid = randomUUID();
        addReport.run(uid, owner, format, body, atMs);
        dropReports.run(owner, maxReports);
        quotas.requireWithin(owner);
        return uid;
      }),

    kept: () => quotas.kept(),
    probe,
    [Symbol.dispose](): void {
      database.close();
    },
  };
}

function tableOf({ battles, csv, jsonl }: Recording): Table {
  if (csv !== undefined) return readCsv(csv);
  if (jsonl !== undefined) return readJsonl(jsonl);
  return { rows: battles ?? [], ignored: [] };
}

/** Of all that decides what is stored, but for the clock. */
function digestOf({ battles, csv, jsonl, defaults: { taskType, judge, source } }: Recording): Buffer {
  const hash = createHash('sha256').update(JSON.stringify([taskType, judge, source]));
  hash.update(csv ?? jsonl ?? JSON.stringify(battles ?? []));
  return hash.digest();
}
