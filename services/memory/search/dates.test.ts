import { expect, test } from 'vitest';

import { periodsIn } from './dates.ts';

const calendar = { nowIso: '2026-10-14T09:00:00.000Z', years: () => [2026, 2025] };
const found = (text: string) =>
  periodsIn(text, calendar).map(({ from, until, isDay }) => [
    from.slice(0, 10),
    until.slice(0, 10),
    isDay ? 'day' : 'longer',
  ]);

// A day comes with the one before and the one after, a month with the day after.
test.each([
  ['on 2023-05-09', [['2023-05-08', '2023-05-11', 'day']]],
  ['2023-05', [['2023-05-01', '2023-06-02', 'longer']]],
  ['on 9 May 2023?', [['2023-05-08', '2023-05-11', 'day']]],
  ['the 1st of March, 2024', [['2024-02-29', '2024-03-03', 'day']]],
  ['May 9th, 2023', [['2023-05-08', '2023-05-11', 'day']]],
  [
    'Aug 15th',
    [
      ['2026-08-14', '2026-08-17', 'day'],
      ['2025-08-14', '2025-08-17', 'day'],
    ],
  ],
  [
    'between Aug 11 and August 15 2023',
    [
      ['2026-08-10', '2026-08-13', 'day'],
      ['2025-08-10', '2025-08-13', 'day'],
      ['2023-08-14', '2023-08-17', 'day'],
    ],
  ],
  ['December 2023', [['2023-12-01', '2024-01-02', 'longer']]],
  [
    'in December',
    [
      ['2026-12-01', '2027-01-02', 'longer'],
      ['2025-12-01', '2026-01-02', 'longer'],
    ],
  ],
  ['summer of 2023', [['2023-06-01', '2023-09-02', 'longer']]],
  ['last summer', [['2026-06-01', '2026-09-02', 'longer']]],
  ['last winter', [['2025-12-01', '2026-03-02', 'longer']]],
  ['in 2023', [['2023-01-01', '2024-01-01', 'longer']]],
  ['today', [['2026-10-14', '2026-10-15', 'day']]],
  ['yesterday', [['2026-10-13', '2026-10-14', 'day']]],
  ['last week', [['2026-10-05', '2026-10-12', 'longer']]],
  ['last month', [['2026-09-01', '2026-10-01', 'longer']]],
  ['last year', [['2025-01-01', '2026-01-01', 'longer']]],
])('%s', (text, periods) => {
  expect(found(text)).toEqual(periods);
});

test.each([
  'what may be done',
  'they march on',
  '45 May',
  '2023-13-01',
  'build 20230509',
  '1899 people',
  'version 2023',
  'a summer dress',
  '',
])('no time: %j', (text) => {
  expect(found(text)).toEqual([]);
});
