/** Searches a text in a thread of its own, which is stopped when it takes too long. */
import { Worker } from 'node:worker_threads';

import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

import { grepTimeoutMs, maxGreps } from '../limits.ts';

export interface GrepJob {
  readonly text: string;
  readonly pattern: string;
  readonly flags: string;
  /** The line from which on, from 0, and how many matches at most. */
  readonly fromLine: number;
  readonly limit: number;
}

export interface GrepResult {
  /** Numbers of the lines that match, from 0. */
  readonly lines: readonly number[];
  readonly hasMore: boolean;
}

export function openGrep() {
  let running = 0;

  /** @throws ToolError timeout when the pattern takes too long, unavailable when too many search at once. */
  return async (job: GrepJob, { signal }: Pick<Call, 'signal'>): Promise<GrepResult> => {
    if (running >= maxGreps) {
      throw new ToolError('unavailable', `${maxGreps} searches are running already.`, {
        hint: 'Try again in a moment.',
      });
    }
    running += 1;
    const worker = new Worker(new URL('grep-worker.ts', import.meta.url), {
      workerData: job,
      resourceLimits: { maxOldGenerationSizeMb: 128 },
    });
    try {
      return await answerOf(worker, signal);
    } finally {
      await worker.terminate();
      running -= 1;
    }
  };
}

async function answerOf(worker: Worker, signal: AbortSignal): Promise<GrepResult> {
  const { promise, resolve, reject } = Promise.withResolvers<GrepResult>();
  const timeout = setTimeout(() => {
    reject(
      new ToolError('timeout', 'The pattern takes too long on this text.', {
        hint: 'Write it without repetitions inside repetitions, or search for plain words.',
      }),
    );
  }, grepTimeoutMs);
  const stop = () => reject(signal.reason as Error);
  worker.once('message', resolve);
  worker.once('error', reject);
  signal.addEventListener('abort', stop);
  try {
    return await promise;
  } finally {
    clearTimeout(timeout);
    signal.removeEventListener('abort', stop);
  }
}
