/** Tasks that wait for the merge of their branches are looked at again and again; by the agent for integration. */
import { setTimeout as sleep } from 'node:timers/promises';

import { isAgent } from '#config/catalogue.ts';
import type { Log } from '#runtime/account/log.ts';

import { giveBackMs, longestBetweenLooksMs } from './limits.ts';
import { requireMay, type Deputy } from './permission.ts';
import { giveUpLeft, watchMerges } from './integration.ts';
import { mergeNotes } from './merge-notes.ts';
import type { CallTool, RepositoryTask } from './repository.ts';

export interface MergingParts extends Deputy {
  readonly everyMs: number;
  /** Where merges are written down. */
  readonly notesFile: string;
  readonly log: Log;
}

/** Git is asked and changed for the owner of each task, who has to be allowed it; the orchestrator takes the agent's own word. */
export function startMerging(parts: MergingParts): AsyncDisposable {
  const { agent, gateway, everyMs, log, now } = parts;
  const notes = mergeNotes(parts.notesFile, now);
  const stop = new AbortController();
  // What has begun to change something goes on a little: a merge with conflicts has to be given up again.
  const end = new AbortController();
  let told = new Map<string, string>();
  let trouble: string | undefined;

  const call: CallTool = async (tool, args) => gateway.call(tool, args, stop.signal);
  const callFor =
    ({ owner }: RepositoryTask): CallTool =>
    async (tool, args) => {
      const isOwn = tool === 'record_merge' || tool === 'record_conflict';
      const isReading = !isOwn && (await requireMay(tool, owner, parts, end.signal)).effect === 'read';
      return gateway.call(tool, args, isReading ? stop.signal : end.signal);
    };

  /** In the agent's own name: it takes back what is its own. */
  async function tidyUp(): Promise<void> {
    for (const left of notes.left()) {
      if (await giveUpLeft(async (tool, args) => gateway.call(tool, args, end.signal), left))
        log.warn('left_merge_given_up', { path: left.path });
      notes.end(left.path);
    }
  }

  async function look(): Promise<void> {
    await tidyUp().catch((error: unknown) =>
      log.warn('left_merge_stays', { reason: (error as Error).message }),
    );
    const seen = await watchMerges(call, { worker: agent, callFor, notes, isOurs: isAgent });
    const looked = new Map<string, string>();
    for (const { id, branch, outcome } of seen) {
      const kept = outcome.state === 'merged' && outcome.kept !== undefined ? `: ${outcome.kept}` : '';
      const words = outcome.state === 'waiting' ? outcome.reason : `${outcome.state}${kept}`;
      looked.set(id, words);
      if (told.get(id) !== words) log.info('branch_looked_at', { task: id, branch, outcome: words });
    }
    told = looked;
  }

  async function live(): Promise<void> {
    while (!stop.signal.aborted) {
      const begunMs = performance.now();
      try {
        await look();
        trouble = undefined;
      } catch (error) {
        if (stop.signal.aborted) return;
        const reason = error instanceof Error ? error.message : String(error);
        if (trouble !== reason) log.warn('looks_at_no_merges', { reason });
        trouble = reason;
      }
      const tookMs = performance.now() - begunMs;
      const restMs = Math.max(everyMs, Math.min(3 * tookMs, longestBetweenLooksMs));
      await sleep(restMs, undefined, { signal: stop.signal }).catch(() => {});
    }
  }
  const living = live();

  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      const late = setTimeout(() => end.abort(), giveBackMs);
      await living;
      clearTimeout(late);
    },
  };
}
