/** The HTTP side of a process: who may talk to it at all, and the endpoints that every process has. */
import type { IncomingMessage } from 'node:http';
import { performance } from 'node:perf_hooks';

import { Hono, type Context } from 'hono';

import type { Account, Exchange } from '../account/calls.ts';
import type { Mcp } from './mcp.ts';
import { metricsType } from '../account/metrics.ts';
import { allowedEffect, mayBackUp } from '../access/scope.ts';
import type { Readiness, Route } from '../service.ts';
import type { Snapshots } from '../data/snapshot.ts';
import type { Caller } from '../access/tokens.ts';
import { continueTrace } from '../account/trace.ts';

/** What the endpoints need to know of their process. */
export interface Site {
  readonly account: Account;
  readonly version: string;
  readonly mcp: Mcp | undefined;
  readonly routes: readonly Route<unknown>[];
  readonly deps: unknown;
  readonly authenticate: (secret: string) => Caller | undefined;
  readonly readiness: () => Promise<Readiness>;
  readonly describe: () => Readonly<Record<string, unknown>>;
  readonly streams: Streams;
  readonly snapshots: Snapshots;
}

/** How often a stream's token is looked at again: a revoked one is dead within a second. */
const streamCheckMs = 250;

/** Responses that stay open: they end when their token does. */
export class Streams implements Disposable {
  readonly #open = new Set<{ readonly caller: Caller; readonly end: () => void }>();
  readonly #timer: NodeJS.Timeout;

  constructor(isAlive: (caller: Caller) => boolean) {
    this.#timer = setInterval(() => {
      for (const stream of this.#open) if (!isAlive(stream.caller)) stream.end();
    }, streamCheckMs);
    this.#timer.unref();
  }

  /** The same response, which `end` can cut off. */
  guard(response: Response, caller: Caller): Response {
    if (!response.body) return response;
    const reader = response.body.getReader();
    const stream = {
      caller,
      end: () => void reader.cancel().catch(() => {}),
    };
    this.#open.add(stream);
    // However it ends: by itself, by us, by the client or by an error.
    const forget = () => this.#open.delete(stream);
    reader.closed.then(forget, forget);
    const body = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        const { done, value } = await reader.read();
        if (value) controller.enqueue(value);
        if (done) controller.close();
      },
      cancel: () => stream.end(),
    });
    return new Response(body, { status: response.status, headers: response.headers });
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** What the server hands the app besides the request. */
interface Bindings {
  readonly incoming: IncomingMessage;
}

const loopbackNames = new Set(['127.0.0.1', 'localhost', '[::1]']);

/** What nearly every client sends: found without parsing. */
const plainHost = /^(?:127\.0\.0\.1|localhost)(?::\d{1,5})?$/;

/** A page of another site can reach loopback under its own name (DNS rebinding) or send requests from there (CSRF). */
export function foreignHeader(
  host: string | undefined,
  origin: string | undefined,
): 'host' | 'origin' | undefined {
  if (host === undefined || !(plainHost.test(host) || loopbackNames.has(hostnameOf(`http://${host}`))))
    return 'host';
  if (origin !== undefined && !loopbackNames.has(hostnameOf(origin))) return 'origin';
  return undefined;
}

function hostnameOf(url: string): string {
  return URL.parse(url)?.hostname ?? '';
}

/** The secret of an `Authorization: Bearer` header (RFC 6750). */
export function bearerOf(authorization: string | undefined): string | undefined {
  return /^Bearer +([\w.~+/-]+=*) *$/i.exec(authorization ?? '')?.[1];
}

/** What the hot path had read when it found that the request was for the app. */
interface Early {
  readonly body: string;
  /** Called when the SDK has let the request come as far as an outcome. */
  readonly accepted: () => void;
}

const earlyReads = new WeakMap<IncomingMessage, Early>();

export function handOver(request: IncomingMessage, early: Early): void {
  earlyReads.set(request, early);
}

export function createApp(site: Site): Hono<{ Bindings: Bindings }> {
  const { account, routes } = site;
  const app = new Hono<{ Bindings: Bindings }>();
  const startedAtMs = performance.now();

  app.use(async (context, next) => {
    const foreign = foreignHeader(context.req.header('host'), context.req.header('origin'));
    if (foreign) {
      account.metrics.countRefusal(foreign);
      return refuse(
        403,
        `The ${foreign === 'host' ? 'Host' : 'Origin'} header names another site: use 127.0.0.1 or localhost.`,
      );
    }
    await next();
    context.res.headers.set('x-content-type-options', 'nosniff');
    return undefined;
  });

  app.get('/health', (context) =>
    context.json({
      name: account.service,
      status: 'pass',
      version: site.version,
      pid: process.pid,
      uptimeMs: Math.round(performance.now() - startedAtMs),
      ...site.describe(),
    }),
  );
  app.get('/ready', async (context) => {
    const readiness = await site.readiness();
    account.metrics.setReady(readiness.ready);
    return context.json({ name: account.service, ...readiness }, readiness.ready ? 200 : 503);
  });
  if (!routes.some(({ path }) => path === '/metrics')) {
    app.get('/metrics', async (context) =>
      context.text(await account.metrics.text(), 200, { 'content-type': metricsType }),
    );
  }

  const { mcp } = site;
  if (mcp) {
    app.all('/mcp', async (context) => {
      const caller = authenticated(site, context);
      if (caller instanceof Response) return caller;
      const exchange: Exchange = {
        caller,
        requestBytes: 0,
        trace: continueTrace(context.req.header('traceparent')),
        outcome: undefined,
      };
      const early = earlyReads.get(context.env.incoming);
      const response = await mcp.fetch(context.req.raw, exchange, early?.body);
      if (exchange.outcome !== undefined) early?.accepted();
      const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') ?? false;
      const answer = isStream ? site.streams.guard(response, caller) : new Response(response.body, response);
      if (isStream) answer.headers.set('x-accel-buffering', 'no');
      if (exchange.outcome && !isStream) answer.headers.set('flotilla-outcome', exchange.outcome);
      answer.headers.set('traceparent', exchange.trace.traceparent);
      return answer;
    });
  }

  app.post('/admin/snapshot', (context) => {
    const caller = authenticated(site, context);
    return caller instanceof Response ? caller : snapshot(site, caller);
  });

  for (const route of routes) {
    app.get(route.path, async (context) => {
      if (route.access === 'token') {
        const caller = authenticated(site, context);
        if (caller instanceof Response) return caller;
        if (!allowedEffect(caller.scope, account.service)) {
          account.metrics.countRefusal('forbidden');
          return refuse(403, `The token "${caller.name}" may not read ${account.service}.`);
        }
      }
      return route.handle(context.req.raw, site.deps);
    });
  }

  app.notFound((context) => refuse(404, `There is no ${context.req.path} here.`));
  app.onError((error, context) => {
    // A client that went away in the middle of its request is no fault of ours, and hears no answer.
    if (context.req.raw.signal.aborted) return refuse(400, 'The request was not sent to its end.');
    const { traceId } = continueTrace(undefined);
    account.log.error('request_broke', { error, traceId });
    return refuse(500, `Internal error (ref ${traceId}).`);
  });
  return app;
}

/** A consistent copy of what the process keeps, for whoever makes a backup. */
function snapshot({ account, snapshots, streams }: Site, caller: Caller): Response {
  const { audit, log, metrics, now } = account;
  const startedAtMs = now();
  const { traceId } = continueTrace(undefined);
  const record = (outcome: string, responseBytes = 0) => {
    audit.append({
      time: new Date(startedAtMs).toISOString(),
      caller: caller.name,
      method: 'POST /admin/snapshot',
      target: null,
      outcome,
      durationMs: now() - startedAtMs,
      requestBytes: 0,
      responseBytes,
      traceId,
    });
  };
  if (!mayBackUp(caller.scope)) {
    metrics.countRefusal('forbidden');
    record('forbidden');
    return refuse(
      403,
      `The token "${caller.name}" may not copy what is kept here: it lacks the scope backup.`,
    );
  }
  const stream = snapshots.take(({ outcome, error, sentBytes }) => {
    if (outcome === 'unavailable') log.error('snapshot_failed', { error, traceId });
    else log.info('snapshot', { outcome, sentBytes, durationMs: now() - startedAtMs });
    record(outcome, sentBytes);
  });
  if (!stream) {
    record('conflict');
    return refuse(409, 'Another snapshot is being taken: try again when it has ended.');
  }
  const headers = { 'content-type': 'application/octet-stream', 'cache-control': 'no-store' };
  return streams.guard(new Response(stream, { headers }), caller);
}

function authenticated({ account, authenticate }: Site, context: Context): Caller | Response {
  const secret = bearerOf(context.req.header('authorization'));
  const caller = secret === undefined ? undefined : authenticate(secret);
  if (caller) return caller;
  account.metrics.countRefusal('unauthenticated');
  account.audit.appendStranger({
    time: new Date(account.now()).toISOString(),
    caller: '',
    method: `${context.req.method} ${context.req.routePath}`,
    target: null,
    outcome: 'unauthenticated',
    durationMs: 0,
    requestBytes: 0,
    responseBytes: 0,
    traceId: '',
  });
  const reason =
    secret === undefined ? 'A bearer token is missing' : 'The bearer token is unknown, revoked or expired';
  return refuse(401, `${reason}. The first one lies in the data folder; see: flotilla token --help`, {
    'www-authenticate': secret === undefined ? 'Bearer' : 'Bearer error="invalid_token"',
  });
}

function refuse(status: number, error: string, headers: Record<string, string> = {}): Response {
  return Response.json({ error }, { status, headers });
}
