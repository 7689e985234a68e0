import { expect, test } from 'vitest';

import { instantField, toUtc } from './time.ts';

const field = instantField('When.');

test.each([
  ['2025-01-15T10:00:30.5Z', '2025-01-15T10:00:30.500Z'],
  ['2025-01-15T10:00Z', '2025-01-15T10:00:00.000Z'],
  ['2025-01-15t10:00z', '2025-01-15T10:00:00.000Z'],
  ['2025-01-15T10:00+01:30', '2025-01-15T08:30:00.000Z'],
  ['2025-01-15T10:00+0130', '2025-01-15T08:30:00.000Z'],
  ['2024-02-29', '2024-02-29T00:00:00.000Z'],
])('%s is %s', (text, kept) => {
  expect(field.safeParse(text).success).toBe(true);
  expect(toUtc(text)).toBe(kept);
});

test.each([
  '2025-01-15T10:00',
  '2025-02-29',
  '2025-02-30T00:00Z',
  '2025-13-01',
  '2025-01-15T24:00Z',
  '2025-01-15T10Z',
  '2025-1-5',
  '2025-01',
  '20250115',
  '9999-12-31T23:00-12:00',
  '0000-01-01T00:00+12:00',
  'yesterday',
  '',
])('%j is refused', (text) => {
  expect(field.safeParse(text).error?.issues[0]?.message).toMatch(/^must be an ISO 8601 date, or a time/);
});
