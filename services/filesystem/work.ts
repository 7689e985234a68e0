/** Counts what a call does, so that others are served in between, no call works for ever, and the client hears of it. */
import { performance } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';

import type { Call } from '#runtime/tool.ts';

export interface Work {
  /** Added to by whoever works: the comparison of a character is one, and what takes longer counts for more. */
  steps: number;
  /** Whether it is time to let others be served. */
  isDue(): boolean;
  pause(): Promise<void>;
}

/** Some ten milliseconds. */
export const stepsPerTurn = 1_000_000;

export function beginWork({ signal }: Pick<Call, 'signal'>): Work {
  let paused = 0;
  const work: Work = {
    steps: 0,
    isDue: () => work.steps - paused >= stepsPerTurn,
    async pause() {
      paused = work.steps;
      await setImmediate();
      signal.throwIfAborted();
    },
  };
  return work;
}

const progressMs = 250;

/** Tells the client how far a call has come: at first, and then some times a second. What is done only grows. */
export function teller({ progress }: Pick<Call, 'progress'>): Call['progress'] {
  let told = 0;
  let toldAt = -Infinity;
  return (done, total, message) => {
    if (done <= told || performance.now() - toldAt < progressMs) return;
    told = done;
    toldAt = performance.now();
    progress(done, total, message);
  };
}
