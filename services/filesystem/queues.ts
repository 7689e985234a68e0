/** Who waits for whom: changes of the same paths for each other, and heavy work for a place, both fairly by caller. */
import { performance } from 'node:perf_hooks';

import { ToolError } from '#runtime/errors.ts';
import { plainName } from '#runtime/roots.ts';
import type { Call } from '#runtime/tool.ts';

import { repositoryParts } from './repository.ts';

type Waiter = Pick<Call, 'signal' | 'caller'>;

interface Claim {
  readonly keys: readonly string[];
  readonly caller: string;
  readonly begin: () => void;
  readonly isOver: Promise<void>;
  /** Those that wait for this one, among others. */
  readonly behind: Claim[];
  /** How many it waits for. */
  ahead: number;
  /** How many of them are its own caller's. */
  ownAhead: number;
}

/**
 * Lets work wait for what touches one of its paths, one above it or one below it. It has all of its paths or none. Callers
 * take turns, and what one caller brings is done in order.
 */
export class PathQueue {
  /** At work or waiting. Each waits for those before it that touch it, so nobody waits for each other. */
  readonly #claims: Claim[] = [];

  async run<Value>(
    paths: readonly string[],
    { signal, caller }: Waiter,
    work: () => Promise<Value>,
  ): Promise<Value> {
    const { promise: turn, resolve: begin } = Promise.withResolvers<void>();
    const { promise: isOver, resolve: end } = Promise.withResolvers<void>();
    const claim: Claim = { keys: claimed(paths), caller, begin, isOver, behind: [], ahead: 0, ownAhead: 0 };
    this.#add(claim);
    try {
      if (claim.ahead > 0) await orStopped(turn, signal);
      signal.throwIfAborted();
      return await work();
    } finally {
      this.#remove(claim);
      end();
    }
  }

  /**
   * A claim goes before those of other callers that wait for more of their own caller's. These numbers only fall, and nothing
   * goes before a claim that waits for none of its own caller's: so each has its turn at last.
   */
  #add(claim: Claim): void {
    const touching = this.#claims.filter((other) => touch(other.keys, claim.keys));
    const own = touching.filter(({ caller }) => caller === claim.caller).length;
    const last = touching.findLast((other) => other.caller === claim.caller || other.ownAhead <= own);
    const before = last ? touching.indexOf(last) + 1 : 0;
    for (const other of touching.slice(0, before)) follow(claim, other);
    for (const other of touching.slice(before)) follow(other, claim);
    this.#claims.splice(last ? this.#claims.indexOf(last) + 1 : 0, 0, claim);
  }

  #remove(claim: Claim): void {
    this.#claims.splice(this.#claims.indexOf(claim), 1);
    for (const other of claim.behind) {
      other.ahead -= 1;
      if (other.caller === claim.caller) other.ownAhead -= 1;
      if (other.ahead === 0) other.begin();
    }
  }

  /** When all that came so far is over. */
  async settled(): Promise<void> {
    await Promise.all(this.#claims.map(({ isOver }) => isOver));
  }
}

function follow(claim: Claim, other: Claim): void {
  other.behind.push(claim);
  claim.ahead += 1;
  if (other.caller === claim.caller) claim.ownAhead += 1;
}

/** More would take long to compare: then it is all below the folder that they have in common. */
const maxKeys = 16;

function claimed(paths: readonly string[]): readonly string[] {
  const keys = [...new Set(paths.map(keyOf))];
  return keys.length > maxKeys ? [keys.reduce(commonFolder)] : keys;
}

/**
 * In one spelling, since some file systems know no other, with a slash at the end. Parts that together make a folder a
 * repository are made one after the other.
 */
function keyOf(path: string): string {
  const names = path.split('/').map(plainName);
  const part = names.findIndex((name) => repositoryParts.some((part) => part.toLowerCase() === name));
  return `${(part < 0 ? names : names.slice(0, part)).join('/')}/`;
}

function commonFolder(one: string, other: string): string {
  let end = 0;
  while (end < one.length && one[end] === other[end]) end += 1;
  return one.slice(0, one.lastIndexOf('/', end - 1) + 1);
}

const touch = (some: readonly string[], others: readonly string[]) =>
  some.some((one) => others.some((other) => one.startsWith(other) || other.startsWith(one)));

async function orStopped<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
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
    if (this.#hasPlace(caller)) this.#enter(caller);
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

  #hasPlace(caller: string): boolean {
    return this.#running < this.#width.inAll && (this.#atWork.get(caller) ?? 0) < this.#width.perCaller;
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
      if (!this.#hasPlace(next)) continue;
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
