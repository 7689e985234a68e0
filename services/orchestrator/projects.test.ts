/** Projects, editing, who may do what, and what is refused; on each engine. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { openDatabase } from '#runtime/database.ts';

import { noPostgres, startServer } from '../../tests/support/postgres-server.ts';
import { surround } from '../../tests/support/surround.ts';
import { loadHoldings } from './ledger/quota.ts';
import { openSqlite } from './ledger/sqlite.ts';
import { engines, openTrial, plenty, start, useDatabase, type Answer } from './orchestrator.fixture.ts';
import { listened } from './streaming.ts';
import { resources } from './resources.ts';
import { templateOf, templates } from './templates.ts';
import { testCall } from '#runtime/testing.ts';

const hour = 3_600_000;

const nested = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels));

describe.each(Object.keys(engines))('Projects on %s', (engine) => {
  if (engine === 'PostgreSQL') surround(noPostgres, async () => useDatabase(await startServer()));

  test('a project goes through its template to the end, and tells how far it is', async () => {
    await using trial = await openTrial({ engine });
    const { project, tasks, created } = await trial.call('planner', 'create_project', {
      name: 'Shop',
      requirements: ['Sells things'],
      tech_stack: { frontend: 'react', backend: 'fastify' },
      priority: 'high',
    });
    const id = project.project_id;
    const everything = ['planning', 'database', 'backend', 'frontend', 'integration', 'qa', 'devops'];
    await trial.call('worker', 'register_worker', { worker: 'all', capabilities: everything, most_tasks: 5 });
    const order: string[] = [];
    const percents: number[] = [];
    for (;;) {
      const { tasks: claimed } = await trial.call('worker', 'claim_tasks', { worker: 'all', most: 5 });
      if (claimed.length === 0) break;
      for (const { task_id, key, lease } of claimed as Answer[]) {
        order.push(String(key));
        const held = { task_id, fence: lease.fence };
        await trial.call('worker', 'complete_task', { ...held, result: { done: key } });
      }
      const { project: now } = await trial.call('planner', 'get_project', { project_id: id });
      percents.push(now.percent as number);
    }
    const { project: end } = await trial.call('planner', 'get_project', { project_id: id });

    expect(created).toBe(7);
    expect(tasks[0]).toMatchObject({ key: 'planning', title: 'Plan Shop', priority: 'high' });
    expect(order).toEqual(['planning', 'db_design', 'api', 'ui', 'integration', 'testing', 'deployment']);
    expect(percents).toEqual([14, 28, 42, 71, 85, 100]);
    expect(end).toMatchObject({ status: 'completed', template: 'web_application' });
    expect(end.counts).toMatchObject({ completed: 7, pending: 0 });
    expect(end.edges).toHaveLength(7);
    expect(end.results[0]).toMatchObject({ title: 'Deploy Shop', summary: '{"done":"deployment"}' });
  });

  test('plan_project shows what would be made, and makes nothing', async () => {
    await using trial = await openTrial({ engine });

    const plan = await trial.call('planner', 'plan_project', { name: 'Tool' });
    const { projects } = await trial.call('planner', 'list_projects');

    expect(plan).toMatchObject({ template: 'generic', total: 3 });
    expect(plan['tasks']).toMatchObject([
      { key: 'planning', depends_on: [] },
      { key: 'implementation', depends_on: ['planning'] },
      { key: 'testing', depends_on: ['implementation'] },
    ]);
    expect(projects).toEqual([]);
  });

  test('a project with nothing that can go on is blocked, until somebody tries again', async () => {
    await using trial = await openTrial({ engine });
    const { project } = await trial.call('planner', 'create_project', {
      name: 'x',
      tasks: [
        { key: 'a', title: 'a', max_attempts: 1 },
        { key: 'b', title: 'b', depends_on: ['a'] },
      ],
    });
    const statusNow = async () =>
      (await trial.call('planner', 'get_project', { project_id: project.project_id }))['project'].status;
    const held = await trial.claim();
    const running = await statusNow();
    await trial.call('worker', 'fail_task', { ...held, error: { message: 'no' } });
    const stuck = await statusNow();
    await trial.call('planner', 'retry_task', { task_id: held.task_id });

    expect([project.status, running, stuck, await statusNow()]).toEqual([
      'pending',
      'in_progress',
      'blocked',
      'pending',
    ]);
  });

  test('a cancelled project takes its tasks with it, also those at work, and takes no more', async () => {
    await using trial = await openTrial({ engine });
    const { project } = await trial.call('planner', 'create_project', {
      name: 'x',
      tasks: Array.from({ length: 250 }, (_, at) => ({ title: `task ${at}` })),
    });
    const id = project.project_id;
    const held = await trial.claim();
    const outside = await trial.make({ key: 'o', title: 'outside', depends_on: [held.task_id] });

    const cancelled = await trial.call('planner', 'cancel_project', { project_id: id });

    expect(cancelled['project']).toMatchObject({
      status: 'cancelled',
      counts: { cancelled: 250, assigned: 0 },
    });
    await expect(trial.call('worker', 'complete_task', held)).rejects.toMatchObject({ code: 'conflict' });
    await expect(
      trial.call('planner', 'create_tasks', { project_id: id, tasks: [{ title: 'more' }] }),
    ).rejects.toMatchObject({ code: 'conflict' });
    await expect(trial.call('planner', 'retry_task', { task_id: held.task_id })).rejects.toMatchObject({
      code: 'conflict',
    });
    expect(await trial.task(outside['o'] ?? '')).toMatchObject({
      status_reason: expect.stringContaining('was cancelled'),
    });
  });

  test('a project is deleted when its tasks have ended, with all that belongs to it', async () => {
    await using trial = await openTrial({ engine });
    const { project } = await trial.call('planner', 'create_project', { name: 'x', template: 'generic' });
    const id = project.project_id;

    await expect(trial.call('planner', 'delete_project', { project_id: id })).rejects.toMatchObject({
      code: 'conflict',
    });
    await trial.call('planner', 'cancel_project', { project_id: id });
    await trial.call('planner', 'delete_project', { project_id: id });

    await expect(trial.call('planner', 'get_project', { project_id: id })).rejects.toMatchObject({
      code: 'not_found',
    });
    expect((await trial.call('planner', 'list_tasks'))['tasks']).toEqual([]);
    expect(await trial.holdings()).toEqual([]);
  });

  test('what ended long ago goes by itself', async () => {
    await using trial = await openTrial({ engine, retentionMs: hour });
    const { alone = '' } = await trial.make({ key: 'alone', title: 'alone' });
    const { project } = await trial.call('planner', 'create_project', { name: 'x', template: 'generic' });
    await trial.call('planner', 'cancel_task', { task_id: alone });
    await trial.call('planner', 'cancel_project', { project_id: project.project_id });
    const { open = '' } = await trial.make({ key: 'open', title: 'open' });

    await trial.pass(hour + 1);

    await expect(trial.task(alone)).rejects.toMatchObject({ code: 'not_found' });
    expect((await trial.call('planner', 'list_projects'))['projects']).toEqual([]);
    expect(await trial.task(open)).toMatchObject({ status: 'pending' });
  });

  test('what an owner keeps is counted in bytes, and all of it is given back', async () => {
    await using trial = await openTrial({ engine });
    const euros = '€'.repeat(1_000);
    const bytes = async () => (await trial.holdings())[0]?.bytes ?? 0;
    const grown = async (act: () => Promise<unknown>) => {
      const before = await bytes();
      await act();
      return (await bytes()) - before;
    };
    const made = await grown(async () =>
      trial.call('planner', 'create_project', {
        name: 'x',
        description: euros,
        tasks: [{ key: 'a', title: '€', description: euros, repository: { path: 'shop' } }],
      }),
    );
    const { projects } = await trial.call('planner', 'list_projects');
    const { project_id: project } = (projects as Answer[])[0] ?? {};
    const held = await trial.claim();
    const edited = await grown(async () =>
      trial.call('planner', 'update_task', { task_id: held.task_id, description: `${euros}${euros}` }),
    );
    const changed = await grown(async () =>
      trial.call('planner', 'update_project', { project_id: project, description: `${euros}${euros}` }),
    );
    const brought = await grown(async () =>
      trial.call('worker', 'complete_task', { ...held, result: { euros } }),
    );
    const conflicted = await grown(async () =>
      trial.call('planner', 'record_conflict', { task_id: held.task_id, files: ['a'], note: euros }),
    );
    await trial.call('planner', 'cancel_project', { project_id: project });
    await trial.orchestrator.tending.tend();
    await trial.call('planner', 'delete_project', { project_id: project });
    await trial.orchestrator.tending.tend();

    expect([edited, changed]).toEqual([3_000, 3_000]);
    expect(brought).toBe(Buffer.byteLength(JSON.stringify({ euros })));
    expect(made).toBeGreaterThan(6_000 + 1_000);
    expect(conflicted).toBeGreaterThan(3_000);
    expect(await trial.holdings()).toEqual([]);
  });

  test('a large call is made whole, in pieces, and its tasks are given out when all are there', async () => {
    await using trial = await openTrial({ engine });
    const tasks = Array.from({ length: 1_000 }, (_, at) => ({
      key: `k${at}`,
      title: `task ${at}`,
      depends_on: at % 10 === 0 ? [] : [`k${at - 1}`],
    }));
    const { project, created } = await trial.call('planner', 'create_project', { name: 'large', tasks });

    expect(created).toBe(1_000);
    expect(project.counts).toMatchObject({ pending: 100, blocked: 900 });
    await trial.call('worker', 'complete_task', await trial.claim());
    const { project: now } = await trial.call('planner', 'get_project', { project_id: project.project_id });
    expect(now.counts).toMatchObject({ pending: 100, blocked: 899, completed: 1 });
  });

  test('what fails while a large call is being made is told to what needs it, when all of it is there', async () => {
    await using trial = await openTrial({ engine });
    const { before = '' } = await trial.make({ key: 'before', title: 'before', max_attempts: 1 });
    const held = await trial.claim();
    const needs: Readonly<Record<string, string>> = {
      waits: 'late',
      fails: 'late',
      inner: before,
      'inner-2': 'inner',
      // In the second piece.
      'k150-fails': before,
      'k150-2-fails': 'k150-fails',
    };
    const names = [
      'late',
      'waits',
      'fails',
      'inner',
      'inner-2',
      ...Array.from({ length: 145 }, (_, at) => `k${at}`),
      'k150-fails',
      'k150-2-fails',
    ];
    const { engine: store } = trial.orchestrator.desk;
    const stage = store.stage.bind(store);
    let pieces = 0;
    store.stage = async (operation) => {
      const made = await stage(operation);
      pieces += 1;
      if (pieces > 1) return made;
      await trial.pass(2_000);
      await trial.call('worker', 'fail_task', { ...held, error: { message: 'no' } });
      return made;
    };

    const { project } = await trial.call('planner', 'create_project', { name: 'large', tasks: [] });
    const { tasks } = await trial.call('planner', 'create_tasks', {
      project_id: project.project_id,
      tasks: names.map((key) => ({
        key,
        title: key,
        on_failure: key === 'waits' ? 'block' : 'cascade',
        depends_on: needs[key] === undefined ? [] : [needs[key]],
        ...(key === 'late' && { deadline: new Date(start + 1_000).toISOString() }),
      })),
    });
    await trial.orchestrator.tending.tend();

    expect(pieces).toBeGreaterThan(2);
    const idOf = new Map(
      (tasks as Answer[]).map((task) => [task['key'] as string, task['task_id'] as string]),
    );
    const told = await Promise.all(
      ['late', ...Object.keys(needs)].map(async (key) => trial.task(idOf.get(key) ?? '')),
    );
    expect(told.map(({ key, status }) => `${key} ${status}`)).toEqual([
      'late failed',
      'waits blocked',
      'fails failed',
      'inner failed',
      'inner-2 failed',
      'k150-fails failed',
      'k150-2-fails failed',
    ]);
    expect(told[1]).toMatchObject({
      status_reason: expect.stringContaining(`${idOf.get('late')}, which failed`),
    });
    const { project: now } = await trial.call('planner', 'get_project', { project_id: project.project_id });
    expect(now.counts).toMatchObject({ failed: 6, blocked: 1, pending: 145 });
  });

  test('a large call that is refused at its end leaves nothing behind', async () => {
    await using trial = await openTrial({ engine, quota: { items: 500, bytes: 1_000_000_000 } });
    const tasks = Array.from({ length: 600 }, (_, at) => ({ title: `task ${at}` }));

    await expect(trial.call('planner', 'create_project', { name: 'large', tasks })).rejects.toMatchObject({
      code: 'too_large',
    });
    await trial.orchestrator.tending.tend();

    expect(await trial.holdings()).toEqual([]);
    expect((await trial.call('planner', 'list_tasks'))['tasks']).toEqual([]);
    await expect(trial.claim()).rejects.toThrow('nothing to claim');
  });

  test('what a stopped process had begun and not ended is taken back at the next start', async () => {
    await using trial = await openTrial({ engine });
    const { beginBatch, addTask, newOrigin, noHome } = await import('./ledger/creating.ts');
    const { planned } = await import('./planning.ts');
    const { taskField } = await import('./fields.ts');
    const steps = planned([taskField.parse({ title: 'half' })]);
    let step = steps.next();
    while (!step.done) step = steps.next();
    const [half] = step.value;
    await trial.orchestrator.desk.change(function* (change) {
      const batch = yield* beginBatch(change);
      if (half) yield* addTask(change, half, newOrigin(noHome, 'planner', batch));
    });
    expect(await trial.holdings()).toMatchObject([{ items: 1 }]);

    await trial.restart();
    // Where several share a ledger, what is young may be the work of another.
    if (engine === 'PostgreSQL') await trial.pass(2 * 3_600_000);

    expect(await trial.holdings()).toEqual([]);
  });

  describe('the same call again', () => {
    test('gives the first answer, and makes nothing new', async () => {
      await using trial = await openTrial({ engine });
      const args = { name: 'x', template: 'generic', idempotency_key: 'k' };
      const first = await trial.call('planner', 'create_project', args);

      const again = await trial.call('planner', 'create_project', args);
      const twins = await Promise.all(
        [1, 2].map(async () =>
          trial.call('planner', 'create_tasks', { tasks: [{ title: 't' }], idempotency_key: 't' }),
        ),
      );

      expect(again).toEqual(first);
      expect(twins[0]).toEqual(twins[1]);
      expect((await trial.call('planner', 'list_tasks'))['tasks']).toHaveLength(4);
      expect((await trial.call('other', 'create_project', args))['project']).not.toEqual(first['project']);
    });

    test('with other arguments is a conflict', async () => {
      await using trial = await openTrial({ engine });
      await trial.call('planner', 'create_project', { name: 'x', idempotency_key: 'k' });

      await expect(
        trial.call('planner', 'create_project', { name: 'y', idempotency_key: 'k' }),
      ).rejects.toMatchObject({ code: 'conflict' });
    });
  });

  describe('who may do what', () => {
    test('only its owner, or an operator, changes, cancels, retries or deletes', async () => {
      await using trial = await openTrial({ engine });
      const { project } = await trial.call('planner', 'create_project', { name: 'x' });
      const { a = '' } = await trial.make({ key: 'a', title: 'a' });
      const forbidden = [
        ['update_project', { project_id: project.project_id, name: 'y' }],
        ['cancel_project', { project_id: project.project_id }],
        ['delete_project', { project_id: project.project_id }],
        ['update_task', { task_id: a, title: 'y' }],
        ['cancel_task', { task_id: a }],
        ['retry_task', { task_id: a }],
      ] as const;

      for (const [tool, args] of forbidden)
        await expect(trial.call('stranger', tool, args), tool).rejects.toMatchObject({ code: 'forbidden' });
      const changed = await trial.call(
        'root',
        'update_project',
        { project_id: project.project_id, name: 'y' },
        { isOperator: true },
      );

      expect(changed).toMatchObject({ project: { name: 'y', version: 2 } });
    });

    test('a name of a worker belongs to its token', async () => {
      await using trial = await openTrial({ engine });
      await trial.call('one', 'register_worker', { worker: 'ada', capabilities: [] });

      await expect(
        trial.call('two', 'register_worker', { worker: 'ada', capabilities: [] }),
      ).rejects.toMatchObject({ code: 'conflict' });
      await expect(trial.call('two', 'remove_worker', { worker: 'ada' })).rejects.toMatchObject({
        code: 'forbidden',
      });
      await expect(trial.call('two', 'claim_tasks', { worker: 'nobody' })).rejects.toMatchObject({
        code: 'not_found',
        hint: 'Call register_worker first.',
      });
      // Its token may be gone.
      expect(
        await trial.call('operator', 'remove_worker', { worker: 'ada' }, { isOperator: true }),
      ).toMatchObject({ removed: 'ada' });
    });

    test('the names of the fleet’s agents are for their tokens', async () => {
      await using trial = await openTrial({ engine });
      const register = async (caller: string) =>
        trial.call(caller, 'register_worker', { worker: 'agent-qa', capabilities: [] });

      await expect(register('two')).rejects.toMatchObject({ code: 'forbidden', hint: 'Take another name.' });
      expect(await register('agent-qa')).toMatchObject({ new: true });
    });
  });

  describe('changes of a task', () => {
    test('an older version is refused', async () => {
      await using trial = await openTrial({ engine });
      const { a = '' } = await trial.make({ key: 'a', title: 'a' });
      const changed = await trial.call('planner', 'update_task', { task_id: a, if_version: 1, title: 'b' });

      expect(changed).toMatchObject({ task: { title: 'b', version: 2 } });
      await expect(
        trial.call('planner', 'update_task', { task_id: a, if_version: 1, title: 'c' }),
      ).rejects.toMatchObject({ code: 'conflict' });
    });

    test('one that names nothing changes nothing, and is no new version', async () => {
      await using trial = await openTrial({ engine });
      const { project } = await trial.call('planner', 'create_project', {
        name: 'p',
        tasks: [{ title: 'a' }],
      });
      const { tasks } = await trial.call('planner', 'list_tasks', { project_id: project.project_id });

      const same = await trial.call('planner', 'update_project', { project_id: project.project_id });
      const sameTask = await trial.call('planner', 'update_task', { task_id: tasks[0].task_id });

      expect(same['project'].version).toBe(project.version);
      expect(sameTask['task'].version).toBe(tasks[0].version);
    });

    test('needs come and go, and what needs nothing more begins', async () => {
      await using trial = await openTrial({ engine });
      const { a = '', b = '' } = await trial.make({ key: 'a', title: 'a' }, { key: 'b', title: 'b' });

      const added = await trial.call('planner', 'update_task', { task_id: b, add_depends_on: [a] });
      const removed = await trial.call('planner', 'update_task', { task_id: b, remove_depends_on: [a] });

      expect(added).toMatchObject({ task: { status: 'blocked', waiting_for: 'dependencies' } });
      expect(removed).toMatchObject({ task: { status: 'pending', waiting_for: null } });
    });

    test('a circle is refused, however long, and nothing is changed', async () => {
      await using trial = await openTrial({ engine });
      const { a = '', d = '' } = await trial.make(
        { key: 'a', title: 'a' },
        { key: 'b', title: 'b', depends_on: ['a'] },
        { key: 'c', title: 'c', depends_on: ['b'] },
        { key: 'd', title: 'd', depends_on: ['c'] },
      );

      for (const need of [d, a])
        await expect(
          trial.call('planner', 'update_task', { task_id: a, add_depends_on: [need] }),
        ).rejects.toMatchObject({ code: 'invalid_input', message: expect.stringContaining('waits for it') });
      expect(await trial.task(a)).toMatchObject({ status: 'pending', version: 1, depends_on: [] });
    });
  });

  describe('what is refused', () => {
    const refused = async (args: object, tool = 'create_tasks') => {
      await using trial = await openTrial({ engine });
      const before = (await trial.call('planner', 'list_tasks'))['tasks'];
      const error = await trial.call('planner', tool, { ...args }).catch((thrown: unknown) => thrown);
      expect((await trial.call('planner', 'list_tasks'))['tasks']).toEqual(before);
      return error;
    };
    const task = (key: string, ...needs: string[]) => ({ key, title: key, depends_on: needs });

    test.each([
      ['a circle', [task('a', 'c'), task('b', 'a'), task('c', 'b')], /"a" needs "c" needs "b" needs "a"/],
      ['a task that needs itself', [task('a', 'a')], /wait for each other: "a" needs "a"/],
      ['an unknown key', [task('a', 'nobody')], /neither a key of this call nor the id of a task/],
      ['two of one key', [task('a'), task('a')], /Two tasks have the key "a"/],
      ['a misspelt field', [{ title: 'a', titel: 'b' }], /tasks\.0: Unrecognized key: "titel"/],
      ['a NUL', [{ title: 'a\0' }], /tasks\.0\.title: must be well-formed Unicode without NUL/],
      ['no title', [{}], /tasks\.0\.title/],
    ])('%s', async (_, tasks, message) => {
      expect(await refused({ tasks })).toMatchObject({
        code: 'invalid_input',
        message: expect.stringMatching(message),
        hint: expect.any(String),
      });
    });

    test('a task that needs one that is not there', async () => {
      expect(await refused({ tasks: [task('a', 't99-abcd')] })).toMatchObject({ code: 'not_found' });
    });

    test('a task that is too long, with how long it may be', async () => {
      const description = 'x'.repeat(2_000_000);

      expect(await refused({ tasks: [{ title: 'a', description }] })).toMatchObject({
        code: 'too_large',
        message: expect.stringContaining('a task may have 1048576'),
      });
    });

    test('a template that is not there, with those that are', async () => {
      expect(await refused({ name: 'x', template: 'nothing' }, 'create_project')).toMatchObject({
        code: 'not_found',
        hint: expect.stringContaining('generic, web_application'),
      });
    });

    test('more dependents of one task than a change can tell', async () => {
      const many = Array.from({ length: 1_001 }, (_, at) => task(`k${at}`, 'root'));

      expect(await refused({ tasks: [task('root'), ...many] })).toMatchObject({
        code: 'too_large',
        message: expect.stringContaining('"root"'),
      });
    });

    test.each([
      ['NUL', 'a\0b', false],
      ['half a surrogate pair', 'a\ud800b', false],
      ['half a pair after a backslash', '\\\udc00', false],
      ['a name with NUL', { 'a\0': 1 }, false],
      ['very many levels', nested(3_000), false],
      ['more levels than REST takes', nested(64), false],
      ['many levels', nested(63), true],
      ['what only looks like one', String.raw`\u0000 \ud800`, true],
      ['a whole pair', '\ud83d\ude80', true],
    ])('%s in a result and in the arguments of a step', async (_what, value, isTaken) => {
      await using trial = await openTrial({ engine });
      await trial.make({ title: 'a' });
      const held = await trial.claim();
      const bringing = trial.call('worker', 'complete_task', { ...held, result: { value } });
      const making = trial.make({ title: 'b', steps: [{ tool: 'x', arguments: { value } }] });

      const codes = await Promise.all(
        [bringing, making].map(async (work) =>
          work.then(
            () => 'taken',
            (error: { code: string }) => error.code,
          ),
        ),
      );

      expect(codes).toEqual(isTaken ? ['taken', 'taken'] : ['invalid_input', 'invalid_input']);
      expect((await trial.task(held.task_id))['result']).toEqual(isTaken ? { value } : undefined);
    });

    test('a longer description than a task may have, or its owner may keep', async () => {
      await using trial = await openTrial({ engine, quota: { items: 100, bytes: 3_000_000 } });
      const [id = ''] = Object.values(
        await trial.make({ title: 'a', steps: [{ tool: 'x', arguments: { long: 'x'.repeat(600_000) } }] }),
      );
      const { project } = await trial.call('planner', 'create_project', { name: 'p', template: 'generic' });
      const describe = async (length: number) =>
        trial.call('planner', 'update_task', { task_id: id, description: 'x'.repeat(length) });

      await expect(describe(600_000)).rejects.toMatchObject({
        code: 'too_large',
        message: expect.stringContaining(id),
      });
      await describe(400_000);
      await trial.make(
        { title: 'b', description: 'x'.repeat(1_000_000) },
        { title: 'c', description: 'x'.repeat(980_000) },
      );
      await expect(describe(440_000)).rejects.toMatchObject({
        code: 'too_large',
        message: expect.stringContaining('planner'),
      });
      await expect(
        trial.call('planner', 'update_project', {
          project_id: project.project_id,
          description: 'x'.repeat(90_000),
        }),
      ).rejects.toMatchObject({ code: 'too_large', message: expect.stringContaining('planner') });
      await describe(10);
    });

    test('a result that is too long; the task stays with its worker', async () => {
      await using trial = await openTrial({ engine });
      await trial.make({ title: 'a' });
      const held = await trial.claim();

      await expect(
        trial.call('worker', 'complete_task', { ...held, result: { text: 'x'.repeat(1_100_000) } }),
      ).rejects.toMatchObject({ code: 'too_large' });
      expect(await trial.task(held.task_id)).toMatchObject({ status: 'assigned' });
    });
  });

  test('a model that writes numbers as texts is understood', async () => {
    await using trial = await openTrial({ engine });

    const { a = '' } = await trial.make({ key: 'a', title: 'a', max_attempts: '5' });

    expect(await trial.task(a)).toMatchObject({ max_attempts: 5 });
  });

  test('lists go on where they ended, whichever way they are filtered', async () => {
    await using trial = await openTrial({ engine });
    await trial.make(
      ...Array.from({ length: 7 }, (_, at) => ({ title: `t${at}`, type: at % 2 ? 'qa' : 'odd' })),
    );
    const walk = async (args: object) => {
      const titles: string[] = [];
      for (let cursor: unknown; ;) {
        const page = await trial.call('planner', 'list_tasks', {
          ...args,
          limit: 2,
          ...(cursor !== undefined && { cursor }),
        });
        titles.push(...(page['tasks'] as { title: string }[]).map(({ title }) => title));
        cursor = page['next_cursor'];
        if (cursor === undefined) return titles;
      }
    };

    expect(await walk({})).toEqual(['t0', 't1', 't2', 't3', 't4', 't5', 't6']);
    expect(await walk({ type: 'qa', status: ['pending', 'failed'] })).toEqual(['t1', 't3', 't5']);
    expect(await walk({ worker: 'nobody' })).toEqual([]);
  });

  test('who listens hears what happens from a place on, and only what it asked for', async () => {
    await using trial = await openTrial({ engine });
    const { a = '', b = '' } = await trial.make({ key: 'a', title: 'a' }, { key: 'b', title: 'b' });
    const stop = new AbortController();
    const events = await listened.listen({ after: 0, task_id: b }, trial.orchestrator, {
      caller: 'planner',
      tokenHash: '',
      signal: stop.signal,
    });
    const heard: string[] = [];
    const listening = (async () => {
      for await (const { id, event } of events) heard.push(`${id} ${event}`);
    })();

    await trial.call('planner', 'cancel_task', { task_id: a });
    await trial.call('planner', 'cancel_task', { task_id: b });
    await expect.poll(() => heard).toEqual(['3 task_cancelled']);
    await trial.call('planner', 'retry_task', { task_id: b });
    await expect.poll(() => heard).toEqual(['3 task_cancelled', '4 task_retrying']);
    stop.abort();
    await listening;
  });

  test('documents tell of a project and a task, and subscribers hear of their changes', async () => {
    await using trial = await openTrial({ engine });
    const { project, tasks } = await trial.call('planner', 'create_project', {
      name: 'x',
      tasks: [{ title: 'a' }],
    });
    const [row] = tasks as Answer[];
    const read = async (at: number, id: string) =>
      resources[at]?.read({ id }, trial.orchestrator, testCall({ caller: 'planner' }));
    await trial.claim();

    const [projectText, taskText] = [await read(0, project.project_id), await read(1, row?.['task_id'])];

    expect(JSON.parse((projectText as { text: string }).text)).toMatchObject({ status: 'in_progress' });
    expect(JSON.parse((taskText as { text: string }).text)).toMatchObject({ status: 'assigned' });
    expect(await read(1, 't9-abcd')).toBeUndefined();
    expect(await read(1, '../x')).toBeUndefined();
    expect(trial.updated).toContain(`orchestrator://task/${row?.['task_id']}`);
    expect(trial.updated).toContain(`orchestrator://project/${project.project_id}`);
  });

  test('a worker has a record, over restarts, and its tasks go to others when it is taken out', async () => {
    await using trial = await openTrial({ engine });
    await trial.make({ title: 'a', type: 'qa' }, { title: 'b', type: 'qa' });
    const held = await trial.claim();
    await trial.pass(10_000);
    await trial.call('worker', 'complete_task', held);
    const second = await trial.claim();

    await trial.restart();
    // So that it is known of nobody, whoever has heard of it.
    await trial.pass(180_000);
    const { workers } = await trial.call('planner', 'list_workers', { worker: 'ada' });
    const removed = await trial.call('worker', 'remove_worker', { worker: 'ada' });

    expect(workers).toMatchObject([
      {
        worker: 'ada',
        state: 'away',
        load: 1,
        metrics: {
          completed: 1,
          average_seconds: 10,
          uptime_seconds: 10,
          by_type: [{ type: 'qa', completed: 1, success_rate: 0.667 }],
        },
      },
    ]);
    expect(removed).toEqual({ removed: 'ada', returned: 1 });
    expect(await trial.task(second.task_id)).toMatchObject({ status: 'pending', failures: 0 });
  });
});

test('what follows from the end or the deletion of many tasks is done in small changes, however much it is', async () => {
  await using trial = await openTrial();
  const { project } = await trial.call('planner', 'create_project', { name: 'x', tasks: [] });
  const { tasks: late } = await trial.call('planner', 'create_tasks', {
    project_id: project.project_id,
    tasks: Array.from({ length: 20 }, () => ({
      title: 'late',
      deadline: new Date(start + 60_000).toISOString(),
    })),
  });
  await trial.call('planner', 'create_tasks', {
    tasks: (late as Answer[]).flatMap(({ task_id: id }) =>
      Array.from({ length: 40 }, (_, at) => ({
        title: 'needs it',
        depends_on: [id],
        on_failure: at % 2 ? 'block' : 'cascade',
      })),
    ),
  });
  const { engine } = trial.orchestrator.desk;
  const change = engine.change.bind(engine);
  const asked: number[] = [];
  engine.change = async (operation, ...more) =>
    change(
      function* () {
        const steps = operation();
        let count = 0;
        for (let step = steps.next([]); ; count += 1) {
          if (step.done) {
            asked.push(count);
            return step.value;
          }
          step = steps.next(yield step.value);
        }
      },
      ...more,
    );
  const counts = async () => (await trial.call('planner', 'get_orchestrator_stats'))['tasks'] as Answer;

  await trial.pass(61_000);
  expect(await counts()).toMatchObject({ failed: 20 + 400, blocked: 400 });
  await trial.call('planner', 'delete_project', { project_id: project.project_id });
  await trial.orchestrator.tending.tend();

  expect(await counts()).toMatchObject({ failed: 800, blocked: 0 });
  // Each task that is changed takes a few questions to the database.
  expect(Math.max(...asked)).toBeLessThan(600);
});

test('what was counted in characters is counted anew, in bytes', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-orchestrator-'));
  const migrations = join(import.meta.dirname, 'ledger/migrations');
  const file = join(folder, 'orchestrator.db');
  try {
    for (const step of ['001-orchestrator.sql', '002-branches.sql', '003-folders.sql'])
      cpSync(join(migrations, step), join(folder, 'before', step));
    const before = openDatabase(file, join(folder, 'before'));
    before.exec(`
      INSERT INTO project (nonce, owner, name, brief, priority, on_failure, status, created_at, updated_at)
      VALUES ('abcd', 'ada', 'x', '{"description":"€€"}', 2, 'block', 'pending', 1, 1);
      INSERT INTO skill_set (owner, requires) VALUES ('ada', '[]');
      INSERT INTO task (nonce, owner, title, type, priority, skill_set, status, open_needs, on_failure, max_attempts, lease_ms, bytes,
        created_at, updated_at) VALUES ('abcd', 'ada', '€', 'x', 2, 1, 'pending', 0, 'block', 3, 1000, 504, 1, 1);
      INSERT INTO work VALUES (1, '"€"');
      INSERT INTO result VALUES (1, '"€€"');
      INSERT INTO merge VALUES (1, '"€€€"');`);
    expect(before.prepare('SELECT * FROM kept').all()).toEqual([{ owner: 'ada', items: 2, bytes: 1_024 }]);
    before.close();

    await using engine = openSqlite(file, plenty);

    const brief = Buffer.byteLength('{"description":"€€"}') + 500;
    expect(await engine.look(loadHoldings)).toEqual([
      { owner: 'ada', items: 2, bytes: brief + 500 + 3 + 5 + 8 + 11 },
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('templates are what create_tasks takes, and one that is not is named', () => {
  expect([...templates().keys()]).toEqual(['generic', 'web_application']);
  expect(() =>
    templateOf(
      'odd.json',
      '{"title": "", "description": "", "tasks": [{"key": "a", "title": "a", "depends_on": ["a"]}]}',
    ),
  ).toThrow('The template odd.json cannot be used: These tasks wait for each other');
});
