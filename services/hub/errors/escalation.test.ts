import { describe, expect, test } from 'vitest';

import { alertOf, defaultWindows, isQuiet, windowsField, windowsOf } from './escalation.ts';
import { failed, minuteMs, startMs, testFailures } from './failures.fixture.ts';

/** One of each severity. */
const kinds = {
  critical: { code: 'ENOSPC', message: 'write failed' },
  high: { code: 'ECONNREFUSED', message: 'connect failed' },
  medium: { code: 'ECONNRESET', message: 'read failed' },
  low: { code: 'not_found', message: 'nothing there' },
} as const;
type Severity = keyof typeof kinds;

describe('failures become an alert', () => {
  test.each<[Severity, number]>([
    ['critical', 1],
    ['high', 3],
    ['medium', 10],
    ['low', 50],
  ])('of severity %s with the failure number %i in the window', async (severity, needed) => {
    await using trial = testFailures();
    for (let number = 1; number < needed; number += 1)
      trial.failures.record([failed(kinds[severity])], startMs + number);

    expect(trial.alerts).toEqual([]);
    trial.failures.record([failed(kinds[severity])], startMs + needed);

    expect(trial.alerts).toEqual([
      expect.objectContaining({ severity, cause: 'frequency', failures: needed, agents: ['builder'] }),
    ]);
    expect(trial.counted('alerts')).toBe(1);
  });

  test('once in a window, and again when it goes on after that', async () => {
    await using trial = testFailures();
    const { withinMs } = defaultWindows.high;
    for (let atMs = startMs; atMs < startMs + 3 * withinMs; atMs += minuteMs / 2)
      trial.failures.record([failed(kinds.high)], atMs);

    // The first with the third failure, after a minute; then one for each window that has passed.
    expect(trial.alerts.map(({ since_ms: sinceMs }) => (sinceMs - startMs) / minuteMs)).toEqual([
      0, 1.5, 6.5,
    ]);
  });

  test('not when they are spread over more than the window', async () => {
    await using trial = testFailures();
    for (let number = 0; number < 10; number += 1)
      trial.failures.record([failed(kinds.high)], startMs + number * 2.5 * minuteMs);

    expect(trial.alerts).toEqual([]);
  });

  test('each pattern for itself, and each token for itself', async () => {
    await using trial = testFailures();
    trial.failures.record([failed(kinds.high), failed({ ...kinds.high, message: 'another one' })], startMs);
    trial.failures.record([failed(kinds.high), failed({ ...kinds.high, owner: 'other' })], startMs);
    expect(trial.alerts).toEqual([]);

    trial.failures.record([failed(kinds.high)], startMs);

    expect(trial.alerts).toHaveLength(1);
  });

  test('though the clock was set back since the last one', async () => {
    await using trial = testFailures();
    trial.failures.record([failed(kinds.critical)], startMs);
    trial.failures.record([failed(kinds.critical)], startMs - 60 * minuteMs);
    trial.failures.record([failed(kinds.critical)], startMs - 59 * minuteMs);

    expect(trial.alerts).toHaveLength(2);
  });

  test('with windows of the operator', async () => {
    await using trial = testFailures({ windows: windowsOf('low=2/1') });
    trial.failures.record([failed(kinds.low), failed(kinds.low)], startMs);

    expect(trial.alerts).toMatchObject([{ severity: 'low', window_ms: minuteMs }]);
  });

  test('that holds nothing of what was said, but who was hit', async () => {
    await using trial = testFailures();
    const message = 'cannot write the plans of Ann to /home/ann/plans.txt';
    trial.failures.record([failed({ code: 'ENOSPC', message, name: 'AnnError' })], startMs);

    expect(trial.alerts).toEqual([
      {
        fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/) as string,
        severity: 'critical',
        category: 'resource',
        kind: 'disk_full',
        summary: 'A disk is full. 1 failure of critical severity (resource) in 5 minutes.',
        cause: 'frequency',
        failures: 1,
        window_ms: 300_000,
        since_ms: startMs,
        agents: ['builder'],
      },
    ]);
    expect(JSON.stringify(trial.alerts)).not.toMatch(/ann/i);
  });

  test('that names ten agents at most', async () => {
    await using trial = testFailures();
    trial.failures.record(
      Array.from({ length: 30 }, (_, index) => failed({ ...kinds.medium, agent: `agent-${index}` })),
      startMs,
    );
    const { agents } = alertOf(
      { fingerprint: '', severity: 'medium', category: 'connection', kind: 'cut_off' },
      'frequency',
      { failures: 30, sinceMs: startMs, agents: Array.from({ length: 30 }, (_, index) => `agent-${index}`) },
      defaultWindows.medium,
    );

    expect(agents).toHaveLength(10);
    expect(trial.alerts).toHaveLength(1);
  });
});

describe('an alert that cannot be sent', () => {
  test('is counted, logged, and raised again by a failure ten seconds later', async () => {
    let isAway = true;
    const sent: number[] = [];
    await using trial = testFailures({
      publish: async ({ since_ms: sinceMs }) => {
        if (isAway) throw new Error('The engine is away.');
        sent.push(sinceMs);
      },
    });
    const record = async (atMs: number) => {
      trial.failures.record([failed(kinds.critical)], atMs);
      // What is published is published in the same turn.
      await new Promise(setImmediate);
    };
    await record(startMs);
    expect([trial.counted('alerts_unpublished'), trial.warnings]).toEqual([1, ['alert_unpublished']]);

    await record(startMs + 5_000);
    expect(trial.counted('alerts_unpublished')).toBe(1);

    isAway = false;
    await record(startMs + 10_000);
    await record(startMs + 11_000);

    expect(sent).toHaveLength(1);
  });
});

test('is quiet for as long as the window, from the alert on', () => {
  const { high } = defaultWindows;

  expect([0, high.withinMs - 1, high.withinMs].map((ms) => isQuiet(startMs, high, startMs + ms))).toEqual([
    true,
    true,
    false,
  ]);
  expect(isQuiet(null, high, startMs)).toBe(false);
  expect(isQuiet(startMs + 1, high, startMs)).toBe(false);
});

describe('the setting of windows', () => {
  test('says what holds without it', () => {
    expect(windowsOf(windowsField.parse(undefined))).toEqual(defaultWindows);
    expect(windowsField.parse(undefined)).toBe('critical=1/5,high=3/5,medium=10/15,low=50/60');
  });

  test('changes what it names, and leaves the rest', () => {
    expect(windowsOf(windowsField.parse(' high = 5/10 , low=1/1440,'))).toEqual({
      ...defaultWindows,
      high: { failures: 5, withinMs: 10 * minuteMs },
      low: { failures: 1, withinMs: 1_440 * minuteMs },
    });
  });

  test.each([
    'high',
    'high=3',
    'high=0/5',
    'high=3/0',
    'high=1001/5',
    'high=3/1441',
    'severe=3/5',
    'high=3/5m',
    'high=-3/5',
    '=3/5',
  ])('refuses %j', (text) => {
    expect(windowsField.safeParse(text).error?.issues[0]?.message).toContain('is no window');
  });
});
