/** The line to Redis: one server or a Cluster, the scripts, and what its errors mean. The only file that knows the client. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { Cluster, Redis, type RedisOptions } from 'ioredis';

import type { Log } from '#runtime/account/log.ts';
import { ConfigError, ToolError, UnavailableError } from '#runtime/errors.ts';

export interface RedisSettings {
  /** `redis://` or `rediss://`, with user and password where they are needed; several, with commas between them, for a Cluster. */
  readonly url: string;
  readonly isCluster: boolean;
  /** What all keys of this mesh begin with. */
  readonly prefix: string;
  /** Certificates of who may sign the server's, in PEM; those that Node trusts otherwise. */
  readonly ca?: string | undefined;
  /** How long a start waits for a Redis that does not answer. */
  readonly startWithinMs?: number | undefined;
  /** A connection that says nothing for so long while answers are due is given up. */
  readonly silentMs?: number | undefined;
}

export type Argument = string | number | Uint8Array;
/** What Redis answers, with texts as bytes. */
export type Reply = Buffer | number | null | readonly Reply[];

const answerMs = 10_000;
/** Requests that wait for answers: beyond it Redis is too slow, and who asks is told so. */
const mostOpen = 4_000;
const layout = '1';

const scriptFolder = join(import.meta.dirname, 'scripts');
const readScript = (name: string) => readFileSync(join(scriptFolder, name), 'utf8');

/** Each is `common.lua` and its own part. Not the name of a command of Redis, which it would hide. */
function scripts(): Record<string, { lua: string; numberOfKeys: number }> {
  const common = readScript('common.lua');
  const names = readdirSync(scriptFolder).filter((name) => name.endsWith('.lua') && name !== 'common.lua');
  return Object.fromEntries(
    names.map((name) => [
      `hub:${basename(name, '.lua')}`,
      { lua: `${common}\n${readScript(name)}`, numberOfKeys: 1 },
    ]),
  );
}

interface Place {
  readonly host: string;
  readonly port: number;
  readonly options: Pick<RedisOptions, 'username' | 'password' | 'db' | 'tls'>;
}

/** The text itself is never shown: there is a password in it. */
function placeOf(text: string, ca: string | undefined): Place {
  const url = URL.parse(text);
  const database = url ? Number(url.pathname.slice(1)) : Number.NaN;
  const isGood =
    url !== null && /^rediss?:$/.test(url.protocol) && url.hostname !== '' && Number.isInteger(database);
  if (!isGood)
    throw new ConfigError(
      'REDIS_URL must be like redis://user:password@host:6379, or rediss://… for TLS; letters such as @ or / in a password are written as %40 or %2F.',
    );
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? 6_379 : Number(url.port),
    options: {
      ...(url.username !== '' && { username: decodeURIComponent(url.username) }),
      ...(url.password !== '' && { password: decodeURIComponent(url.password) }),
      db: database,
      ...(url.protocol === 'rediss:' && {
        tls: { ...(ca !== undefined && { ca }), servername: url.hostname },
      }),
    },
  };
}

/** Longer after each attempt, and not the same for all hubs. */
export const delayMs = (attempt: number) =>
  Math.round(Math.min(10_000, 50 * 2 ** Math.min(attempt, 10)) * (0.5 + Math.random() / 2));

/** Errors of a server that may be well again later. Anything else that it says is a fault of ours. */
const passing =
  /^(?:LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|READONLY|OOM|MISCONF|BUSY|NOREPLICAS|NOAUTH|WRONGPASS|NOPERM|UNKILLABLE|MOVED|ASK)\b|max number of clients/;

/** In a script Redis says it in other words. */
const forbidden = /^NOPERM\b|user executing the script can't/;

/** Says what a person has to mend before a start can do anything; nothing of it is text from the settings. */
function misconfigured(error: Error, { prefix, isCluster }: RedisSettings): ConfigError | undefined {
  const { code = '' } = error as Error & { readonly code?: string };
  const { message } = error;
  if (/WRONGPASS|NOAUTH|invalid (?:username-)?password/i.test(message))
    return new ConfigError('Redis does not accept the user and password of REDIS_URL.');
  if (forbidden.test(message))
    return new ConfigError(
      `Redis does not let the user of REDIS_URL do what the hub does (scripts, keys and channels that begin with {${prefix}}). ` +
        `Give it: ~{${prefix}}* &{${prefix}}* +@read +@write +@scripting +@pubsub +@connection +info +cluster`,
    );
  if (/CERT|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET)|ERR_TLS|ERR_SSL|EPROTO/.test(code))
    return new ConfigError(
      `TLS to Redis fails: ${code}. Is its certificate for this host, and signed by one that is trusted here?`,
    );
  if (!isCluster && /^MOVED\b/.test(message))
    return new ConfigError('This Redis is part of a Cluster: set FLOTILLA_HUB_REDIS_CLUSTER=true.');
  if (isCluster && message.includes('cluster support disabled'))
    return new ConfigError('This Redis is no Cluster: unset FLOTILLA_HUB_REDIS_CLUSTER.');
  if (/DB index is out of range|SELECT is not allowed/.test(message))
    return new ConfigError('REDIS_URL names a database that this Redis does not have.');
  return undefined;
}

const field = (info: string, name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];

const nameOf = (error: unknown) =>
  error instanceof Error
    ? (/^[A-Z]{3,}\b/.exec(error.message)?.[0] ?? (error as { code?: string }).code ?? error.name)
    : 'unknown';

const ready = async (one: Redis | Cluster) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  one.once('ready', resolve);
  one.connect().catch(() => {});
  await promise;
};

export interface Link extends AsyncDisposable {
  /** @throws ToolError unavailable. */
  run(script: string, args: readonly Argument[]): Promise<Reply>;
  /** A command on one key, which is named without the prefix. @throws ToolError unavailable. */
  call(command: string, key: string, ...args: readonly Argument[]): Promise<Reply>;
  /** What the servers say of themselves. Empty where the user may not ask. */
  information(): Promise<readonly Readonly<Record<string, string>>[]>;
}

interface Heard {
  /** A message came on the channel of wake-ups. */
  readonly woken: (text: string) => void;
  /** There is a connection, again. */
  readonly connected: () => void;
}

/**
 * @throws ConfigError when a person has to mend something; UnavailableError when Redis does not answer.
 */
export async function openLink(settings: RedisSettings, log: Log, heard: Heard): Promise<Link> {
  const { isCluster, prefix, startWithinMs = 15_000, silentMs = 5_000 } = settings;
  const places = settings.url.split(/[,\s]+(?=rediss?:)/).map((text) => placeOf(text.trim(), settings.ca));
  const [place] = places as [Place];
  if (isCluster && place.options.db !== 0)
    throw new ConfigError('REDIS_URL names a database, and a Cluster has no others than 0.');
  if (!isCluster && places.length > 1)
    throw new ConfigError(
      'REDIS_URL names several servers: that is for a Cluster, with FLOTILLA_HUB_REDIS_CLUSTER=true.',
    );
  const root = `{${prefix}}`;
  let waitMs = 1_000;
  const again = (attempt: number) => {
    waitMs = delayMs(attempt);
    return waitMs;
  };

  const common: RedisOptions = {
    ...place.options,
    connectTimeout: silentMs,
    socketTimeout: silentMs,
    commandTimeout: answerMs,
    keepAlive: 10_000,
    // What was under way when the connection was lost is said to have failed: nothing is sent twice behind the caller's back.
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    connectionName: 'flotilla-hub',
    disableClientInfo: true,
  };
  const connect = (withScripts: boolean) => {
    const own = withScripts ? { scripts: scripts() } : {};
    if (isCluster) {
      return new Cluster(
        places.map(({ host, port }) => ({ host, port })),
        {
          ...own,
          lazyConnect: true,
          clusterRetryStrategy: again,
          redisOptions: common,
          // `run` looks first whether there is a connection: only what comes while one is made waits here.
          enableOfflineQueue: true,
          retryDelayOnFailover: 0,
          retryDelayOnClusterDown: 0,
          slotsRefreshInterval: 1_000,
          ...(place.options.tls && { dnsLookup: (name, done) => done(null, name) }),
        },
      );
    }
    return new Redis({
      ...common,
      ...own,
      host: place.host,
      port: place.port,
      lazyConnect: true,
      retryStrategy: again,
      enableOfflineQueue: false,
    });
  };
  const client = connect(true);
  // A connection that listens takes no other commands; the client of a Cluster has one for itself.
  const listener = client instanceof Redis ? (connect(false) as Redis) : client;

  let last: Error | undefined;
  let awaySinceMs: number | undefined;
  const known = Promise.withResolvers<never>();
  known.promise.catch(() => {});
  const failed = (error: Error) => {
    last = error;
    const config = misconfigured(error, settings);
    if (config) known.reject(config);
  };
  for (const one of new Set([client, listener])) {
    one.on('error', failed);
    one.on('node error', failed);
  }
  let isClosed = false;
  async function disconnect() {
    isClosed = true;
    for (const one of new Set([client, listener])) one.disconnect();
  }

  function unavailable(error: unknown): ToolError {
    return new ToolError('unavailable', 'The Redis of this hub cannot answer now.', {
      hint: 'Ask again: what was sent before under the same id is recognised.',
      retryAfterMs: Math.max(200, waitMs),
      reason: `redis ${nameOf(error)}`,
    });
  }

  /** Nothing of what the client adds to an error is kept: there are arguments in it, and passwords. */
  function meaning(error: unknown): Error {
    const said = error instanceof Error && error.name === 'ReplyError' ? error.message : undefined;
    if (said === undefined || passing.test(said) || forbidden.test(said)) return unavailable(error);
    return new Error(`Redis refuses what the hub asks: ${said.slice(0, 300)}`);
  }

  let open = 0;
  async function ask(work: () => Promise<unknown>): Promise<Reply> {
    if (client.status !== 'ready') throw unavailable(last);
    if (open >= mostOpen) throw unavailable(new Error('QUEUE is full'));
    open += 1;
    try {
      return (await work()) as Reply;
    } catch (error) {
      throw meaning(error);
    } finally {
      open -= 1;
    }
  }

  type Commands = Readonly<Record<string, (...args: readonly Argument[]) => Promise<unknown>>>;
  const send = async (script: string, args: readonly Argument[]) =>
    (client as unknown as Commands)[`hub:${script}Buffer`]?.(root, ...args);

  async function begin() {
    await ready(client);
    const info = await client.info('server');
    const version = field(info, 'redis_version') ?? '0';
    if (Number.parseInt(version, 10) < 7)
      throw new ConfigError(`The hub needs Redis 7 or newer; this one is ${version}.`);
    const found = await send('open', [layout]);
    if (String(found) !== layout)
      throw new ConfigError(
        `The data under {${prefix}} were made by another version of the hub (layout ${String(found)}).`,
      );
    listener.on('message', (_channel: string, text: string) => heard.woken(text));
    if (listener !== client) await ready(listener);
    await listener.subscribe(`${root}:wake`);
  }

  const controller = new AbortController();
  const tooLate = async (): Promise<never> => {
    await sleep(startWithinMs, undefined, { signal: controller.signal });
    throw new UnavailableError(
      `Redis does not answer at ${places.map(({ host, port }) => `${host}:${port}`).join(', ')} (${nameOf(last)}).`,
    );
  };
  try {
    const late = tooLate();
    late.catch(() => {});
    await Promise.race([begin(), known.promise, late]);
  } catch (error) {
    await disconnect();
    const config = error instanceof Error ? misconfigured(error, settings) : undefined;
    if (config) throw config;
    if (error instanceof ConfigError || error instanceof UnavailableError) throw error;
    throw new UnavailableError(`Redis fails at the start of the hub: ${nameOf(error)}.`);
  } finally {
    controller.abort();
  }

  client.on('close', () => {
    if (isClosed || awaySinceMs !== undefined) return;
    awaySinceMs = performance.now();
    log.warn('redis_away', { reason: nameOf(last) });
  });
  client.on('ready', () => {
    if (awaySinceMs !== undefined)
      log.info('redis_back', { away_ms: Math.round(performance.now() - awaySinceMs) });
    awaySinceMs = undefined;
    waitMs = 1_000;
    heard.connected();
  });
  if (listener !== client) listener.on('ready', heard.connected);

  return {
    run: async (script, args) => ask(async () => send(script, args)),
    call: async (command, key, ...args) =>
      ask(async () =>
        client.callBuffer(command, [`${root}:${key}`, ...args] as (string | Buffer | number)[]),
      ),

    async information() {
      const nodes = client instanceof Cluster ? client.nodes('master') : [client];
      const found = await Promise.allSettled(
        nodes.map(async (node) => {
          const info = await node.info();
          const config = await node.config('GET', 'appendfsync').catch(() => []);
          const [, fsync = ''] = config as string[];
          const lines = info.split(/\r?\n/).filter((line) => line.includes(':'));
          const pairs = lines.map((line) => line.split(/:(.*)/s, 2) as [string, string]);
          return { ...Object.fromEntries(pairs), appendfsync: fsync };
        }),
      );
      return found.filter((one) => one.status === 'fulfilled').map(({ value }) => value);
    },

    [Symbol.asyncDispose]: disconnect,
  };
}
