/** Figures of a histogram whose bounds are those of the metric. Pure. */
import { durationBuckets } from '#runtime/account/metrics.ts';

/** Calls by how long they took: one count for each bound, and one for all that took longer than the last. */
export type Bins = readonly number[];

export const binCount = durationBuckets.length + 1;

export function totalOf(bins: Bins): number {
  return bins.reduce((sum, calls) => sum + calls, 0);
}

/** How many columns hold what ended within so many seconds. A bound between two buckets counts as the lower one: no call is called fast that may not have been. */
export function binsWithin(thresholdSeconds: number): number {
  return durationBuckets.filter((bound) => bound <= thresholdSeconds).length;
}

/**
 * How long the fastest calls took that make up such a share of all, in milliseconds; `null` without calls.
 *
 * The share falls into one bucket; in it calls are taken to lie evenly, from the bound below (0 for the first) to its own, as
 * `histogram_quantile` of Prometheus does. So a figure is off by less than the width of its bucket. Of calls beyond the last bound only
 * that is known: they are told as that bound, 300 s.
 */
export function percentileMs(bins: Bins, share: number): number | null {
  const rank = totalOf(bins) * share;
  if (rank === 0) return null;
  let below = 0;
  for (const [index, calls] of bins.entries()) {
    if (below + calls >= rank && calls > 0) {
      const from = durationBuckets[index - 1] ?? 0;
      const to = durationBuckets[index] ?? from;
      return (from + (to - from) * ((rank - below) / calls)) * 1_000;
    }
    below += calls;
  }
  return null;
}
