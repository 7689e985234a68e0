/** What the orchestrator promises, on each engine. */
import { describe, expect, test } from 'vitest';

import { noPostgres, startServer } from '../../tests/support/postgres-server.ts';
import { surround } from '../../tests/support/surround.ts';
import { giveOut } from './ledger/claiming.ts';
import { retryTask } from './ledger/editing.ts';
import { completeTask } from './ledger/settling.ts';
import { ownWorker } from './ledger/workers.ts';
import { engines, openTrial, start, useDatabase, type Trial } from './orchestrator.fixture.ts';

const seconds = 1_000;
const minutes = 60 * seconds;

const eventTypes = async (trial: Trial, args: object = {}) => {
  const { events } = await trial.call('planner', 'list_task_events', { limit: 500, ...args });
  return (events as { type: string }[]).map(({ type }) => type);
};

describe.each(Object.keys(engines))('The orchestrator on %s', (engine) => {
  if (engine === 'PostgreSQL') surround(noPostgres, async () => useDatabase(await startServer()));

  describe('the life of a task', () => {
    test('it is made, claimed, started and completed, and then what needs it may begin', async () => {
      await using trial = await openTrial({ engine });
      const { first = '', second = '' } = await trial.make(
        { key: 'first', title: 'The first' },
        { key: 'second', title: 'The second', depends_on: ['first'], description: 'Read the first.' },
      );
      expect(await trial.task(second)).toMatchObject({ status: 'blocked', waiting_for: 'dependencies' });

      const held = await trial.claim();
      const started = await trial.call('worker', 'start_task', held);
      const renewed = await trial.call('worker', 'renew_lease', {
        ...held,
        progress: { percent: 50, note: 'half' },
      });
      await trial.call('worker', 'complete_task', { ...held, result: { answer: 42 } });
      const { tasks } = await trial.call('worker', 'claim_tasks', { worker: 'ada' });

      expect(held).toEqual({ task_id: first, fence: 1 });
      expect(started).toMatchObject({ task: { status: 'in_progress', version: 3 } });
      expect(renewed).toMatchObject({ task: { progress: { percent: 50, note: 'half' } } });
      expect(await trial.task(first)).toMatchObject({
        status: 'completed',
        result: { answer: 42 },
        dependents: [second],
        attempts: [{ fence: 1, worker: 'ada', outcome: 'completed' }],
      });
      expect(tasks).toMatchObject([{ task_id: second, depends_on: [first], description: 'Read the first.' }]);
      expect(await eventTypes(trial)).toEqual([
        'tasks_created',
        'worker_registered',
        'task_assigned',
        'task_started',
        'task_progress',
        'task_completed',
        'task_ready',
        'task_assigned',
      ]);
    });

    test('the most urgent comes first, and of those the oldest', async () => {
      await using trial = await openTrial({ engine });
      const ids = await trial.make(
        { key: 'low', title: 'low', priority: 'low' },
        { key: 'old', title: 'old' },
        { key: 'new', title: 'new' },
        { key: 'critical', title: 'critical', priority: 'critical' },
        { key: 'high', title: 'high', priority: 'high', requires: ['code'] },
      );

      const order = [];
      for (let count = 0; count < 5; count += 1) order.push((await trial.claim()).task_id);

      expect(order).toEqual([ids['critical'], ids['high'], ids['old'], ids['new'], ids['low']]);
    });

    test('a worker gets only what it can do, and no more at a time than it takes', async () => {
      await using trial = await openTrial({ engine });
      await trial.make(
        ...['python', 'python', 'python', 'rust'].map((skill) => ({ title: skill, requires: [skill] })),
      );
      await trial.call('worker', 'register_worker', {
        worker: 'p',
        capabilities: ['python', 'sql'],
        most_tasks: 2,
      });

      const { tasks } = await trial.call('worker', 'claim_tasks', { worker: 'p', most: 5 });
      const more = await trial.call('worker', 'claim_tasks', { worker: 'p', most: 5 });

      expect(tasks).toMatchObject([{ title: 'python' }, { title: 'python' }]);
      expect(more['tasks']).toEqual([]);
    });

    test('a failed attempt is made again after a growing delay, until there were enough', async () => {
      await using trial = await openTrial({ engine });
      const [id = ''] = Object.values(await trial.make({ title: 'hard', max_attempts: 3 }));
      const fail = async () =>
        trial.call('worker', 'fail_task', { ...(await trial.claim()), error: { message: 'It broke.' } });

      const first = await fail();
      await expect(trial.claim()).rejects.toThrow('nothing to claim');
      await trial.pass(2 * seconds);
      const second = await fail();
      await trial.pass(4 * seconds);
      const third = await fail();

      expect(first).toMatchObject({ task: { status: 'pending', waiting_for: 'retry', failures: 1 } });
      expect(Date.parse(first['task'].retry_at)).toBe(start + 2 * seconds);
      expect(Date.parse(second['task'].retry_at) - trial.clock.wallMs).toBe(0);
      expect(third).toMatchObject({ task: { status: 'failed', status_reason: 'It broke.', failures: 3 } });
      expect((await trial.task(id))['attempts']).toHaveLength(3);
    });

    test('an attempt that is no use again fails the task at once', async () => {
      await using trial = await openTrial({ engine });
      await trial.make({ title: 'impossible' });

      const failed = await trial.call('worker', 'fail_task', {
        ...(await trial.claim()),
        error: { message: 'There is no such file.', code: 'ENOENT', retryable: false },
      });

      expect(failed).toMatchObject({ task: { status: 'failed', failures: 1 } });
    });

    test('a task that is given back costs no attempt', async () => {
      await using trial = await openTrial({ engine });
      await trial.make({ title: 'later', max_attempts: 1 });
      const held = await trial.claim();

      const released = await trial.call('worker', 'release_task', held);
      const again = await trial.claim('bob');

      expect(released).toMatchObject({ task: { status: 'pending', failures: 0, waiting_for: null } });
      expect(again).toEqual({ task_id: held.task_id, fence: 2 });
    });

    test('a question waits for a person, and its answer comes with the next lease', async () => {
      await using trial = await openTrial({ engine });
      await trial.make({ title: 'choose a colour' });
      const held = await trial.claim();

      const asked = await trial.call('worker', 'ask_question', {
        ...held,
        question: 'Which?',
        choices: ['red', 'blue'],
      });
      await expect(trial.claim()).rejects.toThrow('nothing to claim');
      await expect(
        trial.call('boss', 'answer_question', { task_id: held.task_id, answer: 'green' }),
      ).rejects.toMatchObject({ code: 'invalid_input', hint: 'Choose one: "red", "blue".' });
      await trial.call('boss', 'answer_question', { task_id: held.task_id, answer: 'blue' });
      const { tasks } = await trial.call('worker', 'claim_tasks', { worker: 'ada' });

      expect(asked).toMatchObject({ task: { status: 'blocked', waiting_for: 'input' } });
      expect(tasks).toMatchObject([
        { answers: [{ question: 'Which?', answer: 'blue', answered_by: 'boss' }], lease: { fence: 2 } },
      ]);
      await expect(
        trial.call('boss', 'answer_question', { task_id: held.task_id, answer: 'red' }),
      ).rejects.toMatchObject({ code: 'conflict' });
    });

    test('a task that is not completed by its deadline fails', async () => {
      await using trial = await openTrial({ engine });
      const deadline = new Date(start + 10 * minutes).toISOString();
      const { soon = '' } = await trial.make({ key: 'soon', title: 'soon', deadline });
      const held = await trial.claim();

      await trial.pass(10 * minutes);

      expect(await trial.task(soon)).toMatchObject({
        status: 'failed',
        status_reason: 'Its deadline passed.',
      });
      await expect(trial.call('worker', 'complete_task', held)).rejects.toMatchObject({ code: 'conflict' });
    });
  });

  describe('leases', () => {
    test('a lease that ended gives the task to another, and the late worker changes nothing', async () => {
      await using trial = await openTrial({ engine });
      const { slow = '' } = await trial.make({ key: 'slow', title: 'slow', lease_seconds: 60 });
      const late = await trial.claim();
      await trial.pass(60 * seconds);
      const next = await trial.claim('bob');

      for (const [tool, args] of [
        ['start_task', {}],
        ['renew_lease', {}],
        ['complete_task', { result: { from: 'late' } }],
        ['fail_task', { error: { message: 'late' } }],
        ['release_task', {}],
        ['ask_question', { question: 'late?' }],
      ] as const)
        await expect(trial.call('worker', tool, { ...late, ...args }), tool).rejects.toMatchObject({
          code: 'conflict',
          message: expect.stringContaining('its latest is 2'),
        });
      const before = await trial.task(slow);
      await trial.call('worker', 'complete_task', { ...next, result: { from: 'bob' } });

      expect(before).toMatchObject({ status: 'assigned', version: 4, failures: 1, lease: { worker: 'bob' } });
      expect(await trial.task(slow)).toMatchObject({
        result: { from: 'bob' },
        attempts: [
          { fence: 2, outcome: 'completed' },
          { fence: 1, outcome: 'lost' },
        ],
      });
    });

    test('a lease that has ended cannot be renewed, even where nobody has the task yet', async () => {
      await using trial = await openTrial({ engine });
      await trial.make({ title: 'slow', lease_seconds: 60 });
      const held = await trial.claim();
      trial.clock.uptimeMs += 60 * seconds;

      await expect(trial.call('worker', 'renew_lease', held)).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringContaining('has ended'),
      });
    });

    test('of the progress that a worker tells again and again, the last is kept', async () => {
      await using trial = await openTrial({ engine });
      await trial.make({ title: 'slow' });
      const held = await trial.claim();
      await trial.call('worker', 'start_task', held);
      for (let percent = 1; percent <= 30; percent += 1)
        await trial.call('worker', 'renew_lease', { ...held, progress: { percent } }); // oxlint-disable-line no-await-in-loop -- in this order

      const { events } = await trial.call('planner', 'list_task_events', { task_id: held.task_id });
      const told = (events as { type: string; data: { percent: number } }[])
        .filter(({ type }) => type === 'task_progress')
        .map(({ data }) => data.percent);
      expect(told).toEqual(Array.from({ length: 20 }, (_, at) => at + 11));
    });

    test('a renewed lease lasts from then on', async () => {
      await using trial = await openTrial({ engine });
      await trial.make({ title: 'slow', lease_seconds: 60 });
      const held = await trial.claim();
      await trial.pass(50 * seconds);

      const { task } = await trial.call('worker', 'renew_lease', { ...held, lease_seconds: 300 });
      await trial.pass(299 * seconds);

      expect(Date.parse(task.lease.until)).toBe(start + 350 * seconds);
      expect(await trial.task(held.task_id)).toMatchObject({ status: 'in_progress' });
      await trial.pass(1 * seconds);
      expect(await trial.task(held.task_id)).toMatchObject({ status: 'pending', failures: 1 });
    });

    test('after as many lost leases as attempts the task has failed', async () => {
      await using trial = await openTrial({ engine });
      const { x = '' } = await trial.make({ key: 'x', title: 'x', lease_seconds: 10, max_attempts: 2 });
      await trial.claim();
      await trial.pass(10 * seconds);
      await trial.claim();
      await trial.pass(10 * seconds);

      expect(await trial.task(x)).toMatchObject({
        status: 'failed',
        status_reason: 'The lease of the worker ada ended before it was done.',
      });
    });

    test('a lease belongs to the token that claimed', async () => {
      await using trial = await openTrial({ engine });
      await trial.make({ title: 'mine' });
      const held = await trial.claim();

      await expect(trial.call('thief', 'complete_task', held)).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringContaining('belongs to another token'),
      });
      await expect(trial.call('thief', 'claim_tasks', { worker: 'ada' })).rejects.toMatchObject({
        code: 'forbidden',
      });
    });

    test.each([
      ['forward by a year', 365 * 86_400 * seconds],
      ['back by a day', -86_400 * seconds],
    ])('a clock of the host that jumps %s neither ends a lease nor keeps it', async (_, jumpMs) => {
      await using trial = await openTrial({ engine });
      const { x = '' } = await trial.make({ key: 'x', title: 'x', lease_seconds: 60 });
      await trial.claim();
      trial.clock.wallMs += jumpMs;
      await trial.pass(30 * seconds);

      const { lease } = await trial.task(x);
      await trial.restart();
      const after = await trial.task(x);
      await trial.pass(30 * seconds);

      expect(Date.parse(lease.until) - trial.clock.wallMs).toBe(0);
      expect(after).toMatchObject({ status: 'assigned', lease: { until: lease.until } });
      expect(await trial.task(x)).toMatchObject({ status: 'pending', failures: 1 });
    });

    test('the time in which the orchestrator is down is not taken from a lease', async () => {
      await using trial = await openTrial({ engine });
      await trial.make({ title: 'x', lease_seconds: 60 });
      const held = await trial.claim();
      await trial.pass(30 * seconds);
      trial.clock.wallMs += 600 * seconds;
      // As after a start of the host.
      trial.clock.uptimeMs = 5 * seconds;

      await trial.restart();

      expect(await trial.call('worker', 'complete_task', held)).toMatchObject({
        task: { status: 'completed' },
      });
    });
  });

  describe('completion', () => {
    test('the same again is answered as the first time, and another result is refused', async () => {
      await using trial = await openTrial({ engine });
      await trial.make({ key: 'a', title: 'a' }, { title: 'b', depends_on: ['a'] });
      const held = await trial.claim();
      const first = await trial.call('worker', 'complete_task', { ...held, result: { a: 1, b: [2] } });

      const again = await trial.call('worker', 'complete_task', { ...held, result: { b: [2], a: 1 } });

      expect(again).toEqual(first);
      await expect(
        trial.call('worker', 'complete_task', { ...held, result: { a: 2 } }),
      ).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining('another result') });
      expect((await eventTypes(trial)).filter((type) => type === 'task_ready')).toHaveLength(1);
    });

    test('what needs several begins with the last of them', async () => {
      await using trial = await openTrial({ engine });
      const { end = '' } = await trial.make(
        { key: 'a', title: 'a' },
        { key: 'b', title: 'b' },
        { key: 'end', title: 'end', depends_on: ['a', 'b'] },
      );
      await trial.call('worker', 'complete_task', await trial.claim());
      expect(await trial.task(end)).toMatchObject({ status: 'blocked' });

      await trial.call('worker', 'complete_task', await trial.claim());

      expect(await trial.task(end)).toMatchObject({ status: 'pending', waiting_for: null });
    });

    test('a worker that waits gets what becomes free in the same commit, the best of them first', async () => {
      await using trial = await openTrial({ engine });
      const { end = '' } = await trial.make(
        { key: 'a', title: 'a' },
        { key: 'end', title: 'end', depends_on: ['a'], requires: ['code'] },
      );
      const held = await trial.claim();
      for (const worker of ['other', 'good'])
        await trial.call('worker', 'register_worker', {
          worker,
          capabilities: worker === 'good' ? ['code'] : [],
        });
      const waits = ['other', 'good'].map(async (worker) =>
        trial.call('worker', 'claim_tasks', { worker, wait_seconds: 30 }),
      );
      await expect.poll(() => trial.orchestrator.waiting.count()).toBe(2);

      await trial.call('worker', 'complete_task', held);
      const [, good] = waits;

      expect((await good)?.['tasks']).toMatchObject([{ task_id: end, lease: { worker: 'good' } }]);
      trial.orchestrator.waiting.stop();
      expect((await waits[0])?.['tasks']).toEqual([]);
    });

    test('of those who wait, the one that has done better gets the task', async () => {
      await using trial = await openTrial({ engine });
      await trial.make({ title: 'one', type: 'qa' });
      await trial.call('worker', 'complete_task', await trial.claim('good'));
      await trial.make({ title: 'two', type: 'qa' });
      await trial.call('worker', 'fail_task', {
        ...(await trial.claim('bad')),
        error: { message: 'no', retryable: false },
      });
      const waits = ['bad', 'good'].map(async (worker) =>
        trial.call('worker', 'claim_tasks', { worker, wait_seconds: 30 }),
      );
      await expect.poll(() => trial.orchestrator.waiting.count()).toBe(2);

      await trial.make({ title: 'three', type: 'qa' });

      expect((await waits[1])?.['tasks']).toMatchObject([{ title: 'three' }]);
      trial.orchestrator.waiting.stop();
      await Promise.all(waits);
    });

    test('a worker that has no room waits until a task of its has ended, also by its deadline', async () => {
      await using trial = await openTrial({ engine });
      const { next = '' } = await trial.make(
        { title: 'late', deadline: new Date(start + 60_000).toISOString(), priority: 'high' },
        { key: 'next', title: 'next' },
      );
      await trial.call('worker', 'register_worker', { worker: 'ada', capabilities: [], most_tasks: 1 });
      await trial.call('worker', 'claim_tasks', { worker: 'ada' });
      const wait = trial.call('worker', 'claim_tasks', { worker: 'ada', wait_seconds: 30 });
      await expect.poll(() => trial.orchestrator.waiting.count()).toBe(1);

      await trial.pass(61_000);
      // On one host nobody looks again by itself.
      await expect.poll(() => trial.orchestrator.waiting.count()).toBe(0);

      expect((await wait)['tasks']).toMatchObject([{ task_id: next }]);
    });

    test('a worker that goes while it waits leaves the task to others, and no attempt was made', async () => {
      await using trial = await openTrial({ engine });
      const gone = new AbortController();
      await trial.call('worker', 'register_worker', { worker: 'gone', capabilities: [] });
      const wait = trial.call(
        'worker',
        'claim_tasks',
        { worker: 'gone', wait_seconds: 30 },
        { signal: gone.signal },
      );
      await expect.poll(() => trial.orchestrator.waiting.count()).toBe(1);

      const making = trial.make({ key: 'x', title: 'x' });
      gone.abort();
      expect(await wait).toEqual({ tasks: [] });
      const { x = '' } = await making;

      expect((await trial.claim()).task_id).toBe(x);
      expect((await trial.task(x))['attempts']).toHaveLength(1);
    });
  });

  describe('failure of what others need', () => {
    const chain = (onFailure: string) => [
      { key: 'a', title: 'a', max_attempts: 1 },
      { key: 'b', title: 'b', depends_on: ['a'], on_failure: onFailure },
      { key: 'c', title: 'c', depends_on: ['b'], on_failure: onFailure },
    ];
    const failA = async (trial: Trial) =>
      trial.call('worker', 'fail_task', { ...(await trial.claim()), error: { message: 'no' } });

    test('block leaves dependents waiting, and says for what', async () => {
      await using trial = await openTrial({ engine });
      const { a, b = '', c = '' } = await trial.make(...chain('block'));

      await failA(trial);

      expect(await trial.task(b)).toMatchObject({
        status: 'blocked',
        status_reason: `It needs ${a}, which failed: retry_task tries that again.`,
      });
      expect(await trial.task(c)).toMatchObject({ status: 'blocked' });
    });

    test('cascade fails dependents too, and a retry opens all of them again', async () => {
      await using trial = await openTrial({ engine });
      const { a = '', b = '', c = '' } = await trial.make(...chain('cascade'));

      await failA(trial);
      const failed = [await trial.task(b), await trial.task(c)];
      await trial.call('planner', 'retry_task', { task_id: a });
      const opened = [await trial.task(b), await trial.task(c)];
      for (let count = 0; count < 3; count += 1)
        await trial.call('worker', 'complete_task', await trial.claim());

      expect(failed).toMatchObject([
        { status: 'failed', status_reason: `It needs ${a}, which failed.` },
        { status: 'failed', status_reason: `It needs ${b}, which failed.` },
      ]);
      expect(opened).toMatchObject([{ status: 'blocked' }, { status: 'blocked' }]);
      expect(await trial.task(c)).toMatchObject({ status: 'completed' });
    });

    test('what failed because its need was deleted, or before that, begins when it is tried again', async () => {
      await using trial = await openTrial({ engine });
      const own = (name: string) =>
        trial.call('planner', 'create_project', { name, tasks: [{ key: 'a', title: 'a', max_attempts: 1 }] });
      const { project, tasks } = await own('gone');
      const gone = tasks[0].task_id as string;
      const needs = (key: string, ...ids: string[]) => ({
        key,
        title: key,
        depends_on: ids,
        max_attempts: 1,
        on_failure: key === 'both' ? 'cascade' : 'block',
      });
      const { other = '' } = await trial.make({ key: 'other', title: 'other', max_attempts: 1 });
      const { one = '', both = '' } = await trial.make(needs('one', gone), needs('both', gone, other));
      await failA(trial);
      await trial.call('planner', 'delete_project', { project_id: project.project_id });
      await trial.orchestrator.tending.tend();
      await failA(trial);
      expect([await trial.task(one), await trial.task(both)]).toMatchObject([
        { status: 'failed', status_reason: `It needed ${gone}, which was deleted.`, depends_on: [] },
        { status: 'failed', depends_on: [other] },
      ]);

      await trial.call('planner', 'retry_task', { task_id: other });
      await trial.call('worker', 'complete_task', await trial.claim());
      await trial.call('planner', 'retry_task', { task_id: one });

      expect([await trial.task(one), await trial.task(both)]).toMatchObject([
        { status: 'pending' },
        { status: 'pending' },
      ]);
    });

    test('a task that is tried again and completed before all that failed with it are open again frees them', async () => {
      await using trial = await openTrial({ engine });
      const count = 150;
      const { a = '' } = await trial.make({ key: 'a', title: 'a', max_attempts: 1 });
      await trial.make(
        ...Array.from({ length: count }, () => ({ title: 'b', depends_on: [a], on_failure: 'cascade' })),
      );
      await failA(trial);
      await trial.orchestrator.tending.tend();
      const { desk } = trial.orchestrator;

      await desk.change(function* (change) {
        yield* retryTask(change, a, { caller: 'planner', isOperator: false });
        const worker = yield* ownWorker('ada', 'worker');
        const [[held] = []] = yield* giveOut(change, [{ worker, most: 1, isKept: true }], desk.sets);
        const holder = { taskId: a, fence: held?.fence ?? 0, caller: 'worker' };
        yield* completeTask(change, holder, '{}');
      });
      await trial.orchestrator.tending.tend();

      const { tasks: counts } = await trial.call('planner', 'get_orchestrator_stats');
      expect(counts).toMatchObject({ completed: 1, pending: count, blocked: 0, failed: 0 });
    });

    test('a cascade through more tasks than one change takes reaches them all, also over a restart', async () => {
      await using trial = await openTrial({ engine });
      const count = 350;
      const { tasks } = await trial.call('planner', 'create_tasks', {
        tasks: Array.from({ length: count }, (_, at) => ({
          key: `k${at}`,
          title: `k${at}`,
          max_attempts: 1,
          on_failure: 'cascade',
          depends_on: at === 0 ? [] : [`k${at - 1}`],
        })),
      });
      expect(tasks).toHaveLength(count);

      await failA(trial);
      await trial.restart();

      const { tasks: counts } = await trial.call('planner', 'get_orchestrator_stats');
      expect(counts).toMatchObject({ failed: count, blocked: 0, pending: 0 });
    });

    test('a cancelled task is not given out, and its worker is told', async () => {
      await using trial = await openTrial({ engine });
      const { a = '', b = '' } = await trial.make(...chain('cascade'));
      const held = await trial.claim();

      await trial.call('planner', 'cancel_task', { task_id: a, reason: 'not needed' });

      await expect(trial.call('worker', 'complete_task', held)).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringContaining('the task is cancelled'),
      });
      expect(await trial.task(b)).toMatchObject({ status: 'cancelled' });
      expect(await trial.call('planner', 'cancel_task', { task_id: a })).toMatchObject({
        task: { status: 'cancelled' },
      });
    });

    test('a new task that needs a failed one waits with the reason', async () => {
      await using trial = await openTrial({ engine });
      const { a = '' } = await trial.make(...chain('block'));
      await failA(trial);

      const { late = '' } = await trial.make({ key: 'late', title: 'late', depends_on: [a] });

      expect(await trial.task(late)).toMatchObject({
        status: 'blocked',
        status_reason: expect.stringContaining('failed'),
      });
    });
  });
});
