import { expect, test } from 'vitest';

import { equalRatesP, newcombe, type Rate } from './differences.ts';
import { seededRandom } from './random.ts';

const of = (successes: number, trials: number): Rate => ({ successes, trials });

// Newcombe 1998, table II.
test.each([
  [of(56, 70), of(48, 80), ['0.052431', '0.333873']],
  [of(9, 10), of(3, 10), ['0.170523', '0.809018']],
])('method 10: %o against %o', (one, other, expected) => {
  expect(newcombe(one, other).map((bound) => bound.toFixed(6))).toEqual(expected);
});

test('the p-value and the interval agree, nearly; turned round, the difference changes its sign', () => {
  expect(equalRatesP(of(56, 70), of(48, 80))).toBeCloseTo(0.0083, 3);
  expect(equalRatesP(of(5, 10), of(5, 10))).toBe(1);
  expect(equalRatesP(of(0, 10), of(0, 7))).toBe(1);
  const [lower, upper] = newcombe(of(9, 10), of(3, 10));
  const [turnedLower, turnedUpper] = newcombe(of(3, 10), of(9, 10));
  expect([turnedLower, turnedUpper]).toEqual([-upper, -lower]);
});

test('it covers at its level, and equal rates are called different as rarely as they should', () => {
  const random = seededRandom(2);
  for (const [rate1, rate2] of [
    [0.8, 0.6],
    [0.95, 0.9],
    [0.5, 0.5],
  ] as const) {
    let [covered, rejected] = [0, 0];
    for (let trial = 0; trial < 3_000; trial += 1) {
      const one = of(random.binomial(45, rate1), 45);
      const other = of(random.binomial(60, rate2), 60);
      const [lower, upper] = newcombe(one, other);
      if (lower <= rate1 - rate2 && rate1 - rate2 <= upper) covered += 1;
      if (equalRatesP(one, other) < 0.05) rejected += 1;
    }
    expect(covered / 3_000).toBeGreaterThan(0.935);
    expect(covered / 3_000).toBeLessThan(0.975);
    expect(rejected / 3_000).toBeLessThan(rate1 === rate2 ? 0.062 : 1);
  }
});

test.each([
  () => newcombe(of(1, 0), of(1, 2)),
  () => equalRatesP(of(3, 2), of(1, 2)),
  () => newcombe(of(Number.NaN, 2), of(1, 2)),
])('%s is refused', (compute) => expect(compute).toThrow(RangeError));
