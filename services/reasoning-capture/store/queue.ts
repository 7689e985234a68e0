/**
 * What waits to be written. A group is closed when the commit before it returns, and takes what is there: of each token in turn, so
 * that the batches of one do not keep the single steps of another waiting. It is bounded: what does not fit is refused with when to
 * come again, and counted.
 */
import { ToolError } from '#runtime/errors.ts';

import {
  maxQueueBytes,
  maxQueueBytesPerToken,
  maxQueueCalls,
  maxQueueCallsPerToken,
  stepsPerGroup,
} from '../limits.ts';
import type { Result, Submission } from './submission.ts';

interface Waiting {
  readonly submission: Submission;
  readonly steps: number;
  readonly bytes: number;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
}

interface Line {
  readonly waiting: Waiting[];
  bytes: number;
}

/** A group with so many steps does not wait for the one before: its commit takes longer than the way to the thread. */
const large = 1_000;

export interface Counts {
  /** Steps that are stored. */
  accepted: number;
  duplicates: number;
  /** Steps that were refused one by one. */
  rejected: number;
  /** Calls that found no room. */
  refused: number;
  commits: number;
}

export function openQueue(write: (submissions: readonly Submission[]) => Promise<Result[]>) {
  const lines = new Map<string, Line>();
  const counts: Counts = { accepted: 0, duplicates: 0, rejected: 0, refused: 0, commits: 0 };
  let [calls, bytesInAll, inFlight] = [0, 0, 0];
  let isPlanned = false;
  let busySinceMs = 0;

  function refuse(message: string): ToolError {
    counts.refused += 1;
    return new ToolError('unavailable', message, {
      hint: 'Nothing was stored: send the same again in a second, and less at once.',
      retryAfterMs: 1_000,
    });
  }

  function close(): Waiting[] {
    const group: Waiting[] = [];
    let steps = 0;
    while (lines.size > 0 && steps < stepsPerGroup) {
      for (const [owner, line] of lines) {
        const next = line.waiting[0];
        if (!next || (steps > 0 && steps + next.steps > stepsPerGroup)) {
          steps = stepsPerGroup;
          break;
        }
        line.waiting.shift();
        line.bytes -= next.bytes;
        group.push(next);
        steps += next.steps;
        // Who was served last stands last.
        lines.delete(owner);
        if (line.waiting.length > 0) lines.set(owner, line);
        if (steps >= stepsPerGroup) break;
      }
    }
    return group;
  }

  async function commit(group: readonly Waiting[]): Promise<void> {
    try {
      const results = await write(group.map(({ submission }) => submission));
      counts.commits += 1;
      for (const [at, one] of group.entries()) settle(one, results[at]);
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }

  function send(): void {
    isPlanned = false;
    if (inFlight > 1 || calls === 0) return;
    if (inFlight === 1) {
      let steps = 0;
      for (const { waiting } of lines.values()) for (const one of waiting) steps += one.steps;
      if (steps < large) return;
    }
    const group = close();
    const bytes = group.reduce((sum, one) => sum + one.bytes, 0);
    inFlight += 1;
    if (inFlight === 1) busySinceMs = performance.now();
    void commit(group).finally(() => {
      calls -= group.length;
      bytesInAll -= bytes;
      inFlight -= 1;
      busySinceMs = performance.now();
      send();
    });
  }

  return {
    counts,

    /** @throws ToolError `unavailable` when there is no room; what the writer refuses it with. */
    async add<Value>(submission: Submission, steps: number, bytes: number): Promise<Value> {
      const line = lines.get(submission.owner) ?? { waiting: [], bytes: 0 };
      const isFullForToken =
        line.waiting.length >= maxQueueCallsPerToken ||
        (line.waiting.length > 0 && line.bytes + bytes > maxQueueBytesPerToken);
      if (isFullForToken) throw refuse(`Too much of the token "${submission.owner}" waits to be written.`);
      if (calls >= maxQueueCalls || (calls > 0 && bytesInAll + bytes > maxQueueBytes))
        throw refuse('Too much waits to be written.');
      const { promise, resolve, reject } = Promise.withResolvers<Value>();
      line.waiting.push({ submission, steps, bytes, resolve, reject });
      line.bytes += bytes;
      if (line.waiting.length === 1) lines.set(submission.owner, line);
      calls += 1;
      bytesInAll += bytes;
      // What comes in the same turn goes together.
      if (!isPlanned && inFlight < 2) {
        isPlanned = true;
        setImmediate(send);
      }
      return promise;
    },

    /** Calls and bytes that wait or are being written. */
    waiting: () => ({ calls, bytes: bytesInAll }),
    /** Since when the thread has been writing without an end, in milliseconds. */
    stuckMs: () => (inFlight === 0 ? 0 : performance.now() - busySinceMs),
  };
}

function settle({ resolve, reject }: Waiting, result: Result | undefined): void {
  if (!result) reject(new Error('The writer gave no result.'));
  else if ('failure' in result) {
    const { code, message, hint } = result.failure;
    reject(new ToolError(code, message, { hint }));
  } else resolve(result.value as never);
}
