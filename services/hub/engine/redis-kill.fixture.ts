/** A hub that sends, receives and acknowledges as fast as it can, and tells what it was told: run in a process that may be killed. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { Engine } from './engine.ts';
import { messageOf, start } from './messages.fixture.ts';
import { openHub } from './redis.fixture.ts';

export const agents = ['a', 'b', 'c'];

export interface Told {
  /** Messages whose sending was acknowledged. */
  readonly sent?: readonly string[];
  /** Receipts that were acknowledged for the first time, with the message and the agent. */
  readonly settled?: readonly string[];
  readonly got?: readonly string[];
}

async function again<Value>(ask: () => Promise<Value>): Promise<Value> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if ((error as { code?: string }).code !== 'unavailable') throw error;
      await sleep(20);
    }
  }
}

/** What is given out now, and acknowledged. @returns how much it was. */
export async function receive(engine: Engine, agent: string, tell: (told: Told) => void, nowMs = start) {
  const delivered = await again(async () =>
    engine.lease({ agent, most: 20, mostBytes: 1_000_000, untilMs: nowMs + 60_000, nowMs, isOrdered: false }),
  );
  tell({ got: delivered.map(({ stored }) => `${agent} ${stored.envelope.id}`) });
  const receipts = delivered.map(({ stored: { seq }, attempt }) => ({
    seq,
    attempt,
    as: 'acknowledged' as const,
  }));
  const settled = await again(async () => engine.settle(agent, receipts, nowMs));
  tell({
    settled: delivered.flatMap(({ stored }, index) =>
      settled[index] === 'done' ? [`${agent} ${stored.envelope.id}`] : [],
    ),
  });
  return delivered.length;
}

/** Works until it is told to end. Asks again for what failed, as a sender does. */
export async function work(
  url: string,
  name: string,
  tell: (told: Told) => void,
  signal: AbortSignal = new AbortController().signal,
): Promise<void> {
  await using hub = await openHub(url);
  const { engine } = hub;
  const send = async () => {
    for (let round = 0; !signal.aborted; round += 1) {
      const ids = Array.from({ length: 10 }, (_, at) => `${name}-${round}-${at}`);
      const messages = ids.map((id, at) => messageOf(id, agents.slice(0, 1 + (at % 3)), { source: name }));
      const appended = await again(async () => engine.append(messages, start));
      tell({ sent: ids.filter((_, at) => ['stored', 'duplicate'].includes(appended[at]?.outcome ?? '')) });
    }
  };
  const take = async (agent: string) => {
    while (!signal.aborted) if ((await receive(engine, agent, tell)) === 0) await sleep(5);
  };
  await Promise.all([send(), ...agents.map(take)]);
}
