/** Why a request is not done, as HTTP says it. */
import { failures, statusOf, type EnvelopeStatus, type Said } from '#runtime/envelope/envelope.ts';
import type { ErrorCode } from '#runtime/errors.ts';

type FailedStatus = Exclude<EnvelopeStatus, 'success' | 'pending' | 'partial'>;

export class Refusal extends Error {
  readonly http: number;
  readonly status: FailedStatus;
  /** The first is the reason. */
  readonly errors: readonly Said[];
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    http: number,
    errors: readonly [Said, ...Said[]],
    headers: Readonly<Record<string, string>> = {},
    status: FailedStatus = statusOf(http),
  ) {
    super(errors[0].message);
    this.http = http;
    this.status = status;
    this.errors = errors;
    this.headers = headers;
  }
}

/** What a tool, or the gateway in its place, says of its failure. */
export interface Told {
  readonly code: string;
  readonly message: string;
  readonly hint?: string | undefined;
  readonly retryAfterMs?: number | undefined;
  readonly isOverRate?: true | undefined;
}

/** As a tool's failure is told. */
export function refusalOf({ code, message, hint, retryAfterMs, isOverRate }: Told): Refusal {
  const known = Object.hasOwn(failures, code) ? failures[code as ErrorCode] : failures.unavailable;
  const said = { code: isOverRate ? 'rate_limited' : code, message, ...(hint !== undefined && { hint }) };
  const waitMs = retryAfterMs ?? (known.http === 503 ? 1_000 : undefined);
  return new Refusal(
    isOverRate ? 429 : known.http,
    [said],
    waitMs === undefined ? {} : { 'retry-after': String(Math.max(1, Math.ceil(waitMs / 1_000))) },
    known.status,
  );
}

/** What has no code of its own, by the status that it is told with. */
const codes: Readonly<Record<number, string>> = {
  400: 'malformed',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  405: 'method_not_allowed',
  406: 'not_acceptable',
  409: 'conflict',
  412: 'precondition_failed',
  413: 'too_large',
  415: 'unsupported_media_type',
  422: 'invalid_input',
  503: 'unavailable',
};

export const codeOfHttp = (http: number): string => codes[http] ?? 'internal';

export function refusal(
  http: number,
  message: string,
  hint?: string,
  headers: Readonly<Record<string, string>> = {},
): Refusal {
  return new Refusal(
    http,
    [{ code: codeOfHttp(http), message, ...(hint !== undefined && { hint }) }],
    headers,
  );
}
