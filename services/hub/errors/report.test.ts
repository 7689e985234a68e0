import { describe, expect, test } from 'vitest';

import { pageBytes } from '#runtime/page.ts';
import { testCall } from '#runtime/testing.ts';

import { adviceRules } from './advice.ts';
import { failed, hourMs, minuteMs, startMs, testFailures } from './failures.fixture.ts';
import type { Failed, Failures } from './failures.ts';
import { trendOf } from './report.ts';
import { rules, unknownRule } from './rules.ts';

/** So many failures, spread over the time up to then. */
function fail(
  failures: Failures,
  count: number,
  overrides: Partial<Failed>,
  endMs = startMs,
  spanMs = 0,
): void {
  for (let index = 0; index < count; index += 1)
    failures.record([failed(overrides)], endMs - Math.floor((spanMs * index) / count));
}

const reportOf = async (failures: Failures, question: object = {}) =>
  failures.reportOf({ owner: 'test', hours: 24, nowMs: startMs, ...question }, testCall());

const timeout = { code: 'timeout', message: 'no answer after 30 s' };
const missing = { code: 'not_found', message: 'no task 17' };

describe('a report', () => {
  test('of nothing is empty', async () => {
    await using trial = testFailures();

    expect(await reportOf(trial.failures)).toEqual({
      totals: {
        from: '2026-11-28T12:10:00.000Z',
        to: '2026-11-29T12:03:00.000Z',
        failures: 0,
        before: 0,
        trend: 'steady',
        hourly: Array.from({ length: 24 }, () => 0),
        categories: [],
        severities: { low: 0, medium: 0, high: 0, critical: 0 },
        lost_attempts: 0,
        worked_ms: 0,
        delayed_messages: 0,
      },
      recommendations: [],
      patterns: [],
    });
  });

  test('has the patterns, the most frequent first, with agents, times and cost', async () => {
    await using trial = testFailures();
    fail(trial.failures, 2, { ...missing, workedMs: 100 });
    fail(trial.failures, 3, { ...timeout, agent: 'tester', delayedMessages: 2 });
    fail(trial.failures, 2, { ...timeout, message: 'no answer after 45 s' }, startMs - hourMs);
    const report = await reportOf(trial.failures);

    expect(report.patterns).toMatchObject([
      {
        category: 'timeout',
        severity: 'medium',
        kind: 'timeout',
        code: 'timeout',
        message: 'no answer after <n> s',
        failures: 5,
        before: 0,
        trend: 'new',
        agents: ['tester', 'builder'],
        agents_in_all: 2,
        first_at: '2026-11-29T12:03:00.000Z',
        last_at: '2026-11-29T12:03:00.000Z',
        lost_attempts: 5,
        worked_ms: 0,
        delayed_messages: 6,
      },
      { category: 'validation', message: 'no task <n>', failures: 2, worked_ms: 200 },
    ]);
    expect(report.totals).toMatchObject({
      failures: 7,
      severities: { low: 2, medium: 5, high: 0, critical: 0 },
      lost_attempts: 7,
      worked_ms: 200,
      delayed_messages: 6,
    });
    expect(report.totals.categories.map(({ category, failures }) => [category, failures])).toEqual([
      ['validation', 2],
      ['timeout', 5],
    ]);
  });

  test('counts the failures of each hour, the last of which is now', async () => {
    await using trial = testFailures();
    for (const [hoursAgo, count] of [
      [0, 1],
      [1, 2],
      [5, 3],
      [30, 4],
    ] as const)
      fail(trial.failures, count, timeout, startMs - hoursAgo * hourMs);

    expect((await reportOf(trial.failures, { hours: 6 })).totals.hourly).toEqual([3, 0, 0, 0, 2, 1]);
    const { hourly, failures } = (await reportOf(trial.failures, { hours: 72 })).totals;
    expect([hourly.length, hourly[17], failures]).toEqual([48, 4, 10]);
  });

  test('is of one token, and of one agent or category where that is asked for', async () => {
    await using trial = testFailures();
    fail(trial.failures, 3, timeout);
    fail(trial.failures, 2, { ...missing, agent: 'tester' });
    fail(trial.failures, 50, { ...timeout, owner: 'other' });
    const counted = async (question: object) => (await reportOf(trial.failures, question)).totals.failures;

    expect(await counted({})).toBe(5);
    expect(await counted({ agent: 'tester' })).toBe(2);
    expect(await counted({ category: 'timeout' })).toBe(3);
    expect(await counted({ agent: 'tester', category: 'timeout' })).toBe(0);
    expect(await counted({ owner: 'other' })).toBe(50);
    expect(await counted({ owner: 'nobody' })).toBe(0);
  });

  test('compares with as long a time before', async () => {
    await using trial = testFailures();
    const hours = 2;
    // The whole time before, and the whole time now.
    fail(trial.failures, 40, timeout, startMs - hours * hourMs, hours * hourMs - 10 * minuteMs);
    fail(trial.failures, 40, timeout, startMs, hours * hourMs - 10 * minuteMs);
    fail(trial.failures, 60, missing, startMs, hours * hourMs - 10 * minuteMs);
    fail(trial.failures, 10, missing, startMs - hours * hourMs - minuteMs);
    fail(trial.failures, 30, { code: 'ECONNRESET' }, startMs - hours * hourMs - minuteMs);
    fail(trial.failures, 1, { code: 'ECONNRESET' });
    const report = await reportOf(trial.failures, { hours });

    expect(
      report.patterns.map(({ kind, failures, before, trend }) => [kind, failures, before, trend]),
    ).toEqual([
      ['not_there', 60, 10, 'rising'],
      ['timeout', 40, 40, 'steady'],
      ['cut_off', 1, 30, 'falling'],
    ]);
  });

  test('of the largest history is made in steps', async () => {
    await using trial = testFailures();
    for (let slot = 0; slot < 30; slot += 1) {
      trial.failures.record(
        Array.from({ length: 50 }, (_, index) =>
          failed({
            message: `kind ${String.fromCodePoint(97 + (index % 26))}${'x'.repeat(index)}`,
            agent: `agent-${index}`,
          }),
        ),
        startMs - slot * 10 * minuteMs,
      );
    }
    const report = await reportOf(trial.failures);

    expect(report.totals.failures).toBe(1_500);
    expect(report.patterns).toHaveLength(50);
    expect(JSON.stringify(report.recommendations).length).toBeLessThan(pageBytes / 4);
  });
});

test.each([
  [0, 0, 'steady'],
  [1, 0, 'steady'],
  [3, 2, 'steady'],
  [4, 0, 'rising'],
  [20, 5, 'rising'],
  [5, 20, 'falling'],
  [0, 10, 'falling'],
  [1_000, 990, 'steady'],
])('%i failures after %i in as long a time are %s', (failures, before, trend) => {
  expect(trendOf({ failures, before }, 0.5)).toBe(trend);
});

test('a trend allows for the time that has not passed yet', () => {
  // Ten in the first ten minutes of an hour, twenty in the hour before.
  expect(trendOf({ failures: 10, before: 20 }, 0.5)).toBe('steady');
  expect(trendOf({ failures: 10, before: 20 }, 1 / 7)).toBe('rising');
});

describe('recommendations', () => {
  const advised = async (...all: readonly (readonly [number, Partial<Failed>])[]) => {
    await using trial = testFailures();
    for (const [count, overrides] of all) fail(trial.failures, count, overrides);
    const { recommendations } = await reportOf(trial.failures);
    return recommendations;
  };

  test.each<[string, ...(readonly [number, Partial<Failed>])[]]>([
    ['stop_writing', [1, { code: 'SQLITE_CORRUPT' }]],
    ['make_room', [1, { code: 'ENOSPC' }]],
    ['common_cause', [1, { agent: 'one' }], [2, { agent: 'two' }]],
    ['unreachable', [3, {}]],
    ['unsteady_connection', [10, { code: 'ECONNRESET' }]],
    ['renew_credentials', [1, { code: '', http_status: 401 }]],
    ['ask_for_permission', [3, { code: 'EACCES' }]],
    ['mend_the_input', [5, { code: 'invalid_input' }]],
    ['give_more_time', [5, timeout]],
    ['slow_down', [5, { code: '', http_status: 429 }]],
    ['take_turns', [5, { code: 'SQLITE_BUSY' }]],
    ['send_less', [3, { code: 'too_large' }]],
    ['speak_the_same', [3, { code: '-32601' }]],
    ['mend_the_program', [3, { code: 'internal', message: 'oops' }]],
    ['tell_more', [5, { code: '', message: 'oops' }]],
    ['what_has_changed', [20, { code: 'conflict' }]],
    ['lost_work', [3, { code: 'conflict', workedMs: 10 }]],
  ])('hold %s where failures are so, and not with one less', async (name, ...all) => {
    const named = (await advised(...all)).map(({ rule }) => rule);
    const fewer = (await advised(...all.map(([count, one]) => [count - 1, one] as const))).map(
      ({ rule }) => rule,
    );

    expect(named).toContain(name);
    expect(fewer).not.toContain(name);
  });

  test('are each tried above', () => {
    expect(adviceRules).toHaveLength(17);
    expect(new Set(adviceRules.map(({ name }) => name)).size).toBe(17);
  });

  test('name kinds of failures that there are', () => {
    const kinds = new Set([...rules, unknownRule].map(({ name }) => name));

    expect(adviceRules.flatMap(({ kinds: named = [] }) => named.filter((kind) => !kinds.has(kind)))).toEqual(
      [],
    );
  });

  test('say why, with the figures of all patterns that they hold for', async () => {
    const found = await advised(
      [6, { ...timeout, workedMs: 50 }],
      [6, { ...timeout, message: 'the other one is slow', agent: 'tester' }],
      [4, { code: 'conflict', message: 'changed' }],
    );

    expect(found.find(({ rule }) => rule === 'give_more_time')).toEqual({
      rule: 'give_more_time',
      advice: 'Ask for less at once, allow more time, or extend the lease while work goes on.',
      because:
        '12 failures of 2 patterns from 2 agents, 75 % of all, 0 in the 24 h before, 300 ms of work lost',
      failures: 12,
      fingerprints: [expect.any(String), expect.any(String)] as string[],
    });
    expect(found.map(({ failures }) => failures)).toEqual(
      found.map(({ failures }) => failures).toSorted((one, other) => other - one),
    );
  });

  test('are none where nothing stands out', async () => {
    expect(await advised([1, { code: 'conflict' }], [2, timeout])).toEqual([]);
  });
});
