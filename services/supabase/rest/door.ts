/**
 * The only way out to the REST side: to one host, below four paths, without redirects; answers are bounded, numbers
 * exact, the key is nowhere in them, and what may be asked again is asked again.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { ToolError } from '#runtime/errors.ts';

import { exactJson } from '../exact.ts';
import { firstRetryMs, maxJsonBytes, maxRetries, maxRetryWaitMs } from '../limits.ts';
import { refused } from '../sql/failures.ts';
import { stopReason } from '../stop.ts';

/** What a project of Supabase serves, each below its own path. */
const parts = ['rest/v1', 'auth/v1', 'storage/v1', 'functions/v1'] as const;

export interface Endpoint {
  /** Ends with a slash. */
  readonly base: URL;
  readonly key: string;
}

interface DoorOptions {
  readonly signal: AbortSignal;
  readonly maxBytes?: number | undefined;
}

/** One for each call. It remembers what went wrong: libraries above it wrap errors in their own, each in its way. */
export class Door {
  readonly #endpoint: Endpoint;
  readonly #signal: AbortSignal;
  readonly #maxBytes: number;
  failure: Error | undefined;

  constructor(endpoint: Endpoint, { signal, maxBytes = maxJsonBytes }: DoorOptions) {
    this.#endpoint = endpoint;
    this.#signal = signal;
    this.#maxBytes = maxBytes;
  }

  readonly fetch = async (input: string | URL | Request, init: RequestInit = {}): Promise<Response> => {
    try {
      return await this.#ask(input, init);
    } catch (error) {
      this.failure ??= error instanceof Error ? error : new Error(String(error));
      throw error;
    }
  };

  async #ask(input: string | URL | Request, init: RequestInit): Promise<Response> {
    const url = new URL(input instanceof Request ? input.url : input);
    requireOurs(url, this.#endpoint);
    const method = (init.method ?? 'GET').toUpperCase();
    const isRepeatable = method === 'GET' || method === 'HEAD';
    for (let attempt = 0; ; attempt += 1) {
      const answer = await this.#once(url, { ...init, method });
      if (answer.failure === undefined) return answer.response;
      const waitMs = isRepeatable && answer.isPassing ? waitBefore(attempt, answer.retryAfterMs) : undefined;
      if (waitMs === undefined) throw answer.failure;
      try {
        await sleep(waitMs, undefined, { signal: this.#signal });
      } catch {
        throw stopReason(this.#signal);
      }
    }
  }

  async #once(url: URL, init: RequestInit): Promise<Answer> {
    let response: Response;
    let bytes: Buffer;
    try {
      // A redirect could lead anywhere, with the key.
      response = await fetch(url, { ...init, redirect: 'manual', signal: this.#signal });
      bytes = await bounded(response, this.#maxBytes);
    } catch (error) {
      if (error instanceof ToolError) throw error;
      const isRead = init.method === 'GET' || init.method === 'HEAD';
      const failure = this.#signal.aborted ? stopReason(this.#signal) : unreachable(error);
      const told = isRead ? failure : inDoubt(failure);
      if (this.#signal.aborted) throw told;
      return { isPassing: true, retryAfterMs: undefined, failure: told };
    }
    const type = response.headers.get('content-type') ?? '';
    const isText = /json|text|xml/.test(type);
    const body = isText ? this.#told(bytes.toString(), type) : bytes;
    if (response.ok) {
      const headers = new Headers(response.headers);
      for (const name of ['content-length', 'content-encoding', 'transfer-encoding']) headers.delete(name);
      const isBare = response.status === 204 || response.status === 304;
      return {
        response: new Response(isBare ? null : body, { status: response.status, headers }),
        failure: undefined,
      };
    }
    const retryAfterMs = retryAfterOf(response.headers.get('retry-after'));
    const failure = failureOf(response.status, isText ? String(body) : '', retryAfterMs);
    return { failure, retryAfterMs, isPassing: isPassing(response.status, String(body)) };
  }

  /** The text without the key, whoever put it there, and with numbers that lose nothing. */
  #told(text: string, type: string): string {
    const clean = text.replaceAll(this.#endpoint.key, '[key]');
    return type.includes('json') ? exactJson(clean) : clean;
  }
}

type Answer =
  | { readonly response: Response; readonly failure: undefined }
  | { readonly failure: ToolError; readonly isPassing: boolean; readonly retryAfterMs: number | undefined };

/** @throws ToolError when it leads anywhere else. */
function requireOurs(url: URL, { base }: Endpoint): void {
  const path = url.pathname.startsWith(base.pathname) ? url.pathname.slice(base.pathname.length) : undefined;
  const isOurs =
    url.origin === base.origin &&
    url.username === '' &&
    url.password === '' &&
    path !== undefined &&
    parts.some((part) => path === part || path.startsWith(`${part}/`));
  // Encoded dots and slashes are left to whoever decodes them, and that may be a proxy on the way.
  if (isOurs && !/%2e%2e|%2f\.\.|\.\.%2f|%5c|%00/i.test(url.pathname)) return;
  throw new ToolError('forbidden', 'The path leads outside of the configured project.');
}

async function bounded(response: Response, maxBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > maxBytes) {
      throw new ToolError('too_large', `The answer is longer than ${maxBytes} bytes.`, {
        hint: 'Ask for fewer rows or columns, or for a part of it.',
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Milliseconds to wait; `undefined` when it is not worth it. */
function waitBefore(attempt: number, retryAfterMs: number | undefined): number | undefined {
  if (attempt >= maxRetries) return undefined;
  const waitMs = retryAfterMs ?? firstRetryMs * 2 ** attempt * (1 + Math.random() / 2);
  return waitMs <= maxRetryWaitMs ? waitMs : undefined;
}

/** Seconds, or a date. */
function retryAfterOf(header: string | null): number | undefined {
  if (header === null) return undefined;
  const ms = /^\d{1,6}$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - Date.now();
  return Number.isFinite(ms) ? Math.max(0, ms) : undefined;
}

/** Whether it may be gone soon. What Postgres itself refused would be refused again, unless it had no room. */
function isPassing(status: number, body: string): boolean {
  if (status === 429) return true;
  if (status < 500) return false;
  const { code } = refusalIn(body);
  return code === undefined || code.length !== 5 || /^(?:08|40|53|57P)/.test(code);
}

interface Told {
  readonly code?: string | undefined;
  readonly message?: string | undefined;
  readonly details?: string | undefined;
  readonly hint?: string | undefined;
}

/** PostgREST, auth, storage and functions each have their own form; some texts are no JSON at all. */
function refusalIn(body: string): Told {
  try {
    const told = JSON.parse(body) as Readonly<Record<string, unknown>> | null;
    const text = (...names: string[]) =>
      names.map((name) => told?.[name]).find((value) => typeof value === 'string');
    return {
      code: text('code', 'error_code'),
      message: text('message', 'msg', 'error_description', 'error'),
      details: text('details'),
      hint: text('hint'),
    };
  } catch {
    return {};
  }
}

const maxTextLength = 300;

function failureOf(status: number, body: string, retryAfterMs: number | undefined): ToolError {
  const { code, message, details, hint } = refusalIn(body);
  if (code !== undefined && message !== undefined && /^(?:PGRST\w+|[0-9A-Z]{5})$/.test(code)) {
    return refused({ code, message, detail: details, hint });
  }
  const said = (message ?? body.trim()).slice(0, maxTextLength);
  const words = `The project answers ${status}${said === '' ? '' : `: ${said}`}`;
  const isUntrusted = said !== '';
  if (status >= 300 && status < 400) {
    return new ToolError(
      'unavailable',
      `The project answers with a redirect (${status}), which is not followed.`,
      {
        hint: 'The operator has to look at FLOTILLA_SUPABASE_URL.',
      },
    );
  }
  if (status === 429) {
    const hint = 'It asks for fewer calls: try again later.';
    return new ToolError('unavailable', words, {
      hint,
      isUntrusted,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    });
  }
  if (status >= 500) return new ToolError('unavailable', words, { hint: 'Try again later.', isUntrusted });
  if (status === 401 || status === 403) {
    const hint = 'The key of the settings has no right to this: the operator looks at FLOTILLA_SUPABASE_KEY.';
    return new ToolError('forbidden', words, { hint, isUntrusted });
  }
  if (status === 404) return new ToolError('not_found', words, { isUntrusted });
  if (status === 409) return new ToolError('conflict', words, { isUntrusted });
  if (status === 413) return new ToolError('too_large', words, { isUntrusted });
  return new ToolError('invalid_input', words, { isUntrusted });
}

/** The request was on its way. */
function inDoubt(failure: ToolError): ToolError {
  if (failure.code === 'internal') return failure;
  return new ToolError(failure.code, failure.message, {
    hint: 'It may have been done all the same: look before you repeat it.',
    isUntrusted: failure.isUntrusted,
    ...(failure.reason !== undefined && { reason: failure.reason }),
  });
}

function unreachable(error: unknown): ToolError {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = (cause as NodeJS.ErrnoException | undefined)?.code ?? 'no connection';
  return new ToolError('unavailable', `The project cannot be reached: ${code}.`, {
    hint: 'Try again; if it stays so, the operator looks at FLOTILLA_SUPABASE_URL.',
    reason: code,
  });
}
