import fc from 'fast-check';
import { expect, test } from 'vitest';

import { chanceOfMore, expectedLoss, meanOf, posterior, standings } from './bayes.ts';
import { seededRandom } from './random.ts';

test('a uniform prior, 7 successes and 3 failures', () => {
  expect(posterior(7, 3)).toEqual({ a: 8, b: 4 });
  expect(meanOf(posterior(7, 3))).toBe(8 / 12);
});

test('the chance that one rate is above the other', () => {
  // By the sum, by hand: both uniform; one success more.
  expect(chanceOfMore({ a: 1, b: 1 }, { a: 1, b: 1 })).toBeCloseTo(0.5, 12);
  expect(chanceOfMore({ a: 1, b: 1 }, { a: 2, b: 1 })).toBeCloseTo(2 / 3, 12);
  const rates = fc.record({ a: fc.integer({ min: 1, max: 60 }), b: fc.integer({ min: 1, max: 60 }) });
  fc.assert(
    fc.property(rates, rates, (one, other) => {
      const chance = chanceOfMore(one, other);
      expect(chance + chanceOfMore(other, one)).toBeCloseTo(1, 9);
      // A hair off a whole number, it is integrated: the two ways agree.
      expect(chanceOfMore(one, { ...other, a: other.a + 1e-9 })).toBeCloseTo(chance, 6);
    }),
    { numRuns: 60, seed: 1 },
  );
  expect(chanceOfMore(posterior(40_000, 60_000), posterior(40_500, 59_500))).toBeCloseTo(0.9887, 3);
  expect(chanceOfMore({ a: 0.5, b: 0.5 }, { a: 0.5, b: 0.5 })).toBeCloseTo(0.5, 4);
});

test('losses and chances are those of a simulation', () => {
  const [one, other] = [posterior(30, 20), posterior(33, 17)];
  const draws = [one, other].map(
    ({ a, b }) =>
      (random: ReturnType<typeof seededRandom>) =>
        random.beta(a, b),
  );
  const [first, second] = standings(draws, seededRandom(2), 40_000);

  expect(second?.best).toBeCloseTo(chanceOfMore(one, other), 1.9);
  expect((first?.best ?? 0) + (second?.best ?? 0)).toBeCloseTo(1, 9);
  expect(first?.loss).toBeCloseTo(expectedLoss(one, other), 2.7);
  expect(second?.loss).toBeCloseTo(expectedLoss(other, one), 2.7);
  expect(standings(draws, seededRandom(2), 100)).toEqual(standings(draws, seededRandom(2), 100));
});

test('equal choices share the chance, and a single one has all of it', () => {
  const alike = standings([() => 1, () => 1], seededRandom(1), 10);
  expect(alike).toEqual([
    { best: 0.5, loss: 0 },
    { best: 0.5, loss: 0 },
  ]);
  expect(standings([() => 3], seededRandom(1), 10)).toEqual([{ best: 1, loss: 0 }]);
  expect(() => standings([], seededRandom(1))).toThrow(RangeError);
  expect(() => posterior(-1, 2)).toThrow(RangeError);
  expect(() => posterior(1, Number.NaN)).toThrow(RangeError);
});
