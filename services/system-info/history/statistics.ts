/** Statistics that a few wild values do not move. */

export const sorted = (values: readonly number[]): number[] => values.toSorted((one, other) => one - other);

/** Of values in order, between the two nearest; NaN of none. */
export function quantile(ordered: readonly number[], share: number): number {
  const at = (ordered.length - 1) * share;
  const low = Math.floor(at);
  const first = ordered[low] ?? Number.NaN;
  const second = ordered[Math.min(low + 1, ordered.length - 1)] ?? Number.NaN;
  return first + (second - first) * (at - low);
}

export const median = (values: readonly number[]): number => quantile(sorted(values), 0.5);

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** The middle of the distances from the middle, scaled to the standard deviation of a normal distribution. */
export function medianDeviation(values: readonly number[], middle: number): number {
  return 1.4826 * median(values.map((value) => Math.abs(value - middle)));
}

/** The middle of the slopes between points half the series apart (Theil and Sen, with fewer pairs): per step. */
export function slope(values: readonly number[]): number {
  const half = Math.floor(values.length / 2);
  if (half === 0) return 0;
  return median(values.slice(half).map((value, index) => (value - (values[index] ?? value)) / half));
}
