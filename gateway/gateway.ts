/** What stands in front of the services: who is asked, who may ask, and what is shown. */
import type { IncomingMessage, ServerResponse } from 'node:http';

import type { Assertions } from '#runtime/access/assertions.ts';
import { askedIn, choiceOf, isChosen } from '#runtime/access/choice.ts';
import type { Caller } from '#runtime/access/tokens.ts';
import { allowedEffect, covers, type Scope } from '#runtime/access/scope.ts';
import type { Account, Exchange } from '#runtime/account/calls.ts';
import { exposed, type Metrics } from '#runtime/account/metrics.ts';
import { ToolError, type ErrorCode } from '#runtime/errors.ts';
import { RpcError, type Asked, type Notify, type Opening, type Relay } from '#runtime/service.ts';
import { effects, type Effect } from '#runtime/tool.ts';
import type { Admitted } from '#runtime/wire/gate.ts';
import { modernVersion } from '#runtime/wire/plain-request.ts';

import { Eyes, isOfPlatform, modelIn, type Seen } from './eyes.ts';
import {
  answerFailure,
  askFor,
  ended,
  failedRequest,
  failedResult,
  handOn,
  headersFor,
  type Accounted,
  type Errand,
  type Failure,
  type Watched,
} from './hand-on.ts';
import { askForeign } from './ask-foreign.ts';
import { Finding } from './finding.ts';
import type { Mounts, MountsParts } from './foreign/mounts.ts';
import type { ForeignBehind, ForeignMethod } from './foreign/server.ts';
import { instructionsOf, listOf, skillsOf, type List } from './lists.ts';
import { Rates } from './rate.ts';
import { Routes, type Route } from './routes.ts';
import { calledTool, callToolName, findTools, searchTools, type Purpose } from './search.ts';
import { choosable, schemeOf, type Behind, type ListedSkill } from './surface.ts';
import { UpstreamSessions } from './sessions.ts';
import { Thoughts } from './thoughts.ts';
import { Upstream, type UpstreamOptions } from './upstream.ts';
import { Watching } from './watching.ts';

/** Lists come with this: they change only with a deployment, but differ by token. */
const listHints = { ttlMs: 5 * 60_000, cacheScope: 'private' };
/** In the words of a client's URL: the two tools that find all others and call them. */
const searchWord = 'search';
/** At the start, lists wait so long for services that were not seen yet. */
const firstSightMs = 3_000;

/** Who keeps what is seen, and where from. */
const observers = ['model-profile', 'sequential-thinking', 'reasoning-capture'];

/** Where the place in thoughts is kept, and who may still be read. */
type Observing = Pick<ConstructorParameters<typeof Thoughts>[0], 'file' | 'isAlive'>;

export class Gateway implements AsyncDisposable {
  readonly #upstreams: readonly Upstream[];
  readonly #metrics: Metrics;
  readonly #watching = new Watching();
  readonly #sessions = new UpstreamSessions();
  readonly #finding = new Finding();
  readonly #rates = new Rates();
  /** `undefined` where nobody is there who keeps what they see. */
  readonly #eyes: Eyes | undefined;
  readonly #thoughts: Thoughts | undefined;
  readonly #startedAtMs = performance.now();
  readonly #mounts: Mounts | undefined;
  #routes: Routes<Upstream | ForeignBehind> | undefined;
  /** Counts what changed behind: lists of an older one are not shown any more. */
  #generation = 0;
  #notify: Notify | undefined;

  constructor(
    upstreams: readonly UpstreamOptions[],
    assertions: Assertions,
    {
      log,
      now,
      metrics,
      observing,
    }: Pick<Opening<unknown>, 'log' | 'now' | 'metrics'> & { readonly observing: Observing | undefined },
    mount?: (fleet: MountsParts['fleet']) => Mounts,
  ) {
    this.#metrics = metrics;
    const changed = () => {
      this.#routes = undefined;
      this.#finding.forget();
      this.#generation += 1;
      for (const list of ['tools', 'resources', 'prompts'] as const) this.#notify?.listChanged(list);
    };
    const hearing = {
      changed: () => {
        // The fleet's names come first.
        this.#mounts?.arrange();
        changed();
      },
      resourceUpdated: (uri: string) => this.#notify?.resourceUpdated(uri),
    };
    this.#upstreams = upstreams.map((options) => new Upstream(options, { assertions, log, now, hearing }));
    const find = (wanted: string) => this.#upstreams.find(({ name }) => name === wanted);
    const [profile, thinking, capture] = observers.map((name) => observing && find(name));
    this.#eyes = profile && new Eyes(profile, log);
    if (observing && thinking && capture)
      this.#thoughts = new Thoughts({ ...observing, thinking, capture, log });
    this.#mounts = mount?.(() => this.#fleetNames());
    this.#mounts?.onChange((_server, event) => {
      if (event.kind === 'resource') hearing.resourceUpdated(event.uri);
      else changed();
    });
  }

  /** The services, and the servers of others after them. */
  get #all(): readonly (Upstream | ForeignBehind)[] {
    return [...this.#upstreams, ...(this.#mounts?.servers ?? []).map(({ behind }) => behind)];
  }

  get #current(): Routes<Upstream | ForeignBehind> {
    return (this.#routes ??= new Routes(this.#all));
  }

  #fleetNames() {
    const surfaces = this.#upstreams.flatMap(({ name, surface }) => (surface ? [{ name, surface }] : []));
    const documents = surfaces.flatMap(({ surface }) => [
      ...surface.resources.map(({ uri }) => uri),
      ...surface.resourceTemplates.map(({ uriTemplate }) => uriTemplate),
    ]);
    return {
      tools: new Map(
        surfaces.flatMap(({ name, surface }) =>
          surface.tools.destroy.map((tool) => [tool.name, name] as const),
        ),
      ),
      prompts: new Map(
        surfaces.flatMap(({ name, surface }) =>
          surface.prompts.map((prompt) => [prompt.name, name] as const),
        ),
      ),
      schemes: new Set(documents.flatMap((uri) => schemeOf(uri) ?? [])),
    };
  }

  /** Of the servers of others, for `/health`. */
  foreign(): object {
    return this.#mounts?.describe() ?? { servers: [] };
  }

  readiness() {
    const troubles = this.#upstreams.flatMap(({ name, trouble }) =>
      trouble === undefined ? [] : [`${name}: ${trouble}`],
    );
    const { servers = [], problem } = this.#mounts ?? {};
    const warnings = [
      ...troubles,
      ...(problem === undefined ? [] : [problem]),
      ...servers.flatMap(({ name, state }) => (state.status === 'down' ? [`${name}: ${state.reason}`] : [])),
      ...servers.flatMap(({ name, held }) =>
        held.length === 0 ? [] : [`${name}: ${held.length} definitions are held back`],
      ),
      ...this.#current.clashes.map((clash) => `two tools of one name: ${clash}`),
    ];
    // With one of them it does its job; with none there is none to do.
    const isReady = troubles.length < this.#upstreams.length;
    return isReady ? { ready: true, reasons: [], warnings } : { ready: false, reasons: troubles };
  }

  states(): readonly object[] {
    return this.#upstreams.map(({ name, trouble, surface }) => ({
      name,
      status: trouble === undefined ? 'up' : 'down',
      ...(trouble !== undefined && { reason: trouble }),
      tools: surface?.tools.destroy.length ?? 0,
    }));
  }

  /** What was seen of calls and passed on to the observers; without what nobody keeps. */
  observed() {
    return { decisions: this.#eyes?.state, thoughts: this.#thoughts?.state };
  }

  #saw(call: Seen): void {
    if (isOfPlatform(call)) return;
    this.#eyes?.saw(call);
    this.#thoughts?.saw(call);
  }

  /** In Prometheus' format. */
  async metrics(): Promise<string> {
    const samples = this.#upstreams.map(
      ({ name, trouble }) => `{upstream="${name}"} ${trouble === undefined ? 1 : 0}`,
    );
    const help = 'Whether a service behind the gateway can be called.';
    const told = Object.entries(this.observed()).map(([what, counts = {}]) =>
      exposed(
        'counter',
        `flotilla_observed_${what}_total`,
        `What came of ${what} that the gateway saw.`,
        Object.entries(counts)
          .filter(([name]) => name !== 'waiting' && name !== 'behind')
          .map(([name, count]) => `{outcome="${name}"} ${count}`),
      ),
    );
    const up = exposed('gauge', 'flotilla_upstream_up', help, samples);
    return [await this.#metrics.text(), up, ...told].join('');
  }

  relay(told: Account, notify: Notify): Relay {
    const account: Watched = { ...told, saw: (call) => this.#saw(call) };
    this.#notify = notify;
    const list = async (what: List, { exchange }: Asked) => {
      await this.#seen();
      const { caller, query } = exchange;
      const choice = askedIn(query);
      const listed = listOf(what, this.#all, caller, choice);
      const first = what === 'tools' && choice?.has(searchWord) ? searchTools(this.#purposes(caller)) : [];
      return { [what]: [...first, ...listed], ...listHints };
    };
    const answer = (method: string) => async (params: Readonly<Record<string, unknown>>, asked: Asked) =>
      this.#answer(account, method, params, asked);
    return {
      allowed: (scope) => this.#allowed(scope),
      take: (request, response, admitted, otherwise) =>
        this.#take(account, request, response, admitted, otherwise),
      answers: {
        'tools/list': async (_params, asked) => list('tools', asked),
        'resources/list': async (_params, asked) => list('resources', asked),
        'resources/templates/list': async (_params, asked) => list('resourceTemplates', asked),
        'prompts/list': async (_params, asked) => list('prompts', asked),
        'skills/list': async (_params, asked) => ({ skills: await this.#skills(asked), ...listHints }),
        'skills/get': async ({ uri }, asked) => {
          const skill = (await this.#skills(asked)).find((one) => one.uri === uri);
          if (skill) return { skill, ...listHints };
          throw new RpcError(-32_602, 'There is no such skill: skills/list has those there are.');
        },
        'tools/call': answer('tools/call'),
        'prompts/get': answer('prompts/get'),
        'resources/read': answer('resources/read'),
        'completion/complete': answer('completion/complete'),
      },
      begun: (session, params) => this.#sessions.begin(session, params),
      capabilities: (isModern) => ({
        ...(!isModern && this.#upstreams.some(({ keepsSessions }) => keepsSessions) && { logging: {} }),
        tools: { listChanged: true },
        resources: { subscribe: true, listChanged: true },
        prompts: { listChanged: true },
        completions: {},
        ...(isModern && {
          extensions: Object.assign({}, ...this.#upstreams.map(({ surface }) => surface?.extensions)),
        }),
      }),
      instructions: () => instructionsOf(this.#all),
      listKey: ({ caller }) => this.#listKey(caller.scope),
    };
  }

  async #skills({ exchange }: Asked): Promise<readonly ListedSkill[]> {
    await this.#seen();
    return skillsOf(this.#upstreams, exchange.caller);
  }

  /** All who are expected have been seen, or are known not to be there. */
  async #seen(): Promise<void> {
    const unseen = this.#unseen();
    const leftMs = this.#startedAtMs + firstSightMs - performance.now();
    if (unseen.length === 0 || leftMs <= 0) return;
    const late = new Promise((resolve) => void setTimeout(resolve, leftMs).unref());
    await Promise.race([Promise.all(unseen.map(async (upstream) => upstream.isUp())), late]);
  }

  /** Services that may still come up, of which nothing is known yet. */
  #unseen(): readonly Upstream[] {
    return this.#upstreams.filter(({ surface, trouble }) => !surface && trouble === undefined);
  }

  #allowed(scope: Scope): Effect | undefined {
    const allowed = this.#all.map(({ name }) => allowedEffect(scope, name));
    return effects.findLast((effect) => allowed.includes(effect));
  }

  #listKey(scope: Scope): string {
    const each = this.#all.map(
      ({ name, trouble, surface }) => `${allowedEffect(scope, name)} ${surface ? '' : '?'}${trouble ?? ''}`,
    );
    return `${this.#generation} ${each.join(',')}`;
  }

  #take(
    account: Watched,
    request: IncomingMessage,
    response: ServerResponse,
    admitted: Admitted,
    otherwise: () => void,
  ): void {
    const { exchange } = admitted;
    const asked = askedFor(request, admitted.message);
    if (!asked) {
      this.#tell(request, admitted, otherwise);
      return;
    }
    const { method, params } = asked;
    if (method === 'subscriptions/listen' || method === 'resources/subscribe') {
      this.#watch(account, asked, request, response, admitted, otherwise);
      return;
    }
    const { session } = exchange;
    if (method === 'logging/setLevel' && session !== undefined) {
      this.#sessions
        .setLevel(session, exchange.caller.hash, params['level'], admitted.body)
        .then(otherwise, otherwise);
      return;
    }
    const route = this.#current.of(method, params);
    // It may be one of theirs: a call waits for them as for a restart.
    const unseen = route || !isNamed(method) ? [] : this.#unseen();
    if (unseen.length > 0) {
      Promise.race(unseen.map(async (upstream) => upstream.isUp()))
        .finally(() => {
          if (!response.destroyed) this.#take(account, request, response, admitted, otherwise);
        })
        .catch((error: unknown) => account.log.error('relay_broke', { error }));
      return;
    }
    if (!route) {
      otherwise();
      return;
    }
    const errand: Errand = {
      method,
      target: targetOf(method, params),
      effect: route.effect,
      model: modelIn(params),
      headers: headersFor(request, exchange),
      protocolVersion: asked.version,
      id: asked.id,
      origin: request.headers.origin,
      whenGone: (act) => whenGone(response, act),
    };
    const refused = this.#refusalOf(exchange.caller, route, errand);
    if (refused) {
      const responseBytes = answerFailure(response, exchange, errand, refused);
      this.#record(account, exchange, route.behind.name, errand, refused, { ...errand, responseBytes });
      return;
    }
    const { behind } = route;
    if ('server' in behind) {
      otherwise();
      return;
    }
    if (session === undefined || !behind.keepsSessions) {
      handOn(account, response, admitted, behind, errand);
      return;
    }
    this.#sessions.headers(session, behind, exchange.caller.hash).then(
      (more) =>
        handOn(account, response, admitted, behind, {
          ...errand,
          headers: [...errand.headers, ...more],
        }),
      // The call itself finds out what is wrong there, and says it.
      () => handOn(account, response, admitted, behind, errand),
    );
  }

  /** A message without an answer of its own: a word in a session, which may be meant for a service that asked. */
  #tell(request: IncomingMessage, { exchange, message, body }: Admitted, otherwise: () => void): void {
    const { session, caller } = exchange;
    if (
      session === undefined ||
      Array.isArray(message) ||
      request.headers['mcp-protocol-version'] === modernVersion
    ) {
      otherwise();
      return;
    }
    this.#sessions.tell(session, caller.hash, body).then(otherwise, otherwise);
  }

  /** What cannot be handed on as it came, such as one of a batch; and what nobody behind knows. */
  async #answer(
    account: Watched,
    method: string,
    params: Readonly<Record<string, unknown>>,
    asked: Asked,
  ): Promise<Record<string, unknown>> {
    const route = this.#current.of(method, params);
    const { name, uri } = params;
    if (!route && method === 'tools/call' && name === findTools.name)
      return this.#find(account, params['arguments'], asked);
    if (!route && method === 'tools/call' && name === callToolName)
      return this.#callFound(account, params, asked);
    if (!route) {
      const isDocument = method === 'resources/read';
      this.#record(
        account,
        asked.exchange,
        '',
        { method, target: null, effect: 'read', model: undefined },
        { code: isDocument ? 'not_found' : 'invalid_input' },
      );
      if (isDocument)
        throw new RpcError(-32_602, `Resource not found: ${String(uri).slice(0, 200)}`, { uri });
      const what = kinds[method] ?? 'What is asked for was';
      throw new RpcError(-32_602, `${what} ${String(name).slice(0, 100)} not found`);
    }
    const { effect, behind } = route;
    const errand = { method, target: targetOf(method, params), effect, model: modelIn(params) };
    const refused = this.#refusalOf(asked.exchange.caller, route, errand);
    if (!refused) {
      return 'server' in behind
        ? askForeign(account, asked, behind.server, { ...errand, method: method as ForeignMethod }, params)
        : askFor(account, asked, behind, errand, params);
    }
    this.#record(account, asked.exchange, behind.name, errand, refused);
    if (method === 'tools/call') return failedResult(refused);
    const { code, message, data } = failedRequest(refused);
    throw new RpcError(code, message, data);
  }

  async #find(account: Watched, args: unknown, asked: Asked): Promise<Record<string, unknown>> {
    const { exchange, signal, progress } = asked;
    const startedAtMs = performance.now();
    await this.#seen();
    const refused = this.#overRate(exchange.caller);
    const find = async () =>
      this.#finding.answer(args, this.#all, exchange.caller, {
        signal,
        caller: exchange.caller.name,
        session: exchange.session,
        operation: findTools.name,
        traceparent: exchange.trace.traceparent,
        nowMs: account.now(),
        progress,
        resourceUpdated: () => {},
        protocol: undefined,
      });
    const answer = refused ? { failure: refused } : await find();
    const target = findTools.name;
    const errand = { method: 'tools/call', target, effect: findTools.effect, model: undefined };
    const result = answer.failure ? failedResult(answer.failure) : answer.result;
    const came = refused ?? { code: answer.failure?.code ?? ('ok' as const) };
    this.#record(account, exchange, 'gateway', errand, came, {
      ...unsaid,
      durationMs: performance.now() - startedAtMs,
      responseBytes: JSON.stringify(result).length,
    });
    return result;
  }

  /** What `call_tool` names is called as if it had been named itself, by the same rules. */
  async #callFound(
    account: Watched,
    { arguments: args, ...rest }: Readonly<Record<string, unknown>>,
    asked: Asked,
  ): Promise<Record<string, unknown>> {
    try {
      const called = calledTool(args);
      // What finds and calls tools is not found, and so calls itself no further.
      if (called.name === callToolName) throw new ToolError('invalid_input', 'call_tool cannot call itself.');
      return await this.#answer(account, 'tools/call', { ...rest, ...called }, asked);
    } catch (error) {
      if (!(error instanceof ToolError)) throw error;
      const { code, message, hint } = error;
      const effect = 'read' as const;
      const errand = { method: 'tools/call', target: callToolName, effect, model: undefined };
      this.#record(account, asked.exchange, 'gateway', errand, { code });
      return failedResult({ code, message, ...(hint !== undefined && { hint }) });
    }
  }

  #purposes({ scope }: Pick<Caller, 'scope'>): readonly Purpose[] {
    return this.#all
      .filter(({ name }) => allowedEffect(scope, name) !== undefined)
      .map(({ name, description, trouble }) => ({
        name,
        purpose: trouble === undefined ? description : `${description} (unavailable now)`,
      }));
  }

  #overRate(caller: Caller): Refusal | undefined {
    const waitMs = this.#rates.take(caller, performance.now());
    return waitMs > 0 ? overRate(caller, waitMs) : undefined;
  }

  /** Why the call is not handed on. */
  #refusalOf(caller: Caller, route: Route<Behind>, errand: Accounted): Refusal | undefined {
    const over = this.#overRate(caller);
    if (over) return over;
    return mayCall(route, caller, errand.target) ? undefined : forbidden(caller.name, route, errand);
  }

  /** The account of what was answered here. */
  #record(
    account: Watched,
    exchange: Exchange,
    service: string,
    errand: Accounted,
    { code: outcome, isOverRate }: { readonly code: 'ok' | ErrorCode; readonly isOverRate?: true },
    { responseBytes, protocolVersion, durationMs = 0 }: Told = unsaid,
  ): void {
    if (outcome === 'forbidden') account.metrics.countRefusal('forbidden');
    if (isOverRate) account.metrics.countRefusal('rate');
    const how = { outcome, durationMs, responseBytes, protocolVersion, isOverRate };
    ended(account, exchange, service, errand, how);
  }

  /** The services are told before the client is: what changes from then on is heard. */
  #watch(
    account: Watched,
    { method, params, version, id }: AskedFor,
    request: IncomingMessage,
    response: ServerResponse,
    { exchange }: Admitted,
    otherwise: () => void,
  ): void {
    const errand = {
      method,
      target: null,
      effect: 'read',
      model: undefined,
      protocolVersion: version,
      id,
      origin: request.headers.origin,
    } as const;
    const refuse = (failure: Failure) => {
      const responseBytes = answerFailure(response, exchange, errand, failure);
      this.#record(account, exchange, '', errand, failure, { responseBytes, protocolVersion: version });
    };
    const uris = urisIn(method, params);
    const { caller } = exchange;
    const closed = uris
      .map((uri) => this.#current.document(uri))
      .find((route) => route && !mayCall(route, caller, null));
    if (closed) {
      refuse(forbidden(caller.name, closed, errand));
      return;
    }
    const watch = async (): Promise<boolean> => {
      if (method === 'resources/subscribe')
        return this.#watching.keep(caller.name, uris[0] ?? '', this.#current);
      const close = await this.#watching.open(caller.name, uris, this.#current);
      if (!close) return false;
      if (response.closed) close();
      else response.once('close', close);
      return true;
    };
    watch()
      .catch((error: unknown) => {
        account.log.warn('subscription_not_told', { error });
        return true;
      })
      .then((hasRoom) => {
        if (response.destroyed) return undefined;
        return hasRoom ? otherwise() : refuse(tooManyDocuments);
      })
      .catch((error: unknown) => account.log.error('relay_broke', { error }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#eyes?.[Symbol.asyncDispose](), this.#thoughts?.[Symbol.asyncDispose]()]);
    await Promise.all([
      ...this.#upstreams.map(async (upstream) => upstream[Symbol.asyncDispose]()),
      this.#mounts?.[Symbol.asyncDispose](),
    ]);
  }
}

const tooManyDocuments: Failure = {
  code: 'too_large',
  message: 'This token listens for as many documents as it may: 1,000, of 200,000 characters together.',
  hint: 'End a stream, or listen for fewer.',
};

function urisIn(
  method: string,
  { uri, notifications }: Readonly<Record<string, unknown>>,
): readonly string[] {
  const { resourceSubscriptions } = (notifications ?? {}) as { readonly resourceSubscriptions?: unknown };
  const wanted = method === 'resources/subscribe' ? [uri] : resourceSubscriptions;
  return (Array.isArray(wanted) ? wanted : []).filter((one): one is string => typeof one === 'string');
}

/** A request as its headers name it, in the newest revision, or its body, in the older ones. */
interface AskedFor {
  readonly method: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly version: string;
  readonly id: unknown;
}

/** @returns `undefined` for what is no single request. */
function askedFor({ headers }: IncomingMessage, message: unknown): AskedFor | undefined {
  if (typeof message !== 'object' || message === null || Array.isArray(message)) return undefined;
  const { method, params, id } = message as { method?: unknown; params?: unknown; id?: unknown };
  const version = headers['mcp-protocol-version'];
  const isRequest = typeof method === 'string' && id !== undefined && id !== null;
  if (!isRequest || typeof params !== 'object' || params === null) return undefined;
  if (version === modernVersion && headers['mcp-method'] !== method) return undefined;
  return {
    method,
    params: params as Readonly<Record<string, unknown>>,
    version: typeof version === 'string' ? version : 'other',
    id,
  };
}

/** Whether it is for whoever has a name: of a tool, a prompt, a document. */
const isNamed = (method: string) =>
  method in kinds || method === 'resources/read' || method === 'completion/complete';

/** A name of ours, which may become a label; of a document its name is the client's, and so is none. */
function targetOf(method: string, { name }: Readonly<Record<string, unknown>>): string | null {
  return (method === 'tools/call' || method === 'prompts/get') && typeof name === 'string' ? name : null;
}

function whenGone(response: ServerResponse, act: () => void): () => void {
  const closed = () => {
    if (!response.writableFinished) act();
  };
  response.once('close', closed);
  return () => response.off('close', closed);
}

function mayCall(
  { behind, effect }: Route<Behind>,
  { scope, tools }: Caller,
  target: string | null,
): boolean {
  if (!covers(allowedEffect(scope, behind.name), effect)) return false;
  return !tools || target === null || isChosen(choiceOf(tools), choosable(behind, target));
}

interface Told {
  readonly responseBytes: number;
  readonly protocolVersion: string;
  readonly durationMs?: number;
}

/** Where the answer is put together elsewhere. */
const unsaid: Told = { responseBytes: 0, protocolVersion: 'other' };

const kinds: Readonly<Record<string, string>> = { 'tools/call': 'Tool', 'prompts/get': 'Prompt' };

/** An answer in place of the service's. */
interface Refusal extends Failure {
  readonly isOverRate?: true;
}

function overRate({ name, rate }: Caller, retryAfterMs: number): Refusal {
  return {
    code: 'unavailable',
    message: `The token "${name}" may make ${rate} calls here, and has made them.`,
    hint: `Nothing was done. Try again in ${Math.ceil(retryAfterMs / 1_000)} s, and call less often.`,
    retryAfterMs,
    isOverRate: true,
  };
}

function forbidden(
  caller: string,
  { behind: { name }, effect }: Route<Behind>,
  { target, method }: Pick<Errand, 'method' | 'target'>,
): Refusal {
  return {
    code: 'forbidden',
    message: `The token "${caller}" may not use ${target ?? method}.`,
    hint: `It needs the scope ${name}:${effect}, and no choice of tools that leaves it out. See: flotilla token create --help`,
  };
}
