/**
 * An agent of the hub in a process of its own, for the kill trials: a sender or a receiver, which may be killed at any moment and goes
 * on when it is started again. What it was told it writes down at once.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { callTool } from '../support/rpc.ts';
import type { Target } from './writers.ts';

/** Each message to the next receiver. Logs the number of each that was acknowledged, in the order of the answers. */
export interface SenderOrder {
  readonly role: 'send';
  readonly target: Target;
  readonly log: string;
  readonly name: string;
  readonly receivers: readonly string[];
  readonly count: number;
  readonly perBatch: number;
  /** Takes a message for sent when it has handed it over: what the trial must find. */
  readonly isHasty: boolean;
}

/** Logs each message when it has dealt with it: whose it was, its number, its place and which attempt it was. */
export interface ReceiverOrder {
  readonly role: 'receive';
  readonly target: Target;
  readonly log: string;
  readonly name: string;
  readonly leaseSeconds: number;
}

export type AgentOrder = SenderOrder | ReceiverOrder;

/** Of a line in the log of a sender: so many bytes, that counting them is dividing. */
export const sentLineBytes = 9;
const sentLine = (number: number) => `${String(number).padStart(sentLineBytes - 1)}\n`;

const retryMs = 20;

interface Sent {
  readonly results: readonly { readonly outcome?: string; readonly error?: string }[];
}

interface Received {
  readonly messages: readonly {
    readonly from: string;
    readonly seq: number;
    readonly attempt: number;
    readonly receipt: string;
    readonly body: { readonly n: number };
  }[];
}

/** @throws Error when there is no answer, or one that says that it was not done. */
async function ask<Answer>(target: Target, tool: string, args: Readonly<Record<string, unknown>>) {
  const { result, error } = await callTool(target, tool, args);
  if (!result || result['isError']) throw new Error(JSON.stringify(result ?? error));
  return result['structuredContent'] as Answer;
}

async function send(order: SenderOrder): Promise<void> {
  const { target, log, name, receivers, count, perBatch, isHasty } = order;
  const told = new Set(existsSync(log) ? readFileSync(log, 'utf8').split('\n').slice(0, -1).map(Number) : []);
  let next = [...told].reduce((most, n) => Math.max(most, n + 1), 0);
  // Before it was killed, a full mailbox may have refused some.
  let due = Array.from({ length: next }, (_, n) => n).filter((n) => !told.has(n));
  while (next < count || due.length > 0) {
    // What a full mailbox has refused comes again before anything else, so that the order stays.
    if (due.length === 0) {
      const from = next;
      due = Array.from({ length: Math.min(perBatch, count - from) }, (_, at) => from + at);
      next += due.length;
    }
    const messages = due.map((n) => ({
      from: name,
      to: [receivers[n % receivers.length]],
      id: `${name}-${n}`,
      body: { n },
    }));
    if (isHasty) appendFileSync(log, due.map(sentLine).join(''));
    try {
      const { results } = await ask<Sent>(target, 'send_messages', { messages });
      const done = due.filter((_, at) => ['sent', 'duplicate'].includes(results[at]?.outcome ?? ''));
      if (!isHasty && done.length > 0) appendFileSync(log, done.map(sentLine).join(''));
      due = due.filter((n) => !done.includes(n));
      if (due.length > 0) await sleep(retryMs);
    } catch {
      await sleep(retryMs);
    }
    if (isHasty) due = [];
  }
}

async function receive({ target, log, name, leaseSeconds }: ReceiverOrder): Promise<never> {
  let acknowledge: string[] = [];
  for (;;) {
    try {
      const { messages } = await ask<Received>(target, 'receive_messages', {
        agent: name,
        limit: 100,
        max_bytes: 1_000_000,
        wait_seconds: 5,
        lease_seconds: leaseSeconds,
        acknowledge,
      });
      for (const { from, body, seq, attempt } of messages)
        appendFileSync(log, `${from} ${body.n} ${seq} ${attempt}\n`);
      acknowledge = messages.map(({ receipt }) => receipt);
    } catch {
      await sleep(retryMs);
    }
  }
}

process.on('disconnect', () => process.exit(1));
process.once('message', (order: AgentOrder) => {
  (order.role === 'send' ? send(order) : receive(order)).then(
    () => process.exit(0),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(2);
    },
  );
});
