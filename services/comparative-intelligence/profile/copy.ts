/** Keeps the copy of decisions in step with model-profile: looked at when a figure needs it, and read on until nothing is left. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { Log } from '#runtime/account/log.ts';
import { orStopped } from '#runtime/lanes.ts';
import type { Call } from '#runtime/tool.ts';

import { syncFreshMs, syncPage, syncWaitMs } from '../limits.ts';
import type { Store } from '../store/store.ts';
import { kinds } from '../subject.ts';
import type { ProfileClient } from './client.ts';

/** Whether its numbers still go on from ours: after a restore there they do not. */
const checkEveryMs = 60_000;

const copying = { caller: 'comparative-intelligence', signal: new AbortController().signal };

export interface Copy extends AsyncDisposable {
  /**
   * Brings the copy up to date, as far as a call may wait.
   *
   * @returns what to tell of it: that it is behind, or that model-profile does not answer.
   * @throws ToolError `unavailable` where nothing was ever copied, unless `isOptional`.
   */
  refresh(call: Pick<Call, 'signal' | 'nowMs'>, isOptional: boolean): Promise<string[]>;
}

export function openCopy(store: Store, client: ProfileClient, log: Log): Copy {
  let running: Promise<void> | undefined;
  const closing = new AbortController();
  let checkedMs = -checkEveryMs;

  const inStepMs = () => Math.min(...kinds.map((kind) => store.reading.inStepMs(kind)));
  const hasAny = () => kinds.some((kind) => store.reading.changeOf(kind) > 0);

  async function catchUp(nowMs: number): Promise<void> {
    if (hasAny() && nowMs - checkedMs >= checkEveryMs) {
      const last = await client.lastChange();
      checkedMs = nowMs;
      if (kinds.some((kind) => store.reading.changeOf(kind) > last)) {
        log.warn('decisions_copied_anew', { reason: 'model-profile knows less than was copied' });
        await store.write('forgetCopy', undefined, copying);
      }
    }
    for (const kind of kinds) {
      for (let isComplete = false; !isComplete && !closing.signal.aborted;) {
        const {
          decisions,
          last,
          isComplete: isLast,
          missedBefore,
        } = await client.changes(kind, store.reading.changeOf(kind), syncPage);
        isComplete = isLast;
        if (missedBefore !== undefined) log.warn('decisions_missed', { kind, before: missedBefore });
        await store.write('copy', { kind, decisions, change: last, isComplete, atMs: nowMs }, copying);
      }
    }
  }

  return {
    async refresh({ signal, nowMs }, isOptional) {
      if (nowMs - inStepMs() < syncFreshMs) return [];
      running ??= catchUp(nowMs).finally(() => {
        running = undefined;
      });
      const timer = new AbortController();
      try {
        const isThere = await orStopped(
          Promise.race([running.then(() => true), sleep(syncWaitMs, false, { signal: timer.signal })]),
          signal,
        );
        return isThere ? [] : ['The copy of decisions is still catching up: ask again for the newest.'];
      } catch (error) {
        signal.throwIfAborted();
        if (!hasAny() && !isOptional) throw error;
        if (!hasAny()) return [];
        return [`model-profile does not answer: decisions are as of ${new Date(inStepMs()).toISOString()}.`];
      } finally {
        timer.abort();
      }
    },

    async [Symbol.asyncDispose]() {
      closing.abort();
      await running?.catch(() => {});
      await client[Symbol.asyncDispose]();
    },
  };
}
