/** Sums over what is independent: a cluster of items, an item that was judged more than once, or else a single decision or battle. */
import type { Database } from '#runtime/database.ts';
import type { ClusterSums } from '#statistics/clustered.ts';

import { hasType, isJudged, isOfKind, isSeen, ofSources, parametersOf, type Which } from './which.ts';

/** Of one subject, or of one kind of task. */
export type By<Name extends string> = ClusterSums & Readonly<Record<Name, number>>;

/** Of battles of one subject: the sums are those of a win as 1, a loss as −1, and a tie as 0. */
export interface Scores extends ClusterSums {
  readonly wins: number;
  readonly losses: number;
}

const unit =
  "CASE WHEN cluster IS NOT NULL THEN 'c' || cluster WHEN item IS NOT NULL THEN 'i' || item ELSE id END";
const unitOfBattle = "CASE WHEN item IS NOT NULL THEN 'i' || item ELSE id END";

/** @param by a column for which there are sums of their own; none where all are one. */
function sumsOf(
  by: string | undefined,
  value: string,
  from: string,
  { unitIs = unit, also = '' } = {},
): string {
  const group = by === undefined ? '' : `${by}, `;
  const counted = also
    .split(' ')
    .filter(Boolean)
    .map((name) => `, sum(${name}) AS ${name}`)
    .join('');
  return `SELECT ${group}count(*) AS units, sum(m) AS n, sum(s) AS sum, sum(s * s) AS squares, sum(s * m) AS cross, sum(m * m) AS sizes${counted}
    FROM (SELECT ${group}sum(${value}) AS s, count(*) AS m${counted} FROM ${from} GROUP BY ${group}${unitIs})
    ${by === undefined ? '' : `GROUP BY ${by}`}`;
}

const of = (which: Which, subject: number) => ({ ...parametersOf(which), subject });

export function clustersIn(database: Database) {
  const prepared = <Row>(sql: string) => database.prepare<[object], Row>(sql);
  const own = `decision WHERE subject = @subject AND ${isJudged}`;
  const outcomes = prepared<ClusterSums>(sumsOf(undefined, 'outcome', own));
  const outcomesByType = prepared<By<'task_type'>>(sumsOf('task_type', 'outcome', own));
  const othersByType = prepared<By<'task_type'>>(
    sumsOf('task_type', 'outcome', `decision WHERE subject <> @subject AND ${isOfKind} AND ${isJudged}`),
  );
  const gap = prepared<ClusterSums>(
    sumsOf(undefined, '(confidence - outcome)', `${own} AND confidence IS NOT NULL`),
  );
  const ofKind = `${isOfKind} AND ${hasType}`;
  const qualities = prepared<By<'subject'>>(
    sumsOf('subject', 'outcome', `decision WHERE ${ofKind} AND ${isJudged}`),
  );
  const expenses = (column: string) =>
    prepared<By<'subject'>>(sumsOf('subject', column, `decision WHERE ${ofKind} AND ${column} IS NOT NULL`));
  const [costs, latencies] = [expenses('cost_usd'), expenses('latency_ms')];
  const fought = `(SELECT id, item, task_type, score, score > 0 AS wins, score < 0 AS losses FROM (SELECT id, item, task_type, CASE WHEN a = @subject THEN 2 * outcome - 1 ELSE 1 - 2 * outcome END AS score
    FROM battle WHERE (a = @subject OR b = @subject) AND ${isSeen} AND ${ofSources}))`;
  const scored = { unitIs: unitOfBattle, also: 'wins losses' };
  const scores = prepared<Scores>(sumsOf(undefined, 'score', fought, scored));
  const scoresByType = prepared<Scores & By<'task_type'>>(sumsOf('task_type', 'score', fought, scored));
  const isBetween = `${isSeen} AND ${ofSources} AND ${hasType} AND a IN (SELECT value FROM json_each(@among)) AND b IN (SELECT value FROM json_each(@among))`;
  const shares = prepared<By<'subject'>>(
    sumsOf(
      'subject',
      'share',
      `(SELECT id, item, a AS subject, outcome AS share FROM battle WHERE ${isBetween} UNION ALL SELECT id, item, b, 1 - outcome FROM battle WHERE ${isBetween})`,
      { unitIs: unitOfBattle },
    ),
  );

  return {
    /** Outcomes of a subject. */
    outcomes: (which: Which, subject: number) => outcomes.get(of(which, subject)),
    outcomesByType: (which: Which, subject: number) => outcomesByType.all(of(which, subject)),
    /** Those of the others of its kind together. */
    othersByType: (which: Which, subject: number) => othersByType.all(of(which, subject)),
    /** Of confidence less outcome. */
    confidenceGap: (which: Which, subject: number) => gap.get(of(which, subject)),
    /** Outcomes, costs and latencies by subject. */
    qualities: (which: Which) => qualities.all(parametersOf(which)),
    costs: (which: Which) => costs.all(parametersOf(which)),
    latencies: (which: Which) => latencies.all(parametersOf(which)),
    /** Battles of a subject. */
    scores: (which: Which, subject: number) => scores.get(of(which, subject)),
    scoresByType: (which: Which, subject: number) => scoresByType.all(of(which, subject)),
    /** Shares of battles won, ties half, of battles among some. */
    shares: (which: Which, among: readonly number[]) =>
      shares.all({ ...parametersOf(which), among: JSON.stringify(among) }),
  };
}
