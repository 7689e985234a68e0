/** Suite `fair`: what the small calls of one token take while another sends the heaviest that it may. */
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { once } from 'node:events';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';

import type { AnyWorkload } from '#runtime/workload.ts';

import { leanClient } from './lean-client.ts';
import type { BenchContext, Cell, Section } from './section.ts';
import { percentile } from './statistics.ts';
import { startWorkload, workloads, type WorkloadServer } from './workload-server.ts';

const secondsOf = { quick: 3, normal: 15, full: 60 } as const;
/** Between two small calls. */
const pauseMs = 5;

const goalMs = 25;

/** What the thread is told that sends heavy calls, and what it saw. */
export interface HeavyOrder {
  readonly name: string;
  readonly url: string;
  readonly token: string;
  readonly state: unknown;
}

export interface HeavyTraffic {
  readonly done: number;
  readonly refused: number;
}

export async function fairness({ depth, services, progress }: BenchContext): Promise<readonly Section[]> {
  const seconds = secondsOf[depth];
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-fair-'));
  const rows: Cell[][] = [];
  const faults: string[] = [];
  for (const [name, workload] of await workloads(services)) {
    progress(`fair: ${name}, seeding`);
    await using server = await startWorkload(name, workload, folder.path, { isPinned: false });
    const [first, ...others] = workload.calls;
    for (const small of [first, ...(services ? others : [])]) {
      const alone = await smallCalls(server, small, seconds * 1_000);
      const stopHeavy = heavyCalls(server);
      await sleep(500);
      const beside = await smallCalls(server, small, seconds * 1_000);
      const { done, refused } = await stopHeavy();
      const p99 = percentile(beside.timesMs, 0.99);
      const failed = alone.failed + beside.failed;
      rows.push([
        `${name}: ${small.title}`,
        percentile(alone.timesMs, 0.5),
        percentile(alone.timesMs, 0.99),
        percentile(beside.timesMs, 0.5),
        p99,
        Math.max(...beside.timesMs),
        verdict(p99, failed),
        beside.timesMs.length,
        done,
        refused,
      ]);
      if (failed > 0)
        faults.push(`${name}: ${small.title}: ${failed} small calls failed: ${alone.said ?? beside.said}`);
      progress(`fair: ${name}: ${small.title}: p99 ${p99.toFixed(1)} ms`);
    }
  }
  return [
    {
      title: 'One token beside another',
      method:
        `One token keeps 16 of the service's heaviest calls going, which its bench.ts names, for ${seconds} s; another sends ` +
        `small calls, one after the other with ${pauseMs} ms between, first alone and then meanwhile. Refused are heavy calls that were told to ` +
        `come again. The goal is a p99 under ${goalMs} ms. Nothing is pinned; each token's client has a thread of its own, and that of the heavy calls leaves the cores to the service (nice 10).`,
      columns: [
        { name: 'small call' },
        { name: 'alone p50 ms', digits: 2 },
        { name: 'alone p99 ms', digits: 2 },
        { name: 'beside p50 ms', digits: 2 },
        { name: 'beside p99 ms', digits: 2 },
        { name: 'beside worst ms', digits: 1 },
        { name: `goal ${goalMs} ms` },
        { name: 'small calls' },
        { name: 'heavy calls' },
        { name: 'refused' },
      ],
      rows,
      chart: { column: 4 },
      faults,
    },
  ];
}

/** How fast calls fail says nothing. */
export const verdict = (p99Ms: number, failed: number) =>
  failed > 0 ? 'failed' : p99Ms < goalMs ? 'met' : 'missed';

async function smallCalls(
  { url, otherToken: token, otherState }: WorkloadServer,
  { tool, arguments: args }: AnyWorkload['calls'][0],
  forMs: number,
) {
  const timesMs: number[] = [];
  let failed = 0;
  let said: string | undefined;
  using client = leanClient({ url, token }, 1);
  const endMs = performance.now() + forMs;
  for (let number = 0; performance.now() < endMs; number += 1) {
    const given = args(number, otherState);
    const startedAtMs = performance.now();
    try {
      await client.call(tool, given);
    } catch (error) {
      failed += 1;
      said ??= String(error);
    }
    timesMs.push(performance.now() - startedAtMs);
    await sleep(pauseMs);
  }
  return { timesMs, failed, said };
}

/** Starts them; they end when told to. */
function heavyCalls({ name, url, token, state }: WorkloadServer) {
  const order: HeavyOrder = { name, url, token, state };
  const thread = new Worker(new URL('heavy-thread.ts', import.meta.url), { workerData: order });
  const ended = once(thread, 'message') as Promise<[HeavyTraffic]>;
  return async (): Promise<HeavyTraffic> => {
    thread.postMessage('over'); // oxlint-disable-line unicorn/require-post-message-target-origin -- a thread, not a window
    const [traffic] = await ended;
    return traffic;
  };
}
