/**
 * Threads for work that cannot be done step by step, such as a regular expression: few, of low priority, and of one caller
 * one at a time, so that whoever brings much of it waits for himself. Work that takes too long is stopped with its thread.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

import type { EntriesDiff, EntriesJob } from '../compress/line-diff.ts';
import type { GrepJob, GrepResult } from './grep.ts';

export type Job = GrepJob | EntriesJob;
export type Outcome = GrepResult | EntriesDiff;

interface Waiting {
  readonly caller: string;
  begin(worker: Worker): void;
}

export interface ThreadLimits {
  readonly threads: number;
  /** What a job may compute. */
  readonly cpuMs: number;
  /** How long one waits for a thread, and how many of one caller. */
  readonly waitMs: number;
  readonly waitingPerCaller: number;
}

const usual: ThreadLimits = { threads: 3, cpuMs: 2_000, waitMs: 10_000, waitingPerCaller: 8 };
const memoryMb = 256;
/** A thread with nothing to do ends then. */
const idleMs = 60_000;
/** How often the time that a job has computed is looked at. */
const lookMs = 100;

export function openThreads({ threads: most, cpuMs, waitMs, waitingPerCaller } = usual) {
  const waiting: Waiting[] = [];
  const running = new Set<string>();
  const idle: { readonly worker: Worker; readonly end: NodeJS.Timeout }[] = [];
  /** All threads, and when each is loaded. */
  const all = new Map<Worker, Promise<unknown>>();
  let isClosed = false;

  function start(): Worker {
    const worker = new Worker(new URL('thread.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: memoryMb },
    });
    // Told to whoever waits for its answer; an error that nobody waits for would end the process.
    worker.on('error', () => {});
    worker.once('exit', () => {
      all.delete(worker);
      serveNext();
    });
    const loaded = once(worker, 'message');
    loaded.catch(() => {});
    all.set(worker, loaded);
    return worker;
  }

  function serveNext(): void {
    if (isClosed) return;
    while (idle.length > 0 || all.size < most) {
      const at = waiting.findIndex(({ caller }) => !running.has(caller));
      const [next] = at < 0 ? [] : waiting.splice(at, 1);
      if (!next) return;
      running.add(next.caller);
      const rested = idle.pop();
      clearTimeout(rested?.end);
      next.begin(rested?.worker ?? start());
    }
  }

  function rest(worker: Worker): void {
    worker.unref();
    const end = setTimeout(() => {
      idle.splice(
        idle.findIndex((each) => each.worker === worker),
        1,
      );
      void worker.terminate();
    }, idleMs).unref();
    idle.push({ worker, end });
  }

  /** A place in the line and then a thread. @throws ToolError unavailable. */
  async function threadFor({ caller, signal }: Pick<Call, 'caller' | 'signal'>): Promise<Worker> {
    if (waiting.filter((each) => each.caller === caller).length >= waitingPerCaller) throw busy(waitMs);
    const { promise, resolve, reject } = Promise.withResolvers<Worker>();
    const entry = { caller, begin: resolve };
    const leave = (error: Error) => {
      const at = waiting.indexOf(entry);
      if (at < 0) return;
      waiting.splice(at, 1);
      reject(error);
    };
    const timer = setTimeout(() => leave(busy(waitMs)), waitMs);
    const gone = () => leave(signal.reason as Error);
    signal.addEventListener('abort', gone);
    waiting.push(entry);
    serveNext();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', gone);
    }
  }

  return {
    /** @throws ToolError timeout when it computes too long, too_large when it takes too much memory, unavailable when others wait. */
    async run<Result extends Outcome>(job: Job, call: Pick<Call, 'caller' | 'signal'>): Promise<Result> {
      const worker = await threadFor(call);
      worker.ref();
      try {
        await all.get(worker);
        const result = await resultOf<Result>(worker, job, cpuMs, call.signal);
        rest(worker);
        return result;
      } catch (error) {
        void worker.terminate();
        throw error;
      } finally {
        running.delete(call.caller);
        serveNext();
      }
    },

    [Symbol.dispose]() {
      isClosed = true;
      for (const worker of all.keys()) void worker.terminate();
    },
  };
}

async function resultOf<Result>(
  worker: Worker,
  job: Job,
  cpuMs: number,
  signal: AbortSignal,
): Promise<Result> {
  const { promise, resolve, reject } = Promise.withResolvers<Result>();
  let startedAt: NodeJS.CpuUsage | undefined;
  // Time of the processor: a thread of low priority gets little of it while others have work.
  const lookAt = async () => {
    const used = await worker.cpuUsage(startedAt);
    if (!startedAt) startedAt = used;
    else if (used.user + used.system > 1_000 * cpuMs) reject(tooLong());
  };
  const look = setInterval(() => {
    // Of a thread that has just ended nothing can be asked.
    lookAt().catch(() => {});
  }, lookMs);
  const gone = () => reject(signal.reason as Error);
  const broke = (error: Error & { code?: string }) => {
    // Some patterns are found to be too large only when they are used.
    const isTooLarge = error.name === 'SyntaxError' || error.name === 'RangeError';
    reject(isTooLarge || error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? tooMuch() : error);
  };
  worker.once('message', resolve);
  worker.once('error', broke);
  signal.addEventListener('abort', gone);
  if (signal.aborted) gone();
  worker.postMessage(job); // oxlint-disable-line unicorn/require-post-message-target-origin -- a thread, not a window
  try {
    return await promise;
  } finally {
    clearInterval(look);
    signal.removeEventListener('abort', gone);
    worker.off('message', resolve);
    worker.off('error', broke);
  }
}

const busy = (waitMs: number) =>
  new ToolError('unavailable', 'Other searches are running, and this one has waited for long.', {
    hint: `Try again in ${waitMs / 1_000} s.`,
    retryAfterMs: waitMs,
  });

const tooLong = () =>
  new ToolError('timeout', 'This takes too long on this text.', {
    hint: 'Write a pattern without repetitions inside repetitions, or search for plain words.',
  });

const tooMuch = () =>
  new ToolError('too_large', 'This takes too much memory on this text.', {
    hint: 'Write a pattern with fewer repetitions, or search for plain words.',
  });
