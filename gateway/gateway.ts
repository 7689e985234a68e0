/** What stands in front of the services: who is asked, who may ask, and what is shown. */
import type { IncomingMessage, ServerResponse } from 'node:http';

import type { Assertions } from '#runtime/access/assertions.ts';
import { askedIn, namesNothing } from '#runtime/access/choice.ts';
import type { Confirm } from '#runtime/access/confirm.ts';
import type { Account, Exchange } from '#runtime/account/calls.ts';
import type { Metrics } from '#runtime/account/metrics.ts';
import {
  RpcError,
  type Asked,
  type Listener,
  type Notify,
  type Opening,
  type Relay,
} from '#runtime/service.ts';
import { hasEndlessNumber } from '#runtime/numbers.ts';
import type { Admitted } from '#runtime/wire/gate.ts';
import { modernVersion } from '#runtime/wire/plain-request.ts';

import { Admission, recordAnswer, unsaid } from './admission.ts';
import { askForeign } from './ask-foreign.ts';
import { cannotAsk, Confirming } from './confirming.ts';
import { Eyes, isOfPlatform, modelIn, type Seen } from './eyes.ts';
import { figures } from './figures.ts';
import type { ListName } from './foreign/client.ts';
import type { Mounts, MountsParts } from './foreign/mounts.ts';
import type { ForeignMethod } from './foreign/server.ts';
import {
  answerFailure,
  askFor,
  failedAnswer,
  gone,
  handOn,
  headersFor,
  type Errand,
  type Watched,
} from './hand-on.ts';
import { instructionsOf, listOf, skillsOf, type List } from './lists.ts';
import { LongAnswers } from './long-answers.ts';
import { OwnCalls } from './own-calls.ts';
import { endlessNumber, mayCall } from './refusals.ts';
import { askedFor, capabilitiesIn, isNamed, kinds, targetOf, type AskedFor } from './request.ts';
import { Events, eventsFrom } from './rest/events.ts';
import { restFace } from './rest/rest.ts';
import type { SchemaRegistry } from './rest/schema-registry.ts';
import { mayRun } from './run-program.ts';
import { meantBy } from './search.ts';
import { UpstreamSessions } from './sessions.ts';
import { Standing } from './standing.ts';
import { Subscribing } from './subscribing.ts';
import type { ListedSkill } from './surface.ts';
import { Thoughts } from './thoughts.ts';
import type { UpstreamOptions } from './upstream.ts';

/** Lists come with this: they change only with a deployment, but differ by token. */
const listHints = { ttlMs: 5 * 60_000, cacheScope: 'private' };
/** Who keeps what is seen, and where from. */
const observers = ['model-profile', 'sequential-thinking', 'reasoning-capture'];

/** Where the place in thoughts is kept, and who may still be read. */
type Observing = Pick<ConstructorParameters<typeof Thoughts>[0], 'file' | 'isAlive'>;

export class Gateway implements AsyncDisposable {
  readonly standing: Standing;
  readonly #metrics: Metrics;
  readonly #subscribing = new Subscribing(() => this.standing.routes);
  readonly #sessions = new UpstreamSessions();
  readonly #admission = new Admission();
  readonly #own: OwnCalls;
  readonly #long: LongAnswers;
  readonly #confirming: Confirming;
  readonly #events = new Events();
  /** `undefined` where nobody is there who keeps what they see. */
  readonly #eyes: Eyes | undefined;
  readonly #thoughts: Thoughts | undefined;
  #notify: Notify | undefined;
  #account: Watched | undefined;

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
    this.#long = new LongAnswers(takenTokens, (tool) => this.standing.routes.tool(tool), log);
    this.#confirming = new Confirming(confirm, () => performance.now());
    const hearing = {
      changed: (lists: readonly ListName[]) => {
        this.#own.listsChanged();
        for (const list of lists) this.#notify?.listChanged(list);
      },
      resourceUpdated: (uri: string) => this.#notify?.resourceUpdated(uri),
    };
    this.standing = new Standing(upstreams, { assertions, log, now, hearing }, mount);
    this.#own = new OwnCalls({
      standing: this.standing,
      admission: this.#admission,
      schemas,
      callAny: async (account, params, asked) => this.#answer(account, 'tools/call', params, asked),
    });
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
    this.#account = account;
    const list = async (what: List, { exchange }: Asked) => {
      await this.standing.seen();
      const { caller, query } = exchange;
      const choice = askedIn(query, caller);
      const listed = listOf(what, this.standing.all, caller, choice);
      const first = what === 'tools' && choice ? this.#own.shortList(choice, caller) : [];
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
      begun: (session, params, { hash }) => this.#sessions.begin(session, hash, params),
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
          schemaOf: async (operation, tool) => this.#own.schemaForRest(operation, tool),
          call: async (operation, name, args, asked) =>
            operation.service === 'gateway'
              ? this.#own.answerForRest(account, name, args, asked)
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
      const unknown = {
        method,
        target: null,
        effect: 'read' as const,
        model: modelIn(params),
        protocolVersion: asked.version,
        id: asked.id,
        origin: request.headers.origin,
        whenGone: this.#whenGone(asked, admitted, response),
      };
      this.#after(
        Promise.race(unseen.map(async (upstream) => upstream.isUp())),
        () => this.#take(account, request, response, admitted, otherwise),
        { account, response, exchange, service: '', errand: unknown },
      );
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
    const refused = this.#admission.refusalOf(account, exchange, route, errand);
    if (refused) {
      const responseBytes = answerFailure(response, exchange, errand, refused);
      recordAnswer(account, exchange, route.behind.name, errand, refused, { ...errand, responseBytes });
      return;
    }
    const { behind } = route;
    if ('server' in behind) {
      this.#admission.goesOn(exchange);
      otherwise();
      return;
    }
    if (session === undefined || !behind.keepsSessions) {
      handOn(account, response, admitted, behind, errand);
      return;
    }
    // Where it cannot begin one there, the call itself finds out what is wrong, and says it.
    this.#after(
      this.#sessions.headers(session, behind, exchange.caller.hash),
      (more = []) =>
        handOn(account, response, admitted, behind, { ...errand, headers: [...errand.headers, ...more] }),
      { account, response, exchange, service: behind.name, errand },
    );
  }

  /** Goes on after a wait, unless the call is taken back meanwhile: then it is answered at once. */
  #after<Value>(
    wait: Promise<Value>,
    go: (value?: Value) => void,
    {
      account,
      response,
      exchange,
      service,
      errand,
    }: {
      readonly account: Watched;
      readonly response: ServerResponse;
      readonly exchange: Exchange;
      readonly service: string;
      readonly errand: Omit<Errand, 'headers'>;
    },
  ): void {
    let isGone = false;
    const forget = errand.whenGone(() => {
      if (isGone) return;
      isGone = true;
      const responseBytes = answerFailure(response, exchange, errand, gone);
      recordAnswer(account, exchange, service, errand, gone, { ...errand, responseBytes });
    });
    const goOn = (value?: Value) => {
      forget();
      if (!isGone) go(value);
    };
    wait.then(goOn, () => goOn()).catch((error: unknown) => account.log.error('relay_broke', { error }));
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
    if (!mayCall(route, exchange.caller, tool) || hasEndlessNumber(args)) return false;
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
        recordAnswer(
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
        recordAnswer(account, exchange, behind.name, { method, target: tool, effect, model }, failure, told);
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
    const own = !route && method === 'tools/call' && this.#own.answer(account, params, asked);
    if (own) return own;
    if (!route) {
      const isDocument = method === 'resources/read';
      recordAnswer(
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
      this.#admission.refusalOf(account, asked.exchange, route, errand) ??
      (method === 'tools/call' && hasEndlessNumber(params['arguments'])
        ? endlessNumber(String(name))
        : undefined) ??
      // Whoever could be asked was asked before.
      (method === 'tools/call' && this.#confirming.isWanted(effect, asked.exchange)
        ? cannotAsk(String(name))
        : undefined);
    if (!refused) {
      return 'server' in behind
        ? askForeign(account, asked, behind.server, { ...errand, method: method as ForeignMethod }, params)
        : askFor(account, asked, behind, errand, params);
    }
    recordAnswer(account, asked.exchange, behind.name, errand, refused);
    return failedAnswer(method, refused);
  }

  /** Calls a tool of the gateway's own that no list has. */
  async askOwn(name: string, args: Readonly<Record<string, unknown>>, asked: Asked) {
    if (!this.#account) throw new TypeError('Nobody stands in front yet.');
    return this.#own.answerForRest(this.#account, name, args, asked);
  }

  /** What is listened to behind the gateway. */
  async listen(wanted: Readonly<Record<string, unknown>>, listener: Listener) {
    const upstream = this.standing.upstreams.find(({ name }) => name === eventsFrom);
    return this.#events.listen(upstream, wanted, listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#eyes?.[Symbol.asyncDispose](), this.#thoughts?.[Symbol.asyncDispose]()]);
    await this.standing[Symbol.asyncDispose]();
  }
}
