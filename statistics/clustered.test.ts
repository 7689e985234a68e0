import { describe, expect, test } from 'vitest';

import { clusteredMean, clusterSums, effectiveCount } from './clustered.ts';
import { newcombe } from './differences.ts';
import { meanDifference, tango } from './paired.ts';
import { seededRandom, type Random } from './random.ts';
import { wilson, type Interval } from './rates.ts';

const values = [0.1, 0.3, -0.2, 0.4, 0.0, 0.2];
const rate = (sums: ReturnType<typeof clusterSums>) => sums.sum / sums.n;
const effective = (sums: ReturnType<typeof clusterSums>) =>
  effectiveCount(sums, rate(sums) * (1 - rate(sums)));

describe('the mean over clusters', () => {
  test('is that of the values, where each is a cluster of its own', () => {
    const { mean, standardError, interval } = clusteredMean(clusterSums(values, [1, 2, 3, 4, 5, 6]));
    const alone = meanDifference(values);
    expect(mean).toBeCloseTo(alone.mean, 12);
    expect(standardError).toBeCloseTo(alone.standardError, 12);
    expect(interval[0]).toBeCloseTo(alone.interval[0], 12);
  });

  test('has the error of Miller 2024 with G/(G − 1)', () => {
    const names = ['x', 'x', 'y', 'y', 'z', 'z'];
    expect(clusteredMean(clusterSums(values, names)).standardError).toBeCloseTo(
      meanDifference(values, names).standardError * Math.sqrt(3 / 2),
      12,
    );
  });

  test('of one cluster has no bounds', () => {
    const { interval, standardError } = clusteredMean(clusterSums([1, 0], ['x', 'x']));
    expect(interval).toEqual([-Infinity, Infinity]);
    expect(standardError).toBeNaN();
  });
});

describe('as many independent values as tell as much', () => {
  test('are all where none belong together, and as many as items where each was said three times', () => {
    const once = [1, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1];
    const items = once.map((_, item) => item);
    expect(effective(clusterSums(once, items))).toBe(12);
    const thrice = clusterSums([...once, ...once, ...once], [...items, ...items, ...items]);
    expect(effective(thrice)).toBeCloseTo(12, 10);
    expect(effectiveCount(clusterSums([1, 1, 1, 1], ['x', 'x', 'y', 'y']), 0)).toBe(2);
    expect(effectiveCount(clusterSums([1, 0], ['x', 'x']), 0.25)).toBe(1);
  });

  test('are never more than there are: clusters that balance each other show nothing more', () => {
    expect(effective(clusterSums([1, 0, 1, 0, 1, 0], ['x', 'x', 'y', 'y', 'z', 'z']))).toBe(6);
  });
});

test.each([
  ['few items that differ much', { clusters: 12, a: 0.6, b: 0.4, most: 8 }],
  ['few items of a good model', { clusters: 20, a: 1.6, b: 0.4, most: 6 }],
  ['more items', { clusters: 60, a: 2, b: 1, most: 4 }],
])('intervals over items cover at their level: %s', (_, { clusters, a, b, most }) => {
  const random = seededRandom(17);
  const truth = a / (a + b);
  const trials = 600;
  const drawn = () => sample(random, clusters, most, () => random.beta(a, b));
  const covered = { rate: 0, mean: 0, difference: 0, score: 0, ignoring: 0 };
  const count = (name: keyof typeof covered, [lower, upper]: Interval, value: number) => {
    if (lower <= value && value <= upper) covered[name] += 1 / trials;
  };
  for (let trial = 0; trial < trials; trial += 1) {
    const [one, other] = [drawn(), drawn()];
    const [p, n] = [rate(one), effective(one)];
    count('rate', wilson(p * n, n), truth);
    count('mean', clusteredMean(one).interval, truth);
    count('ignoring', wilson(one.sum, one.n), truth);
    const [q, m] = [rate(other), effective(other)];
    count('difference', newcombe({ successes: p * n, trials: n }, { successes: q * m, trials: m }), 0);
    // Wins as 1 and losses as −1: the score interval of counts that are not whole.
    const score = 2 * p - 1;
    const k = effectiveCount(
      {
        ...one,
        sum: 2 * one.sum - one.n,
        squares: 4 * one.squares - 4 * one.cross + one.sizes,
        cross: 2 * one.cross - one.sizes,
      },
      1 - score * score,
    );
    count('score', tango({ both: 0, first: p * k, second: (1 - p) * k, neither: 0 }), 2 * truth - 1);
  }
  for (const name of ['rate', 'difference', 'score'] as const) {
    expect(covered[name], name).toBeGreaterThan(0.925);
    expect(covered[name], name).toBeLessThan(0.985);
  }
  expect(covered.mean).toBeGreaterThan(0.9);
  // What clusters are for.
  expect(covered.ignoring).toBeLessThan(0.9);
});

function sample(random: Random, clusters: number, most: number, chanceOf: () => number) {
  const [found, names]: [number[], number[]] = [[], []];
  for (let cluster = 0; cluster < clusters; cluster += 1) {
    const chance = chanceOf();
    for (let left = 1 + random.below(most); left > 0; left -= 1) {
      found.push(Number(random.uniform() < chance));
      names.push(cluster);
    }
  }
  return clusterSums(found, names);
}

test('each value needs a cluster, and is a number', () => {
  expect(() => clusterSums([1, 2], [1])).toThrow(RangeError);
  expect(() => clusterSums([Number.NaN], [1])).toThrow(RangeError);
});
