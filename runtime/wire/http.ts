/** The HTTP side of a process: who may talk to it at all, and the endpoints that every process has. */
import { Hono, type Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { z } from 'zod';

import { AssertionReader } from '../access/assertions.ts';
import { parsePlace, placeText, trailPage } from '../account/audit-pages.ts';
import { refusalRecord, type Account, type Exchange } from '../account/calls.ts';
import { inForm } from './answer-form.ts';
import { bearerOf, insufficientScope, originHeaders, type ForeignCheck } from './foreign.ts';
import type { Admitted } from './gate.ts';
import { eventsResponse, streamHeaders, type Listeners } from './listening.ts';
import type { Mcp } from './mcp.ts';
import type { Sessions } from './sessions.ts';
import type { Log } from '../account/log.ts';
import { metricsType } from '../account/metrics.ts';
import { mayUse } from '../access/choice.ts';
import type { ErrorCode } from '../errors.ts';
import { allowedEffect, covers, hasWide } from '../access/scope.ts';
import { pathsOf, type Face, type Relay, type Route } from '../service.ts';
import type { Effect } from '../tool.ts';
import type { Held, Snapshots } from '../data/snapshot.ts';
import type { Caller } from '../access/tokens.ts';
import { continueTrace } from '../account/trace.ts';
import { healthType, probeAnswer, wantsDocument, type VitalSigns } from './vital-signs.ts';

/** What the endpoints need to know of their process. */
export interface Site {
  readonly account: Account;
  readonly mcp: Mcp | undefined;
  readonly routes: readonly Route<unknown>[];
  readonly deps: unknown;
  readonly foreign: ForeignCheck;
  readonly authenticate: (secret: string) => Caller | undefined;
  readonly signs: VitalSigns;
  readonly streams: Streams;
  /** Of clients of the older revisions; `undefined` where the SDK keeps them. */
  readonly sessions: Sessions | undefined;
  readonly snapshots: Snapshots;
  readonly relay?: Relay | undefined;
  readonly listeners?: Listeners | undefined;
}

/** How often a stream's token is looked at again: a revoked or narrowed one is dead within a second. */
const streamCheckMs = 250;

/** Streams on which one token may listen at once. */
const mostPerToken = 128;

/** Of one that stays open, or is about to; given back when it is disposed. */
export interface Place extends Disposable {
  readonly caller: Caller;
  /** Ends what has it. */
  end: () => void;
}

/** Responses that stay open: they end when their token does. */
export class Streams implements Disposable {
  readonly #open = new Set<Place>();
  readonly #isCurrent: (caller: Caller) => boolean;
  readonly #log: Pick<Log, 'error'>;
  #timer: NodeJS.Timeout | undefined;

  constructor(isCurrent: (caller: Caller) => boolean, log: Pick<Log, 'error'>) {
    this.#isCurrent = isCurrent;
    this.#log = log;
  }

  /** Whether this token listens on as many streams as it may. */
  areTaken({ name }: Caller): boolean {
    let count = 0;
    for (const { caller } of this.#open) if (caller.name === name) count += 1;
    return count >= mostPerToken;
  }

  /** A place for one more, before it is begun: others that come meanwhile count it. `undefined` where all are taken. */
  take(caller: Caller): Place | undefined {
    return this.areTaken(caller) ? undefined : this.hold(caller, () => {});
  }

  /** What stays open in another way. */
  hold(caller: Caller, end: () => void): Place {
    const place: Place = {
      caller,
      end,
      [Symbol.dispose]: () => {
        this.#open.delete(place);
        if (this.#open.size === 0) this.#rest();
      },
    };
    this.#open.add(place);
    this.#timer ??= setInterval(() => this.#check(), streamCheckMs).unref();
    return place;
  }

  #check(): void {
    for (const place of this.#open) if (!this.#isCurrent(place.caller)) place.end();
  }

  #rest(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** The same response, which can be cut off; it has the place, and gives it back. What breaks in it only the log hears. */
  guard(response: Response, caller: Caller, traceId: string, place = this.hold(caller, () => {})): Response {
    if (!response.body) {
      place[Symbol.dispose]();
      return response;
    }
    const reader = response.body.getReader();
    const end = () => void reader.cancel().catch(() => {});
    place.end = end;
    // However it ends: by itself, by us, by the client or by an error.
    const forget = () => place[Symbol.dispose]();
    reader.closed.then(forget, forget);
    let isGone = false;
    const body = new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          try {
            const { done, value } = await reader.read();
            if (isGone) return;
            if (value) controller.enqueue(value);
            if (done) controller.close();
          } catch (error) {
            if (isGone) return;
            this.#log.error('request_broke', { error, traceId });
            // Events may end at any time; of anything else, a part must not be taken for the whole.
            if (isEvents(response)) controller.close();
            else controller.error(new Error(`Internal error (ref ${traceId}).`));
          }
        },
        cancel: () => {
          isGone = true;
          end();
        },
      },
      // What a client has not asked for is not made yet.
      { highWaterMark: 0 },
    );
    return new Response(body, { status: response.status, headers: response.headers });
  }

  [Symbol.dispose](): void {
    this.#rest();
  }
}

const isEvents = ({ headers }: Response): boolean =>
  headers.get('content-type')?.startsWith('text/event-stream') ?? false;

/** What comes with a request: a message that has passed the gate. Nothing where a test asks without a server. */
interface Bindings {
  readonly admitted?: (Admitted & { readonly accepted?: (() => void) | undefined }) | undefined;
}

export function createApp(site: Site): Hono<{ Bindings: Bindings }> {
  const { account, routes } = site;
  const app = new Hono<{ Bindings: Bindings }>();
  const face = site.relay?.face;

  app.use(async (context, next) => {
    const origin = context.req.header('origin');
    const foreign = site.foreign(context.req.header('host'), origin);
    if (foreign) {
      account.metrics.countRefusal(foreign);
      const [header, setting] =
        foreign === 'host' ? ['Host', 'FLOTILLA_ALLOWED_HOSTS'] : ['Origin', 'FLOTILLA_ALLOWED_ORIGINS'];
      const refused = refuse(
        403,
        `The ${header} header names another site: use 127.0.0.1 or localhost, or let the operator add it to ${setting}.`,
      );
      return face && context.req.path.startsWith(face.under) ? inFormOf(face, context.req, refused) : refused;
    }
    if (origin !== undefined && context.req.method === 'OPTIONS') return preflight(origin);
    await next();
    if (face && context.req.path.startsWith(face.under) && context.res.status >= 400)
      context.res = await inFormOf(face, context.req, context.res);
    // Hono answers HEAD as GET, and leaves the body lying: whoever makes it would wait for a reader for ever.
    if (context.req.method === 'HEAD') await context.res.body?.cancel();
    context.res.headers.set('x-content-type-options', 'nosniff');
    if (origin !== undefined) allowOrigin(context.res.headers, origin);
    return undefined;
  });

  const { signs, probes, documents } = site.signs;
  for (const path of ['/health', '/ready'] as const) {
    app.get(path, async (context) => {
      const isDocument = wantsDocument(context.req.header('accept'));
      const { status, body } = await (isDocument ? documents : signs)[path]();
      return context.body(body, status, {
        'content-type': isDocument ? healthType : 'application/json',
        vary: 'accept',
      });
    });
  }
  for (const [path, find] of Object.entries(probes)) {
    app.get(`${path}/:check?`, async (context) => {
      const only = context.req.param('check');
      const answer = probeAnswer(path, await find(), { only, query: new URL(context.req.url).searchParams });
      return answer
        ? context.text(answer.body, answer.status, { 'cache-control': 'no-store' })
        : refuse(404, `There is no such check: ${path}?verbose lists them.`);
    });
  }
  if (!routes.some(({ path }) => path === '/metrics')) {
    app.get('/metrics', async (context) =>
      context.text(await account.metrics.text(), 200, { 'content-type': metricsType }),
    );
  }

  const { mcp } = site;
  if (mcp) {
    app.all('/mcp', async (context) => {
      const { admitted } = context.env;
      const caller = admitted?.exchange.caller ?? authenticated(site, context);
      if (caller instanceof Response) return caller;
      // What it may ask has come through the gate.
      if (!admitted && caller.only !== undefined) return tooFar(site, context, caller);
      const exchange: Exchange = admitted?.exchange ?? {
        caller,
        session: undefined,
        takesEvents: true,
        query: new URL(context.req.url).search.slice(1),
        requestBytes: 0,
        trace: continueTrace(context.req.header('traceparent')),
        outcome: undefined,
      };
      const isListening = listens(context.req.method, admitted?.message);
      using stack = new DisposableStack();
      const place = isListening ? site.streams.take(caller) : undefined;
      if (isListening && !place) return tooMany(site, caller);
      if (place) stack.use(place);
      const asked = context.req.header('mcp-session-id');
      if (site.sessions && !admitted && asked !== undefined) {
        const stream = inSession(site, site.sessions, asked, caller, context.req.method);
        if (!(stream instanceof ReadableStream)) return stream;
        stack.move();
        return site.streams.guard(
          new Response(stream, { headers: streamHeaders }),
          caller,
          exchange.trace.traceId,
          place,
        );
      }
      if (site.sessions && !admitted && context.req.method !== 'POST') {
        return refuse(405, 'Messages are sent by POST.', { allow: 'POST' });
      }
      const message = admitted?.message as Message;
      if (exchange.session !== undefined && message?.method === 'notifications/cancelled') {
        site.sessions?.cancel(exchange.session, message.params?.requestId);
      }
      const response = await inForm(context.req.raw, async (request) =>
        mcp.fetch(request, exchange, admitted?.message),
      );
      if (exchange.outcome !== undefined) admitted?.accepted?.();
      const isStream = isEvents(response);
      const answer = isStream
        ? site.streams.guard(response, caller, exchange.trace.traceId, place)
        : new Response(response.body, response);
      if (isStream) {
        stack.move();
        answer.headers.set('x-accel-buffering', 'no');
        // Whether the connection is kept is the server's to say, who may be stopping.
        answer.headers.delete('connection');
      }
      if (message?.method === 'initialize' && response.ok && site.sessions) {
        const session = site.sessions.begin(caller);
        site.relay?.begun(session, message.params, caller);
        answer.headers.set('mcp-session-id', session);
      }
      if (exchange.outcome && !isStream) answer.headers.set('flotilla-outcome', exchange.outcome);
      answer.headers.set('traceparent', exchange.trace.traceparent);
      return answer;
    });
  }

  app.post(
    '/admin/snapshot',
    bodyLimit({
      maxSize: longestHeldBytes,
      onError: () => refuse(413, `The list of what is held is longer than ${longestHeldBytes} bytes.`),
    }),
    async (context) => {
      const caller = authenticated(site, context);
      return caller instanceof Response ? caller : snapshot(site, caller, await context.req.text());
    },
  );

  app.get('/admin/audit', async (context) => {
    const caller = authenticated(site, context);
    return caller instanceof Response ? caller : auditPage(site, caller, context.req.query('from'));
  });

  // Of two that fit, the first is taken.
  const exactFirst = routes.toSorted((one, other) => variablesIn(one) - variablesIn(other));
  for (const route of exactFirst) {
    app.on(route.method ?? 'GET', route.path.replaceAll(variable, ':$1'), async (context) => {
      const handle = async (caller: string) =>
        route.handle(context.req.raw, site.deps, caller, context.req.param());
      if (route.access === 'open') return handle('');
      const caller = authenticated(site, context);
      if (caller instanceof Response) return caller;
      const { only } = caller;
      if (only === 'canary' || (only && !(route.method === undefined && only.includes(route.path))))
        return tooFar(site, context, caller);
      if (route.access === 'admin') return administered(site, route, context, caller);
      const { effect = 'read' } = route;
      if (!covers(account.allowed(caller.scope), effect)) {
        return notCovered(site, caller, effect);
      }
      if (route.tool && !mayUse(caller, account.choosable(route.tool)))
        return notChosen(site, context, caller, route.tool.name);
      if (route.access === 'gateway') return relayed(site, route, context, caller);
      if (!route.isStream) return handle(caller.name);
      return opened(site, context, caller, async () => handle(caller.name));
    });
  }

  const { listeners } = site;
  if (listeners) {
    app.get(pathsOf(listeners.listened).events, async (context) => {
      const caller = authenticated(site, context);
      if (caller instanceof Response) return caller;
      if (caller.only !== undefined) return tooFar(site, context, caller);
      if (!covers(account.allowed(caller.scope), listeners.listened.effect))
        return notCovered(site, caller, listeners.listened.effect);
      const { tool } = listeners.listened;
      if (tool && !mayUse(caller, account.choosable(tool)))
        return notChosen(site, context, caller, tool.name);
      return opened(site, context, caller, async (traceId) =>
        eventsResponse(listeners, context.req.raw, caller, (error) => {
          account.log.error('request_broke', { error, traceId });
          return `Internal error (ref ${traceId}).`;
        }),
      );
    });
  }

  // What comes here has not passed the gate, for want of a good token.
  if (face)
    app.all(`${face.under}*`, (context) => {
      const caller = authenticated(site, context);
      if (caller instanceof Response) return caller;
      return refuse(503, 'The token has become good in this moment: try again.', { 'retry-after': '1' });
    });

  app.notFound(({ req: { method, path } }) => {
    const allow = methodsAt(app, path).join(', ');
    return allow === ''
      ? refuse(404, `There is no ${path} here.`)
      : refuse(405, `${method.slice(0, 20)} is not done here: ${allow} are.`, { allow });
  });
  app.onError((error, context) => {
    // A client that went away in the middle of its request is no fault of ours, and hears no answer.
    if (context.req.raw.signal.aborted) return refuse(400, 'The request was not sent to its end.');
    const { traceId } =
      // The watchdog asks from within, without a connection.
      (context.env as Partial<typeof context.env> | undefined)?.admitted?.exchange.trace ??
      continueTrace(context.req.header('traceparent'));
    account.log.error('request_broke', { error, traceId });
    return refuse(500, `Internal error (ref ${traceId}).`);
  });
  return app;
}

const methods = ['DELETE', 'GET', 'PATCH', 'POST', 'PUT'];

/** By which methods a path is asked; `HEAD` goes with `GET`. */
function methodsAt({ router }: Pick<Hono<{ Bindings: Bindings }>, 'router'>, path: string): string[] {
  const handlers = (method: string) => router.match(method, path)[0].length;
  // What is done for all methods is for no one of them.
  const always = handlers('NONE');
  return methods
    .filter((method) => handlers(method) > always)
    .flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
}

/** A refusal of ours as the clients of a face read it. */
async function inFormOf(face: Face, request: Context['req'], response: Response): Promise<Response> {
  const told = (await response.json()) as { readonly error: string; readonly hint?: string };
  const { traceId, traceparent } = continueTrace(request.header('traceparent'));
  const { type, text } = face.turned(
    { status: response.status, message: told.error, hint: told.hint },
    request.header('accept'),
    traceId,
  );
  const headers = new Headers(response.headers);
  headers.delete('content-length');
  headers.set('content-type', type);
  headers.set('cache-control', 'no-store');
  headers.set('traceparent', traceparent);
  return new Response(request.method === 'HEAD' ? null : text, { status: response.status, headers });
}

function notCovered({ account }: Site, { name }: Caller, effect: Effect): Response {
  account.metrics.countRefusal('forbidden');
  return refuse(
    403,
    `The token "${name}" may not ${effect} ${effect === 'read' ? '' : 'in '}${account.service}.`,
    {
      'www-authenticate': insufficientScope(account.service),
    },
  );
}

/** A token that carries a choice of tools does not get by another way what the tool would give. */
function notChosen({ account }: Site, context: Context, { name }: Caller, tool: string): Response {
  account.metrics.countRefusal('forbidden');
  const method = `${context.req.method} ${context.req.routePath}`;
  account.audit.appendCall(refusalRecord(account, { caller: name, method, outcome: 'forbidden' }), false);
  return refuse(
    403,
    `The token "${name}" was not made for ${tool}, which does the same. See: flotilla token create --help`,
  );
}

const variable = /\{(\w+)\}/g;
const variablesIn = ({ path }: Route<unknown>) => path.match(variable)?.length ?? 0;

/** What an answer that is none says in the audit trail. */
const outcomes: ReadonlyMap<number, ErrorCode> = new Map([
  [403, 'forbidden'],
  [404, 'not_found'],
  [409, 'conflict'],
  [413, 'too_large'],
  [500, 'internal'],
  [503, 'unavailable'],
]);

function tooMany({ account }: Site, { name }: Caller): Response {
  account.metrics.countRefusal('busy');
  return refuse(
    503,
    `The token "${name}" listens on ${mostPerToken} streams already: end one, and try again.`,
    { 'retry-after': '1' },
  );
}

/** An answer that may stay open, of which each token has so many. It is recorded. */
async function opened(
  site: Site,
  context: Context,
  caller: Caller,
  begin: (traceId: string) => Promise<Response>,
): Promise<Response> {
  const { account, streams } = site;
  const { traceId } = continueTrace(context.req.header('traceparent'));
  const place = streams.take(caller);
  if (!place) return tooMany(site, caller);
  using stack = new DisposableStack();
  stack.use(place);
  const response = await begin(traceId);
  const method = `${context.req.method} ${context.req.routePath}`;
  const outcome = response.ok ? 'ok' : (outcomes.get(response.status) ?? 'invalid_input');
  account.audit.appendCall(refusalRecord(account, { caller: caller.name, method, outcome }), false);
  if (!response.ok) return response;
  stack.move();
  return streams.guard(response, caller, traceId, place);
}

/** Calls a route of the gateway's, whose answer ends with the caller's token. */
async function relayed(
  { account, deps, streams }: Site,
  route: Route<unknown>,
  { req: request }: Context,
  caller: Caller,
): Promise<Response> {
  const { audit, metrics } = account;
  const { traceId } = continueTrace(request.header('traceparent'));
  const record = (outcome: 'ok' | 'forbidden') => {
    const refusal = refusalRecord(account, { caller: caller.name, method: `POST ${route.path}`, outcome });
    audit.appendCall({ ...refusal, traceId }, outcome === 'ok');
  };
  // A process that asks in its own name has no token; in that of one only the gateway does.
  const isOfToken =
    caller.hash !== '' && AssertionReader.isOne(bearerOf(request.header('authorization')) ?? '');
  if (!isOfToken) {
    metrics.countRefusal('forbidden');
    record('forbidden');
    return refuse(403, 'Only the gateway may ask for this.');
  }
  if (audit.full)
    return refuse(503, 'The audit trail cannot be written, so no calls are taken.', { 'retry-after': '5' });
  if (route.effect !== undefined && route.effect !== 'read') record('ok');
  return streams.guard(await route.handle(request.raw, deps, caller.name, request.param()), caller, traceId);
}

/** Calls a route of administrators: recorded, on disk before the answer. */
async function administered(
  { account, deps }: Site,
  route: Route<unknown>,
  { req: request }: Context,
  caller: Caller,
): Promise<Response> {
  const { audit, log, metrics } = account;
  const method = `${route.method ?? 'GET'} ${route.path}`;
  if (allowedEffect(caller.scope, '*') !== 'destroy') {
    metrics.countRefusal('forbidden');
    audit.appendCall(refusalRecord(account, { caller: caller.name, method, outcome: 'forbidden' }), false);
    return refuse(
      403,
      `The token "${caller.name}" may not administer ${account.service}: it lacks the scope *.`,
    );
  }
  const startedAtMs = performance.now();
  const response = await route.handle(request.raw, deps, caller.name, request.param());
  const outcome = response.ok ? 'ok' : response.status < 500 ? 'invalid_input' : 'unavailable';
  const durationMs = Math.round(performance.now() - startedAtMs);
  audit.appendCall(
    { ...refusalRecord(account, { caller: caller.name, method, outcome }), durationMs },
    response.ok && route.effect !== undefined && route.effect !== 'read',
  );
  await audit.sync().catch((error: unknown) => log.error('audit_not_written', { error }));
  return response;
}

/** Cross-origin requests, as the Fetch standard has them, from pages that may call: https://fetch.spec.whatwg.org/#http-cors-protocol */
function preflight(origin: string): Response {
  const headers = new Headers({
    'access-control-allow-methods': 'GET, POST, PATCH, DELETE',
    'access-control-allow-headers': `a2a-extensions, a2a-version, authorization, content-type, flotilla-level, idempotency-key, if-match, if-none-match, last-event-id, mcp-method, mcp-name, mcp-protocol-version, mcp-session-id, traceparent`,
    'access-control-max-age': '600',
  });
  allowOrigin(headers, origin);
  return new Response(null, { status: 204, headers });
}

function allowOrigin(headers: Headers, origin: string): void {
  for (const [name, value] of Object.entries(originHeaders(origin))) headers.append(name, value);
}

/** As much of a message as is looked at here. */
type Message =
  | { readonly method?: unknown; readonly params?: { readonly requestId?: unknown } | null }
  | null
  | undefined;

/** What a session asks for without a message: to listen, or to end. */
function inSession(
  { account }: Site,
  sessions: Sessions,
  id: string,
  caller: Caller,
  method: string,
): Response | ReadableStream<Uint8Array> {
  if (!sessions.isOpen(id, caller))
    return refuse(404, 'The session is not known here, or has ended: initialize anew.');
  if (method === 'DELETE') {
    sessions.end(id);
    return new Response(null, { status: 204 });
  }
  if (method !== 'GET')
    return refuse(405, 'A session takes POST, GET and DELETE.', { allow: 'GET, POST, DELETE' });
  if (!sessions.isOfThisProcess(id)) {
    return refuse(
      404,
      'The service has started anew and has forgotten what the session subscribed to: initialize anew.',
    );
  }
  const stream = sessions.listen(id, caller.name);
  if (stream) return stream;
  account.metrics.countRefusal('busy');
  return refuse(503, `The token "${caller.name}" has too many sessions: end one.`, { 'retry-after': '1' });
}

/** Whether the answer will stay open: in both eras, clients ask for that in a way of its own. */
function listens(method: string, message: unknown): boolean {
  return method === 'GET' || (message as Message)?.method === 'subscriptions/listen';
}

const longestHeldBytes = 1024 * 1024;
const heldSchema = z.strictObject({ held: z.record(z.string(), z.string()) });

/** @returns `undefined` for what is no such list. */
function heldOf(body: string): Held | undefined {
  if (body === '') return new Map();
  try {
    return new Map(Object.entries(heldSchema.parse(JSON.parse(body)).held));
  } catch {
    return undefined;
  }
}

/** A consistent copy of what the process keeps, for whoever makes a backup. */
function snapshot({ account, snapshots, streams }: Site, caller: Caller, body: string): Response {
  const { audit, log, metrics, now } = account;
  const time = new Date(now()).toISOString();
  const startedAtMs = performance.now();
  const elapsedMs = () => Math.round(performance.now() - startedAtMs);
  const { traceId } = continueTrace(undefined);
  const record = (outcome: string, responseBytes = 0) => {
    audit.append({
      time,
      caller: caller.name,
      method: 'POST /admin/snapshot',
      target: null,
      outcome,
      durationMs: elapsedMs(),
      requestBytes: 0,
      responseBytes,
      traceId,
    });
  };
  if (!hasWide(caller.scope, 'backup')) {
    metrics.countRefusal('forbidden');
    record('forbidden');
    return refuse(
      403,
      `The token "${caller.name}" may not copy what is kept here: it lacks the scope backup.`,
    );
  }
  const held = heldOf(body);
  if (!held) {
    record('invalid_input');
    return refuse(400, 'The body is no list of what is held: send {"held":{"PATH":"SHA-256"}}, or nothing.');
  }
  const stream = snapshots.take(held, ({ outcome, error, sentBytes }) => {
    if (outcome === 'unavailable') log.error('snapshot_failed', { error, traceId });
    else log.info('snapshot', { outcome, sentBytes, durationMs: elapsedMs() });
    record(outcome, sentBytes);
  });
  if (!stream) {
    record('conflict');
    return refuse(409, 'Another snapshot is being taken: try again when it has ended.');
  }
  const headers = { 'content-type': 'application/octet-stream', 'cache-control': 'no-store' };
  return streams.guard(new Response(stream, { headers }), caller, traceId);
}

/** The records of calls, for whoever keeps a copy of them. Reading leaves no record itself: it would never come to an end. */
async function auditPage({ account }: Site, caller: Caller, from = '0:0'): Promise<Response> {
  const { audit, metrics } = account;
  const method = 'GET /admin/audit';
  if (!hasWide(caller.scope, 'audit')) {
    metrics.countRefusal('forbidden');
    audit.appendCall(refusalRecord(account, { caller: caller.name, method, outcome: 'forbidden' }), false);
    return refuse(
      403,
      `The token "${caller.name}" may not read the records of calls: it lacks the scope audit.`,
    );
  }
  const place = parsePlace(from);
  if (!place) return refuse(400, '"from" is no place: leave it out, or pass what flotilla-audit-next said.');
  const page = await trailPage(audit.folder, place);
  if (!page) return refuse(410, 'The records end before that place: leave "from" out to begin again.');
  return new Response(new Uint8Array(page.lines), {
    headers: {
      'content-type': 'application/x-ndjson',
      'cache-control': 'no-store',
      'flotilla-audit-chain': audit.head.chain,
      'flotilla-audit-next': placeText(page.next),
    },
  });
}

function authenticated({ account, authenticate }: Site, context: Context): Caller | Response {
  const secret = bearerOf(context.req.header('authorization'));
  const caller = secret === undefined ? undefined : authenticate(secret);
  if (caller) return caller;
  account.metrics.countRefusal('unauthenticated');
  const method = `${context.req.method} ${context.req.routePath}`;
  account.audit.appendStranger(refusalRecord(account, { caller: '', method, outcome: 'unauthenticated' }));
  const reason =
    secret === undefined ? 'A bearer token is missing' : 'The bearer token is unknown, revoked or expired';
  return refuse(401, `${reason}. The first one lies in the data folder; see: flotilla token --help`, {
    'www-authenticate': secret === undefined ? 'Bearer' : 'Bearer error="invalid_token"',
  });
}

/** Of a process of the fleet, in its own name. */
function tooFar({ account }: Site, context: Context, { name }: Caller): Response {
  account.metrics.countRefusal('forbidden');
  const method = `${context.req.method} ${context.req.routePath}`;
  account.audit.appendCall(refusalRecord(account, { caller: name, method, outcome: 'forbidden' }), false);
  return refuse(403, `${name} may not ask for this here in its own name.`);
}

function refuse(status: number, error: string, headers: Record<string, string> = {}): Response {
  return Response.json({ error }, { status, headers });
}
