/** The only better-sqlite3 import: how every store of the fleet is opened, migrated, checked and locked. */
import { randomBytes } from 'node:crypto';
import { existsSync, linkSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isMainThread } from 'node:worker_threads';

import Sqlite from 'better-sqlite3';

import { Checkpoints } from './data/checkpoints.ts';
import { ConfigError, DamagedDataError, ToolError, UnavailableError } from './errors.ts';
import { makeFolder, syncFolder } from './files.ts';
import { atTurnEnd } from './turns.ts';

export type Database = Sqlite.Database;
export type Statement<Row> = Sqlite.Statement<unknown[], Row>;

const busyTimeoutMs = 5_000;

const checkpointsOf = new WeakMap<Database, Checkpoints>();

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
  try {
    if (file !== ':memory:') {
      makeFolder(dirname(file));
      if (existsSync(file)) requireWhole(file);
      else if (statSync(`${file}-wal`, { throwIfNoEntry: false })?.size)
        throw damaged(file, 'it is gone, but its log is there');
      else create(file, migrations);
    }
    const database = openMigrated(file, migrations);
    // A thread of its own may take its time with a checkpoint.
    if (isMainThread && !database.memory) checkpointsOf.set(database, new Checkpoints(database));
    return database;
  } catch (error) {
    throw error instanceof Sqlite.SqliteError ? explained(file, error) : error;
  }
}

/** What `openDatabase` looks at first, for one who only looks. @throws what that does for a file that is there. */
export function checkDatabase(file: string): void {
  try {
    requireWhole(file);
  } catch (error) {
    throw error instanceof Sqlite.SqliteError ? explained(file, error) : error;
  }
}

/** Reads only: damaged data and its log are left as they are found. @throws DamagedDataError or SqliteError. */
function requireWhole(file: string): void {
  const state = statSync(file);
  if (!state.isFile()) throw new ConfigError(`${file} is no file: move it away.`);
  if (state.size === 0) throw damaged(file, 'it is empty');
  const database = new Sqlite(file, { readonly: true, timeout: busyTimeoutMs });
  try {
    const finding = database.pragma('quick_check(1)', { simple: true });
    if (finding !== 'ok') throw damaged(file, String(finding));
  } finally {
    database.close();
  }
}

/** A database gets its name when it is whole: an empty file of that name is no start that was cut off, but damage. */
function create(file: string, migrations: string): void {
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    openMigrated(temporary, migrations).close();
    // Of two processes that create it at once, one does.
    linkSync(temporary, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
  syncFolder(dirname(file));
}

function openMigrated(file: string, migrations: string): Database {
  const database = openAgain(file);
  try {
    migrate(database, file, migrations);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** A further connection to a database that this process has opened, for a thread of its own: neither checked nor migrated. */
export function openAgain(file: string): Database {
  const database = planningOnce(new Sqlite(file, { timeout: busyTimeoutMs }));
  try {
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    database.pragma('foreign_keys = ON');
    database.pragma('trusted_schema = OFF');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/**
 * SQLite compiles a statement anew whenever a parameter changes that its plan may depend on: `LIMIT ?`, or `a = ?` where rows
 * are ordered. That takes longer than most reads. A plus hides the value from the planner, and changes nothing else.
 */
function planningOnce(database: Database): Database {
  const prepare = database.prepare.bind(database);
  database.prepare = (source: string) =>
    prepare(source.replaceAll(parameter, (text, name?: string) => (name === undefined ? text : `+${name}`)));
  return database;
}

/** Or what only looks like one: a text, a quoted name, a comment. */
const parameter = /'[^']*'|"[^"]*"|`[^`]*`|\[[^\]]*\]|--.*|\/\*[^]*?\*\/|(\?\d*|[:@$]\w+)/g;

/** For one who only looks, while its owner may work on it. @throws DamagedDataError, or SqliteError. */
export function openToRead(file: string): Database & Disposable {
  try {
    const database = planningOnce(new Sqlite(file, { readonly: true, timeout: busyTimeoutMs }));
    return Object.assign(database, { [Symbol.dispose]: () => database.close() });
  } catch (error) {
    throw isDamage(error) ? damaged(file, error.message) : error;
  }
}

/** The same in words that help; a bug as it is. */
function explained(file: string, error: InstanceType<typeof Sqlite.SqliteError>): Error {
  const { code, message } = error;
  if (isDamage(error)) return damaged(file, message);
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

function isDamage(error: unknown): error is Error {
  return error instanceof Sqlite.SqliteError && /^SQLITE_(CORRUPT|NOTADB)/.test(error.code);
}

function damaged(file: string, finding: string): DamagedDataError {
  return new DamagedDataError(
    `${file} is damaged (${finding.replaceAll(/\s+/g, ' ')}). Restore it from a backup, or move it away, with its -wal file, to start empty.`,
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
  makeFolder(folder);
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

/**
 * Copies a database as it is at one moment, whoever writes meanwhile, in steps between which the process serves others.
 * `told` hears of each step how much is done, from 0 to 1.
 *
 * @throws DamagedDataError when it cannot be read; the reason of `signal`; or SQLite's error, such as `SQLITE_FULL`.
 */
export async function copyDatabase(
  from: string,
  to: string,
  { signal, told }: { readonly signal: AbortSignal; readonly told: (share: number) => void },
): Promise<void> {
  let source: Database | undefined;
  try {
    source = new Sqlite(from, { readonly: true, fileMustExist: true, timeout: busyTimeoutMs });
    // An open read transaction: without it, every write of another connection would begin the copy anew.
    source.exec('BEGIN');
    source.prepare('SELECT count(*) FROM sqlite_schema').get();
    await source.backup(to, {
      progress({ totalPages, remainingPages }) {
        signal.throwIfAborted();
        told(1 - remainingPages / totalPages);
        return pagesPerStep;
      },
    });
  } catch (error) {
    throw isDamage(error) ? damaged(from, error.message) : error;
  } finally {
    source?.close();
  }
}

/** At most a few milliseconds of work. */
const pagesPerStep = 100;

/** What a copy of a database holds, for comparison. */
export interface DatabaseFacts {
  /** What `integrity_check` finds; `null` when all is well. */
  readonly finding: string | null;
  /** Its schema's number. */
  readonly userVersion: number;
  /** How many rows each table has; the tables behind an index for searching count too. */
  readonly rows: Readonly<Record<string, number>>;
}

/** Reads all of a database, which may take long: for copies that nobody works on. */
export function inspectDatabase(file: string): DatabaseFacts {
  let database: Database | undefined;
  try {
    database = new Sqlite(file, { fileMustExist: true });
    database.pragma('trusted_schema = OFF');
    const findings = database.pragma('integrity_check(1)') as { readonly integrity_check: string }[];
    const finding = findings[0]?.integrity_check ?? 'integrity_check has no answer';
    const tables = database
      .prepare<[], string>(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY name",
      )
      .pluck()
      .all();
    const count = (table: string) =>
      database
        ?.prepare(`SELECT count(*) FROM "${table.replaceAll('"', '""')}"`)
        .pluck()
        .get() as number;
    return {
      finding: finding === 'ok' ? null : finding,
      userVersion: Number(database.pragma('user_version', { simple: true })),
      rows: Object.fromEntries(tables.map((table) => [table, count(table)])),
    };
  } catch (error) {
    if (!isDamage(error)) throw error;
    return { finding: error.message, userVersion: 0, rows: {} };
  } finally {
    database?.close();
  }
}

/** What SQLite meets that is neither the caller's fault nor a bug. */
const obstacles = {
  SQLITE_BUSY: { message: 'Another process is writing.', remedy: 'try again.' },
  SQLITE_FULL: { message: 'The disk is full.', remedy: 'ask the operator to free space, then try again.' },
  SQLITE_IOERR: { message: 'The disk does not answer.', remedy: 'tell the operator, and try again.' },
};

/** An obstacle in words that help; anything else as it is. */
function inWords(error: unknown): unknown {
  if (!(error instanceof Sqlite.SqliteError)) return error;
  const obstacle = Object.entries(obstacles).find(([code]) => error.code.startsWith(code));
  if (!obstacle) return error;
  const { message, remedy } = obstacle[1];
  return new ToolError('unavailable', message, { hint: `Nothing was changed: ${remedy}`, cause: error });
}

/** Transactions on behalf of calls. All throw ToolError `unavailable` when the lock or the disk stands in the way. */
export interface Transactions {
  /** Several reads that see one state, and change nothing. */
  readonly read: <Value>(work: () => Value) => Value;
  /**
   * All of a change or nothing: what `work` throws undoes it. It is on disk when this returns; within `sharingCommit`, when
   * that says so.
   */
  readonly write: <Value>(work: () => Value) => Value;
  /**
   * The same without waiting for the disk, for a part of a larger change: the `write` that completes it waits for all that was
   * written before. A power cut in between takes the last parts away.
   */
  readonly stage: <Value>(work: () => Value) => Value;
  /** Takes the write lock and gives it back. */
  readonly probe: () => void;
}

/** The changes that wait for one commit. */
interface Group {
  readonly settled: Promise<void>;
  readonly end: (error?: unknown) => void;
}

const openGroups = new Set<Group>();
let mayShare = false;

/**
 * Runs `work` so that its changes share one commit with those of others in this turn of the event loop: the wait for the
 * disk is nearly all that a small change costs. Before `committed` resolves, nobody may be told of what was written, or of
 * what was read since; it throws what kept the changes from the disk. `undefined` where nothing waits.
 */
export function sharingCommit<Value>(work: () => Value): {
  readonly value: Value;
  readonly committed: Promise<void> | undefined;
} {
  mayShare = true;
  try {
    const value = work();
    if (openGroups.size === 0) return { value, committed: undefined };
    return { value, committed: allOf([...openGroups].map(({ settled }) => settled)) };
  } finally {
    mayShare = false;
  }
}

async function allOf(promises: readonly Promise<void>[]): Promise<void> {
  await Promise.all(promises);
}

/** Makes the statements once: `database.transaction` makes them anew each time. */
export function transactionsOf(database: Database): Transactions {
  const begin = database.prepare('BEGIN');
  const beginImmediate = database.prepare('BEGIN IMMEDIATE');
  const commit = database.prepare('COMMIT');
  const rollback = database.prepare('ROLLBACK');
  const savepoint = database.prepare('SAVEPOINT member');
  const release = database.prepare('RELEASE member');
  const rollbackMember = database.prepare('ROLLBACK TO member');
  const checkpoints = checkpointsOf.get(database);
  let group: Group | undefined;
  /** Whether the reads of this turn have a transaction open. */
  let isReading = false;
  let isWithin = false;

  /** Runs `work` as a part of what is open; `undo` takes back what it did when it throws. */
  function within<Value>(work: () => Value, undo: () => void): Value {
    isWithin = true;
    try {
      return work();
    } catch (error) {
      // SQLite itself ends a transaction that met a full disk.
      if (database.inTransaction) undo();
      throw inWords(error);
    } finally {
      isWithin = false;
    }
  }

  function alone<Value>(start: typeof begin, work: () => Value): Value {
    commitGroup();
    endReading();
    try {
      start.run();
    } catch (error) {
      throw inWords(error);
    }
    return within(
      () => {
        const value = work();
        commit.run();
        if (start === beginImmediate) checkpoints?.committed();
        return value;
      },
      () => rollback.run(),
    );
  }

  /**
   * The calls that begin in one turn read one state. To take the lock and leave it takes longer than most reads; a call that goes
   * on later reads anew.
   */
  function reading<Value>(work: () => Value): Value {
    if (!isReading) {
      begin.run();
      isReading = true;
      atTurnEnd(endReading);
    }
    try {
      return within(work, () => {});
    } catch (error) {
      // SQLite may have ended it.
      isReading = database.inTransaction;
      throw error;
    }
  }

  function endReading(): void {
    if (!isReading) return;
    isReading = false;
    if (database.open && database.inTransaction) commit.run();
  }

  /**
   * SQLite keeps, for each savepoint, what the pages that it changes were before: in a file, unless it is told otherwise
   * beforehand, and to write that takes longer than the change. What sorts much may go on using files.
   */
  function beginForMembers(): void {
    database.exec('PRAGMA temp_store = MEMORY');
    try {
      beginImmediate.run();
    } finally {
      database.exec('PRAGMA temp_store = DEFAULT');
    }
  }

  /** The first change of a group needs no savepoint: when it fails, nothing else is lost. */
  function first<Value>(work: () => Value): Value {
    endReading();
    beginForMembers();
    const value = within(work, () => rollback.run());
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // It is thrown to those who wait for it; where nobody does, it is no bug.
    promise.catch(() => {});
    const opened: Group = {
      settled: promise,
      end(error) {
        openGroups.delete(opened);
        group = undefined;
        if (error === undefined) resolve();
        else reject(error);
      },
    };
    group = opened;
    openGroups.add(opened);
    atTurnEnd(commitGroup);
    return value;
  }

  function joined<Value>(opened: Group, work: () => Value): Value {
    try {
      return within(
        () => {
          savepoint.run();
          const value = work();
          release.run();
          return value;
        },
        () => {
          rollbackMember.run();
          release.run();
        },
      );
    } catch (error) {
      // What the others wrote is gone with the transaction.
      if (!database.inTransaction) opened.end(error);
      throw error;
    }
  }

  function commitGroup(): void {
    const opened = group;
    if (!opened) return;
    try {
      commit.run();
      checkpoints?.committed();
      opened.end();
    } catch (error) {
      if (database.inTransaction) rollback.run();
      opened.end(inWords(error));
    }
  }

  function write<Value>(work: () => Value): Value {
    // It would be on disk later than its caller is told.
    if (isWithin && isReading) throw new TypeError('A change within a read.');
    if (isWithin) return work();
    if (!mayShare) return alone(beginImmediate, work);
    try {
      return group ? joined(group, work) : first(work);
    } catch (error) {
      throw inWords(error);
    }
  }

  function stage<Value>(work: () => Value): Value {
    if (isWithin) return work();
    // What others wait for is not to be on disk any later.
    commitGroup();
    // Within a transaction the setting cannot be changed.
    endReading();
    database.pragma('synchronous = NORMAL');
    try {
      return alone(beginImmediate, work);
    } finally {
      database.pragma('synchronous = FULL');
    }
  }

  function read<Value>(work: () => Value): Value {
    if (isWithin || (group && mayShare)) return work();
    return mayShare ? reading(work) : alone(begin, work);
  }

  return {
    read,
    write,
    stage,
    probe: () => write(() => {}),
  };
}
