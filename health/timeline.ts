/**
 * Time as health counts it. What lies between two moments is measured by a clock that is never set; only to name a moment is the
 * host's clock asked. So a clock that jumps makes no outage, no old poll and no negative duration.
 */
import { performance } from 'node:perf_hooks';

/** A difference that grows to this is no drift but a clock that was set. */
const jumpMs = 1_000;

export class Timeline {
  /** Milliseconds by a clock that is never set. */
  readonly elapsedMs: () => number;
  readonly #now: () => number;
  #offsetMs: number;
  #jumps = 0;

  constructor(now: () => number, elapsedMs: () => number = () => performance.now()) {
    this.#now = now;
    this.elapsedMs = elapsedMs;
    this.#offsetMs = now() - elapsedMs();
  }

  /** How often the host's clock was set. */
  get jumps(): number {
    return this.#jumps;
  }

  /** The moment, in milliseconds since the epoch: by the host's clock as it is set now. */
  dateMs(momentMs: number = this.elapsedMs()): number {
    const offsetMs = this.#now() - this.elapsedMs();
    if (Math.abs(offsetMs - this.#offsetMs) > jumpMs) {
      this.#offsetMs = offsetMs;
      this.#jumps += 1;
    }
    return Math.round(momentMs + this.#offsetMs);
  }

  iso(momentMs: number): string {
    return new Date(this.dateMs(momentMs)).toISOString();
  }
}
