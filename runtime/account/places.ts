/**
 * How many calls of one caller may be at work at once. Work that ends at once needs no place; of work that takes its time, so
 * much goes on side by side, so much waits in order, and the rest is told when to try again. Others are not affected.
 */
import { cancelled, ToolError } from '../errors.ts';

const mostAtWork = 8;
/** So many wait whatever they wait for, and more while the last of them can expect its place within `patienceMs`. */
const mostWaiting = 128;
const mostWaitingBriefly = 1_024;
const patienceMs = 30_000;
/** Calls are told to come again no sooner and no later than this. */
const soonestMs = 1_000;
const latestMs = 30_000;
/** Where no call has ended for so long, the pace is that of those at work. */
const stalledMs = 2_000;
/** How much the last interval counts in the average: calls that waited for one commit end together, and then none for a while. */
const weight = 0.02;

interface Desk {
  /** The names of what is at work. */
  readonly atWork: string[];
  readonly waiting: (() => void)[];
  /** Between the ends of two calls: the average, and the last end. */
  intervalMs: number;
  endedAtMs: number;
}

export class Places {
  readonly #desks = new Map<string, Desk>();
  /** What ended since it was last asked. */
  #ended = new Set<string>();

  /** Calls that wait, of all callers. */
  get waiting(): number {
    let count = 0;
    for (const desk of this.#desks.values()) count += desk.waiting.length;
    return count;
  }

  /** What was at work since this was last asked. */
  namesSince(): readonly string[] {
    const names = this.#ended;
    this.#ended = new Set();
    for (const { atWork } of this.#desks.values()) for (const name of atWork) names.add(name);
    return [...names];
  }

  /** Whether a call of this caller has to wait. */
  areTaken(caller: string): boolean {
    const desk = this.#desks.get(caller);
    return desk !== undefined && (desk.atWork.length >= mostAtWork || desk.waiting.length > 0);
  }

  /** Takes a place for work that goes on. @returns how it is given back. */
  take(caller: string, name: string): () => void {
    let desk = this.#desks.get(caller);
    if (!desk) {
      desk = { atWork: [], waiting: [], intervalMs: 0, endedAtMs: performance.now() };
      this.#desks.set(caller, desk);
    }
    return this.#seat(caller, desk, name);
  }

  /**
   * A place as soon as one is free, and how it is given back.
   *
   * @param whenGone told what to do when the call ends before that; returns how to unsay it.
   * @throws ToolError `unavailable` when too many wait; `cancelled`.
   */
  async wait(caller: string, name: string, whenGone: (act: () => void) => () => void): Promise<() => void> {
    const desk = this.#desks.get(caller);
    if (!desk) return this.take(caller, name);
    const sinceMs = performance.now() - desk.endedAtMs;
    const eachMs = Math.max(desk.intervalMs, sinceMs > stalledMs ? sinceMs / mostAtWork : 0);
    const expectedMs = (desk.waiting.length + 1) * eachMs;
    if (desk.waiting.length >= (expectedMs < patienceMs ? mostWaitingBriefly : mostWaiting)) {
      const retryAfterMs = Math.min(Math.max(Math.ceil(expectedMs), soonestMs), latestMs);
      throw new ToolError('unavailable', `${desk.waiting.length} calls with this token wait already.`, {
        hint: `Try again in ${Math.ceil(retryAfterMs / 1_000)} s, and send fewer calls at once.`,
        retryAfterMs,
      });
    }
    return new Promise((resolve, reject) => {
      const begin = () => {
        forget();
        resolve(this.#seat(caller, desk, name));
      };
      const forget = whenGone(() => {
        forget();
        const at = desk.waiting.indexOf(begin);
        if (at >= 0) desk.waiting.splice(at, 1);
        reject(cancelled());
      });
      desk.waiting.push(begin);
    });
  }

  /** Given back, which may be said twice, the place goes to the one who waits longest. */
  #seat(caller: string, desk: Desk, name: string): () => void {
    desk.atWork.push(name);
    let isLeft = false;
    return () => {
      if (isLeft) return;
      isLeft = true;
      const nowMs = performance.now();
      desk.intervalMs += weight * (nowMs - desk.endedAtMs - desk.intervalMs);
      desk.endedAtMs = nowMs;
      desk.atWork.splice(desk.atWork.indexOf(name), 1);
      this.#ended.add(name);
      desk.waiting.shift()?.();
      if (desk.atWork.length === 0) this.#desks.delete(caller);
    };
  }
}
