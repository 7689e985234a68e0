/** Workers that ask for tasks: served at once where there is something, and else as soon as there is. */
import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

import { giveOut, type Asking } from './ledger/claiming.ts';
import { giveBack } from './ledger/releasing.ts';
import type { TaskRow } from './ledger/schema.ts';
import { ownWorker } from './ledger/workers.ts';
import { mostWaiting, mostWaitingPerToken } from './limits.ts';
import type { Desk } from './orchestrator.ts';
import type { Presence } from './presence.ts';

interface Waiter {
  readonly asking: Asking;
  readonly caller: string;
  /** Nothing, when the wait is over without a task. */
  readonly end: (claimed: readonly TaskRow[]) => void;
  readonly fail: (error: unknown) => void;
  /** Its wait is over; it is told so when it is not being served any more. */
  isOver: boolean;
}

const nothing: readonly TaskRow[] = [];

export type Waiting = ReturnType<typeof openWaiting>;

export function openWaiting(desk: Desk, presence: Presence) {
  /** In the order in which they came. */
  const waiters = new Set<Waiter>();
  let isStopping = false;

  function requirePlace(caller: string): void {
    const own = [...waiters].filter((waiter) => waiter.caller === caller).length;
    if (own < mostWaitingPerToken && waiters.size < mostWaiting) return;
    throw new ToolError('unavailable', 'Too many calls wait for tasks here.', {
      hint: 'Ask again without waiting, or later.',
      retryAfterMs: 1_000,
    });
  }

  let isAskedAgain = false;
  /** Those who may get something from a change that is under way. */
  let serving: ReadonlySet<Waiter> | undefined;

  /** Who is being served waits for what comes of that. */
  function end(waiter: Waiter): void {
    waiter.isOver = true;
    if (!serving?.has(waiter) && waiters.delete(waiter)) waiter.end(nothing);
  }

  function endServing(): void {
    const asked = serving ?? [];
    serving = undefined;
    for (const waiter of asked) if (waiter.isOver) end(waiter);
  }

  /**
   * Gives those who wait what there is. Called within the change that brought it about where the engine can, so that both are on disk with
   * one commit; who waits is told after it.
   */
  function serve(): void {
    isAskedAgain = serving !== undefined;
    if (serving || waiters.size === 0) return;
    const asked = [...waiters];
    serving = new Set(asked);
    const askings = asked.map(({ asking }) => asking);
    let served: readonly Waiter[] = [];
    void tell(
      asked,
      () => served,
      desk.change(
        (change) => giveOut(change, askings, desk.sets),
        (claims) => {
          served = asked.filter((_, at) => claims[at]?.length !== 0);
          // They are not to be given more before they are told of this.
          for (const waiter of served) waiters.delete(waiter);
          endServing();
        },
      ),
    );
  }

  /** Those who were served, when it is on disk; or why it is not. */
  async function tell(
    asked: readonly Waiter[],
    served: () => readonly Waiter[],
    given: Promise<readonly (readonly TaskRow[])[]>,
  ): Promise<void> {
    try {
      const claims = await given;
      for (const [at, waiter] of asked.entries()) {
        const claimed = claims[at] ?? nothing;
        if (claimed.length > 0) waiter.end(claimed);
      }
      // There may be more than one change gives out.
      if (served().length > 0 || isAskedAgain) serve();
    } catch (error) {
      if (served().length === 0) endServing();
      for (const waiter of served()) waiter.fail(error);
    }
  }

  async function wait(asking: Asking, waitMs: number, { caller, signal }: Pick<Call, 'caller' | 'signal'>) {
    requirePlace(caller);
    const { promise, resolve, reject } = Promise.withResolvers<readonly TaskRow[]>();
    const waiter: Waiter = { asking, caller, end: resolve, fail: reject, isOver: false };
    const giveUp = () => end(waiter);
    const timer = setTimeout(giveUp, waitMs);
    signal.addEventListener('abort', giveUp);
    waiters.add(waiter);
    if (signal.aborted || isStopping) giveUp();
    // Something may have come since it was looked for.
    else serve();
    try {
      const claimed = await promise;
      if (!signal.aborted || claimed.length === 0) return claimed;
      await desk.change((change) => giveBack(change, claimed));
      return nothing;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
    }
  }

  return {
    /** @throws ToolError not_found, forbidden, or unavailable when too many wait. */
    async claim(
      wish: { readonly worker: string; readonly most: number; readonly waitMs: number },
      call: Pick<Call, 'caller' | 'signal'>,
    ): Promise<readonly TaskRow[]> {
      const asked = await desk.change(function* (change) {
        const worker = yield* ownWorker(wish.worker, call.caller);
        const asking: Asking = { worker, most: Math.min(wish.most, worker.most_tasks) };
        const [claimed = nothing] = yield* giveOut(change, [{ ...asking, isKept: true }], desk.sets);
        return { asking, claimed };
      });
      presence.touch(wish.worker);
      if (asked.claimed.length > 0 || wish.waitMs <= 0) return asked.claimed;
      const claimed = await wait(asked.asking, wish.waitMs, call);
      presence.touch(wish.worker);
      return claimed;
    },
    serve,
    isWaiting: (worker: string): boolean => [...waiters].some(({ asking }) => asking.worker.name === worker),
    count: () => waiters.size,
    /** Ends the waits of a worker: it was taken out, or has changed, and asks again. */
    release(worker: string): void {
      for (const waiter of waiters) if (waiter.asking.worker.name === worker) end(waiter);
    },
    /** Answers all who wait: the orchestrator stops. */
    stop(): void {
      isStopping = true;
      for (const waiter of waiters) end(waiter);
    },
  };
}
