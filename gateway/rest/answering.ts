/** What a request is answered, from what the tool said. Pure. */
import { createHash } from 'node:crypto';

import {
  normalizeError,
  normalizeResponse,
  statuses,
  type Envelope,
  type Metadata,
  type Said,
} from '#runtime/envelope/envelope.ts';

import type { Operation, Value } from './operation.ts';
import { refusal, refusalOf, type Refusal, type Told } from './refusal.ts';

/** What a tool answers, in the protocol's form. */
export interface ToolResult {
  readonly content?: readonly unknown[];
  readonly structuredContent?: Value;
  readonly isError?: boolean;
  readonly _meta?: { readonly 'dev.flotilla/error'?: Told };
}

export interface Answer {
  readonly http: number;
  readonly headers: Readonly<Record<string, string>>;
  /** `undefined` where the client has it already. */
  readonly body: string | undefined;
  readonly type: string;
}

export const jsonType = 'application/json';
export const problemType = 'application/problem+json';

/** What is known of the request when it is answered. */
export interface About {
  readonly metadata: Metadata;
  readonly warnings: readonly Said[];
  readonly args: Value;
  /** Path and query, of a list. */
  readonly url: URL;
  readonly ifNoneMatch: string | undefined;
}

/** @throws Refusal where the tool says that it failed. */
export function valueOf({ structuredContent, content = [], isError, _meta: meta }: ToolResult): Value {
  if (!isError) return structuredContent ?? { content };
  const texts = content.flatMap((one) => {
    const { text } = one as { readonly text?: unknown };
    return typeof text === 'string' ? [text] : [];
  });
  throw refusalOf(meta?.['dev.flotilla/error'] ?? { code: 'unavailable', message: texts.join('\n') });
}

export function answerOf(operation: Operation, value: Value, about: About): Answer {
  if (operation.isJudged) return judgedAnswer(dataOf(operation, value) as Judgement, about);
  const data = dataOf(operation, value);
  const isPartial = operation.isPartial?.(data as Value) ?? false;
  const location = operation.location?.(data as Value, about.args);
  const http = isPartial ? statuses.partial : location === undefined ? statuses.success : 201;
  const pagination = operation.isPaged ? paginationOf(data as readonly unknown[], value) : undefined;
  const metadata = { ...about.metadata, ...(pagination && { pagination }) };
  const message = isPartial ? 'Done in part.' : location === undefined ? 'Done.' : 'Made.';
  const told = normalizeResponse(data, isPartial ? 'partial' : 'success', message, {
    metadata,
    warnings: about.warnings,
  });
  const etag = etagOf(operation, data);
  const headers = {
    'cache-control': operation.method === 'GET' ? 'private, no-cache' : 'no-store',
    vary: 'accept, authorization',
    ...(etag !== undefined && { etag }),
    ...(location !== undefined && { location }),
    ...(pagination?.next_cursor !== undefined && { link: linkOf(about.url, pagination.next_cursor) }),
  };
  if (operation.method === 'GET' && etag !== undefined && isKnown(about.ifNoneMatch, etag))
    return { http: 304, headers, body: undefined, type: jsonType };
  return { http, headers, body: JSON.stringify(told), type: jsonType };
}

interface Judgement {
  readonly valid: boolean;
  readonly value: unknown;
  readonly errors: readonly Said[];
  readonly warnings: readonly Said[];
}

/** What is wrong with a value is what the answer is about; the value comes with it either way. */
function judgedAnswer({ valid, value: data, errors, warnings: made }: Judgement, about: About): Answer {
  const { metadata } = about;
  const warnings = [...about.warnings, ...made];
  const told = valid
    ? normalizeResponse(data, 'success', 'The value fits.', { metadata, warnings })
    : { ...normalizeError(errors, 'validation_error', { metadata, warnings }), data: data ?? null };
  return {
    http: statuses[told.status],
    headers: { 'cache-control': 'no-store', vary: 'accept, authorization' },
    body: JSON.stringify(told),
    type: jsonType,
  };
}

function dataOf({ value: name, isOne, parts }: Operation, value: Value): unknown {
  const whole = name === undefined ? value : (value[name] ?? null);
  if (isOne) {
    const [one] = Array.isArray(whole) ? (whole as unknown[]) : [];
    if (one === undefined) throw refusal(404, 'There is none of this name.');
    return one;
  }
  if (!parts) return whole;
  return Object.fromEntries(
    parts.flatMap((part) => (part in (whole as Value) ? [[part, (whole as Value)[part]]] : [])),
  );
}

function paginationOf(
  data: readonly unknown[],
  { next_cursor: next }: Value,
): NonNullable<Metadata['pagination']> {
  const cursor = typeof next === 'string' ? next : undefined;
  return {
    count: data.length,
    has_more: cursor !== undefined,
    ...(cursor !== undefined && { next_cursor: cursor }),
  };
}

/** RFC 8288. */
function linkOf(url: URL, cursor: string): string {
  const next = new URL(url);
  next.searchParams.set('cursor', cursor);
  return `<${next.pathname}${next.search}>; rel="next"`;
}

/** The version of what was asked for, and a hash of how it is told: either may change without the other. */
function etagOf({ method, isVersioned }: Operation, data: unknown): string | undefined {
  const { version } = (isVersioned ? data : {}) as { readonly version?: number };
  if (method !== 'GET') return version === undefined ? undefined : `"${version}"`;
  const hash = createHash('sha256').update(JSON.stringify(data)).digest('base64url').slice(0, 16);
  return version === undefined ? `"${hash}"` : `"${version}-${hash}"`;
}

const isKnown = (header: string | undefined, etag: string) =>
  header !== undefined &&
  header.split(',').some((one) => one.trim().replace(/^W\//, '') === etag || one.trim() === '*');

/** Whether errors are told as RFC 9457 has them: where the client says that it reads them so. */
export const wantsProblem = (accept: string | undefined): boolean =>
  accept?.toLowerCase().includes(problemType) ?? false;

/** Whether the client takes JSON at all. */
export function takesJson(accept: string | undefined): boolean {
  if (accept === undefined || accept.trim() === '') return true;
  const ranges = accept
    .toLowerCase()
    .split(',')
    .map((one) => one.trim());
  return ranges.some((range) => {
    const [type = '', ...parameters] = range.split(';').map((one) => one.trim());
    const isRefused = parameters.some((one) => /^q=0(?:\.0{0,3})?$/.test(one));
    return !isRefused && ['*/*', 'application/*', jsonType, problemType].includes(type);
  });
}

const titles: Readonly<Record<number, string>> = {
  400: 'Malformed request',
  401: 'A good token is missing',
  403: 'Not allowed',
  404: 'Not found',
  405: 'Not done here',
  406: 'No form that the client takes',
  409: 'Conflict',
  412: 'Changed meanwhile',
  413: 'Too large',
  415: 'Unknown form of the body',
  422: 'Does not fit',
  429: 'Too many calls',
  503: 'Not available now',
  504: 'Took too long',
};

/** In the form that the client asks for. */
export function failureAnswer(
  { http, status, errors, headers }: Refusal,
  accept: string | undefined,
  { metadata, warnings }: Pick<About, 'metadata' | 'warnings'>,
): Answer {
  const told = normalizeError(errors, status, { metadata, warnings });
  const isProblem = wantsProblem(accept);
  return {
    http,
    headers: { 'cache-control': 'no-store', vary: 'accept, authorization', ...headers },
    body: JSON.stringify(isProblem ? problemOf(http, told) : told),
    type: isProblem ? problemType : jsonType,
  };
}

function problemOf(http: number, { message, errors, warnings, metadata }: Envelope): object {
  const [first] = errors;
  return {
    type: 'about:blank',
    title: titles[http] ?? 'Failed',
    status: http,
    detail: message,
    code: first?.code,
    ...(first?.hint !== undefined && { hint: first.hint }),
    errors,
    warnings,
    request_id: metadata.request_id,
  };
}
