/** Workers claim and complete tasks while orchestrators, and their database, are killed again and again. Then what they were told is held against the database. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';
import { describe, expect, test } from 'vitest';

import { openToRead } from '#runtime/database.ts';

import { freePortOffset } from '../../scripts/ports.ts';
import { noPostgres, startServer } from '../support/postgres-server.ts';
import { callTool, codeOf } from '../support/rpc.ts';
import { temporaryFolder } from '../support/serve.ts';
import { damagesIn, startProcess, type ServiceProcess } from './service-process.ts';
import type { Target } from './writers.ts';
import { isWhole } from '../support/trials.ts';

const workers = ['ada', 'bob', 'cyd', 'dan', 'eve', 'fay', 'gus'];
/** Tasks whose claim was answered to nobody come back after it. */
const leaseSeconds = 2;
const layerWidth = 10;
/** A call has at most 100,000 values. */
const mostAtOnce = 2_500;

/** A completion that a worker was told of. */
interface Told {
  readonly task: string;
  readonly fence: number;
  readonly worker: string;
}

interface TaskRow {
  readonly id: string;
  readonly status: string;
  readonly open_needs: number;
}

interface AttemptRow {
  readonly task: string;
  readonly fence: number;
  readonly worker: string;
  readonly outcome: string | null;
}

interface EventRow {
  readonly seq: number;
  readonly type: string;
  readonly task: string;
}

interface Outcome {
  readonly told: readonly Told[];
  readonly tasks: readonly TaskRow[];
  readonly attempts: readonly AttemptRow[];
  /** The result that is kept, as its worker wrote it. */
  readonly results: ReadonlyMap<string, Told>;
  readonly edges: readonly { readonly task: string; readonly needs: string }[];
  readonly events: readonly EventRow[];
}

/** What must not be, each as a sentence. */
function faultsOf({ told, tasks, attempts, results, edges, events }: Outcome): string[] {
  const faults: string[] = [];
  const completions = new Map<string, AttemptRow[]>();
  for (const attempt of attempts)
    if (attempt.outcome === 'completed')
      completions.set(attempt.task, [...(completions.get(attempt.task) ?? []), attempt]);
  for (const { id, status, open_needs: open } of tasks) {
    const count = completions.get(id)?.length ?? 0;
    if (status !== 'completed' || open > 0) faults.push(`${id} is stuck: ${status}, ${open} open needs`);
    if (count !== 1) faults.push(`${id} was completed ${count} times`);
  }
  for (const { task, fence, worker } of told) {
    const kept = results.get(task);
    if (kept?.fence !== fence || kept.worker !== worker)
      faults.push(`the result of ${task} by ${worker} is lost`);
  }
  const completedAt = new Map(
    events.filter(({ type }) => type === 'task_completed').map(({ task, seq }) => [task, seq]),
  );
  const assignedAt = new Map<string, number>();
  for (const { type, task, seq } of events)
    if (type === 'task_assigned' && !assignedAt.has(task)) assignedAt.set(task, seq);
  for (const { task, needs } of edges)
    if ((assignedAt.get(task) ?? 0) < (completedAt.get(needs) ?? Infinity))
      faults.push(`${task} began before ${needs}`);
  return faults;
}

/** Until it is answered; a refusal is an answer. @throws Error for a request that is none. */
async function ask(target: () => Target, tool: string, args: Readonly<Record<string, unknown>>) {
  for (;;) {
    // It may have been killed.
    const answer = await callTool(target(), tool, args).catch(() => undefined);
    const code = answer && codeOf(answer);
    if (answer && code !== 'unavailable') {
      if (!answer.result) throw new Error(`${tool}: ${answer.error?.message}`);
      return { code, value: answer.result['structuredContent'] };
    }
    await sleep(20);
  }
}

async function work(
  target: () => Target,
  worker: string,
  told: Told[],
  isOver: () => boolean,
): Promise<void> {
  await ask(target, 'register_worker', { worker, capabilities: [], most_tasks: 3 });
  while (!isOver()) {
    const { value } = await ask(target, 'claim_tasks', { worker, most: 3, wait_seconds: 1 });
    const claimed = (value?.tasks ?? []) as { task_id: string; lease: { fence: number } }[];
    await Promise.all(
      claimed.map(async ({ task_id: task, lease: { fence } }) => {
        const result = { task, fence, worker };
        const { code } = await ask(target, 'complete_task', { task_id: task, fence, result });
        if (code === undefined) told.push(result);
      }),
    );
  }
}

/** Layers, each of whose tasks needs all of the layer before. */
function layersOf(count: number): object[] {
  return Array.from({ length: count }, (_, at) => {
    const layer = Math.floor(at / layerWidth);
    return {
      key: `k${at}`,
      title: `task ${at}`,
      lease_seconds: leaseSeconds,
      max_attempts: 100,
      depends_on:
        layer === 0
          ? []
          : Array.from({ length: layerWidth }, (_need, need) => `k${(layer - 1) * layerWidth + need}`),
    };
  });
}

type Ask = <Row>(sql: string) => Promise<Row[]> | Row[];

/** As each engine answers. */
async function outcomeOf(all: Ask, told: readonly Told[]): Promise<Outcome> {
  const id = (table: string) => `'t' || ${table}.seq || '-' || ${table}.nonce`;
  return {
    told,
    tasks: await all<TaskRow>(`SELECT ${id('task')} AS id, status, open_needs FROM task`),
    attempts: await all<AttemptRow>(
      `SELECT ${id('t')} AS task, a.fence, worker, outcome FROM attempt AS a JOIN task AS t ON t.seq = a.task`,
    ),
    results: new Map(
      (await all<{ body: string }>('SELECT body FROM result')).map(({ body }) => {
        const result = JSON.parse(body) as Told;
        return [result.task, result] as const;
      }),
    ),
    edges: await all(
      `SELECT ${id('t')} AS task, ${id('n')} AS needs FROM edge AS e JOIN task AS t ON t.seq = e.task JOIN task AS n ON n.seq = e.needs`,
    ),
    events: await all<EventRow>(
      `SELECT e.seq, e.type, ${id('t')} AS task FROM event AS e JOIN task AS t ON t.seq = e.task ORDER BY e.seq`,
    ),
  };
}

/** Those that are killed, and what is left in the end. */
interface Trial extends AsyncDisposable {
  /** Of a worker, by its place. */
  target(at: number): Target;
  /** @param turn counts the disturbances. */
  disturb(turn: number): Promise<void>;
  /** Stops all. */
  outcome(told: readonly Told[]): Promise<Outcome>;
}

/** One orchestrator, on SQLite. */
async function alone(): Promise<Trial> {
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(temporaryFolder());
  const options = { dataRoot: join(folder.path, 'data'), portOffset: await freePortOffset() };
  let orchestrator: ServiceProcess = await startProcess('orchestrator', options);
  stack.defer(async () => orchestrator[Symbol.asyncDispose]());
  const owned = stack.move();
  return {
    target: () => orchestrator.target,
    async disturb() {
      await orchestrator.kill();
      orchestrator = await startProcess('orchestrator', options);
    },
    async outcome(told) {
      expect(await orchestrator.stop()).toBe(0);
      const dataDir = join(options.dataRoot, 'orchestrator');
      expect(damagesIn(dataDir)).toEqual([]);
      using database = openToRead(join(dataDir, 'orchestrator.db'));
      return await outcomeOf(<Row>(sql: string) => database.prepare<[], Row>(sql).all(), told);
    },
    [Symbol.asyncDispose]: async () => owned.disposeAsync(),
  };
}

/** Longer than a lease. */
const stillMs = leaseSeconds * 1_000 + 500;

/** Two orchestrators on one PostgreSQL. In turn one is killed, the other stands still for longer than a lease, and the database crashes. */
async function together(): Promise<Trial> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await startServer());
  const settings = { FLOTILLA_ORCHESTRATOR_DATABASE_URL: server.url };
  const both: { process: ServiceProcess; options: Parameters<typeof startProcess>[1] }[] = [];
  for (let at = 0; at < 2; at += 1) {
    const folder = stack.use(temporaryFolder());
    const options = {
      dataRoot: join(folder.path, 'data'),
      portOffset: await freePortOffset(),
      settings,
    };
    const one = { process: await startProcess('orchestrator', options), options };
    stack.defer(async () => one.process[Symbol.asyncDispose]());
    both.push(one);
  }
  const [first, second] = both as [(typeof both)[number], (typeof both)[number]];
  const disturbances = [
    async () => {
      await first.process.kill();
      first.process = await startProcess('orchestrator', first.options);
    },
    async () => {
      second.process.freeze();
      await sleep(stillMs);
      second.process.thaw();
    },
    async () => {
      await server.kill();
      await server.start();
    },
  ];
  const owned = stack.move();
  return {
    target: (at) => (both[at % 2] ?? first).process.target,
    disturb: async (turn) => disturbances[turn % disturbances.length]?.(),
    async outcome(told) {
      for (const one of both) expect(await one.process.stop()).toBe(0);
      const client = new pg.Client({
        connectionString: server.url,
        options: '-c search_path=flotilla_orchestrator',
        types: { getTypeParser: (oid: number) => (oid === 20 ? Number : String) },
      });
      await client.connect();
      try {
        const all: Ask = async <Row>(sql: string) => (await client.query(sql)).rows as Row[];
        return await outcomeOf(all, told);
      } finally {
        await client.end();
      }
    },
    [Symbol.asyncDispose]: async () => owned.disposeAsync(),
  };
}

async function run(open: () => Promise<Trial>, count: number, kills: number): Promise<Outcome> {
  await using trial = await open();
  const current = () => trial.target(0);
  const { value } = await ask(current, 'create_project', { name: 'trial', tasks: [] });
  for (let made = 0; made < count; made += mostAtOnce)
    await ask(current, 'create_tasks', {
      project_id: value.project.project_id,
      tasks: layersOf(Math.min(mostAtOnce, count - made)),
    });
  const told: Told[] = [];
  const isOver = () => told.length >= count;
  const working = Promise.all(
    workers.map(async (worker, at) => work(() => trial.target(at), worker, told, isOver)),
  );
  // At shares of the work, not at times: so that each falls into the run on every machine.
  for (let kill = 1; kill <= kills; kill += 1) {
    const share = (count * (kill - Math.random() / 2)) / (kills + 1);
    while (told.length < share) await sleep(2);
    await trial.disturb(kill - 1);
  }
  await working;
  const { value: end } = await ask(current, 'get_project', { project_id: value.project.project_id });
  expect(end.project).toMatchObject({ status: 'completed', percent: 100, counts: { completed: count } });
  return await trial.outcome(told);
}

describe('kill -9 while workers claim and complete', () => {
  const trials = [
    { what: 'the orchestrator', open: alone, tasks: 400, missing: undefined },
    {
      what: 'two orchestrators and their database',
      open: together,
      tasks: 200,
      missing: noPostgres,
    },
  ];

  test.for(trials)(
    'of $what: every acknowledged completion is there once, in order, and no task is stuck',
    { timeout: isWhole ? 3_600_000 : 240_000 },
    async ({ what, open, tasks, missing }, { skip }) => {
      skip(missing !== undefined, missing);
      const [count, kills] = isWhole ? [10_000, 40] : [tasks, 3];
      const outcome = await run(open, count, kills);
      const faults = faultsOf(outcome);
      const lost = outcome.attempts.filter((attempt) => attempt.outcome === 'lost').length;
      process.stdout.write(
        `${what}, ${kills} kills: ${outcome.told.length} completions acknowledged, ${outcome.attempts.length} attempts, ${lost} of them lost; ${faults.length} faults\n`,
      );

      expect(faults.slice(0, 10)).toEqual([]);
      expect(outcome.tasks).toHaveLength(count);
      expect(new Set(outcome.told.map(({ task }) => task)).size).toBe(count);
    },
  );

  const told = { task: 't2-b', fence: 1, worker: 'ada' };
  const first = { task: 't1-a', fence: 1, worker: 'ada' };
  const whole: Outcome = {
    told: [first, told],
    tasks: ['t1-a', 't2-b'].map((id) => ({ id, status: 'completed', open_needs: 0 })),
    attempts: [first, told].map((one) => ({ ...one, outcome: 'completed' })),
    results: new Map([first, told].map((one) => [one.task, one])),
    edges: [{ task: 't2-b', needs: 't1-a' }],
    events: ['t1-a', 't2-b'].flatMap((task, at) => [
      { seq: at * 2 + 1, type: 'task_assigned', task },
      { seq: at * 2 + 2, type: 'task_completed', task },
    ]),
  };

  test.each<[string, Partial<Outcome>, string[]]>([
    ['nothing', {}, []],
    ['a lost completion', { results: new Map([[first.task, first]]) }, ['the result of t2-b by ada is lost']],
    [
      'a result that another attempt overwrote',
      { results: new Map([...whole.results, ['t2-b', { ...told, fence: 2, worker: 'bob' }]]) },
      ['the result of t2-b by ada is lost'],
    ],
    [
      'a second completion',
      { attempts: [...whole.attempts, { ...told, fence: 2, outcome: 'completed' }] },
      ['t2-b was completed 2 times'],
    ],
    [
      'a stuck task',
      { tasks: [...whole.tasks, { id: 't3-c', status: 'blocked', open_needs: 1 }] },
      ['t3-c is stuck: blocked, 1 open needs', 't3-c was completed 0 times'],
    ],
    [
      'a task that began too early',
      { events: [{ seq: 0, type: 'task_assigned', task: 't2-b' }, ...whole.events] },
      ['t2-b began before t1-a'],
    ],
  ])('the check finds %s', (_what, changed, faults) => {
    expect(faultsOf({ ...whole, ...changed })).toEqual(faults);
  });
});
