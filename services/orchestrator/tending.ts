/** What the orchestrator does by itself: ends leases, brings back what is due, finishes chores, lets go of what is old. */
import { setImmediate as nextTurn } from 'node:timers/promises';

import { ToolError } from '#runtime/errors.ts';

import { workOff } from './ledger/chores.ts';
import { dropBatches, dueWork, keepClock, sweep, trim, type Swept } from './ledger/sweeping.ts';
import { changedAtOnce, staleBatchMs, sweepMs } from './limits.ts';
import type { Desk } from './orchestrator.ts';
import type { Presence } from './presence.ts';

const trimEveryMs = 60_000;
const keepSeenEveryMs = 5_000;

/** An engine that cannot be reached says so itself. */
export const isAway = (error: unknown) => error instanceof ToolError && error.code === 'unavailable';

export type Tending = ReturnType<typeof beginTending>;

/** Goes on until it is disposed. A round that fails is logged, and tried again in the next. */
export function beginTending(desk: Desk, presence: Presence, retentionMs: number) {
  const stopping = new AbortController();
  const counts = { lost: 0, retried: 0, late: 0 } satisfies Swept;
  let trimmedMs = -Infinity;
  let seenMs = 0;
  let round: Promise<void> | undefined;
  let isAsked = false;

  /** Piece after piece, so that others have their turn in between. */
  async function repeat(piece: () => Promise<boolean>): Promise<void> {
    while (!stopping.signal.aborted && (await piece())) await nextTurn();
  }

  async function finishChores(): Promise<void> {
    await repeat(async () => desk.change((change) => workOff(change, changedAtOnce, true)));
  }

  async function keepTime(): Promise<void> {
    desk.clock.catchUp(await desk.engine.stage(() => keepClock(desk.clock.now())));
  }

  async function tendOnce(): Promise<void> {
    const ledgerMs = desk.clock.now();
    const due = await desk.look(dueWork);
    if (due.any) {
      await finishChores();
      await repeat(async () => {
        const { lost, retried, late, isMore } = await desk.change(sweep);
        counts.lost += lost;
        counts.retried += retried;
        counts.late += late;
        return isMore;
      });
      await finishChores();
    }
    if (ledgerMs - trimmedMs >= trimEveryMs) {
      trimmedMs = ledgerMs;
      await repeat(async () => desk.change((change) => trim(change, desk.now() - retentionMs)));
      if (desk.engine.isShared) await desk.change((change) => dropBatches(change, desk.now() - staleBatchMs));
      await finishChores();
    }
    // Others go by it too, whatever there is.
    if (due.byClock || desk.engine.isShared) await keepTime();
    if (ledgerMs - seenMs >= keepSeenEveryMs) {
      seenMs = ledgerMs;
      await presence.keep();
    }
  }

  /** One round at a time; who asks meanwhile gets another one after it. */
  async function tend(): Promise<void> {
    isAsked = true;
    round ??= (async () => {
      try {
        while (isAsked && !stopping.signal.aborted) {
          isAsked = false;
          await tendOnce();
        }
      } catch (error) {
        if (!stopping.signal.aborted && !isAway(error)) desk.log.warn('tending_failed', { error });
      } finally {
        round = undefined;
      }
    })();
    await round;
  }

  const timer = setInterval(() => void tend(), sweepMs);
  timer.unref();

  return {
    counts,
    tend,
    /** Chores wait: they are gone on with now. */
    hurry: () => void tend(),
    finishChores,
    /** Before anything is taken: what an earlier process has begun and not ended is taken back. */
    async recover(): Promise<void> {
      // Those of others may be at work.
      const before = desk.engine.isShared ? desk.now() - staleBatchMs : Number.MAX_SAFE_INTEGER;
      await desk.change((change) => dropBatches(change, before));
      await tend();
    },
    async [Symbol.asyncDispose]() {
      stopping.abort();
      clearInterval(timer);
      await round;
      try {
        await keepTime();
        await presence.keep();
      } catch (error) {
        if (!isAway(error)) throw error;
      }
    },
  };
}
