/**
 * Hands rounds to the thread that writes, one after the other. Whoever polls never waits: when the disk is slow or full, rounds wait
 * in a line, and when that is full the oldest are dropped and counted.
 */
import type { Log } from '#runtime/account/log.ts';
import { Link } from '#runtime/link.ts';

import type { Uptime } from './history.ts';
import type { KeeperHandlers, KeeperSettings, Kept, Round } from './keeper-thread.ts';

/** Ten minutes of rounds, a few megabytes. */
const mostWaiting = 600;
/** A round that is at the disk for longer than this is told. */
const slowMs = 5_000;
/** A round that failed is tried again after this long. */
const retryMs = 1_000;
/** When health stops, so long is waited for what is not written yet. */
const stopMs = 2_000;

export class Keeper implements AsyncDisposable {
  readonly #settings: KeeperSettings;
  readonly #log: Log;
  readonly #elapsedMs: () => number;
  #link: Link<KeeperHandlers>;
  #waiting: Round[] = [];
  #sending: Promise<void> | undefined;
  #sentAtMs: number | undefined;
  #retry: NodeJS.Timeout | undefined;
  #isStopping = false;
  #failure: string | undefined;
  #dropped = 0;
  #troubles: readonly string[] = [];
  #uptimes: ReadonlyMap<string, Uptime> = new Map();

  constructor(settings: KeeperSettings, log: Log, elapsedMs: () => number = () => performance.now()) {
    this.#settings = settings;
    this.#log = log;
    this.#elapsedMs = elapsedMs;
    this.#link = this.#open();
  }

  #open(): Link<KeeperHandlers> {
    return new Link(new URL('keeper-thread.ts', import.meta.url), this.#settings, () => {});
  }

  /** Why nothing is written now; `undefined` when all is well. */
  get trouble(): string | undefined {
    if (this.#failure !== undefined) return 'the history cannot be written';
    const isSlow = this.#sentAtMs !== undefined && this.#elapsedMs() - this.#sentAtMs > slowMs;
    return isSlow ? 'the history is not written: the disk does not answer' : undefined;
  }

  /** What a person should look at in the audit trails. */
  get troubles(): readonly string[] {
    return this.#troubles;
  }

  get uptimes(): ReadonlyMap<string, Uptime> {
    return this.#uptimes;
  }

  /** Rounds that were never written, and rounds that wait. */
  get dropped(): number {
    return this.#dropped;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  keep(round: Round): void {
    this.#waiting.push(round);
    if (this.#waiting.length > mostWaiting) this.#drop();
    this.#send();
  }

  /** The oldest goes, but not what changed in it; the one that is at the disk stays. */
  #drop(): void {
    const oldest = this.#sending ? 1 : 0;
    const [dropped] = this.#waiting.splice(oldest, 1);
    const next = this.#waiting[oldest];
    if (dropped && next) this.#waiting[oldest] = { ...next, changes: [...dropped.changes, ...next.changes] };
    if (this.#dropped === 0) this.#log.warn('history_dropped', { waiting: this.#waiting.length });
    this.#dropped += 1;
  }

  #send(): void {
    if (this.#sending || this.#retry) return;
    this.#sending = this.#sendAll().finally(() => {
      this.#sending = undefined;
    });
  }

  async #sendAll(): Promise<void> {
    for (let round = this.#waiting[0]; round; round = this.#waiting[0]) {
      this.#sentAtMs = this.#elapsedMs();
      try {
        if (this.#link.gone) this.#link = this.#open();
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        this.#took(await this.#link.ask('keep', { round }));
        this.#waiting.shift();
      } catch (error) {
        this.#failed(error);
        return;
      } finally {
        this.#sentAtMs = undefined;
      }
    }
  }

  #took({ troubles, uptimes }: Kept): void {
    this.#failure = undefined;
    this.#troubles = troubles;
    if (uptimes) this.#uptimes = uptimes;
  }

  /** A full disk must not end the polling: what is known now stays true, and `/ready` tells of it. */
  #failed(error: unknown): void {
    if (this.#isStopping) return;
    if (this.#failure === undefined) this.#log.error('history_not_written', { error });
    this.#failure = String(error);
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#send();
    }, retryMs);
    this.#retry.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#retry);
    const late = new Promise<void>((done) => {
      setTimeout(done, stopMs).unref();
    });
    await Promise.race([this.#sending, late]);
    await Promise.race([this.#link[Symbol.asyncDispose](), late]);
  }
}
