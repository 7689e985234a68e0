/** Hands a message on to the service that answers for it, byte for byte, and its answer back as it comes. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { record, type Account, type Exchange } from '#runtime/account/calls.ts';
import { metaOf } from '#runtime/account/meta.ts';
import { errorCodes, type ErrorCode, type ToolError } from '#runtime/errors.ts';
import { RpcError, type Asked } from '#runtime/service.ts';
import type { Effect } from '#runtime/tool.ts';
import type { Admitted } from '#runtime/wire/gate.ts';
import { originHeaders } from '#runtime/wire/foreign.ts';
import { modernVersion } from '#runtime/wire/plain-request.ts';

import type { Seen } from './eyes.ts';
import { Hold, type Fitting } from './hold.ts';
import { isStream, LineError, type Sent } from './line.ts';
import { Events, lastMessageOf } from './message.ts';
import { againAfter } from './refusals.ts';
import type { Upstream } from './upstream.ts';

/** What is asked for, as the account names it. */
export interface Errand {
  readonly method: string;
  readonly target: string | null;
  readonly effect: Effect;
  /** The model that the client says it works for. */
  readonly model: string | undefined;
  /** The headers that tell the service the same as the message does. */
  readonly headers: readonly string[];
  readonly protocolVersion: string;
  readonly id: unknown;
  /** The origin of a page that may call. */
  readonly origin: string | undefined;
  /** What is done with an answer that may be too long for the client; `undefined` where it takes any. */
  readonly fitting?: Fitting | undefined;
  /** Calls `act` when the client does not want an answer any more. @returns how to unsay it. */
  whenGone(act: () => void): () => void;
}

/** As much of it as its account names. */
export type Accounted = Pick<Errand, 'method' | 'target' | 'effect' | 'model'>;

/** An account whose calls are looked at, too. */
export interface Watched extends Account {
  readonly saw: (call: Seen) => void;
}

/** How a call has ended. */
interface Ended
  extends Omit<Parameters<typeof record>[3], 'durationMs'>, Pick<Seen, 'isOverRate' | 'isToolError'> {
  /** By a clock that is never set; `undefined` for what was refused at once. */
  readonly startedAtMs: number | undefined;
}

/** A call has ended, wherever it was answered: the account of it, and what the observers see. */
export function ended(
  account: Watched,
  exchange: Exchange,
  service: string,
  errand: Accounted,
  { startedAtMs, ...how }: Ended,
): void {
  const { outcome, responseBytes, isOverRate, isToolError } = how;
  const nowMs = performance.now();
  const durationMs = Math.round((nowMs - (startedAtMs ?? nowMs)) * 1_000) / 1_000;
  exchange.outcome = outcome;
  record(account, exchange, errand, { ...how, durationMs });
  // As everywhere in the fleet, these are on disk at once, and not within a second.
  if (outcome === 'forbidden' || errand.effect === 'destroy')
    account.audit.sync().catch((error: unknown) => account.log.error('audit_not_written', { error }));
  const { method, target: tool, model } = errand;
  if (method !== 'tools/call' || tool === null) return;
  const { requestBytes, caller } = exchange;
  const size = { requestBytes, responseBytes };
  account.saw({
    service,
    tool,
    caller,
    model,
    outcome,
    durationMs,
    ...size,
    atMs: account.now(),
    isOverRate,
    isToolError,
  });
}

export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint?: string;
  readonly retryAfterMs?: number;
  readonly isOverRate?: true;
}

/** Headers of answers that say something to the client. */
const passed = [
  'content-type',
  'content-length',
  'cache-control',
  'flotilla-outcome',
  'retry-after',
  'x-accel-buffering',
];
/** Of a stream, so much is kept of its end: the outcome stands in its last event. */
const tailBytes = 4_096;
const outcomePattern = /"dev\.flotilla\/outcome":"([a-z_]+)"/g;
/** A request that nobody can have read is sent again, and once one that broke and only reads: it may be what broke the service. */
const mostAttempts = { unsent: 3, broken: 2 };
/** A token that was made a moment ago may be unknown to the service still: it looks at the list again no sooner. */
const unknownMs = 50;

export function handOn(
  account: Watched,
  response: ServerResponse,
  { exchange, body }: Pick<Admitted, 'exchange' | 'body'>,
  upstream: Upstream,
  errand: Errand,
): void {
  const startedAtMs = performance.now();
  let sent: Sent | undefined;
  let hold: Hold | undefined;
  let responseBytes = 0;
  let isOver = false;
  /** What a stream that may become longer ends with so far; `undefined` for any other answer. */
  let written: string | undefined;

  const write = (bytes: Buffer | string): boolean => {
    responseBytes += Buffer.byteLength(bytes);
    if (written !== undefined) written = (written + lastIn(bytes)).slice(-2);
    // In a session, work goes on for a client that was cut off.
    return response.destroyed || response.write(bytes);
  };
  const end = (outcome: 'ok' | ErrorCode, reason?: string) => {
    if (isOver) return;
    isOver = true;
    hold?.drop();
    forget();
    const { protocolVersion } = errand;
    const how = { outcome, reason, startedAtMs, responseBytes, protocolVersion };
    ended(account, exchange, upstream.name, errand, how);
  };
  const fail = (failure: Failure, reason?: string) => {
    if (isOver) return;
    responseBytes += response.headersSent
      ? breakOff(response, errand, failure, written)
      : answerFailure(response, exchange, errand, failure);
    end(failure.code, reason);
  };
  // A client that took its time and then went would leave the service waiting for room in its answer.
  response.once('close', () => sent?.resume());
  const forget = errand.whenGone(() => {
    sent?.abort();
    fail(gone);
  });

  const attempt = (count: number) => {
    if (isOver) return;
    let hasBegun = false;
    let status = 0;
    let told: string | undefined;
    let tail = Buffer.alloc(0);
    let streams = false;
    const broke = (error: LineError) => {
      if (error.isLost) upstream.lost();
      hold?.drop();
      hold = undefined;
      if (hasBegun && response.headersSent) {
        // The client sees that the answer has no end.
        end('unavailable', error.message);
        response.destroy();
        return;
      }
      const most = error.wasSent ? mostAttempts.broken : mostAttempts.unsent;
      if ((!error.wasSent || errand.effect === 'read') && count < most) {
        begin(count + 1, error);
        return;
      }
      fail(error.wasSent ? brokeOff(upstream, errand.effect) : isDown(upstream), error.message);
    };
    sent = upstream.line.send(
      [...errand.headers, 'authorization', `Bearer ${upstream.authorization(exchange.caller.hash)}`],
      body,
      {
        start(answered, headers) {
          status = answered;
          // The service does not know the token yet, or any more, or not the gateway's key: nothing was done.
          if (status === 401) return;
          hasBegun = true;
          const kept = ownHeaders(exchange, errand.origin);
          for (const name of passed) {
            const value = headers[name];
            if (typeof value === 'string') kept.push(name, value);
          }
          told = headers['flotilla-outcome'] as string | undefined;
          streams = isStream(headers);
          const { fitting } = errand;
          if (fitting && status === 200 && !(Number(headers['content-length']) <= fitting.freeBytes)) {
            hold = new Hold(fitting, streams, (bytes) => {
              if (isOver) return;
              if (!response.headersSent) response.writeHead(status, withLength(kept, bytes));
              write(bytes);
            });
            if (!streams) return;
          }
          response.writeHead(status, hold ? withoutLength(kept) : kept);
          if (!streams) return;
          if (hold || headers['content-length'] === undefined) written = '';
          response.flushHeaders();
        },
        data(chunk) {
          if (!hasBegun) return true;
          if (streams) tail = Buffer.concat([tail, chunk]).subarray(-tailBytes);
          if (hold) {
            const busy = hold.take(chunk);
            if (!busy && !response.writableNeedDrain) return true;
            const goOn = () => sent?.resume();
            if (busy) busy.then(goOn, goOn);
            else response.once('drain', goOn);
            return false;
          }
          if (write(chunk)) return true;
          response.once('drain', () => sent?.resume());
          return false;
        },
        end() {
          if (!hasBegun) {
            if (count < mostAttempts.unsent) setTimeout(attempt, unknownMs, count + 1);
            else fail(isDown(upstream, 'it does not accept the gateway'), 'assertion refused');
            return;
          }
          const outcome = outcomeOf(told ?? (streams ? lastOutcomeIn(tail) : undefined), status);
          const finish = () => {
            response.end();
            end(outcome);
          };
          if (!hold) finish();
          else void hold.end().finally(finish);
        },
        fail: broke,
      },
      undefined,
      exchange.caller.hash,
    );
  };

  /** At once where the service is up; else when it is up again. */
  const begin = (count: number, after?: LineError) => {
    if (upstream.isUpNow && !after) {
      attempt(count);
      return;
    }
    const wait = async () => {
      const isUp = await upstream.isUp();
      if (isOver) return;
      if (isUp) attempt(count);
      else fail(isDown(upstream), after?.message ?? upstream.trouble);
    };
    wait().catch((error: unknown) => {
      account.log.error('relay_broke', { error, traceId: exchange.trace.traceId });
      fail({ code: 'internal', message: `Internal error (ref ${exchange.trace.traceId}).` });
    });
  };
  begin(1);
}

const legacyVersion = '2025-11-25';
/** No tool of the fleet takes longer. */
const longestAskMs = 15 * 60_000;
const mostAskedBytes = 64 * 1024 * 1024;

/**
 * Asks for what comes as one of several messages, which cannot be handed on as it is. @returns the protocol's result
 *
 * @throws RpcError as the service says it, or where it cannot be asked.
 */
export async function askFor(
  account: Watched,
  { exchange, signal, progress }: Pick<Asked, 'exchange' | 'signal' | 'progress'>,
  upstream: Upstream,
  errand: Accounted,
  params: Readonly<Record<string, unknown>>,
): Promise<Record<string, unknown>> {
  const startedAtMs = performance.now();
  const settle = (outcome: 'ok' | ErrorCode, responseBytes: number, reason?: string) => {
    const how = { outcome, reason, startedAtMs, responseBytes, protocolVersion: 'other' };
    ended(account, exchange, upstream.name, errand, how);
  };
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: errand.method, params });
  const events = exchange.takesEvents ? ', text/event-stream' : '';
  const headers = ['content-type', 'application/json', 'accept', `application/json${events}`];
  headers.push('mcp-protocol-version', legacyVersion, 'traceparent', exchange.trace.traceparent);
  headers.push('authorization', `Bearer ${upstream.authorization(exchange.caller.hash)}`);
  try {
    if (!(await upstream.isUp())) throw new LineError(upstream.trouble ?? 'it went away', false);
    const heard = hearing(params, progress);
    const { hash: caller } = exchange.caller;
    const limits = { timeoutMs: longestAskMs, maxBytes: mostAskedBytes, caller, signal, heard };
    let answer = await upstream.line.ask(headers, body, limits);
    if (answer.status === 401) {
      await sleep(unknownMs);
      answer = await upstream.line.ask(headers, body, limits);
    }
    if (answer.status === 401) throw new LineError('it does not accept the gateway', false);
    const { result, error } = lastMessageOf(answer) as { result?: Record<string, unknown>; error?: RpcError };
    const told =
      answer.headers['flotilla-outcome'] ?? lastOutcomeIn(Buffer.from(answer.text).subarray(-tailBytes));
    settle(outcomeOf(told as string | undefined, answer.status), Buffer.byteLength(answer.text));
    if (error) throw new RpcError(error.code, error.message, error.data);
    return result ?? {};
  } catch (error) {
    if (error instanceof RpcError) throw error;
    const wasSent = !(error instanceof LineError) || error.wasSent;
    const failure = signal.aborted ? gone : wasSent ? brokeOff(upstream, errand.effect) : isDown(upstream);
    settle(failure.code, 0, String(error));
    return failedAnswer(errand.method, failure);
  }
}

/** What passes on how far it is, where the client asked for that. */
function hearing(
  { _meta: meta }: Readonly<Record<string, unknown>>,
  progress: Asked['progress'],
): ((piece: Buffer) => void) | undefined {
  if ((meta as { readonly progressToken?: unknown } | undefined)?.progressToken === undefined)
    return undefined;
  const events = new Events();
  return (piece) => {
    for (const message of events.take(piece)) {
      const { method, params } = message as { readonly method?: string; readonly params?: Progress };
      if (method === 'notifications/progress' && params)
        progress(params.progress, params.total, params.message);
    }
  };
}

interface Progress {
  readonly progress: number;
  readonly total?: number;
  readonly message?: string;
}

export const gone: Failure = { code: 'cancelled', message: 'The call was cancelled.' };

function isDown({ name, trouble }: Upstream, reason = trouble ?? 'it went away'): Failure {
  return {
    code: 'unavailable',
    message: `${name} cannot be called now: ${reason}.`,
    hint: 'Its tools are back when it is. The other services are not affected; flotilla status shows all of them.',
    retryAfterMs: 5_000,
  };
}

function brokeOff({ name }: Upstream, effect: Effect): Failure {
  return {
    code: 'unavailable',
    message: `${name} went away before it answered.`,
    hint: againAfter(effect),
  };
}

function outcomeOf(told: string | undefined, status: number): 'ok' | ErrorCode {
  if (told === 'ok') return 'ok';
  if (told !== undefined && Object.hasOwn(errorCodes, told)) return told as ErrorCode;
  if (status < 400) return 'ok';
  if (status === 403) return 'forbidden';
  return status < 500 ? 'invalid_input' : 'unavailable';
}

function lastOutcomeIn(tail: Buffer): string | undefined {
  return [...tail.toString('latin1').matchAll(outcomePattern)].at(-1)?.[1];
}

/** In the form that the protocol has for it: a result of a tool call, an error of anything else. @returns its length */
export function answerFailure(
  response: ServerResponse,
  exchange: Exchange,
  errand: Pick<Errand, 'method' | 'id' | 'protocolVersion' | 'origin'>,
  failure: Failure,
): number {
  if (response.headersSent || response.destroyed) return 0;
  const text = failedMessage(errand, failure);
  const length = Buffer.byteLength(text);
  const { retryAfterMs } = failure;
  const retry = retryAfterMs === undefined ? [] : ['retry-after', String(Math.ceil(retryAfterMs / 1_000))];
  response.writeHead(200, [
    ...ownHeaders(exchange, errand.origin),
    ...retry,
    'content-type',
    'application/json',
    'content-length',
    String(length),
    'flotilla-outcome',
    failure.code,
  ]);
  response.end(text);
  return length;
}

/** By these an event ends, or not. */
const lastIn = (bytes: Buffer | string) =>
  typeof bytes === 'string' ? bytes.slice(-2) : bytes.toString('latin1', Math.max(0, bytes.length - 2));

/**
 * Ends an answer that has begun, as a service does: a stream with the failure as its last event. Of any other answer the client
 * sees that it has no end.
 *
 * @param written what the stream ends with so far
 * @returns the length of the event
 */
function breakOff(
  response: ServerResponse,
  errand: Pick<Errand, 'method' | 'id' | 'protocolVersion'>,
  failure: Failure,
  written: string | undefined,
): number {
  if (response.destroyed) return 0;
  if (written === undefined) {
    response.destroy();
    return 0;
  }
  // What has no end is no event, and would take the next one into it.
  const isWhole = written === '' || written === '\n\n';
  const event = isWhole ? `event: message\ndata: ${failedMessage(errand, failure, true)}\n\n` : '';
  response.end(event);
  return Buffer.byteLength(event);
}

function failedMessage(
  { method, id, protocolVersion }: Pick<Errand, 'method' | 'id' | 'protocolVersion'>,
  failure: Failure,
  inStream = false,
): string {
  const modern = protocolVersion === modernVersion && { resultType: 'complete' };
  const answer =
    method === 'tools/call'
      ? { result: { ...failedResult(failure, inStream), ...modern } }
      : { error: failedRequest(failure) };
  return JSON.stringify({ jsonrpc: '2.0', id, ...answer });
}

/** As a result of a tool; in a stream, no header tells the outcome. */
export function failedResult({ code, message, hint, retryAfterMs, isOverRate }: Failure, inStream = false) {
  return {
    content: [{ type: 'text', text: hint === undefined ? message : `${message}\n${hint}` }],
    isError: true,
    _meta: metaOf({
      error: { code, message, hint, retryAfterMs, isOverRate },
      ...(inStream && { outcome: code }),
    }),
  };
}

/** As JSON-RPC's error. */
export function failedRequest({ code, message, hint, retryAfterMs }: Failure) {
  const data = metaOf({ error: { code, message, hint, retryAfterMs } });
  return { code: code === 'forbidden' ? -32_600 : -32_603, message, data };
}

/** In place of an answer that the protocol's server puts together. @throws RpcError where it is no result */
export function failedAnswer(method: string, failure: Failure): Record<string, unknown> {
  if (method === 'tools/call') return failedResult(failure);
  const { code, message, data } = failedRequest(failure);
  throw new RpcError(code, message, data);
}

/** Of a tool of the gateway's own. */
export function failureOf({ code, message, hint, retryAfterMs }: ToolError): Failure {
  return {
    code,
    message,
    ...(hint !== undefined && { hint }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
}

export function ownHeaders({ trace }: Exchange, origin: string | undefined): string[] {
  const headers = ['traceparent', trace.traceparent, 'x-content-type-options', 'nosniff'];
  if (origin !== undefined) headers.push(...Object.entries(originHeaders(origin)).flat());
  return headers;
}

const isLength = (name: string) => name === 'content-length';

/** Of a stream in which an event may become another one. */
function withoutLength(headers: readonly string[]): string[] {
  const at = headers.findIndex(isLength);
  return at < 0 ? [...headers] : headers.toSpliced(at, 2);
}

/** An answer in place of what was announced has a length of its own; what goes on as it is may come in pieces. */
const withLength = (headers: readonly string[], bytes: Buffer | string) =>
  typeof bytes === 'string'
    ? [...withoutLength(headers), 'content-length', String(Buffer.byteLength(bytes))]
    : [...headers];

/** The headers of a request that its service is to see. */
export function headersFor({ headers, rawHeaders }: IncomingMessage, { trace }: Exchange): string[] {
  const kept = ['content-type', 'application/json', 'traceparent', trace.traceparent];
  if (headers.accept !== undefined) kept.push('accept', headers.accept);
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = rawHeaders[at]?.toLowerCase() ?? '';
    if (name.startsWith('mcp-') && name !== 'mcp-session-id') kept.push(name, rawHeaders[at + 1] ?? '');
  }
  return kept;
}
