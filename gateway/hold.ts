/**
 * Holds an answer that may be too long until it is known whether it is. What is surely short goes on at once, byte for byte;
 * of a stream, each event by itself.
 */

import { setImmediate } from 'node:timers/promises';

/** What is done with a whole result. */
export interface Fitting {
  /** An answer of so many bytes is never too long. */
  readonly freeBytes: number;
  /** @returns what is told in its place; `undefined` where it stays as it is. Never throws. */
  fit(result: Readonly<Record<string, unknown>>): Promise<Readonly<Record<string, unknown>> | undefined>;
  /** An answer was too long to be held. */
  gaveUp(): void;
}

/** What is held at most, of one answer and of all together: what is longer goes on as it is. */
const mostBytes = 4 * 1024 * 1024;
const mostBytesOfAll = 64 * 1024 * 1024;
let heldBytes = 0;

const eventEnd = Buffer.from('\n\n');

export class Hold {
  readonly #fitting: Fitting;
  readonly #isStream: boolean;
  readonly #write: (bytes: Buffer | string) => void;
  #parts: Buffer[] = [];
  #sizeBytes = 0;
  #isTooLong = false;
  /** Events that are looked at, in order. */
  #running: Promise<void> | undefined;

  constructor(fitting: Fitting, isStream: boolean, write: (bytes: Buffer | string) => void) {
    this.#fitting = fitting;
    this.#isStream = isStream;
    this.#write = write;
  }

  /** @returns a promise where no more may come until it is settled. */
  take(chunk: Buffer): Promise<void> | undefined {
    if (this.#isTooLong) {
      this.#write(chunk);
      return undefined;
    }
    this.#parts.push(chunk);
    this.#sizeBytes += chunk.length;
    heldBytes += chunk.length;
    if (this.#isStream && this.#passEvents()) return this.#running;
    if (this.#sizeBytes <= mostBytes && heldBytes <= mostBytesOfAll) return undefined;
    this.#isTooLong = !this.#isStream;
    this.#fitting.gaveUp();
    this.#write(this.#taken());
    return undefined;
  }

  /** Nothing more comes. */
  async end(): Promise<void> {
    await this.#running;
    const rest = this.#taken();
    if (rest.length === 0) return;
    this.#write(this.#isStream ? rest : ((await this.#fitted(rest.toString())) ?? rest));
  }

  /** The answer breaks off: what is held of it is nobody's. */
  drop(): void {
    this.#taken();
  }

  #taken(): Buffer {
    const [first, ...more] = this.#parts;
    this.#parts = [];
    heldBytes -= this.#sizeBytes;
    this.#sizeBytes = 0;
    return more.length === 0 ? (first ?? Buffer.alloc(0)) : Buffer.concat([first as Buffer, ...more]);
  }

  /** @returns whether events have ended with this piece. */
  #passEvents(): boolean {
    // Nearly always the piece ends where an event does, which may begin with an end that the piece before it has half of.
    const last = this.#parts.at(-1) as Buffer;
    const before = this.#parts.at(-2);
    const isSplit = last[0] === 10 && before?.at(-1) === 10;
    if (!isSplit && !last.includes(eventEnd)) return false;
    const all = this.#taken();
    const end = all.lastIndexOf(eventEnd) + eventEnd.length;
    const [whole, rest] = [all.subarray(0, end), all.subarray(end)];
    if (rest.length > 0) {
      this.#parts.push(rest);
      this.#sizeBytes += rest.length;
      heldBytes += rest.length;
    }
    if (whole.length <= this.#fitting.freeBytes && !this.#running) this.#write(whole);
    else this.#running = this.#afterThose(whole).finally(() => (this.#running = undefined));
    return true;
  }

  async #afterThose(events: Buffer): Promise<void> {
    await this.#running;
    for (let at = 0; at < events.length;) {
      const end = events.indexOf(eventEnd, at) + eventEnd.length;
      const event = events.subarray(at, end);
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      this.#write(
        event.length <= this.#fitting.freeBytes ? event : ((await this.#fittedEvent(event)) ?? event),
      );
      at = end;
    }
  }

  async #fittedEvent(event: Buffer): Promise<string | undefined> {
    const text = event.toString();
    // Ours have one line of data.
    const [, before = '', data] = /^((?:.*\n)*?data: )(.*)\n\n$/.exec(text) ?? [];
    const fitted = data === undefined ? undefined : await this.#fitted(data);
    return fitted === undefined ? undefined : `${before}${fitted}\n\n`;
  }

  /** @returns a message in place of this one, where it is an answer that is too long. */
  async #fitted(text: string): Promise<string | undefined> {
    try {
      const message = JSON.parse(text) as { readonly result?: unknown };
      // Each step with a long text takes some milliseconds.
      await setImmediate();
      const { result } = message;
      if (typeof result !== 'object' || result === null) return undefined;
      const fitted = await this.#fitting.fit(result as Readonly<Record<string, unknown>>);
      return fitted && JSON.stringify({ ...message, result: fitted });
    } catch {
      // What is no JSON is the service's own affair.
      return undefined;
    }
  }
}
