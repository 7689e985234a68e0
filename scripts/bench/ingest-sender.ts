/** Sends batches of steps, or reads at a steady pace, in a process of its own: takes one order from its parent, sends back what it saw. */
import { Agent } from 'node:http';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { post, toolCall } from './requests.ts';
import { percentile } from './statistics.ts';
import { contentOf } from './words.ts';

export const forms = ['rows', 'steps', 'steps_jsonl'] as const;
export type Form = (typeof forms)[number];

export interface SendOrder {
  readonly url: string;
  readonly token: string;
  readonly connections: number;
  /** Batches, each with an id of its own. */
  readonly batches?: {
    readonly form: Form;
    /** So many in all. */
    readonly count: number;
    readonly steps: number;
    readonly contentBytes: number;
    /** In turn: a chain has at most a million steps. */
    readonly chains: readonly string[];
  };
  /** Calls in turn, so many a second, whatever the answers take: none is left out because one is late. */
  readonly reads?: {
    readonly perSecond: number;
    readonly seconds: number;
    readonly calls: readonly { readonly tool: string; readonly args: Readonly<Record<string, unknown>> }[];
  };
}

export interface Sent {
  readonly calls: number;
  readonly seconds: number;
  readonly failed: number;
  readonly firstFailure: string;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly cpuPercent: number;
}

const contentsOf = ({ steps, contentBytes }: { readonly steps: number; readonly contentBytes: number }) =>
  Array.from({ length: steps }, (_, at) => contentOf(at, contentBytes));

function argumentsOf({ form, ...size }: NonNullable<SendOrder['batches']>): Record<string, unknown> {
  const contents = contentsOf(size);
  if (form === 'rows')
    return { rows: contents.map((text) => [null, null, 'analysis', null, null, 0.5, text]) };
  const objects = contents.map((content) => ({ type: 'analysis', confidence: 0.5, content }));
  if (form === 'steps') return { steps: objects };
  return { steps_jsonl: objects.map((one) => JSON.stringify(one)).join('\n') };
}

const idMark = 'batch-id-mark';
const chainMark = 'chain-id-mark';

async function run(order: SendOrder): Promise<Sent> {
  const { url, token, connections, batches, reads } = order;
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const times: number[] = [];
  let [failed, firstFailure] = [0, ''];
  const startedAtMs = performance.now();
  const cpuBefore = process.cpuUsage();
  const take = (answer: string, fromMs: number) => {
    times.push(performance.now() - fromMs);
    if (answer.startsWith('200 ') && !answer.includes('"isError":true')) return;
    failed += 1;
    firstFailure ||= answer.slice(0, 300);
  };
  const lost = (error: unknown) => {
    failed += 1;
    firstFailure ||= String(error);
  };
  if (batches) {
    const { headers, body } = toolCall(token, 'capture_batch', {
      batch_id: idMark,
      chain_id: chainMark,
      ...argumentsOf(batches),
    });
    const [before = '', between = '', after = ''] = body.split(new RegExp(`${idMark}|${chainMark}`));
    const rest = Buffer.from(after);
    let count = 0;
    const send = async () => {
      while (count < batches.count) {
        count += 1;
        const id = `${process.pid}-${count}`;
        const chain = batches.chains[count % batches.chains.length] ?? '';
        const fromMs = performance.now();
        await post(url, agent, headers, [before + id + between + chain, rest]).then(
          (answer) => take(answer, fromMs),
          lost,
        );
      }
    };
    await Promise.all(Array.from({ length: connections }, send));
  }
  if (reads) {
    const requests = reads.calls.map(({ tool, args }) => toolCall(token, tool, args));
    const underWay: Promise<void>[] = [];
    for (let count = 0; ; count += 1) {
      const dueMs = startedAtMs + (count * 1_000) / reads.perSecond;
      if (dueMs > startedAtMs + reads.seconds * 1_000) break;
      await sleep(Math.max(0, dueMs - performance.now()));
      const one = requests[count % requests.length];
      if (one)
        underWay.push(post(url, agent, one.headers, [one.body]).then((answer) => take(answer, dueMs), lost));
    }
    await Promise.all(underWay);
  }
  const elapsed = (performance.now() - startedAtMs) / 1_000;
  const { user, system } = process.cpuUsage(cpuBefore);
  agent.destroy();
  return {
    calls: times.length,
    seconds: elapsed,
    failed,
    firstFailure,
    p50Ms: percentile(times, 0.5),
    p99Ms: percentile(times, 0.99),
    p999Ms: percentile(times, 0.999),
    cpuPercent: (user + system) / 10_000 / elapsed,
  };
}

if (process.send) {
  process.on('disconnect', () => process.exit());
  process.once('message', (order: SendOrder) => {
    run(order).then(
      (sent) => process.send?.(sent, () => process.disconnect?.()),
      (error: unknown) => {
        process.stderr.write(`${String(error)}\n`);
        process.exit(1);
      },
    );
  });
}
