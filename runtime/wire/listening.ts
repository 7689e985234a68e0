/**
 * What a client may listen to beside calling tools: over server-sent events here, over WebSocket in `sockets.ts`. A stream
 * takes the next event when the client has taken the one before, so that a slow client fills no memory.
 */
import type { ErrorCode } from '../errors.ts';
import { ToolError } from '../errors.ts';
import { jsonTextOf } from '../json-text.ts';
import type { Listened, ListenedEvent } from '../service.ts';
import { parametersOf } from '../service.ts';
import type { Caller } from '../access/tokens.ts';

/** A comment each so many milliseconds shows a proxy, and us, that somebody is there. */
const signOfLifeMs = 15_000;

const statuses: Readonly<Partial<Record<ErrorCode, number>>> = {
  invalid_input: 400,
  not_found: 404,
  conflict: 409,
  forbidden: 403,
  too_large: 413,
  unavailable: 503,
};

/** Those who listen to one process, until it stops. */
export class Listeners {
  readonly #stopping = new AbortController();
  readonly listened: Listened<unknown>;
  readonly #deps: unknown;

  constructor(listened: Listened<unknown>, deps: unknown) {
    this.listened = listened;
    this.#deps = deps;
  }

  get isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** @throws ToolError for what cannot be listened to. */
  async begin(
    given: Readonly<Record<string, unknown>>,
    { name, hash }: Caller,
    signal: AbortSignal,
  ): Promise<AsyncIterable<ListenedEvent>> {
    const either = AbortSignal.any([signal, this.#stopping.signal]);
    return this.listened.listen(parametersOf(this.listened, given), this.#deps, {
      caller: name,
      tokenHash: hash,
      signal: either,
    });
  }

  end(): void {
    this.#stopping.abort();
  }
}

interface Told {
  readonly error: string;
  readonly code: ErrorCode;
  readonly hint?: string;
}

const toldOf = ({ code, message, hint }: ToolError): Told => ({
  error: message,
  code,
  ...(hint !== undefined && { hint }),
});

export const streamHeaders = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
};

/**
 * The answer to `GET /events`: a stream, or why there is none. Who asks by `HEAD` begins none.
 *
 * @param broke told of a fault of ours; returns what its client is told of it.
 */
export async function eventsResponse(
  listeners: Listeners,
  { method, url, headers }: Pick<Request, 'method' | 'url' | 'headers'>,
  caller: Caller,
  broke: (error: unknown) => string,
): Promise<Response> {
  const gone = new AbortController();
  let events: AsyncIterator<ListenedEvent>;
  try {
    const { resumesBy } = listeners.listened;
    const lastSeen = headers.get('last-event-id');
    const given = {
      ...(resumesBy !== undefined && lastSeen !== null && { [resumesBy]: lastSeen }),
      ...Object.fromEntries(new URL(url).searchParams),
    };
    if (method === 'HEAD') {
      parametersOf(listeners.listened, given);
      return new Response(null, { headers: streamHeaders });
    }
    events = (await listeners.begin(given, caller, gone.signal))[Symbol.asyncIterator]();
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
    return Response.json(toldOf(error), { status: statuses[error.code] ?? 500 });
  }
  const encoder = new TextEncoder();
  let next: Promise<IteratorResult<ListenedEvent>> | undefined;
  const body = new ReadableStream<Uint8Array>(
    {
      start: (controller) => controller.enqueue(encoder.encode(': listening\n\n')),
      async pull(controller) {
        next ??= events.next();
        const sign = Promise.withResolvers<undefined>();
        const timer = setTimeout(() => sign.resolve(undefined), signOfLifeMs);
        try {
          const came = await Promise.race([next, sign.promise]);
          if (came === undefined) controller.enqueue(encoder.encode(': still here\n\n'));
          else {
            next = undefined;
            if (came.done) controller.close();
            else controller.enqueue(encoder.encode(eventText(came.value)));
          }
        } catch (error) {
          // Such as: the agent has left, or the store is away. Who listens is told, and the stream ends.
          if (gone.signal.aborted) return;
          if (listeners.isStopping && error instanceof Error && error.name === 'AbortError') {
            controller.close();
            return;
          }
          const data =
            error instanceof ToolError
              ? toldOf(error)
              : ({ error: broke(error), code: 'internal' } satisfies Told);
          controller.enqueue(encoder.encode(eventText({ event: 'error', data })));
          controller.close();
        } finally {
          clearTimeout(timer);
        }
      },
      async cancel() {
        gone.abort();
        await events.return?.();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: streamHeaders });
}

/** JSON has no line breaks, so one line of data is enough. @see https://html.spec.whatwg.org/multipage/server-sent-events.html */
function eventText({ id, event, data }: ListenedEvent): string {
  const idLine = id === undefined ? '' : `id: ${id}\n`;
  return `${idLine}event: ${event}\ndata: ${jsonTextOf(data)}\n\n`;
}
