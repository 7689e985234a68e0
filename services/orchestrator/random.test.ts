/** Random operations against a model of what may happen: on each engine. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { ToolError } from '#runtime/errors.ts';

import { noPostgres, startServer } from '../../tests/support/postgres-server.ts';
import { surround } from '../../tests/support/surround.ts';
import { engines, openTrial, useDatabase, type Answer, type Trial } from './orchestrator.fixture.ts';
import { isWhole } from '../../tests/support/trials.ts';

interface Lease {
  readonly id: string;
  readonly fence: number;
  /** By the uptime. */
  untilMs: number;
}

/** What is known of a task from the answers alone. */
interface Known {
  readonly id: string;
  readonly needs: readonly string[];
  readonly hasBranch: boolean;
  fence: number;
  status: string;
}

/** What has happened to one orchestrator, and whether it may. */
class Model {
  readonly trial: Trial;
  readonly tasks = new Map<string, Known>();
  readonly leases: Lease[] = [];
  readonly completed = new Map<string, number>();
  /** By which fence the branches were finished that wait to be merged. */
  readonly committed = new Map<string, number>();

  constructor(trial: Trial) {
    this.trial = trial;
  }

  pick<Item>(items: Iterable<Item>, at: number): Item | undefined {
    const all = [...items];
    return all[at % Math.max(1, all.length)];
  }

  async refresh(): Promise<void> {
    const { tasks } = await this.trial.call('t', 'list_tasks', { limit: 500 });
    for (const { task_id: id, status } of tasks as Answer[]) {
      const known = this.tasks.get(String(id));
      if (known) known.status = String(status);
    }
  }

  /** No task is given out before all that it needs, nor twice under one fence. */
  claimed({ task_id: id, lease }: Answer): void {
    const task = this.tasks.get(String(id));
    if (!task) throw new Error(`${id} was never made`);
    for (const need of task.needs) must(this.completed.has(need), `${id} began before ${need}`);
    must(!this.completed.has(task.id), `${id} began again after its completion`);
    must(lease.fence > task.fence, `${id} was given out twice under ${lease.fence}`);
    task.fence = lease.fence as number;
    this.leases.push({ id: task.id, fence: task.fence, untilMs: this.trial.clock.uptimeMs + leaseMs });
  }

  /** Whether a call about this lease may succeed. */
  isGood({ id, fence, untilMs }: Lease): boolean {
    return this.tasks.get(id)?.fence === fence && this.trial.clock.uptimeMs < untilMs;
  }
}

/** @throws Error that says what must not be. */
function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

const leaseMs = 10_000;
type Operation = (model: Model) => Promise<void>;

/** @returns whether it was done, and not refused as a conflict. */
async function done(call: Promise<unknown>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (error instanceof ToolError && error.code === 'conflict') return false;
    throw error;
  }
}

const at = fc.nat(1_000);

const create = fc
  .tuple(at, fc.nat(2), fc.constantFrom('block', 'cascade'), at, fc.boolean())
  .map(([place, count, onFailure, urgency, hasBranch]): Operation => async (model) => {
    const needs = new Set<string>();
    for (let need = 0; need < count; need += 1) {
      const one = model.pick(model.tasks.keys(), place + need * 7);
      if (one !== undefined) needs.add(one);
    }
    const made = await model.trial.make({
      key: 'new',
      title: 'x',
      depends_on: [...needs],
      lease_seconds: leaseMs / 1_000,
      max_attempts: 2,
      on_failure: onFailure,
      priority: ['critical', 'high', 'medium', 'low'][urgency % 4],
      ...(hasBranch && { repository: { path: 'shop' } }),
    });
    const id = made['new'] ?? '';
    model.tasks.set(id, { id, needs: [...needs], hasBranch, fence: 0, status: 'new' });
  });

const claim = fc
  .tuple(fc.constantFrom('ada', 'bob'), fc.integer({ min: 1, max: 3 }))
  .map(([worker, most]): Operation => async (model) => {
    const { tasks } = await model.trial.call('t', 'claim_tasks', { worker, most });
    for (const task of tasks as Answer[]) model.claimed(task);
  });

const settle = fc
  .tuple(at, fc.constantFrom('complete_task', 'fail_task', 'release_task', 'renew_lease', 'start_task'))
  .map(([place, tool]): Operation => async (model) => {
    const lease = model.pick(model.leases, place);
    if (!lease) return;
    const { id, fence } = lease;
    const mayBe =
      model.isGood(lease) && ['assigned', 'in_progress'].includes(model.tasks.get(id)?.status ?? '');
    const args =
      tool === 'complete_task'
        ? { result: { fence } }
        : tool === 'fail_task'
          ? { error: { message: 'no' } }
          : {};
    const again =
      tool === 'complete_task' && (model.completed.get(id) === fence || model.committed.get(id) === fence);
    const isDone = await done(model.trial.call('t', tool, { task_id: id, fence, ...args }));
    must(isDone === (mayBe || again), `${tool} of ${id} with ${fence}`);
    if (!isDone) return;
    if (tool === 'complete_task') {
      must((model.completed.get(id) ?? fence) === fence, `${id} is completed twice`);
      const isMerged = model.completed.has(id);
      (model.tasks.get(id)?.hasBranch && !isMerged ? model.committed : model.completed).set(id, fence);
    }
    if (tool === 'renew_lease') lease.untilMs = model.trial.clock.uptimeMs + leaseMs;
  });

const edit = fc
  .tuple(at, fc.constantFrom('cancel_task', 'retry_task'))
  .map(([place, tool]): Operation => async (model) => {
    const task = model.pick(model.tasks.values(), place);
    if (!task) return;
    const mayBe =
      tool === 'retry_task'
        ? ['failed', 'cancelled'].includes(task.status)
        : !['completed', 'failed'].includes(task.status);
    const isDone = await done(model.trial.call('planner', tool, { task_id: task.id }));
    must(isDone === mayBe, `${tool} of ${task.id}, which is ${task.status}`);
    if (isDone) model.committed.delete(task.id);
  });

const commit = 'c'.repeat(40);

const merge = fc.tuple(at, fc.boolean()).map(([place, isClean]): Operation => async (model) => {
  const task = model.pick(model.tasks.values(), place);
  if (!task) return;
  const { id, hasBranch } = task;
  const fence = model.committed.get(id);
  const mayBe = fence !== undefined || (isClean && hasBranch && model.completed.has(id));
  const [tool, args] = isClean
    ? (['record_merge', { commit }] as const)
    : (['record_conflict', { files: ['a'] }] as const);
  const isDone = await done(model.trial.call('planner', tool, { task_id: id, ...args }));
  must(isDone === mayBe, `${tool} of ${id}, which is ${task.status}`);
  if (!isDone || fence === undefined) return;
  model.committed.delete(id);
  if (isClean) model.completed.set(id, fence);
});

const pass = fc.nat(8_000).map(
  (ms): Operation =>
    async ({ trial }) =>
      trial.pass(ms),
);
const restart = fc.constant<Operation>(async ({ trial }) => trial.restart());

const operations = fc.array(
  fc.oneof(
    { arbitrary: create, weight: 4 },
    { arbitrary: claim, weight: 4 },
    { arbitrary: settle, weight: 8 },
    { arbitrary: edit, weight: 1 },
    { arbitrary: merge, weight: 3 },
    { arbitrary: pass, weight: 2 },
    { arbitrary: restart, weight: 1 },
  ),
  { minLength: 10, maxLength: 60 },
);

/** A query of PostgreSQL goes over a connection. */
const runsOf = (engine: string) => (isWhole ? 300 : engine === 'SQLite' ? 20 : 5);

describe.each(Object.keys(engines))('On %s', (engine) => {
  if (engine === 'PostgreSQL') surround(noPostgres, async () => useDatabase(await startServer()));

  test('whatever is done: no task begins before what it needs, none completes twice, no old fence counts, none is stuck', async () => {
    const trials = fc.assert(
      fc.asyncProperty(operations, async (wanted) => {
        await using trial = await openTrial({ engine });
        const model = new Model(trial);
        for (const worker of ['ada', 'bob'])
          await trial.call('t', 'register_worker', { worker, capabilities: [], most_tasks: 3 });
        for (const operation of wanted) {
          await operation(model);
          await model.refresh();
        }
        await finish(model);
      }),
      { numRuns: runsOf(engine) },
    );

    await expect(trials).resolves.toBeUndefined();
  });
});

/** In the end all that can be done is done; what is left waits for a task that failed or was cancelled. */
async function finish(model: Model): Promise<void> {
  const { trial } = model;
  for (const [id, fence] of model.committed) {
    await trial.call('planner', 'record_merge', { task_id: id, commit });
    model.completed.set(id, fence);
  }
  for (;;) {
    await trial.pass(leaseMs);
    await trial.pass(300_000);
    let count = 0;
    for (const worker of ['ada', 'bob']) {
      const { tasks } = await trial.call('t', 'claim_tasks', { worker, most: 3 });
      for (const task of tasks as Answer[]) {
        model.claimed(task);
        const held = { task_id: task['task_id'], fence: task['lease'].fence };
        await trial.call('t', 'complete_task', { ...held, result: {} });
        if (model.tasks.get(held.task_id as string)?.hasBranch)
          await trial.call('planner', 'record_merge', { task_id: held.task_id, commit });
        model.completed.set(String(task['task_id']), task['lease'].fence);
        count += 1;
      }
    }
    if (count === 0) break;
  }
  await model.refresh();
  const statusOf = (id: string) => model.tasks.get(id)?.status ?? '';
  for (const { id, needs, status } of model.tasks.values()) {
    must(['completed', 'failed', 'cancelled', 'blocked'].includes(status), `${id} is stuck: ${status}`);
    must((status === 'completed') === model.completed.has(id), `${id} is ${status}`);
    const waits = needs.some((need) => ['failed', 'cancelled', 'blocked'].includes(statusOf(need)));
    must(status !== 'blocked' || waits, `${id} waits for nothing`);
  }
  const { tasks: counts } = await trial.call('t', 'get_orchestrator_stats');
  for (const [status, count] of Object.entries(counts as Record<string, number>)) {
    const there = [...model.tasks.values()].filter((task) => task.status === status).length;
    must(count === there, `${count} are counted as ${status}, and ${there} are`);
  }
}
