/**
 * A distribution in bounded memory: buckets whose bounds grow by a fixed factor (DDSketch; Masson, Rim and Lee 2019). A quantile is
 * within 1 % of a value that has its rank, however many values there are, and sketches add up without loss.
 */

/** Relative error of a quantile. */
export const sketchError = 0.01;
const growth = (1 + sketchError) / (1 - sketchError);
const logGrowth = Math.log(growth);
/** From 1 to 10^15 units. */
const lastBucket = Math.ceil(Math.log(1e15) / logGrowth) + 1;
/** Room on both sides of what is used, so that it seldom grows. */
const slack = 32;

export interface Sketch {
  /** How many in each bucket, from the bucket `base` on. */
  counts: Uint32Array;
  base: number;
}

export const emptySketch = (): Sketch => ({ counts: new Uint32Array(), base: 0 });

/** Values are whole units: microseconds, or billionths of a dollar. Bucket 0 is for zero; bucket i + 1 holds what is above growth^(i-1) and at most growth^i. */
export function addTo(sketch: Sketch, units: number): void {
  // A value on the bound of two buckets belongs to the lower one, whatever the logarithm's last digit is.
  const power = Math.max(Math.ceil(Math.log(units) / logGrowth - 1e-9), 0);
  addCount(sketch, units < 1 ? 0 : Math.min(power + 1, lastBucket), 1);
}

export function addCount(sketch: Sketch, bucket: number, times: number): void {
  if (bucket < sketch.base || bucket >= sketch.base + sketch.counts.length) grow(sketch, bucket);
  const at = bucket - sketch.base;
  sketch.counts[at] = (sketch.counts[at] as number) + times;
}

function grow(sketch: Sketch, bucket: number): void {
  const { counts, base } = sketch;
  const isEmpty = counts.length === 0;
  const from = Math.max(0, bucket < base || isEmpty ? bucket - slack : base);
  const to = bucket >= base + counts.length || isEmpty ? bucket + slack : base + counts.length;
  const grown = new Uint32Array(to - from);
  if (!isEmpty) grown.set(counts, base - from);
  sketch.counts = grown;
  sketch.base = from;
}

export function merge(into: Sketch, { counts, base }: Sketch): void {
  for (const [at, count] of counts.entries()) if (count > 0) addCount(into, base + at, count);
}

/** The value in whole units whose rank, from 0 to n - 1, is `rank`. */
export function valueAt({ counts, base }: Sketch, rank: number): number {
  let seen = 0;
  let last = 0;
  for (const [at, count] of counts.entries()) {
    if (count === 0) continue;
    last = base + at;
    seen += count;
    if (seen > rank) break;
  }
  return middleOf(last);
}

/** Every bucket that holds something, by its middle. */
export function* bucketsOf({ counts, base }: Sketch): Generator<readonly [units: number, count: number]> {
  for (const [at, count] of counts.entries()) if (count > 0) yield [middleOf(base + at), count];
}

/** No further than the error from both ends. */
const middleOf = (bucket: number) => (bucket === 0 ? 0 : (2 * growth ** (bucket - 1)) / (growth + 1));
