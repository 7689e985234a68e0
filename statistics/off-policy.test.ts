import { describe, expect, test } from 'vitest';

import { doublyRobust, inversePropensity, selfNormalised, type Logged } from './off-policy.ts';
import { seededRandom } from './random.ts';

const log: Logged[] = [
  { propensity: 0.5, target: 1, reward: 1, expectedLogged: 0.7, expectedTarget: 0.7 },
  { propensity: 0.25, target: 0.5, reward: 0, expectedLogged: 0.4, expectedTarget: 0.6 },
  { propensity: 0.5, target: 0, reward: 1, expectedLogged: 0.4, expectedTarget: 0.6 },
];

test('by hand', () => {
  expect(inversePropensity(log).value).toBeCloseTo(2 / 3, 12);
  expect(selfNormalised(log).value).toBeCloseTo(2 / 4, 12);
  expect(doublyRobust(log).value).toBeCloseTo((0.7 + 2 * 0.3 + (0.6 + 2 * -0.4) + 0.6) / 3, 12);
  expect(inversePropensity(log)).toMatchObject({ n: 3, effectiveN: 2 });
});

describe('in simulation', () => {
  // Two models, whose rates differ; the logging router takes the first in 3 of 4 cases, the new one in 1 of 5.
  const rates = [0.4, 0.7] as const;
  const truth = 0.2 * rates[0] + 0.8 * rates[1];
  const random = seededRandom(8);
  const logOf = (size: number, believed: readonly [number, number]): Logged[] =>
    Array.from({ length: size }, () => {
      const action = random.uniform() < 0.75 ? 0 : 1;
      return {
        propensity: action === 0 ? 0.75 : 0.25,
        target: action === 0 ? 0.2 : 0.8,
        reward: random.uniform() < rates[action] ? 1 : 0,
        expectedLogged: believed[action],
        expectedTarget: 0.2 * believed[0] + 0.8 * believed[1],
      };
    });

  test.each([
    ['inverse propensity', inversePropensity],
    ['self-normalised', selfNormalised],
    ['doubly robust, with a wrong model of rewards', doublyRobust],
  ])('%s: the intervals cover the value at their level', (_, estimate) => {
    let covered = 0;
    for (let trial = 0; trial < 400; trial += 1) {
      const [lower, upper] = estimate(logOf(300, [0.6, 0.6])).interval;
      if (lower <= truth && truth <= upper) covered += 1;
    }
    expect(covered / 400).toBeGreaterThan(0.92);
    expect(covered / 400).toBeLessThan(0.98);
  });

  test('a good model of rewards makes doubly robust the calmer one', () => {
    const many = logOf(2_000, rates);
    expect(doublyRobust(many).standardError).toBeLessThan(inversePropensity(many).standardError);
  });
});

test('where the new router never does what was logged, nothing is known', () => {
  const never = log.map((record) => ({ ...record, target: 0 }));
  expect(selfNormalised(never).value).toBeNaN();
  expect(inversePropensity(never)).toMatchObject({ value: 0, effectiveN: 0 });
  expect(inversePropensity(log.slice(0, 1)).standardError).toBeNaN();
});

test.each([
  ['an empty log', () => inversePropensity([])],
  ['a propensity of 0', () => inversePropensity([{ propensity: 0, target: 1, reward: 1 }])],
  ['a propensity above 1', () => selfNormalised([{ propensity: 1.5, target: 1, reward: 1 }])],
  ['a probability of NaN', () => selfNormalised([{ propensity: 0.5, target: Number.NaN, reward: 1 }])],
  ['a reward of NaN', () => inversePropensity([{ propensity: 0.5, target: 1, reward: Number.NaN }])],
  ['no expected rewards', () => doublyRobust([{ propensity: 0.5, target: 1, reward: 1 }])],
] as [string, () => unknown][])('%s is refused', (_, compute) => expect(compute).toThrow(RangeError));
