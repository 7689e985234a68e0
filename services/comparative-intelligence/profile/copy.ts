/** Keeps the copy of decisions in step with model-profile: looked at when a figure needs it, and read on until nothing is left. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { Log } from '#runtime/account/log.ts';
import { ToolError } from '#runtime/errors.ts';
import { orStopped } from '#runtime/lanes.ts';
import type { Call } from '#runtime/tool.ts';

import { syncFreshMs, syncPage, syncWaitMs } from '../limits.ts';
import type { Store } from '../store/store.ts';
import { kinds } from '../subject.ts';
import type { ProfileClient } from './client.ts';

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

  const inStepMs = () => Math.min(...kinds.map((kind) => store.reading.inStepMs(kind)));
  const hasAny = () => kinds.some((kind) => store.reading.changeOf(kind) > 0);

  /**
   * Whether the changes there go on from those that were copied. After a restore they do not, even where their numbers have gone past ours
   * meanwhile: then the newest that was copied is another one there.
   */
  async function isContinued(): Promise<boolean> {
    const mark = store.reading.mark();
    for (const kind of mark ? kinds : []) {
      const { first } = await client.changes(kind, (mark?.change ?? 1) - 1, 1);
      if (first?.change === mark?.change) return first?.identity === mark?.identity;
    }
    // It is not kept there any more.
    const last = await client.lastChange();
    return kinds.every((kind) => store.reading.changeOf(kind) <= last);
  }

  async function catchUp(nowMs: number): Promise<void> {
    if (hasAny() && !(await isContinued())) {
      log.warn('decisions_copied_anew', { reason: 'model-profile was restored to an earlier state' });
      await store.write('forgetCopy', undefined, copying);
    }
    for (const kind of kinds) {
      let missed = 0;
      for (let isComplete = false; !isComplete && !closing.signal.aborted;) {
        const {
          decisions,
          newest,
          last,
          isComplete: isLast,
          missedBefore,
        } = await client.changes(kind, store.reading.changeOf(kind), syncPage);
        isComplete = isLast;
        if (missedBefore !== undefined && missedBefore > missed) {
          missed = missedBefore;
          log.warn('decisions_missed', { kind, before: missed });
        }
        await store.write(
          'copy',
          { kind, decisions, newest, change: last, isComplete, atMs: nowMs },
          copying,
        );
      }
    }
  }

  return {
    async refresh({ signal, nowMs }, isOptional) {
      // Where the clock was set back, the copy seems to be of later than now.
      const ageMs = nowMs - inStepMs();
      if (ageMs >= 0 && ageMs < syncFreshMs) return [];
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
        const isAbsent = error instanceof ToolError && error.code === 'unavailable';
        if (!isAbsent) log.error('decisions_not_copied', { error });
        if (!hasAny() && !isOptional) throw error;
        if (!hasAny()) return [];
        const reason = isAbsent ? 'model-profile does not answer' : 'Decisions could not be copied';
        return [`${reason}: they are as of ${new Date(inStepMs()).toISOString()}.`];
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
