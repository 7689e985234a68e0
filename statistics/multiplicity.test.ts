import fc from 'fast-check';
import { expect, test } from 'vitest';

import { adjusted, type Adjustment } from './multiplicity.ts';

// Benjamini and Hochberg 1995, section 4.
const pValues = [
  0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.324, 0.4262, 0.5719, 0.6528,
  0.759, 1,
];
const rounded = (values: readonly number[]) => values.map((value) => Number(value.toFixed(6)));
const rejected = (method: Adjustment) => adjusted(pValues, method).filter((p) => p <= 0.05).length;

test('the example of Benjamini and Hochberg: they reject 4, Bonferroni and Holm 3', () => {
  expect(rounded(adjusted(pValues, 'benjamini-hochberg'))).toEqual([
    0.0015, 0.003, 0.0095, 0.035625, 0.0603, 0.063857, 0.063857, 0.0645, 0.0765, 0.486, 0.581182, 0.714875,
    0.753231, 0.813214, 1,
  ]);
  expect(rounded(adjusted(pValues, 'holm').slice(0, 4))).toEqual([0.0015, 0.0056, 0.0247, 0.114]);
  expect(rounded(adjusted(pValues, 'bonferroni').slice(0, 4))).toEqual([0.0015, 0.006, 0.0285, 0.1425]);
  expect([rejected('benjamini-hochberg'), rejected('holm'), rejected('bonferroni')]).toEqual([4, 3, 3]);
});

test('the order of the tests changes nothing, and no adjusted value is below the given one', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 30 }),
      fc.constantFrom<Adjustment>('benjamini-hochberg', 'holm', 'bonferroni'),
      (values, method) => {
        const forth = adjusted(values, method);
        expect(adjusted(values.toReversed(), method).toReversed()).toEqual(forth);
        for (const [index, p] of values.entries())
          expect(forth[index]).toBeGreaterThanOrEqual(p * (1 - 1e-12));
      },
    ),
    { numRuns: 200, seed: 1 },
  );
});

test('nothing tested is nothing adjusted; what is no p-value is refused', () => {
  expect(adjusted([], 'holm')).toEqual([]);
  expect(() => adjusted([0.5, Number.NaN], 'benjamini-hochberg')).toThrow(RangeError);
  expect(() => adjusted([1.1], 'bonferroni')).toThrow(RangeError);
});
