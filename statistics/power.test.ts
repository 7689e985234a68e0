import { expect, test } from 'vitest';

import { detectable, equivalenceItems, pairedItems, powerOf, unpairedItems } from './power.ts';
import { seededRandom } from './random.ts';

test('Miller’s worked size, and two rates', () => {
  expect(pairedItems(0.03, 1 / 9).toFixed(3)).toBe('968.997');
  expect(Math.ceil(pairedItems(0.03, 1 / 9))).toBe(969);
  expect(Math.ceil(unpairedItems(0.8, 0.85))).toBe(903);
});

test('what the items show, and the power of what they show, lead back', () => {
  expect(detectable(pairedItems(0.03, 1 / 9), 1 / 9)).toBeCloseTo(0.03, 12);
  expect(powerOf(pairedItems(0.03, 1 / 9), 0.03, 1 / 9)).toBeCloseTo(0.8, 4);
  expect(powerOf(100, 0, 1)).toBeCloseTo(0.05, 12);
  expect([powerOf(5, 0.1, 0), powerOf(5, 0, 0)]).toEqual([1, 0.05]);
});

test('so many items show two equal models to be equivalent as often as promised', () => {
  const n = Math.ceil(equivalenceItems(0.1, 0, 0.2));
  const random = seededRandom(9);
  let shown = 0;
  for (let trial = 0; trial < 2_000; trial += 1) {
    const mean = random.normal() * Math.sqrt(0.2 / n);
    if (Math.abs(mean) + 1.959964 * Math.sqrt(0.2 / n) < 0.1) shown += 1;
  }
  expect(shown / 2_000).toBeGreaterThan(0.77);
  expect(shown / 2_000).toBeLessThan(0.84);
  expect(equivalenceItems(0.1, 0.1, 0.2)).toBe(Infinity);
});

test.each([
  () => pairedItems(0, 1),
  () => pairedItems(Number.NaN, 1),
  () => pairedItems(0.1, -1),
  () => pairedItems(0.1, 1, { power: 1 }),
  () => unpairedItems(1.2, 0.5),
  () => detectable(0, 1),
  () => powerOf(10, 0.1, 1, 2),
  () => equivalenceItems(0, 0, 1),
])('%s is refused', (compute) => expect(compute).toThrow(RangeError));
