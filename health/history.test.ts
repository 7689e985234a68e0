import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { openAgain, openDatabase } from '#runtime/database.ts';

import { temporaryFolder } from '../tests/support/serve.ts';
import { History, type Change, type Sample } from './history.ts';

const [secondMs, minuteMs, hourMs, dayMs] = [1_000, 60_000, 3_600_000, 86_400_000];
const noon = Date.parse('2026-11-20T12:00:00Z');

const sample = (name: string, result: Sample['result']): Sample => ({
  name,
  result,
  latencyMs: result === 'down' ? null : 1.5,
  reason: result === 'up' ? null : 'a reason',
});

test('samples come back oldest first, from an instant on, up to a limit', () => {
  using history = new History(':memory:');
  for (const second of [0, 1, 2, 3]) {
    history.record(noon + second * 1_000, [
      sample('memory', second === 1 ? 'down' : 'up'),
      sample('git', 'up'),
    ]);
  }

  const rows = history.samples('memory', noon + 1_000, 2);

  expect(rows).toEqual([
    { atMs: noon + 1_000, result: 'down', latencyMs: null, reason: 'a reason' },
    { atMs: noon + 2_000, result: 'up', latencyMs: 1.5, reason: null },
  ]);
});

/** A poll in each minute of a time; the last is the minute of `untilMs`. */
function poll(history: History, fromMs: number, untilMs: number, result: Sample['result']): void {
  for (let atMs = untilMs; atMs > fromMs; atMs -= 60_000) history.record(atMs, [sample('memory', result)]);
}

test('uptime is the share of polls that found the process up, over the hour and the day', () => {
  using history = new History(':memory:');
  poll(history, noon - 24 * hourMs, noon - 12 * hourMs, 'down');
  poll(history, noon - 12 * hourMs, noon - 0.5 * hourMs, 'up');
  poll(history, noon - 0.5 * hourMs, noon, 'not_ready');

  expect(history.uptimes(noon).get('memory')).toEqual({ hour: 0.5, day: 11.5 / 24 });
});

test.each([
  ['14 minutes', 0.25, { hour: null, day: null }],
  ['an hour', 1, { hour: 1, day: null }],
  ['22 hours', 22, { hour: 1, day: null }],
  ['nearly a day', 23.5, { hour: 1, day: 1 }],
])('after %s of polls there is a figure for what is covered, and for nothing else', (_for, hours, due) => {
  using history = new History(':memory:');
  poll(history, noon - hours * hourMs, noon, 'up');

  expect(history.uptimes(noon).get('memory')).toEqual(due);
});

test('a process that was not polled within the hour has no uptime for it', () => {
  using history = new History(':memory:');
  poll(history, noon - 24 * hourMs, noon - hourMs, 'up');

  const uptimes = history.uptimes(noon);

  expect(uptimes.get('memory')).toEqual({ hour: null, day: 1 });
  expect(uptimes.get('git')).toBeUndefined();
});

test('what is older than a day goes', () => {
  using history = new History(':memory:');
  history.record(noon - 25 * hourMs, [sample('memory', 'down')]);
  history.record(noon - 23 * hourMs, [sample('memory', 'up')]);

  history.record(noon, [sample('memory', 'up')]);

  expect(history.samples('memory', 0, 10).map(({ atMs }) => atMs)).toEqual([noon - 23 * hourMs, noon]);
});

test('a long backlog of old rows goes a part at a time', () => {
  using history = new History(':memory:');
  const old = noon - 500 * dayMs;
  for (let minute = 0; minute < 5; minute++)
    history.record(old + minute * minuteMs, [sample('memory', 'up')]);

  history.record(noon, [sample('git', 'up')]);
  const afterOne = history.samples('memory', 0, 10).length;
  for (let second = 1; second < 5; second++) history.record(noon + second * secondMs, [sample('git', 'up')]);

  expect(afterOne).toBe(4);
  expect(history.samples('memory', 0, 10)).toEqual([]);
  expect(history.counts('memory', 0, noon)).toEqual({ good: 0, total: 0 });
});

/** Sums as a year of polls leaves them, without its polls: `up` of 60 in each minute by its age in minutes. */
function seeded(folder: string, days: number, up: (age: number) => number | null): History {
  const file = join(folder, 'history.db');
  new History(file)[Symbol.dispose]();
  const database = openAgain(file);
  const end = Math.floor(noon / minuteMs);
  const tables = [
    ['minutes', 1, 3],
    ['hours', 60, 90],
    ['days', 1_440, 400],
  ] as const;
  const sums = tables.map(() => new Map<number, { polls: number; up: number }>());
  for (let age = days * 1_440; age >= 0; age--) {
    const found = up(age);
    if (found === null) continue;
    for (const [index, [, minutes, keptDays]] of tables.entries()) {
      if (age >= keptDays * 1_440) continue;
      const at = Math.floor((end - age) / minutes);
      const sum = sums[index]?.get(at) ?? { polls: 0, up: 0 };
      sums[index]?.set(at, { polls: sum.polls + 60, up: sum.up + found });
    }
  }
  database.transaction(() => {
    for (const [index, [table]] of tables.entries()) {
      const insert = database.prepare(`INSERT INTO ${table} VALUES (?, 'memory', ?, ?)`);
      for (const [at, sum] of sums[index] ?? []) insert.run(at, sum.polls, sum.up);
    }
  })();
  database.close();
  return new History(file, { isOpen: true });
}

test('strips of 24 hours and of 90 days show what a seeded history holds, and what was not polled', () => {
  using folder = temporaryFolder();
  // Down for the hour from 9 to 10 today, nobody polled from 3 to 5; half up ten days ago; nothing is older than 80 days.
  const midnight = 12 * 60;
  using history = seeded(folder.path, 80, (age) => {
    if (age > 2 * 60 && age <= 3 * 60) return 0;
    if (age > 7 * 60 && age <= 9 * 60) return null;
    return age > 9 * 1_440 + midnight && age <= 10 * 1_440 + midnight ? 30 : 60;
  });

  const day = history.strip('memory', 24, hourMs, noon);
  const quarters = history.strip('memory', 96, hourMs / 4, noon);
  const days = history.strip('memory', 90, dayMs, noon);

  const full = { up: 3_600, polls: 3_600 };
  // The last cell has begun with noon: one minute of it.
  expect(day).toHaveLength(24);
  expect(day[23]).toEqual({ up: 60, polls: 60 });
  expect(day.slice(11, 23).map((cell) => cell?.up ?? null)).toEqual([
    ...Array<number>(3).fill(3_600),
    null,
    null,
    ...Array<number>(4).fill(3_600),
    0,
    ...Array<number>(2).fill(3_600),
  ]);
  expect(day[22]).toEqual(full);
  expect(quarters).toHaveLength(96);
  expect(quarters[95]).toEqual({ up: 60, polls: 60 });
  expect(quarters.slice(83, 88).map((cell) => cell?.up)).toEqual([0, 0, 0, 0, 900]);
  expect(days).toHaveLength(90);
  expect(days.filter((cell) => cell === null)).toHaveLength(9);
  const shares = days.map((cell) => cell && cell.up / cell.polls);
  expect(shares[79]).toBe(0.5);
  expect(shares.filter((share) => share === 0.5)).toHaveLength(1);
  expect(shares[78]).toBe(1);
  expect(history.strip('git', 3, dayMs, noon)).toEqual([null, null, null]);
  expect(() => history.strip('memory', 1, 1_500, noon)).toThrow(RangeError);
});

test('counts over a time are those of each minute, whichever sums they come from', () => {
  using folder = temporaryFolder();
  const up = (age: number) => (age % 7 === 0 ? 55 : 60);
  using history = seeded(folder.path, 92, up);
  const end = noon + minuteMs;
  const lengthsMs = [
    5 * minuteMs,
    hourMs,
    dayMs,
    3 * dayMs - hourMs,
    30 * dayMs,
    30 * dayMs + 5 * hourMs + 7 * minuteMs,
    89 * dayMs,
  ];
  for (const lengthMs of lengthsMs) {
    const { good, total } = history.counts('memory', end - lengthMs, end);

    // Of a beginning that is older than minutes are kept, the hour is counted whole.
    const startMs = lengthMs > 3 * dayMs ? Math.floor((end - lengthMs) / hourMs) * hourMs : end - lengthMs;
    const minutes = (end - startMs) / minuteMs;
    let expected = 0;
    for (let age = 0; age < minutes; age++) expected += up(age);
    expect({ lengthMs, good, total }).toEqual({ lengthMs, good: expected, total: minutes * 60 });
  }
});

test('minutes go after three days, hours after 90 and days after 400, and the coarser sums keep them', () => {
  using history = new History(':memory:');
  for (const days of [399, 89, 2]) history.record(noon - days * dayMs, [sample('memory', 'up')]);

  for (let second = 0; second < 4; second++) history.record(noon + second * secondMs, []);

  expect(history.counts('memory', noon - 3 * dayMs, noon).total).toBe(1);
  expect(history.counts('memory', noon - 90 * dayMs, noon).total).toBe(2);
  expect(history.counts('memory', noon - 400 * dayMs, noon).total).toBe(3);
  expect(history.strip('memory', 400, dayMs, noon).filter((cell) => cell)).toHaveLength(3);
});

const health = (from: number, until: number, history: History, sincePreviousMs?: number) => {
  for (let atMs = from; atMs < until; atMs += secondMs)
    history.record(atMs, [sample('health', 'up'), sample('memory', 'up')], {
      sincePreviousMs: atMs === from ? sincePreviousMs : secondMs,
    });
};

test("minutes in which health did not poll are its own downtime, and nobody else's", () => {
  using history = new History(':memory:', { self: 'health' });
  health(noon, noon + 2 * minuteMs, history);
  health(noon + 62 * minuteMs, noon + 63 * minuteMs, history);

  expect(history.counts('health', noon, noon + 63 * minuteMs)).toEqual({ good: 180, total: 63 * 60 });
  expect(history.counts('memory', noon, noon + 63 * minuteMs)).toEqual({ good: 180, total: 180 });
  expect(history.strip('health', 2, hourMs, noon + 63 * minuteMs)).toEqual([
    { up: 120, polls: 3_600 },
    { up: 60, polls: 180 },
  ]);
  const [back, away] = history.transitions(0, 10);
  expect(away).toMatchObject({
    name: 'health',
    to: 'down',
    reason: 'it did not poll',
    atMs: noon + 2 * minuteMs - secondMs,
    endedAtMs: noon + 62 * minuteMs,
  });
  expect(back).toMatchObject({ name: 'health', from: 'down', to: 'up', endedAtMs: null });
});

test('a process of health that was stopped for a while has its gap too; one that is started again has none', () => {
  using history = new History(':memory:', { self: 'health' });
  health(noon, noon + minuteMs, history);
  health(noon + 5 * minuteMs, noon + 6 * minuteMs, history, 4 * minuteMs + secondMs);
  health(noon + 6 * minuteMs + 3 * secondMs, noon + 7 * minuteMs, history);

  expect(history.counts('health', noon, noon + 7 * minuteMs)).toEqual({
    good: 60 + 60 + 57,
    total: 6 * 60 + 57,
  });
});

test('a clock that is set ahead and back makes no downtime, and takes nothing away', () => {
  using history = new History(':memory:', { self: 'health' });
  health(noon, noon + 2 * minuteMs, history);
  const ahead = noon + 30 * dayMs;
  health(ahead, ahead + minuteMs, history, secondMs);
  health(noon + 3 * minuteMs, noon + 4 * minuteMs, history, secondMs);

  expect(history.counts('health', noon, noon + 4 * minuteMs)).toEqual({ good: 180, total: 180 });
  expect(history.counts('health', noon, ahead + hourMs)).toEqual({ good: 240, total: 240 });
  expect(history.samples('memory', noon, 1_000)).toHaveLength(240);
  expect(history.transitions(0, 10)).toEqual([]);
});

const change = (
  atMs: number,
  from: Change['from'],
  to: Change['to'],
  more: Partial<Change> = {},
): Change => ({ name: 'memory', atMs, from, to, reason: null, detectionMs: null, heldMs: null, ...more });
const changed = (history: History, ...changes: readonly Change[]) => {
  for (const one of changes) history.record(one.atMs, [], { changes: [one], sincePreviousMs: secondMs });
};

test('changes of status are kept with reason, detection and how long they lasted, the newest first', () => {
  using history = new History(':memory:');
  changed(
    history,
    change(noon, 'unknown', 'up'),
    change(noon + 1_000, 'up', 'down', { reason: 'no answer', detectionMs: 3_100, heldMs: 990 }),
    change(noon + 5_000, 'down', 'up', { heldMs: 4_000 }),
  );

  expect(history.transitions(0, 10)).toEqual([
    expect.objectContaining({ from: 'down', to: 'up', endedAtMs: null, durationMs: null }),
    {
      name: 'memory',
      atMs: noon + 1_000,
      from: 'up',
      to: 'down',
      reason: 'no answer',
      detectionMs: 3_100,
      endedAtMs: noon + 5_000,
      durationMs: 4_000,
    },
    expect.objectContaining({ from: 'unknown', to: 'up', endedAtMs: noon + 1_000, durationMs: 990 }),
  ]);
  expect(history.transitions(noon + 2_000, 10)).toHaveLength(2);
  expect(history.transitions(0, 1)).toHaveLength(1);
  expect(history.openTransitions().get('memory')).toMatchObject({ to: 'up', atMs: noon + 5_000 });
});

test('of one process no more than a thousand changes are kept, whatever it does, and none of others is lost', () => {
  using history = new History(':memory:');
  changed(history, change(noon, 'unknown', 'up', { name: 'git' }));
  for (let turn = 0; turn < 700; turn++) {
    const atMs = noon + turn * secondMs;
    history.record(atMs, [], {
      changes: [change(atMs, 'down', 'up'), change(atMs + 1, 'up', 'down')],
      sincePreviousMs: secondMs,
    });
  }

  const kept = history.transitions(0, 5_000);
  expect(kept.filter(({ name }) => name === 'memory')).toHaveLength(1_000);
  expect(kept.at(-1)).toMatchObject({ name: 'git' });
});

test('after a brief restart a status goes on; after a long one nobody knows how it was meanwhile', () => {
  using history = new History(':memory:');
  health(noon, noon + minuteMs, history);
  changed(history, change(noon + minuteMs, 'unknown', 'up'));
  const back = noon + minuteMs + 10_000;
  history.record(back, [sample('memory', 'up')], { changes: [change(back, 'unknown', 'up')] });
  expect(history.transitions(0, 10)).toHaveLength(1);

  const later = back + hourMs;
  history.record(later, [sample('memory', 'up')], { changes: [change(later, 'unknown', 'up')] });
  expect(history.transitions(0, 10)).toEqual([
    expect.objectContaining({ from: 'unknown', to: 'up', atMs: later, endedAtMs: null }),
    expect.objectContaining({ atMs: noon + minuteMs, endedAtMs: back }),
  ]);
});

test('a history of an older version keeps what it holds', () => {
  using folder = temporaryFolder();
  const first = join(folder.path, '001-history.sql');
  copyFileSync(new URL('migrations/001-history.sql', import.meta.url), first);
  expect(readFileSync(first, 'utf8')).toContain('CREATE TABLE minutes');
  const file = join(folder.path, 'history.db');
  const older = openDatabase(file, folder.path);
  const minute = Math.floor(noon / minuteMs);
  for (let age = 0; age < 1_440; age++)
    older.prepare('INSERT INTO minutes VALUES (?, ?, 60, ?)').run(minute - age, 'memory', age < 60 ? 0 : 60);
  older.prepare('INSERT INTO samples VALUES (?, ?, ?, ?, ?)').run(noon, 'memory', 'down', null, 'gone');
  older.close();

  using history = new History(file);

  expect(history.samples('memory', 0, 10)).toHaveLength(1);
  expect(history.counts('memory', noon - dayMs, noon + minuteMs)).toEqual({
    good: 1_380 * 60,
    total: 1_440 * 60,
  });
  expect(history.strip('memory', 2, dayMs, noon).map((cell) => cell?.polls)).toEqual([719 * 60, 721 * 60]);
  expect(history.strip('memory', 24, hourMs, noon).map((cell) => cell?.polls)).toContain(3_600);
  history.record(noon + minuteMs, [sample('memory', 'up')], { sincePreviousMs: minuteMs });
  expect(history.counts('memory', noon - dayMs, noon + 2 * minuteMs).good).toBe(1_380 * 60 + 1);
});
