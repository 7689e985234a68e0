/** The ledger in SQLite: for one orchestrator, with nothing to operate. Calls that come at the same time share a commit. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

import {
  openDatabase,
  openToRead,
  sharingCommit,
  transactionsOf,
  type Statement,
} from '#runtime/database.ts';
import { openQuotas, type Quota } from '#runtime/quotas.ts';

import type { Engine } from './engine.ts';
import { sqliteDialect, type Compiled, type Ledger, type Step } from './query.ts';
import { remedy } from './quota.ts';

export const databaseName = 'orchestrator.db';
const migrations = join(import.meta.dirname, 'migrations');

interface Prepared {
  readonly statement: Statement<Readonly<Record<string, unknown>>>;
  readonly valuesOf: Compiled['valuesOf'];
}

const noRows: readonly Readonly<Record<string, unknown>>[] = [];

/** @throws DamagedDataError when its file is damaged; UnavailableError when the disk is full. */
export function openSqlite(file: string, quota: Quota): Engine {
  const database = openDatabase(file, migrations);
  database.pragma('cache_size = -65536');
  const transactions = transactionsOf(database);
  const quotas = openQuotas(database, quota, remedy);
  const dialect = sqliteDialect();
  const prepared = new Map<Step['query'], Prepared>();

  function prepare(query: Step['query']): Prepared {
    const { sql, valuesOf } = dialect.compile(query);
    const made = { statement: database.prepare<unknown[], Readonly<Record<string, unknown>>>(sql), valuesOf };
    prepared.set(query, made);
    return made;
  }

  function answer({ query, given }: Step) {
    const { statement, valuesOf } = prepared.get(query) ?? prepare(query);
    if (statement.reader) return statement.all(valuesOf(given));
    statement.run(valuesOf(given));
    return noRows;
  }

  function drive<Value>(ledger: Ledger<Value>): Value {
    for (let step = ledger.next(noRows); ; step = ledger.next(answer(step.value))) {
      if (step.done) return step.value;
    }
  }

  return {
    durability: 'SQLite, synchronous=FULL',
    isShared: false,
    hear() {},
    async change(operation, then) {
      const { value, committed } = sharingCommit(() => {
        const made = transactions.write(() => drive(operation()));
        then?.(made);
        return made;
      });
      await committed;
      return value;
    },
    stage: async (operation) => transactions.stage(() => drive(operation())),
    async look(operation) {
      const { value, committed } = sharingCommit(() => transactions.read(() => drive(operation())));
      await committed;
      return value;
    },
    async probe() {
      transactions.probe();
      return [];
    },
    kept: () => quotas.kept(),
    async [Symbol.asyncDispose]() {
      database.close();
    },
  };
}

/** What lies in a copy of the data folder, for the proof of a backup; with the ledger in PostgreSQL nothing lies there. */
export function openCopy(dataDir: string): Disposable {
  const file = join(dataDir, databaseName);
  if (!existsSync(file)) return { [Symbol.dispose]() {} };
  return openToRead(file);
}
