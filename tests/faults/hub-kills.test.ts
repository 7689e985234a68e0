/**
 * Agents send and receive, each in a process of its own, while the hub and the agents are killed in turn. Then their logs and the
 * hub's database are held against each other.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { describe, expect, test } from 'vitest';

import { openToRead } from '#runtime/database.ts';

import { freePortOffset } from '../../scripts/ports.ts';
import { deliveryStates } from '../../services/hub/engine/engine.ts';
import { noRedis, startRedis, type RedisServer } from '../../services/hub/engine/redis-server.fixture.ts';
import { callTool, codeOf } from '../support/rpc.ts';
import { temporaryFolder } from '../support/serve.ts';
import { sentLineBytes, type AgentOrder } from './hub-agent.ts';
import { damagesIn, startProcess, type ServiceProcess } from './service-process.ts';
import type { Target } from './writers.ts';
import { isWhole } from '../support/trials.ts';

const script = fileURLToPath(new URL('hub-agent.ts', import.meta.url));
const senders = ['sender-a', 'sender-b'];
const receivers = ['receiver-a', 'receiver-b'];
/** Messages of a receiver that was killed come again after it, and those whose answer was lost. */
const leaseSeconds = 3;
const perBatch = 100;
/** In a mailbox: few, so that it is often full, and refuses. */
const mostWaiting = 1_000;

interface Trial {
  /** Of each sender. */
  readonly count: number;
  readonly kills: number;
  readonly isHasty: boolean;
}

/** A message that an agent has dealt with. */
interface Processed {
  readonly receiver: string;
  readonly from: string;
  readonly n: number;
  readonly seq: number;
  readonly attempt: number;
}

/** What the hub says of a delivery. */
interface Row {
  readonly agent: string;
  readonly id: string;
  readonly seq: number;
  readonly state: string;
  readonly attempts: number;
}

interface Outcome {
  /** By sender: the numbers that it was told are sent. */
  readonly told: ReadonlyMap<string, readonly number[]>;
  /** In the order in which each receiver dealt with them. */
  readonly processed: readonly Processed[];
  readonly rows: readonly Row[];
}

/** What must not be, each as a sentence. */
function faultsOf({ told, processed, rows }: Outcome): string[] {
  const faults: string[] = [];
  const row = new Map(rows.map((one) => [`${one.agent} ${one.seq}`, one]));
  const times = new Map<string, number>();
  const attempts = new Set<string>();
  const latest = new Map<string, number>();
  for (const { receiver, from, n, seq, attempt } of processed) {
    const message = `${from}-${n}`;
    const delivery = row.get(`${receiver} ${seq}`);
    if (delivery?.id !== message) faults.push(`${receiver} got ${message} that the hub does not know`);
    else if (attempt > delivery.attempts) faults.push(`${receiver} got ${message} unaccounted for`);
    if (attempts.has(`${receiver} ${seq} ${attempt}`))
      faults.push(`${receiver} got ${message} twice in one attempt`);
    attempts.add(`${receiver} ${seq} ${attempt}`);
    const key = `${receiver} ${message}`;
    const before = times.get(key) ?? 0;
    times.set(key, before + 1);
    if (before > 0) continue;
    const lane = `${receiver} ${from}`;
    if (n <= (latest.get(lane) ?? -1)) faults.push(`${receiver} got ${message} after a later one`);
    latest.set(lane, n);
  }
  for (const [sender, numbers] of told)
    for (const n of numbers)
      if (!times.has(`${receivers[n % receivers.length]} ${sender}-${n}`))
        faults.push(`${sender}-${n} is lost`);
  for (const { agent, id, state } of rows)
    if (state !== 'acknowledged') faults.push(`${id} is ${state} at ${agent}`);
  const ids = new Set(rows.map(({ id }) => id));
  if (ids.size !== rows.length) faults.push(`${rows.length - ids.size} messages are there twice`);
  return faults;
}

/** An agent that is started again when it was killed. */
class Agent implements AsyncDisposable {
  readonly #order: AgentOrder;
  #child: ChildProcess;
  #ended: Promise<unknown>;

  constructor(order: AgentOrder) {
    this.#order = order;
    writeFileSync(order.log, '');
    [this.#child, this.#ended] = this.#start();
  }

  #start(): [ChildProcess, Promise<unknown>] {
    const child = spawn(process.execPath, [script], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    child.send(this.#order);
    return [child, once(child, 'exit')];
  }

  get isDone(): boolean {
    return this.#child.exitCode === 0;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
    if (!this.isDone) [this.#child, this.#ended] = this.#start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }
}

/** Asks until the hub can answer. @throws Error with what else it says. */
async function ask<Answer>(target: Target, tool: string, args = {}): Promise<Answer> {
  for (;;) {
    const answer = await callTool(target, tool, args);
    if (answer.result && !answer.result['isError']) return answer.result['structuredContent'] as Answer;
    if (codeOf(answer) !== 'unavailable') throw new Error(`${tool}: ${JSON.stringify(answer)}`);
    await sleep(50);
  }
}

async function waitingAt({ target }: ServiceProcess): Promise<number> {
  interface Stats {
    readonly fullest: readonly { readonly pending: number; readonly at_work: number }[];
  }
  const { fullest } = await ask<Stats>(target, 'get_hub_stats');
  return fullest.reduce((sum, { pending, at_work: atWork }) => sum + pending + atWork, 0);
}

function processedIn(log: string, receiver: string): Processed[] {
  const lines = readFileSync(log, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => {
    const [from = '', n, seq, attempt] = line.split(' ');
    return { receiver, from, n: Number(n), seq: Number(seq), attempt: Number(attempt) };
  });
}

function rowsIn(dataDir: string): Row[] {
  using database = openToRead(join(dataDir, 'hub.db'));
  const states = deliveryStates.map((state, at) => `WHEN ${at} THEN '${state}'`).join(' ');
  return database
    .prepare<[], Row>(
      `SELECT d.agent, d.seq, CASE d.state ${states} END AS state, d.attempts, m.id
       FROM delivery AS d JOIN message AS m USING (seq)`,
    )
    .all();
}

const askedAtOnce = 16;

/** The same of the messages of all senders, asked of the hub one by one. */
async function rowsAt(target: Target, count: number): Promise<Row[]> {
  const due = senders.flatMap((from) =>
    Array.from({ length: count }, (_, n) => ({ from, id: `${from}-${n}` })),
  );
  const rows: Row[] = [];
  const worker = async () => {
    for (let one = due.pop(); one; one = due.pop()) {
      interface Receipts {
        readonly seq: number;
        readonly deliveries: readonly Row[];
      }
      const { seq, deliveries } = await ask<Receipts>(target, 'get_receipts', one);
      for (const { agent, state, attempts } of deliveries)
        rows.push({ agent, state, attempts, seq, id: one.id });
    }
  };
  await Promise.all(Array.from({ length: askedAtOnce }, worker));
  return rows;
}

async function run({ count, kills, isHasty }: Trial, redis?: RedisServer): Promise<Outcome> {
  using folder = temporaryFolder();
  const options = {
    dataRoot: join(folder.path, 'data'),
    portOffset: await freePortOffset(),
    settings: {
      FLOTILLA_HUB_ATTEMPTS: '1000',
      FLOTILLA_HUB_QUOTA_ITEMS: '10000000',
      ...(redis && { REDIS_URL: redis.url }),
    },
  };
  let hub = await startProcess('hub', options);
  await using stack = new AsyncDisposableStack();
  stack.defer(async () => hub[Symbol.asyncDispose]());
  for (const name of [...senders, ...receivers])
    await ask(hub.target, 'register_agent', { name, mailbox: { most: mostWaiting } });
  const logOf = (name: string) => join(folder.path, `${name}.log`);
  const orderOf = (name: string) => ({ target: hub.target, log: logOf(name), name });
  const sending = senders.map((name) =>
    stack.use(new Agent({ ...orderOf(name), role: 'send', receivers, count, perBatch, isHasty })),
  );
  const receiving = receivers.map((name) =>
    stack.use(new Agent({ ...orderOf(name), role: 'receive', leaseSeconds })),
  );
  const victims = [
    async () => {
      await hub.kill();
      hub = await startProcess('hub', options);
    },
    ...(redis
      ? [
          async () => {
            await redis.kill();
            await redis.start();
          },
        ]
      : []),
    ...[receiving, sending].map((agents) => {
      let next = 0;
      return async () => agents[(next += 1) % agents.length]?.kill();
    }),
  ];
  // At shares of the work, not at times: so that each falls into the run on every machine.
  const sent = () => senders.reduce((sum, name) => sum + statSync(logOf(name)).size, 0) / sentLineBytes;
  for (let kill = 0; kill < kills; kill += 1) {
    const share = (senders.length * count * (kill + Math.random() / 2)) / kills;
    while (sent() < share && !sending.every(({ isDone }) => isDone)) await sleep(2);
    await victims[kill % victims.length]?.();
  }
  while (!sending.every(({ isDone }) => isDone)) await sleep(20);
  while ((await waitingAt(hub)) > 0) await sleep(50);
  const asked = redis && (await rowsAt(hub.target, count));
  expect(await hub.stop()).toBe(0);
  const dataDir = join(options.dataRoot, 'hub');
  expect(damagesIn(dataDir)).toEqual([]);
  const told = senders.map((name) => {
    const lines = readFileSync(logOf(name), 'utf8').split('\n').slice(0, -1);
    return [name, lines.map(Number)] as const;
  });
  const processed = receivers.flatMap((name) => processedIn(logOf(name), name));
  return { told: new Map(told), processed, rows: asked ?? rowsIn(dataDir) };
}

function report(title: string, { told, processed, rows }: Outcome, faults: readonly string[]): void {
  const acknowledged = told.values().reduce((sum, numbers) => sum + numbers.length, 0);
  const given = rows.reduce((sum, { attempts }) => sum + attempts, 0);
  const first = new Set(processed.map(({ receiver, seq }) => `${receiver} ${seq}`)).size;
  process.stdout.write(
    `hub, ${title}: ${acknowledged} sends acknowledged, ${given} deliveries, ${processed.length} seen by an agent, ${processed.length - first} of them once more; ${faults.length} faults\n`,
  );
}

const trials: readonly (readonly ['SQLite' | 'Redis', Omit<Trial, 'isHasty'>])[] = isWhole
  ? [
      ['SQLite', { count: 500_000, kills: 60 }],
      ['Redis', { count: 50_000, kills: 40 }],
    ]
  : // On Redis, hubs and Redis are killed by services/hub/engine and tests/faults/hub-redis-kill.test.ts too.
    [['SQLite', { count: 2_500, kills: 3 }]];

describe('kill -9 of the hub, of receivers, of senders and of Redis in turn', () => {
  test.for(trials)(
    'on %s: what was acknowledged is delivered, in order, and each delivery is known',
    { timeout: isWhole ? 3_600_000 : 240_000 },
    async ([engine, trial], context) => {
      if (engine === 'Redis' && noRedis !== undefined) context.skip(noRedis);
      await using redis = engine === 'Redis' ? await startRedis(['--appendfsync', 'always']) : undefined;
      const outcome = await run({ ...trial, isHasty: false }, redis);
      const faults = faultsOf(outcome);
      report(`${engine}, ${trial.kills} kills`, outcome, faults);

      expect(faults.slice(0, 10)).toEqual([]);
      for (const numbers of outcome.told.values()) expect(new Set(numbers).size).toBe(trial.count);
      expect(outcome.rows).toHaveLength(senders.length * trial.count);
    },
  );

  test('senders that do not wait for the answer lose messages: the trial can fail', async () => {
    const outcome = await run({ count: 1_500, kills: 1, isHasty: true });
    const faults = faultsOf(outcome);
    report('senders that do not wait', outcome, faults);

    expect(faults).toContainEqual(expect.stringMatching(/ is lost$/));
  });

  const message = { receiver: 'receiver-a', from: 'sender-a', n: 0, seq: 1, attempt: 1 };
  const row = { agent: 'receiver-a', id: 'sender-a-0', seq: 1, state: 'acknowledged', attempts: 1 };
  const later = { ...message, n: 2, seq: 2 };
  const laterRow = { ...row, id: 'sender-a-2', seq: 2 };
  const told = new Map([['sender-a', [0, 2]]]);

  test.each<[string, Partial<Outcome>, string[]]>([
    ['nothing', {}, []],
    [
      'a redelivery',
      { rows: [{ ...row, attempts: 2 }, laterRow], processed: [message, { ...message, attempt: 2 }, later] },
      [],
    ],
    ['a loss', { processed: [message] }, ['sender-a-2 is lost']],
    ['another order', { processed: [later, message] }, ['receiver-a got sender-a-0 after a later one']],
    [
      'a second time in one attempt',
      { processed: [message, message, later] },
      ['receiver-a got sender-a-0 twice in one attempt'],
    ],
    [
      'an attempt that the hub has not counted',
      { processed: [{ ...message, attempt: 2 }, later] },
      ['receiver-a got sender-a-0 unaccounted for'],
    ],
    [
      'a message that the hub has not kept',
      { rows: [row] },
      ['receiver-a got sender-a-2 that the hub does not know'],
    ],
    [
      'a message that still waits',
      { rows: [row, { ...laterRow, state: 'pending' }] },
      ['sender-a-2 is pending at receiver-a'],
    ],
    [
      'a message that was stored twice',
      { rows: [row, laterRow, { ...row, seq: 3 }] },
      ['1 messages are there twice'],
    ],
  ])('the check finds %s', (_what, changed, faults) => {
    const outcome = { told, processed: [message, later], rows: [row, laterRow], ...changed };

    expect(faultsOf(outcome)).toEqual(faults);
  });
});
