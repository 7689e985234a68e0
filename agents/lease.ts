/** The lease of a task: kept as long as the task is at work, and the end of the work when it is lost. */
import { setTimeout as sleep } from 'node:timers/promises';

import { CallFailure, type Gateway } from './gateway.ts';
import { longestBetweenRenewalsMs, progressMs } from './limits.ts';
import type { Task } from './task.ts';

/** The task is another's by now, or nobody's: cancelled, or the lease ended. */
export class LeaseLost extends Error {}

export interface Lease extends Disposable {
  /** Aborted with a LeaseLost when the task is no longer this agent's, or with the stop's reason. */
  readonly signal: AbortSignal;
  readonly progress: (percent: number, note: string) => void;
  /** No more renewals: whoever settles the task must not hear from one that it is settled. */
  readonly keepNoMore: () => void;
}

export function holdLease(task: Task, gateway: Gateway, stopping: AbortSignal): Lease {
  const { fence, until } = task.lease;
  const lost = new AbortController();
  const done = new AbortController();
  const signal = AbortSignal.any([lost.signal, stopping]);
  const leaseMs = Date.parse(until) - Date.parse(task.updated_at);
  const everyMs = Math.max(100, Math.min(leaseMs / 3, longestBetweenRenewalsMs));
  let progress: { readonly percent: number; readonly note: string } | undefined;
  let wake = new AbortController();
  let toldAtMs = 0;

  async function renew(): Promise<void> {
    const told = progress;
    progress = undefined;
    toldAtMs = performance.now();
    try {
      await gateway.callPatiently(
        'renew_lease',
        { task_id: task.task_id, fence, ...(told && { progress: told }) },
        AbortSignal.any([signal, done.signal]),
      );
    } catch (error) {
      if (signal.aborted || done.signal.aborted) return;
      const words = error instanceof CallFailure ? error.message : String(error);
      lost.abort(new LeaseLost(words));
    }
  }

  async function keep(): Promise<void> {
    while (!signal.aborted && !done.signal.aborted) {
      await renew();
      const ends = AbortSignal.any([signal, done.signal, wake.signal]);
      await sleep(everyMs, undefined, { signal: ends }).catch(() => {});
      if (wake.signal.aborted) wake = new AbortController();
    }
  }
  void keep();

  return {
    signal,
    progress(percent, note) {
      progress = { percent, note: note.slice(0, 1_000) };
      if (performance.now() - toldAtMs > progressMs) wake.abort();
    },
    keepNoMore: () => done.abort(),
    [Symbol.dispose]: () => done.abort(),
  };
}
