import { expect, test } from 'vitest';

import { alphaInterval, cohenKappa, kappaInterval, kappaOf, krippendorffAlpha } from './agreement.ts';

test('Cohen: 20, 5, 10, 15', () => {
  const { kappa, observed, expected, n } = cohenKappa([
    [20, 5],
    [10, 15],
  ]);
  expect([observed, expected, kappa].map((value) => value.toFixed(2))).toEqual(['0.70', '0.50', '0.40']);
  expect(n).toBe(50);
});

const pairs = (
  [
    ['y', 'y', 20],
    ['y', 'n', 5],
    ['n', 'y', 10],
    ['n', 'n', 15],
  ] as const
).flatMap(([one, other, count]) => Array.from({ length: count }, () => [one, other] as const));

test('κ from labels, with an interval that holds it', () => {
  expect(kappaOf(pairs).kappa).toBeCloseTo(0.4, 12);
  const [lower, upper] = kappaInterval(pairs, { seed: 1, resamples: 500 });
  // The large-sample standard error of κ is 0.127 here.
  expect(lower).toBeGreaterThan(0.05);
  expect(lower).toBeLessThan(0.22);
  expect(upper).toBeGreaterThan(0.56);
  expect(upper).toBeLessThan(0.72);
});

// Four judges of each of eleven items, with gaps (Krippendorff 2011).
const units = '11-1 2232 3333 3333 2222 1234 4444 1121 2222 -555 --11'
  .split(' ')
  .map((labels) => labels.split('').filter((label) => label !== '-'));

test('Krippendorff: four judges with gaps', () => {
  expect(krippendorffAlpha(units).toFixed(10)).toBe('0.7434210526');
  expect(krippendorffAlpha([...units, ['7']]).toFixed(10)).toBe('0.7434210526');
  const [lower, upper] = alphaInterval(units, { seed: 1, method: 'percentile' });
  expect(lower).toBeGreaterThan(0.38);
  expect(lower).toBeLessThan(0.52);
  expect(upper).toBeGreaterThan(0.88);
});

test('judges that always agree, and those who do as by chance', () => {
  expect(
    kappaOf([
      ['a', 'a'],
      ['b', 'b'],
    ]).kappa,
  ).toBe(1);
  expect(
    krippendorffAlpha([
      ['a', 'a'],
      ['b', 'b'],
    ]),
  ).toBe(1);
  expect(
    cohenKappa([
      [10, 10],
      [10, 10],
    ]).kappa,
  ).toBe(0);
  // With one label throughout, there is nothing that chance could have done otherwise.
  expect(cohenKappa([[9]]).kappa).toBeNaN();
  expect(krippendorffAlpha([['a', 'a']])).toBeNaN();
  expect(krippendorffAlpha([['a'], ['b']])).toBeNaN();
});

test.each([
  ['no item', () => kappaOf([])],
  ['a table that is not square', () => cohenKappa([[1, 2]])],
  ['a negative count', () => cohenKappa([[-1]])],
  ['one unit, for an interval', () => alphaInterval([['a', 'a']], { seed: 1 })],
] as [string, () => unknown][])('%s is refused', (_, compute) => expect(compute).toThrow(RangeError));
