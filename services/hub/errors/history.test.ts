import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { testCall } from '#runtime/testing.ts';

import { temporaryFolder } from '../../../tests/support/serve.ts';
import { failed, hourMs, minuteMs, startMs, testFailures } from './failures.fixture.ts';
import type { Failed } from './failures.ts';
import { defaultBounds, openHistory, type Bounds, type Slot } from './history.ts';
import { classify } from './classify.ts';

const dayMs = 24 * hourMs;
const noted = (overrides: object = {}) => ({
  owner: 'test',
  agent: 'builder',
  rule: classify({ code: 'ECONNRESET' }),
  sign: 'ECONNRESET',
  fingerprint: 'f0',
  message: 'cut off at 17',
  pattern: 'cut off at <n>',
  correlationId: undefined,
  lostAttempts: 1,
  workedMs: 0,
  delayedMessages: 0,
  ...overrides,
});

const slotsOf = (history: ReturnType<typeof openHistory>, owner = 'test', fromMs = 0, toMs = 1e15): Slot[] =>
  [...history.slots(owner, fromMs, toMs)].flat();

function testHistory(bounds: Partial<Bounds> = {}, file = ':memory:') {
  const history = openHistory(file, { ...defaultBounds, ...bounds });
  const note = (overrides: object = {}, atMs = startMs) =>
    history.write(() => {
      const pattern = history.note(noted(overrides), atMs);
      history.holdWithin((overrides as { owner?: string }).owner ?? 'test');
      return pattern;
    });
  const held = (owner = 'test') => history.kept().holdings.find((one) => one.owner === owner)?.items ?? 0;
  return { history, note, held };
}

describe('failures', () => {
  test('of one fingerprint are one pattern, with the first and the last of them', () => {
    const { history, note } = testHistory();
    using _ = history;
    const one = note();
    const other = note({ message: 'cut off at 99', agent: 'tester' }, startMs + hourMs);

    expect(other).toEqual({ ...one, lastMs: startMs + hourMs });
    expect(history.newest('test', 'f0', 10)).toEqual([
      { atMs: startMs + hourMs, agent: 'tester', message: 'cut off at 99', correlationId: null },
      { atMs: startMs, agent: 'builder', message: 'cut off at 17', correlationId: null },
    ]);
    expect(note({ owner: 'other' }).id).not.toBe(one.id);
    expect(note({ fingerprint: 'f1' }).id).not.toBe(one.id);
  });

  test('are summed by ten minutes and agent, with what they cost', () => {
    const { history, note } = testHistory();
    using _ = history;
    const { id } = note({ workedMs: 40, delayedMessages: 2 });
    note({ workedMs: 2, lostAttempts: 3 }, startMs + minuteMs);
    note({ agent: 'tester' }, startMs + minuteMs);
    note({}, startMs + 10 * minuteMs);

    const slotMs = startMs - 3 * minuteMs;
    const none = { lostAttempts: 1, workedMs: 0, delayedMessages: 0, failures: 1, pattern: id };
    expect(slotsOf(history)).toEqual([
      {
        ...none,
        startMs: slotMs,
        agent: 'builder',
        failures: 2,
        lostAttempts: 4,
        workedMs: 42,
        delayedMessages: 2,
      },
      { ...none, startMs: slotMs, agent: 'tester' },
      { ...none, startMs: slotMs + 10 * minuteMs, agent: 'builder' },
    ]);
    expect(slotsOf(history, 'other')).toEqual([]);
  });

  test('are read page by page, each sum once', () => {
    const { history, note } = testHistory();
    using _ = history;
    for (let index = 0; index < 450; index += 1)
      note({ agent: `agent-${index % 7}`, fingerprint: `f${index % 3}` }, startMs + index * 3 * minuteMs);
    const all = slotsOf(history);

    expect(all.reduce((sum, { failures }) => sum + failures, 0)).toBe(450);
    expect(new Set(all.map(({ startMs, pattern, agent }) => `${startMs} ${pattern} ${agent}`)).size).toBe(
      all.length,
    );
    expect([...history.slots('test', 0, 1e15)].length).toBeGreaterThan(2);
    const [from, to] = [startMs + 2 * hourMs, startMs + 5 * hourMs];
    expect(slotsOf(history, 'test', from, to)).toEqual(
      all.filter(({ startMs }) => startMs >= from && startMs < to),
    );
  });

  test('survive the process, with what has been alerted', () => {
    using folder = temporaryFolder();
    const file = join(folder.path, 'errors.db');
    {
      using history = openHistory(file);
      history.stage(() => history.alerted(history.note(noted(), startMs).id, startMs));
    }
    using history = openHistory(file);

    expect(history.write(() => history.note(noted(), startMs + 1))).toMatchObject({
      firstMs: startMs,
      lastMs: startMs + 1,
      alertedMs: startMs,
    });
  });
});

describe('the history keeps', () => {
  test('of each token the newest failures, and the sums of all', () => {
    const { history, note, held } = testHistory({ quota: { items: 100, bytes: 1e9 } });
    using _ = history;
    note({ owner: 'other' });
    for (let index = 0; index < 500; index += 1) note({ message: `number ${index}` }, startMs + index);

    expect(held()).toBeLessThanOrEqual(100);
    expect(held()).toBeGreaterThan(100 - 64 - 1);
    expect(held('other')).toBe(1);
    expect(history.dropped()).toBe(500 - held());
    expect(history.newest('test', 'f0', 1)).toMatchObject([{ message: 'number 499' }]);
    expect(slotsOf(history).reduce((sum, { failures }) => sum + failures, 0)).toBe(500);
  });

  test('no more bytes of a token than it may', () => {
    const { history, note, held } = testHistory({ quota: { items: 1e6, bytes: 100_000 } });
    using _ = history;
    for (let index = 0; index < 300; index += 1) note({ message: 'm'.repeat(1_000) });

    expect(history.kept().holdings[0]?.bytes).toBeLessThanOrEqual(100_000);
    expect(held()).toBeGreaterThan(10);
  });

  test('the patterns of a token that were seen last, and nothing of those that had to go', () => {
    const { history, note, held } = testHistory({ mostPatterns: 100 });
    using _ = history;
    const ids = Array.from(
      { length: 150 },
      (_, index) => note({ fingerprint: `f${index}` }, startMs + index).id,
    );
    const left = ids.filter((id) => history.pattern(id));

    expect(left.length).toBeLessThanOrEqual(100);
    expect(left).toEqual(ids.slice(-left.length));
    expect([held(), history.dropped()]).toEqual([left.length, 150 - left.length]);
    expect(slotsOf(history).map(({ pattern }) => pattern)).toEqual(left);
  });

  test('the newest sums of a token, however many agents it names', () => {
    const { history, note } = testHistory({ mostSlots: 200 });
    using _ = history;
    for (let index = 0; index < 600; index += 1)
      note({ agent: `agent-${index}` }, startMs + Math.floor(index / 10) * 10 * minuteMs);
    const left = slotsOf(history);

    expect(left.length).toBeLessThanOrEqual(200);
    expect(left.at(-1)?.agent).toBe('agent-599');
  });

  test('no more failures than there is room for, and takes them from whoever has most', () => {
    const { history, note, held } = testHistory({ mostFailures: 300 });
    using _ = history;
    for (let index = 0; index < 20; index += 1) note({ owner: 'modest' });
    for (let index = 0; index < 600; index += 1) note({ owner: 'greedy' });

    expect(held('modest')).toBe(20);
    expect(held('greedy') + 20).toBeLessThanOrEqual(300);
  });

  test('failures for 30 days and sums for 61, and lets go of the rest some at a time', () => {
    const { history, note, held } = testHistory();
    using _ = history;
    for (let index = 0; index < 599; index += 1) note({}, startMs - 62 * dayMs);
    const ids = [
      note({}, startMs - 62 * dayMs),
      note({ fingerprint: 'f1' }, startMs - 31 * dayMs),
      note({ fingerprint: 'f2' }, startMs - 29 * dayMs),
    ].map(({ id }) => id);

    expect(history.sweep(startMs)).toBe(true);
    expect(held()).toBe(2);
    expect(history.sweep(startMs)).toBe(false);
    expect(held()).toBe(1);
    expect(slotsOf(history).map(({ failures }) => failures)).toEqual([1, 1]);
    expect(ids.map((id) => history.pattern(id)?.fingerprint)).toEqual([undefined, 'f1', 'f2']);
  });
});

describe('what fails in passing', () => {
  test('is kept without secrets, as one line, with what it belongs to', async () => {
    using folder = temporaryFolder();
    const file = join(folder.path, 'errors.db');
    {
      await using trial = testFailures({ file });
      trial.failures.record(
        [failed({ message: 'login as ann\npassword=hunter2 refused', correlationId: 'c1' })],
        startMs,
      );
      expect(trial.counted('failures')).toBe(1);
    }
    using history = openHistory(file);

    const { fingerprint = '' } = history.pattern(1) ?? {};
    expect(history.newest('test', fingerprint, 10)).toEqual([
      {
        atMs: startMs,
        agent: 'builder',
        message: 'login as ann password=[redacted] refused',
        correlationId: 'c1',
      },
    ]);
    expect(JSON.stringify(history.pattern(1))).not.toContain('hunter2');
  });

  test('never throws: what cannot be kept is counted and logged', async () => {
    await using trial = testFailures();
    trial.failures[Symbol.dispose]();
    trial.failures.record([failed(), failed()], startMs);

    expect(trial.failures.sweep(startMs)).toBe(false);
    expect([trial.counted('failures'), trial.counted('failures_lost'), trial.warnings]).toEqual([
      0,
      2,
      ['failures_lost', 'failures_not_swept'],
    ]);
    expect(() => trial.failures.probe()).toThrow('not open');
  });

  test('may say of itself what numbers it wants: sums stay whole and bounded', async () => {
    await using trial = testFailures();
    const costs: Partial<Failed>[] = [
      { workedMs: 1.4, lostAttempts: 0 },
      { workedMs: -5, delayedMessages: Infinity },
      { workedMs: 1e300 },
    ];
    trial.failures.record(
      costs.map((one) => failed(one)),
      startMs,
    );
    const question = { owner: 'test', hours: 1, nowMs: startMs };
    const { totals } = await trial.failures.reportOf(question, testCall());

    expect(totals).toMatchObject({ lost_attempts: 2, worked_ms: 1e9 + 1, delayed_messages: 1e9 });
  });

  test('is nothing where nothing failed', async () => {
    await using trial = testFailures();
    trial.failures.record([], startMs);

    expect([trial.counted('failures'), trial.warnings]).toEqual([0, []]);
  });
});
