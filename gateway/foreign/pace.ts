/** How many messages a foreign server may send that nobody waits for: more would hold the process, and all others in it. */
const mostAtOnce = 200;
const mostASecond = 1_000;

export class Pace {
  #spare = mostAtOnce;
  #atMs = performance.now();

  /** After so many of them. @returns how long it has to wait before the next one is taken. */
  restMs(count: number): number {
    const nowMs = performance.now();
    const since = ((nowMs - this.#atMs) / 1_000) * mostASecond;
    this.#spare = Math.min(mostAtOnce, this.#spare + since) - count;
    this.#atMs = nowMs;
    return this.#spare >= 0 ? 0 : Math.ceil((-this.#spare / mostASecond) * 1_000);
  }
}
