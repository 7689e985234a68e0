/**
 * What the ledger asks of its database. An operation is a generator that yields queries and gets their rows: who drives it decides
 * which database answers, and in which transaction. A query is built and compiled once for an engine, with names in the place of values.
 */
import {
  DummyDriver,
  Kysely,
  sql,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type Compilable,
  type CompiledQuery,
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
  yield { query, given };
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

export function sqliteDialect(): Dialect {
  const db = new Kysely<Schema>({
    dialect: {
      createAdapter: () => new SqliteAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (of) => new SqliteIntrospector(of),
      createQueryCompiler: () => new SqliteQueryCompiler(),
    },
  });
  return {
    compile: ({ build }) => compiledOf(build({ db, given: places, keeping: alone, taking: alone }).compile()),
  };
}

/** One process has its SQLite to itself: there is nobody to keep rows from. */
const alone: Locking = (query) => query;

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
