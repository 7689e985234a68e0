/**
 * Two models on the same items. Binary outcomes make a table of four counts; of those, only the items on which the two
 * differ (b and c) tell them apart. The difference is p₁ − p₂ = (b − c)/n, from −1 to 1.
 */
import { bootstrapInterval, type Bootstrap } from './bootstrap.ts';
import {
  binomialCdf,
  binomialPmf,
  normalTwoSided,
  studentTwoSided,
  tOf,
  within,
  zOf,
} from './distributions.ts';
import { wilson, type Interval } from './rates.ts';

/** Items that both got right, only the first, only the second, neither. */
export interface PairedTable {
  readonly both: number;
  readonly first: number;
  readonly second: number;
  readonly neither: number;
}

function sizeOf({ both, first, second, neither }: PairedTable, isCounted = Number.isInteger): number {
  const counts = [both, first, second, neither];
  const size = counts.reduce((sum, count) => sum + count, 0);
  if (!counts.every((count) => isCounted(count) && count >= 0) || size === 0) {
    throw new RangeError(`A paired table has four counts, not all 0: not ${counts.join(', ')}.`);
  }
  return size;
}

export interface McNemar {
  /** (b−c)/√(b+c), and its two-sided p. */
  readonly z: number;
  readonly p: number;
  /** (|b−c|−1)/√(b+c): conservative. */
  readonly correctedZ: number;
  readonly correctedP: number;
  /** 2·Pr(Bin(b+c, ½) ≤ min(b, c)). */
  readonly exactP: number;
  /** The exact one less Pr(= min): the one to use (Fagerland, Lydersen and Laake 2013). */
  readonly midP: number;
}

/** McNemar 1947, from the counts on which the two differ; all p are 1 where they never do. */
export function mcnemar(first: number, second: number): McNemar {
  sizeOf({ both: 1, first, second, neither: 0 });
  const differing = first + second;
  if (differing === 0) return { z: 0, p: 1, correctedZ: 0, correctedP: 1, exactP: 1, midP: 1 };
  const fewer = Math.min(first, second);
  const z = (first - second) / Math.sqrt(differing);
  const correctedZ = Math.max(0, Math.abs(first - second) - 1) / Math.sqrt(differing);
  const tails = 2 * binomialCdf(fewer, differing, 0.5);
  return {
    z,
    p: normalTwoSided(z),
    correctedZ,
    correctedP: normalTwoSided(correctedZ),
    exactP: Math.min(1, tails),
    midP: Math.min(1, tails - binomialPmf(fewer, differing, 0.5)),
  };
}

/**
 * Tango 1998, the score interval: all Δ with |(b−c−nΔ)/√(n(2q+Δ(1−Δ)))| ≤ z, where q = (√(B²−4AC)−B)/2A, A = 2n,
 * B = −b−c+(2n−b+c)Δ, C = −cΔ(1−Δ). Holds its level for small n and for b or c of 0: the one to use. Counts of items in clusters,
 * divided by their design effect, need not be whole.
 */
export function tango(table: PairedTable, level = 0.95): Interval {
  const n = sizeOf(table, Number.isFinite);
  const { first: b, second: c } = table;
  const z = zOf(level);
  const score = (delta: number) => {
    const linear = -b - c + (2 * n - b + c) * delta;
    const q = (Math.sqrt(Math.max(0, linear * linear + 8 * n * c * delta * (1 - delta))) - linear) / (4 * n);
    const variance = n * (2 * q + delta * (1 - delta));
    const distance = b - c - n * delta;
    if (distance === 0) return 0;
    return variance > 0 ? distance / Math.sqrt(variance) : Math.sign(distance) * Infinity;
  };
  // The score falls with Δ: from ∞ at −1 to −∞ at 1.
  const solve = (target: number) => {
    let [low, high] = [-1, 1];
    for (let step = 0; step < 100; step += 1) {
      const middle = (low + high) / 2;
      if (score(middle) > target) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  };
  return [c === n ? -1 : solve(z), b === n ? 1 : solve(-z)];
}

/** Newcombe 1998, square-and-add over the Wilson bounds of both margins, with their correlation φ corrected for continuity. */
export function squareAndAdd(table: PairedTable, level = 0.95): Interval {
  const n = sizeOf(table);
  const { both: a, first: b, second: c, neither: d } = table;
  const [lower1, upper1] = wilson(a + b, n, level);
  const [lower2, upper2] = wilson(a + c, n, level);
  const [rate1, rate2] = [(a + b) / n, (a + c) / n];
  const product = (a + b) * (c + d) * (a + c) * (b + d);
  const cross = a * d - b * c;
  const corrected = cross > 0 ? Math.max(0, cross - n / 2) : cross;
  const phi = product === 0 ? 0 : corrected / Math.sqrt(product);
  const joined = (one: number, other: number) =>
    Math.sqrt(Math.max(0, one * one - 2 * phi * one * other + other * other));
  const difference = (b - c) / n;
  return [
    difference - joined(rate1 - lower1, upper2 - rate2),
    difference + joined(upper1 - rate1, rate2 - lower2),
  ];
}

/** Agresti and Min 2005: the simple interval after ½ was added to each cell. */
export function agrestiMin(table: PairedTable, level = 0.95): Interval {
  return simple(table, 0.5, level);
}

/** Bonett and Price 2012: the simple interval with (b+1) and (c+1) over n+2. */
export function bonettPrice(table: PairedTable, level = 0.95): Interval {
  return simple(table, 1, level);
}

/** Wald's interval over n+2 with something added to b and c. */
function simple(table: PairedTable, added: number, level: number): Interval {
  const n = sizeOf(table) + 2;
  const [one, other] = [(table.first + added) / n, (table.second + added) / n];
  const half = zOf(level) * Math.sqrt((one + other - (one - other) ** 2) / n);
  return [Math.max(-1, one - other - half), Math.min(1, one - other + half)];
}

export interface MeanDifference {
  readonly mean: number;
  readonly standardError: number;
  readonly interval: Interval;
  /** Two-sided, of "the mean is 0". */
  readonly p: number;
  /** What was drawn independently: clusters, or differences without any. */
  readonly units: number;
}

/**
 * The mean of paired differences dᵢ of any scale. Its standard error is sd(d)/√n; with clusters (such as several questions about one
 * text) √(Σ_c (Σ_{i∈c} (dᵢ−d̄))²)/n (Miller 2024). The interval is Student's with units − 1 degrees of freedom.
 *
 * @param clusters names the cluster of each difference.
 */
export function meanDifference(
  differences: ArrayLike<number>,
  clusters?: ArrayLike<number | string>,
  level = 0.95,
): MeanDifference {
  const n = differences.length;
  if (n === 0) throw new RangeError('A mean needs at least one difference.');
  const mean = meanOf(differences);
  const sums = clusters ? clusterSums(differences, clusters, mean) : undefined;
  const units = sums?.length ?? n;
  if (units === 1) return { mean, standardError: Number.NaN, interval: [-Infinity, Infinity], p: 1, units };
  let squares = 0;
  if (sums) for (const { sum } of sums) squares += sum * sum;
  else for (let index = 0; index < n; index += 1) squares += ((differences[index] ?? 0) - mean) ** 2;
  const standardError = sums ? Math.sqrt(squares) / n : Math.sqrt(squares / (n - 1) / n);
  const half = tOf(level, units - 1) * standardError;
  const t = standardError === 0 ? (mean === 0 ? 0 : Infinity) : mean / standardError;
  return {
    mean,
    standardError,
    interval: [mean - half, mean + half],
    p: studentTwoSided(t, units - 1),
    units,
  };
}

/** The same interval by bootstrap over clusters, or over differences without any: for few units, and for skewed ones. */
export function bootstrapDifference(
  differences: ArrayLike<number>,
  clusters: ArrayLike<number | string> | undefined,
  options: Bootstrap,
): Interval {
  meanOf(differences);
  const units = clusters
    ? clusterSums(differences, clusters, 0)
    : Array.from({ length: differences.length }, (_, index) => ({ sum: differences[index] ?? 0, size: 1 }));
  return bootstrapInterval(
    units.length,
    (counts) => {
      let [sum, size] = [0, 0];
      for (const [index, unit] of units.entries()) {
        const count = counts[index] ?? 0;
        sum += count * unit.sum;
        size += count * unit.size;
      }
      return sum / size;
    },
    options,
  );
}

function meanOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let index = 0; index < values.length; index += 1) {
    sum += within('A difference', values[index] ?? Number.NaN, -Number.MAX_VALUE, Number.MAX_VALUE);
  }
  return sum / values.length;
}

/** Of each cluster the sum of its values less `centre`, and how many there are. */
function clusterSums(
  values: ArrayLike<number>,
  clusters: ArrayLike<number | string>,
  centre: number,
): { readonly sum: number; readonly size: number }[] {
  if (clusters.length !== values.length) throw new RangeError('Each difference needs its cluster.');
  const sums = new Map<number | string, { sum: number; size: number }>();
  for (let index = 0; index < values.length; index += 1) {
    const name = clusters[index] ?? '';
    const cluster = sums.get(name) ?? { sum: 0, size: 0 };
    cluster.sum += (values[index] ?? 0) - centre;
    cluster.size += 1;
    sums.set(name, cluster);
  }
  return [...sums.values()];
}
