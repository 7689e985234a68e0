/** Suite `orchestrator`: how fast workers claim and complete tasks over HTTP, and how soon a task that became free has its worker. */
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';

import { openDatabase } from '#runtime/database.ts';

import { workload } from '../../services/orchestrator/bench.ts';
import { callerOf } from './caller.ts';
import { Child } from './child.ts';
import { cpuSecondsOf } from './cpu-time.ts';
import type { WorkOrder, WorkSeen } from './orchestrator-workers.ts';
import type { BenchContext, Section } from './section.ts';
import { median, percentile } from './statistics.ts';
import { startWorkload } from './workload-server.ts';

const taskCount = 1_000;
/** A diamond has one task, so many side by side that need it, and one that needs these; and the next diamond needs that. */
const diamondWidth = 98;
const workers = ['ada', 'bob', 'cyd', 'dan', 'eve', 'fay', 'gus'];
const forms = [1, 3, 5];
const rounds = { quick: 1, normal: 5, full: 15 } satisfies Record<BenchContext['depth'], number>;

const script = fileURLToPath(new URL('orchestrator-workers.ts', import.meta.url));
const migrations = fileURLToPath(new URL('../../services/orchestrator/ledger/migrations', import.meta.url));

function diamonds(): object[] {
  const size = diamondWidth + 2;
  return Array.from({ length: taskCount }, (_, at) => {
    const [diamond, place] = [Math.floor(at / size), at % size];
    const first = diamond * size;
    const middle = Array.from({ length: diamondWidth }, (_need, need) => `k${first + 1 + need}`);
    const needs =
      place === 0 ? (diamond === 0 ? [] : [`k${first - 1}`]) : place <= diamondWidth ? [`k${first}`] : middle;
    return { key: `k${at}`, title: `task ${at}`, depends_on: needs };
  });
}

/** The least that a step can be in this process: a task is given out and completed with its rows, in one commit. */
function bareLoop(folder: string) {
  const database = openDatabase(join(folder, 'bare.db'), migrations);
  database.exec("INSERT INTO skill_set (owner, requires) VALUES ('owner', '[]')");
  const insert = database.prepare(
    `INSERT INTO task (nonce, owner, title, type, priority, skill_set, status, open_needs, on_failure, max_attempts, lease_ms, bytes, created_at, updated_at)
     VALUES ('abcd', 'owner', 'task', 'generic', 2, 1, 'pending', 0, 'block', 3, 300000, 500, 0, 0)`,
  );
  const find = database.prepare<[], { seq: number }>(
    "SELECT * FROM task WHERE skill_set = 1 AND status = 'pending' AND waiting_for IS NULL AND batch IS NULL ORDER BY priority, seq LIMIT 1",
  );
  const assign = database.prepare(
    "UPDATE task SET status = 'assigned', fence = fence + 1, lease_until = ?, lease_worker = 'ada', lease_owner = 'owner', version = version + 1 WHERE seq = ?",
  );
  const attempt = database.prepare(
    "INSERT INTO attempt VALUES (?, 1, 'ada', 'owner', 0, 0, NULL, NULL, NULL)",
  );
  const finish = database.prepare(
    "UPDATE task SET status = 'completed', lease_until = NULL, lease_worker = NULL, lease_owner = NULL, ended_at = ?, version = version + 1 WHERE seq = ?",
  );
  const ended = database.prepare("UPDATE attempt SET outcome = 'completed', ended_at = ? WHERE task = ?");
  const result = database.prepare('INSERT INTO result VALUES (?, \'{"done":true}\')');
  const event = database.prepare("INSERT INTO event (at, type, task, data) VALUES (?, ?, ?, '{}')");
  const step = database.transaction((nowMs: number) => {
    const seq = find.get()?.seq;
    assign.run(nowMs + 300_000, seq);
    attempt.run(seq);
    event.run(nowMs, 'task_assigned', seq);
    finish.run(nowMs, seq);
    ended.run(nowMs, seq);
    result.run(seq);
    event.run(nowMs, 'task_completed', seq);
  });
  const fill = database.transaction(() => {
    for (let count = 0; count < taskCount; count += 1) insert.run();
  });
  return {
    /** @returns steps per second. */
    run(): number {
      fill();
      const startedAtMs = performance.now();
      for (let count = 0; count < taskCount; count += 1) step.immediate(Date.now());
      return (taskCount * 1_000) / (performance.now() - startedAtMs);
    },
    [Symbol.dispose]: () => database.close(),
  };
}

async function does(order: WorkOrder): Promise<WorkSeen> {
  await using child = new Child([process.execPath, script]);
  child.send(order);
  return (await child.messageWith('done')) as WorkSeen;
}

export async function orchestrator({ depth, progress }: BenchContext): Promise<readonly Section[]> {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-orchestrator-'));
  await using server = await startWorkload(
    'orchestrator',
    { ...workload, seed: async () => null },
    folder.path,
    { isPinned: false },
  );
  const place = { url: server.url, token: server.token };
  using caller = callerOf(place, 1);
  using bare = bareLoop(folder.path);
  const faults: string[] = [];

  async function run(atOnce: number) {
    const { project } = await caller.call('create_project', { name: 'diamonds', tasks: diamonds() });
    const cpu = cpuSecondsOf(server.pid);
    const seen = await does({ ...place, workers, atOnce, tasks: taskCount });
    const cpuUs = ((cpuSecondsOf(server.pid) - cpu) * 1e6) / taskCount;
    const { project: end } = await caller.call('get_project', { project_id: project.project_id });
    if (end.counts.completed !== taskCount)
      faults.push(`${end.counts.completed} of ${taskCount} are completed`);
    return { ...seen, cpuUs, perSecond: seen.done / seen.seconds };
  }

  progress('orchestrator: warm-up');
  await run(1);
  bare.run();
  const bareSeen: number[] = [];
  const seen = new Map(forms.map((atOnce) => [atOnce, [] as Awaited<ReturnType<typeof run>>[]]));
  for (let round = 0; round < rounds[depth]; round += 1) {
    progress(`orchestrator: round ${round + 1} of ${rounds[depth]}`);
    bareSeen.push(bare.run());
    for (const atOnce of forms) seen.get(atOnce)?.push(await run(atOnce));
  }
  return [
    {
      title: 'Orchestrator: tasks claimed and completed',
      method:
        `${taskCount} tasks in diamonds one after the other, each of 1, ${diamondWidth} and 1 tasks; ${workers.length} workers in one process over HTTP with a token, each claiming so many at a time (claim_tasks with wait_seconds) and completing them side by side. ` +
        'A step is one task, claimed by one call and completed by another; both are on disk (synchronous=FULL) before they are answered. ' +
        'The bare loop is better-sqlite3 in this process: the same rows in the same tables for a task that is given out and completed, in one commit with synchronous=FULL for both, one after the other. ' +
        `A dependent is timed for each completion that frees tasks: from when that is sent to when a worker has the first of them. ${rounds[depth]} rounds, medians (of dependents, over all of them); the share is of the loop in the same round. Nothing is pinned; workers and orchestrator share the cores.`,
      columns: [
        { name: 'way' },
        { name: 'steps/s' },
        { name: 'share of bare', digits: 2 },
        { name: 'CPU µs/step', digits: 0 },
        { name: 'dependent p50 ms', digits: 1 },
        { name: 'dependent p99 ms', digits: 1 },
        { name: 'complete p50 ms', digits: 1 },
        { name: 'complete p99 ms', digits: 1 },
      ],
      rows: [
        ['bare loop, one commit a step', median(bareSeen), null, null, null, null, null, null],
        ...forms.map((atOnce) => {
          const own = seen.get(atOnce) ?? [];
          const dependentMs = own.flatMap((one) => one.dependentMs);
          const medianOf = (value: (one: (typeof own)[number], at: number) => number) =>
            median(own.map(value));
          return [
            `${workers.length} workers, ${atOnce} at a time`,
            medianOf(({ perSecond }) => perSecond),
            medianOf(({ perSecond }, at) => perSecond / (bareSeen[at] ?? Number.NaN)),
            medianOf(({ cpuUs }) => cpuUs),
            percentile(dependentMs, 0.5),
            percentile(dependentMs, 0.99),
            medianOf(({ p50Ms }) => p50Ms),
            medianOf(({ p99Ms }) => p99Ms),
          ];
        }),
      ],
      chart: { column: 1 },
      faults,
    },
  ];
}
