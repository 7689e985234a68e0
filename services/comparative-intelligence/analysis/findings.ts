/** How far two differ, by the method that their values ask for: paired or not, of rates or of means, in clusters or not. */
import { equalRatesP, newcombe } from '#statistics/differences.ts';
import { studentTwoSided, tOf } from '#statistics/distributions.ts';
import {
  bootstrapDifference,
  mcnemar,
  meanDifference,
  tango,
  type MeanDifference,
} from '#statistics/paired.ts';
import type { Interval } from '#statistics/rates.ts';

import { fewUnits } from '../limits.ts';

export const metrics = ['success', 'cost_usd', 'latency_ms', 'brier'] as const;

export type Metric = (typeof metrics)[number];

/** What each method finds. */
export interface Finding {
  readonly value: number;
  readonly interval: Interval;
  readonly p: number;
  /** Of one difference: what the number of items that are needed follows from. */
  readonly variance: number;
  readonly n: number;
  /** What is independent of each other, where that is fewer than n. */
  readonly units?: number;
  /** All differences are equal, so that the interval has no width. */
  readonly isFlat?: boolean;
  readonly method: string;
  readonly wins?: number;
  readonly losses?: number;
  readonly warnings?: readonly string[];
}

export interface Value {
  readonly item: string | null;
  readonly cluster: string | null;
  readonly value: number;
}

interface Shared {
  readonly cluster: string;
  readonly one: number;
  readonly other: number;
}

/** Items that both did, with the mean of each where one was done more than once. */
export function sharedItems(one: readonly Value[], other: readonly Value[]): Shared[] {
  const means = [one, other].map((values) => {
    const sums = new Map<string, { sum: number; n: number; cluster: string | null }>();
    for (const { item, cluster, value } of values) {
      if (item === null) continue;
      const sum = sums.get(item) ?? { sum: 0, n: 0, cluster };
      sum.sum += value;
      sum.n += 1;
      sums.set(item, sum);
    }
    return sums;
  });
  const [first, second] = means;
  if (!first || !second) return [];
  return [...first].flatMap(([item, { sum, n, cluster }]) => {
    const also = second.get(item);
    return also
      ? [{ cluster: cluster ?? also.cluster ?? `item ${item}`, one: sum / n, other: also.sum / also.n }]
      : [];
  });
}

export const areBinary = (values: readonly { readonly value: number }[]) =>
  values.every(({ value }) => value === 0 || value === 1);

export function pairedFinding(shared: readonly Shared[], metric: Metric, seed: number): Finding {
  const clusters = shared.map(({ cluster }) => cluster);
  const isClustered = new Set(clusters).size < shared.length;
  const isBinary =
    metric === 'success' &&
    shared.every(({ one, other }) => [one, other].every((value) => value === 0 || value === 1));
  if (!isBinary || isClustered) {
    const differences = shared.map(({ one, other }) => one - other);
    return ofDifferences(differences, clusters, seed, `mean of paired differences of ${metric}`);
  }
  const count = (one: number, other: number) =>
    shared.filter((item) => item.one === one && item.other === other).length;
  const table = { both: count(1, 1), first: count(1, 0), second: count(0, 1), neither: count(0, 0) };
  const n = shared.length;
  const value = (table.first - table.second) / n;
  return {
    value,
    interval: tango(table),
    p: mcnemar(table.first, table.second).midP,
    variance: (table.first + table.second) / n - value * value,
    n,
    method: 'paired difference of success rates, score interval (Tango); p by McNemar, mid-p',
    wins: table.first,
    losses: table.second,
  };
}

/** Differences of any scale, in clusters: by t where there are many, else by bootstrap. */
export function ofDifferences(
  differences: readonly number[],
  clusters: readonly string[],
  seed: number,
  what: string,
): Finding {
  const units = new Set(clusters).size;
  const isClustered = units < differences.length;
  const found: MeanDifference = meanDifference(differences, isClustered ? clusters : undefined);
  const isFew = units < fewUnits && units > 1;
  const isFlat = found.standardError === 0;
  const interval = isFew
    ? bootstrapDifference(differences, isClustered ? clusters : undefined, { seed })
    : found.interval;
  return {
    value: found.mean,
    interval: units > 1 ? interval : [-Infinity, Infinity],
    // Without any spread there is no t; that all are on one side is what remains.
    p: isFlat && found.mean !== 0 ? Math.min(1, 2 * 0.5 ** units) : found.p,
    // As if each cluster were one item.
    variance: found.standardError ** 2 * differences.length,
    n: differences.length,
    units,
    isFlat,
    method: `${what}, ${isFew ? `BCa bootstrap, seed ${seed}` : 't interval'}${isClustered ? `, ${units} clusters` : ''}`,
    warnings: isFlat
      ? [
          'All differences are equal: the interval has no width and shows no equivalence, and p is that of a sign test.',
        ]
      : [],
  };
}

export function unpairedFinding(one: readonly Value[], other: readonly Value[], metric: Metric): Finding {
  const units = [one, other].map(clustersOf);
  const isClustered = units.some((names, index) => new Set(names).size < ([one, other][index] ?? []).length);
  const n = Math.min(one.length, other.length);
  if (metric === 'success' && areBinary([...one, ...other]) && !isClustered) {
    const rates = [one, other].map((values) => ({
      successes: values.reduce((sum, { value }) => sum + value, 0),
      trials: values.length,
    }));
    const [first, second] = rates as [(typeof rates)[0], (typeof rates)[0]];
    const [p1, p2] = [first.successes / first.trials, second.successes / second.trials];
    return {
      value: p1 - p2,
      interval: newcombe(first, second),
      p: equalRatesP(first, second),
      variance: p1 * (1 - p1) + p2 * (1 - p2),
      n,
      method: 'difference of success rates, Newcombe interval (method 10); n of the one with fewer',
    };
  }
  const means = [one, other].map((values, index) =>
    meanDifference(
      values.map(({ value }) => value),
      isClustered ? units[index] : undefined,
    ),
  ) as [MeanDifference, MeanDifference];
  const [first, second] = means;
  const squares = means.map(({ standardError }) => standardError ** 2) as [number, number];
  const standardError = Math.sqrt(squares[0] + squares[1]);
  const value = first.mean - second.mean;
  const hasSpread = Number.isFinite(standardError) && standardError > 0;
  // Welch and Satterthwaite.
  const freedom = hasSpread
    ? standardError ** 4 / (squares[0] ** 2 / (first.units - 1) + squares[1] ** 2 / (second.units - 1))
    : 1;
  const half = hasSpread
    ? tOf(0.95, Math.max(1, freedom)) * standardError
    : Number.isNaN(standardError)
      ? Infinity
      : 0;
  return {
    value,
    interval: [value - half, value + half],
    p: hasSpread
      ? studentTwoSided(value / standardError, Math.max(1, freedom))
      : value === 0 || half > 0
        ? 1
        : 0,
    variance: squares[0] * one.length + squares[1] * other.length,
    n,
    method: `difference of mean ${metric}, Welch interval${isClustered ? ' over clusters' : ''}; n of the one with fewer`,
  };
}

/** What is independent: clusters, or items, or single decisions. */
export function clustersOf(values: readonly Value[]): string[] {
  return values.map(({ cluster, item }, index) =>
    cluster !== null ? `cluster ${cluster}` : item !== null ? `item ${item}` : `decision ${index}`,
  );
}
