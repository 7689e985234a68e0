import { expect, test } from 'vitest';

import { UsageError } from '#runtime/errors.ts';

import { parseExpiry } from './token.ts';

const now = Date.parse('2026-11-20T12:00:00Z');

test.each([
  ['45m', '2026-11-20T12:45:00.000Z'],
  ['12h', '2026-11-21T00:00:00.000Z'],
  ['30d', '2026-12-20T12:00:00.000Z'],
  ['2027-01-31', '2027-01-31T00:00:00.000Z'],
])('%s from now is %s', (text, expected) => {
  expect(parseExpiry(text, now).toISOString()).toBe(expected);
});

test.each(['soon', '0d', '2020-01-01', '-1d', '', '99999999999d'])('"%s" is refused', (text) => {
  expect(() => parseExpiry(text, now)).toThrow(UsageError);
});
