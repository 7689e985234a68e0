/** Databases of users, opened so that nothing in them reaches beyond them, and nothing that is acknowledged is lost. */
import { accessSync, constants, statSync, type Stats } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

import { ToolError } from '#runtime/errors.ts';

import { maxColumns, maxSqlLength, maxValueBytes, openPerEngine } from '../limits.ts';
import { authorizerOf, newGuard, type Guard } from './authorizer.ts';
import { codes, isSqliteError } from './failures.ts';
import {
  headOf,
  isDatabaseHead,
  isSameFile,
  missing,
  openFiles,
  placeOf,
  replaced,
  requireEnding,
  requireNoRepository,
  requireOwnFiles,
  requireSame,
  type Place,
} from './places.ts';

/** What an engine is told once. */
export interface Territory {
  readonly roots: readonly string[];
  /** The operator allows no change. */
  readonly isReadOnly: boolean;
  /** To which a database may grow. */
  readonly maxBytes: number;
  /** How long a statement waits for the lock of another program. */
  readonly busyMs: number;
}

export interface Open {
  readonly database: DatabaseSync;
  readonly guard: Guard;
  readonly place: Place;
  readonly canWrite: boolean;
  /** Opened as a file that nobody changes. */
  readonly isImmutable: boolean;
  /** When the tables behind virtual tables were looked up. */
  schemaVersion: bigint;
  /** Statements of callers that were prepared with this schema, the one used last at the end. */
  readonly prepared: Map<string, PreparedOnce>;
  /** What is asked before and after statements of callers. */
  readonly own: Readonly<Record<'schemaVersion' | 'totalChanges' | 'changes' | 'lastRowid', StatementSync>>;
}

interface PreparedOnce {
  readonly statement: StatementSync;
  /** The kinds of its actions. */
  readonly seen: readonly number[];
}

/** A database as the service names it. */
export interface Named {
  readonly path: string;
  /** It may be missing as long as nobody writes: then it is empty. */
  readonly isDefault: boolean;
}

export type Access = 'read' | 'write' | 'create';

export class Connections {
  readonly #territory: Territory;
  /** By path and access, the one used last at the end. */
  readonly #open = new Map<string, Open>();

  constructor(territory: Territory) {
    this.#territory = territory;
  }

  get roots(): readonly string[] {
    return this.#territory.roots;
  }

  /** @throws ToolError for all that a caller should know of the file; an error of SQLite. */
  open({ path: given, isDefault }: Named, access: Access): Open {
    const place = placeOf(this.#territory.roots, given);
    requireOwnFiles(place);
    const canWrite = access !== 'read';
    const key = `${place.path}\0${canWrite}`;
    const kept = this.#again(key, place);
    if (kept) return kept;
    const isNew = (place.stat?.size ?? 0) === 0 && sizeOf(`${place.path}-wal`) === 0;
    if (place.stat === undefined && !canWrite && isDefault) return emptyDatabase(place);
    if (place.stat === undefined && access !== 'create' && !isDefault) throw missing(given);
    if (canWrite && isNew) requireEnding(place.path, 'database');
    if (canWrite && !isNew) requireNoRepository(place.path);
    if (!isNew && !this.#hasOpen(place)) requireDatabase(given, place);
    const opened = this.#begin(given, place, canWrite, isNew);
    // What others change would not be seen: it is opened for one errand.
    if (!opened.isImmutable) this.#open.set(key, opened);
    const [oldest] = this.#open;
    if (oldest && this.#open.size > openPerEngine) {
      this.#open.delete(oldest[0]);
      oldest[1].database.close();
    }
    return opened;
  }

  /** Closes all: before files are read that may be databases, for closing one gives up the locks that this process has on it. */
  closeAll(): void {
    for (const { database } of this.#open.values()) database.close();
    this.#open.clear();
  }

  /** A database that is open already, if it is still the same file and in order. */
  #again(key: string, { stat }: Place): Open | undefined {
    const kept = this.#open.get(key);
    if (!kept) return undefined;
    this.#open.delete(key);
    try {
      if (isSameFile(stat, kept.place.stat)) {
        const open = fresh(kept);
        this.#open.set(key, kept);
        return open;
      }
    } catch (error) {
      kept.database.close();
      // A program fell while it wrote: to open it puts it in order.
      if (isSqliteError(error) && (error.errcode & 0xff) === codes.readonly) return undefined;
      throw error;
    }
    kept.database.close();
    return undefined;
  }

  #hasOpen({ stat }: Place): boolean {
    return this.#open.values().some(({ place }) => isSameFile(place.stat, stat));
  }

  #begin(given: string, place: Place, canWrite: boolean, isNew: boolean): Open {
    try {
      return this.#prepared(given, place, { canWrite, isNew });
    } catch (error) {
      if (canWrite || !isSqliteError(error)) throw error;
      // A program fell while it wrote: who may write puts the database in order first, as SQLite always does.
      const isUnfinished =
        error.errcode === codes.readonlyRollback || error.errcode === codes.readonlyRecovery;
      if (isUnfinished && !this.#territory.isReadOnly && mayWrite(place.path)) {
        this.#prepared(given, place, { canWrite: true, isNew }).database.close();
        return this.#prepared(given, place, { canWrite, isNew });
      }
      if (isUnfinished) {
        throw new ToolError(
          'conflict',
          'A program fell while it wrote to this database, and it has to be put in order first.',
          {
            hint: 'Open it once with a program that may write to it, such as sqlite3.',
          },
        );
      }
      // WAL needs files beside the database: where none can be made and there are none, nobody writes.
      const cannotMake = [codes.cantOpen, codes.readonly].includes(error.errcode & 0xff);
      if (!cannotMake || statSync(`${place.path}-wal`, { throwIfNoEntry: false })) throw error;
      return this.#prepared(given, place, { canWrite, isNew, isImmutable: true });
    }
  }

  #prepared(
    given: string,
    place: Place,
    { canWrite, isNew, isImmutable }: { canWrite: boolean; isNew: boolean; isImmutable?: boolean },
  ): Open {
    const { database, stat, before } = this.#opened(given, place, canWrite, isImmutable);
    try {
      // EXTRA also syncs the folder when a journal is removed: only then does the end of a transaction survive a power cut.
      database.exec('PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA synchronous = EXTRA;');
      // Sorting in memory, which is bounded, keeps a query from filling the disk; changes of much need it.
      database.exec(`PRAGMA temp_store = ${canWrite ? 'FILE' : 'MEMORY'}; PRAGMA schema_version;`);
      if (canWrite) {
        const pageSize = numberOf(database.prepare('PRAGMA page_size'));
        database.exec(`PRAGMA max_page_count = ${Math.floor(this.#territory.maxBytes / Number(pageSize))}`);
        if (isNew) database.exec('PRAGMA journal_mode = WAL');
      }
      const open = guarded(database, { path: place.path, stat }, canWrite, isImmutable);
      // By now it has read, and so opened the files beside it.
      requireSame(open.place, before, given);
      return open;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** The path is text to SQLite: what it opened is known by the descriptor. @throws ToolError `conflict`. */
  #opened(
    given: string,
    place: Place,
    canWrite: boolean,
    isImmutable = false,
    isAgain = false,
  ): { database: DatabaseSync; stat: Stats; before: ReturnType<typeof openFiles> } {
    const url = pathToFileURL(place.path);
    url.searchParams.set('immutable', '1');
    const before = openFiles();
    const database = new DatabaseSync(isImmutable ? url : place.path, {
      ...closed,
      timeout: this.#territory.busyMs,
      readOnly: !canWrite,
    });
    try {
      const [stat, ...more] = requireSame(place, before, given);
      if (stat && more.length === 0) return { database, stat, before };
      if (isAgain) throw replaced(given);
    } catch (error) {
      database.close();
      throw error;
    }
    // SQLite took a descriptor that a closed connection left, for another one had locks: without both it opens its own.
    database.close();
    this.closeAll();
    return this.#opened(given, place, canWrite, isImmutable, true);
  }
}

/** How every database is opened. */
const closed = {
  returnArrays: true,
  readBigInts: true,
  defensive: true,
  allowExtension: false,
  enableDoubleQuotedStringLiterals: false,
  enableForeignKeyConstraints: true,
  limits: {
    length: maxValueBytes,
    sqlLength: maxSqlLength,
    column: maxColumns,
    attach: 0,
    triggerDepth: 100,
  },
};

const emptyDatabase = (place: Place): Open => guarded(new DatabaseSync(':memory:', closed), place, false);

function guarded(database: DatabaseSync, place: Place, canWrite: boolean, isImmutable = false): Open {
  const guard = newGuard();
  const own = {
    schemaVersion: database.prepare('PRAGMA schema_version'),
    totalChanges: database.prepare('SELECT total_changes()'),
    changes: database.prepare('SELECT changes()'),
    lastRowid: database.prepare('SELECT last_insert_rowid()'),
  };
  database.setAuthorizer(authorizerOf(guard));
  const prepared = new Map<string, PreparedOnce>();
  return fresh({ database, guard, place, canWrite, isImmutable, schemaVersion: -1n, prepared, own });
}

/** Knows the virtual tables that there are by now. */
function fresh(open: Open): Open {
  open.guard.permit = 'read';
  const version = numberOf(open.own.schemaVersion);
  if (version !== open.schemaVersion) {
    open.prepared.clear();
    open.guard.shadows = shadowsOf(open.database);
    open.schemaVersion = version;
  }
  return open;
}

/** The only value of the only row. */
export const numberOf = (statement: StatementSync): bigint => (statement.get() as unknown as [bigint])[0];

/** The tables that virtual tables keep their contents in. */
function shadowsOf(database: DatabaseSync): ReadonlySet<string> {
  try {
    const rows = database.prepare("SELECT name FROM pragma_table_list WHERE type = 'shadow'").all();
    return new Set((rows as unknown as [string][]).map(([name]) => name));
  } catch {
    // A schema that cannot be read: what is asked of it will say so.
    return new Set();
  }
}

function requireDatabase(given: string, { path }: Place): void {
  const head = headOf(path);
  if (isDatabaseHead(head)) return;
  const isText = head.every((byte) => byte >= 0x20 || (byte >= 0x09 && byte <= 0x0d));
  throw isText
    ? new ToolError('conflict', `This is no SQLite database: ${given}`, {
        hint: 'It is a text. import_csv reads CSV files; list_databases shows databases.',
      })
    : new ToolError('conflict', `This is no SQLite database, or it is encrypted: ${given}`, {
        hint: 'Decrypt a copy with the program that made it (such as SQLCipher), or name another file. list_databases shows databases.',
      });
}

const sizeOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

function mayWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
