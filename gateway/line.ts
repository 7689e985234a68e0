/** HTTP to one process, on connections that are kept. The only importer of undici. */
import { Pool, type Dispatcher } from 'undici';

/** Requests on the way to one process at once; more wait for a connection. */
const mostConnections = 1_024;
/** So many of them for one caller: calls that wait for something keep none of others waiting. */
const mostOfCaller = 256;
/** A process of the fleet keeps an idle connection for 75 s. */
const keepAliveMs = 60_000;
const connectMs = 5_000;

/** Why there was no whole answer. */
export class LineError extends Error {
  /** Whether the request may have been read: what it asked for may be done or not. */
  readonly wasSent: boolean;
  /** Whether the process, or the way to it, is what failed, and not this request. */
  readonly isLost: boolean;

  constructor(message: string, wasSent: boolean, isLost = false) {
    super(message);
    this.wasSent = wasSent;
    this.isLost = isLost;
  }
}

export type Headers = Readonly<Record<string, string | string[] | undefined>>;

export const isStream = (headers: Headers) => String(headers['content-type']).startsWith('text/event-stream');

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** Who takes an answer, piece by piece. */
export interface Taker {
  start(status: number, headers: Headers): void;
  /** @returns whether it can take more; if not, `resume` is called later. */
  data(chunk: Buffer): boolean;
  end(): void;
  fail(error: LineError): void;
}

/** A request on its way. */
export interface Sent {
  resume(): void;
  /** Ends it, and its connection, by which the process knows that its work is not wanted any more. Nothing is told then. */
  abort(): void;
}

/** Errors of a connection that never came about. */
const neverSent = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_CLOSED',
  'UND_ERR_DESTROYED',
  'UND_ERR_INVALID_ARG',
]);

/** Of a socket. */
const lost = /^(?:E[A-Z]+|UND_ERR_SOCKET|UND_ERR_CONNECT_TIMEOUT)$/;

/** What one caller has on the way, and what waits until some of that has ended. */
interface Share {
  open: number;
  readonly waiting: (() => void)[];
}

export class Line implements AsyncDisposable {
  readonly #origin: string;
  readonly #shares = new Map<string, Share>();
  #pool: Pool;

  constructor(origin: string) {
    this.#origin = origin;
    this.#pool = this.#open();
  }

  #open(): Pool {
    return new Pool(this.#origin, {
      connections: mostConnections,
      keepAliveTimeout: keepAliveMs,
      connectTimeout: connectMs,
      // A tool may take as long as it says; whether the process lives is asked elsewhere.
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  /** Leaves the connections as they are: what is on its way ends there, and what comes takes new ones. */
  renew(): void {
    const old = this.#pool;
    this.#pool = this.#open();
    old.close().catch(() => {});
  }

  /** Begins at once, or when the caller has fewer on the way. */
  #enter(caller: string, begin: () => void): void {
    const share = this.#shares.getOrInsertComputed(caller, () => ({ open: 0, waiting: [] }));
    if (share.open >= mostOfCaller) {
      share.waiting.push(begin);
      return;
    }
    share.open += 1;
    begin();
  }

  #leave(caller: string): void {
    const share = this.#shares.get(caller);
    if (!share) return;
    const next = share.waiting.shift();
    if (next) {
      next();
      return;
    }
    share.open -= 1;
    if (share.open === 0) this.#shares.delete(caller);
  }

  /** @param caller whose share it takes a part of; nobody's unless given. */
  send(headers: string[], body: Buffer | string | null, taker: Taker, path = '/mcp', caller?: string): Sent {
    let controller: Dispatcher.DispatchController | undefined;
    let isAborted = false;
    let hasLeft = caller === undefined;
    const leave = () => {
      if (hasLeft) return;
      hasLeft = true;
      this.#leave(caller ?? '');
    };
    const begin = () => {
      if (isAborted) leave();
      else
        this.#pool.dispatch(
          { path, method: body === null ? 'GET' : 'POST', headers, body },
          {
            onRequestStart(started) {
              controller = started;
              if (isAborted) started.abort(new Error('not wanted any more'));
            },
            onResponseStart(_controller, status, answered) {
              taker.start(status, answered);
            },
            onResponseData(_controller, chunk) {
              if (!taker.data(chunk)) controller?.pause();
            },
            onResponseEnd() {
              leave();
              if (!isAborted) taker.end();
            },
            onResponseError(_controller, error: NodeJS.ErrnoException) {
              leave();
              if (isAborted) return;
              const { message, code = '' } = error;
              taker.fail(new LineError(message, !neverSent.has(code), lost.test(code)));
            },
          },
        );
    };
    if (caller === undefined) begin();
    else this.#enter(caller, begin);
    return {
      resume: () => controller?.resume(),
      abort() {
        isAborted = true;
        controller?.abort(new Error('not wanted any more'));
      },
    };
  }

  /** The whole answer as text, of at most `maxBytes`. @throws LineError */
  async ask(
    headers: string[],
    body: string | null,
    limits: {
      readonly timeoutMs: number;
      readonly maxBytes: number;
      readonly path?: string;
      readonly caller?: string;
      readonly signal?: AbortSignal;
      /** Sees each piece of a stream as it comes. */
      readonly heard?: ((piece: Buffer) => void) | undefined;
    },
  ): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    let answered: Pick<Answer, 'status' | 'headers'> = { status: 0, headers: {} };
    const refuse = (message: string) => {
      sent.abort();
      reject(new LineError(message, true));
    };
    const sent = this.send(
      headers,
      body,
      {
        start: (status, answeredHeaders) => void (answered = { status, headers: answeredHeaders }),
        data(chunk) {
          sizeBytes += chunk.length;
          if (sizeBytes > limits.maxBytes) refuse(`it answers with more than ${limits.maxBytes} bytes`);
          else chunks.push(chunk);
          if (isStream(answered.headers)) limits.heard?.(chunk);
          return true;
        },
        end: () => resolve({ ...answered, text: Buffer.concat(chunks).toString() }),
        fail: reject,
      },
      limits.path,
      limits.caller,
    );
    const timer = setTimeout(
      () => refuse(`it did not answer within ${limits.timeoutMs / 1_000} s`),
      limits.timeoutMs,
    );
    const gone = () => refuse('the client went away');
    limits.signal?.addEventListener('abort', gone, { once: true });
    if (limits.signal?.aborted) gone();
    return promise.finally(() => {
      clearTimeout(timer);
      limits.signal?.removeEventListener('abort', gone);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.destroy();
  }
}
