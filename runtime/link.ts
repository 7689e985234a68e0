/** Asks a thread, and hears what it says unasked. */
import { setPriority } from 'node:os';
import { parentPort, Worker, type Transferable } from 'node:worker_threads';

import { ConfigError, DamagedDataError, ToolError, UnavailableError, type ErrorCode } from './errors.ts';
import { collectWhenQuiet } from './process/garbage.ts';

interface Failure {
  readonly code: ErrorCode | undefined;
  readonly message: string;
  readonly hint: string | undefined;
  readonly stack: string | undefined;
}

type Word =
  | { readonly key: number; readonly value: unknown }
  | { readonly key: number; readonly failure: Failure }
  | { readonly event: unknown };

interface Question {
  readonly key: number;
  readonly kind: string;
  readonly args: unknown;
}

// oxlint-disable-next-line typescript/no-explicit-any -- each kind has arguments of its own
type Handlers = Readonly<Record<string, (args: any) => unknown>>;

/** What a handler is asked with; nothing where it takes nothing. */
export type Asked<Handler> = Handler extends () => unknown
  ? undefined
  : Handler extends (args: infer Args) => unknown
    ? Args
    : never;

/** What it answers with. */
export type Answered<Handler> = Handler extends (...args: never[]) => infer Value ? Awaited<Value> : never;

export class Link<H extends Handlers> implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #waiting = new Map<
    number,
    { readonly resolve: (value: never) => void; readonly reject: (error: Error) => void }
  >();
  #last = 0;
  #gone: Error | undefined;

  constructor(program: URL, workerData: unknown, hear: (event: unknown) => void) {
    this.#worker = new Worker(program, { workerData });
    this.#worker.on('message', (word: Word) => {
      if ('event' in word) {
        hear(word.event);
        return;
      }
      const waiting = this.#waiting.get(word.key);
      this.#waiting.delete(word.key);
      if (this.#waiting.size === 0) this.#worker.unref();
      if ('value' in word) waiting?.resolve(word.value as never);
      else waiting?.reject(errorOf(word.failure));
    });
    this.#worker.on('error', (error) => this.#end(inOwnWords(error as Error)));
    this.#worker.on('exit', (code) => this.#end(new Error(`The thread ended with ${code}.`)));
    this.#worker.unref();
  }

  #end(error: Error): void {
    this.#gone ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#gone);
    this.#waiting.clear();
  }

  /** Why it cannot be asked any more. */
  get gone(): Error | undefined {
    return this.#gone;
  }

  /** @throws ToolError as the thread threw it; any other error is a bug there. */
  async ask<K extends keyof H & string>(
    kind: K,
    args: Asked<H[K]>,
    transfer: readonly Transferable[] = [],
  ): Promise<Answered<H[K]>> {
    if (this.#gone) throw this.#gone;
    const key = (this.#last += 1);
    const { promise, resolve, reject } = Promise.withResolvers<Answered<H[K]>>();
    this.#waiting.set(key, { resolve, reject });
    this.#worker.ref();
    this.#worker.postMessage({ key, kind, args } satisfies Question, transfer); // oxlint-disable-line unicorn/require-post-message-target-origin -- a thread, not a window
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#gone) return;
    const ended = new Promise((resolve) => this.#worker.once('exit', resolve));
    this.#worker.ref();
    this.#worker.postMessage({ key: 0, kind: 'end', args: undefined } satisfies Question); // oxlint-disable-line unicorn/require-post-message-target-origin -- likewise
    await ended;
  }
}

/** A thread may be at work for a while, with a large batch, but not for longer. */
const stuckMs = 30_000;

/**
 * For a look at a thread that must not wait for it: each look asks for its `probe`, unless it is still at the last one, and tells what
 * came of that.
 *
 * @returns the look. @throws ToolError `unavailable` where the thread has ended or is stuck; or what its `probe` threw.
 */
export function watched(probe: () => Promise<unknown>, gone: () => Error | undefined): () => void {
  let askedAtMs: number | undefined;
  let obstacle: unknown;
  return () => {
    const cause = gone();
    if (cause) throw new ToolError('unavailable', 'A thread of the store has ended.', { cause });
    if (askedAtMs === undefined) {
      askedAtMs = performance.now();
      probe().then(
        () => ([askedAtMs, obstacle] = [undefined, undefined]),
        (error: unknown) => ([askedAtMs, obstacle] = [undefined, error]),
      );
    } else if (performance.now() - askedAtMs > stuckMs) {
      throw new ToolError('unavailable', 'The thread that writes does not answer.');
    }
    if (obstacle !== undefined) throw obstacle;
  };
}

/** Between threads an error loses its class, by which the process ends with the right code and one line. */
function inOwnWords(error: Error): Error {
  const Told = [ConfigError, DamagedDataError, UnavailableError].find(({ name }) => name === error.name);
  return Told ? new Told(error.message, { cause: error }) : error;
}

function errorOf({ code, message, hint, stack }: Failure): Error {
  if (code !== undefined && code !== 'internal')
    return new ToolError(code, message, hint === undefined ? {} : { hint });
  return Object.assign(new Error(message), stack !== undefined && { stack });
}

function failureOf(error: unknown): Failure {
  const { message, stack } = error as Error;
  if (error instanceof ToolError) return { code: error.code, message, hint: error.hint, stack: undefined };
  return { code: undefined, message, hint: undefined, stack };
}

/** After the last question: what a thread does behind it is mostly done by then. */
const quietMs = 10_000;

/**
 * The other side. Memory that a burst of questions took goes back to the host when it is over.
 *
 * @param end closes what is open; the thread ends with it.
 * @param niceness of the thread: whoever is served comes first, unless others wait for what it does.
 */
export function serveLink(
  handlers: Handlers,
  end: () => void | Promise<void>,
  niceness = 5,
): (event: unknown) => void {
  const port = parentPort;
  if (!port) throw new Error('This is the program of a thread.');
  // On Linux this is the priority of this thread alone.
  if (niceness > 0) setPriority(niceness);
  const worked = collectWhenQuiet(quietMs);
  const say = (word: Word) => port.postMessage(word); // oxlint-disable-line unicorn/require-post-message-target-origin -- a thread, not a window
  port.on('message', ({ key, kind, args }: Question) => {
    void (async () => {
      if (kind === 'end') {
        await end();
        port.close();
        return;
      }
      // Who looks whether the thread is well comes all the time.
      if (kind !== 'probe') worked();
      try {
        say({ key, value: await handlers[kind]?.(args) });
      } catch (error) {
        say({ key, failure: failureOf(error) });
      }
    })();
  });
  return (event) => say({ event });
}
