/** What the orchestrator tells, told on to who listens at the gateway: in the listener's name, and no faster than it is taken. */
import { z } from 'zod';

import { cancelled, errorCodes, ToolError, type ErrorCode } from '#runtime/errors.ts';
import type { Listened, ListenedEvent, Listener } from '#runtime/service.ts';

import type { Line } from '../line.ts';
import type { Upstream } from '../upstream.ts';
import { EventReader } from './event-stream.ts';

export const eventPaths = { events: '/api/v1/events', socket: '/api/v1/socket' } as const;
export const eventsFrom = 'orchestrator';

/** Streams of all tokens: each has a connection. */
const mostStreams = 240;
const longestRefusal = 64 * 1024;

export const eventParameters = z.object({
  after: z.coerce
    .number()
    .int()
    .min(0)
    .optional()
    .describe('The seq of the last event that was seen: what came after it is told first.'),
  project_id: z.string().max(100).optional().describe('Only of this project.'),
  task_id: z.string().max(100).optional().describe('Only of this task.'),
});

export class Events {
  #open = 0;

  /** @throws ToolError where there is nothing to listen to. */
  async listen(
    upstream: Upstream | undefined,
    wanted: Readonly<Record<string, unknown>>,
    { tokenHash, signal }: Listener,
  ): Promise<AsyncIterable<ListenedEvent>> {
    if (!upstream || !(await upstream.isUp()))
      throw new ToolError('unavailable', `${eventsFrom} cannot be listened to now.`, {
        hint: 'Try again in a moment.',
      });
    if (this.#open >= mostStreams)
      throw new ToolError('unavailable', `${mostStreams} streams are open here, which is the most.`, {
        hint: 'End one, and try again.',
      });
    this.#open += 1;
    const query = new URLSearchParams(Object.entries(wanted).map(([name, value]) => [name, String(value)]));
    const told = new Told(
      upstream.streams,
      `/events?${query.toString()}`,
      upstream.authorization(tokenHash),
      () => {
        this.#open -= 1;
      },
    );
    signal.addEventListener('abort', () => told.end(), { once: true });
    if (signal.aborted) told.end();
    await told.begun;
    return told;
  }
}

/** One stream of a service. It is read on when what came is taken. */
class Told implements AsyncIterable<ListenedEvent> {
  readonly begun: Promise<void>;
  readonly #reader = new EventReader();
  readonly #waiting: ListenedEvent[] = [];
  readonly #sent: ReturnType<Line['send']>;
  readonly #ended: () => void;
  readonly #refuse: (error: ToolError) => void;
  #failure: ToolError | undefined;
  #isOver = false;
  #wake: () => void = () => {};

  constructor(line: Line, path: string, authorization: string, ended: () => void) {
    this.#ended = ended;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.begun = promise;
    this.#refuse = reject;
    promise.catch(() => {});
    let status = 0;
    let refused = '';
    const headers = ['accept', 'text/event-stream', 'authorization', `Bearer ${authorization}`];
    this.#sent = line.send(
      headers,
      null,
      {
        start: (answered) => {
          status = answered;
          if (status === 200) resolve();
        },
        data: (piece) => {
          if (status !== 200) {
            refused += piece.toString().slice(0, longestRefusal - refused.length);
            return true;
          }
          try {
            this.#waiting.push(...this.#reader.take(piece));
          } catch {
            this.#over(new ToolError('unavailable', `${eventsFrom} tells what is no event.`));
            return true;
          }
          this.#wake();
          return this.#waiting.length === 0;
        },
        end: () => {
          this.#over(status === 200 ? undefined : failureIn(status, refused));
        },
        fail: () => {
          this.#over(new ToolError('unavailable', `${eventsFrom} went away.`, { hint: 'Listen again.' }));
        },
      },
      path,
    );
  }

  #over(failure?: ToolError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#failure = failure;
    this.#ended();
    this.#refuse(failure ?? cancelled());
    this.#wake();
  }

  end(): void {
    this.#sent.abort();
    this.#over();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ListenedEvent> {
    try {
      for (;;) {
        const next = this.#waiting.shift();
        if (next) {
          yield next;
          continue;
        }
        if (this.#failure) throw this.#failure;
        if (this.#isOver) return;
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#wake = resolve;
        this.#sent.resume();
        // oxlint-disable-next-line no-await-in-loop -- until there is more
        await promise;
      }
    } finally {
      this.end();
    }
  }
}

function failureIn(status: number, text: string): ToolError {
  let told: { readonly error?: unknown; readonly code?: unknown; readonly hint?: unknown } = {};
  try {
    told = JSON.parse(text) as typeof told;
  } catch {
    // What is no JSON says nothing more than the status.
  }
  const { error = `${eventsFrom} answers with status ${status}.`, code, hint } = told;
  const isKnown = typeof code === 'string' && code !== 'internal' && Object.hasOwn(errorCodes, code);
  const known = isKnown
    ? (code as Exclude<ErrorCode, 'internal'>)
    : status === 403
      ? 'forbidden'
      : 'unavailable';
  return new ToolError(known, String(error), typeof hint === 'string' ? { hint } : {});
}

export const listenedOf = <Deps>(listen: Listened<Deps>['listen']): Listened<Deps> => ({
  effect: 'read',
  parameters: eventParameters,
  paths: eventPaths,
  resumesBy: 'after',
  listen,
});
