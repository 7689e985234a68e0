import { expect, test } from 'vitest';

import {
  countText,
  durationText,
  errorText,
  instantText,
  latencyText,
  shareText,
  sizeText,
} from './format.ts';

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

test('errors are 0 % only when none failed', () => {
  const of = (errors: number, calls: number) => errorText({ calls, errors });

  expect([of(0, 0), of(0, 5), of(1, 100_000), of(3, 100), of(1, 3), of(7, 7)]).toEqual([
    '–',
    '0 %',
    '0.1 %',
    '3 %',
    '34 %',
    '100 %',
  ]);
});

test('figures have as many digits as say something', () => {
  expect([0.84, 12.3, 999.6, 12_300, 300_000, null].map(latencyText)).toEqual([
    '0.8 ms',
    '12 ms',
    '1.0 s',
    '12 s',
    '300 s',
    '–',
  ]);
  expect([430_000, 118_000_000, 1_240_000_000, null].map(sizeText)).toEqual([
    '0.4 MB',
    '118 MB',
    '1.2 GB',
    '–',
  ]);
  expect(countText(1_204_500)).toBe('1,204,500');
  expect(instantText('2026-11-20T12:05:59.123Z')).toBe('2026-11-20 12:05');
});
