/** The only better-sqlite3 import: how every store of the fleet is opened, migrated, checked and locked. */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import Sqlite from 'better-sqlite3';

import { ConfigError, DamagedDataError, ToolError, UnavailableError } from './errors.ts';

export type Database = Sqlite.Database;
export type Statement<Row> = Sqlite.Statement<unknown[], Row>;

/**
 * Opens a database and brings its schema up to date.
 *
 * WAL with `synchronous=FULL`: what was acknowledged survives a power cut. `migrations` is a folder of
 * `001-name.sql`, `002-name.sql` ...; each runs once, in order, in one transaction with its number
 * (`PRAGMA user_version`), so that a crash in between leaves the schema whole.
 *
 * @throws DamagedDataError when `quick_check` finds damage, or the file is no database.
 * @throws ConfigError when the file was written by a newer version, or its folder cannot be used.
 * @throws UnavailableError when the disk is full or does not answer.
 */
export function openDatabase(file: string, migrations: string): Database {
  if (file !== ':memory:') mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  let database: Database | undefined;
  try {
    database = new Sqlite(file, { timeout: 5_000 });
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    database.pragma('foreign_keys = ON');
    database.pragma('trusted_schema = OFF');
    const finding = database.pragma('quick_check(1)', { simple: true });
    if (finding !== 'ok') throw damaged(file, String(finding));
    migrate(database, file, migrations);
    return database;
  } catch (error) {
    database?.close();
    throw error instanceof Sqlite.SqliteError ? explained(file, error) : error;
  }
}

/** The same in words that help; a bug as it is. */
function explained(file: string, error: InstanceType<typeof Sqlite.SqliteError>): Error {
  const { code, message } = error;
  if (/^SQLITE_(CORRUPT|NOTADB)/.test(code)) return damaged(file, message);
  if (/^SQLITE_(CANTOPEN|READONLY|PERM)/.test(code)) {
    return new ConfigError(
      `${file} cannot be opened for writing: ${message}. Check its owner and permissions.`,
    );
  }
  if (/^SQLITE_(FULL|IOERR)/.test(code)) {
    return new UnavailableError(
      `${file} cannot be opened: ${message}. Free space on its disk, and see whether the disk works.`,
    );
  }
  return error;
}

function damaged(file: string, finding: string): DamagedDataError {
  return new DamagedDataError(
    `${file} is damaged (${finding.replaceAll(/\s+/g, ' ')}). Restore it from a backup, or move it away to start empty.`,
  );
}

function migrate(database: Database, file: string, folder: string): void {
  const steps = readdirSync(folder)
    .filter((name) => name.endsWith('.sql'))
    .toSorted();
  // IMMEDIATE: of two processes that start at once, one migrates and the other then finds it done.
  database
    .transaction(() => {
      const applied = Number(database.pragma('user_version', { simple: true }));
      if (applied > steps.length) {
        throw new ConfigError(
          `${file} was written by a newer Flotilla (schema ${applied}): upgrade, or restore an older backup.`,
        );
      }
      for (const [index, step] of steps.entries()) {
        if (index < applied) continue;
        database.exec(readFileSync(join(folder, step), 'utf8'));
        database.pragma(`user_version = ${index + 1}`);
      }
    })
    .immediate();
}

/**
 * Takes a folder for this process alone until the lock is disposed or the process ends, however it ends: the lock is
 * one of SQLite's own, which the kernel drops with the process.
 *
 * @returns `undefined` when another process holds it.
 */
export function lockFolder(folder: string): Disposable | undefined {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const database = new Sqlite(join(folder, '.lock'), { timeout: 0 });
  try {
    // A rollback journal would be left behind by a kill; nothing is ever written here, so none is needed.
    database.pragma('journal_mode = MEMORY');
    database.exec('BEGIN EXCLUSIVE');
    return { [Symbol.dispose]: () => database.close() };
  } catch (error) {
    database.close();
    if (error instanceof Sqlite.SqliteError && error.code.startsWith('SQLITE_BUSY')) return undefined;
    throw error;
  }
}

/** What SQLite meets that is neither the caller's fault nor a bug. */
const obstacles = {
  SQLITE_BUSY: { message: 'Another process is writing.', remedy: 'try again.' },
  SQLITE_FULL: { message: 'The disk is full.', remedy: 'ask the operator to free space, then try again.' },
  SQLITE_IOERR: { message: 'The disk does not answer.', remedy: 'tell the operator, and try again.' },
};

/**
 * Runs one transaction on behalf of a call.
 *
 * @throws ToolError `unavailable` when the lock or the disk stands in the way; anything else as it was thrown.
 */
export function orUnavailable<Value>(transaction: () => Value): Value {
  try {
    return transaction();
  } catch (error) {
    if (!(error instanceof Sqlite.SqliteError)) throw error;
    const obstacle = Object.entries(obstacles).find(([code]) => error.code.startsWith(code));
    if (!obstacle) throw error;
    const { message, remedy } = obstacle[1];
    throw new ToolError('unavailable', message, { hint: `Nothing was changed: ${remedy}`, cause: error });
  }
}
