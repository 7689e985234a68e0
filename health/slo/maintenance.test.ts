import { join } from 'node:path';
import { writeFileSync } from 'node:fs';

import { expect, test } from 'vitest';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { AlertStore } from './alert-store.ts';
import {
  beginningsOf,
  Maintenance,
  maintenanceFile,
  readRecurring,
  type RecurringWindow,
} from './maintenance.ts';

const log = { info() {}, error() {} };
const startMs = Date.parse('2026-11-29T12:00:00Z');
const hourMs = 3_600_000;

const manual = (processes: readonly string[] | null, toMs: number) => ({
  processes,
  toMs,
  reason: 'disk',
  startedBy: 'laptop',
});
const nightly: RecurringWindow = {
  name: 'nightly',
  processes: ['memory'],
  schedule: '0 3 * * *',
  timezone: 'UTC',
  minutes: 60,
  reason: 'updates',
};

test('a window holds for its processes, ends by itself, and is remembered', () => {
  using store = new AlertStore(':memory:', log);
  const maintenance = new Maintenance(store);
  maintenance.start(manual(['memory', 'git'], startMs + hourMs), startMs);

  expect(maintenance.covers(['memory'], startMs)).toBe(true);
  expect(maintenance.covers(['memory', 'git'], startMs)).toBe(true);
  expect(maintenance.covers(['memory', 'sqlite'], startMs)).toBe(false);
  // Such as a full disk: it is of no process.
  expect(maintenance.covers([], startMs)).toBe(false);
  expect(maintenance.covers(['memory'], startMs + hourMs)).toBe(false);
  expect(maintenance.history(startMs)).toMatchObject([{ id: 1, reason: 'disk', startedBy: 'laptop' }]);
  expect(maintenance.spans('git', { fromMs: startMs - hourMs, toMs: startMs + 1 })).toHaveLength(1);
  expect(maintenance.spans('git', { fromMs: startMs + hourMs, toMs: startMs + 2 * hourMs })).toEqual([]);
});

test('one of all processes keeps everything quiet', () => {
  using store = new AlertStore(':memory:', log);
  const maintenance = new Maintenance(store);
  maintenance.start(manual(null, startMs + hourMs), startMs);

  expect(maintenance.covers(['sqlite'], startMs)).toBe(true);
  expect(maintenance.covers([], startMs)).toBe(true);
});

test('it is ended by its number, or all are; what is over cannot be ended', () => {
  using store = new AlertStore(':memory:', log);
  const maintenance = new Maintenance(store);
  for (const name of ['memory', 'git', 'sqlite'])
    maintenance.start(manual([name], startMs + hourMs), startMs);

  expect(maintenance.end(2, startMs + 1_000)).toMatchObject([{ id: 2, toMs: startMs + 1_000 }]);
  expect(maintenance.end(2, startMs + 2_000)).toEqual([]);
  expect(maintenance.end(undefined, startMs + 3_000).map(({ id }) => id)).toEqual([1, 3]);
  expect(maintenance.at(startMs + 3_000)).toEqual([]);
});

test('windows outlive a restart; those that come back begin once, also when health was off at the time', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'alerts.db');
  const threeMs = Date.parse('2026-11-29T03:00:00Z');
  {
    using store = new AlertStore(file, log);
    const maintenance = new Maintenance(store);
    maintenance.start(manual(null, threeMs - 3_600_000), threeMs - 7_200_000);
    maintenance.plan([nightly], threeMs - 60_000);
    maintenance.plan([nightly], threeMs);
    maintenance.plan([nightly], threeMs + 5_000);
    expect(maintenance.at(threeMs + 5_000)).toMatchObject([
      { recurring: 'nightly', fromMs: threeMs, toMs: threeMs + hourMs, processes: ['memory'], startedBy: '' },
    ]);
    maintenance.end(undefined, threeMs + 600_000);
    maintenance.plan([nightly], threeMs + 700_000);
    expect(maintenance.at(threeMs + 700_000)).toEqual([]);
  }
  using store = new AlertStore(file, log);
  const again = new Maintenance(store);
  const tomorrowMs = threeMs + 24 * hourMs + 600_000;
  again.plan([nightly], tomorrowMs);

  expect(again.at(tomorrowMs)).toMatchObject([{ recurring: 'nightly', fromMs: threeMs + 24 * hourMs }]);
  expect(again.history(0).filter(({ recurring }) => recurring !== null)).toHaveLength(3);
  again.plan([], tomorrowMs + 200 * 24 * hourMs);
  expect(again.history(0)).toEqual([]);
});

test.each<[string, string, string | undefined, string[]]>([
  ['every Sunday at three', '0 3 * * sun', 'UTC', ['2026-11-29T03:00:00.000Z']],
  [
    'by the clock of another place',
    '0 3 * * *',
    'Europe/Berlin',
    ['2026-11-29T02:00:00.000Z', '2026-11-30T02:00:00.000Z'],
  ],
  [
    'every six hours',
    '0 */6 * * *',
    'UTC',
    [
      '2026-11-29T00:00:00.000Z',
      '2026-11-29T06:00:00.000Z',
      '2026-11-29T12:00:00.000Z',
      '2026-11-29T18:00:00.000Z',
      '2026-11-30T00:00:00.000Z',
      '2026-11-30T06:00:00.000Z',
    ],
  ],
])('%s', (_, schedule, timezone, expected) => {
  const span = { fromMs: Date.parse('2026-11-29T00:00:00Z'), toMs: Date.parse('2026-11-30T12:00:00Z') };

  expect(beginningsOf({ schedule, timezone }, span).map((ms) => new Date(ms).toISOString())).toEqual(
    expected,
  );
});

test('a night that has the hour twice, or not at all, has one window', () => {
  const inBerlin = { schedule: '30 2 * * *', timezone: 'Europe/Berlin' };
  const night = (day: string) => ({
    fromMs: Date.parse(`${day}T00:00:00Z`) - 2 * hourMs,
    toMs: Date.parse(`${day}T12:00:00Z`),
  });

  expect(beginningsOf(inBerlin, night('2026-10-25'))).toHaveLength(1);
  expect(beginningsOf(inBerlin, night('2026-03-29'))).toHaveLength(1);
});

const window = (more: string) =>
  `windows:\n  - { name: nightly, processes: all, schedule: "0 3 * * *", minutes: 60, reason: updates${more} }\n`;

test.each<[string, string, RegExp]>([
  ['no list', 'windows: nightly\n', /line 1, windows: must be a list/],
  ['an unknown field', window(', owner: me'), /line 2, windows\.0\.owner: there is no such field/],
  [
    'a process that is none',
    window('').replace('all', '[memroy]'),
    /windows\.0\.processes: must be all, or a list of memory/,
  ],
  ['no process', window('').replace('all', '[]'), /windows\.0\.processes/],
  [
    'a schedule that is none',
    window('').replace('0 3 * * *', 'at night'),
    /windows\.0\.schedule: must be a schedule of five fields/,
  ],
  [
    'a schedule of six fields',
    window('').replace('0 3 * * *', '0 0 3 * * *'),
    /must be a schedule of five fields/,
  ],
  [
    'a day that never comes',
    window('').replace('0 3 * * *', '0 3 30 2 *'),
    /must be a schedule of five fields/,
  ],
  ['a place that is none', window(', timezone: Europe/Nowhere'), /windows\.0\.timezone: must be a time zone/],
  ['no time', window('').replace('60', '0'), /windows\.0\.minutes: must be at least 1/],
  ['for ever', window('').replace('60', '1000000'), /must be at most 20160/],
  ['no reason', window('').replace('updates', '""'), /windows\.0\.reason: must say why/],
  ['a name twice', `${window('')}${window('').split('\n')[1]}\n`, /nightly stands there twice/],
  ['no YAML', 'windows: [', /maintenance\.yaml, line 1: /],
])('a file with %s is refused', (_, text, complaint) => {
  using folder = temporaryFolder();
  writeFileSync(maintenanceFile(folder.path), text);

  expect(() => readRecurring(maintenanceFile(folder.path))).toThrow(complaint);
});

test('a file that is right is read', () => {
  using folder = temporaryFolder();
  writeFileSync(maintenanceFile(folder.path), window(', timezone: Europe/Berlin'));

  expect(readRecurring(maintenanceFile(folder.path))).toEqual([
    { ...nightly, processes: 'all', timezone: 'Europe/Berlin' },
  ]);
});
