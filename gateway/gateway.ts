/** What stands in front of the services: who is asked, who may ask, and what is shown. */
import type { IncomingMessage, ServerResponse } from 'node:http';

import type { Assertions } from '#runtime/access/assertions.ts';
import { askedIn, namesNothing, waysIn, type Choice } from '#runtime/access/choice.ts';
import type { Confirm } from '#runtime/access/confirm.ts';
import type { Caller } from '#runtime/access/tokens.ts';
import { allowedEffect, covers } from '#runtime/access/scope.ts';
import type { Account, Exchange } from '#runtime/account/calls.ts';
import { inputSchemaOf } from '#runtime/account/execute.ts';
import type { Metrics } from '#runtime/account/metrics.ts';
import { ToolError, type ErrorCode } from '#runtime/errors.ts';
import {
  RpcError,
  type Asked,
  type Listener,
  type Notify,
  type Opening,
  type Relay,
} from '#runtime/service.ts';
import type { AnyTool, Call } from '#runtime/tool.ts';
import type { Admitted } from '#runtime/wire/gate.ts';
import { modernVersion } from '#runtime/wire/plain-request.ts';

import { Eyes, isOfPlatform, modelIn, type Seen } from './eyes.ts';
import {
  answerFailure,
  askFor,
  ended,
  failedAnswer,
  failedResult,
  failureOf,
  handOn,
  headersFor,
  type Accounted,
  type Errand,
  type Watched,
} from './hand-on.ts';
import { askForeign } from './ask-foreign.ts';
import { cannotAsk, Confirming } from './confirming.ts';
import type { ListName } from './foreign/client.ts';
import { figures } from './figures.ts';
import { Finding } from './finding.ts';
import type { Mounts, MountsParts } from './foreign/mounts.ts';
import type { ForeignMethod } from './foreign/server.ts';
import { LongAnswers } from './long-answers.ts';
import { instructionsOf, listOf, skillsOf, type List } from './lists.ts';
import { Rates } from './rate.ts';
import { Events, eventsFrom } from './rest/events.ts';
import type { Operation } from './rest/operation.ts';
import { ownTools as restTools } from './rest/own-tools.ts';
import type { InputShape } from './rest/reading.ts';
import { restFace } from './rest/rest.ts';
import type { SchemaRegistry } from './rest/schema-registry.ts';
import { answered, type Answer } from './own-tool.ts';
import type { Route } from './routes.ts';
import { forbidden, mayCall, overRate, unrecorded, type Refusal } from './refusals.ts';
import { askedFor, capabilitiesIn, isNamed, kinds, targetOf, type AskedFor } from './request.ts';
import { calledTool, callToolName, findTools, meantBy, searchTools, type Purpose } from './search.ts';
import type { Behind, ListedSkill, ListedTool } from './surface.ts';
import {
  codeTools,
  mayRun,
  noPython,
  programLane,
  pythonName,
  runProgram,
  type Around,
} from './run-program.ts';
import { functionName } from './signature.ts';
import { UpstreamSessions } from './sessions.ts';
import { Standing } from './standing.ts';
import { Subscribing } from './subscribing.ts';
import { Thoughts } from './thoughts.ts';
import type { UpstreamOptions } from './upstream.ts';

/** Lists come with this: they change only with a deployment, but differ by token. */
const listHints = { ttlMs: 5 * 60_000, cacheScope: 'private' };
/** Who keeps what is seen, and where from. */
const observers = ['model-profile', 'sequential-thinking', 'reasoning-capture'];

/** Where the place in thoughts is kept, and who may still be read. */
type Observing = Pick<ConstructorParameters<typeof Thoughts>[0], 'file' | 'isAlive'>;

interface Told {
  readonly responseBytes: number;
  readonly protocolVersion: string;
  readonly startedAtMs?: number;
}

/** The gateway's own that are found and called like those of others. */
const ownToolsOfAll: ReadonlyMap<string, AnyTool<never>> = new Map(
  [findTools, runProgram].map((tool): [string, AnyTool<never>] => [tool.name, tool as AnyTool<never>]),
);

/** Where the answer is put together elsewhere. */
const unsaid: Told = { responseBytes: 0, protocolVersion: 'other' };

export class Gateway implements AsyncDisposable {
  readonly standing: Standing;
  readonly #metrics: Metrics;
  readonly #subscribing = new Subscribing(
    () => this.standing.routes,
    (account, exchange, ...what) => this.#record(account, exchange, '', ...what),
  );
  readonly #sessions = new UpstreamSessions();
  readonly #finding = new Finding();
  readonly #rates = new Rates();
  readonly #long: LongAnswers;
  readonly #confirming: Confirming;
  readonly #programs = programLane();
  readonly #schemas: SchemaRegistry;
  readonly #events = new Events();
  /** `undefined` where nobody is there who keeps what they see. */
  readonly #eyes: Eyes | undefined;
  readonly #thoughts: Thoughts | undefined;
  #notify: Notify | undefined;

  constructor(
    upstreams: readonly UpstreamOptions[],
    assertions: Assertions,
    {
      log,
      now,
      metrics,
      observing,
      takenTokens,
      confirm,
      schemas,
    }: Pick<Opening<unknown>, 'log' | 'now' | 'metrics'> & {
      readonly observing: Observing | undefined;
      /** Tokens that a client takes in one answer, and which calls a person has to agree to, where the token does not say. */
      readonly takenTokens: number;
      readonly confirm: Confirm;
      readonly schemas: SchemaRegistry;
    },
    mount?: (fleet: MountsParts['fleet']) => Mounts,
  ) {
    this.#metrics = metrics;
    this.#schemas = schemas;
    this.#long = new LongAnswers(takenTokens, (tool) => this.standing.routes.tool(tool), log);
    this.#confirming = new Confirming(confirm, () => performance.now());
    const hearing = {
      changed: (lists: readonly ListName[]) => {
        this.#finding.forget();
        for (const list of lists) this.#notify?.listChanged(list);
      },
      resourceUpdated: (uri: string) => this.#notify?.resourceUpdated(uri),
    };
    this.standing = new Standing(upstreams, { assertions, log, now, hearing }, mount);
    const find = (wanted: string) => this.standing.upstreams.find(({ name }) => name === wanted);
    const [profile, thinking, capture] = observers.map((name) => observing && find(name));
    this.#eyes = profile && new Eyes(profile, log);
    if (observing && thinking && capture)
      this.#thoughts = new Thoughts({ ...observing, thinking, capture, log });
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
    const own = figures(this.standing.upstreams, this.observed(), this.#long.counts);
    return `${await this.#metrics.text()}${own}`;
  }

  relay(told: Account, notify: Notify): Relay {
    const account: Watched = { ...told, saw: (call) => this.#saw(call) };
    this.#notify = notify;
    const list = async (what: List, { exchange }: Asked) => {
      await this.standing.seen();
      const { caller, query } = exchange;
      const choice = askedIn(query, caller);
      const listed = listOf(what, this.standing.all, caller, choice);
      const first = what === 'tools' && choice ? this.#shortList(choice, caller) : [];
      if (what === 'tools' && choice && first.length + listed.length === 0) {
        const any = listOf(what, this.standing.all, { scope: ['*'] }, choice);
        if (any.length === 0) throw new RpcError(-32_602, namesNothing(choice));
      }
      return { [what]: [...first, ...listed], ...listHints };
    };
    const answer = (method: string) => async (params: Readonly<Record<string, unknown>>, asked: Asked) =>
      this.#answer(account, method, params, asked);
    return {
      allowed: (scope) => this.standing.allowed(scope),
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
        'tools/call': async (params, asked) => {
          const result = await this.#answer(account, 'tools/call', params, asked);
          return (await this.#fittingOf(params, asked.exchange)?.fit(result)) ?? result;
        },
        'prompts/get': answer('prompts/get'),
        'resources/read': answer('resources/read'),
        'completion/complete': answer('completion/complete'),
      },
      begun: (session, params) => this.#sessions.begin(session, params),
      capabilities: (isModern) => ({
        ...(!isModern &&
          this.standing.upstreams.some(({ keepsSessions }) => keepsSessions) && { logging: {} }),
        tools: { listChanged: true },
        resources: { subscribe: true, listChanged: true },
        prompts: { listChanged: true },
        completions: {},
        ...(isModern && {
          extensions: Object.assign({}, ...this.standing.upstreams.map(({ surface }) => surface?.extensions)),
        }),
      }),
      instructions: () => instructionsOf(this.standing.all),
      listKey: ({ caller }) => `${mayRun(caller)} ${this.standing.listKey(caller.scope)}`,
      face: restFace(
        {
          schemaOf: async (operation, tool) => this.#restSchema(operation, tool),
          call: async (operation, name, args, asked) =>
            operation.service === 'gateway'
              ? this.#restCall(account, name, args, asked)
              : this.#answer(account, 'tools/call', { name, arguments: args }, asked),
        },
        account,
      ),
    };
  }

  async #skills({ exchange }: Asked): Promise<readonly ListedSkill[]> {
    await this.standing.seen();
    return skillsOf(this.standing.upstreams, exchange.caller);
  }

  #take(
    account: Watched,
    request: IncomingMessage,
    response: ServerResponse,
    admitted: Admitted,
    otherwise: (instead?: Admitted) => void,
  ): void {
    const { exchange } = admitted;
    const asked = askedFor(request, admitted.message);
    if (!asked) {
      this.#tell(request, admitted, otherwise);
      return;
    }
    const { method, params } = asked;
    if (method === 'subscriptions/listen' || method === 'resources/subscribe') {
      this.#subscribing.take(account, asked, request, response, admitted, () => otherwise());
      return;
    }
    const { session } = exchange;
    if (method === 'logging/setLevel' && session !== undefined) {
      this.#sessions
        .setLevel(session, exchange.caller.hash, params['level'], admitted.body)
        .finally(() => otherwise())
        .catch((error: unknown) => account.log.warn('level_not_told', { error }));
      return;
    }
    const route = this.standing.routes.of(method, params);
    // It may be one of theirs: a call waits for them as for a restart.
    const unseen = route || !isNamed(method) ? [] : this.standing.unseen();
    if (unseen.length > 0) {
      Promise.race(unseen.map(async (upstream) => upstream.isUp()))
        .finally(() => {
          if (!response.destroyed) this.#take(account, request, response, admitted, otherwise);
        })
        .catch((error: unknown) => account.log.error('relay_broke', { error }));
      return;
    }
    if (this.#confirm(account, asked, request, response, admitted, otherwise)) return;
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
      fitting: method === 'tools/call' ? this.#fittingOf(params, exchange) : undefined,
      whenGone: this.#whenGone(asked, admitted, response),
    };
    const refused = this.#refusalOf(account, exchange.caller, route, errand);
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

  /** What is done with an answer that its client may not take. */
  #fittingOf(params: Readonly<Record<string, unknown>>, exchange: Exchange) {
    const { name: tool } = meantBy(params);
    const surface = this.standing.routes.tool(tool)?.behind.surface;
    // What is called by another name has no schema that the client knows.
    const outputSchema = () =>
      surface?.tools.destroy.find(({ name }) => name === params['name'])?.['outputSchema'];
    return this.#long.fitting({ exchange, tool, outputSchema });
  }

  /** @returns whether the call waits for a person, or was refused for want of one. */
  #confirm(
    account: Watched,
    asked: AskedFor,
    request: IncomingMessage,
    response: ServerResponse,
    admitted: Admitted,
    otherwise: (instead?: Admitted) => void,
  ): boolean {
    const { method, params, id, version: protocolVersion } = asked;
    const { exchange } = admitted;
    if (method !== 'tools/call') return false;
    const { name: tool, arguments: args } = meantBy(params);
    const route = this.standing.routes.tool(tool);
    if (!route || !this.#confirming.isWanted(route.effect, exchange)) return false;
    // It is refused in its own way.
    if (!mayCall(route, exchange.caller, tool)) return false;
    const { effect, behind } = route;
    const model = modelIn(params);
    this.#confirming.ask({
      asked,
      admitted,
      response,
      tool,
      service: behind.name,
      arguments: args,
      errand: {
        method,
        effect,
        id,
        protocolVersion,
        origin: request.headers.origin,
        whenGone: this.#whenGone(asked, admitted, response),
      },
      capabilities:
        exchange.session === undefined
          ? capabilitiesIn(params)
          : this.#sessions.capabilitiesOf(exchange.session),
      go: (instead) => this.#take(account, request, response, instead, () => otherwise(instead)),
      answer: async (withWord) => {
        const result = await this.#answer(account, method, params, withWord);
        return (await this.#fittingOf(params, exchange)?.fit(result)) ?? result;
      },
      recordQuestion: () => {
        const question = { method: 'elicitation/create', target: tool, effect: 'read' as const, model };
        this.#record(
          account,
          exchange,
          behind.name,
          question,
          { code: 'ok' },
          { ...unsaid, protocolVersion },
        );
      },
      recordRefusal: (failure, responseBytes) => {
        const told = { responseBytes, protocolVersion };
        this.#record(account, exchange, behind.name, { method, target: tool, effect, model }, failure, told);
      },
    });
    return true;
  }

  /** In a session a client goes by its word: who is only cut off comes back. Any other is gone with its connection. */
  #whenGone({ id, version }: AskedFor, { exchange }: Admitted, response: ServerResponse): Errand['whenGone'] {
    const { session, caller } = exchange;
    return (act) => {
      if (session !== undefined && version !== modernVersion && this.#notify)
        return this.#notify.onCancel(session, caller.name, id, act);
      const closed = () => {
        if (!response.writableFinished) act();
      };
      response.once('close', closed);
      return () => response.off('close', closed);
    };
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
    this.#confirming.heard(session, message);
    const goOn = () => otherwise();
    this.#sessions.tell(session, caller.hash, body).then(goOn, goOn);
  }

  /** What cannot be handed on as it came, such as one of a batch; and what nobody behind knows. */
  async #answer(
    account: Watched,
    method: string,
    params: Readonly<Record<string, unknown>>,
    asked: Asked,
  ): Promise<Record<string, unknown>> {
    const route = this.standing.routes.of(method, params);
    const { name, uri } = params;
    if (!route && method === 'tools/call' && name === findTools.name)
      return this.#find(account, params['arguments'], asked);
    if (!route && method === 'tools/call' && name === callToolName)
      return this.#callFound(account, params, asked);
    if (!route && method === 'tools/call' && name === runProgram.name)
      return this.#run(account, params, asked);
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
    const refused =
      this.#refusalOf(account, asked.exchange.caller, route, errand) ??
      // Whoever could be asked was asked before.
      (method === 'tools/call' && this.#confirming.isWanted(effect, asked.exchange)
        ? cannotAsk(String(name))
        : undefined);
    if (!refused) {
      return 'server' in behind
        ? askForeign(account, asked, behind.server, { ...errand, method: method as ForeignMethod }, params)
        : askFor(account, asked, behind, errand, params);
    }
    this.#record(account, asked.exchange, behind.name, errand, refused);
    return failedAnswer(method, refused);
  }

  async #find(account: Watched, args: unknown, asked: Asked): Promise<Record<string, unknown>> {
    const { caller, query } = asked.exchange;
    await this.standing.seen();
    const isCode = askedIn(query, caller)?.has('code') === true;
    return this.#ownCall(account, findTools, asked, this.#notNow(account, caller), async (call) =>
      this.#finding.answer(args, this.standing.all, caller, isCode, call),
    );
  }

  async #run(
    account: Watched,
    params: Readonly<Record<string, unknown>>,
    asked: Asked,
  ): Promise<Record<string, unknown>> {
    const { exchange } = asked;
    const { caller } = exchange;
    const python = this.standing.upstreams.find(({ name }) => name === pythonName);
    const reach = { behind: { name: pythonName }, effect: runProgram.effect };
    const refused = mayRun(caller)
      ? this.#notNow(account, caller)
      : forbidden(caller.name, reach, { target: runProgram.name, method: 'tools/call' });
    const model = modelIn(params);
    const around: Around = {
      python,
      lane: this.#programs,
      authorization: () => python?.authorization(caller.hash) ?? '',
      call: async (name, args, requestBytes, signal) => {
        // Each call is one of the caller's, by all the same rules, and has an account of its own.
        const inner = { ...exchange, query: 'tools=code', takesEvents: false, requestBytes };
        const meta = model === undefined ? {} : { _meta: { 'dev.flotilla/model': model } };
        const toolParams = { name: this.#toolOf(name), arguments: args, ...meta };
        const request = { ...asked, exchange: inner, signal, progress: () => {} };
        return this.#answer(account, 'tools/call', toolParams, request);
      },
    };
    return this.#ownCall(
      account,
      runProgram,
      asked,
      refused,
      async (call) => answered(runProgram, params['arguments'], around, call),
      model,
    );
  }

  /** The tool that code calls by this name: its own, or that of its function. */
  #toolOf(name: string): string {
    if (this.standing.routes.tool(name)) return name;
    const all = this.standing.all.flatMap(({ surface }) => surface?.tools.destroy ?? []);
    return all.find((tool) => functionName(tool.name) === name)?.name ?? name;
  }

  /** A tool of the gateway's own, with the account of it. */
  async #ownCall(
    account: Watched,
    { name, effect }: AnyTool<never>,
    { exchange, signal, progress }: Asked,
    refused: Refusal | undefined,
    work: (call: Call) => Promise<Answer>,
    model?: string,
  ): Promise<Record<string, unknown>> {
    const startedAtMs = performance.now();
    const answer = refused
      ? { failure: refused }
      : await work({
          signal,
          caller: exchange.caller.name,
          isOperator: allowedEffect(exchange.caller.scope, '*') === 'destroy',
          session: exchange.session,
          operation: name,
          traceparent: exchange.trace.traceparent,
          nowMs: account.now(),
          progress,
          resourceUpdated: () => {},
          protocol: undefined,
        });
    const result = answer.result ?? failedResult(answer.failure);
    const came = refused ?? { code: answer.failure?.code ?? ('ok' as const) };
    const errand = { method: 'tools/call', target: name, effect, model };
    const responseBytes = JSON.stringify(result).length;
    this.#record(account, exchange, 'gateway', errand, came, { ...unsaid, startedAtMs, responseBytes });
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
      const effect = 'read' as const;
      const errand = { method: 'tools/call', target: callToolName, effect, model: undefined };
      this.#record(account, asked.exchange, 'gateway', errand, error);
      return failedResult(failureOf(error));
    }
  }

  /** What is listened to behind the gateway. */
  async listen(wanted: Readonly<Record<string, unknown>>, listener: Listener) {
    const upstream = this.standing.upstreams.find(({ name }) => name === eventsFrom);
    return this.#events.listen(upstream, wanted, listener);
  }

  async #restSchema({ service }: Operation, name: string): Promise<InputShape | undefined> {
    const own = service === 'gateway' ? restTools.get(name) : service === '*' && ownToolsOfAll.get(name);
    if (own) return inputSchemaOf(own);
    if (!this.standing.routes.tool(name)) await this.standing.seen();
    const route = this.standing.routes.tool(name);
    if (!route || (service !== '*' && route.behind.name !== service)) return undefined;
    return route.behind.surface?.tools.destroy.find((tool) => tool.name === name)?.inputSchema;
  }

  async #restCall(
    account: Watched,
    name: string,
    args: Readonly<Record<string, unknown>>,
    asked: Asked,
  ): Promise<Record<string, unknown>> {
    const tool = restTools.get(name);
    if (!tool) throw new TypeError(`There is no tool ${name} for REST.`);
    const { caller } = asked.exchange;
    const reach = { behind: { name: 'gateway' }, effect: tool.effect };
    const refused = covers(this.standing.allowed(caller.scope), tool.effect)
      ? this.#notNow(account, caller)
      : forbidden(caller.name, reach, { target: name, method: 'tools/call' });
    const parts = { standing: this.standing, schemas: this.#schemas, caller };
    return this.#ownCall(account, tool, asked, refused, async (call) => answered(tool, args, parts, call));
  }

  #purposes({ scope }: Pick<Caller, 'scope'>): readonly Purpose[] {
    return this.standing.all
      .filter(({ name }) => allowedEffect(scope, name) !== undefined)
      .map(({ name, description, trouble }) => ({
        name,
        purpose: trouble === undefined ? description : `${description} (unavailable now)`,
      }));
  }

  /** The few tools that find all others, for clients that ask for so short a list. */
  #shortList(choice: Choice, caller: Caller): readonly ListedTool[] {
    const asked = waysIn(choice);
    if (asked.length === 0) return [];
    const purposes = this.#purposes(caller);
    if (!asked.includes('code') || !mayRun(caller)) return searchTools(purposes);
    const python = this.standing.upstreams.find(({ name }) => name === pythonName);
    return codeTools(purposes, python ? python.trouble : noPython);
  }

  #overRate(caller: Caller): Refusal | undefined {
    const waitMs = this.#rates.take(caller, performance.now());
    return waitMs > 0 ? overRate(caller, waitMs) : undefined;
  }

  /** Why no call of the caller's is made at this time. */
  #notNow({ audit: { full: isUnrecorded } }: Account, caller: Caller): Refusal | undefined {
    return isUnrecorded ? unrecorded : this.#overRate(caller);
  }

  /** Why the call is not handed on. */
  #refusalOf(account: Account, caller: Caller, route: Route<Behind>, errand: Accounted): Refusal | undefined {
    const refused = this.#notNow(account, caller);
    if (refused) return refused;
    return mayCall(route, caller, errand.target) ? undefined : forbidden(caller.name, route, errand);
  }

  /** The account of what was answered here. */
  #record(
    account: Watched,
    exchange: Exchange,
    service: string,
    errand: Accounted,
    { code: outcome, isOverRate }: { readonly code: 'ok' | ErrorCode; readonly isOverRate?: true },
    { responseBytes, protocolVersion, startedAtMs }: Told = unsaid,
  ): void {
    if (outcome === 'forbidden') account.metrics.countRefusal('forbidden');
    if (isOverRate) account.metrics.countRefusal('rate');
    const how = { outcome, startedAtMs, responseBytes, protocolVersion, isOverRate };
    ended(account, exchange, service, errand, how);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#eyes?.[Symbol.asyncDispose](), this.#thoughts?.[Symbol.asyncDispose]()]);
    await this.standing[Symbol.asyncDispose]();
  }
}
