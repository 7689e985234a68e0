/** Counts what a call does, so that others are served in between, and no call works for ever. */
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
