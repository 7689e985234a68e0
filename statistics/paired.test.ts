import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { bootstrapInterval } from './bootstrap.ts';
import {
  agrestiMin,
  bonettPrice,
  bootstrapDifference,
  mcnemar,
  meanDifference,
  squareAndAdd,
  tango,
  type PairedTable,
} from './paired.ts';
import { seededRandom } from './random.ts';

// Chapter 8 of Fagerland, Lydersen and Laake.
const table: PairedTable = { both: 59, first: 6, second: 16, neither: 80 };

describe('McNemar', () => {
  test('all forms', () => {
    const { z, p, correctedZ, correctedP, exactP, midP } = mcnemar(6, 16);
    expect([z.toFixed(3), correctedZ.toFixed(3)]).toEqual(['-2.132', '1.919']);
    expect([p, correctedP, exactP, midP].map((value) => value.toFixed(6))).toEqual([
      '0.033006',
      '0.055009',
      '0.052479',
      '0.034690',
    ]);
    expect((mcnemar(5, 15).z ** 2).toFixed(6)).toBe('5.000000');
    expect([mcnemar(5, 15).exactP, mcnemar(5, 15).midP].map((value) => value.toFixed(6))).toEqual([
      '0.041389',
      '0.026604',
    ]);
  });

  test('identical outcomes, and as many each way, say nothing', () => {
    expect(mcnemar(0, 0)).toEqual({ z: 0, p: 1, correctedZ: 0, correctedP: 1, exactP: 1, midP: 1 });
    expect(mcnemar(7, 7)).toMatchObject({ z: 0, p: 1, exactP: 1 });
  });
});

describe('intervals of the paired difference', () => {
  test.each([
    [tango, ['-0.124023', '-0.005433']],
    [squareAndAdd, ['-0.118621', '-0.004625']],
    [agrestiMin, ['-0.118242', '-0.004457']],
    [bonettPrice, ['-0.119499', '-0.003201']],
  ])('$name', (interval, expected) => {
    expect((6 - 16) / 161).toBeCloseTo(-0.0621, 4);
    expect(interval(table).map((bound) => bound.toFixed(6))).toEqual(expected);
  });

  const tables = fc.record({
    both: fc.nat(40),
    first: fc.nat(40),
    second: fc.nat(40),
    neither: fc.integer({ min: 1, max: 40 }),
  });

  test.each([tango, squareAndAdd, agrestiMin, bonettPrice])(
    '$name stays within −1 and 1, and changes its sign when turned round',
    (interval) => {
      fc.assert(
        fc.property(tables, (given) => {
          const [lower, upper] = interval(given);
          const [turnedLower, turnedUpper] = interval({ ...given, first: given.second, second: given.first });
          expect(lower).toBeGreaterThanOrEqual(-1);
          expect(upper).toBeLessThanOrEqual(1);
          expect(lower).toBeLessThan(upper);
          expect(turnedLower).toBeCloseTo(-upper, 9);
          expect(turnedUpper).toBeCloseTo(-lower, 9);
        }),
        { numRuns: 150, seed: 1 },
      );
    },
  );

  test('the edges are no trouble', () => {
    expect(tango({ both: 0, first: 9, second: 0, neither: 0 })[1]).toBe(1);
    expect(tango({ both: 0, first: 0, second: 9, neither: 0 })[0]).toBe(-1);
    const [lower, upper] = tango({ both: 5, first: 0, second: 0, neither: 5 });
    expect([lower, upper].map((bound) => bound.toFixed(4))).toEqual(['-0.2775', '0.2775']);
  });

  test('they cover at their level', () => {
    const random = seededRandom(4);
    const [both, first, second] = [0.5, 0.18, 0.07];
    for (const interval of [tango, squareAndAdd, agrestiMin, bonettPrice]) {
      let covered = 0;
      for (let trial = 0; trial < 2_000; trial += 1) {
        const counts = { both: 0, first: 0, second: 0, neither: 0 };
        for (let item = 0; item < 40; item += 1) {
          const u = random.uniform();
          if (u < both) counts.both += 1;
          else if (u < both + first) counts.first += 1;
          else if (u < both + first + second) counts.second += 1;
          else counts.neither += 1;
        }
        const [lower, upper] = interval(counts);
        if (lower <= first - second && first - second <= upper) covered += 1;
      }
      expect(covered / 2_000, interval.name).toBeGreaterThan(0.93);
      expect(covered / 2_000, interval.name).toBeLessThan(0.98);
    }
  });
});

describe('differences of scores', () => {
  test('the mean with its standard error, by items and by clusters', () => {
    const differences = [0.1, 0.3, -0.2, 0.4, 0.0, 0.2];
    const alone = meanDifference(differences);
    expect(alone.mean).toBeCloseTo(0.8 / 6, 12);
    expect(alone.standardError).toBeCloseTo(0.08819171036881968, 12);
    expect(alone).toMatchObject({ units: 6 });
    // Clusters of one are items, but for n in place of n − 1.
    const ones = meanDifference(differences, [1, 2, 3, 4, 5, 6]);
    expect(ones.standardError).toBeCloseTo(alone.standardError * Math.sqrt(5 / 6), 12);
    // By hand: sums of the clusters less their share of the mean.
    const clustered = meanDifference(differences, ['x', 'x', 'y', 'y', 'z', 'z']);
    const sums = [0.4, 0.2, 0.2].map((sum) => sum - (2 * 0.8) / 6);
    expect(clustered.standardError).toBeCloseTo(
      Math.sqrt(sums.reduce((total, sum) => total + sum * sum, 0)) / 6,
      12,
    );
    expect(clustered.units).toBe(3);
  });

  test('one item has no interval; equal scores leave no doubt', () => {
    expect(meanDifference([0.5])).toMatchObject({ mean: 0.5, interval: [-Infinity, Infinity], p: 1 });
    expect(meanDifference([0, 0, 0])).toMatchObject({ mean: 0, interval: [0, 0], p: 1 });
    expect(meanDifference([0.5, 0.5, 0.5]).p).toBe(0);
    expect(bootstrapDifference([0.25, 0.25, 0.25], undefined, { seed: 1 })).toEqual([0.25, 0.25]);
  });

  test('t and bootstrap intervals cover at their level, with clusters as without', () => {
    const random = seededRandom(6);
    let [byT, byBootstrap, ignoring] = [0, 0, 0];
    const trials = 300;
    for (let trial = 0; trial < trials; trial += 1) {
      const differences: number[] = [];
      const clusters: number[] = [];
      for (let cluster = 0; cluster < 30; cluster += 1) {
        const shared = 0.2 * random.normal();
        for (let item = 0; item < 4; item += 1) {
          differences.push(0.05 + shared + 0.1 * random.normal());
          clusters.push(cluster);
        }
      }
      const holds = ([lower, upper]: readonly [number, number]) => (lower <= 0.05 && 0.05 <= upper ? 1 : 0);
      byT += holds(meanDifference(differences, clusters).interval);
      byBootstrap += holds(bootstrapDifference(differences, clusters, { seed: trial, resamples: 400 }));
      ignoring += holds(meanDifference(differences).interval);
    }
    expect(byT / trials).toBeGreaterThan(0.91);
    expect(byBootstrap / trials).toBeGreaterThan(0.89);
    // Four items of one text are not four independent ones: that is what clusters are for.
    expect(ignoring / trials).toBeLessThan(0.8);
  });
});

test('a bootstrap over a dozen clusters covers at its level', () => {
  const random = seededRandom(11);
  let covered = 0;
  const trials = 600;
  for (let trial = 0; trial < trials; trial += 1) {
    const differences: number[] = [];
    const clusters: number[] = [];
    for (let cluster = 0; cluster < 12; cluster += 1) {
      const [one, other] = [Math.sqrt(random.uniform()), random.uniform()];
      for (let item = 0; item < 4; item += 1) {
        differences.push(Number(random.uniform() < one) - Number(random.uniform() < other));
        clusters.push(cluster);
      }
    }
    const [lower, upper] = bootstrapDifference(differences, clusters, { seed: trial, resamples: 400 });
    covered += lower <= 2 / 3 - 0.5 && 2 / 3 - 0.5 <= upper ? 1 : 0;
  }
  expect(covered / trials).toBeGreaterThan(0.93);
  expect(covered / trials).toBeLessThan(0.98);
});

test('a bootstrap of a skewed statistic: BCa follows the skew, and the seed decides the interval', () => {
  const values = [1, 1.2, 1.1, 0.9, 1.3, 1, 0.8, 9, 1.1, 1.2];
  const mean = (counts: Float64Array) =>
    values.reduce((sum, value, index) => sum + value * (counts[index] ?? 0), 0) / 10;
  const bca = bootstrapInterval(10, mean, { seed: 3 });
  const percentile = bootstrapInterval(10, mean, { seed: 3, method: 'percentile' });
  expect(bootstrapInterval(10, mean, { seed: 3 })).toEqual(bca);
  expect(bca[0]).toBeGreaterThan(percentile[0]);
  expect(bca[1]).toBeGreaterThan(percentile[1]);
  expect(() => bootstrapInterval(1, mean, { seed: 3 })).toThrow(RangeError);
});

test.each([
  ['an empty table', () => tango({ both: 0, first: 0, second: 0, neither: 0 })],
  ['half a count', () => mcnemar(0.5, 1)],
  ['a negative count', () => agrestiMin({ ...table, first: -1 })],
  ['no differences', () => meanDifference([])],
  ['a difference that is NaN', () => meanDifference([1, Number.NaN])],
  ['clusters for others', () => meanDifference([1, 2], [1])],
] as [string, () => unknown][])('%s is refused', (_, compute) => expect(compute).toThrow(RangeError));
