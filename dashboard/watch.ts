/** What is known of the fleet now, and what was known last while health does not answer. */
import type { Overview } from '#runtime/process/overview.ts';

import type { Reading } from './document-client.ts';

export interface Known {
  /** The last that was read, however long ago; `undefined` when nothing ever was. */
  readonly overview: Overview | undefined;
  /** Why health does not answer now, and since when. */
  readonly failure: string | null;
  readonly failingSince: string | null;
}

interface Kept {
  readonly atMs: number;
  readonly known: Known;
}

/** Who asks again so soon gets the same. */
const freshMs = 900;
/** Details that are older than all else by more than this are not shown any more. */
const staleDetailsMs = 4_000;

export class Watch {
  readonly #read: (name?: string) => Promise<Reading>;
  readonly #now: () => number;
  /** By the process whose details came along; empty for none. */
  readonly #kept = new Map<string, Kept>();
  readonly #reading = new Map<string, Promise<Known>>();
  #newest: Overview | undefined;
  #failingSinceMs: number | undefined;

  constructor(read: (name?: string) => Promise<Reading>, now: () => number) {
    this.#read = read;
    this.#now = now;
  }

  /** Asks health, unless it was asked a moment ago. With details of one process, where its name is given. */
  async known(name?: string, oldestMs = freshMs): Promise<Known> {
    const key = name ?? '';
    const kept = this.#kept.get(key);
    if (kept && Math.abs(this.#now() - kept.atMs) < oldestMs) return kept.known;
    const reading = this.#reading.get(key) ?? this.#ask(key, name).finally(() => this.#reading.delete(key));
    this.#reading.set(key, reading);
    return reading;
  }

  async #ask(key: string, name: string | undefined): Promise<Known> {
    const reading = await this.#read(name);
    const atMs = this.#now();
    if (reading.overview) {
      this.#failingSinceMs = undefined;
      this.#newest = reading.overview;
    } else this.#failingSinceMs ??= atMs;
    const since = this.#failingSinceMs;
    const known: Known = reading.overview
      ? { overview: reading.overview, failure: null, failingSince: null }
      : {
          overview: this.#last(key),
          failure: reading.failure,
          failingSince: since === undefined ? null : new Date(since).toISOString(),
        };
    this.#kept.set(key, { atMs, known });
    return known;
  }

  /** The details that were asked for, unless newer is known: what a process was long before health fell silent misleads. */
  #last(key: string): Overview | undefined {
    const own = this.#kept.get(key)?.known.overview;
    if (!own || !this.#newest) return this.#newest;
    return Date.parse(this.#newest.at) - Date.parse(own.at) > staleDetailsMs ? this.#newest : own;
  }
}
