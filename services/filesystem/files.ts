/** All that the tools of this service depend on. */
import type { Call } from '#runtime/tool.ts';

import type { Territory } from './beneath.ts';
import { maxRipgreps } from './limits.ts';

export interface Settings extends Territory {
  /** How long deleted files can be restored; 0 for ever. */
  readonly trashDays: number;
  /** Tools that there are, but not with these settings: nothing may name them. */
  readonly hiddenTools: ReadonlySet<string>;
}

export interface Files extends Settings, AsyncDisposable {
  /**
   * Changes one after the other, so that what a change has looked at is still so when it is made. A call that was
   * stopped while it waited does nothing.
   */
  change<Value>(call: Pick<Call, 'signal'>, work: () => Promise<Value>): Promise<Value>;
  /** Searches, a few at a time: each holds descriptors and a processor. */
  search<Value>(call: Pick<Call, 'signal'>, work: () => Promise<Value>): Promise<Value>;
}

export function openFiles(settings: Settings): Files {
  const change = queue(1);
  const search = queue(maxRipgreps);
  return {
    ...settings,
    change,
    search,
    // What was begun is finished: a change is whole before the process ends.
    [Symbol.asyncDispose]: async () => change({ signal: AbortSignal.any([]) }, async () => {}),
  };
}

/** Runs as many at a time, the others in the order in which they came. */
function queue(width: number) {
  const waiting: (() => void)[] = [];
  let running = 0;
  return async <Value>({ signal }: Pick<Call, 'signal'>, work: () => Promise<Value>): Promise<Value> => {
    if (running >= width) await new Promise<void>((resolve) => waiting.push(resolve));
    else running += 1;
    try {
      signal.throwIfAborted();
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
}
