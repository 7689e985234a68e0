/** Mailboxes as their agents see them: what comes, and what becomes of it. */
import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

import type { Agents } from './agents.ts';
import type { Delivered, Receipt, Settled, Settlement } from './engine/engine.ts';
import type { AgentName } from './message.ts';
import { longestDelayMs, mostLongPerToken, mostWaiting, mostWaitingPerToken } from './limits.ts';
import type { Mesh } from './mesh.ts';
import type { Sending } from './sending.ts';

export interface Wish {
  readonly agent: AgentName;
  readonly most: number;
  readonly mostBytes: number;
  readonly leaseMs: number;
  /** How long to wait when there is nothing. */
  readonly waitMs: number;
}

export type Receiving = ReturnType<typeof openReceiving>;

/** `seq.attempt`, as receipts are written. */
export const receiptText = ({ seq, attempt }: Receipt) => `${seq}.${attempt}`;

export function receiptOf(text: string): Receipt {
  const [seq = 0, attempt = 0] = text.split('.').map(Number);
  return { seq, attempt };
}

const firstRetryMs = 1_000;

/** The longer, the more attempts there were. */
const retryDelayMs = (attempt: number) => Math.min(firstRetryMs * 2 ** (attempt - 1), longestDelayMs);

export function openReceiving(
  { engine, policy, failures, now, onArrival }: Mesh,
  agents: Agents,
  sending: Sending,
) {
  const waiting = new Map<string, number>();
  let allWaiting = 0;
  const stopping = new AbortController();

  function enter(caller: string): Disposable {
    const own = waiting.get(caller) ?? 0;
    if (own >= mostWaitingPerToken || allWaiting >= mostWaiting)
      throw new ToolError('unavailable', 'Too many calls wait for messages here.', {
        hint: 'Ask again without waiting, or later.',
        retryAfterMs: 1_000,
      });
    waiting.set(caller, own + 1);
    allWaiting += 1;
    return {
      [Symbol.dispose]() {
        allWaiting -= 1;
        const left = (waiting.get(caller) ?? 1) - 1;
        if (left > 0) waiting.set(caller, left);
        else waiting.delete(caller);
      },
    };
  }

  const longOf = new Map<string, number>();

  async function lease({ agent, most, mostBytes, leaseMs }: Wish, isOrdered: boolean) {
    const nowMs = now();
    return engine.lease({ agent, most, mostBytes, untilMs: nowMs + leaseMs, nowMs, isOrdered });
  }

  /** What nobody will see goes back at once. */
  async function giveBack(agent: AgentName, delivered: readonly Delivered[]): Promise<void> {
    const nowMs = now();
    const again = {
      as: 'retry',
      atMs: nowMs,
      reason: 'its receiver had gone',
      mostAttempts: Infinity,
    } as const;
    await engine.settle(
      agent,
      delivered.map(({ stored, attempt }) => ({ seq: stored.seq, attempt, ...again })),
      nowMs,
    );
  }

  return {
    /**
     * Leases what waits, and waits for something when there is nothing.
     *
     * @throws ToolError not_found, forbidden, or unavailable when too many wait.
     */
    async receive(
      wish: Wish,
      { caller, signal }: Pick<Call, 'caller' | 'signal'>,
    ): Promise<readonly Delivered[]> {
      const { agent } = wish;
      const untilMs = now() + wish.waitMs;
      const { value } = await agents.acting(agent, caller, now());
      const { ordered } = value.mailbox;
      if (wish.waitMs <= 0) return lease(wish, ordered);
      using _place = enter(caller);
      const ends = AbortSignal.any([signal, stopping.signal]);
      for (;;) {
        const arrival = Promise.withResolvers<void>();
        // Listening before looking: nothing comes in between unheard.
        const unsay = onArrival(agent, arrival.resolve);
        try {
          const delivered = await lease(wish, ordered); // oxlint-disable-line no-await-in-loop -- until there is something
          const isOver = ends.aborted || delivered.length > 0 || now() >= untilMs;
          if (signal.aborted) await giveBack(agent, delivered); // oxlint-disable-line no-await-in-loop -- the last turn
          if (isOver) return delivered;
          await until(arrival.promise, Math.min(untilMs - now(), heartbeatMs), ends); // oxlint-disable-line no-await-in-loop -- this is the wait
          await agents.acting(agent, caller, now()); // oxlint-disable-line no-await-in-loop -- it may have left meanwhile
        } finally {
          unsay();
        }
      }
    },

    /** @throws ToolError not_found, forbidden. */
    async settle(
      agent: AgentName,
      settlements: readonly Settlement[],
      caller: string,
    ): Promise<readonly Settled[]> {
      await agents.acting(agent, caller, now());
      const outcomes = await engine.settle(agent, settlements, now());
      failures.record(
        settlements.flatMap((one, at) => {
          const isAgain = one.as === 'retry' && outcomes[at] === 'done';
          if ((!isAgain && outcomes[at] !== 'dead') || !('reason' in one)) return [];
          return [{ agent, owner: caller, message: one.reason, delayedMessages: isAgain ? 1 : 0 }];
        }),
        now(),
      );
      const dead = settlements.filter((one, at) => outcomes[at] === 'dead' && 'reason' in one);
      await Promise.all(
        dead.map(async (one) => {
          const stored = await engine.at(one.seq);
          if (stored && 'reason' in one) await sending.announceDead({ stored, agent, reason: one.reason });
        }),
      );
      return outcomes;
    },

    /** Another attempt after a while: after `delayMs`, or the longer the more attempts there were. */
    retryOf({ seq, attempt }: Receipt, reason: string, delayMs = retryDelayMs(attempt)): Settlement {
      return { seq, attempt, as: 'retry', atMs: now() + delayMs, reason, mostAttempts: policy.mostAttempts };
    },

    /** Follows a mailbox: `changed` resolves when something has happened there since it was asked last, or after some seconds. */
    follow(agent: AgentName): { changed(signal: AbortSignal): Promise<void> } & Disposable {
      let news = Promise.withResolvers<void>();
      const unsay = onArrival(agent, () => news.resolve());
      return {
        async changed(signal) {
          await until(news.promise, heartbeatMs, signal);
          news = Promise.withResolvers<void>();
        },
        [Symbol.dispose]: unsay,
      };
    },

    /** A place for a long body on its way to a client of this token; `undefined` when clients have not taken so many yet. */
    placeForLong(caller: string): Disposable | undefined {
      const own = longOf.get(caller) ?? 0;
      if (own >= mostLongPerToken) return undefined;
      longOf.set(caller, own + 1);
      return {
        [Symbol.dispose]() {
          const left = (longOf.get(caller) ?? 1) - 1;
          if (left > 0) longOf.set(caller, left);
          else longOf.delete(caller);
        },
      };
    },

    waiting: () => allWaiting,
    /** Answers all who wait: the hub stops. */
    stop: () => stopping.abort(),
  };
}

/** An agent that waits is there. */
const heartbeatMs = 10_000;

export async function until(event: Promise<void>, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, Math.max(0, ms));
  const end = () => resolve();
  signal.addEventListener('abort', end);
  try {
    await Promise.race([event, promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
  }
}
