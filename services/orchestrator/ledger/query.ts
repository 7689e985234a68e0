/**
 * What the ledger asks of its database. An operation is a generator that yields queries and gets their rows: who drives it decides
 * which database answers, and in which transaction. A query is built and compiled once for an engine, with names in the place of values.
 */
import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  sql,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type Compilable,
  type CompiledQuery,
  type Dialect as KyselyDialect,
  type RawBuilder,
  type SelectQueryBuilder,
} from 'kysely';

import type { Schema } from './schema.ts';

export { sql };

type Value = number | string | null;
type Values = Readonly<Record<string, Value>>;
type Rows = readonly Readonly<Record<string, unknown>>[];

/** Stands in a compiled query for a value that is given with each use. */
class Place {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

type Locking = <Table extends keyof Schema, Row>(
  query: SelectQueryBuilder<Schema, Table, Row>,
) => SelectQueryBuilder<Schema, Table, Row>;

/** What a query is built with. */
export interface Building<Given> {
  readonly db: Kysely<Schema>;
  /** The values that it is used with. */
  readonly given: { readonly [Name in keyof Given]: RawBuilder<Given[Name]> };
  /** Keeps the rows from other transactions until this one ends, where several work on one database. */
  readonly keeping: Locking;
  /** The same, and passes over rows that another transaction keeps. */
  readonly taking: Locking;
  /** Of transactions that ask for it by the same table one is at work at a time, until it ends: to be selected. */
  readonly alone: (table: keyof Schema) => RawBuilder<unknown>;
}

/** A query whose text never changes; engines keep what they compiled of it by its identity. */
export interface Query<Given, Row> {
  readonly build: (building: Building<Given>) => Compilable<Row>;
}

/** A use of a query. */
export interface Step {
  // oxlint-disable-next-line typescript/no-explicit-any -- steps of all queries pass here
  readonly query: Query<any, any>;
  readonly given: Values;
  /** Nobody looks at what it returns: the next step need not wait for it. */
  readonly isBlind?: boolean;
}

/** One operation on the ledger: all of it or nothing. */
export type Ledger<Result> = Generator<Step, Result, Rows>;

/** `define<{ seq: number }>()(({ db, given }) => …)`: the first pair of brackets is for the types of values alone. */
export const define =
  <Given extends Values = Values>() =>
  <Row>(build: (building: Building<Given>) => Compilable<Row>): Query<Given, Row> => ({ build });

export function* all<Given extends Values, Row>(
  query: Query<Given, Row>,
  given: Given,
): Ledger<readonly Row[]> {
  return (yield { query, given }) as readonly Row[];
}

export function* first<Given extends Values, Row>(
  query: Query<Given, Row>,
  given: Given,
): Ledger<Row | undefined> {
  const rows = yield { query, given };
  return rows[0] as Row | undefined;
}

/** For what returns nothing. */
export function* run<Given extends Values>(query: Query<Given, unknown>, given: Given): Ledger<void> {
  yield { query, given, isBlind: true };
}

/** As an engine runs it. */
export interface Compiled {
  readonly sql: string;
  /** In the order of the places in the text. */
  readonly valuesOf: (given: Values) => Value[];
}

export interface Dialect {
  readonly compile: (query: Step['query']) => Compiled;
}

type Locks = Pick<Building<unknown>, 'keeping' | 'taking' | 'alone'>;

function dialectOf(dialect: Omit<KyselyDialect, 'createDriver'>, locks: Locks): Dialect {
  const db = new Kysely<Schema>({ dialect: { ...dialect, createDriver: () => new DummyDriver() } });
  return { compile: ({ build }) => compiledOf(build({ db, given: places, ...locks }).compile()) };
}

/** Nobody is there to keep rows from: one process has its SQLite to itself, and who only reads keeps nothing. */
const noLocks: Locks = { keeping: (query) => query, taking: (query) => query, alone: () => sql`0` };

export const sqliteDialect = (): Dialect =>
  dialectOf(
    {
      createAdapter: () => new SqliteAdapter(),
      createIntrospector: (of) => new SqliteIntrospector(of),
      createQueryCompiler: () => new SqliteQueryCompiler(),
    },
    noLocks,
  );

/** Rows that refer to a kept one may be added: its key stays as it is. */
const postgresLocks: Locks = {
  keeping: (query) => query.forNoKeyUpdate(),
  taking: (query) => query.forNoKeyUpdate().skipLocked(),
  alone: (table) =>
    sql`pg_advisory_xact_lock(${sql.lit(lockSpace)}::bigint << 32 | ${sql.lit(table)}::regclass::oid::bigint)`,
};

/** As in the migration, which has the order of events by the same lock. */
const lockSpace = 1_179_407_188;

/** @param access a transaction that only reads may not lock. */
export const postgresDialect = (access: 'read' | 'write'): Dialect =>
  dialectOf(
    {
      createAdapter: () => new PostgresAdapter(),
      createIntrospector: (of) => new PostgresIntrospector(of),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
    access === 'read' ? noLocks : postgresLocks,
  );

// oxlint-disable-next-line typescript/no-explicit-any -- a place for every name that is asked for
const places: any = new Proxy({}, { get: (_, name) => sql`${new Place(String(name))}` });

function compiledOf({ sql: text, parameters }: CompiledQuery): Compiled {
  const makers = parameters.map((parameter) =>
    parameter instanceof Place ? parameter.name : { constant: parameter as Value },
  );
  return {
    sql: text,
    valuesOf: (given) =>
      makers.map((maker) => (typeof maker === 'string' ? (given[maker] ?? null) : maker.constant)),
  };
}
