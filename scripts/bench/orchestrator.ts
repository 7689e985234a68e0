/** Suite `orchestrator`: how fast workers claim and complete tasks over HTTP, and how soon a task that became free has its worker. */
import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';

import { openDatabase } from '#runtime/database.ts';

import { workload } from '../../services/orchestrator/bench.ts';
import { freePort, startPostgres } from '../../services/supabase/local/postgres.ts';
import { whyNoPair } from '../../services/supabase/local/programs.ts';
import { leanClient } from './lean-client.ts';
import { Child } from './child.ts';
import { cpuSecondsOf } from './cpu-time.ts';
import type { WorkOrder, WorkSeen } from './orchestrator-workers.ts';
import type { ReadOrder, ReadSeen } from './paced-reads.ts';
import type { BenchContext, Cell, Section } from './section.ts';
import { median, percentile } from './statistics.ts';
import { startWorkload, type WorkloadServer } from './workload-server.ts';

const taskCount = 1_000;
/** A diamond has one task, so many side by side that need it, and one that needs these; and the next diamond needs that. */
const diamondWidth = 98;
const workers = ['ada', 'bob', 'cyd', 'dan', 'eve', 'fay', 'gus'];
const forms = [1, 3, 5];
const rounds = { quick: 1, normal: 5, full: 15 } satisfies Record<BenchContext['depth'], number>;

const script = fileURLToPath(new URL('orchestrator-workers.ts', import.meta.url));
const readScript = fileURLToPath(new URL('paced-reads.ts', import.meta.url));
const readsPerSecond = 500;
const readSeconds = { quick: 4, normal: 10, full: 20 } satisfies Record<BenchContext['depth'], number>;
const readRounds = { quick: 1, normal: 3, full: 7 } satisfies Record<BenchContext['depth'], number>;
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

async function readsOf(order: ReadOrder): Promise<ReadSeen> {
  await using child = new Child([process.execPath, readScript]);
  child.send(order);
  return (await child.messageWith('done')) as ReadSeen;
}

interface Run extends WorkSeen {
  readonly cpuUs: number;
  readonly perSecond: number;
}

interface Steps {
  readonly engine: string;
  /** The loop in the same round; nothing where there is none for the engine. */
  readonly bareSeen: readonly number[];
  readonly seen: ReadonlyMap<number, readonly Run[]>;
}

/** Workers claim and complete at one orchestrator, in rounds. */
async function stepsOf(
  engine: string,
  server: WorkloadServer,
  bare: ReturnType<typeof bareLoop> | undefined,
  { depth, progress }: BenchContext,
  faults: string[],
): Promise<Steps> {
  const place = { url: server.url, token: server.token };
  using caller = leanClient(place, 1);

  async function run(atOnce: number): Promise<Run> {
    const { project } = await caller.call('create_project', { name: 'diamonds', tasks: diamonds() });
    const cpu = cpuSecondsOf(server.pid);
    const seen = await does({ ...place, workers, atOnce, tasks: taskCount });
    const cpuUs = ((cpuSecondsOf(server.pid) - cpu) * 1e6) / taskCount;
    const { project: end } = await caller.call('get_project', { project_id: project.project_id });
    if (end.counts.completed !== taskCount)
      faults.push(`on ${engine}, ${end.counts.completed} of ${taskCount} are completed`);
    return { ...seen, cpuUs, perSecond: seen.done / seen.seconds };
  }

  progress(`orchestrator on ${engine}: warm-up`);
  await run(1);
  bare?.run();
  const bareSeen: number[] = [];
  const seen = new Map(forms.map((atOnce) => [atOnce, [] as Run[]]));
  for (let round = 0; round < rounds[depth]; round += 1) {
    progress(`orchestrator on ${engine}: round ${round + 1} of ${rounds[depth]}`);
    if (bare) bareSeen.push(bare.run());
    for (const atOnce of forms) seen.get(atOnce)?.push(await run(atOnce));
  }
  return { engine, bareSeen, seen };
}

function stepRows({ engine, bareSeen, seen }: Steps): Cell[][] {
  return forms.map((atOnce) => {
    const own = seen.get(atOnce) ?? [];
    const dependentMs = own.flatMap((one) => one.dependentMs);
    const medianOf = (value: (one: Run, at: number) => number) => median(own.map(value));
    return [
      `${engine}, ${workers.length} workers, ${atOnce} at a time`,
      medianOf(({ perSecond }) => perSecond),
      bareSeen.length > 0 ? medianOf(({ perSecond }, at) => perSecond / (bareSeen[at] ?? Number.NaN)) : null,
      medianOf(({ cpuUs }) => cpuUs),
      percentile(dependentMs, 0.5),
      percentile(dependentMs, 0.99),
      medianOf(({ p50Ms }) => p50Ms),
      medianOf(({ p99Ms }) => p99Ms),
    ];
  });
}

const startOrchestrator = async (folder: string, databaseUrl?: string) =>
  startWorkload(
    'orchestrator',
    {
      ...workload,
      seed: async () => null,
      ...(databaseUrl !== undefined && {
        settings: () => ({ FLOTILLA_ORCHESTRATOR_DATABASE_URL: databaseUrl }),
      }),
    },
    folder,
    { isPinned: false },
  );

/** `undefined` where there is no PostgreSQL. */
async function stepsOnPostgres(context: BenchContext, faults: string[]): Promise<Steps | undefined> {
  const missing = whyNoPair();
  if (missing !== undefined) {
    context.progress(missing);
    return undefined;
  }
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-orchestrator-'));
  // To pass through, for the user that it runs as.
  chmodSync(folder.path, 0o711);
  const port = await freePort();
  const password = randomUUID();
  const postgres = await startPostgres(join(folder.path, 'postgres'), {
    port,
    password,
    isDurable: true,
  });
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => postgres.stop());
  await using server = await startOrchestrator(
    join(folder.path, 'orchestrator'),
    `postgresql://postgres:${password}@127.0.0.1:${port}/postgres`,
  );
  return await stepsOf('PostgreSQL', server, undefined, context, faults);
}

export async function orchestrator(context: BenchContext): Promise<readonly Section[]> {
  const { depth, progress } = context;
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-orchestrator-'));
  await using server = await startOrchestrator(folder.path);
  const place = { url: server.url, token: server.token };
  using caller = leanClient(place, 1);
  using bare = bareLoop(folder.path);
  const faults: string[] = [];
  const onSqlite = await stepsOf('SQLite', server, bare, context, faults);
  const onPostgres = await stepsOnPostgres(context, faults);
  progress('orchestrator: reads');
  const made = await caller.call('create_tasks', {
    tasks: [{ title: 'read', description: 'x'.repeat(500) }],
  });
  const seconds = readSeconds[depth];
  const ways = [
    { way: 'grpc', title: 'GetTask over gRPC' },
    { way: 'mcp', title: 'get_task over MCP' },
  ] as const;
  const task = made.tasks[0].task_id as string;
  const reads = ways.map((): (ReadSeen & { readonly serverUs: number })[] => []);
  for (let round = 0; round <= readRounds[depth]; round += 1) {
    for (const [at, { way, title }] of ways.entries()) {
      const cpu = cpuSecondsOf(server.pid);
      // oxlint-disable-next-line no-await-in-loop -- they would take time from each other
      const own = await readsOf({ ...place, way, task, perSecond: readsPerSecond, seconds });
      // The warm-up is as many as come in a second.
      const serverUs = ((cpuSecondsOf(server.pid) - cpu) * 1e6) / (own.done + readsPerSecond);
      if (own.failed > 0) faults.push(`${own.failed} reads failed: ${title}`);
      // In the first, code is not compiled well yet.
      if (round > 0) reads[at]?.push({ ...own, serverUs });
    }
  }
  const ofMcp = (own: readonly { readonly serverUs: number }[]) =>
    median(own.map(({ serverUs }, round) => serverUs / (reads[1]?.[round]?.serverUs ?? Number.NaN)));
  const readRows: Cell[][] = ways.map(({ title }, at) => {
    const own = reads[at] ?? [];
    return [
      title,
      median(own.map((one) => one.done / one.seconds)),
      median(own.map(({ p50Ms }) => p50Ms)),
      median(own.map(({ p99Ms }) => p99Ms)),
      median(own.map(({ serverUs }) => serverUs)),
      ofMcp(own),
      median(own.map(({ cpuUs }) => cpuUs)),
    ];
  });
  return [
    {
      title: `Orchestrator: one task read ${readsPerSecond} times a second`,
      method:
        `One client process with a token: gRPC by the stock client of Node (@grpc/grpc-js) over one connection without TLS, MCP over up to 64 of HTTP/1.1. Reads are sent when they are due, whether or not earlier ones have been answered, and timed from then. ${readRounds[depth]} rounds of ${seconds} s each way after one that does not count; medians, and the ratio within each round. ` +
        'Nothing is pinned; client and orchestrator share the cores, and the client of gRPC takes more of them than that of MCP.',
      columns: [
        { name: 'way' },
        { name: 'reads/s', digits: 0 },
        { name: 'p50 ms', digits: 1 },
        { name: 'p99 ms', digits: 1 },
        { name: 'CPU µs/read', digits: 0 },
        { name: 'times MCP', digits: 2 },
        { name: "client's CPU µs/read", digits: 0 },
      ],
      rows: readRows,
    },
    {
      title: 'Orchestrator: tasks claimed and completed',
      method:
        `${taskCount} tasks in diamonds one after the other, each of 1, ${diamondWidth} and 1 tasks; ${workers.length} workers in one process over HTTP with a token, each claiming so many at a time (claim_tasks with wait_seconds) and completing them side by side. ` +
        'A step is one task, claimed by one call and completed by another; both are on disk before they are answered: SQLite with synchronous=FULL, and, where its programs are installed, PostgreSQL with synchronous_commit and fsync, on the same host over TCP (its CPU is not in the figure, which is of the orchestrator). ' +
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
        ['bare loop, one commit a step', median(onSqlite.bareSeen), null, null, null, null, null, null],
        ...stepRows(onSqlite),
        ...(onPostgres ? stepRows(onPostgres) : []),
      ],
      chart: { column: 1 },
      faults,
    },
  ];
}
