/** One foreign server: connected, watched and started again, with what it offers in the gateway's words. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { Log } from '#runtime/account/log.ts';
import { ToolError } from '#runtime/errors.ts';
import { orStopped } from '#runtime/lanes.ts';
import type { Effect } from '#runtime/tool.ts';

import type { Watched } from '../watching.ts';
import { checkedArguments } from './arguments.ts';
import { connectTo, type Connection, type Era, type Json, type ListName, type Progress } from './client.ts';
import { ConnectError, ForeignError } from './foreign-error.ts';
import { subjectOf, type Finding } from './findings.ts';
import { nothing, readLists, type Lists } from './lists.ts';
import { plainMeta, stamped } from './meta.ts';
import { outwardNames } from './naming.ts';
import {
  definitionsIn,
  listsOf,
  lookOver,
  namesOf,
  noLook,
  noOffer,
  offerOf,
  surfaceOf,
  type Offering,
  type Refused,
  type Taken,
} from './offer.ts';
import { judged, readPins, writePins, type Pin, type Pins } from './pins.ts';
import { ProcessTransport } from './process.ts';
import type { References } from './references.ts';
import { matchesTemplate } from './uri.ts';
import { isLocal, type Upstream } from './upstreams-file.ts';

export interface ServerState {
  /** `off`: the operator said so. `starting` and `down` take no calls; what it offers stays listed. */
  readonly status: 'off' | 'starting' | 'up' | 'down';
  /** ISO 8601. */
  readonly since: string;
  /** Why it is not up, in words for people and models. */
  readonly reason?: string;
}

export type ForeignMethod = 'tools/call' | 'prompts/get' | 'resources/read' | 'completion/complete';

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly onprogress?: (progress: Progress) => void;
}

export type ForeignEvent =
  | { readonly kind: 'list'; readonly list: ListName }
  | { readonly kind: 'resource'; readonly uri: string }
  | { readonly kind: 'state' };

/** A server as lists and routes take it, with the way to ask it. */
export interface ForeignBehind extends Watched {
  readonly server: ForeignServer;
}

export interface ServerParts {
  readonly upstream: Upstream;
  readonly references: References;
  readonly pinsFile: string;
  readonly log: Log;
  readonly now: () => number;
  readonly told: (event: ForeignEvent) => void;
  /** Before the first try again; doubled each time, up to `longestDelayMs`. */
  readonly firstDelayMs?: number;
}

const usualDelayMs = 500;
const longestDelayMs = 30_000;
/** Who ran so long begins with the first delay again. */
const steadyMs = 60_000;
/** The first start may have to fetch packages. */
const connectMs = 90_000;
/** A server over HTTP tells nobody that it was started again. */
const lookEveryMs = 60_000;
const probeMs = 5_000;

export class ForeignServer implements AsyncDisposable {
  readonly name: string;
  readonly #parts: ServerParts;
  readonly #stopping = new AbortController();
  readonly #stopped: Promise<void>;
  #upstream: Upstream;
  #state: ServerState;
  #connection: Connection | undefined;
  #process: ProcessTransport | undefined;
  #era: Era | undefined;
  #asksOlder = false;
  #title = '';
  #starts = 0;
  #lists = nothing;
  #look = noLook;
  #offer = noOffer;
  #surface = surfaceOf(noOffer.surface);
  #pins: Pins | undefined;
  #looking = Promise.resolve();
  readonly #watched = new Map<string, AsyncDisposable | undefined>();

  constructor(parts: ServerParts) {
    this.#parts = parts;
    this.#upstream = parts.upstream;
    this.name = parts.upstream.name;
    this.#state = { status: 'starting', since: this.#now() };
    const obstacle = this.#obstacle();
    if (obstacle) this.#state = { ...obstacle, since: this.#now() };
    this.#stopped = obstacle ? Promise.resolve() : this.#run();
  }

  get state(): ServerState {
    return this.#state;
  }
  /** As clients are to see it: outward names, tamed schemas, nothing that is held back or refused. */
  get surface(): Offering {
    return this.#offer.surface;
  }
  /** How the server itself calls each tool that is offered, by its outward name. */
  get toolNames(): ReadonlyMap<string, string> {
    return new Map([...this.#offer.tools].map(([outward, { name }]) => [outward, name]));
  }
  /** As the gateway's lists and routes take it. */
  get behind(): ForeignBehind {
    const { status, reason = 'it is being started' } = this.#state;
    return {
      name: this.name,
      description: 'a server of others.',
      surface: this.#surface,
      trouble: status === 'up' ? undefined : reason,
      server: this,
      offers: (uri) => this.offersResource(uri),
      watch: async (uris) => this.watch(uris),
      unwatch: (uris) => this.unwatch(uris),
    };
  }
  /** Changed or new since the first sight, and not approved. */
  get held(): readonly Pin[] {
    return this.#pins?.held ?? [];
  }
  /** Outward names that stay its own, whether they are offered now or not. */
  get names(): { readonly tools: readonly string[]; readonly prompts: readonly string[] } {
    const { tools, prompts } = namesOf(this.#pins, this.#upstream.prefix);
    return {
      tools: [...this.surface.tools.map(({ name }) => name), ...tools],
      prompts: [...this.surface.prompts.map(({ name }) => name), ...prompts],
    };
  }
  get findings(): readonly Finding[] {
    return this.#offer.findings;
  }
  get refused(): readonly Refused[] {
    return this.#offer.refused;
  }
  /** Its own name and version. */
  get title(): string {
    return this.#title;
  }
  /** Of the protocol, as it was found out last. */
  get era(): Era | undefined {
    return this.#era;
  }
  /** Of its process, where it has one. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }
  /** How often a connection was begun. */
  get starts(): number {
    return this.#starts;
  }
  get upstream(): Upstream {
    return this.#upstream;
  }

  /**
   * Asks it, in outward names; the result is marked as text of others.
   *
   * @throws ForeignError for its own error, ToolError for everything else.
   */
  async request(method: ForeignMethod, params: Json, options: CallOptions = {}): Promise<Json> {
    const { inward, inputSchema, effect } = this.#inward(method, params);
    const connection = this.#connection;
    if (!connection || this.#state.status !== 'up') throw this.#unavailable();
    const meta = plainMeta(params['_meta']);
    const { _meta: _, ...rest } = inward;
    try {
      const asked = { ...rest, ...(meta && { _meta: meta }) };
      const limits = { ...options, timeoutMs: this.#upstream.timeoutMs, inputSchema, effect };
      return stamped(await connection.request(method, asked, limits), this.name);
    } catch (error) {
      if (error instanceof ToolError && error.code === 'timeout') void this.#probe(connection);
      throw this.#redacted(error);
    }
  }

  /** Whether a resource is one of its own: listed, or by a template that is. */
  offersResource(uri: string): boolean {
    const { resources, resourceTemplates } = this.surface;
    return (
      resources.some((resource) => resource['uri'] === uri) ||
      resourceTemplates.some((template) => matchesTemplate(String(template['uriTemplate']), uri))
    );
  }

  /** Its changes are told from now on, also by a later connection. */
  async watch(uris: readonly string[]): Promise<void> {
    const added = uris.filter((uri) => !this.#watched.has(uri));
    for (const uri of added) this.#watched.set(uri, undefined);
    await Promise.all(added.map(async (uri) => this.#watch(uri)));
  }

  unwatch(uris: readonly string[]): void {
    for (const uri of uris) {
      void this.#watched.get(uri)?.[Symbol.asyncDispose]();
      this.#watched.delete(uri);
    }
  }

  /** Takes over what needs no new connection. */
  update(upstream: Upstream): void {
    this.#upstream = upstream;
    try {
      if (this.#pins) this.#pin();
    } catch (error) {
      this.#parts.log.error('upstream_pins_not_written', { upstream: this.name, error });
    }
  }

  /** Puts together what it offers, next to those who come first. */
  arrange(taken: Taken): void {
    this.#offer = offerOf(this.#look, this.#pins, this.#upstream.prefix, taken);
    this.#surface = surfaceOf(this.#offer.surface);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#connection?.close();
    await this.#process?.close();
    await this.#stopped;
  }

  /** What keeps it from being started, until the operator has done something. */
  #obstacle(): Pick<ServerState, 'status' | 'reason'> | undefined {
    if (!this.#upstream.enabled) return { status: 'off', reason: 'it is switched off in upstreams.json' };
    try {
      this.#pins = readPins(this.#parts.pinsFile);
      return undefined;
    } catch (error) {
      // Without them, a changed definition would pass for one that was never seen.
      this.#parts.log.error('upstream_pins_damaged', { upstream: this.name, error });
      return { status: 'down', reason: (error as Error).message };
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const { firstDelayMs = usualDelayMs } = this.#parts;
    // Until it is there, what it offered last is listed.
    await this.#take(listsOf(this.#pins));
    let delayMs = firstDelayMs;
    while (!signal.aborted) {
      const began = performance.now();
      const reason = await this.#connectOnce();
      if (signal.aborted) break;
      if (performance.now() - began > steadyMs) delayMs = firstDelayMs;
      this.#become('down', reason);
      await sleep(delayMs, undefined, { signal, ref: false }).catch(() => {});
      delayMs = Math.min(delayMs * 2, longestDelayMs);
    }
  }

  /** One connection from its begin to its end. @returns why it ended. */
  async #connectOnce(): Promise<string> {
    this.#starts += 1;
    const { signal } = this.#stopping;
    let timer: NodeJS.Timeout | undefined;
    try {
      const hooks = {
        onListChanged: () => this.#lookAgain(),
        onResourceUpdated: (uri: string) => this.#parts.told({ kind: 'resource', uri }),
      };
      const limits = { timeoutMs: connectMs, asksOlder: this.#asksOlder, signal };
      const connection = await connectTo(this.#target(), hooks, limits);
      this.#connection = connection;
      this.#era = connection.era;
      this.#title = connection.title;
      signal.throwIfAborted();
      await this.#take(await readLists(connection, this.#upstream.timeoutMs));
      this.#become('up');
      for (const uri of this.#watched.keys()) void this.#watch(uri);
      if (!isLocal(this.#upstream)) timer = setInterval(() => this.#lookAgain(), lookEveryMs).unref();
      return await orStopped(connection.lost, signal);
    } catch (error) {
      if (signal.aborted) return 'it was stopped';
      if (error instanceof ConnectError && error.isReached) this.#asksOlder = !this.#asksOlder;
      return this.#redacted(error).message;
    } finally {
      clearInterval(timer);
      const connection = this.#connection;
      this.#connection = undefined;
      await connection?.close();
      await this.#process?.close();
      this.#process = undefined;
    }
  }

  #target() {
    const { references, log } = this.#parts;
    const resolve = (text: string) => references.resolve(text);
    const all = (values: Readonly<Record<string, string>>) =>
      Object.fromEntries(Object.entries(values).map(([name, value]) => [name, resolve(value)]));
    const upstream = this.#upstream;
    if (!isLocal(upstream))
      return { type: upstream.type, url: resolve(upstream.url), headers: all(upstream.headers) };
    const { command, args, env, cwd, sandbox, read, write } = upstream;
    const launch = { command, args: args.map(resolve), env: all(env), cwd, sandbox, read, write };
    const heard = (line: string) =>
      log.info('upstream_said', { upstream: this.name, line: references.redact(line) });
    return (this.#process = new ProcessTransport(launch, heard));
  }

  /** Reads its lists again; one reading at a time, and what is said meanwhile is read by another one. */
  #lookAgain(): void {
    this.#looking = this.#lookAfter(this.#looking);
  }

  async #lookAfter(before: Promise<void>): Promise<void> {
    await before;
    const connection = this.#connection;
    if (!connection) return;
    try {
      const lists = await readLists(connection, this.#upstream.timeoutMs);
      if (this.#connection === connection) await this.#take(lists);
    } catch (error) {
      const reason = this.#redacted(error).message;
      this.#parts.log.warn('upstream_list_failed', { upstream: this.name, reason });
      if (!isLocal(this.#upstream)) await connection.close();
    }
  }

  async #take(lists: Lists): Promise<void> {
    const [before, now] = [said(this.#lists), said(lists)];
    this.#lists = lists;
    this.#look = await lookOver(lists, this.name);
    this.#pin();
    for (const list of ['tools', 'prompts', 'resources'] as const)
      if (before[list] !== now[list]) this.#parts.told({ kind: 'list', list });
  }

  #pin(): void {
    const { pinsFile, log } = this.#parts;
    const before = this.#pins;
    // Of one that is not there, what it has shown before is judged again.
    const definitions = this.#connection ? definitionsIn(this.#look) : (before?.held ?? []);
    const approved = new Set(this.#upstream.approved);
    const pins = judged(before, definitions, { approved, now: this.#now() });
    if (!before && pins.pinned.length === 0) return;
    writePins(pinsFile, before, pins);
    this.#pins = pins;
    const known = new Set((before?.held ?? []).map(({ hash }) => hash));
    for (const pin of pins.held) {
      if (!known.has(pin.hash))
        log.warn('upstream_definition_held', { upstream: this.name, definition: subjectOf(pin) });
    }
  }

  async #watch(uri: string): Promise<void> {
    const connection = this.#connection;
    if (!connection) return;
    try {
      const watching = await connection.watch(uri, this.#upstream.timeoutMs);
      if (this.#watched.has(uri) && this.#connection === connection) this.#watched.set(uri, watching);
      else await watching[Symbol.asyncDispose]();
    } catch (error) {
      // Many have no such thing.
      const reason = this.#redacted(error).message;
      this.#parts.log.info('upstream_not_watched', { upstream: this.name, reason });
    }
  }

  /** It has let a call wait too long: does it answer at all? */
  async #probe(connection: Connection): Promise<void> {
    const method = connection.era === 'modern' ? 'server/discover' : 'ping';
    try {
      await connection.request(method, {}, { timeoutMs: Math.min(probeMs, this.#upstream.timeoutMs) });
    } catch (error) {
      if (error instanceof ForeignError || this.#connection !== connection) return;
      this.#parts.log.warn('upstream_hangs', { upstream: this.name });
      await connection.close();
      await this.#process?.close();
    }
  }

  #become(status: ServerState['status'], reason?: string): void {
    if (this.#state.status === status && this.#state.reason === reason) return;
    const why = reason === undefined ? {} : { reason };
    this.#state = { status, since: this.#now(), ...why };
    this.#parts.log[status === 'up' ? 'info' : 'warn']('upstream_state', {
      upstream: this.name,
      status,
      ...why,
    });
    this.#parts.told({ kind: 'state' });
  }

  #inward(
    method: ForeignMethod,
    params: Json,
  ): { readonly inward: Json; readonly inputSchema?: object | undefined; readonly effect?: Effect } {
    const ref = params['ref'] as Json | undefined;
    if (method === 'tools/call') {
      const outward = String(params['name']);
      const tool = this.#offer.tools.get(outward);
      if (!tool) throw this.#notOffered('tool', outward);
      const { name, inputSchema, hasHeaders, effect } = tool;
      const args = checkedArguments(outward, inputSchema, params['arguments'] ?? {});
      const inward = { ...params, name, arguments: args };
      return { inward, inputSchema: hasHeaders ? inputSchema : undefined, effect };
    }
    if (method === 'prompts/get') return { inward: { ...params, name: this.#ownPrompt(params['name']) } };
    if (ref?.['type'] === 'ref/prompt')
      return { inward: { ...params, ref: { ...ref, name: this.#ownPrompt(ref['name']) } } };
    return { inward: params };
  }

  #ownPrompt(outward: unknown): string {
    const name = this.#offer.prompts.get(String(outward));
    if (name === undefined) throw this.#notOffered('prompt', String(outward));
    return name;
  }

  #notOffered(kind: 'tool' | 'prompt', outward: string): ToolError {
    const held = this.held.filter((pin) => pin.kind === kind).map(({ name }) => name);
    if ([...outwardNames(this.#upstream.prefix, held).values()].includes(outward)) {
      return new ToolError('forbidden', `The definition of ${outward} has changed, and is held back.`, {
        hint: `The operator looks at it: flotilla upstream approve ${this.name}.`,
      });
    }
    return new ToolError('not_found', `${this.name} has no ${kind} ${outward}.`, {
      hint: 'List what there is.',
    });
  }

  #unavailable(): ToolError {
    const { status, reason, since } = this.#state;
    const why = reason === undefined ? '' : `: ${reason}`;
    return new ToolError('unavailable', `The server ${this.name} is ${status} since ${since}${why}.`, {
      hint:
        status === 'off' ? 'The operator has switched it off.' : 'It is tried again by itself; try later.',
      retryAfterMs: 2_000,
    });
  }

  #redacted(error: unknown): Error {
    const known = error instanceof Error ? error : new Error('it failed');
    known.message = this.#parts.references.redact(known.message);
    return known;
  }

  #now(): string {
    return new Date(this.#parts.now()).toISOString();
  }
}

/** By the events that tell of their changes. */
function said({ tools, prompts, resources, resourceTemplates }: Lists) {
  return {
    tools: JSON.stringify(tools),
    prompts: JSON.stringify(prompts),
    resources: JSON.stringify([resources, resourceTemplates]),
  };
}
