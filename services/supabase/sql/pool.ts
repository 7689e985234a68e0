/** Connections to Postgres: one transaction per call, one statement at a time, rows in pieces, cancelled with the call. */
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import pg from 'pg';
import Cursor from 'pg-cursor';

import { ToolError } from '#runtime/errors.ts';
import { Lane, orStopped } from '#runtime/lanes.ts';
import type { Call } from '#runtime/tool.ts';

import {
  callsWaiting,
  cancelPatienceMs,
  connectionsPerCaller,
  connectTimeoutMs,
  idleInTransactionMs,
  lockTimeoutMs,
  maxRowBytes,
  pieceBytes,
} from '../limits.ts';
import { stopReason } from '../stop.ts';
import { failureOf, isDatabaseError } from './failures.ts';
import { columnNames, shown, type Row } from './values.ts';

export interface Outcome {
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
  /** Whether there are more rows than these. */
  readonly isCut: boolean;
  /** Columns whose values were too long to show whole. */
  readonly cut: readonly string[];
  /** As Postgres names it, once the statement is through: SELECT, INSERT. */
  readonly command: string | undefined;
  /** Rows that the statement touched, once it is through. */
  readonly affected: number | undefined;
}

export interface Bounds {
  readonly skip: number;
  readonly rows: number;
  readonly bytes: number;
}

/** One transaction. What a caller wrote goes through `page` alone, which takes no second statement. */
export interface Session {
  page(sql: string, values: readonly unknown[], bounds: Bounds): Promise<Outcome>;
  /** Of our own queries: all rows, values as Postgres writes them or as JSON. */
  all<Found extends object>(sql: string, values?: readonly unknown[]): Promise<Found[]>;
}

export type Access = 'read' | 'write';

interface PoolOptions {
  readonly url: string;
  /** Taken on for each call, after the login. */
  readonly role: string | undefined;
  readonly connections: number;
  readonly onConnectionLost: (error: Error) => void;
}

export class Pool implements AsyncDisposable {
  readonly #options: PoolOptions;
  readonly #pool: pg.Pool;
  readonly #lane: Lane;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#pool = new pg.Pool({
      ...settingsOf(options.url),
      max: options.connections,
      idleTimeoutMillis: 30_000,
      allowExitOnIdle: true,
    });
    this.#pool.on('error', options.onConnectionLost);
    // Nobody gets another one if it is the last: it is left for who has none.
    this.#lane = new Lane({
      perCaller: connectionsPerCaller,
      inAll: Math.max(1, options.connections - 1),
      firsts: options.connections,
      waiting: callsWaiting,
    });
  }

  /**
   * Runs the work in a transaction of its own, which a caller of read access cannot make a writing one.
   *
   * @param willKeep looked at when the work is done: `false` undoes it.
   * @throws ToolError for whatever Postgres refuses.
   */
  async run<Value>(
    call: Pick<Call, 'signal' | 'caller'>,
    { access, timeoutMs, willKeep = true }: { access: Access; timeoutMs: number; willKeep?: boolean },
    work: (session: Session) => Promise<Value>,
  ): Promise<Value> {
    const { signal } = call;
    return this.#lane.run(call, async () => {
      const client = await this.#connect(signal);
      const watch = new Watch(client, this.#options.url, signal, timeoutMs);
      try {
        const value = await orStopped(
          this.#transaction(client, watch, { access, timeoutMs, willKeep }, work),
          watch.ended,
        );
        void release(client, watch);
        return value;
      } catch (error) {
        const released = release(client, watch, error);
        // Whoever leaves a statement behind waits until it has ended: connections are not held by two calls at once.
        if (watch.failure !== undefined) await released;
        const failure = watch.failure ?? failureOf(error);
        throw access === 'write' && !watch.isCommitting && isInterruption(failure, signal)
          ? unchanged(failure)
          : failure;
      }
    });
  }

  async #connect(signal: AbortSignal): Promise<pg.PoolClient> {
    const connecting = this.#pool.connect();
    try {
      return await orStopped(connecting, signal);
    } catch (error) {
      // Who comes late is sent home.
      connecting.then(
        (client) => client.release(),
        () => {},
      );
      throw signal.aborted ? stopReason(signal) : failureOf(error);
    }
  }

  async #transaction<Value>(
    client: pg.PoolClient,
    watch: Watch,
    { access, timeoutMs, willKeep }: { access: Access; timeoutMs: number; willKeep: boolean },
    work: (session: Session) => Promise<Value>,
  ): Promise<Value> {
    const begun = (await client.query(
      this.#opening(access, timeoutMs),
    )) as unknown as pg.QueryResult<Running>[];
    watch.running = begun.at(-1)?.rows[0];
    const value = await work(sessionOn(client, watch));
    // Whoever was told that it is stopped must not find it done.
    watch.ended.throwIfAborted();
    const isKept = access === 'write' && willKeep;
    watch.isCommitting = isKept;
    await client.query(isKept ? 'CLOSE ALL; COMMIT' : 'ROLLBACK');
    return value;
  }

  /**
   * The query after BEGIN is what closes the door: once a transaction has a snapshot, Postgres refuses to make it READ WRITE,
   * whoever asks. Settings are local, so that they hold behind a pooler of transactions as well. Postgres does not prepare a
   * transaction that has made a cursor WITH HOLD: PREPARE TRANSACTION would leave one that nothing of ours ends.
   */
  #opening(access: Access, timeoutMs: number): string {
    const { role } = this.#options;
    const settings = {
      statement_timeout: `${timeoutMs}`,
      lock_timeout: `${Math.min(lockTimeoutMs, timeoutMs)}`,
      idle_in_transaction_session_timeout: `${idleInTransactionMs}`,
      default_transaction_read_only: access === 'read' ? 'on' : 'off',
      DateStyle: 'ISO',
      IntervalStyle: 'iso_8601',
      bytea_output: 'hex',
      ...(role !== undefined && { role }),
    };
    const set = Object.entries(settings).map(
      ([name, value]) => `set_config('${name}', ${pg.escapeLiteral(value)}, true)`,
    );
    return [
      `BEGIN ${access === 'read' ? 'READ ONLY' : 'READ WRITE'}`,
      'DECLARE flotilla_unprepared CURSOR WITH HOLD FOR SELECT 1',
      `SELECT pg_backend_pid() AS pid, now()::text AS begun, ${set.join(', ')}`,
    ].join('; ');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.end();
  }
}

/** Which transaction of which server process: behind a pooler, the process goes on to serve others. */
interface Running {
  readonly pid: number;
  readonly begun: string;
}

/** What one call has to know of its connection: how it is stopped, and how much has come over it. */
class Watch {
  readonly #client: pg.PoolClient;
  readonly #url: string;
  readonly #timeoutMs: number;
  readonly #ended = new AbortController();
  readonly #stop: () => void;
  readonly #lost: (error: Error) => void;
  readonly #signal: AbortSignal;
  readonly #count: (chunk: Buffer) => void;
  #bytes = 0;
  running: Running | undefined;
  /** From here on it is not stopped: whether it was kept could not be told. */
  isCommitting = false;
  failure: Error | undefined;

  constructor(client: pg.PoolClient, url: string, signal: AbortSignal, timeoutMs: number) {
    this.#client = client;
    this.#url = url;
    this.#timeoutMs = timeoutMs;
    this.#signal = signal;
    this.#lost = (error) => this.#end(failureOf(error));
    this.#stop = () => {
      if (!this.isCommitting) this.#end(stopReason(signal));
    };
    this.#count = (chunk) => {
      this.#bytes += chunk.length;
      if (this.#bytes > maxRowBytes) this.#flooded();
    };
    client.on('error', this.#lost);
    streamOf(client).on('data', this.#count);
    signal.addEventListener('abort', this.#stop, { once: true });
    if (signal.aborted) this.#stop();
  }

  /** Aborted when the call is to be given up, with what it fails with. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** Begins to count anew. @returns what had come. */
  takeBytes(): number {
    const bytes = this.#bytes;
    this.#bytes = 0;
    return bytes;
  }

  /** A statement can set statement_timeout to nothing, and catch its being cancelled: then this ends the call. */
  async within<Value>(work: () => Promise<Value>): Promise<Value> {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      this.#end(overdue(this.#timeoutMs));
      reject(this.failure);
    }, this.#timeoutMs + cancelPatienceMs);
    try {
      return await Promise.race([work(), promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  #flooded(): void {
    this.#end(
      new ToolError('too_large', `One row is longer than ${maxRowBytes} bytes.`, {
        hint: 'Select fewer columns, or a part of a value with substr().',
      }),
    );
    streamOf(this.#client).destroy();
  }

  #end(failure: Error): void {
    this.failure ??= failure;
    this.#ended.abort(this.failure);
  }

  /** The connection goes back to the others. */
  letGo(): void {
    streamOf(this.#client).off('data', this.#count);
    this.#signal.removeEventListener('abort', this.#stop);
    this.#client.off('error', this.#lost);
  }

  /**
   * The connection is given up, and what it still does is ended: Postgres would notice that we are gone only when it
   * has something to say.
   */
  async giveUp(): Promise<void> {
    streamOf(this.#client).off('data', this.#count);
    this.#signal.removeEventListener('abort', this.#stop);
    const isReachable = !streamOf(this.#client).destroyed;
    this.#client.release(true);
    if (this.running && isReachable) await endStatement(this.#url, this.running);
  }
}

const overdue = (timeoutMs: number) =>
  new ToolError('timeout', `The statement did not end within ${timeoutMs} ms.`, {
    hint: 'Ask for less, add an index (explain_sql shows the plan), or give more timeout_ms.',
  });

/** Not a refusal, which says of itself that nothing came of it. */
const isInterruption = (failure: Error, signal: AbortSignal) =>
  signal.aborted || (failure instanceof ToolError && ['timeout', 'unavailable'].includes(failure.code));

/** A stopped call, whose transaction was not committed. */
function unchanged(failure: Error): Error {
  if (!(failure instanceof ToolError) || failure.code === 'internal') return failure;
  const { code, message, isUntrusted } = failure;
  return new ToolError(code, `${message} Nothing was changed.`, { cause: failure, isUntrusted });
}

/** Nobody waits for it: the answer is there. */
async function release(client: pg.PoolClient, watch: Watch, error?: unknown): Promise<void> {
  // A statement that Postgres refused leaves the connection as good as new.
  const isRefusal = error === undefined || isDatabaseError(error) || error instanceof ToolError;
  if (watch.failure !== undefined || !isRefusal) {
    await watch.giveUp();
    return;
  }
  try {
    // What a statement may have left to the session goes with it.
    await client.query(leaveNothing);
    watch.letGo();
    client.release();
  } catch {
    watch.letGo();
    client.release(true);
  }
}

/** DISCARD ALL in the parts that one round trip takes. Advisory locks of a session outlive its transactions. */
const leaveNothing =
  'ROLLBACK; RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL; DEALLOCATE ALL; CLOSE ALL; UNLISTEN *; ' +
  'SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES';

/** A statement that catches its being cancelled loses its process: nothing of SQL can catch that. */
async function endStatement(url: string, { pid, begun }: Running): Promise<void> {
  const client = new pg.Client({
    ...settingsOf(url),
    connectionTimeoutMillis: cancelPatienceMs,
    query_timeout: cancelPatienceMs,
  });
  client.on('error', () => {});
  const told = async (what: 'pg_cancel_backend' | 'pg_terminate_backend') => {
    const { rowCount } = await client.query(
      `SELECT ${what}(pid) FROM pg_stat_activity WHERE pid = $1 AND xact_start = $2::timestamptz`,
      [pid, begun],
    );
    return rowCount !== 0;
  };
  try {
    await client.connect();
    for (let waitMs = 5; await told('pg_cancel_backend'); waitMs *= 2) {
      if (waitMs > cancelPatienceMs / 2) {
        await told('pg_terminate_backend');
        break;
      }
      await sleep(waitMs);
    }
  } catch {
    // Its connection ends all the same, and statement_timeout ends it after that.
  } finally {
    await client.end().catch(() => {});
  }
}

function sessionOn(client: pg.PoolClient, watch: Watch): Session {
  return {
    async all(sql, values = []) {
      const { rows } = await client.query({ text: sql, values: [...values], types: asJson });
      return rows;
    },
    page: async (sql, values, bounds) => watch.within(async () => page(client, watch, sql, values, bounds)),
  };
}

const asJson: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number) => {
    if (oid === 16) return (text: string) => text === 't';
    if ([20, 21, 23, 26].includes(oid)) return Number;
    if (oid === 114 || oid === 3_802) return JSON.parse;
    return (text: string) => text;
  }) as pg.CustomTypesConfig['getTypeParser'],
};

const asText: pg.CustomTypesConfig = { getTypeParser: (() => (text: string) => text) as never };

/** A statement of the extended protocol: there is room for one, and its rows are sent when they are asked for. */
class Portal extends Cursor<(string | null)[]> {
  copies = false;

  handleCopyInResponse(connection: { sendCopyFail(message: string): void }): void {
    this.copies = true;
    connection.sendCopyFail('no data is taken here');
  }

  handleCopyData(): void {
    this.copies = true;
  }
}

async function page(
  client: pg.PoolClient,
  watch: Watch,
  sql: string,
  values: readonly unknown[],
  { skip, rows: mostRows, bytes: mostBytes }: Bounds,
): Promise<Outcome> {
  const portal = client.query(new Portal(sql, [...values], { rowMode: 'array', types: asText }));
  let names: readonly string[] = [];
  const rows: Row[] = [];
  const cut = new Set<string>();
  let toSkip = skip;
  let bytes = 0;
  let piece = 1;
  for (;;) {
    watch.takeBytes();
    const wanted = toSkip > 0 ? Math.min(piece, toSkip) : piece;
    const { found, result } = await read(portal, wanted);
    if (portal.copies) throw noCopy();
    names = columnNames(result.fields);
    for (const values of found) {
      if (toSkip > 0) {
        toSkip -= 1;
        continue;
      }
      const row = shown(values, result.fields, names);
      const size = Buffer.byteLength(JSON.stringify(row.row));
      const isFull = rows.length === mostRows || (rows.length > 0 && bytes + size > mostBytes);
      if (isFull) {
        await portal.close();
        return { columns: names, rows, isCut: true, cut: [...cut], command: undefined, affected: undefined };
      }
      bytes += size;
      rows.push(row.row);
      for (const name of row.cut) cut.add(name);
    }
    if (found.length < wanted) {
      const { command, rowCount } = result;
      return {
        columns: names,
        rows,
        isCut: false,
        cut: [...cut],
        command: command ?? undefined,
        affected: rowCount ?? undefined,
      };
    }
    const rowBytes = watch.takeBytes() / Math.max(found.length, 1);
    piece = Math.max(1, Math.min(200, Math.floor(pieceBytes / Math.max(rowBytes, 1)), piece * 4));
  }
}

async function read(
  portal: Portal,
  count: number,
): Promise<{ readonly found: (string | null)[][]; readonly result: pg.QueryResult }> {
  const { promise, resolve, reject } = Promise.withResolvers<{
    found: (string | null)[][];
    result: pg.QueryResult;
  }>();
  portal.read(count, (error, found, result) => (error ? reject(error) : resolve({ found, result })));
  return promise;
}

const noCopy = () =>
  new ToolError('invalid_input', 'COPY gives no rows here.', { hint: 'Use SELECT, or INSERT.' });

function settingsOf(url: string): pg.ClientConfig {
  return {
    connectionString: url,
    application_name: 'flotilla-supabase',
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
  };
}

/** Not in the types of pg, but what all its versions have. */
function streamOf(client: pg.PoolClient): Duplex {
  return (client as unknown as { readonly connection: { readonly stream: Duplex } }).connection.stream;
}

/** Runs a script of ours, outside of any call: for making roles and tables. */
export async function inOneGo(url: string, script: string): Promise<void> {
  const client = new pg.Client(settingsOf(url));
  await client.connect();
  try {
    await client.query(script);
  } finally {
    await client.end();
  }
}
