/**
 * How many gits run at once: a token's calls wait for each other before they wait for those of others. Whoever has more to do
 * than one thing at a time is told so: it is to leave the processors to others first.
 */
import { availableParallelism } from 'node:os';

import { ToolError } from '#runtime/errors.ts';

import { maxWaiting } from './limits.ts';

interface Caller {
  running: number;
  readonly waiting: (() => void)[];
}

export type Gate = ReturnType<typeof openGate>;

export function openGate(perCaller = Math.max(2, availableParallelism()), inAll = 4 * perCaller) {
  /** In the order of their last turns. */
  const callers = new Map<string, Caller>();
  let running = 0;

  /** Whoever has the fewest at work is next; of several, the one whose turn is longest ago. */
  function admit(): void {
    while (running < inAll) {
      const ready = [...callers].filter(([, one]) => one.waiting.length > 0 && one.running < perCaller);
      const fewest = Math.min(...ready.map(([, one]) => one.running));
      const [name, caller] = ready.find(([, one]) => one.running === fewest) ?? [];
      if (name === undefined || !caller) return;
      callers.delete(name);
      callers.set(name, caller);
      caller.running += 1;
      running += 1;
      caller.waiting.shift()?.();
    }
  }

  async function turn(caller: Caller, signal: AbortSignal, isUrgent: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const begin = () => {
        signal.removeEventListener('abort', giveUp);
        resolve();
      };
      const giveUp = () => {
        caller.waiting.splice(caller.waiting.indexOf(begin), 1);
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', giveUp, { once: true });
      if (isUrgent) caller.waiting.unshift(begin);
      else caller.waiting.push(begin);
      admit();
    });
  }

  /**
   * @param isUrgent whether others wait for it: then it goes before what its own token has waiting.
   * @throws the reason of `signal`; ToolError `unavailable` when too many wait already.
   */
  return async function inTurn<Value>(
    name: string,
    signal: AbortSignal,
    work: (hasMore: boolean) => Promise<Value>,
    isUrgent = false,
  ): Promise<Value> {
    signal.throwIfAborted();
    const caller = callers.get(name) ?? { running: 0, waiting: [] };
    callers.set(name, caller);
    if (caller.waiting.length >= maxWaiting) {
      throw new ToolError('unavailable', `More than ${maxWaiting} steps of this token wait for git.`, {
        hint: 'Try again when some of its calls have ended.',
      });
    }
    await turn(caller, signal, isUrgent);
    try {
      return await work(caller.running > 1 || caller.waiting.length > 0);
    } finally {
      caller.running -= 1;
      running -= 1;
      // Who came meanwhile has waited longer than it.
      callers.delete(name);
      if (caller.running > 0 || caller.waiting.length > 0) callers.set(name, caller);
      admit();
    }
  };
}
