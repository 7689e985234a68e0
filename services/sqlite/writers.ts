/** Who changes a database waits here, in turns of the tokens, and not for SQLite's lock: it lets whoever asks at the right moment in. */
import { ToolError } from '#runtime/errors.ts';
import { Lane } from '#runtime/lanes.ts';
import type { Call } from '#runtime/tool.ts';

import { changesAtOnce } from './limits.ts';

type Waiter = Pick<Call, 'signal' | 'caller'>;

interface Turn {
  readonly caller: string;
  /** Of a transaction, which has the turn over several calls: told once another token waits. */
  readonly press: (() => void) | undefined;
}

interface Queue {
  readonly lane: Lane;
  turn: Turn | undefined;
  /** Who waits or has the turn, once for each call. */
  readonly callers: string[];
}

/** @param patienceMs how long a call waits for a transaction of its own token, which may never end while it waits. */
export function openWriters(patienceMs: number) {
  const queues = new Map<string, Queue>();

  /** Changes of one file, one after the other. */
  async function run<Value>(
    path: string,
    { caller, signal }: Waiter,
    work: () => Promise<Value>,
    press?: () => void,
  ): Promise<Value> {
    const queue = queues.get(path) ?? { lane: new Lane(changesAtOnce), turn: undefined, callers: [] };
    queues.set(path, queue);
    queue.callers.push(caller);
    const patience = new AbortController();
    const isOwn = queue.turn?.press !== undefined && queue.turn.caller === caller;
    const timer = isOwn ? setTimeout(() => patience.abort(ownFirst()), patienceMs).unref() : undefined;
    if (queue.turn?.caller !== caller) queue.turn?.press?.();
    try {
      const waits = { caller, signal: isOwn ? AbortSignal.any([signal, patience.signal]) : signal };
      return await queue.lane.run(waits, async () => {
        clearTimeout(timer);
        queue.turn = { caller, press };
        if (queue.callers.some((one) => one !== caller)) press?.();
        try {
          return await work();
        } finally {
          queue.turn = undefined;
        }
      });
    } finally {
      clearTimeout(timer);
      queue.callers.splice(queue.callers.indexOf(caller), 1);
      if (queue.callers.length === 0) queues.delete(path);
    }
  }

  return {
    run,
    /** For a transaction. @returns what ends the turn. */
    async hold(path: string, call: Waiter, press: () => void): Promise<() => void> {
      const begun = Promise.withResolvers<void>();
      const over = Promise.withResolvers<void>();
      const held = run(
        path,
        call,
        async () => {
          begun.resolve();
          await over.promise;
        },
        press,
      );
      held.catch(begun.reject);
      await begun.promise;
      return over.resolve;
    },
  };
}

const ownFirst = () =>
  new ToolError('unavailable', 'Another change of this database has to end first.', {
    hint: 'It is held by a transaction of this token: pass its handle as transaction, or commit it or roll it back first.',
    retryAfterMs: 1_000,
  });
