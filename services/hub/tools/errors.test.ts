import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { pageBytes } from '#runtime/page.ts';
import { invoke, testCall } from '#runtime/testing.ts';
import type { Call } from '#runtime/tool.ts';

import { openTrial, type Trial } from '../hub.fixture.ts';
import { failed, startMs, testFailures } from '../errors/failures.fixture.ts';
import type { FailureOptions } from '../errors/failures.ts';
import { mostStrategies } from '../errors/kept-strategies.ts';
import { defaultStrategies } from '../errors/strategies.ts';
import {
  errorTools,
  getErrorReport,
  listRecoveryStrategies,
  reportError,
  setRecoveryStrategy,
  type ErrorDeps,
} from './errors.ts';

/** The agents of all tests: failures and strategies each test has of its own. */
let hub: Trial;
beforeAll(async () => {
  hub = await openTrial();
  await hub.call('test', 'register_agent', { name: 'builder' });
  await hub.call('test', 'register_agent', { name: 'tester' });
  await hub.call('other', 'register_agent', { name: 'stranger' });
});
afterAll(async () => hub[Symbol.asyncDispose]());

function testTools(options: Partial<FailureOptions> = {}) {
  const trial = testFailures(options);
  const deps: ErrorDeps = { failures: trial.failures, agents: hub.hub.agents };
  const at = { nowMs: startMs };
  const report = async (args: object = {}, call: Partial<Call> = {}) =>
    invoke(reportError, { agent: 'builder', message: 'connect ECONNREFUSED', ...args }, deps, {
      ...at,
      ...call,
    });
  const set = async (args: object, call: Partial<Call> = {}) =>
    invoke(setRecoveryStrategy, args, deps, { ...at, ...call });
  const list = async (args: object = {}, call: Partial<Call> = {}) =>
    invoke(listRecoveryStrategies, args, deps, { ...at, ...call });
  const look = async (args: object = {}, call: Partial<Call> = {}) =>
    invoke(getErrorReport, args, deps, { ...at, ...call });
  return { ...trial, deps, report, set, list, look, [Symbol.asyncDispose]: trial[Symbol.asyncDispose] };
}

describe('report_error', () => {
  test('says what to do and what it was, and keeps it', async () => {
    await using trial = testTools();

    expect(await trial.report({ code: 'ECONNREFUSED', worked_ms: 700, delayed_messages: 3 })).toEqual({
      do: 'retry',
      after_ms: 1_000,
      tries_left: 1,
      failure: {
        category: 'connection',
        severity: 'high',
        kind: 'refused',
        says: 'Nothing takes connections where they were to go.',
        retryable: true,
        fingerprint: expect.stringMatching(/^[0-9a-f]{16}$/) as string,
      },
      alerted: false,
    });
    expect(await trial.look()).toMatchObject({
      totals: { failures: 1, lost_attempts: 1, worked_ms: 700, delayed_messages: 3 },
    });
  });

  test('leads from attempt to attempt: retry, reconnect, fallback, escalate', async () => {
    await using trial = testTools();
    const course = [];
    for (const attempt of [1, 2, 3, 4, 5, 6, 7, 8]) {
      const { do: action, after_ms: afterMs, to } = await trial.report({ attempt, capability: 'build' });
      course.push([action, afterMs, to]);
    }

    expect(course).toEqual([
      ['retry', 1_000, undefined],
      ['retry', 2_000, undefined],
      ['reconnect', 1_000, undefined],
      ['reconnect', 2_000, undefined],
      ['reconnect', 4_000, undefined],
      ['reconnect', 8_000, undefined],
      ['fallback', 0, { capability: 'build' }],
      ['escalate', 0, undefined],
    ]);
  });

  test('leaves a part of the delay to chance', async () => {
    await using trial = testTools({ chance: () => 1 });

    expect((await trial.report()).after_ms).toBe(500);
  });

  test('waits as long as what failed says', async () => {
    await using trial = testTools();

    expect((await trial.report({ retry_after_ms: 90_000 })).after_ms).toBe(90_000);
  });

  test('raises an alert where there are many, once, and says so', async () => {
    await using trial = testTools();
    const alerted = [];
    for (let count = 0; count < 5; count += 1) alerted.push((await trial.report()).alerted);

    expect(alerted).toEqual([false, false, true, false, false]);
    expect(trial.alerts).toHaveLength(1);
  });

  test('raises an alert where a strategy has come to its end, once in the window', async () => {
    await using trial = testTools();
    const first = await trial.report({ attempt: 99 });
    const second = await trial.report({ attempt: 100 });

    expect([first.do, first.alerted, second.do, second.alerted]).toEqual([
      'escalate',
      true,
      'escalate',
      false,
    ]);
    expect(trial.alerts).toMatchObject([{ cause: 'strategy', failures: 1, severity: 'high' }]);
    expect(trial.alerts[0]?.summary).toContain('Its recovery strategy has no further step.');
  });

  test('keeps no secret and tells none', async () => {
    await using trial = testTools();
    const secret = `sk-${'Ab1'.repeat(12)}`;
    const answer = await trial.report({
      message: `401 from https://ann:hunter2@host.example with Authorization: Bearer ${secret}`,
      code: secret,
      name: secret,
    });
    const report = await trial.look();

    expect(report.totals.failures).toBe(1);
    expect(JSON.stringify([answer, report, trial.alerts])).not.toMatch(/hunter2|sk-Ab1/);
  });

  test('takes a code that is a number, and a message however long it may be', async () => {
    await using trial = testTools();
    const { failure } = await trial.report({ code: -32_601, message: 'x y'.repeat(33_333) });

    expect(failure.kind).toBe('not_offered');
    expect(JSON.stringify(await trial.look()).length).toBeLessThan(3_000);
  });

  test.each([
    ['nobody', 'not_found', 'There is no agent nobody.'],
    ['stranger', 'forbidden', 'The agent stranger belongs to another token.'],
  ])('is refused for the agent %s: %s', async (agent, code, message) => {
    await using trial = testTools();

    await expect(trial.report({ agent })).rejects.toMatchObject({ code, message });
    expect((await trial.look()).totals.failures).toBe(0);
  });

  test('raises one alert, however many come at once', async () => {
    await using trial = testTools();
    const answers = await Promise.all(Array.from({ length: 20 }, async () => trial.report({ attempt: 99 })));

    expect(answers.filter(({ alerted }) => alerted)).toHaveLength(1);
    expect(trial.alerts).toHaveLength(1);
    expect((await trial.look()).totals.failures).toBe(20);
  });

  test('fails and keeps nothing while strategies cannot be asked for, so that it can be told again', async () => {
    await using trial = testTools();
    await trial.engine[Symbol.asyncDispose]();

    await expect(trial.report()).rejects.toThrow('not open');
    expect((await trial.look()).totals.failures).toBe(0);
  });

  test('fails where nothing can be kept, and nothing was', async () => {
    await using trial = testTools();
    trial.failures[Symbol.dispose]();

    await expect(trial.report()).rejects.toThrow('not open');
    expect(trial.counted('failures')).toBe(0);
  });
});

describe('set_recovery_strategy', () => {
  test('decides what failures of an agent, a capability or a category lead to', async () => {
    await using trial = testTools();
    await trial.set({ steps: [{ do: 'ignore' }] });
    await trial.set({ category: 'connection', steps: [{ do: 'reconnect', initial_delay_ms: 5, jitter: 0 }] });
    await trial.set({ capability: 'build', steps: [{ do: 'fallback', agent: 'tester' }] });
    await trial.set({ agent: 'tester', category: 'connection', steps: [{ do: 'shut_down' }] });
    const action = async (args: object) => (await trial.report(args)).do;

    expect(await action({ code: 'timeout' })).toBe('ignore');
    expect(await trial.report()).toMatchObject({ do: 'reconnect', after_ms: 5 });
    expect(await trial.report({ capability: 'build' })).toMatchObject({
      do: 'fallback',
      to: { agent: 'tester' },
    });
    expect(await action({ agent: 'tester', capability: 'build' })).toBe('shut_down');
    expect(await action({ agent: 'tester', code: 'timeout' })).toBe('ignore');
  });

  test('replaces what was set for the same, and goes back to the default without steps', async () => {
    await using trial = testTools();

    expect(await trial.set({ category: 'timeout', steps: [{ do: 'ignore' }] })).toEqual({ replaced: false });
    expect(await trial.set({ category: 'timeout', steps: [{ do: 'escalate' }] })).toEqual({ replaced: true });
    expect(await trial.set({ category: 'timeout', steps: [] })).toEqual({ replaced: true });
    expect(await trial.set({ category: 'timeout', steps: [] })).toEqual({ replaced: false });
    expect((await trial.report({ code: 'timeout' })).do).toBe('retry');
  });

  test('counts for the own token alone', async () => {
    await using trial = testTools();
    await trial.set({ steps: [{ do: 'ignore' }] });

    expect((await trial.report({ agent: 'stranger' }, { caller: 'other' })).do).toBe('retry');
    expect(
      (await trial.list({}, { caller: 'other' })).strategies.every((one) => one.set_by === 'default'),
    ).toBe(true);
  });

  test('tells a token from another that begins alike', async () => {
    await using trial = testTools();
    for (const caller of ['test', 'test-2', 'test.2', 'test0'])
      await trial.set({ capability: 'a', steps: [{ do: 'ignore' }] }, { caller });
    await trial.set({ agent: 'builder', category: 'timeout', steps: [{ do: 'ignore' }] });
    const { strategies } = await trial.list();

    expect(strategies.filter((one) => one.set_by === 'you')).toEqual([
      { set_by: 'you', capability: 'a', steps: [{ do: 'ignore' }] },
      { set_by: 'you', agent: 'builder', category: 'timeout', steps: [{ do: 'ignore' }] },
    ]);
  });

  test('keeps a hundred of a token, and no more', async () => {
    await using trial = testTools();
    const one = async (index: number) => trial.set({ capability: `c${index}`, steps: [{ do: 'ignore' }] });
    for (let index = 0; index < mostStrategies; index += 1) await one(index);

    await expect(one(mostStrategies)).rejects.toMatchObject({ code: 'too_large' });
    expect(await one(0)).toEqual({ replaced: true });
  });

  test.each([
    ['nobody', 'not_found'],
    ['stranger', 'forbidden'],
  ])('is refused for the agent %s: %s', async (agent, code) => {
    await using trial = testTools();

    await expect(trial.set({ agent, steps: [{ do: 'ignore' }] })).rejects.toMatchObject({ code });
    expect((await trial.list()).strategies).toHaveLength(defaultStrategies.length);
  });
});

describe('list_recovery_strategies', () => {
  test('has the own ones, then the default ones, page by page', async () => {
    await using trial = testTools();
    await trial.set({ agent: 'builder', steps: [{ do: 'retry', times: 3 }, { do: 'ignore' }] });
    const found = [];
    for (let cursor: string | undefined, isFirst = true; isFirst || cursor; isFirst = false) {
      const page = await trial.list({ limit: 4, cursor });
      found.push(...page.strategies);
      cursor = page.next_cursor;
    }

    expect(found).toEqual([
      { set_by: 'you', agent: 'builder', steps: [{ do: 'retry', times: 3 }, { do: 'ignore' }] },
      ...defaultStrategies.map((one) => ({ set_by: 'default', ...one })),
    ]);
  });

  test('never says more at once than an answer may hold', async () => {
    await using trial = testTools();
    const steps = Array.from({ length: 10 }, () => ({ do: 'fallback', agent: 'x'.repeat(128) }));
    for (let index = 0; index < 60; index += 1) await trial.set({ capability: `c${index}`, steps });
    const page = await trial.list({ limit: 200 });

    expect(page.truncated).toBe(true);
    expect(JSON.stringify(page).length).toBeLessThan(pageBytes + 1_000);
  });
});

describe('get_error_report', () => {
  test('tells patterns page by page, each once', async () => {
    await using trial = testTools();
    const letters = Array.from({ length: 26 }, (_, index) => String.fromCodePoint(97 + index));
    trial.failures.record(
      letters.map((letter) => failed({ message: `case ${letter} went wrong` })),
      startMs,
    );
    const found: string[] = [];
    for (let cursor: string | undefined, isFirst = true; isFirst || cursor; isFirst = false) {
      const page = await trial.look({ limit: 7, cursor });
      expect(page.totals.failures).toBe(26);
      found.push(...page.patterns.map(({ message }) => message));
      cursor = page.next_cursor;
    }

    expect(found.toSorted()).toEqual(letters.map((letter) => `case ${letter} went wrong`));
  });

  test('never says more at once than an answer may hold', async () => {
    await using trial = testTools();
    const long = Array.from({ length: 100 }, (_, index) =>
      failed({ message: `${'語'.repeat(index + 1)} ${'ж'.repeat(900)}`, code: `E_${'x'.repeat(60)}` }),
    );
    trial.failures.record(long, startMs);
    const page = await trial.look({ limit: 100 });

    expect(page.truncated).toBe(true);
    expect(Buffer.byteLength(JSON.stringify(page))).toBeLessThan(pageBytes + 5_000);
  });

  test('shows the newest failures of one fingerprint, as they were told', async () => {
    await using trial = testTools();
    const { failure } = await trial.report({
      message: 'connect ECONNREFUSED 10.0.0.1:80',
      correlation_id: 'c1',
    });
    await trial.report(
      { message: 'connect ECONNREFUSED 10.0.0.2:80', agent: 'tester' },
      { nowMs: startMs + 1 },
    );
    await trial.report({ message: 'something else' });
    const asked = { fingerprint: failure.fingerprint };

    expect(await trial.look(asked)).toMatchObject({
      totals: { failures: 2 },
      patterns: [{ failures: 2, message: 'connect ECONNREFUSED <n>' }],
      newest: [
        { at: '2026-11-29T12:03:00.001Z', agent: 'tester', message: 'connect ECONNREFUSED 10.0.0.2:80' },
        { at: '2026-11-29T12:03:00.000Z', message: 'connect ECONNREFUSED 10.0.0.1:80', correlation_id: 'c1' },
      ],
    });
    expect((await trial.look({ ...asked, limit: 1 })).newest).toHaveLength(1);
    expect(await trial.look(asked, { caller: 'other' })).toMatchObject({ patterns: [], newest: [] });
    expect(await trial.look()).not.toHaveProperty('newest');
  });

  test('says whether other hubs keep some too', async () => {
    await using alone = testTools();
    await using one = testTools({ scope: 'this_hub' });

    expect([(await alone.look()).scope, (await one.look()).scope]).toEqual(['all', 'this_hub']);
  });

  test('refuses a cursor of another question', async () => {
    await using trial = testTools();
    trial.failures.record([failed({ message: 'a' }), failed({ message: 'b' })], startMs);
    const { next_cursor: cursor } = await trial.look({ limit: 1 });

    await expect(trial.look({ limit: 1, hours: 2, cursor })).rejects.toMatchObject({ code: 'invalid_input' });
  });
});

const good = {
  report_error: { agent: 'builder', message: 'oops' },
  get_error_report: {},
  set_recovery_strategy: { steps: [{ do: 'ignore' }] },
  list_recovery_strategies: {},
};

test.each<[keyof typeof good, string, object]>([
  ['report_error', 'no agent', { agent: undefined }],
  ['report_error', 'an empty agent', { agent: '' }],
  ['report_error', 'an agent of two lines', { agent: 'a\nb' }],
  ['report_error', 'a long agent', { agent: 'a'.repeat(1_000) }],
  ['report_error', 'no message', { message: undefined }],
  ['report_error', 'an empty message', { message: '' }],
  ['report_error', 'half a character', { message: '\uD800' }],
  ['report_error', 'a code with NUL', { code: 'a\0' }],
  ['report_error', 'an oversized message', { message: 'm'.repeat(100_001) }],
  ['report_error', 'a code that is a list', { code: ['a', 'b'] }],
  ['report_error', 'a status that HTTP has not', { http_status: 600 }],
  ['report_error', 'an attempt before the first', { attempt: 0 }],
  ['report_error', 'a part of an attempt', { attempt: 1.5 }],
  ['report_error', 'negative time', { worked_ms: -1 }],
  ['report_error', 'a correlation with NUL', { correlation_id: 'a\0' }],
  ['report_error', 'an unknown argument', { severity: 'low' }],
  ['get_error_report', 'no hours', { hours: 0 }],
  ['get_error_report', 'too many hours', { hours: 721 }],
  ['get_error_report', 'an unknown category', { category: 'weather' }],
  ['get_error_report', 'too many patterns', { limit: 101 }],
  ['get_error_report', 'a fingerprint that is none', { fingerprint: 'x' }],
  ['get_error_report', 'a foreign cursor', { cursor: 'x' }],
  ['get_error_report', 'an unknown argument', { owner: 'other' }],
  ['set_recovery_strategy', 'no steps', { steps: undefined }],
  ['set_recovery_strategy', 'steps that are none', { steps: 'never' }],
  ['set_recovery_strategy', 'an unknown step', { steps: [{ do: 'panic' }] }],
  ['set_recovery_strategy', 'a step behind the end', { steps: [{ do: 'ignore' }, { do: 'retry' }] }],
  ['set_recovery_strategy', 'too many steps', { steps: Array.from({ length: 11 }, () => ({ do: 'retry' })) }],
  ['set_recovery_strategy', 'an unknown category', { category: 'weather' }],
  ['set_recovery_strategy', 'a capability with half a character', { capability: '\uD800' }],
  ['list_recovery_strategies', 'no limit', { limit: 0 }],
  ['list_recovery_strategies', 'a foreign cursor', { cursor: 'x' }],
  ['list_recovery_strategies', 'an unknown argument', { owner: 'other' }],
])('%s refuses %s, and nothing is changed', async (name, _, wrong) => {
  await using trial = testTools();
  const tool = errorTools.find((one) => one.name === name);
  const call = { ...testCall(), nowMs: startMs };

  await expect(invoke(tool as never, { ...good[name], ...wrong }, trial.deps, call)).rejects.toMatchObject({
    code: 'invalid_input',
  });
  expect((await trial.look()).totals.failures).toBe(0);
  expect((await trial.list()).strategies).toHaveLength(defaultStrategies.length);
  await expect(invoke(tool as never, good[name], trial.deps, call)).resolves.toBeTruthy();
});
