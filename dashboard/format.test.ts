import { expect, test } from 'vitest';

import { durationText, latencyText, shareText } from './format.ts';

test.each([
  [0, '0 s'],
  [59_999, '59 s'],
  [300_000, '5 min'],
  [12_000_000, '3 h 20 min'],
  [187_200_000, '2 d 4 h'],
])('%i ms read as %s', (ms, text) => {
  expect(durationText(ms)).toBe(text);
});

test('a share is 100 % only when nothing was missed', () => {
  expect([1, 0.999999, 0.5, 0, null].map(shareText)).toEqual(['100 %', '99.99 %', '50.00 %', '0.00 %', '–']);
});

test('a latency has a decimal where it is small', () => {
  expect([0.84, 12.3, null].map(latencyText)).toEqual(['0.8 ms', '12 ms', '–']);
});
