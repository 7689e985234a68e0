/** The ledger in PostgreSQL: for several orchestrators. Each operation is one transaction, run again where others were in the way. */
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { Log } from '#runtime/account/log.ts';
import { ConfigError } from '#runtime/errors.ts';
import type { Holding, Quota } from '#runtime/quotas.ts';

import type { Engine, Hearing } from './engine.ts';
import { meaningOf, QueryFailed } from './postgres-failures.ts';
import {
  channelOf,
  named,
  openLink,
  quoted,
  type PostgresSettings,
  type Rows,
  type Session,
} from './postgres-link.ts';
import { postgresDialect, type Compiled, type Ledger, type Step } from './query.ts';
import { loadHoldings } from './quota.ts';

const migrations = join(import.meta.dirname, 'migrations-postgres');
/** Of a change that others were in the way of. */
const mostTries = 10;
const countKeptEveryMs = 5_000;

interface Prepared extends Compiled {
  readonly name: string;
}

const noRows: Rows = [];

interface Asker {
  query(text: string): Promise<{ readonly rows: readonly unknown[] }>;
}

/** Of several that start at once one makes the tables, and the others find them. @throws ConfigError. */
async function migrate(client: Asker, schema: string): Promise<void> {
  const steps = readdirSync(migrations)
    .filter((name) => name.endsWith('.sql'))
    .toSorted();
  await client.query('BEGIN');
  try {
    await client.query(`SELECT pg_advisory_xact_lock(hashtextextended(${quoted(channelOf(schema))}, 0))`);
    const { rows: found } = await client.query(
      `SELECT to_regclass(${quoted(`${named(schema)}.migration`)})::text AS name`,
    );
    if ((found[0] as { readonly name: string | null }).name === null)
      await client.query(
        `CREATE SCHEMA IF NOT EXISTS ${named(schema)}; CREATE TABLE migration (step BIGINT PRIMARY KEY)`,
      );
    const { rows } = await client.query('SELECT coalesce(max(step), 0) AS applied FROM migration');
    const { applied } = rows[0] as { readonly applied: number };
    if (applied > steps.length)
      throw new ConfigError(
        `The schema ${schema} was written by a newer Flotilla (step ${applied}): upgrade this one.`,
      );
    for (const [index, step] of steps.entries()) {
      if (index < applied) continue;
      await client.query(readFileSync(join(migrations, step), 'utf8'));
      await client.query(`INSERT INTO migration VALUES (${index + 1})`);
    }
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    throw error;
  }
}

/** Keeps what it compiled of each query, under a name that each connection prepares it by. */
function preparing(access: 'read' | 'write') {
  const dialect = postgresDialect(access);
  const known = new Map<Step['query'], Prepared>();
  return (query: Step['query']): Prepared => {
    const before = known.get(query);
    if (before) return before;
    const made = { ...dialect.compile(query), name: `${access}${known.size}` };
    known.set(query, made);
    return made;
  };
}

/** What was asked of the server in one transaction, in its order: it answers in that order too. */
class Transaction {
  readonly #session: Session;
  readonly #prepared: (query: Step['query']) => Prepared;
  #blind: Promise<unknown>[] = [];

  constructor(session: Session, prepared: (query: Step['query']) => Prepared, beginning: string) {
    this.#session = session;
    this.#prepared = prepared;
    this.#send(() => session.say(beginning));
  }

  /** Who does not look at the answer does not wait for it: it goes with what comes next. */
  #send(ask: () => Promise<unknown>): void {
    this.#session.hold();
    const asked = ask();
    asked.catch(() => {});
    this.#blind.push(asked);
  }

  async drive<Value>(ledger: Ledger<Value>): Promise<Value> {
    let rows = noRows;
    for (;;) {
      const step = ledger.next(rows);
      if (step.done) return step.value;
      const { query, given, isBlind = false } = step.value;
      const { name, sql, valuesOf } = this.#prepared(query);
      const ask = async () => this.#session.query({ name, text: sql }, valuesOf(given));
      rows = noRows;
      if (isBlind) this.#send(ask);
      else rows = await this.#answered(ask());
    }
  }

  /** @throws QueryFailed also where the server took it back, since something before had failed. */
  async end(script: string): Promise<void> {
    await this.#answered(this.#session.say(script));
  }

  /** What comes after a failure fails too, and does not say why. */
  async #answered<Value>(asked: Promise<Value>): Promise<Value> {
    asked.catch(() => {});
    this.#session.flow();
    const before = this.#blind;
    this.#blind = [];
    for (const one of before) await one;
    return asked;
  }
}

/** @throws ConfigError for what only a person can mend; UnavailableError when the database does not answer. */
export async function openPostgres(settings: PostgresSettings, quota: Quota, log: Log): Promise<Engine> {
  const self = randomUUID();
  let hearing: Hearing | undefined;
  const link = await openLink(
    settings,
    log,
    {
      said(text) {
        const [who, ...words] = text.split(' ');
        if (who !== self) hearing?.told(words.join(' '));
      },
      connected: () => hearing?.missed(),
    },
    async (client) => migrate(client, settings.schema),
  );
  const toRead = preparing('read');
  const toWrite = preparing('write');
  const channel = named(channelOf(settings.schema));
  const ending = (notices: readonly string[]) =>
    `${notices.map((notice) => `NOTIFY ${channel}, ${quoted(`${self} ${notice}`)}; `).join('')}COMMIT`;

  /** One try. @returns nothing where others were in the way, or the connection was lost before anything was done. */
  async function tryOnce<Value>(
    operation: () => Ledger<Value>,
    notices: () => readonly string[],
    attempt: number,
  ): Promise<{ readonly value: Value } | undefined> {
    const session = await link.session();
    let isCommitting = false;
    let isBroken = false;
    try {
      const transaction = new Transaction(session, toWrite, 'BEGIN');
      const value = await transaction.drive(operation());
      const end = ending(notices());
      isCommitting = true;
      await transaction.end(end);
      return { value };
    } catch (error) {
      const failure = error instanceof QueryFailed ? error : undefined;
      isBroken = failure !== undefined && !failure.isRefusal;
      if (!isBroken) isBroken = !(await says(session, 'ROLLBACK'));
      if (!failure) throw error;
      if (failure.isCollision && attempt < mostTries) return undefined;
      // A connection that was lost while nobody used it is found out by its next use.
      if (isBroken && !isCommitting && attempt === 1) return undefined;
      throw meaningOf(failure, isCommitting && isBroken);
    } finally {
      session.release(isBroken);
    }
  }

  async function change<Value>(
    operation: () => Ledger<Value>,
    then?: (value: Value) => void,
    notices: () => readonly string[] = () => [],
  ): Promise<Value> {
    for (let attempt = 1; ; attempt += 1) {
      const made = await tryOnce(operation, notices, attempt);
      if (made) {
        then?.(made.value);
        return made.value;
      }
      await sleep(Math.random() * Math.min(200, 5 * 2 ** attempt));
    }
  }

  async function look<Value>(operation: () => Ledger<Value>): Promise<Value> {
    for (let isAgain = false; ; isAgain = true) {
      const session = await link.session();
      const end = async (script: string) => {
        session.release(!(await says(session, script)));
      };
      try {
        const beginning = 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY';
        const value = await new Transaction(session, toRead, beginning).drive(operation());
        // Nothing depends on it: who has read does not wait.
        void end('COMMIT');
        return value;
      } catch (error) {
        const failure = error instanceof QueryFailed ? error : undefined;
        const isBroken = failure !== undefined && !failure.isRefusal;
        if (isBroken) session.release(true);
        else void end('ROLLBACK');
        if (!failure) throw error;
        // A connection that was lost while nobody used it is found out by its next use.
        if (!isBroken || isAgain) throw meaningOf(failure, false);
      }
    }
  }

  let holdings: readonly Holding[] = [];
  async function countKept(): Promise<void> {
    // What was known last stays.
    holdings = await look(loadHoldings).catch(() => holdings);
  }
  await countKept();
  const counting = setInterval(() => void countKept(), countKeptEveryMs);
  counting.unref();

  return {
    durability: link.durability,
    isShared: true,
    change,
    stage: async (operation) => change(operation),
    look,
    hear(given) {
      hearing = given;
    },
    async probe() {
      const session = await link.session();
      let isBroken = true;
      try {
        await session.say('BEGIN; UPDATE clock SET ms = ms WHERE id = 1; ROLLBACK');
        isBroken = false;
      } catch (error) {
        throw error instanceof QueryFailed ? meaningOf(error, false) : error;
      } finally {
        session.release(isBroken);
      }
      return link.warnings;
    },
    kept: () => ({ quota, holdings }),
    async [Symbol.asyncDispose]() {
      clearInterval(counting);
      await link[Symbol.asyncDispose]();
    },
  };
}

/** @returns whether the connection is as good as before. */
async function says(session: Session, script: string): Promise<boolean> {
  try {
    const asked = session.say(script);
    session.flow();
    await asked;
    return true;
  } catch {
    return false;
  }
}
