import { expect, test } from 'vitest';

import { History, type Sample } from './history.ts';

const hourMs = 3_600_000;
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

test('a long backlog of old samples goes a minute at a time', () => {
  using history = new History(':memory:');
  const old = noon - 48 * hourMs;
  for (let minute = 0; minute < 5; minute++) history.record(old + minute * 60_000, [sample('memory', 'up')]);

  history.record(noon, [sample('git', 'up')]);
  const afterOne = history.samples('memory', 0, 10).length;
  for (let second = 1; second < 5; second++) history.record(noon + second * 1_000, [sample('git', 'up')]);

  expect(afterOne).toBe(4);
  expect(history.samples('memory', 0, 10)).toEqual([]);
});
