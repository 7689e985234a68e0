/** One foreign server: connected, watched and started again, with what it offers in the gateway's words. */
import { setTimeout as sleep } from 'node:timers/promises';

import type { Log } from '#runtime/account/log.ts';
import { ToolError } from '#runtime/errors.ts';

import { checkedArguments } from './arguments.ts';
import {
  connectTo,
  ForeignError,
  type Connection,
  type Era,
  type Json,
  type ListName,
  type Progress,
} from './client.ts';
import {
  findingsOf,
  longestDefinition,
  subjectOf,
  type Definition,
  type Finding,
  type OtherNames,
} from './findings.ts';
import { plainMeta, stamped, strippedDeep } from './meta.ts';
import { outwardNames } from './naming.ts';
import { hashOf, judged, readPins, writePins, type Pin, type Pins } from './pins.ts';
import { ProcessTransport } from './process.ts';
import type { References } from './references.ts';
import { tamedInput, tamedOutput } from './schema.ts';
import type { Listed, ListedTool, Surface } from './surface.ts';
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

/** What it offers that cannot be offered, and why. */
export interface Refused {
  readonly subject: string;
  readonly reason: string;
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

/** Names and places that are taken by those who come first: the fleet, and the servers before this one in the file. */
export interface Taken {
  readonly tools: OtherNames;
  readonly prompts: OtherNames;
  readonly uris: OtherNames;
  /** Of the fleet's resources. */
  readonly schemes: ReadonlySet<string>;
}

const firstDelayMs = 500;
const longestDelayMs = 30_000;
/** Who ran so long begins with the first delay again. */
const steadyMs = 60_000;
/** The first start may have to fetch packages. */
const connectMs = 90_000;
/** A server over HTTP tells nobody that it was started again. */
const lookEveryMs = 60_000;
const probeMs = 5_000;

const mostPages = 100;
const mostItems = 2_000;
const mostBytes = 8 * 1024 * 1024;

/** What it said last, as it said it. */
interface Lists {
  readonly tools: readonly Json[];
  readonly prompts: readonly Json[];
  readonly resources: readonly Json[];
  readonly resourceTemplates: readonly Json[];
  readonly instructions: string;
}

const nothing: Lists = { tools: [], prompts: [], resources: [], resourceTemplates: [], instructions: '' };

const allLists = ['tools', 'prompts', 'resources'] as const;

interface OfferedTool {
  readonly name: string;
  readonly inputSchema: object;
  readonly hasHeaders: boolean;
}

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
  #title = '';
  #lists = nothing;
  #pins: Pins | undefined;
  #tools = new Map<string, OfferedTool>();
  #prompts = new Map<string, string>();
  #surface: Surface = { instructions: '', tools: [], resources: [], resourceTemplates: [], prompts: [] };
  #findings: readonly Finding[] = [];
  #refused: readonly Refused[] = [];
  #looking: Promise<void> = Promise.resolve();
  #starts = 0;

  constructor(parts: ServerParts) {
    this.#parts = parts;
    this.#upstream = parts.upstream;
    this.name = parts.upstream.name;
    this.#state = { status: 'starting', since: this.#now() };
    this.#pins = readPins(parts.pinsFile);
    // Until it is there, what it offered last is listed.
    this.#lists = listsOf(this.#pins);
    this.#stopped = this.#upstream.enabled ? this.#run() : this.#off();
  }

  get state(): ServerState {
    return this.#state;
  }
  /** As clients are to see it: outward names, tamed schemas, nothing that is held back or refused. */
  get surface(): Surface {
    return this.#surface;
  }
  /** Changed or new since the first sight, and not approved. */
  get held(): readonly Pin[] {
    return this.#pins?.held ?? [];
  }
  get findings(): readonly Finding[] {
    return this.#findings;
  }
  get refused(): readonly Refused[] {
    return this.#refused;
  }
  /** Its own name and version, and the era of the protocol that it speaks. */
  get title(): string {
    return this.#title;
  }
  get era(): Era | undefined {
    return this.#connection?.era;
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
    const { inward, inputSchema } = this.#inward(method, params);
    const connection = this.#connection;
    if (!connection || this.#state.status !== 'up') throw this.#unavailable();
    const meta = plainMeta(params['_meta']);
    const { _meta: _, ...rest } = inward;
    try {
      const asked = { ...rest, ...(meta && { _meta: meta }) };
      const limits = { ...options, timeoutMs: this.#upstream.timeoutMs, inputSchema };
      return stamped(await connection.request(method, asked, limits), this.name);
    } catch (error) {
      if (error instanceof ToolError && error.code === 'timeout') void this.#probe(connection);
      throw this.#redacted(error);
    }
  }

  /** Whether a resource is one of its own: listed, or by a template that is. */
  offersResource(uri: string): boolean {
    const { resources, resourceTemplates } = this.#surface;
    return (
      resources.some((resource) => resource['uri'] === uri) ||
      resourceTemplates.some((template) => matchesTemplate(String(template['uriTemplate']), uri))
    );
  }

  /** `onChange` hears of it as `{ kind: 'resource' }`. @throws ToolError `unavailable`, or what the server answers. */
  async watchResource(uri: string): Promise<AsyncDisposable> {
    if (!this.#connection) throw this.#unavailable();
    return this.#connection.watch(uri, this.#upstream.timeoutMs);
  }

  /** Takes over what needs no new connection. */
  update(upstream: Upstream): void {
    this.#upstream = upstream;
    this.#pin();
  }

  /** Puts together what it offers, next to those who come first. Pure but for what it keeps. */
  arrange(taken: Taken): void {
    const arranged = arrange(this.#upstream, this.#lists, this.#pins, taken);
    this.#surface = arranged.surface;
    this.#tools = arranged.tools;
    this.#prompts = arranged.prompts;
    this.#findings = arranged.findings;
    this.#refused = arranged.refused;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#connection?.close();
    await this.#process?.close();
    await this.#stopped;
  }

  #off(): Promise<void> {
    this.#state = { status: 'off', since: this.#now(), reason: 'it is switched off in upstreams.json' };
    return Promise.resolve();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    const first = this.#parts.firstDelayMs ?? firstDelayMs;
    let delayMs = first;
    while (!signal.aborted) {
      const began = performance.now();
      const reason = await this.#connectOnce();
      if (signal.aborted) break;
      if (performance.now() - began > steadyMs) delayMs = first;
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
      const target = this.#target();
      const hooks = {
        onListChanged: (list: ListName) => this.#look(list),
        onResourceUpdated: (uri: string) => this.#parts.told({ kind: 'resource', uri }),
      };
      const connection = await connectTo(target, hooks, { timeoutMs: connectMs, era: this.#era, signal });
      this.#era = connection.era;
      this.#title = connection.title;
      this.#connection = connection;
      this.#lists = { ...nothing, ...(await readLists(connection, this.#upstream.timeoutMs)) };
      this.#pin();
      this.#become('up');
      for (const list of ['tools', 'prompts', 'resources'] as const) this.#parts.told({ kind: 'list', list });
      if (!isLocal(this.#upstream)) timer = setInterval(() => this.#look(), lookEveryMs).unref();
      return await connection.lost;
    } catch (error) {
      // One that ends when it is asked for the newer era is of the older.
      if (this.#process?.end !== undefined && this.#era === undefined && this.#starts === 1)
        this.#era = 'legacy';
      return this.#parts.references.redact((error as Error).message);
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
    const upstream = this.#upstream;
    const all = (values: Readonly<Record<string, string>>) =>
      Object.fromEntries(Object.entries(values).map(([name, value]) => [name, resolve(value)]));
    if (!isLocal(upstream))
      return { type: upstream.type, url: resolve(upstream.url), headers: all(upstream.headers) };
    const { command, args, env, cwd, sandbox, read, write } = upstream;
    const launch = { command, args: args.map(resolve), env: all(env), cwd, sandbox, read, write };
    const heard = (line: string) =>
      log.info('upstream_said', { upstream: this.name, line: references.redact(line) });
    return (this.#process = new ProcessTransport(launch, heard));
  }

  /** Reads its lists again; one reading at a time, and what is said meanwhile is read by another one. */
  #look(list?: ListName): void {
    this.#looking = this.#lookAfter(this.#looking, list);
  }

  async #lookAfter(before: Promise<void>, list: ListName | undefined): Promise<void> {
    await before;
    const connection = this.#connection;
    if (!connection) return;
    try {
      const lists = { ...nothing, ...(await readLists(connection, this.#upstream.timeoutMs)) };
      if (this.#connection !== connection || JSON.stringify(lists) === JSON.stringify(this.#lists)) return;
      this.#lists = lists;
      this.#pin();
      for (const one of list ? [list] : allLists) this.#parts.told({ kind: 'list', list: one });
    } catch (error) {
      const reason = this.#redacted(error).message;
      this.#parts.log.warn('upstream_list_failed', { upstream: this.name, reason });
      if (!isLocal(this.#upstream)) await connection.close();
    }
  }

  #pin(): void {
    const { pinsFile, log } = this.#parts;
    if (this.#connection) {
      const approved = new Set(this.#upstream.approved);
      const pins = judged(this.#pins, definitionsOf(this.#lists), { approved, now: this.#now() });
      if (pins.pinned.length > 0 || this.#pins) {
        const heldBefore = new Set(this.held.map(({ hash }) => hash));
        writePins(pinsFile, this.#pins, pins);
        this.#pins = pins;
        for (const pin of pins.held) {
          if (!heldBefore.has(pin.hash))
            log.warn('upstream_definition_held', { upstream: this.name, definition: subjectOf(pin) });
        }
      }
    } else if (this.#pins) {
      const approved = new Set(this.#upstream.approved);
      const waiting = this.#pins.held.filter(({ hash }) => approved.has(hash));
      if (waiting.length === 0) return;
      const pins = judged(this.#pins, this.#pins.held, { approved, now: this.#now() });
      writePins(pinsFile, this.#pins, pins);
      this.#pins = pins;
      this.#lists = listsOf(pins);
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
    const isSame = this.#state.status === status && this.#state.reason === reason;
    if (isSame) return;
    this.#state = { status, since: this.#now(), ...(reason !== undefined && { reason }) };
    const level = status === 'up' ? 'info' : 'warn';
    this.#parts.log[level]('upstream_state', {
      upstream: this.name,
      status,
      ...(reason !== undefined && { reason }),
    });
    this.#parts.told({ kind: 'state' });
  }

  #inward(
    method: ForeignMethod,
    params: Json,
  ): { readonly inward: Json; readonly inputSchema?: object | undefined } {
    if (method === 'tools/call') {
      const name = String(params['name']);
      const tool = this.#tools.get(name);
      if (!tool) throw this.#notOffered('tool', name);
      const args = checkedArguments(name, tool.inputSchema, params['arguments'] ?? {});
      const inward = { ...params, name: tool.name, arguments: args };
      return { inward, inputSchema: tool.hasHeaders ? tool.inputSchema : undefined };
    }
    if (method === 'prompts/get') {
      const name = String(params['name']);
      const prompt = this.#prompts.get(name);
      if (prompt === undefined) throw this.#notOffered('prompt', name);
      return { inward: { ...params, name: prompt } };
    }
    const ref = params['ref'] as Json | undefined;
    if (method === 'completion/complete' && ref?.['type'] === 'ref/prompt') {
      const prompt = this.#prompts.get(String(ref['name']));
      if (prompt === undefined) throw this.#notOffered('prompt', String(ref['name']));
      return { inward: { ...params, ref: { ...ref, name: prompt } } };
    }
    return { inward: params };
  }

  #notOffered(kind: 'tool' | 'prompt', name: string): ToolError {
    const held = this.held.filter((pin) => pin.kind === kind);
    const outward = outwardNames(
      this.#upstream.prefix,
      held.map((pin) => pin.name),
    );
    if ([...outward.values()].includes(name)) {
      return new ToolError('forbidden', `The definition of ${name} has changed, and is held back.`, {
        hint: `The operator looks at it: flotilla upstream approve ${this.name}.`,
      });
    }
    return new ToolError('not_found', `${this.name} has no ${kind} ${name}.`, {
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
    if (error instanceof Error) error.message = this.#parts.references.redact(error.message);
    return error as Error;
  }

  #now(): string {
    return new Date(this.#parts.now()).toISOString();
  }
}

/** Every page of every list that it says it has. */
async function readLists(connection: Connection, timeoutMs: number): Promise<Partial<Lists>> {
  const { capabilities, instructions } = connection;
  const room = { bytes: mostBytes };
  const read = async (method: string, key: string) => readAll(connection, method, key, { timeoutMs, room });
  return {
    instructions,
    ...('tools' in capabilities && { tools: await read('tools/list', 'tools') }),
    ...('prompts' in capabilities && { prompts: await read('prompts/list', 'prompts') }),
    ...('resources' in capabilities && {
      resources: await read('resources/list', 'resources'),
      resourceTemplates: await read('resources/templates/list', 'resourceTemplates'),
    }),
  };
}

async function readAll(
  connection: Connection,
  method: string,
  key: string,
  { timeoutMs, room }: { readonly timeoutMs: number; readonly room: { bytes: number } },
): Promise<readonly Json[]> {
  const items: Json[] = [];
  const seen = new Set<unknown>();
  let cursor: unknown;
  for (let page = 0; page < mostPages; page += 1) {
    let answer: Json;
    try {
      answer = await connection.request(method, cursor === undefined ? {} : { cursor }, { timeoutMs });
    } catch (error) {
      const unknownMethod = -32_601;
      if (error instanceof ForeignError && error.code === unknownMethod) return [];
      throw error;
    }
    const listed = answer[key];
    if (!Array.isArray(listed)) throw new Error(`its ${method} has no list "${key}"`);
    room.bytes -= JSON.stringify(listed).length;
    items.push(...listed.filter((item): item is Json => typeof item === 'object' && item !== null));
    if (room.bytes < 0 || items.length > mostItems)
      throw new Error(`it lists more than ${mostItems} things or ${mostBytes / 1024 / 1024} MiB`);
    cursor = answer['nextCursor'];
    if (cursor === undefined || cursor === null || cursor === '') return items;
    if (seen.has(cursor)) throw new Error(`the pages of its ${method} go in a circle`);
    seen.add(cursor);
  }
  throw new Error(`its ${method} has more than ${mostPages} pages`);
}

/** What a model sees of each; the rest may change without a word. */
function definitionsOf({ tools, prompts, instructions }: Lists): readonly Definition[] {
  return [
    ...tools.map((tool) =>
      definitionOf('tool', tool, ['title', 'description', 'inputSchema', 'outputSchema', 'annotations']),
    ),
    ...prompts.map((prompt) => definitionOf('prompt', prompt, ['title', 'description', 'arguments'])),
    ...(instructions === ''
      ? []
      : [{ kind: 'instructions' as const, name: '', value: { text: instructions } }]),
  ];
}

function definitionOf(kind: 'tool' | 'prompt', item: Json, fields: readonly string[]): Definition {
  const value = Object.fromEntries(
    fields.flatMap((field) => (item[field] === undefined ? [] : [[field, item[field]]])),
  );
  return { kind, name: String(item['name']), value };
}

/** What was pinned, as it would be listed. */
function listsOf(pins: Pins | undefined): Lists {
  const of = (kind: Pin['kind']) =>
    (pins?.pinned ?? []).filter((pin) => pin.kind === kind).map(({ name, value }) => ({ name, ...value }));
  const [instructions] = of('instructions') as readonly { readonly text?: string }[];
  return { ...nothing, tools: of('tool'), prompts: of('prompt'), instructions: instructions?.text ?? '' };
}

interface Arranged {
  readonly surface: Surface;
  readonly tools: Map<string, OfferedTool>;
  readonly prompts: Map<string, string>;
  readonly findings: readonly Finding[];
  readonly refused: readonly Refused[];
}

function arrange(upstream: Upstream, lists: Lists, pins: Pins | undefined, taken: Taken): Arranged {
  const findings: Finding[] = [];
  const refused: Refused[] = [];
  const pinned = new Set((pins?.pinned ?? []).map(({ hash }) => hash));
  const others = withoutOwn(taken.tools, upstream.name);

  const isOffered = (definition: Definition): boolean => {
    const size = JSON.stringify(definition.value).length;
    if (size > longestDefinition) {
      refused.push({
        subject: subjectOf(definition),
        reason: `its definition has ${size} characters, and may have ${longestDefinition}`,
      });
      return false;
    }
    findings.push(...findingsOf(definition, others));
    return pinned.has(hashOf(definition));
  };
  const definitions = new Map(
    definitionsOf(lists).map((definition) => [`${definition.kind} ${definition.name}`, definition]),
  );
  const offered = (kind: Definition['kind'], items: readonly Json[]): Json[] => {
    const seen = new Set<unknown>();
    return items.filter((item) => {
      const definition = definitions.get(`${kind} ${String(item['name'])}`);
      const isWell =
        definition && item['name'] !== '' && typeof item['name'] === 'string' && !seen.has(item['name']);
      seen.add(item['name']);
      if (!isWell)
        refused.push({
          subject: `${kind} ${String(item['name']).slice(0, 80)}`,
          reason: 'it has no name, or one that stands there twice',
        });
      return isWell === true && isOffered(definition);
    });
  };
  /** With outward names, without those that others have. */
  const named = (kind: 'tool' | 'prompt', items: Json[], owners: OtherNames) => {
    const names = outwardNames(
      upstream.prefix,
      items.map((item) => String(item['name'])),
    );
    return items.flatMap((item) => {
      const name = String(item['name']);
      const outward = names.get(name) ?? name;
      const owner = owners.get(outward);
      if (owner === undefined || owner === upstream.name) return [{ item, name, outward }];
      refused.push({
        subject: subjectOf({ kind, name }),
        reason: `${outward} is a name of ${owner}: give this server a prefix`,
      });
      return [];
    });
  };

  const tools = named('tool', offered('tool', lists.tools), taken.tools);
  const prompts = named('prompt', offered('prompt', lists.prompts), taken.prompts);
  const instructions = definitions.get('instructions ');
  const uris = (items: readonly Json[], key: 'uri' | 'uriTemplate') =>
    items.filter((item) => {
      const uri = item[key];
      const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(String(uri))?.[1]?.toLowerCase();
      const owner = taken.uris.get(String(uri));
      const reason =
        typeof uri !== 'string' || scheme === undefined
          ? `it has no address that begins with a scheme`
          : taken.schemes.has(scheme)
            ? `${scheme}: is a scheme of the fleet`
            : owner !== undefined && owner !== upstream.name
              ? `${owner} has this address`
              : undefined;
      if (reason !== undefined) refused.push({ subject: `resource ${String(uri).slice(0, 200)}`, reason });
      return reason === undefined;
    });

  const mark = { 'dev.flotilla/upstream': upstream.name };
  const listed = (item: Json, outward?: string): Listed => {
    const stripped = strippedDeep(item) as Json;
    const meta = stripped['_meta'] as Json | undefined;
    return { ...stripped, ...(outward !== undefined && { name: outward }), _meta: { ...meta, ...mark } };
  };
  return {
    surface: {
      instructions: instructions && isOffered(instructions) ? lists.instructions : '',
      tools: tools.map(({ item, outward }): ListedTool => {
        const { outputSchema: _, ...rest } = listed(item, outward);
        const output = tamedOutput(item['outputSchema']);
        return {
          ...rest,
          name: outward,
          inputSchema: tamedInput(item['inputSchema']),
          ...(output && { outputSchema: output }),
        };
      }),
      prompts: prompts.map(({ item, outward }) => listed(item, outward)),
      resources: uris(lists.resources, 'uri').map((item) => listed(item)),
      resourceTemplates: uris(lists.resourceTemplates, 'uriTemplate').map((item) => listed(item)),
    },
    tools: new Map(
      tools.map(({ item, name, outward }) => {
        const schema = item['inputSchema'];
        const inputSchema = typeof schema === 'object' && schema !== null ? schema : {};
        return [
          outward,
          { name, inputSchema, hasHeaders: JSON.stringify(inputSchema).includes('"x-mcp-header"') },
        ];
      }),
    ),
    prompts: new Map(prompts.map(({ name, outward }) => [outward, name])),
    findings,
    refused,
  };
}

const withoutOwn = (names: OtherNames, own: string): OtherNames =>
  new Map([...names].filter(([, owner]) => owner !== own));
