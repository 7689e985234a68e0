/**
 * One service of the fleet behind the gateway: what it offers, whether it can be called, and what it tells. One stream stays
 * open to it. Its end tells at once that the service stops; a question each second tells when it hangs.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import { z } from 'zod';

import type { Assertions } from '#runtime/access/assertions.ts';
import type { Log } from '#runtime/account/log.ts';
import { skillsExtension } from '#runtime/skill.ts';
import { effects, type Effect } from '#runtime/tool.ts';

import type { ListName } from './foreign/client.ts';
import { Line } from './line.ts';
import { Events, headersOf, messageOf } from './message.ts';
import { underFleetName, type Behind, type ListedTool, type Surface } from './surface.ts';

const listTimeoutMs = 5_000;
/** In which it says that it tells of changes. */
const acknowledgeMs = 5_000;
/** A list of 500 tools with their schemas takes a megabyte. */
const mostListBytes = 16 * 1024 * 1024;
const longestEventChars = 1024 * 1024;
const probeIntervalMs = 1_000;
const probeTimeoutMs = 2_000;
/** So many questions without an answer, one after the other, and it hangs. */
const mostMissed = 3;
/** Between attempts to reach it: at once, then longer and longer. */
const shortestDelayMs = 50;
const longestDelayMs = 2_000;
/** A service that went so lately is being started again: calls wait for it. */
const restartMs = 15_000;

const listedSchema = z.looseObject({ name: z.string() });
const toolSchema = listedSchema.extend({ inputSchema: z.looseObject({ type: z.literal('object') }) });
const listSchemas = {
  'tools/list': z.looseObject({ tools: z.array(toolSchema) }),
  'resources/list': z.looseObject({ resources: z.array(listedSchema) }),
  'resources/templates/list': z.looseObject({ resourceTemplates: z.array(listedSchema) }),
  'prompts/list': z.looseObject({ prompts: z.array(listedSchema) }),
  'skills/list': z.looseObject({ skills: z.array(z.looseObject({ uri: z.string() })) }),
  'server/discover': z.looseObject({
    instructions: z.string().optional(),
    capabilities: z.looseObject({}),
  }),
};
type Method = keyof typeof listSchemas;

const answerSchema = z.looseObject({
  result: z.unknown().optional(),
  error: z.looseObject({ message: z.string() }).optional(),
});

/** It is there, and of no use. */
class Useless extends Error {}

export interface UpstreamOptions {
  readonly name: string;
  readonly description: string;
  readonly origin: string;
  /** Keeps sessions of the older revisions, as it asks clients back in mid-call. */
  readonly keepsSessions?: true;
}

const listNames: readonly ListName[] = ['tools', 'resources', 'prompts'];

/** What an upstream tells the gateway. */
export interface Hearing {
  /** What it offers is not as it was, in these lists. */
  changed(lists: readonly ListName[]): void;
  resourceUpdated(uri: string): void;
}

/** A stream of what the service tells. */
interface Listening {
  /** When it has been told what is wanted. Rejects where it does not say so in time. */
  readonly acknowledged: Promise<void>;
  close(): void;
}

/** Skills are documents; instructions are read with none of the lists. */
const partsOf = ({ tools, core, resources, resourceTemplates, skills, prompts }: Surface) => ({
  tools: [tools, core],
  resources: [resources, resourceTemplates, skills],
  prompts,
});

function changedIn(before: Surface | undefined, now: Surface): readonly ListName[] {
  if (!before) return listNames;
  const [was, is] = [partsOf(before), partsOf(now)];
  return listNames.filter((list) => JSON.stringify(was[list]) !== JSON.stringify(is[list]));
}

export class Upstream implements Behind, AsyncDisposable {
  readonly name: string;
  readonly description: string;
  readonly keepsSessions: boolean;
  readonly line: Line;
  /** For what stays open: calls have connections of their own. */
  readonly streams: Line;
  /** For the gateway's own questions: however many calls wait, it sees how the service is. */
  readonly #own: Line;
  readonly #assertions: Assertions;
  readonly #log: Log;
  readonly #now: () => number;
  readonly #hearing: Hearing;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  readonly #wanted = new Set<string>();
  #surface: Surface | undefined;
  #trouble: string | undefined = 'it has not answered yet';
  /** When it was last up, by a clock that is never set; before the first time, when the gateway began. */
  #lastUpAtMs = performance.now();
  /** It hangs, or is not what it should be: no restart, which would be waited for. */
  #isNoRestart = false;
  #waiting: (() => void)[] = [];
  /** Lists of which it says that they have changed, and how often it has said so. */
  readonly #said = new Set<ListName>();
  #saidCount = 0;
  #isRelisting = false;
  /** The stream that is open now, replaced when more is wanted. */
  #listening: Listening | undefined;

  constructor(
    { name, description, origin, keepsSessions }: UpstreamOptions,
    surroundings: {
      readonly assertions: Assertions;
      readonly log: Log;
      readonly now: () => number;
      readonly hearing: Hearing;
    },
  ) {
    this.name = name;
    this.description = description;
    this.keepsSessions = keepsSessions ?? false;
    this.line = new Line(origin);
    this.streams = new Line(origin);
    this.#own = new Line(origin);
    this.#assertions = surroundings.assertions;
    this.#log = surroundings.log;
    this.#now = surroundings.now;
    this.#hearing = surroundings.hearing;
    this.#running = this.#run();
  }

  get surface(): Surface | undefined {
    return this.#surface;
  }

  get trouble(): string | undefined {
    return this.#trouble === undefined || this.#patienceMs() > 0 ? undefined : this.#trouble;
  }

  /** How long it may still take to come back: a restart is no trouble. */
  #patienceMs(): number {
    return this.#isNoRestart ? 0 : this.#lastUpAtMs + restartMs - performance.now();
  }

  /** What lets a request of the caller with this token in there. */
  authorization(tokenHash: string): string {
    return this.#assertions.ofToken(tokenHash, this.name, this.#now());
  }

  /** What lets the gateway itself in there, as far as `effect`. */
  ownAuthorization(effect: Effect): string {
    return this.#assertions.ofSelf(effect, this.name, this.#now());
  }

  get isUpNow(): boolean {
    return this.#trouble === undefined;
  }

  /** Whether it can be called: at once, or after it has been started again. */
  async isUp(): Promise<boolean> {
    if (this.#trouble === undefined) return true;
    const leftMs = this.#patienceMs();
    if (leftMs <= 0) return false;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    await Promise.race([promise, sleep(leftMs, undefined, { ref: false })]);
    this.#waiting = this.#waiting.filter((one) => one !== resolve);
    return (this.#trouble as string | undefined) === undefined;
  }

  /** A connection to it broke, or could not be made: it is looked at before anything else is sent. */
  lost(): void {
    if (this.#trouble !== undefined) return;
    this.#setTrouble('it went away');
    this.#onEnd();
  }

  /** Somebody wants to hear of this document: resolves when the service knows. */
  async watch(uris: readonly string[]): Promise<void> {
    const more = uris.filter((uri) => !this.#wanted.has(uri));
    for (const uri of more) this.#wanted.add(uri);
    if (more.length === 0 || !this.#listening) return;
    const before = this.#listening;
    const next = this.#listen();
    try {
      await next.acknowledged;
    } catch (error) {
      next.close();
      throw error;
    } finally {
      before.close();
    }
  }

  unwatch(uris: readonly string[]): void {
    for (const uri of uris) this.#wanted.delete(uri);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    let delayMs = shortestDelayMs;
    while (!signal.aborted) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- one attempt after the other
        await this.#refresh();
        delayMs = shortestDelayMs;
        // oxlint-disable-next-line no-await-in-loop -- as long as it is up
        await this.#attend();
      } catch (error) {
        this.#isNoRestart = error instanceof Useless;
        this.#setTrouble(error instanceof Error ? error.message : String(error));
      }
      // oxlint-disable-next-line no-await-in-loop -- the next attempt comes later
      await sleep(delayMs, undefined, { signal, ref: false }).catch(() => {});
      delayMs = Math.min(delayMs * 2, longestDelayMs);
    }
  }

  /** Asks for all that it offers. @throws Error with the reason why it is of no use */
  async #refresh(): Promise<void> {
    const { capabilities, instructions = '' } = await this.#list('server/discover');
    const tools = {} as Record<Effect, readonly ListedTool[]>;
    for (const effect of effects) {
      // oxlint-disable-next-line no-await-in-loop -- a few small questions, in order
      tools[effect] = (await this.#list('tools/list', effect)).tools.map((tool) =>
        underFleetName(tool as ListedTool),
      );
    }
    const core = await this.#list('tools/list', 'destroy', '?tools=core');
    const { resources } = capabilities['resources'] ? await this.#list('resources/list') : { resources: [] };
    const { resourceTemplates } = capabilities['resources']
      ? await this.#list('resources/templates/list')
      : { resourceTemplates: [] };
    const { prompts } = capabilities['prompts'] ? await this.#list('prompts/list') : { prompts: [] };
    const extensions = (capabilities['extensions'] ?? {}) as Record<string, unknown>;
    const { skills } = extensions[skillsExtension] ? await this.#list('skills/list') : { skills: [] };
    if (tools.destroy.length === 0) throw new Useless('it answers, but lists no tools');
    const surface: Surface = {
      instructions,
      tools,
      core: core.tools.map((tool) => underFleetName(tool as ListedTool).name),
      resources: resources,
      resourceTemplates: resourceTemplates,
      prompts: prompts,
      skills,
      extensions,
    };
    const changed = changedIn(this.#surface, surface);
    const isSame = JSON.stringify(surface) === JSON.stringify(this.#surface);
    if (!isSame) this.#surface = surface;
    this.#isNoRestart = false;
    this.#lastUpAtMs = performance.now();
    if (this.#trouble !== undefined) this.#log.info('upstream_up', { upstream: this.name });
    this.#trouble = undefined;
    if (!isSame) this.#hearing.changed(changed);
    for (const go of this.#waiting.splice(0)) go();
  }

  async #list<M extends Method>(
    method: M,
    effect: Effect = 'destroy',
    query = '',
  ): Promise<z.output<(typeof listSchemas)[M]>> {
    const authorization = this.ownAuthorization(effect);
    const { status, text } = await this.#own.ask(headersOf(method, authorization), messageOf(method), {
      timeoutMs: listTimeoutMs,
      maxBytes: mostListBytes,
      path: `/mcp${query}`,
    });
    try {
      const { result, error } = answerSchema.parse(JSON.parse(text));
      if (error) throw new Error(error.message);
      return listSchemas[method].parse(result) as z.output<(typeof listSchemas)[M]>;
    } catch (error) {
      const why =
        error instanceof z.ZodError || error instanceof SyntaxError ? 'what is no such list' : String(error);
      throw new Useless(`it answers ${method} with status ${status} and ${why}`, { cause: error });
    }
  }

  /** Until it stops, which is the end of the stream, or hangs. @throws Error with the reason */
  async #attend(): Promise<void> {
    const ended = Promise.withResolvers<void>();
    this.#onEnd = ended.resolve;
    try {
      await Promise.race([this.#listen().acknowledged, ended.promise]);
      await this.#probe(ended.promise);
    } finally {
      // Where the service still runs, it would go on telling, and keep a place for that.
      this.#listening?.close();
      this.#listening = undefined;
    }
    if (this.#stop.signal.aborted) return;
    // What is on its way ends on the old connections; the process that comes gets new ones.
    this.line.renew();
    this.#own.renew();
    throw new Error('it is being started again');
  }

  /** Asks once a second whether it lives, until its end is told. @throws Useless where it hangs */
  async #probe(end: Promise<void>): Promise<void> {
    let missed = 0;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      // oxlint-disable-next-line no-await-in-loop -- once a second
      const isOver = await Promise.race([
        end.then(() => true),
        sleep(probeIntervalMs, false, { signal, ref: false }).catch(() => true),
      ]);
      if (isOver) return;
      try {
        // oxlint-disable-next-line no-await-in-loop -- likewise
        await this.#own.ask([], null, { timeoutMs: probeTimeoutMs, maxBytes: 65_536, path: '/health' });
        missed = 0;
        this.#lastUpAtMs = performance.now();
      } catch (error) {
        missed += 1;
        if (missed >= mostMissed) throw new Useless('it does not answer', { cause: error });
      }
    }
  }

  #onEnd: () => void = () => {};

  /** Opens the stream of what it tells. */
  #listen(): Listening {
    const { promise: acknowledged, resolve, reject } = Promise.withResolvers<void>();
    acknowledged.catch(() => {});
    const events = new Events();
    let isClosed = false;
    const acknowledge = () => {
      clearTimeout(timer);
      resolve();
    };
    const over = (error: Error) => {
      clearTimeout(timer);
      reject(error);
      if (!isClosed && this.#listening === stream) this.#onEnd();
    };
    const filter = {
      toolsListChanged: true,
      resourcesListChanged: true,
      promptsListChanged: true,
      resourceSubscriptions: [...this.#wanted],
    };
    const method = 'subscriptions/listen';
    const timer = setTimeout(
      () => over(new Error(`it has not answered ${method} within ${acknowledgeMs / 1_000} s`)),
      acknowledgeMs,
    ).unref();
    const authorization = this.ownAuthorization('read');
    const sent = this.#own.send(
      headersOf(method, authorization),
      messageOf(method, { notifications: filter }),
      {
        start: (status) => {
          if (status !== 200) over(new Error(`it answers ${method} with status ${status}`));
        },
        data: (chunk) => {
          try {
            for (const message of events.take(chunk)) this.#hear(message, acknowledge);
            if (events.waiting > longestEventChars) throw new Error('its stream has no end');
          } catch (error) {
            over(error as Error);
            stream.close();
          }
          return true;
        },
        end: () => over(new Error('it is being started again')),
        fail: over,
      },
    );
    const stream = {
      acknowledged,
      close: () => {
        isClosed = true;
        sent.abort();
        // Who waits for its beginning waits no longer: another one took its place, or the gateway stops.
        acknowledge();
      },
    };
    this.#listening = stream;
    return stream;
  }

  #hear(message: unknown, acknowledge: () => void): void {
    const { method, params } = (message ?? {}) as { method?: string; params?: { uri?: unknown } };
    if (method === 'notifications/subscriptions/acknowledged') acknowledge();
    if (method === 'notifications/resources/updated' && typeof params?.uri === 'string')
      this.#hearing.resourceUpdated(params.uri);
    const list = listNames.find((one) => method === `notifications/${one}/list_changed`);
    if (list) this.#relist(list).catch(() => this.lost());
  }

  /**
   * It says that this list has changed, which is passed on, whatever has. What it says while its lists are read is passed on with them, and
   * read again.
   */
  async #relist(list: ListName): Promise<void> {
    this.#said.add(list);
    this.#saidCount += 1;
    if (this.#isRelisting) return;
    this.#isRelisting = true;
    try {
      for (let read = 0; read !== this.#saidCount;) {
        read = this.#saidCount;
        const before = this.#surface;
        // oxlint-disable-next-line no-await-in-loop -- one reading after the other
        await this.#refresh();
        const told = this.#surface ? changedIn(before, this.#surface) : [];
        const left = [...this.#said].filter((one) => !told.includes(one));
        this.#said.clear();
        if (left.length > 0) this.#hearing.changed(left);
      }
    } finally {
      this.#isRelisting = false;
    }
  }

  #setTrouble(reason: string): void {
    if (this.#stop.signal.aborted || this.#trouble === reason) return;
    this.#trouble = reason;
    this.#log.warn('upstream_down', { upstream: this.name, reason });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#listening?.close();
    await this.line[Symbol.asyncDispose]();
    await this.streams[Symbol.asyncDispose]();
    await this.#own[Symbol.asyncDispose]();
    await this.#running;
  }
}
