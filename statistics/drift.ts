/** Has a stream of numbers changed? Control charts with the rate of their false alarms, and evidence that may be looked at at any time. */

export interface CusumPlan {
  /** What the values should be on average. */
  readonly target: number;
  /** Half of the shift that is to be found, in the unit of the values (K). */
  readonly slack: number;
  /** Where the alarm is (H). */
  readonly limit: number;
}

export interface CusumState {
  /** How far the values lie above the target, summed up and never below 0; and how far below it. */
  high: number;
  low: number;
}

/** Page 1954: s_H = max(0, x − (μ + K) + s_H), s_L = max(0, (μ − K) − x + s_L). @returns which side is above the limit. */
export function cusumStep(state: CusumState, value: number, plan: CusumPlan): 'up' | 'down' | undefined {
  state.high = Math.max(0, value - (plan.target + plan.slack) + state.high);
  state.low = Math.max(0, plan.target - plan.slack - value + state.low);
  return state.high > plan.limit ? 'up' : state.low > plan.limit ? 'down' : undefined;
}

/**
 * How many values pass on average before a two-sided CUSUM of independent normal values alarms although nothing changed; slack and
 * limit in standard deviations. Siegmund 1985: (e^(2kb) − 2kb − 1) / 2k² for one side, b = h + 1.166; two sides come together.
 */
export function falseAlarmEvery(slack: number, limit: number): number {
  if (!(slack > 0 && limit > 0)) throw new RangeError('Slack and limit are above 0.');
  const exponent = 2 * slack * (limit + 1.166);
  return (Math.exp(exponent) - exponent - 1) / (2 * slack * slack) / 2;
}

/**
 * Evidence that two streams of outcomes from 0 to 1 have different means, however often one looks (an e-process against "both are
 * the same", Turner, Ly and Grünwald 2024): each pair is bet on with the rates that the pairs before it suggest. It is an e-value for
 * outcomes between 0 and 1 as well, since it is linear in each of them.
 */
export class PairedEvidence {
  /** log of the e-value now, and its highest so far. */
  log = 0;
  highestLog = 0;
  pairs = 0;
  /** Starts at one success and one failure on each side. */
  #before = 1;
  #after = 1;

  add(before: number, after: number): void {
    const a = this.#before / (this.pairs + 2);
    const b = this.#after / (this.pairs + 2);
    const both = (a + b) / 2;
    const factor =
      (before * (a / both) + (1 - before) * ((1 - a) / (1 - both))) *
      (after * (b / both) + (1 - after) * ((1 - b) / (1 - both)));
    this.log += Math.log(factor);
    this.highestLog = Math.max(this.highestLog, this.log);
    this.pairs += 1;
    this.#before += before;
    this.#after += after;
  }
}

/** The numbers of one monitor, in this order, so that a store can keep it as it is. */
export const monitorLength = 7;
const [count, mean, squares, high, low, seen, alarms] = [0, 1, 2, 3, 4, 5, 6] as const;

/** How a monitor works: after so many values it knows what is usual; then it charts standardised values. */
export const monitoring = { baseline: 100, slack: 0.5, limit: 8 } as const;

export interface Alarm {
  readonly direction: 'up' | 'down';
  /** What was usual before. */
  readonly average: number;
  readonly deviation: number;
}

/**
 * A chart that learns what is usual from its first values, and begins anew after each alarm. Its state is `monitorLength` numbers in
 * `state` from `at` on; each value takes constant time. @returns the alarm that this value raised.
 */
export function monitorStep(state: Float64Array, at: number, value: number): Alarm | undefined {
  const n = state[at + count] as number;
  state[at + seen] = (state[at + seen] as number) + 1;
  if (n < monitoring.baseline) {
    // Welford 1962.
    const delta = value - (state[at + mean] as number);
    const average = (state[at + mean] as number) + delta / (n + 1);
    state[at + count] = n + 1;
    state[at + mean] = average;
    state[at + squares] = (state[at + squares] as number) + delta * (value - average);
    return undefined;
  }
  const average = state[at + mean] as number;
  const deviation = deviationOf(n, average, state[at + squares] as number);
  chart.high = state[at + high] as number;
  chart.low = state[at + low] as number;
  const direction = cusumStep(chart, (value - average) / deviation, standardised);
  state[at + high] = chart.high;
  state[at + low] = chart.low;
  if (direction === undefined) return undefined;
  state[at + alarms] = (state[at + alarms] as number) + 1;
  for (const offset of [count, mean, squares, high, low]) state[at + offset] = 0;
  return { direction, average, deviation };
}

/** Of the value that is looked at: made once, since monitors hear of every decision. */
const chart: CusumState = { high: 0, low: 0 };
const standardised: CusumPlan = { target: 0, slack: monitoring.slack, limit: monitoring.limit };

/** Values that were all the same get a deviation that a different one passes at once, and noise does not. */
const deviationOf = (n: number, average: number, sumOfSquares: number) =>
  Math.max(n > 1 ? Math.sqrt(sumOfSquares / (n - 1)) : 0, 0.05 * Math.abs(average), 0.05);

/** What the monitor knows. */
export function monitorState(state: Float64Array, at: number) {
  const n = state[at + count] as number;
  const average = state[at + mean] as number;
  return {
    n,
    average,
    deviation: deviationOf(n, average, state[at + squares] as number),
    high: state[at + high] as number,
    low: state[at + low] as number,
    seen: state[at + seen] as number,
    alarms: state[at + alarms] as number,
  };
}
