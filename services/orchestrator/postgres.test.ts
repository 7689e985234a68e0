/** Several orchestrators on one PostgreSQL: what each sees of the others, and what they do while it is away. */
import { describe, expect, test, vi } from 'vitest';

import pg from 'pg';

import type { Log } from '#runtime/account/log.ts';
import { ConfigError, ToolError, UnavailableError } from '#runtime/errors.ts';
import { invoke } from '#runtime/testing.ts';
import type { Call } from '#runtime/tool.ts';

import {
  noPostgres,
  postgresPassword,
  startServer,
  type PostgresServer,
} from '../../tests/support/postgres-server.ts';
import { serve } from '../../tests/support/serve.ts';
import { surround } from '../../tests/support/surround.ts';
import { closeChange, loadTask, newChange, tell } from './ledger/change.ts';
import type { Engine } from './ledger/engine.ts';
import { eventsAfter, newestSeq } from './ledger/events.ts';
import { loadHoldings } from './ledger/quota.ts';
import { openPostgres } from './ledger/postgres.ts';
import { noticesOf, newsIn } from './notices.ts';
import { openOrchestrator, type Orchestrator } from './orchestrator.ts';
import { plenty, settingsFor, silent, start, useDatabase, type Answer } from './orchestrator.fixture.ts';
import orchestratorService, { allTools } from './service.ts';
import { listened } from './streaming.ts';

let server: PostgresServer | undefined;
surround(noPostgres, async () => (server = useDatabase(await startServer())));

interface Member extends AsyncDisposable {
  readonly orchestrator: Orchestrator;
  readonly updated: string[];
  call(tool: string, args?: object, overrides?: Partial<Call>): Promise<Answer>;
}

/** One of several orchestrators on one schema, with clocks of its own. */
async function join(
  settings = settingsFor(),
  { log = silent, uptimeMs = () => performance.now() }: { log?: Log; uptimeMs?: () => number } = {},
): Promise<Member> {
  const updated: string[] = [];
  const orchestrator = await openOrchestrator({
    engine: await openPostgres(settings, plenty, log),
    quota: plenty,
    retentionMs: 90 * 86_400_000,
    log,
    now: () => Date.now(),
    uptimeMs,
    resourceUpdated: (uri) => void updated.push(uri),
  });
  return {
    orchestrator,
    updated,
    async call(name, args = {}, overrides = {}) {
      const tool = allTools.find((one) => one.name === name);
      if (!tool) throw new Error(`There is no tool ${name}.`);
      return (await invoke(tool, args, orchestrator, {
        caller: 't',
        nowMs: Date.now(),
        ...overrides,
      })) as Answer;
    },
    [Symbol.asyncDispose]: async () => orchestrator[Symbol.asyncDispose](),
  };
}

const codeOf = async (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => (error instanceof ToolError ? error.code : error),
  );

/** Words of an operator at the same database. */
async function asOperator(...statements: string[]): Promise<void> {
  const client = new pg.Client({ connectionString: server?.url ?? '' });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

describe('Two orchestrators on one database', () => {
  test('start at once on an empty one, and share tasks, wake-ups, events, sets of capabilities and documents', async () => {
    const settings = settingsFor();
    const [one, other] = await Promise.all([join(settings), join(settings)]);
    await using _one = one;
    await using _other = other;
    await one.call('register_worker', { worker: 'ada', capabilities: ['rust'] });
    // Each knows the sets that there were before.
    await one.call('claim_tasks', { worker: 'ada' });
    const listening = new AbortController();
    const stream = await listened.listen({ after: 0 }, one.orchestrator, {
      caller: 't',
      tokenHash: '',
      signal: listening.signal,
    });
    const heard: string[] = [];
    const following = (async () => {
      for await (const { event } of stream) heard.push(event);
    })();
    const waiting = one.call('claim_tasks', { worker: 'ada', wait_seconds: 30 });
    await vi.waitFor(() => expect(one.orchestrator.waiting.count()).toBe(1));

    const { tasks: made } = await other.call('create_tasks', {
      tasks: [{ key: 'a', title: 'a', requires: ['rust'] }],
    });
    const { tasks } = await waiting;
    const [task] = tasks as Answer[];
    const held = { task_id: task?.['task_id'], fence: task?.['lease'].fence };
    // A lease that one gave out is settled at any.
    await other.call('complete_task', { ...held, result: { by: 'ada' } });

    expect(held.task_id).toBe(made[0].task_id);
    await vi.waitFor(() =>
      expect(heard).toEqual(['worker_registered', 'tasks_created', 'task_assigned', 'task_completed']),
    );
    await vi.waitFor(() => expect(one.updated).toContain(`orchestrator://task/${held.task_id}`));
    expect(await one.call('get_task', { task_id: held.task_id })).toMatchObject({
      task: { status: 'completed', result: { by: 'ada' }, requires: ['rust'] },
    });
    expect((await other.call('list_workers'))['workers']).toMatchObject([
      { worker: 'ada', metrics: { completed: 1 } },
    ]);
    listening.abort();
    await following;
  });

  test('a worker that waits at one and is taken out at the other is told so, and gets nothing', async () => {
    const settings = settingsFor();
    await using one = await join(settings);
    await using other = await join(settings);
    await one.call('register_worker', { worker: 'ada', capabilities: [] });
    const waiting = one.call('claim_tasks', { worker: 'ada', wait_seconds: 30 });
    await vi.waitFor(() => expect(one.orchestrator.waiting.count()).toBe(1));

    await other.call('remove_worker', { worker: 'ada' });

    expect((await waiting)['tasks']).toEqual([]);
    const { tasks } = await other.call('create_tasks', { tasks: [{ title: 'a' }] });
    expect(await other.call('get_task', { task_id: tasks[0].task_id })).toMatchObject({
      task: { status: 'pending' },
    });
  });

  test('many claims at both give each task to one worker, and no worker more than it takes', async () => {
    const settings = settingsFor();
    await using one = await join(settings);
    await using other = await join(settings);
    await one.call('create_tasks', { tasks: Array.from({ length: 30 }, (_, at) => ({ title: `t${at}` })) });
    const workers = ['ada', 'bob', 'cyd'];
    for (const worker of workers)
      await one.call('register_worker', { worker, capabilities: [], most_tasks: 3 });

    const answers = await Promise.all(
      workers.flatMap((worker) =>
        [one, other, one, other].map(async (at) => at.call('claim_tasks', { worker, most: 2 })),
      ),
    );

    const ids = answers.flatMap(({ tasks }) => (tasks as Answer[]).map(({ task_id: id }) => id as string));
    expect(ids).toHaveLength(9);
    expect(new Set(ids).size).toBe(9);
    expect((await other.call('list_workers'))['workers']).toMatchObject(
      workers.map((worker) => ({ worker, load: 3 })),
    );
  });

  test('many claims at both give out one task at a time in a folder', async () => {
    const settings = settingsFor();
    await using one = await join(settings);
    await using other = await join(settings);
    const repository = { path: '/srv/shop', mode: 'branch' };
    await one.call('create_tasks', {
      tasks: Array.from({ length: 12 }, (_, at) => ({ title: `t${at}`, repository })),
    });
    const names = Array.from({ length: 6 }, (_, at) => `w${at}`);
    for (const worker of names)
      await one.call('register_worker', { worker, capabilities: [], most_tasks: 5 });

    const claims = await Promise.all(
      names.map(async (worker, at) => (at % 2 === 0 ? one : other).call('claim_tasks', { worker, most: 5 })),
    );

    expect(claims.flatMap(({ tasks }) => tasks as Answer[])).toHaveLength(1);
  });

  test('of twins with one idempotency key that come to both at once, one makes the tasks', async () => {
    const settings = settingsFor();
    await using one = await join(settings);
    await using other = await join(settings);
    const args = { tasks: [{ title: 'once', requires: ['new'] }], idempotency_key: 'k' };

    const answers = await Promise.all(
      [one, other, one, other].map(async (at) => at.call('create_tasks', args)),
    );

    expect(new Set(answers.map(({ tasks }) => tasks[0].task_id)).size).toBe(1);
    expect((await one.call('list_tasks'))['tasks']).toHaveLength(1);
  });

  test('two edges that would make a circle together are not both taken', async () => {
    const settings = settingsFor();
    await using one = await join(settings);
    await using other = await join(settings);
    const { tasks } = await one.call('create_tasks', {
      tasks: [
        { key: 'a', title: 'a' },
        { key: 'b', title: 'b', depends_on: ['a'] },
        { key: 'c', title: 'c' },
        { key: 'd', title: 'd', depends_on: ['c'] },
      ],
    });
    const [a, b, c, d] = (tasks as Answer[]).map(({ task_id: id }) => id as string);

    const codes = await Promise.all([
      codeOf(one.call('update_task', { task_id: a, add_depends_on: [d] })),
      codeOf(other.call('update_task', { task_id: c, add_depends_on: [b] })),
    ]);

    expect(codes.toSorted()).toEqual(['invalid_input', undefined]);
  });

  test('their clocks are one: it never goes back, and a lease ends at both when its time has gone by at one', async () => {
    const settings = settingsFor();
    const uptime = { one: 5_000_000, other: 20 };
    await using one = await join(settings, { uptimeMs: () => uptime.one });
    await using other = await join(settings, { uptimeMs: () => uptime.other });
    await one.call('create_tasks', { tasks: [{ title: 'a', lease_seconds: 60 }] });
    await one.call('register_worker', { worker: 'ada', capabilities: [] });
    const { tasks } = await one.call('claim_tasks', { worker: 'ada' });
    const held = { task_id: tasks[0].task_id, fence: 1 };
    uptime.one += 50_000;
    await one.orchestrator.tending.tend();
    await other.orchestrator.tending.tend();
    await other.call('renew_lease', { ...held, lease_seconds: 60 });
    uptime.one += 50_000;
    await one.orchestrator.tending.tend();
    expect(await codeOf(other.call('start_task', held))).toBeUndefined();

    uptime.one += 15_000;
    await one.orchestrator.tending.tend();
    await other.orchestrator.tending.tend();

    expect(await codeOf(other.call('start_task', held))).toBe('conflict');
    expect(other.orchestrator.desk.clock.now()).toBe(one.orchestrator.desk.clock.now());
  });

  test('what was counted in characters is counted anew, in bytes', async () => {
    const settings = settingsFor();
    const { schema } = settings;
    let before: unknown;
    {
      await using one = await join(settings);
      await one.call('create_tasks', { tasks: [{ title: '€', description: '€€' }] });
      before = await one.orchestrator.desk.look(loadHoldings);
      await asOperator(`UPDATE ${schema}.kept SET bytes = 1`);
      await asOperator(`DELETE FROM ${schema}.migration WHERE step = 4`);
    }

    await using again = await join(settings);

    expect(await again.orchestrator.desk.look(loadHoldings)).toEqual(before);
  });

  test('a large call that is at work at one is not taken back by the start of another', async () => {
    const settings = settingsFor();
    await using one = await join(settings);
    const making = one.call('create_tasks', {
      tasks: Array.from({ length: 250 }, (_, at) => ({ title: `t${at}` })),
    });
    await vi.waitFor(() => asOperator(`SELECT 1 / count(*) FROM ${settings.schema}.batch`));

    await using other = await join(settings);

    expect((await making)['tasks']).toHaveLength(250);
    expect((await other.call('get_orchestrator_stats'))['tasks']).toMatchObject({ pending: 250 });
  });
});

test('a change that others are in the way of is made again from its beginning', async () => {
  const settings = settingsFor();
  await using member = await join(settings);
  await member.call('create_tasks', { tasks: [{ title: 'a' }, { title: 'b' }] });
  const { engine } = member.orchestrator.desk;
  const options = `-c search_path=${settings.schema} -c deadlock_timeout=60s`;
  const other = new pg.Client({ connectionString: server?.url ?? '', options });
  await other.connect();
  let tries = 0;
  try {
    await other.query('BEGIN; SELECT FROM task WHERE seq = 2 FOR UPDATE');
    const titles = engine.change(function* () {
      tries += 1;
      return [(yield* loadTask(1))?.title, (yield* loadTask(2))?.title];
    });
    titles.catch(() => {});
    const waits =
      "SELECT 1 / count(*) FROM pg_stat_activity WHERE wait_event = 'transactionid' OR wait_event = 'tuple'";
    await vi.waitFor(() => asOperator(waits), { interval: 5 });
    // Each waits for the other now, until the server ends the change.
    await other.query('SELECT FROM task WHERE seq = 1 FOR UPDATE');
    await other.query('COMMIT');

    expect(await titles).toEqual(['a', 'b']);
    expect(tries).toBe(2);
  } finally {
    await other.end();
  }
});

describe('The order of events', () => {
  const sayer = (engine: Engine, texts: readonly string[]) => async () => {
    for (const text of texts)
      await engine.change(function* () {
        const change = newChange(start, 0, plenty);
        tell(change, text, { project: null, task: null });
        tell(change, `${text} too`, { project: null, task: null });
        yield* closeChange(change);
      });
  };

  test('a follower of two writers, who goes on from the last that it saw, misses none', async () => {
    const settings = settingsFor();
    const [one, other] = [
      await openPostgres(settings, plenty, silent),
      await openPostgres(settings, plenty, silent),
    ];
    await using _one = one;
    await using _other = other;
    const texts = (who: string) => Array.from({ length: 60 }, (_, at) => `${who}${at}`);
    const writers = [one, other].flatMap((engine, at) =>
      ['x', 'y'].map(async (lane) => sayer(engine, texts(`${at}${lane}`))()),
    );
    let isOver = false;
    const done = Promise.all(writers).then(() => (isOver = true));
    const seen: string[] = [];
    let after = 0;
    for (let last = false; !last;) {
      last = isOver;
      const { events, newest } = await one.look(function* () {
        return { newest: yield* newestSeq(), events: yield* eventsAfter({}, after, 1_000) };
      });
      seen.push(...events.map(({ type }) => type));
      after = Math.max(after, newest);
    }
    await done;

    expect(seen).toHaveLength(480);
    expect(new Set(seen).size).toBe(480);
  });

  /** Beside a transaction of another, which has done something and holds up the change until it ends. */
  async function beside(schema: string, statement: string, change: () => Promise<unknown>): Promise<void> {
    const slow = new pg.Client({ connectionString: server?.url ?? '', options: `-c search_path=${schema}` });
    await slow.connect();
    try {
      await slow.query(`BEGIN; ${statement}`);
      let isThere = false;
      const second = change().then(() => (isThere = true));
      const blocked = "SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
      await vi.waitFor(async () => expect((await slow.query(blocked)).rows).toEqual([{ count: 1 }]));
      expect(isThere).toBe(false);
      await slow.query('COMMIT');
      await second;
    } finally {
      await slow.end();
    }
  }

  test('a writer that has drawn a number holds up the next until it is there', async () => {
    const settings = settingsFor();
    await using engine = await openPostgres(settings, plenty, silent);

    const insert = "INSERT INTO event (at, type, data) VALUES (0, 'first', '{}')";
    await beside(settings.schema, insert, sayer(engine, ['second']));

    const events = await engine.look(() => eventsAfter({}, 0, 10));
    expect(events.map(({ type }) => type)).toEqual(['first', 'second', 'second too']);
  });

  test('sets of capabilities become visible in the order of their numbers, so that each is read once', async () => {
    const settings = settingsFor();
    await using member = await join(settings);
    const insert =
      "SELECT pg_advisory_xact_lock(1179407188::bigint << 32 | 'skill_set'::regclass::oid::bigint); INSERT INTO skill_set (owner, requires) VALUES ('t', '[\"go\"]')";
    await beside(settings.schema, insert, async () =>
      member.call('create_tasks', { tasks: [{ title: 'a', requires: ['rust'] }] }),
    );

    const sets = await member.orchestrator.desk.look((view) => view.sets.known());
    expect(sets.map(({ requires }) => requires)).toEqual([['go'], ['rust']]);
  });

  test('what is told to others arrives as it was said, in pieces that fit', () => {
    const tasks = Array.from({ length: 250 }, (_, at) => `t${at + 1_000_000_000}-abcd`);
    const workers = ['w'.repeat(64)];
    const news = {
      ...newChange(0, 0, plenty).news,
      isReady: true,
      hasEvents: true,
      tasks: new Set(tasks),
      workers: new Set(workers),
    };

    const notices = noticesOf(news);

    const heard = notices.map(newsIn);
    expect(heard.flatMap((one) => [...one.tasks])).toEqual(tasks);
    expect(heard.flatMap((one) => [...one.workers])).toEqual(workers);
    expect(heard.filter((one) => one.isReady && one.hasEvents)).toHaveLength(1);
    expect(Math.max(...notices.map((one) => one.length))).toBeLessThan(7_000);
    expect(noticesOf(newChange(0, 0, plenty).news)).toEqual([]);
    expect(newsIn(noticesOf({ ...newChange(0, 0, plenty).news, isReady: true })[0] ?? '')).toMatchObject({
      isReady: true,
    });
  });
});

describe('A database that goes away', () => {
  const words = () => {
    const said: string[] = [];
    const keep = (...all: unknown[]) => void said.push(JSON.stringify(all));
    return { said, log: { debug: keep, info: keep, warn: keep, error: keep } satisfies Log };
  };

  test('calls are unavailable and say when to ask again, and everything is there when it is back', async () => {
    const { said, log } = words();
    await using member = await join(settingsFor(), { log });
    const made = await member.call('create_tasks', { tasks: [{ title: 'a' }] });
    await member.call('register_worker', { worker: 'ada', capabilities: [] });

    await server?.kill();
    let isBack = false;
    try {
      for (const work of ['create_tasks', 'list_tasks'] as const) {
        const refused = member.call(work, work === 'create_tasks' ? { tasks: [{ title: 'b' }] } : {});
        await expect(refused).rejects.toMatchObject({
          code: 'unavailable',
          retryAfterMs: expect.any(Number),
        });
      }
      await expect(member.orchestrator.desk.engine.probe()).rejects.toMatchObject({ code: 'unavailable' });
      await vi.waitFor(() => expect(said.join()).toContain('postgresql_away'), 30_000);
    } finally {
      await server?.start();
      isBack = true;
    }
    expect(isBack).toBe(true);
    const { tasks } = await vi.waitFor(
      async () => member.call('claim_tasks', { worker: 'ada', wait_seconds: 5 }),
      60_000,
    );

    expect(tasks).toMatchObject([{ task_id: made['tasks'][0].task_id }]);
    await vi.waitFor(() => expect(said.join()).toContain('postgresql_back'), 30_000);
    expect(said.join()).not.toContain(postgresPassword);
  });

  test('a worker that waits meanwhile is served when it is back, also when only the line that listens was cut', async () => {
    const settings = settingsFor();
    await using one = await join(settings);
    await using other = await join(settings);
    await one.call('register_worker', { worker: 'ada', capabilities: [] });
    const waiting = one.call('claim_tasks', { worker: 'ada', wait_seconds: 30 });
    await vi.waitFor(() => expect(one.orchestrator.waiting.count()).toBe(1));

    await asOperator(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'flotilla-orchestrator' AND pid <> pg_backend_pid()",
    );
    await vi.waitFor(async () => other.call('create_tasks', { tasks: [{ title: 'a' }] }), 30_000);

    expect((await waiting)['tasks']).toMatchObject([{ title: 'a' }]);
  });
});

describe('What only a person can mend is said at the start, without the password', () => {
  const at = (change: (url: URL) => void): string => {
    const url = new URL(server?.url ?? '');
    change(url);
    return url.href;
  };

  test.each<[string, (url: URL) => void, new (...args: never[]) => Error, string]>([
    ['a wrong password', (url) => (url.password = 'wrong-secret'), ConfigError, 'user and password'],
    ['a database that is not there', (url) => (url.pathname = '/nowhere'), ConfigError, 'CREATE DATABASE'],
    [
      'TLS that the server has not',
      (url) => url.searchParams.set('sslmode', 'verify-full'),
      ConfigError,
      'no TLS',
    ],
    [
      'certificates that cannot be read',
      (url) => url.searchParams.set('sslrootcert', '/nowhere.pem'),
      ConfigError,
      'sslrootcert',
    ],
    ['a port where nobody is', (url) => (url.port = '1'), UnavailableError, 'ECONNREFUSED'],
  ])('%s', async (_what, change, kind, part) => {
    const url = at(change);
    const opening = openPostgres({ ...settingsFor(), url, startWithinMs: 100 }, plenty, silent);

    const error = (await opening.then(
      () => undefined,
      (reason: unknown) => reason,
    )) as Error;

    expect(error).toBeInstanceOf(kind);
    expect(error.message).toContain(part);
    expect(error.message).not.toMatch(/wrong-secret|not-to-be-shown/);
  });

  test('a text that is no address of PostgreSQL is not repeated', async () => {
    const opening = openPostgres({ ...settingsFor(), url: 'mysql://me:secret@host' }, plenty, silent);

    await expect(opening).rejects.toThrow(/^FLOTILLA_ORCHESTRATOR_DATABASE_URL must be like postgresql:/);
    await expect(opening).rejects.not.toThrow('secret');
  });

  test('tables of a newer version are left alone', async () => {
    const settings = settingsFor();
    await (await openPostgres(settings, plenty, silent))[Symbol.asyncDispose]();
    await asOperator(`INSERT INTO ${settings.schema}.migration VALUES (99)`);

    await expect(openPostgres(settings, plenty, silent)).rejects.toThrow('newer Flotilla (step 99)');
  });
});

test('as a service: ready with a warning about a server that does not sync, not ready without it, and its password is shown nowhere', async () => {
  await using served = await serve(orchestratorService, {
    FLOTILLA_ORCHESTRATOR_DATABASE_URL: server?.url ?? '',
    FLOTILLA_ORCHESTRATOR_DATABASE_SCHEMA: 'as_a_service',
  });
  const text = async (path: string) => (await fetch(`${served.url}${path}`)).text();
  const ready = await text('/ready');
  await server?.kill();
  let away = '';
  try {
    await vi.waitFor(async () => {
      away = await text('/ready');
      expect(JSON.parse(away)).toMatchObject({
        ready: false,
        reasons: ['The database of the orchestrator cannot answer now.'],
      });
    }, 30_000);
  } finally {
    await server?.start();
  }

  expect(JSON.parse(ready)).toMatchObject({
    ready: true,
    warnings: [expect.stringContaining('fsync=off'), expect.anything()],
  });
  await vi.waitFor(
    async () => expect(JSON.parse(await text('/ready'))).toMatchObject({ ready: true }),
    60_000,
  );
  for (const seen of [ready, away, await text('/metrics'), await text('/health'), await text('/')])
    expect(seen).not.toContain(postgresPassword);
});
