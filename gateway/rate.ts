/** How many calls a token may make, as its record says. Pure: whoever asks says what time it is. */
import { parseRate, type Rate } from '#runtime/access/rate.ts';

/** So many calls at once, and then each as its time comes. */
export class Bucket {
  readonly #rate: Rate;
  #left: number;
  #atMs: number;

  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate;
    this.#left = rate.calls;
    this.#atMs = nowMs;
  }

  /** Takes one. @returns 0, or after how many milliseconds there is one; then none was taken. */
  take(nowMs: number): number {
    const { calls, perMs } = this.#rate;
    const passedMs = Math.max(0, nowMs - this.#atMs);
    this.#left = Math.min(calls, this.#left + (passedMs * calls) / perMs);
    this.#atMs = nowMs;
    if (this.#left >= 1) {
      this.#left -= 1;
      return 0;
    }
    return Math.ceil(((1 - this.#left) * perMs) / calls);
  }
}

/** Of tokens that have a limit. A token that is made anew, or with another one, begins anew. */
export class Rates {
  readonly #buckets = new Map<string, Bucket>();

  /** @returns as a bucket does. */
  take({ hash, rate }: { readonly hash: string; readonly rate?: string | undefined }, nowMs: number): number {
    if (rate === undefined) return 0;
    const key = `${hash} ${rate}`;
    let bucket = this.#buckets.get(key);
    if (!bucket) {
      // Of tokens that are gone, some may be left.
      if (this.#buckets.size >= mostBuckets) this.#buckets.clear();
      bucket = new Bucket(parseRate(rate), nowMs);
      this.#buckets.set(key, bucket);
    }
    return bucket.take(nowMs);
  }
}

const mostBuckets = 10_000;
