/**
 * Means and rates of values of which some belong together, such as several judgements of one item: what is independent are clusters.
 * Everything follows from sums over clusters, so that no list of values is needed. Values outside of clusters are clusters of one.
 */
import { tOf, within } from './distributions.ts';

/** Over clusters with the sum s of their m values. */
export interface ClusterSums {
  /** How many clusters: G. */
  readonly units: number;
  /** Σm: how many values. */
  readonly n: number;
  /** Σs. */
  readonly sum: number;
  /** Σs². */
  readonly squares: number;
  /** Σs·m. */
  readonly cross: number;
  /** Σm². */
  readonly sizes: number;
}

/** @param clusters names the cluster of each value. */
export function clusterSums(values: ArrayLike<number>, clusters: ArrayLike<number | string>): ClusterSums {
  if (clusters.length !== values.length) throw new RangeError('Each value needs its cluster.');
  const found = new Map<number | string, { s: number; m: number }>();
  for (let index = 0; index < values.length; index += 1) {
    const name = clusters[index] ?? '';
    const cluster = found.get(name) ?? { s: 0, m: 0 };
    cluster.s += within('A value', values[index] ?? Number.NaN, -Number.MAX_VALUE, Number.MAX_VALUE);
    cluster.m += 1;
    found.set(name, cluster);
  }
  let [sum, squares, cross, sizes] = [0, 0, 0, 0];
  for (const { s, m } of found.values()) {
    sum += s;
    squares += s * s;
    cross += s * m;
    sizes += m * m;
  }
  return { units: found.size, n: values.length, sum, squares, cross, sizes };
}

export interface ClusteredMean {
  readonly mean: number;
  /** Of the mean; NaN of one cluster. */
  readonly standardError: number;
  /** Student's, with G − 1 degrees of freedom; without bounds for one cluster. */
  readonly interval: readonly [lower: number, upper: number];
}

/**
 * The variance of a mean is Σ(s − m·mean)²/n² · G/(G−1): a ratio of sums over clusters (Cochran 1977, chapter 6), with the factor for
 * few clusters of Cameron and Miller 2015. Where each value is a cluster of its own, it is the usual one.
 */
export function clusteredMean(
  { units, n, sum, squares, cross, sizes }: ClusterSums,
  level = 0.95,
): ClusteredMean {
  const mean = sum / n;
  if (units < 2) return { mean, standardError: Number.NaN, interval: [-Infinity, Infinity] };
  const spread = Math.max(0, squares - 2 * mean * cross + mean * mean * sizes);
  const standardError = Math.sqrt((spread / (n * n)) * (units / (units - 1)));
  const half = tOf(level, units - 1) * standardError;
  return { mean, standardError, interval: [mean - half, mean + half] };
}

/**
 * How many independent values would tell as much (Kish 1965): n by the design effect, for intervals of rates that take a count (Rao and
 * Scott 1992), and less where few clusters say little about that effect itself: (t_{n−1}/t_{G−1})² of Korn and Graubard 1998. Never more
 * than n, and never less than n²/Σm², which is left where the values of each cluster are all alike: what is said twice is then as if said
 * once. Where all values are alike, there are as many as clusters.
 *
 * @param variance of one value: p(1 − p) of a rate.
 */
export function effectiveCount(sums: ClusterSums, variance: number, level = 0.95): number {
  const { units, n, sizes } = sums;
  if (units === n) return n;
  if (units < 2 || variance <= 0) return units;
  const { standardError } = clusteredMean(sums, level);
  const lessSure = (tOf(level, n - 1) / tOf(level, units - 1)) ** 2;
  return Math.min(n, Math.max((n * n) / sizes, (variance / standardError ** 2) * lessSure));
}
