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

test('uptime is the share of polls that found the process up, over the hour and the day', () => {
  using history = new History(':memory:');
  for (const result of ['down', 'up'] as const) history.record(noon - 5 * hourMs, [sample('memory', result)]);
  history.record(noon - 1_000, [sample('memory', 'up')]);
  history.record(noon, [sample('memory', 'not_ready')]);

  expect(history.uptimes(noon).get('memory')).toEqual({ hour: 0.5, day: 0.5 });
});

test('a process that was not polled within the hour has no uptime for it', () => {
  using history = new History(':memory:');
  history.record(noon - 2 * hourMs, [sample('memory', 'up')]);

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
  expect(history.uptimes(noon).get('memory')).toEqual({ hour: 1, day: 1 });
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
