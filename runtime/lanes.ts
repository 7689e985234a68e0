/** Who waits for whom: heavy work for a place, fairly by caller. */
import { performance } from 'node:perf_hooks';

import { ToolError } from './errors.ts';
import type { Call } from './tool.ts';

type Waiter = Pick<Call, 'signal' | 'caller'>;

/** The promise, or what the signal was aborted with. */
export async function orStopped<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  const stop = () => reject(signal.reason as Error);
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await Promise.race([promise, stopped]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

export interface Width {
  readonly perCaller: number;
  readonly inAll: number;
  /** Of all callers. */
  readonly waiting: number;
  /** Up to so many in all, a caller who has nothing at work does not wait for others. */
  readonly firsts?: number;
}

/** Calls are told to come again no sooner and no later than this. */
const soonestMs = 1_000;
const latestMs = 30_000;
/** How much the last duration counts in the average. */
const weight = 0.2;

/** Runs so much at a time, of one caller and of all; whoever waits is served in order, one caller after the other. */
export class Lane {
  readonly #width: Width;
  readonly #atWork = new Map<string, number>();
  /** Who waits, the caller who was served last at the end. */
  readonly #lines = new Map<string, (() => void)[]>();
  #running = 0;
  #waiting = 0;
  #meanMs = 0;

  constructor(width: Width) {
    this.#width = width;
  }

  /** @throws ToolError `unavailable` when too many wait. */
  async run<Value>({ signal, caller }: Waiter, work: () => Promise<Value>): Promise<Value> {
    if (this.hasPlace(caller)) this.#enter(caller);
    else await this.#wait(caller, signal);
    const startedAtMs = performance.now();
    try {
      signal.throwIfAborted();
      return await work();
    } finally {
      this.#meanMs += weight * (performance.now() - startedAtMs - this.#meanMs);
      this.#leave(caller);
    }
  }

  /** Whether the caller would be at work at once. */
  hasPlace(caller: string): boolean {
    const { perCaller, inAll, firsts = 0 } = this.#width;
    const own = this.#atWork.get(caller) ?? 0;
    return own < perCaller && this.#running < (own === 0 ? Math.max(inAll, firsts) : inAll);
  }

  #enter(caller: string): void {
    this.#running += 1;
    this.#atWork.set(caller, (this.#atWork.get(caller) ?? 0) + 1);
  }

  /** The place goes to the first who may have it. */
  #leave(caller: string): void {
    const left = (this.#atWork.get(caller) ?? 1) - 1;
    this.#running -= 1;
    if (left === 0) this.#atWork.delete(caller);
    else this.#atWork.set(caller, left);
    for (const [next, line] of this.#lines) {
      if (!this.hasPlace(next)) continue;
      this.#lines.delete(next);
      if (line.length > 1) this.#lines.set(next, line);
      this.#waiting -= 1;
      this.#enter(next);
      line.shift()?.();
      return;
    }
  }

  /** Returns with a place. */
  async #wait(caller: string, signal: AbortSignal): Promise<void> {
    if (this.#waiting >= this.#width.waiting) throw this.#full();
    const { promise, resolve } = Promise.withResolvers<void>();
    const line = this.#lines.get(caller) ?? [];
    line.push(resolve);
    this.#lines.set(caller, line);
    this.#waiting += 1;
    try {
      await orStopped(promise, signal);
    } catch (error) {
      const index = line.indexOf(resolve);
      if (index < 0) this.#leave(caller);
      else {
        line.splice(index, 1);
        this.#waiting -= 1;
        if (line.length === 0) this.#lines.delete(caller);
      }
      throw error;
    }
  }

  #full(): ToolError {
    const rounds = (this.#waiting + 1) / this.#width.inAll;
    const retryAfterMs = Math.min(Math.max(Math.ceil(rounds * this.#meanMs), soonestMs), latestMs);
    return new ToolError('unavailable', `${this.#waiting} calls wait already.`, {
      hint: `Try again in ${Math.ceil(retryAfterMs / 1_000)} s, and send fewer calls at once.`,
      retryAfterMs,
    });
  }
}
