/** Tasks on a repository: their results are kept, and they are completed when their branches are merged; on each engine. */
import { describe, expect, test } from 'vitest';

import { noPostgres, startServer } from '../../tests/support/postgres-server.ts';
import { surround } from '../../tests/support/surround.ts';
import { engines, openTrial, useDatabase, type Answer, type Trial } from './orchestrator.fixture.ts';

const repository = { path: '/srv/shop', base: 'main' };
const commit = 'a'.repeat(40);
const minute = 60_000;

/** A task whose branch waits to be merged, and one that needs it. */
async function committed(trial: Trial, args: object = {}) {
  const { first = '', second = '' } = await trial.make(
    { key: 'first', title: 'Add payments', repository, refs: ['#7'], ...args },
    { key: 'second', title: 'Test them', depends_on: ['first'] },
  );
  const held = await trial.claim();
  await trial.call('worker', 'complete_task', { ...held, result: { commits: 2 } });
  return { id: first, dependent: second, held };
}

describe.each(Object.keys(engines))('A task on a repository, on %s', (engine) => {
  if (engine === 'PostgreSQL') surround(noPostgres, async () => useDatabase(await startServer()));

  test('tells its branch, worktree and trailers to its worker, and keeps the branch when its title changes', async () => {
    await using trial = await openTrial({ engine });
    const [id = ''] = Object.values(await trial.make({ title: 'Add payments', repository, refs: ['#7'] }));

    await trial.call('planner', 'update_task', {
      task_id: id,
      title: 'Something else',
      description: 'All of it.',
    });
    await trial.call('worker', 'register_worker', { worker: 'ada', capabilities: [] });
    const { tasks } = await trial.call('worker', 'claim_tasks', { worker: 'ada' });

    expect(tasks[0]).toMatchObject({
      title: 'Something else',
      repository: { ...repository, kind: 'feature', mode: 'worktree', integration: 'manual' },
      git: {
        branch: `task/${id}-add-payments`,
        worktree: `/srv/shop.worktrees/${id}-add-payments`,
        trailers: [`Task-Id: ${id}`, 'Refs: #7'],
      },
    });
  });

  test('without a worktree is given out when nobody is at work in its folder, and others meanwhile', async () => {
    await using trial = await openTrial({ engine });
    const inPlace = { path: '/srv/shop', base: 'main', mode: 'branch' };
    const made = await trial.make(
      { key: 'one', title: 'One', repository: inPlace },
      { key: 'two', title: 'Two', repository: { ...inPlace, path: '/srv//shop/' } },
      { key: 'three', title: 'Three', repository: inPlace },
      { key: 'beside', title: 'Beside them', repository },
      { key: 'elsewhere', title: 'Elsewhere', repository: { ...inPlace, path: '/srv/other' } },
    );
    await trial.call('worker', 'register_worker', { worker: 'bob', capabilities: [], most_tasks: 5 });
    const claimed = async (most: number, wait = 0): Promise<Record<string, { fence: number }>> => {
      const { tasks } = await trial.call('worker', 'claim_tasks', {
        worker: 'bob',
        most,
        wait_seconds: wait,
      });
      return Object.fromEntries(tasks.map((task: Answer) => [task['task_id'], task['lease']]));
    };

    const first = await trial.claim();
    // The two that may not begin do not stand in the way of those behind them.
    const other = Object.keys(await claimed(1));
    const rest = Object.keys(await claimed(5));
    const none = Object.keys(await claimed(5));
    const waiting = claimed(5, 30);
    await expect.poll(() => trial.orchestrator.waiting.count()).toBe(1);
    await trial.call('worker', 'complete_task', first);
    const next = Object.keys(await waiting);
    const last = claimed(5, 30);
    await expect.poll(() => trial.orchestrator.waiting.count()).toBe(1);
    await trial.call('planner', 'cancel_task', { task_id: made['two'] });

    expect(first.task_id).toBe(made['one']);
    expect([other, rest, none]).toEqual([[made['beside']], [made['elsewhere']], []]);
    expect(next).toEqual([made['two']]);
    expect(Object.keys(await last)).toEqual([made['three']]);
  });

  test('keeps its result and waits for the merge; only then what needs it may begin', async () => {
    await using trial = await openTrial({ engine });
    const { id, dependent, held } = await committed(trial);
    const again = await trial.call('worker', 'complete_task', { ...held, result: { commits: 2 } });
    await expect(
      trial.call('worker', 'complete_task', { ...held, result: { commits: 3 } }),
    ).rejects.toMatchObject({ code: 'conflict' });
    const waiting = await trial.task(id);
    const { tasks: listed } = await trial.call('planner', 'list_tasks', { waiting_for: 'merge' });
    await expect(trial.claim()).rejects.toThrow('nothing to claim');
    await trial.restart();

    const merged = await trial.call('planner', 'record_merge', { task_id: id, commit });
    const freed = await trial.claim();

    expect(again).toMatchObject({ task: { status: 'blocked', waiting_for: 'merge' } });
    expect(waiting).toMatchObject({
      status: 'blocked',
      result: { commits: 2 },
      attempts: [{ outcome: 'completed' }],
    });
    expect(waiting['git'].guidance).toContain('record_merge');
    expect(listed).toMatchObject([{ task_id: id }]);
    expect(merged).toMatchObject({ task: { status: 'completed', waiting_for: null } });
    expect(freed['task_id']).toBe(dependent);
    expect(await trial.task(id)).toMatchObject({ git: { merged: { commit, merged_by: 'planner' } } });
    const { workers } = await trial.call('worker', 'list_workers', { worker: 'ada' });
    expect(workers[0].metrics).toMatchObject({ completed: 1 });
  });

  test('is merged once: the same commit is answered again, another is a conflict', async () => {
    await using trial = await openTrial({ engine });
    const { id } = await committed(trial);
    const first = await trial.call('planner', 'record_merge', { task_id: id, commit });

    const again = await trial.call('planner', 'record_merge', { task_id: id, commit });
    const other = trial.call('planner', 'record_merge', { task_id: id, commit: 'b'.repeat(40) });

    expect(again).toEqual(first);
    await expect(other).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('was merged as'),
    });
  });

  test('goes back to work after a conflict, under a new lease, with what is to be mended', async () => {
    await using trial = await openTrial({ engine });
    const { id, held } = await committed(trial);
    const back = await trial.call('planner', 'record_conflict', {
      task_id: id,
      files: ['src/pay.ts'],
      note: 'Both change the price.',
    });
    await expect(
      trial.call('worker', 'complete_task', { ...held, result: { commits: 2 } }),
    ).rejects.toMatchObject({ code: 'conflict' });

    await trial.call('worker', 'register_worker', { worker: 'ben', capabilities: [] });
    const { tasks } = await trial.call('worker', 'claim_tasks', { worker: 'ben' });
    const [task] = tasks;
    const mended = await trial.call('worker', 'complete_task', {
      task_id: id,
      fence: task.lease.fence,
      result: { commits: 3 },
    });
    await trial.call('planner', 'record_merge', { task_id: id, commit });

    expect(back).toMatchObject({
      task: {
        status: 'pending',
        failures: 0,
        status_reason: 'Its branch conflicts with main in src/pay.ts.',
      },
    });
    expect(task).toMatchObject({
      lease: { fence: 2 },
      git: { conflict: { files: ['src/pay.ts'], note: 'Both change the price.', reported_by: 'planner' } },
    });
    expect(task.git.guidance).toContain('in src/pay.ts');
    expect(mended).toMatchObject({ task: { waiting_for: 'merge' } });
    const ended = await trial.task(id);
    expect(ended).toMatchObject({
      status: 'completed',
      result: { commits: 3 },
      attempts: [
        { fence: 2, outcome: 'completed' },
        { fence: 1, outcome: 'completed' },
      ],
    });
    expect((ended['events'] as { type: string }[]).map(({ type }) => type)).toEqual(
      [
        'tasks_created',
        'task_assigned',
        'task_committed',
        'task_conflicts',
        'task_assigned',
        'task_committed',
        'task_completed',
      ].filter((type) => type !== 'tasks_created'),
    );
  });

  test('is closed by its owner, that of its project, an operator, or a worker with the capability integration', async () => {
    await using trial = await openTrial({ engine });
    const { project } = await trial.call('boss', 'create_project', {
      name: 'shop',
      tasks: [{ title: 'Idle', requires: ['nobody'] }],
    });
    const ids: string[] = [];
    for (let at = 0; at < 4; at += 1) {
      const { tasks } = await trial.call('planner', 'create_tasks', {
        project_id: project.project_id,
        tasks: [{ title: 'Work', repository }],
      });
      ids.push(tasks[0].task_id);
      await trial.call('worker', 'complete_task', await trial.claim());
    }
    const record = async (caller: string, at: number, args: object = {}, call: object = {}) =>
      trial.call(caller, 'record_merge', { task_id: ids[at], commit, ...args }, call);
    await trial.call('gate', 'register_worker', { worker: 'merger', capabilities: ['integration'] });

    await expect(record('stranger', 0)).rejects.toMatchObject({ code: 'forbidden' });
    await expect(record('worker', 0, { worker: 'ada' })).rejects.toMatchObject({ code: 'forbidden' });
    await expect(record('stranger', 0, { worker: 'merger' })).rejects.toMatchObject({ code: 'forbidden' });
    await expect(record('gate', 0, { worker: 'nobody' })).rejects.toMatchObject({ code: 'not_found' });
    await expect(
      trial.call('stranger', 'record_conflict', { task_id: ids[0], files: ['a'] }),
    ).rejects.toMatchObject({ code: 'forbidden' });
    await record('planner', 0);
    await record('boss', 1);
    await record('root', 2, {}, { isOperator: true });
    const last = await record('gate', 3, { worker: 'merger' });

    expect(last).toMatchObject({ task: { status: 'completed' } });
  });

  test('that does not wait for a merge cannot be merged, and says what to do', async () => {
    await using trial = await openTrial({ engine });
    const ids = await trial.make({ key: 'plain', title: 'plain' }, { key: 'new', title: 'new', repository });
    const record = (id = '', tool = 'record_merge', args: object = { commit }) =>
      trial.call('planner', tool, { task_id: id, ...args });

    await expect(record(ids['plain'])).rejects.toThrow('works on no repository');
    await expect(record(ids['new'])).rejects.toThrow('does not wait to be merged: it is pending');
    await expect(record(ids['new'], 'record_conflict', { files: ['a'] })).rejects.toThrow('does not wait');
    await expect(record(ids['new'], 'record_merge', { commit: 'main' })).rejects.toThrow('whole hash');
    await trial.call('planner', 'cancel_task', { task_id: ids['new'] });
    await expect(record(ids['new'])).rejects.toThrow('its branch does not count');
  });

  test('that is cancelled while it waits keeps its result; tried again, it is worked on from its branch', async () => {
    await using trial = await openTrial({ engine });
    const { id } = await committed(trial);
    await expect(
      trial.call('planner', 'update_task', { task_id: id, add_depends_on: [], remove_depends_on: [id] }),
    ).rejects.toMatchObject({ code: 'conflict' });

    const cancelled = await trial.call('planner', 'cancel_task', { task_id: id });
    await expect(trial.call('planner', 'record_merge', { task_id: id, commit })).rejects.toMatchObject({
      code: 'conflict',
    });
    const result = (await trial.task(id))['result'];
    const opened = await trial.call('planner', 'retry_task', { task_id: id });
    const held = await trial.claim();
    const failed = await trial.call('worker', 'fail_task', {
      ...held,
      error: { message: 'no', retryable: false },
    });

    expect(cancelled).toMatchObject({ task: { status: 'cancelled', waiting_for: null } });
    expect(result).toEqual({ commits: 2 });
    expect(opened).toMatchObject({ task: { status: 'pending' } });
    expect(held).toEqual({ task_id: id, fence: 2 });
    expect(failed).toMatchObject({ task: { status: 'failed' } });
  });

  test('fails when its deadline passes before it is merged', async () => {
    await using trial = await openTrial({ engine });
    const { id } = await committed(trial, { deadline: '2026-11-29T12:05:00Z' });

    await trial.pass(6 * minute);

    expect(await trial.task(id)).toMatchObject({
      status: 'failed',
      waiting_for: null,
      status_reason: 'Its deadline passed.',
    });
  });

  test('is cancelled with its project, and blocks it while it waits', async () => {
    await using trial = await openTrial({ engine });
    const { project } = await trial.call('planner', 'create_project', {
      name: 'shop',
      tasks: [{ title: 'Work', repository }],
    });
    const [row] = project.tasks ?? (await trial.call('planner', 'list_tasks', {}))['tasks'];
    await trial.call('worker', 'complete_task', await trial.claim());
    const { project: waiting } = await trial.call('planner', 'get_project', {
      project_id: project.project_id,
    });

    await trial.call('planner', 'cancel_project', { project_id: project.project_id });
    await trial.pass(minute);

    expect(waiting).toMatchObject({ status: 'blocked', percent: 0 });
    expect(await trial.task(row.task_id)).toMatchObject({ status: 'cancelled' });
  });
});
