/** What was answered: rankings, comparisons, recommendations and reports. Of each token the newest are kept. */
import { randomUUID } from 'node:crypto';

import type { Database } from '#runtime/database.ts';

import { maxComparisons, maxReports, maxRuns } from '../limits.ts';
import { newestOf } from './newest.ts';

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

export interface NewReport {
  readonly owner: string;
  readonly format: string;
  readonly body: string;
  readonly atMs: number;
}

/** All of it is to be called in a transaction. @param requireWithin throws when a token keeps more than it may. */
export function openAnswers(database: Database, requireWithin: (owner: string) => void) {
  const addRun = database.prepare('INSERT INTO rating_run VALUES (NULL, ?, ?, ?, ?, ?, ?)');
  const addRating = database.prepare('INSERT INTO rating VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
  const addComparison = database.prepare('INSERT INTO comparison VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)');
  const looks = database
    .prepare<[string, string, string], number>(
      'SELECT count(DISTINCT snapshot) FROM comparison WHERE a = ? AND b = ? AND params = ?',
    )
    .pluck();
  const addRecommendation = database.prepare(
    'INSERT INTO recommendation VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const addReport = database.prepare('INSERT INTO report VALUES (NULL, ?, ?, ?, ?, ?)');
  const ofEach = (table: string, most: number) => newestOf(database, { table, column: 'owner', most });
  const runs = ofEach('rating_run', maxRuns);
  const comparisons = ofEach('comparison', maxComparisons);
  const reports = ofEach('report', maxReports);

  return {
    /** @returns the number of the run. */
    keepRun({ owner, method, params, seed, snapshot, atMs, ratings }: NewRun): number {
      const run = Number(addRun.run(owner, method, params, seed, snapshot, atMs).lastInsertRowid);
      for (const { subject, rating, lower, upper, rank, worstRank, n } of ratings)
        addRating.run(run, subject, rating, lower, upper, rank, worstRank, n);
      runs.added(owner);
      return run;
    },

    /** @returns in how many states of the data this comparison was looked at. */
    keepComparison(row: NewComparison): number {
      const [owner, a, b, params] = row;
      addComparison.run(...row);
      comparisons.added(owner);
      return looks.get(a, b, params) ?? 0;
    },

    keepRecommendation(row: NewRecommendation): number {
      const { owner, taskType, chosen, best, loss, propensity, reason, params, seed, snapshot, atMs } = row;
      const known = [best, loss, propensity, reason, params, seed, snapshot, atMs];
      const { lastInsertRowid } = addRecommendation.run(owner, taskType, chosen, ...known);
      requireWithin(owner);
      return Number(lastInsertRowid);
    },

    /** @returns by what it is read. */
    keepReport({ owner, format, body, atMs }: NewReport): string {
      const uid = randomUUID();
      addReport.run(uid, owner, format, body, atMs);
      reports.added(owner);
      requireWithin(owner);
      return uid;
    },

    undone(): void {
      for (const kept of [runs, comparisons, reports]) kept.forget();
    },
  };
}
