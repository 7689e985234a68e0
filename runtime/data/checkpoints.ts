/**
 * Moves what lies in the log of a database (SQLite's WAL) into the database itself. By itself SQLite does so with the commit that makes
 * the log too long, which takes 40 ms and more in which the thread that commits serves nobody: so another thread does it.
 */
import { performance } from 'node:perf_hooks';

import type { Database } from '../database.ts';
import { Link } from '../link.ts';

/**
 * Pages (of 4 KB) that begin a checkpoint. It writes each page once, however often that was changed, so not too often; and meanwhile
 * commits wait longer for the disk, so not too much at once.
 */
export const worthPages = 4_000;
/**
 * A thread beside a writer that never rests does not come to the end of the log, so that it grows: when it is so long, the one who
 * commits moves the rest, which takes some 30 ms.
 */
export const longPages = 32_000;
/** Where the thread does not keep up, SQLite does it by itself. */
const mostPages = 2 * longPages;
/** To look takes 10 µs. */
const lookEveryMs = 20;
/**
 * When nothing was to be done for so long, the thread gives back what the log took of the disk, and ends; it takes some 25 MB. SQLite
 * would give it back with the commit that begins the log anew (`journal_size_limit`): that takes 20 to 70 ms, each time.
 */
const idleMs = 10_000;

/** Of the thread. It is at work for a part of a second; longer than `leaveMs` only where the disk does not answer. */
export const states = { free: 0, atWork: 1, closed: 2 } as const;
const leaveMs = 5_000;

/** What the thread is told. */
export interface CheckpointPlace {
  readonly file: string;
  /** One of `states`, which both change. */
  readonly state: Int32Array<SharedArrayBuffer>;
}

type CheckpointLink = Link<{ checkpoint(): void; rest(): void }>;

const program = new URL('checkpoint-thread.ts', import.meta.url);

export class Checkpoints {
  readonly #database: Database;
  readonly #state;
  #lookedAtMs = 0;
  readonly #place: CheckpointPlace;
  #thread: CheckpointLink | undefined;
  #isAtWork = false;
  /** Whether the thread has just moved all of a long log but what was written meanwhile. */
  #isEnding = false;
  #idle: NodeJS.Timeout | undefined;

  constructor(database: Database) {
    database.pragma(`wal_autocheckpoint = ${mostPages}`);
    this.#database = database;
    this.#place = { file: database.name, state: new Int32Array(new SharedArrayBuffer(4)) };
    const close = database.close.bind(database);
    database.close = () => {
      this.#leave();
      return close();
    };
    this.#state = database.prepare<[], { log: number; checkpointed: number }>('PRAGMA wal_checkpoint(NOOP)');
  }

  /** Whoever closes the database may remove its folder next: then the thread has to be out of it, and come back no more. */
  #leave(): void {
    const { state } = this.#place;
    if (Atomics.compareExchange(state, 0, states.free, states.closed) !== states.atWork) return;
    Atomics.wait(state, 0, states.atWork, leaveMs);
    Atomics.compareExchange(state, 0, states.free, states.closed);
  }

  /**
   * Called after each commit, outside of a transaction. Never throws: what kept the log from being moved (a full disk) keeps nothing from
   * the log, which holds all that was written, and is moved later.
   */
  committed(): void {
    if (this.#isAtWork) return;
    try {
      this.#look();
    } catch {}
  }

  #look(): void {
    if (this.#isEnding) {
      this.#isEnding = false;
      this.#database.pragma('wal_checkpoint(PASSIVE)');
      return;
    }
    const nowMs = performance.now();
    if (nowMs - this.#lookedAtMs < lookEveryMs) return;
    this.#lookedAtMs = nowMs;
    const { log, checkpointed } = this.#state.get() ?? { log: 0, checkpointed: 0 };
    if (log - checkpointed >= worthPages) void this.#begin(log);
  }

  async #begin(log: number): Promise<void> {
    this.#isAtWork = true;
    clearTimeout(this.#idle);
    this.#thread ??= new Link(program, this.#place, () => {});
    const thread = this.#thread;
    try {
      await thread.ask('checkpoint', undefined);
      this.#isEnding = log >= longPages;
    } catch {
      // As in `committed`.
    }
    this.#isAtWork = false;
    if (thread.gone) this.#thread = undefined;
    this.#idle = setTimeout(() => {
      this.#thread = undefined;
      void this.#rest(thread);
    }, idleMs).unref();
  }

  async #rest(thread: CheckpointLink): Promise<void> {
    await using ended = thread;
    // Where it fails, the log is as long as it was.
    await ended.ask('rest', undefined).catch(() => {});
  }
}
