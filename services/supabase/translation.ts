/** SQL as requests of PostgREST, by a thread of its own: its parser takes memory and time that the process needs. */
import { Worker } from 'node:worker_threads';

import { ToolError } from '#runtime/errors.ts';
import { orStopped } from '#runtime/lanes.ts';

import { translateTimeoutMs } from './limits.ts';

export type Translation =
  | { readonly method: string; readonly path: string }
  | { readonly error: string; readonly hint: string | undefined };

interface Asked {
  readonly resolve: (translation: Translation) => void;
  readonly reject: (error: Error) => void;
}

/** The thread is started with the first statement, and again after one that was its end. */
export class Translator implements AsyncDisposable {
  #worker: Worker | undefined;
  #waiting = new Map<number, Asked>();
  #last = 0;

  /** @throws ToolError for SQL that cannot be one request. */
  async translate(
    sql: string,
    signal: AbortSignal,
  ): Promise<{ readonly method: string; readonly path: string }> {
    const worker = (this.#worker ??= this.#start());
    const { promise, resolve, reject } = Promise.withResolvers<Translation>();
    const number = (this.#last += 1);
    this.#waiting.set(number, { resolve, reject });
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    worker.postMessage({ number, sql });
    const slow = setTimeout(() => this.#end(tooSlow()), translateTimeoutMs);
    try {
      const translation = await orStopped(promise, signal);
      if ('path' in translation) return translation;
      const hint = translation.hint ?? 'It takes one SELECT on one table and those it refers to.';
      throw new ToolError('invalid_input', translation.error, { hint });
    } finally {
      clearTimeout(slow);
      this.#waiting.delete(number);
    }
  }

  #start(): Worker {
    const worker = new Worker(new URL('translation-worker.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: 192 },
    });
    worker.unref();
    worker.on('message', ({ number, ...translation }: Translation & { readonly number: number }) =>
      this.#waiting.get(number)?.resolve(translation),
    );
    // What its parser cannot bear ends the thread, and no more.
    worker.on('error', () => this.#end(tooMuch()));
    return worker;
  }

  #end(reason: Error): void {
    const worker = this.#worker;
    this.#worker = undefined;
    for (const { reject } of this.#waiting.values()) reject(reason);
    void worker?.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker?.terminate();
  }
}

const tooSlow = () =>
  new ToolError('timeout', 'The SQL takes too long to translate.', { hint: 'Shorten it.' });
const tooMuch = () =>
  new ToolError('too_large', 'The SQL is too much to translate.', { hint: 'Shorten it.' });
