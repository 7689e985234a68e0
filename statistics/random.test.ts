import { describe, expect, test } from 'vitest';

import { seededRandom } from './random.ts';

const draws = (count: number, draw: () => number) => Array.from({ length: count }, draw);
const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
function varianceOf(values: readonly number[]): number {
  const mean = meanOf(values);
  return values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
}

const fixedRandom = seededRandom(1);
const fixed = () => fixedRandom.below(1_000_000);

test('the seed decides all numbers, in this release and the next', () => {
  const [one, same, other] = [seededRandom(7), seededRandom(7), seededRandom(8)];

  expect(draws(5, one.uniform)).toEqual(draws(5, same.uniform));
  expect(one.uniform()).not.toBe(other.uniform());
  expect(seededRandom(2 ** 40).uniform()).not.toBe(seededRandom(0).uniform());
  expect(draws(4, fixed)).toEqual([91_569, 888_192, 434_270, 746_779]);
});

test('uniform numbers fill [0, 1) evenly', () => {
  const { uniform, below } = seededRandom(1);
  const values = draws(100_000, uniform);

  expect(Math.min(...values.slice(0, 50_000))).toBeGreaterThanOrEqual(0);
  expect(Math.max(...values.slice(0, 50_000))).toBeLessThan(1);
  expect(meanOf(values)).toBeCloseTo(0.5, 2);
  expect(varianceOf(values)).toBeCloseTo(1 / 12, 2);
  const faces = draws(60_000, () => below(6));
  for (let face = 0; face < 6; face += 1) {
    expect(Math.abs(faces.filter((value) => value === face).length - 10_000)).toBeLessThan(400);
  }
});

describe('draws have the mean and the variance of their distribution', () => {
  const n = 40_000;
  const cases: [name: string, draw: (random: ReturnType<typeof seededRandom>) => number, number, number][] = [
    ['normal', (random) => random.normal(), 0, 1],
    ['gamma, shape 0.5', (random) => random.gamma(0.5), 0.5, 0.5],
    ['gamma, shape 9', (random) => random.gamma(9), 9, 9],
    ['beta 8, 4', (random) => random.beta(8, 4), 8 / 12, 32 / (144 * 13)],
    ['binomial 7 × 0.3', (random) => random.binomial(7, 0.3), 2.1, 1.47],
    ['binomial 200 × 0.4', (random) => random.binomial(200, 0.4), 80, 48],
    ['binomial 1,000,000 × 0.97', (random) => random.binomial(1_000_000, 0.97), 970_000, 29_100],
  ];

  test.each(cases)('%s', (_, draw, mean, variance) => {
    const random = seededRandom(3);
    const values = draws(n, () => draw(random));
    // Five standard errors: a wrong generator is off by far more.
    expect(Math.abs(meanOf(values) - mean)).toBeLessThan(5 * Math.sqrt(variance / n));
    expect(Math.abs(varianceOf(values) / variance - 1)).toBeLessThan(0.08);
  });

  test('of nothing there is nothing, and of all there is all', () => {
    const random = seededRandom(3);
    expect([random.binomial(0, 0.5), random.binomial(9, 0), random.binomial(9, 1)]).toEqual([0, 0, 9]);
  });
});

test.each([-1, 0.5, Number.NaN, 2 ** 53])('the seed %s is refused', (seed) => {
  expect(() => seededRandom(seed)).toThrow(RangeError);
});
