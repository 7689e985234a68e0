/** Agents of the hub, many in one process: takes one order from its parent, sends back what they saw. */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { leanClient } from './lean-client.ts';
import { percentile } from './statistics.ts';
import { contentOf } from './words.ts';

/** A sender, and the receiver to which it sends. */
export interface Lane {
  readonly sender: string;
  readonly receiver: string;
}

interface Place {
  readonly url: string;
  readonly token: string;
}

/** Each lane in turn sends some, takes them and acknowledges them, until so many were sent in all. */
interface InTurn extends Place {
  readonly work: 'in turn';
  readonly lanes: readonly Lane[];
  readonly messages: number;
  readonly perBatch: number;
  readonly bodyBytes: number;
}

/** Receivers wait; messages are sent at a steady pace, each timed from when it was due to when its receiver has it. */
interface Paced extends Place {
  readonly work: 'paced';
  readonly lanes: readonly Lane[];
  readonly perSecond: number;
  readonly seconds: number;
  readonly bodyBytes: number;
}

/** Registers agents. */
interface Registering extends Place {
  readonly work: 'register';
  readonly names: readonly string[];
}

/** Each waits for a message until the process is ended. */
interface Waiting extends Place {
  readonly work: 'wait';
  readonly names: readonly string[];
}

/** Reads the whole history, page after page. */
interface Reading extends Place {
  readonly work: 'read';
}

export type HubOrder = InTurn | Paced | Registering | Waiting | Reading;

export interface HubSeen {
  /** Messages that were sent, and were received, acknowledged, or read. */
  readonly sent: number;
  readonly done: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly cpuPercent: number;
}

interface Received {
  readonly messages: readonly { readonly receipt: string; readonly body: { readonly dueMs?: number } }[];
  readonly acknowledged?: number;
}

const longestWaitSeconds = 50;

type Call = ReturnType<typeof leanClient>['call'];

async function receive(call: Call, agent: string, limit: number, waitSeconds: number, acknowledge: string[]) {
  const args = { agent, limit, max_bytes: 1_000_000, wait_seconds: waitSeconds, acknowledge };
  return (await call('receive_messages', args)) as Received;
}

async function inTurn(order: InTurn, times: number[]) {
  const { lanes, perBatch, bodyBytes, messages: all } = order;
  using caller = leanClient(order, lanes.length);
  const timed = async <Value>(work: Promise<Value>) => {
    const startedAtMs = performance.now();
    const value = await work;
    times.push(performance.now() - startedAtMs);
    return value;
  };
  let [sent, done] = [0, 0];
  await Promise.all(
    lanes.map(async ({ sender, receiver }) => {
      let acknowledge: string[] = [];
      while (sent < all) {
        const drafts = Array.from({ length: perBatch }, (_, at) => ({
          from: sender,
          to: [receiver],
          body: { text: contentOf(sent + at, bodyBytes) },
        }));
        sent += perBatch;
        await timed(
          perBatch === 1
            ? caller.call('send_message', drafts[0] ?? {})
            : caller.call('send_messages', { messages: drafts }),
        );
        const got = await timed(receive(caller.call, receiver, perBatch, 0, acknowledge));
        done += got.acknowledged ?? 0;
        acknowledge = got.messages.map(({ receipt }) => receipt);
      }
      if (acknowledge.length > 0) {
        const { acknowledged } = await caller.call('acknowledge_messages', {
          agent: receiver,
          receipts: acknowledge,
        });
        done += acknowledged;
      }
    }),
  );
  return { sent, done };
}

async function paced(order: Paced, times: number[]) {
  const { lanes, perSecond, seconds, bodyBytes } = order;
  using receiving = leanClient(order, lanes.length);
  using sending = leanClient(order, lanes.length);
  const all = perSecond * seconds;
  let done = 0;
  const receivers = lanes.map(async ({ receiver }) => {
    let acknowledge: string[] = [];
    while (done < all) {
      const { messages } = await receive(receiving.call, receiver, 100, 1, acknowledge);
      const nowMs = performance.now();
      for (const { body } of messages) times.push(nowMs - (body.dueMs ?? 0));
      done += messages.length;
      acknowledge = messages.map(({ receipt }) => receipt);
    }
    if (acknowledge.length > 0)
      await receiving.call('acknowledge_messages', { agent: receiver, receipts: acknowledge });
  });
  const startedAtMs = performance.now();
  const underWay: Promise<unknown>[] = [];
  for (let count = 0; count < all; count += 1) {
    const dueMs = startedAtMs + (count * 1_000) / perSecond;
    const leftMs = dueMs - performance.now();
    if (leftMs > 0) await sleep(leftMs);
    const { sender, receiver } = lanes[count % lanes.length] as Lane;
    const body = { dueMs, text: contentOf(count, bodyBytes) };
    underWay.push(sending.call('send_message', { from: sender, to: [receiver], body }));
  }
  await Promise.all([...underWay, ...receivers]);
  return { sent: all, done };
}

async function register(order: Registering) {
  using caller = leanClient(order, 16);
  const names = [...order.names];
  const worker = async () => {
    for (let name = names.pop(); name !== undefined; name = names.pop())
      await caller.call('register_agent', {
        name,
        capabilities: ['work'],
        timeout_seconds: 7_200,
      });
  };
  await Promise.all(Array.from({ length: 16 }, worker));
  return { sent: 0, done: order.names.length };
}

async function wait(order: Waiting) {
  using caller = leanClient(order, order.names.length);
  await Promise.all(
    order.names.map(async (name) => {
      for (;;) await receive(caller.call, name, 1, longestWaitSeconds, []);
    }),
  );
  return { sent: 0, done: 0 };
}

async function read(order: Reading) {
  using caller = leanClient(order, 1);
  let done = 0;
  for (let cursor: string | undefined, isFirst = true; isFirst || cursor !== undefined; isFirst = false) {
    const page = await caller.call('get_message_history', {
      order: 'oldest',
      limit: 200,
      ...(cursor && { cursor }),
    });
    done += page.messages.length;
    cursor = page.next_cursor;
  }
  return { sent: 0, done };
}

async function run(order: HubOrder): Promise<HubSeen> {
  const times: number[] = [];
  const startedAtMs = performance.now();
  const cpuBefore = process.cpuUsage();
  const doing = {
    'in turn': async () => inTurn(order as InTurn, times),
    paced: async () => paced(order as Paced, times),
    register: async () => register(order as Registering),
    wait: async () => wait(order as Waiting),
    read: async () => read(order as Reading),
  };
  const counted = await doing[order.work]();
  const seconds = (performance.now() - startedAtMs) / 1_000;
  const { user, system } = process.cpuUsage(cpuBefore);
  return {
    ...counted,
    seconds,
    p50Ms: percentile(times, 0.5),
    p99Ms: percentile(times, 0.99),
    p999Ms: percentile(times, 0.999),
    cpuPercent: (user + system) / 10_000 / seconds,
  };
}

process.on('disconnect', () => process.exit());
process.once('message', (order: HubOrder) => {
  run(order).then(
    (seen) => process.send?.(seen, () => process.disconnect?.()),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
});
