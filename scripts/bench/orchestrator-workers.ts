/** Workers of the orchestrator, all in one process: take one order from their parent, send back what they saw. */
import { performance } from 'node:perf_hooks';

import { callerOf } from './caller.ts';
import { percentile } from './statistics.ts';

export interface WorkOrder {
  readonly url: string;
  readonly token: string;
  readonly workers: readonly string[];
  /** Tasks that each takes at a time; it completes them side by side. */
  readonly atOnce: number;
  readonly tasks: number;
}

export interface WorkSeen {
  readonly done: number;
  readonly seconds: number;
  /** For each completion that freed tasks: from when it was sent, to when a worker has the first of them. */
  readonly dependentMs: readonly number[];
  /** Of complete_task. */
  readonly p50Ms: number;
  readonly p99Ms: number;
}

interface Claimed {
  readonly tasks: readonly {
    readonly task_id: string;
    readonly depends_on: readonly string[];
    readonly lease: { readonly fence: number };
  }[];
}

async function work({ workers, atOnce, tasks, ...place }: WorkOrder): Promise<WorkSeen> {
  using caller = callerOf(place, workers.length * (atOnce + 1));
  for (const worker of workers)
    await caller.call('register_worker', { worker, capabilities: [], most_tasks: 5 });
  const sentAtMs = new Map<string, number>();
  const firstMs = new Map<string, number>();
  const completeMs: number[] = [];
  let doneAtMs = 0;

  async function complete(id: string, fence: number): Promise<void> {
    const startedAtMs = performance.now();
    sentAtMs.set(id, startedAtMs);
    await caller.call('complete_task', { task_id: id, fence, result: { done: true } });
    completeMs.push(performance.now() - startedAtMs);
    // The last waits of the others are not work.
    doneAtMs = performance.now();
  }

  async function workAs(worker: string): Promise<void> {
    while (completeMs.length < tasks) {
      const args = { worker, most: atOnce, wait_seconds: 1 };
      const claimed = (await caller.call('claim_tasks', args)) as Claimed;
      const nowMs = performance.now();
      for (const { depends_on: needs } of claimed.tasks) {
        const last = needs.reduce<string | undefined>(
          (latest, need) =>
            latest === undefined || (sentAtMs.get(need) ?? 0) > (sentAtMs.get(latest) ?? 0) ? need : latest,
          undefined,
        );
        if (last === undefined) continue;
        const tookMs = nowMs - (sentAtMs.get(last) ?? 0);
        firstMs.set(last, Math.min(firstMs.get(last) ?? Infinity, tookMs));
      }
      await Promise.all(claimed.tasks.map(async ({ task_id: id, lease }) => complete(id, lease.fence)));
    }
  }

  const startedAtMs = performance.now();
  await Promise.all(workers.map(workAs));
  return {
    done: completeMs.length,
    seconds: (doneAtMs - startedAtMs) / 1_000,
    dependentMs: [...firstMs.values()],
    p50Ms: percentile(completeMs, 0.5),
    p99Ms: percentile(completeMs, 0.99),
  };
}

process.on('disconnect', () => process.exit());
process.once('message', (order: WorkOrder) => {
  work(order).then(
    (seen) => process.send?.(seen, () => process.disconnect?.()),
    (error: unknown) => {
      process.stderr.write(`${String(error)}\n`);
      process.exit(1);
    },
  );
});
