/** Bootstrap intervals (Efron and Tibshirani 1993): units are drawn with replacement, and a seed decides the draws. */
import { normalCdf, normalQuantile, tOf, within } from './distributions.ts';
import { seededRandom } from './random.ts';
import type { Interval } from './rates.ts';

export interface Bootstrap {
  readonly seed: number;
  readonly resamples?: number;
  readonly level?: number;
  readonly method?: 'percentile' | 'bca';
}

/** Units are left out in at most so many groups, to see how far each bends the statistic. */
const mostGroups = 500;

/**
 * The interval of a statistic over `size` units, such as items or clusters.
 *
 * @param statistic is given how often each unit is in the sample; NaN, where a sample has no value, is left out.
 */
export function bootstrapInterval(
  size: number,
  statistic: (counts: Float64Array) => number,
  { seed, resamples = 2_000, level = 0.95, method = 'bca' }: Bootstrap,
): Interval {
  if (!Number.isInteger(size) || size < 2) throw new RangeError(`A bootstrap needs two units, not ${size}.`);
  const random = seededRandom(seed);
  const counts = new Float64Array(size);
  const values: number[] = [];
  for (let resample = 0; resample < resamples; resample += 1) {
    counts.fill(0);
    for (let draw = 0; draw < size; draw += 1) {
      const unit = random.below(size);
      counts[unit] = (counts[unit] ?? 0) + 1;
    }
    const value = statistic(counts);
    if (!Number.isNaN(value)) values.push(value);
  }
  const sorted = Float64Array.from(values).toSorted();
  const confidence = within('A confidence level', level, 0, 1);
  const tail = (1 - confidence) / 2;
  if (method === 'percentile') return [quantileOf(sorted, tail), quantileOf(sorted, 1 - tail)];
  // Samples of few units vary less than the units do, and their mean has longer tails than a normal: Hesterberg 2015 goes out to √(n/(n−1))·t.
  const far = tOf(confidence, size - 1) * Math.sqrt(size / (size - 1));
  const moved = bcaLevels(sorted, size, statistic);
  return [quantileOf(sorted, moved(-far)), quantileOf(sorted, moved(far))];
}

/** Efron 1987: moves levels, given by their normal quantiles, by the bias z₀ and by the acceleration a. */
function bcaLevels(
  sorted: Float64Array,
  size: number,
  statistic: (counts: Float64Array) => number,
): (z: number) => number {
  const whole = statistic(new Float64Array(size).fill(1));
  let below = 0;
  for (const value of sorted) below += value < whole ? 1 : value === whole ? 0.5 : 0;
  const share = below / sorted.length;
  // All on one side: there is no bias to be told, as when the statistic is constant.
  const bias = share > 0 && share < 1 ? normalQuantile(share) : 0;
  const acceleration = accelerationOf(size, statistic);
  return (far) => {
    const z = bias + far;
    // Beyond the pole there is nothing but the outermost sample.
    return acceleration * z < 1 ? normalCdf(bias + z / (1 - acceleration * z)) : z > 0 ? 1 : 0;
  };
}

/** From the jackknife: Σd³ / 6(Σd²)^1.5, with d the mean of the values less each value. */
function accelerationOf(size: number, statistic: (counts: Float64Array) => number): number {
  const groups = Math.min(size, mostGroups);
  const counts = new Float64Array(size);
  const values: number[] = [];
  for (let group = 0; group < groups; group += 1) {
    counts.fill(1);
    for (let unit = group; unit < size; unit += groups) counts[unit] = 0;
    const value = statistic(counts);
    if (!Number.isNaN(value)) values.push(value);
  }
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  let [squares, cubes] = [0, 0];
  for (const value of values) {
    squares += (mean - value) ** 2;
    cubes += (mean - value) ** 3;
  }
  return squares === 0 ? 0 : cubes / (6 * squares ** 1.5);
}

/** The value below which this share of the sorted values lies, interpolated between neighbours; NaN of none. */
export function quantileOf(sorted: ArrayLike<number>, share: number): number {
  const place = within('A share', share, 0, 1) * (sorted.length - 1);
  const low = Math.floor(place);
  const from = sorted[low] ?? Number.NaN;
  return from + (place - low) * ((sorted[Math.ceil(place)] ?? from) - from);
}
