import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { binomialPmf } from './distributions.ts';
import { clopperPearson, jeffreys, upperBound, wilson, type Interval } from './rates.ts';

/** Rounded as tables print. */
const printed = ([lower, upper]: Interval) => [Number(lower.toFixed(6)), Number(upper.toFixed(6))];

// The first three are those of Newcombe 1998.
test.each([
  [81, 263, [0.255289, 0.36621], [0.254522, 0.365647], [0.252737, 0.367622]],
  [15, 148, [0.062386, 0.160487], [0.060449, 0.157643], [0.057844, 0.16165]],
  [0, 20, [0, 0.161125], [0, 0.116639], [0, 0.168433]],
  [8, 10, [0.490162, 0.943318], [0.497226, 0.955941], [0.443905, 0.974789]],
])('%s of %s', (successes, trials, ofWilson, ofJeffreys, ofClopperPearson) => {
  expect(printed(wilson(successes, trials))).toEqual(ofWilson);
  expect(printed(jeffreys(successes, trials))).toEqual(ofJeffreys);
  expect(printed(clopperPearson(successes, trials))).toEqual(ofClopperPearson);
});

test('no failure in 30 trials allows a rate of 0.0950', () => {
  expect(upperBound(0, 30).toFixed(4)).toBe('0.0950');
  expect(upperBound(5, 5)).toBe(1);
});

describe('for any counts and any level', () => {
  const counts = fc
    .record({ trials: fc.integer({ min: 1, max: 5_000 }), part: fc.double({ min: 0, max: 1, noNaN: true }) })
    .map(({ trials, part }) => [Math.round(part * trials), trials] as const);

  test.each([wilson, jeffreys, clopperPearson])(
    '$name holds its rate, mirrors, and narrows with the level',
    (interval) => {
      fc.assert(
        fc.property(counts, ([successes, trials]) => {
          const [lower, upper] = interval(successes, trials);
          const [narrowLower, narrowUpper] = interval(successes, trials, 0.8);
          const [mirrorLower, mirrorUpper] = interval(trials - successes, trials);
          expect(lower).toBeLessThanOrEqual(successes / trials + 1e-12);
          expect(upper).toBeGreaterThanOrEqual(successes / trials - 1e-12);
          expect(narrowLower).toBeGreaterThanOrEqual(lower);
          expect(narrowUpper).toBeLessThanOrEqual(upper);
          expect(mirrorLower).toBeCloseTo(1 - upper, 9);
          expect(mirrorUpper).toBeCloseTo(1 - lower, 9);
        }),
        { numRuns: 200, seed: 1 },
      );
    },
  );
});

/** How often the interval holds the true rate, summed over all outcomes: no simulation is needed. */
function coverage(interval: (x: number, n: number) => Interval, trials: number, rate: number): number {
  let covered = 0;
  for (let successes = 0; successes <= trials; successes += 1) {
    const [lower, upper] = interval(successes, trials);
    if (lower <= rate && rate <= upper) covered += binomialPmf(successes, trials, rate);
  }
  return covered;
}

test('the intervals cover at their level', () => {
  const rates = Array.from({ length: 99 }, (_, index) => (index + 1) / 100);
  for (const trials of [10, 40, 150]) {
    const mean = (interval: typeof wilson) =>
      rates.reduce((sum, rate) => sum + coverage(interval, trials, rate), 0) / rates.length;
    expect(Math.min(...rates.map((rate) => coverage(clopperPearson, trials, rate)))).toBeGreaterThanOrEqual(
      0.95,
    );
    expect(mean(wilson)).toBeCloseTo(0.95, 1.9);
    expect(mean(jeffreys)).toBeCloseTo(0.95, 1.9);
  }
});

test.each([
  ['no trials', () => wilson(0, 0)],
  ['more successes than trials', () => jeffreys(3, 2)],
  ['negative successes', () => clopperPearson(-1, 2)],
  ['NaN successes', () => wilson(Number.NaN, 2)],
  ['endless trials', () => upperBound(1, Infinity)],
  ['a level above 1', () => wilson(1, 2, 1.5)],
  ['a level of NaN', () => jeffreys(1, 2, Number.NaN)],
])('%s is refused', (_, compute) => expect(compute).toThrow(RangeError));
