/** Suite `hub`: how fast messages are sent, delivered and acknowledged over HTTP, how long each takes, and what many agents and a long history take. */
import { randomUUID } from 'node:crypto';
import { mkdtempDisposableSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { openDatabase } from '#runtime/database.ts';

import { workload } from '../../services/hub/bench.ts';
import { noRedis, startRedis, type RedisServer } from '../../services/hub/engine/redis-server.fixture.ts';
import { Child } from './child.ts';
import { cpuSecondsOf } from './cpu-time.ts';
import type { HubOrder, HubSeen, Lane } from './hub-traffic.ts';
import { ask, toolCall } from './requests.ts';
import type { BenchContext, Cell, Section } from './section.ts';
import { median } from './statistics.ts';
import { contentOf } from './words.ts';
import { startWorkload, type WorkloadServer } from './workload-server.ts';
import { xaddsPerSecond } from './xadd.ts';

const bodyBytes = 200;
const perBatch = 100;
const batchConnections = 4;
const singleConnections = 64;
const pacedLanes = 50;
const perSecond = 1_000;
const warmUpSeconds = 5;
const registered = 5_000;
const waiting = 1_000;
const lengths = {
  quick: { rounds: 1, batched: 10_000, singles: 10_000, seconds: 3, history: 20_000 },
  normal: { rounds: 5, batched: 50_000, singles: 10_000, seconds: 20, history: 1_000_000 },
  full: { rounds: 11, batched: 200_000, singles: 50_000, seconds: 60, history: 1_000_000 },
} satisfies Record<BenchContext['depth'], Readonly<Record<string, number>>>;

const traffic = fileURLToPath(new URL('hub-traffic.ts', import.meta.url));
const migrations = fileURLToPath(new URL('../../services/hub/engine/migrations', import.meta.url));

/** The same rows in the same tables, in this process: stored, given out and acknowledged, with a commit for each step of a batch. */
function bareLoop(folder: string) {
  const database = openDatabase(join(folder, 'bare.db'), migrations);
  const insertMessage = database.prepare(
    `INSERT INTO message (source, id, digest, owner, readers, receivers, correlation, time, envelope, encoding, size, body)
     VALUES ('sender', ?, 'digest', 'owner', '[]', '["receiver"]', ?, ?, ?, 'json', ?, ?)`,
  );
  const insertDelivery = database.prepare(
    "INSERT INTO delivery VALUES ('receiver', ?, 'sender', 1, 0, 0, 0, 0, ?, ?, 0, NULL)",
  );
  const find = database.prepare<[number], { seq: number }>(
    "SELECT seq FROM delivery WHERE agent = 'receiver' AND state = 0 ORDER BY urgency DESC, seq LIMIT ?",
  );
  const read = database.prepare('SELECT envelope, body FROM message WHERE seq = ?');
  const settle = database.prepare(
    "UPDATE delivery SET state = ?, due = ?, attempts = 1 WHERE agent = 'receiver' AND seq = ?",
  );
  const body = Buffer.from(JSON.stringify({ text: contentOf(1, bodyBytes) }));
  const store = database.transaction((count: number, atMs: number) => {
    for (let at = 0; at < count; at += 1) {
      const id = randomUUID();
      const envelope = JSON.stringify({
        id,
        type: 'notification',
        source: 'sender',
        to: ['receiver'],
        priority: 'normal',
        timeMs: atMs,
        expiresAtMs: atMs + 3_600_000,
        correlationId: id,
      });
      const { lastInsertRowid } = insertMessage.run(id, id, atMs, envelope, body.length, body);
      insertDelivery.run(lastInsertRowid, atMs, atMs + 3_600_000);
    }
  });
  const lease = database.transaction((count: number, atMs: number) =>
    find.all(count).map(({ seq }) => {
      settle.run(1, atMs + 60_000, seq);
      read.get(seq);
      return seq;
    }),
  );
  const acknowledge = database.transaction((seqs: readonly number[]) => {
    for (const seq of seqs) settle.run(2, 0, seq);
  });
  return {
    /** @returns messages per second. */
    run(messages: number, count: number) {
      const startedAtMs = performance.now();
      const cpu = process.threadCpuUsage();
      for (let done = 0; done < messages; done += count) {
        const nowMs = Date.now();
        store.immediate(count, nowMs);
        acknowledge.immediate(lease.immediate(count, nowMs));
      }
      const { user, system } = process.threadCpuUsage(cpu);
      return {
        perSecond: (messages * 1_000) / (performance.now() - startedAtMs),
        cpuUs: (user + system) / messages,
      };
    },
    [Symbol.dispose]: () => database.close(),
  };
}

async function does(order: HubOrder): Promise<HubSeen> {
  await using child = new Child([process.execPath, traffic]);
  child.send(order);
  return (await child.messageWith('done')) as HubSeen;
}

const lanesOf = (count: number): Lane[] =>
  Array.from({ length: count }, (_, at) => ({ sender: `sender-${at}`, receiver: `receiver-${at}` }));

const namesOf = (lanes: readonly Lane[]) => lanes.flatMap(({ sender, receiver }) => [sender, receiver]);

/** What is in memory of a process, in MB (10^6 bytes). `most` is the highest since it began. */
function residentMb(pid: number): { readonly now: number; readonly most: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const mb = (name: string) =>
    (Number(new RegExp(String.raw`^${name}:\s+(\d+) kB$`, 'm').exec(status)?.[1]) * 1_024) / 1e6;
  return { now: mb('VmRSS'), most: mb('VmHWM') };
}

async function statsOf({ url, token }: WorkloadServer) {
  const { result = {} } = await ask(url, toolCall(token, 'get_hub_stats', {}));
  return result['structuredContent'] as {
    readonly agents: { readonly registered: number; readonly waiting_calls: number };
    readonly messages: { readonly kept: number };
  };
}

const startHub = async (folder: string, redis?: RedisServer) =>
  startWorkload(
    'hub',
    {
      ...workload,
      seed: async () => null,
      settings: () => ({
        FLOTILLA_HUB_QUOTA_MB: '1000000',
        FLOTILLA_HUB_QUOTA_ITEMS: '1000000000',
        ...(redis && { REDIS_URL: redis.url }),
      }),
    },
    folder,
    { isPinned: false },
  );

async function speeds(folder: string, { depth, progress }: BenchContext, redis?: RedisServer) {
  const { rounds, batched, singles, seconds } = lengths[depth];
  await using server = await startHub(folder, redis);
  const place = { url: server.url, token: server.token };
  const lanes = lanesOf(singleConnections);
  await does({ ...place, work: 'register', names: namesOf(lanes) });
  const faults: string[] = [];
  using bare = bareLoop(folder);
  const body = contentOf(1, bodyBytes);
  const bareRun = async (messages: number, count: number) =>
    redis
      ? { perSecond: await xaddsPerSecond(redis.port, messages, count, body), cpuUs: null }
      : bare.run(messages, count);
  const forms = {
    batches: { connections: batchConnections, messages: batched, perBatch },
    singles: { connections: singleConnections, messages: singles, perBatch: 1 },
  };
  const inTurn = async ({ connections, ...work }: (typeof forms)['batches']) => {
    const cpu = cpuSecondsOf(server.pid);
    const seen = await does({
      ...place,
      ...work,
      work: 'in turn',
      lanes: lanes.slice(0, connections),
      bodyBytes,
    });
    if (seen.done !== seen.sent) faults.push(`${seen.sent} were sent, ${seen.done} acknowledged`);
    return {
      ...seen,
      perSecond: seen.done / seen.seconds,
      cpuUs: ((cpuSecondsOf(server.pid) - cpu) * 1e6) / seen.done,
    };
  };
  progress(`hub on ${redis ? 'Redis' : 'SQLite'}: warm-up`);
  await inTurn({ ...forms.batches, messages: batched / 5 });
  // Until V8 has compiled what each call runs through, one costs twice as much.
  await inTurn({ ...forms.singles, messages: singles });
  const bareSeen: Record<keyof typeof forms, Awaited<ReturnType<typeof bareRun>>[]> = {
    batches: [],
    singles: [],
  };
  const hubSeen: Record<keyof typeof forms, Awaited<ReturnType<typeof inTurn>>[]> = {
    batches: [],
    singles: [],
  };
  for (let round = 0; round < rounds; round += 1) {
    progress(`hub: round ${round + 1} of ${rounds}`);
    for (const form of ['batches', 'singles'] as const) {
      bareSeen[form].push(await bareRun(forms[form].messages, forms[form].perBatch));
      hubSeen[form].push(await inTurn(forms[form]));
    }
  }
  progress('hub: from end to end');
  const inPace = async (forSeconds: number) =>
    does({
      ...place,
      work: 'paced',
      lanes: lanes.slice(0, pacedLanes),
      perSecond,
      seconds: forSeconds,
      bodyBytes,
    });
  await inPace(warmUpSeconds);
  const paced = await inPace(seconds);
  return { bareSeen, hubSeen, paced, faults };
}

async function manyAgents(folder: string, { progress }: BenchContext) {
  progress(`hub: ${registered} agents, of which ${waiting} wait`);
  await using server = await startHub(folder);
  const place = { url: server.url, token: server.token };
  const before = residentMb(server.pid).now;
  const names = Array.from({ length: registered }, (_, at) => `agent-${at}`);
  await does({ ...place, work: 'register', names });
  const withAll = residentMb(server.pid).now;
  await using waiters = new Child([process.execPath, traffic]);
  waiters.send({ ...place, work: 'wait', names: names.slice(0, waiting) } satisfies HubOrder);
  let stats = await statsOf(server);
  while (stats.agents.waiting_calls < waiting) {
    await sleep(100);
    stats = await statsOf(server);
  }
  // Long enough for what was left over to be collected, or not.
  await sleep(5_000);
  return { ...stats.agents, before, withAll, withWaiting: residentMb(server.pid) };
}

async function history(folder: string, { depth, progress }: BenchContext) {
  const messages = lengths[depth].history;
  progress(`hub: a history of ${messages} messages`);
  await using server = await startHub(folder);
  const place = { url: server.url, token: server.token };
  const lanes = lanesOf(batchConnections);
  await does({ ...place, work: 'register', names: namesOf(lanes) });
  await does({ ...place, work: 'in turn', lanes, messages, perBatch, bodyBytes });
  progress('hub: reading it');
  const before = residentMb(server.pid);
  const cpu = cpuSecondsOf(server.pid);
  let highest = before.now;
  const watch = setInterval(() => (highest = Math.max(highest, residentMb(server.pid).now)), 50);
  try {
    const seen = await does({ ...place, work: 'read' });
    const { kept } = (await statsOf(server)).messages;
    const cpuUs = ((cpuSecondsOf(server.pid) - cpu) * 1e6) / seen.done;
    const faults = seen.done === kept ? [] : [`${seen.done} of ${kept} messages were read`];
    return { ...seen, cpuUs, before: before.now, highest, faults };
  } finally {
    clearInterval(watch);
  }
}

const folderOf = () => mkdtempDisposableSync(join(tmpdir(), 'flotilla-hub-'));

type Speeds = Awaited<ReturnType<typeof speeds>>;

/** The bare way, and the hub beside it. */
function speedRows({ bareSeen, hubSeen }: Speeds, bareTitle: string, engine: string): Cell[][] {
  return (['batches', 'singles'] as const).flatMap((form) => {
    const title = form === 'batches' ? `batches of ${perBatch}` : 'singly';
    const [bare, own] = [bareSeen[form], hubSeen[form]];
    const cpu = bare.flatMap(({ cpuUs }) => cpuUs ?? []);
    const medianOf = (value: (one: (typeof own)[number], at: number) => number) => median(own.map(value));
    return [
      [
        `${bareTitle}, ${title}`,
        median(bare.map(({ perSecond: speed }) => speed)),
        null,
        cpu.length > 0 ? median(cpu) : null,
        null,
        null,
      ],
      [
        `hub on ${engine}, ${title}`,
        medianOf((one) => one.perSecond),
        medianOf((one, at) => one.perSecond / (bare[at]?.perSecond ?? Number.NaN)),
        medianOf(({ cpuUs }) => cpuUs),
        medianOf(({ p50Ms }) => p50Ms),
        medianOf(({ p99Ms }) => p99Ms),
      ],
    ];
  });
}

const pacedRow = (engine: string, { paced }: Speeds): Cell[] => [
  engine,
  paced.done,
  paced.p50Ms,
  paced.p99Ms,
  paced.p999Ms,
  paced.cpuPercent,
];

/** `undefined` where there is no redis-server. */
async function speedsOnRedis(context: BenchContext): Promise<Speeds | undefined> {
  if (noRedis !== undefined) {
    context.progress(noRedis);
    return undefined;
  }
  using folder = folderOf();
  await using redis = await startRedis(['--appendfsync', 'always']);
  return await speeds(folder.path, context, redis);
}

export async function hub(context: BenchContext): Promise<readonly Section[]> {
  const { rounds, seconds } = lengths[context.depth];
  using first = folderOf();
  using second = folderOf();
  using third = folderOf();
  const onSqlite = await speeds(first.path, context);
  const onRedis = await speedsOnRedis(context);
  const many = await manyAgents(second.path, context);
  const read = await history(third.path, context);
  return [
    {
      title: 'Hub: messages sent, delivered and acknowledged',
      method:
        `Messages with ${bodyBytes} bytes of text from ${singleConnections} agents to ${singleConnections} others, over HTTP with a token, one hub process; on SQLite with synchronous=FULL, and, where there is redis-server, on Redis with appendfsync=always. ` +
        `In batches: ${batchConnections} connections, send_messages with ${perBatch}, then receive_messages, which also acknowledges what the one before brought; ` +
        `singly: ${singleConnections} connections, two calls for a message: send_message, and receive_messages, which also acknowledges the one before; each way is warmed up. The agents write their requests by hand (scripts/bench/lean-client.ts), since Node's client would take more of the cores than the hub. A message counts when it is acknowledged. ` +
        `The bare loop is better-sqlite3 in this process, with the same rows in the same tables and a commit with synchronous=FULL each for storing, giving out and acknowledging; ` +
        `its commits come one after the other, while the hub shares one among calls that come together. XADD only stores: texts of the same length, over one connection, each batch waiting for its answers. ${rounds} rounds, medians; the share is of the loop in the same round. ` +
        'Nothing is pinned; agents and hub share the cores. p50 and p99 are of one call.',
      columns: [
        { name: 'way' },
        { name: 'messages/s' },
        { name: 'share of bare', digits: 2 },
        { name: 'CPU µs/message', digits: 1 },
        { name: 'p50 ms', digits: 1 },
        { name: 'p99 ms', digits: 1 },
      ],
      rows: [
        ...speedRows(onSqlite, 'bare loop', 'SQLite'),
        ...(onRedis ? speedRows(onRedis, 'XADD', 'Redis') : []),
      ],
      chart: { column: 1 },
      faults: [...onSqlite.faults, ...(onRedis?.faults ?? [])],
    },
    {
      title: 'Hub: from end to end',
      method: `${perSecond} messages a second for ${seconds} s between ${pacedLanes} pairs of agents whose receivers wait, whatever the answers take, after a warm-up of ${warmUpSeconds} s: from when each was due to be sent to when its receiver has it.`,
      columns: [
        { name: 'engine' },
        { name: 'messages' },
        { name: 'p50 ms', digits: 1 },
        { name: 'p99 ms', digits: 1 },
        { name: 'p99.9 ms', digits: 1 },
        { name: 'load %' },
      ],
      rows: [pacedRow('SQLite', onSqlite), ...(onRedis ? [pacedRow('Redis', onRedis)] : [])],
    },
    {
      title: 'Hub: many agents',
      method:
        'Resident memory of the hub (VmRSS) in MB (10^6 bytes): when it has started, when all are registered, and when some of them wait, each with a call on a connection of its own.',
      columns: [
        { name: 'registered' },
        { name: 'waiting' },
        { name: 'MB at start' },
        { name: 'MB registered' },
        { name: 'MB waiting' },
        { name: 'MB at most' },
      ],
      rows: [
        [
          many.registered,
          many.waiting_calls,
          many.before,
          many.withAll,
          many.withWaiting.now,
          many.withWaiting.most,
        ],
      ],
    },
    {
      title: 'Hub: reading a long history',
      method:
        'All of it with get_message_history, oldest first, page after page, by one client; resident memory of the hub before, and the most meanwhile.',
      columns: [
        { name: 'messages' },
        { name: 'messages/s' },
        { name: 'CPU µs/message', digits: 1 },
        { name: 'MB before' },
        { name: 'MB at most' },
      ],
      rows: [[read.done, read.done / read.seconds, read.cpuUs, read.before, read.highest]],
      faults: read.faults,
    },
  ];
}
