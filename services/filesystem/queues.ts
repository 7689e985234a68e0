/** Who waits for whom: changes of the same paths for each other, fairly by caller. */
import { orStopped } from '#runtime/lanes.ts';
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

  /** Whether nothing at work, and nothing that waits, touches them. */
  isFree(paths: readonly string[]): boolean {
    const keys = claimed(paths);
    return !this.#claims.some((other) => touch(other.keys, keys));
  }

  get isEmpty(): boolean {
    return this.#claims.length === 0;
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

/** In order, so that two claims are compared in one go over both. */
const claimed = (paths: readonly string[]): readonly string[] =>
  [...new Set(paths.map(keyOf))].toSorted(byUnit);

const byUnit = (one: string, other: string) => (one < other ? -1 : 1);

/**
 * In one spelling, since some file systems know no other, with a slash at the end. Parts that together make a folder a
 * repository are made one after the other.
 */
function keyOf(path: string): string {
  const names = path.split('/').map(plainName);
  const part = names.findIndex((name) => repositoryParts.some((part) => part.toLowerCase() === name));
  return `${(part < 0 ? names : names.slice(0, part)).join('/')}/`;
}

/** Both in order: the lesser key touches none of those after the other, which all begin as it does or come later. */
function touch(some: readonly string[], others: readonly string[]): boolean {
  for (let i = 0, j = 0; ;) {
    const [one, other] = [some[i], others[j]];
    if (one === undefined || other === undefined) return false;
    if (one.startsWith(other) || other.startsWith(one)) return true;
    if (one < other) i += 1;
    else j += 1;
  }
}
