import { expect, test } from 'vitest';

import { binomialCdf } from './distributions.ts';
import { anytimeInterval, anytimeP, evidenceAgainst, evidenceAgainstEven } from './evalues.ts';
import { seededRandom } from './random.ts';
import { wilson } from './rates.ts';

test('10 wins and 2 losses are not enough for always, though they are for one look', () => {
  expect(evidenceAgainstEven(10, 2).toFixed(4)).toBe('4.7739');
  expect((2 * binomialCdf(2, 12, 0.5)).toFixed(4)).toBe('0.0386');
  expect(evidenceAgainstEven(20, 2).toFixed(2)).toBe('789.44');
  expect(evidenceAgainst(10, 2, 0.5)).toBe(evidenceAgainstEven(10, 2));
  expect(evidenceAgainstEven(0, 0)).toBeCloseTo(1, 12);
  expect([anytimeP(20), anytimeP(0), anytimeP(Infinity)]).toEqual([0.05, 1, 0]);
});

test('looking after every game, a fair coin is rejected in at most 5 % of series; one that is not, is found', () => {
  const random = seededRandom(5);
  const rejects = (rate: number) => {
    let [wins, losses] = [0, 0];
    for (let game = 0; game < 400; game += 1) {
      if (random.uniform() < rate) wins += 1;
      else losses += 1;
      if (evidenceAgainstEven(wins, losses) >= 20) return true;
    }
    return false;
  };
  const share = (rate: number) =>
    Array.from({ length: 600 }, () => rejects(rate)).filter(Boolean).length / 600;

  expect(share(0.5)).toBeLessThan(0.05);
  expect(share(0.7)).toBeGreaterThan(0.95);
});

test('the interval holds the rates that are not rejected, and is wider than one for a single look', () => {
  const [lower, upper] = anytimeInterval(40, 20);

  expect(evidenceAgainst(40, 20, lower)).toBeCloseTo(20, 6);
  expect(evidenceAgainst(40, 20, upper)).toBeCloseTo(20, 6);
  const [wilsonLower, wilsonUpper] = wilson(40, 60);
  expect(lower).toBeLessThan(wilsonLower);
  expect(upper).toBeGreaterThan(wilsonUpper);
  expect(anytimeInterval(0, 0)).toEqual([0, 1]);
  expect(anytimeInterval(0, 9)[0]).toBe(0);
  expect(anytimeInterval(9, 0)[1]).toBe(1);
});

test.each([
  () => evidenceAgainstEven(-1, 2),
  () => evidenceAgainstEven(Number.NaN, 2),
  () => evidenceAgainst(1, 2, 0),
  () => anytimeInterval(1, 2, 1),
  () => anytimeP(Number.NaN),
])('%s is refused', (compute) => expect(compute).toThrow(RangeError));
