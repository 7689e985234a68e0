/** The line to PostgreSQL: its pool, the connection that listens, and what its errors mean. The only file here that knows the client. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Duplex } from 'node:stream';

import pg from 'pg';

import type { Log } from '#runtime/account/log.ts';
import { ConfigError, UnavailableError } from '#runtime/errors.ts';

import { codeOf, misconfigured, passing, QueryFailed, setting, unavailable } from './postgres-failures.ts';

export interface PostgresSettings {
  /** `postgresql://user:password@host:5432/database`, with `sslmode` and the like as the client takes them. */
  readonly url: string;
  /** Where the tables are. Orchestrators with the same one share their tasks. */
  readonly schema: string;
  readonly connections: number;
  /** How long a start waits for a database that does not answer. */
  readonly startWithinMs?: number | undefined;
}

export type Rows = readonly Readonly<Record<string, unknown>>[];

/** A connection for one transaction. */
export interface Session {
  /** @throws QueryFailed. */
  query(
    prepared: { readonly name: string; readonly text: string },
    values: readonly unknown[],
  ): Promise<Rows>;
  /** Words of ours alone. @throws QueryFailed. */
  say(script: string): Promise<void>;
  /** What is asked from now on is sent with what follows, in one piece: to send takes most of what a query costs here. */
  hold(): void;
  /** Sends what is held. */
  flow(): void;
  /** Gives it back; one that may be broken is closed. */
  release(isBroken: boolean): void;
}

export interface Link extends AsyncDisposable {
  /** @throws ToolError unavailable. */
  session(): Promise<Session>;
  /** What an operator should know of the server's settings. */
  readonly warnings: readonly string[];
  readonly durability: string;
}

/** What hears the channel. */
export interface Heard {
  said(text: string): void;
  /** The line is there again, and something may have been said meanwhile. */
  connected(): void;
}

const connectMs = 5_000;
const statementMs = 20_000;
/** An orchestrator that stands still in the middle of a change holds up others no longer than this. */
const silentMs = 5_000;
const beatMs = 5_000;
const startWithinDefaultMs = 10_000;

/** Longer after each attempt, and not the same for all orchestrators. */
export const delayMs = (attempt: number) =>
  Math.round(Math.min(10_000, 50 * 2 ** Math.min(attempt, 10)) * (0.5 + Math.random() / 2));

/** Numbers and texts: what is longer than 2^53 does not occur. */
const types = {
  getTypeParser: (oid: number) => ([20, 21, 23, 26, 1700].includes(oid) ? Number : (text: string) => text),
};

/** @throws ConfigError. */
function configOf({ url, schema }: PostgresSettings): pg.ClientConfig {
  // The text itself is never shown: there is a password in it.
  const place = URL.parse(url);
  if (!place || !/^postgres(?:ql)?:$/.test(place.protocol))
    throw new ConfigError(
      `${setting} must be like postgresql://user:password@host:5432/database; letters such as @ or / in a password are written as %40 or %2F.`,
    );
  // What the text says stands above all else; ours have to hold.
  const options = place.searchParams.get('options') ?? '';
  place.searchParams.delete('options');
  try {
    const config = {
      connectionString: place.href,
      application_name: 'flotilla-orchestrator',
      connectionTimeoutMillis: connectMs,
      keepAlive: true,
      statement_timeout: statementMs,
      query_timeout: statementMs + 5_000,
      idle_in_transaction_session_timeout: silentMs,
      options: `${options} -c search_path=${schema} -c synchronous_commit=on -c client_min_messages=error`,
      types,
    };
    // It reads the text, and the files that it names.
    void new pg.Client(config);
    return config;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(
      `${setting} cannot be used${code === undefined ? '' : ` (${code})`}: look at sslmode and sslrootcert.`,
    );
  }
}

/** Not in the types of pg, but what all its versions have. */
const streamOf = (client: pg.Client | pg.PoolClient) =>
  (client as unknown as { readonly connection: { readonly stream: Duplex } }).connection.stream;

async function closed(client: pg.Client): Promise<void> {
  const gone = client.end().catch(() => {});
  // Nobody answers a farewell on a line that is cut.
  const timer = setTimeout(() => streamOf(client).destroy(), 1_000);
  await gone;
  clearTimeout(timer);
}

/** @throws QueryFailed. */
async function failing<Value>(work: Promise<Value>): Promise<Value> {
  try {
    return await work;
  } catch (error) {
    throw new QueryFailed(error);
  }
}

/** @throws ConfigError for what only a person can mend; UnavailableError when the database does not answer. */
export async function openLink(
  settings: PostgresSettings,
  log: Log,
  heard: Heard,
  prepare: (client: Pick<pg.Client, 'query'>) => Promise<void>,
): Promise<Link> {
  const config = configOf(settings);
  const channel = pg.escapeIdentifier(channelOf(settings.schema));
  const stopping = new AbortController();
  // A query is sent before the one before is answered: most of what a change takes is waiting.
  const pipelined = { ...config, pipeline: true };
  const pool = new pg.Pool({
    ...pipelined,
    max: settings.connections,
    idleTimeoutMillis: 30_000,
    allowExitOnIdle: true,
  });
  // One that breaks while it is at work says so to who works with it.
  pool.on('error', () => {});
  pool.on('connect', (client) => void client.on('error', () => {}));

  /** What keeps the listener from its database, and when it looks again. */
  let away: { readonly reason: string; readonly sinceMs: number } | undefined;
  let waitMs = 1_000;

  async function listening(): Promise<pg.Client> {
    const client = new pg.Client({ ...config, query_timeout: connectMs });
    client.on('error', () => {});
    try {
      await client.connect();
      client.on('notification', ({ payload }) => heard.said(payload ?? ''));
      await client.query(`LISTEN ${channel}`);
      return client;
    } catch (error) {
      await closed(client);
      throw error;
    }
  }

  /** Resolves when the connection is lost, or says nothing for too long. */
  async function lost(client: pg.Client): Promise<void> {
    const end = new AbortController();
    client.once('end', () => end.abort());
    client.once('error', () => end.abort());
    const signal = AbortSignal.any([end.signal, stopping.signal]);
    try {
      for (;;) {
        await sleep(beatMs, undefined, { signal, ref: false });
        await client.query('SELECT 1');
      }
    } catch {
      // It is gone.
    }
  }

  async function keepListening(first: pg.Client): Promise<void> {
    let client: pg.Client | undefined = first;
    for (let attempt = 0; !stopping.signal.aborted;) {
      if (client) {
        await lost(client);
        await closed(client);
        client = undefined;
        continue;
      }
      try {
        client = await listening();
        if (away) log.info('postgresql_back', { away_ms: Math.round(performance.now() - away.sinceMs) });
        away = undefined;
        attempt = 0;
        waitMs = 1_000;
        heard.connected();
      } catch (error) {
        const reason = codeOf(error);
        if (!away) log.warn('postgresql_away', { reason });
        away ??= { reason, sinceMs: performance.now() };
        waitMs = delayMs(attempt);
        attempt += 1;
        await sleep(waitMs, undefined, { signal: stopping.signal, ref: false }).catch(() => {});
      }
    }
  }

  const { client: listener, warnings } = await started(
    settings.startWithinMs ?? startWithinDefaultMs,
    async () => {
      const client = await listening();
      try {
        await prepare(client);
        return { client, warnings: await warningsOf(client) };
      } catch (error) {
        await closed(client);
        throw error;
      }
    },
  );
  const keeping = keepListening(listener);

  return {
    warnings,
    durability: 'PostgreSQL, synchronous_commit=on',
    async session() {
      if (away) throw unavailable(away.reason, waitMs);
      let client: pg.PoolClient;
      try {
        client = await pool.connect();
      } catch (error) {
        throw unavailable(codeOf(error), waitMs);
      }
      let isHeld = false;
      const flow = () => {
        if (isHeld) streamOf(client).uncork();
        isHeld = false;
      };
      return {
        query: async (prepared, values) =>
          (await failing(client.query({ ...prepared, values: [...values] }))).rows as Rows,
        say: async (script) => void (await failing(client.query(script))),
        hold() {
          if (!isHeld) streamOf(client).cork();
          isHeld = true;
        },
        flow,
        release(isBroken) {
          flow();
          client.release(isBroken);
        },
      };
    },
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await keeping;
      await pool.end();
    },
  };
}

/** One for each schema. */
export const channelOf = (schema: string): string => `flotilla:${schema}`;

export const quoted = (text: string): string => pg.escapeLiteral(text);
export const named = (name: string): string => pg.escapeIdentifier(name);

async function started<Value>(withinMs: number, start: () => Promise<Value>): Promise<Value> {
  const endMs = performance.now() + withinMs;
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await start();
    } catch (error) {
      if (error instanceof ConfigError) throw error;
      const config = misconfigured(error);
      if (config) throw config;
      const code = codeOf(error);
      if (!passing.test(code))
        // oxlint-disable-next-line eslint/preserve-caught-error -- what the server says may have values in it
        throw new Error(`PostgreSQL refuses what the ledger asks at its start: ${code}.`);
      const waitMs = delayMs(attempt);
      if (performance.now() + waitMs > endMs)
        throw new UnavailableError(
          `PostgreSQL does not answer, or not yet (${code}). Is it running, and can this host reach it?`,
        );
      await sleep(waitMs);
    }
  }
}

/** Settings with which a server may lose what was acknowledged. */
async function warningsOf(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string; setting: string }>(
    "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' ORDER BY name",
  );
  return rows.map(
    ({ name }) => `PostgreSQL runs with ${name}=off: it may lose what was acknowledged when its host falls.`,
  );
}
