/** What a process of the fleet is: data and pure handlers. The runtime turns it into a server. */
import type { IncomingMessage, ServerResponse } from 'node:http';

import { z } from 'zod';

import type { ProcessName } from '#config/catalogue.ts';
import type { HostSettings } from '#config/settings.ts';

import { ToolError } from './errors.ts';

import type { Account, Exchange, Failure } from './account/calls.ts';
import type { Log } from './account/log.ts';
import type { JsonText } from './json-text.ts';
import type { Metrics } from './account/metrics.ts';
import type { Choosable } from './access/choice.ts';
import type { Caller } from './access/tokens.ts';
import type { Kept } from './quotas.ts';
import type { Skill } from './skill.ts';
import type { Admitted } from './wire/gate.ts';
import type { AnyTool, Call, ContentBlock, Effect, ProtocolResult } from './tool.ts';

/** A document that clients may read, and subscribe to. */
export interface Resource<Deps> {
  /** A fixed URI, or an RFC 6570 template of level 1 (`memory://entity/{name}`): one segment per variable. */
  readonly uri: string;
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly mimeType: string;
  /** As of a tool: documents that programs read, such as JSON, are marked and stay `as-is`. */
  readonly untrusted?: 'as-is' | 'bounded';
  /** Returns the text, or base64 of the bytes; `undefined` when there is no such document. */
  read(
    variables: Readonly<Record<string, string>>,
    deps: Deps,
    call: Call,
  ): Contents | undefined | Promise<Contents | undefined>;
}

type Contents = { readonly text: string } | { readonly blob: string };

/** A text that a person picks to start a conversation with. */
export interface Prompt<Deps> {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly arguments: Readonly<
    Record<
      string,
      {
        readonly description: string;
        readonly required: boolean;
        /** Proposes values that begin with what was typed. */
        readonly complete?: (typed: string, deps: Deps, call: Call) => readonly string[];
      }
    >
  >;
  messages(
    args: Readonly<Record<string, string>>,
    deps: Deps,
    call: Call,
  ): Messages | ProtocolResult | Promise<Messages | ProtocolResult>;
}

type Messages = readonly { readonly role: 'user' | 'assistant'; readonly content: ContentBlock }[];

/** A plain HTTP route beside MCP: pages and status documents. */
export interface Route<Deps> {
  /** A variable stands for one segment, and is handed over percent-decoded: `/a2a/{agent}/v1/tasks`. Exact paths win over it. */
  readonly path: `/${string}`;
  /** GET unless given. */
  readonly method?: 'POST' | 'DELETE';
  /**
   * `open` to everyone on the host; `token` needs a bearer token that may read here, or do what `effect` says; `gateway` the same of a
   * caller in whose name the gateway asks, and leaves a record of what does more than read; `admin` a token that may do everything
   * everywhere, and leaves a record of each call.
   */
  readonly access: 'open' | 'token' | 'gateway' | 'admin';
  readonly effect?: Effect;
  /** Does the same: who may not use it, since the token carries a choice of tools, does not come this way either. */
  readonly tool?: AnyTool<never>;
  /** Its answer may stay open: it ends with its token, and of these a token has so many. */
  readonly isStream?: true;
  /** `caller` is the name of the token; empty where none is needed. */
  handle(
    request: Request,
    deps: Deps,
    caller: string,
    variables: Readonly<Record<string, string>>,
  ): Response | Promise<Response>;
}

/** Something that happened, for one who listens. */
export interface ListenedEvent {
  /** Of server-sent events: without line breaks. */
  readonly id?: string;
  readonly event: string;
  readonly data: object | JsonText;
}

/** Who listens, and until when. */
export interface Listener extends Pick<Call, 'caller' | 'signal'> {
  /** Of the token, for a process that asks others in its name. */
  readonly tokenHash: string;
}

/** What clients may listen to: `GET /events?…`, and `listen` over WebSocket at `/socket`. */
export interface Listened<Deps> {
  readonly effect: Effect;
  /** Where, if not there. */
  readonly paths?: { readonly events: `/${string}`; readonly socket: `/${string}` };
  /** The parameter that the header `Last-Event-ID` stands for, which browsers send when they come again. */
  readonly resumesBy?: string;
  /** As of a route. */
  readonly tool?: AnyTool<never>;
  /** What a client says of its wish, strictly; in a URL all values are texts, so numbers are `z.coerce`d. */
  readonly parameters: z.ZodObject;
  /**
   * Ends when the signal is aborted. The next event is asked for when the one before has been taken.
   *
   * @throws ToolError for what cannot be listened to.
   */
  listen(
    parameters: Readonly<Record<string, unknown>>,
    deps: Deps,
    listener: Listener,
  ): AsyncIterable<ListenedEvent> | Promise<AsyncIterable<ListenedEvent>>;
}

export const pathsOf = ({
  paths = { events: '/events', socket: '/socket' },
}: Pick<Listened<never>, 'paths'>) => paths;

/** A stream in both directions, in which a client calls tools and is told of what happens. */
export interface Conversation<Deps> {
  /** Ends when `heard` does, which is when the client has said all, or the signal is aborted. */
  readonly converse: (
    heard: AsyncIterable<Readonly<Record<string, unknown>>>,
    deps: Deps,
    talk: Talk<Deps>,
  ) => AsyncIterable<object>;
}

export interface Talk<Deps> {
  /** Aborted when the client goes, its token ends, or the process stops. */
  readonly signal: AbortSignal;
  /** Calls a tool in the client's name, on its account, within its scope; stopped when the talk ends, or this signal is aborted. */
  readonly call: (
    tool: AnyTool<Deps>,
    args: Readonly<Record<string, unknown>>,
    more?: { readonly signal?: AbortSignal; readonly progress?: Call['progress'] },
  ) => Promise<Outcome>;
}

export type Outcome =
  | { readonly value: Readonly<Record<string, unknown>> }
  | { readonly failure: Pick<Failure, 'code' | 'message' | 'hint'> };

/** @throws ToolError for what keeps a conversation from going on; Error for a fault of ours. */
export function valueOf(outcome: Outcome): Readonly<Record<string, unknown>> {
  if ('value' in outcome) return outcome.value;
  const { code, message, hint } = outcome.failure;
  if (code === 'internal') throw new Error(message);
  throw new ToolError(code, message, { ...(hint !== undefined && { hint }) });
}

/** A service of gRPC on the process's port. All of its methods are named: a tool, what is listened to, a conversation, or what is relayed. */
export interface GrpcFace<Deps> {
  /** As the .proto files name it: `flotilla.v1.CoordinatorService`. */
  readonly service: string;
  /** What the compiler made of them: `proto/flotilla.json`. */
  readonly protos: URL;
  readonly methods: Readonly<Record<string, AnyTool<Deps> | 'listened' | Conversation<Deps> | Relayed<Deps>>>;
}

/** A method of a process that stands in front of others, which accounts for it itself. */
export interface Relayed<Deps> {
  /** @returns the result of a tool, in the protocol's form. @throws RpcError */
  readonly relayed: (
    given: Readonly<Record<string, unknown>>,
    deps: Deps,
    asked: Asked,
  ) => Promise<Readonly<Record<string, unknown>>>;
}

/** @throws ToolError invalid_input. */
export function parametersOf(
  { parameters }: Pick<Listened<never>, 'parameters'>,
  given: unknown,
): Readonly<Record<string, unknown>> {
  const parsed = parameters.strict().safeParse(given);
  if (parsed.success) return parsed.data;
  throw new ToolError('invalid_input', `This cannot be listened to: ${z.prettifyError(parsed.error)}`, {
    hint: `It takes ${Object.keys(parameters.shape).join(', ')}.`,
  });
}

/** What the protocol asks of a process that stands in front of others, beside what it hands on. */
export interface Asked {
  readonly exchange: Exchange;
  readonly isModern: boolean;
  /** Aborted when the client goes, or takes its request back. */
  readonly signal: AbortSignal;
  readonly progress: Call['progress'];
}

/** An error in the protocol's own words: JSON-RPC's code, a message, and what belongs to it. */
export class RpcError extends Error {
  readonly code: number;
  readonly data: unknown;

  constructor(code: number, message: string, data?: unknown) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

/** Why a request is answered before anybody has looked at what it asks for. */
export interface Turned {
  readonly status: number;
  readonly message: string;
  readonly hint?: string | undefined;
  readonly retryAfterMs?: number | undefined;
}

/** Requests over plain HTTP, which pass the same gate as messages of MCP. */
export interface Face {
  /** What their paths begin with: `/api/`. */
  readonly under: `/${string}/`;
  /** Answers one of a caller who is known, whose body has been read. */
  take(request: IncomingMessage, response: ServerResponse, admitted: Admitted): void;
  /** The form in which a client that accepts this is told why it gets no answer. */
  turned(
    why: Turned,
    accept: string | undefined,
    traceId: string,
  ): { readonly type: string; readonly text: string };
}

/** A process that stands in front of others: it hands messages on to them, and lists what they offer. */
export interface Relay {
  /** How far a scope lets its bearer go behind it. */
  readonly allowed: Account['allowed'];
  /** Hands a message on, or leaves it, or another in its place, to the protocol's server by calling `otherwise`. */
  take(
    request: IncomingMessage,
    response: ServerResponse,
    admitted: Admitted,
    otherwise: (instead?: Admitted) => void,
  ): void;
  /** What the protocol's server answers itself, by method. @throws RpcError */
  readonly answers: Readonly<
    Record<
      string,
      (params: Readonly<Record<string, unknown>>, asked: Asked) => Promise<Record<string, unknown>>
    >
  >;
  capabilities(isModern: boolean): Readonly<Record<string, object>>;
  instructions(): string;
  /** Told of a session that a client of an older revision has begun, and with which words. */
  begun(session: string, params: unknown, caller: Caller): void;
  /** What the lists depend on: lists of the same key are the same. */
  listKey(exchange: Exchange): string;
  /** Another way in than MCP. */
  readonly face?: Face;
}

/** What a relay tells those who listen, and hears of them. */
export interface Notify {
  /** Calls `act` when a session takes back the request of this id. @returns how to unsay it. */
  readonly onCancel: (session: string, owner: string, request: unknown, act: () => void) => () => void;
  readonly resourceUpdated: (uri: string) => void;
  readonly listChanged: (list: 'tools' | 'resources' | 'prompts') => void;
}

/** A tool, and the arguments that it is called with. */
export interface Canary {
  readonly tool: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** Whether the process can do its job, and if not, why. */
export interface Readiness {
  readonly ready: boolean;
  readonly reasons: readonly string[];
  /** What a person should look at, though the job is done. */
  readonly warnings?: readonly string[];
}

/** What `open` gets to build a service's dependencies from. */
export interface Opening<Settings> {
  readonly settings: Settings;
  /** The service's own folder; nobody else opens what lies in it. */
  readonly dataDir: string;
  readonly host: HostSettings;
  readonly log: Log;
  readonly now: () => number;
  /** Who a token belongs to; `undefined` for an unknown, revoked or expired one. */
  readonly authenticate: (secret: string) => Caller | undefined;
  /** Whether the token with this hash, which was good once, still is. */
  readonly isAlive: (hash: string) => boolean;
  /** The process's own, for a `/metrics` route that adds to them. */
  readonly metrics: Metrics;
  /** Tells subscribers that a resource has changed, where no call changed it. */
  readonly resourceUpdated: (uri: string) => void;
}

export interface Service<Settings extends z.ZodObject, Deps extends Partial<Disposable & AsyncDisposable>> {
  readonly name: string;
  /** Names must begin with `FLOTILLA_<NAME>_`; each needs a description, which becomes `config/env.example`. */
  readonly settings: Settings;
  /** Tells a model what the service is for as a whole. */
  readonly instructions?: string;
  /** How to use it well, for models that load skills: `skillBeside(import.meta.url)`. */
  readonly skill?: Skill;
  readonly tools?: readonly AnyTool<Deps>[];
  /** The tools that most conversations need: `/mcp?tools=core` lists these alone. All are, unless this says otherwise. */
  readonly core?: readonly AnyTool<Deps>[];
  /** Of tools whose names another service of the fleet has too: names that are their own, for the gateway. Calls may use both. */
  readonly fleetNames?: Readonly<Record<string, string>>;
  /** Further names that calls may use for its tools, as other servers have them. They are not listed: each would cost tokens. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** Whether a tool is offered with these settings; all are, unless this says otherwise. */
  offers?(tool: AnyTool<Deps>, settings: z.output<Settings>): boolean;
  /**
   * Tools of another package, for a service that takes them in as they are: asked for once at start, so that the package is
   * loaded only with the settings that want it.
   */
  mounts?(settings: z.output<Settings>): Promise<readonly AnyTool<Deps>[]>;
  /**
   * A small read that shows the service at work, in the way of its users: health calls it once a minute. It may answer that there
   * is nothing to read, but not that it cannot be done.
   */
  readonly canary?: Canary;
  /** Makes the process one that stands in front of others; it has no tools, resources or prompts of its own then. */
  relay?(deps: Deps, account: Account, notify: Notify): Relay;
  readonly resources?: readonly Resource<Deps>[];
  readonly prompts?: readonly Prompt<Deps>[];
  readonly routes?: readonly Route<Deps>[];
  readonly listened?: Listened<Deps>;
  readonly grpc?: GrpcFace<Deps>;
  /**
   * Sessions of the SDK's own for clients of 2025-11-25 and older, in place of ours, so that a handler can ask them back in
   * mid-call. No service of the catalogue needs it; the conformance suite does.
   */
  readonly sessions?: { readonly idleMs: number; readonly cap: number };
  /** The longest request body that is read; 4 MiB unless the service says otherwise. */
  readonly maxBodyBytes?: number;
  open(opening: Opening<z.output<Settings>>): Deps | Promise<Deps>;
  /** Files of the data folder that no backup may hold; they are made anew where they are missing. */
  readonly secretFiles?: readonly string[];
  /**
   * Opens what lies in a copy of the data folder, without beginning any work: how a backup is proven. Unless given, `open`
   * and `check` do it.
   */
  openCopy?(dataDir: string): Disposable;
  /**
   * Asked by `/ready`, and by systemd's watchdog: can the job be done now? Reads the store. Must answer within a second,
   * whoever it asks: a process whose check does not end is stuck, and is started again.
   */
  check?(deps: Deps): Readiness | Promise<Readiness>;
  /** Told when the process begins to stop, before calls are waited for: ends answers of its own that would stay open. */
  stopping?(deps: Deps): void;
  /** What each token keeps here, and how much it may: shown in health, metrics, status and dashboard. */
  kept?(deps: Deps): Kept;
  /** Added to what `/health` says of this process; must not ask anything else. */
  describe?(deps: Deps): Readonly<Record<string, unknown>>;
}

// oxlint-disable-next-line typescript/no-explicit-any -- the runtime runs services of every setting and dependency
export type AnyService = Service<any, any>;

/** The tools that the service offers with these settings. */
export function toolsOf(service: AnyService, settings: unknown): readonly AnyTool<unknown>[] {
  const tools: readonly AnyTool<unknown>[] = service.tools ?? [];
  return tools.filter((tool) => service.offers?.(tool, settings) ?? true);
}

/** As a choice of tools names it. */
export function choosable({ name, core, fleetNames }: AnyService, tool: AnyTool<never>): Choosable {
  const fleetName = fleetNames?.[tool.name];
  return {
    service: name,
    names: fleetName === undefined ? [tool.name] : [tool.name, fleetName],
    isCore: core ? (core as readonly AnyTool<never>[]).includes(tool) : true,
  };
}

/** Its documents, and among them the one that says how to use it. */
export function resourcesOf({ resources = [], skill }: AnyService): readonly Resource<unknown>[] {
  return skill ? [...(resources as readonly Resource<unknown>[]), documentOf(skill)] : resources;
}

function documentOf({ uri, frontmatter, text }: Skill): Resource<unknown> {
  const { name, description } = frontmatter;
  return { uri, name, title: name, description, mimeType: 'text/markdown', read: () => ({ text }) };
}

/** By all names that calls may use. */
export function toolsByName(
  tools: readonly AnyTool<unknown>[],
  { aliases = {}, fleetNames = {} }: Pick<AnyService, 'aliases' | 'fleetNames'>,
): ReadonlyMap<string, AnyTool<unknown>> {
  const named = new Map(tools.map((tool) => [tool.name, tool]));
  const others = [
    ...Object.entries(aliases),
    ...Object.entries(fleetNames).map(([name, other]) => [other, name]),
  ];
  for (const [other = '', name = ''] of others) {
    const tool = named.get(name);
    if (tool) named.set(other, tool);
  }
  return named;
}

const defaultMaxBodyBytes = 4 * 1024 * 1024;

export function maxBodyBytesOf({ maxBodyBytes = defaultMaxBodyBytes }: AnyService): number {
  return maxBodyBytes;
}

/** Ties a service's types together, and its name to the catalogue; adds nothing. */
export function defineService<
  Settings extends z.ZodObject,
  Deps extends Partial<Disposable & AsyncDisposable>,
>(
  service: Service<Settings, Deps> & { readonly name: ProcessName },
): Service<Settings, Deps> & { readonly name: ProcessName } {
  return service;
}
