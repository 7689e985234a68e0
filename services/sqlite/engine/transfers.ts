/** What goes over whole databases and files, in pieces: none of it grows with them. */
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  opendirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { backup as copyPages } from 'node:sqlite';

import { ToolError } from '#runtime/errors.ts';
import { trashName } from '#runtime/roots.ts';

import { bufferBytes, maxDepth, maxVisited } from '../limits.ts';
import type { Named } from './connections.ts';
import { csvField } from './csv.ts';
import { at, atomic, execute, rowsOf, type Desk } from './desk.ts';
import { ftsSql } from './objects.ts';
import { headOf, isDatabaseHead, missing, placeOf, requireEnding } from './places.ts';
import { only, type Statement } from './statements.ts';
import { bound, quoted, type Given } from './values.ts';

interface Export {
  readonly target: Named;
  /** What is exported: a table, or what a query returns. */
  readonly table: string | undefined;
  readonly query: Statement | undefined;
  readonly path: string;
  readonly delimiter: string;
  readonly hasHeader: boolean;
  readonly overwrites: boolean;
  /** Of the file that is renamed when it is whole. */
  readonly temporary: string;
}

export async function exportCsv(desk: Desk, job: Export) {
  const open = at(desk, job.target, 'read');
  const sql = job.query?.sql ?? `SELECT * FROM main.${quoted(job.table ?? '')}`;
  const statement = only(open, sql, 'read');
  const names = statement.columns().map(({ name }) => name);
  if (names.length === 0) throw new ToolError('invalid_input', 'The query returns no columns.');
  const given = job.query?.params ?? [];
  const values = Array.isArray(given) ? (given as readonly Given[]).map(bound) : [];
  const named = Array.isArray(given)
    ? undefined
    : Object.fromEntries(
        Object.entries(given as Record<string, Given>).map(([name, value]) => [name, bound(value)]),
      );
  const lineOf = (fields: readonly never[]) =>
    `${fields.length === 1 && fields[0] === null ? '""' : fields.map((field) => csvField(field, job.delimiter)).join(job.delimiter)}\r\n`;
  return writeNew(desk, job.path, 'csv', job.temporary, job.overwrites, async (path) => {
    const fd = openSync(
      path,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o644,
    );
    try {
      let text = job.hasHeader ? lineOf(names as never[]) : '';
      let rows = 0;
      let bytes = 0;
      const flush = () => {
        const buffer = Buffer.from(text);
        for (let at = 0; at < buffer.length;) at += writeSync(fd, buffer, at);
        bytes += buffer.length;
        text = '';
      };
      const iterator = named ? statement.iterate(named) : statement.iterate(...values);
      for (const row of iterator as unknown as Iterable<never[]>) {
        text += lineOf(row);
        rows += 1;
        if (text.length < bufferBytes) continue;
        flush();
        desk.progress(rows, undefined, `${rows} rows`);
        await desk.breathe();
      }
      flush();
      fsyncSync(fd);
      return { rows, bytes };
    } finally {
      closeSync(fd);
    }
  });
}

/** Makes a file under a temporary name in an open folder, and names it when it is whole. What fails leaves nothing. */
async function writeNew<Value extends object>(
  desk: Desk,
  given: string,
  kind: 'csv' | 'database',
  temporary: string,
  overwrites: boolean,
  write: (path: string) => Promise<Value>,
): Promise<Value & { path: string }> {
  const place = placeOf(desk.connections.roots, given);
  requireEnding(place.path, kind);
  const exists = () =>
    new ToolError('conflict', `The file is there already: ${given}`, {
      hint:
        kind === 'csv'
          ? 'Choose another name, or say overwrite.'
          : 'Choose another name: a database is never written over.',
    });
  if (place.stat && !overwrites) throw exists();
  if (place.stat && isDatabase(place.path)) {
    throw new ToolError('conflict', `A database is never written over: ${given}`, {
      hint: 'Choose another name.',
    });
  }
  // Looked up once: what takes the place of the folder meanwhile is not written to.
  const folder = openSync(
    dirname(place.path),
    constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW,
  );
  const at = (name: string) => join('/proc/self/fd', String(folder), name);
  try {
    const value = await write(at(temporary));
    desk.ending();
    if (overwrites) renameSync(at(temporary), at(basename(place.path)));
    else linkSync(at(temporary), at(basename(place.path)));
    rmSync(at(temporary), { force: true });
    fsyncSync(folder);
    return { ...value, path: place.path };
  } catch (error) {
    for (const end of ['', '-journal', '-wal', '-shm']) rmSync(at(temporary) + end, { force: true });
    throw (error as NodeJS.ErrnoException).code === 'EEXIST' ? exists() : error;
  } finally {
    closeSync(folder);
  }
}

const pagesPerStep = 1_000;

/** A copy of the database as it is at one moment. */
export async function backup(
  desk: Desk,
  { target, path, temporary }: { target: Named; path: string; temporary: string },
) {
  const open = at(desk, target, 'read');
  if (!open.place.stat) throw missing(target.path);
  return writeNew(desk, path, 'database', temporary, false, async (own) => {
    let isStopped: unknown;
    await copyPages(open.database, own, {
      rate: pagesPerStep,
      progress: ({ totalPages, remainingPages }) => {
        desk.progress(totalPages - remainingPages, totalPages, 'pages copied');
        // The copy goes on in the background: what is thrown here ends it.
        desk.breathe().catch((error: unknown) => (isStopped = error));
        if (isStopped) throw isStopped;
      },
    });
    const fd = openSync(own, constants.O_RDWR | constants.O_NOFOLLOW);
    try {
      fsyncSync(fd);
      return { bytes: fstatSync(fd).size };
    } finally {
      closeSync(fd);
    }
  });
}

/** Writes the database anew, without what was freed. */
export function vacuum(desk: Desk, { target }: { target: Named }) {
  const open = desk.connections.open(target, 'write');
  const before = statSync(open.place.path).size;
  // It attaches a file of its own.
  open.database.limits.attach = 1;
  try {
    execute(open, 'VACUUM');
    execute(open, 'PRAGMA wal_checkpoint(TRUNCATE)');
  } finally {
    open.database.limits.attach = 0;
  }
  return { before_bytes: before, after_bytes: statSync(open.place.path).size };
}

export async function createFts(desk: Desk, job: Parameters<typeof ftsSql>[1]) {
  const { sql, table } = ftsSql(desk, job);
  const open = at(desk, job.target, 'write');
  await atomic(desk, open, () => {
    execute(open, sql);
  });
  const [[rows] = []] = rowsOf(open, `SELECT count(*) FROM main.${quoted(table)}`);
  return { table, rows: Number(rows) };
}

export function openDatabase(desk: Desk, { target, creates }: { target: Named; creates: boolean }) {
  const before = placeOf(desk.connections.roots, target.path).stat;
  const open = desk.connections.open(target, creates ? 'create' : 'read');
  const [[tables] = []] = rowsOf(open, "SELECT count(*) FROM sqlite_schema WHERE type = 'table'");
  const [[mode] = []] = rowsOf(open, 'PRAGMA main.journal_mode');
  return {
    path: open.place.path,
    created: before === undefined,
    tables: Number(tables),
    journal_mode: String(mode),
    size_bytes: statSync(open.place.path).size,
  };
}

/** Databases below the roots, by what stands in them and not by their names. */
export async function databases(desk: Desk, { skip, limit }: { skip: number; limit: number }) {
  // Files are opened to look at them: closing one gives up the locks that this process has on it.
  desk.connections.closeAll();
  const found: { path: string; size_bytes: number; modified: string }[] = [];
  let visited = 0;
  let isCut = false;
  const queue = desk.connections.roots.map((path) => ({ path, depth: 0 }));
  for (let next = queue.shift(); next && found.length <= skip + limit; next = queue.shift()) {
    await desk.breathe();
    for (const { name, kind } of entriesIn(next.path)) {
      visited += 1;
      if (visited > maxVisited) {
        isCut = true;
        break;
      }
      const path = join(next.path, name);
      if (kind === 'folder') {
        if (name === trashName || name === '.git' || name === 'node_modules') continue;
        if (next.depth >= maxDepth) isCut = true;
        else queue.push({ path, depth: next.depth + 1 });
      } else if (isDatabase(path)) {
        const { size, mtime } = statSync(path);
        found.push({ path, size_bytes: size, modified: mtime.toISOString() });
      }
    }
    desk.progress(visited, undefined, `${found.length} databases`);
  }
  return { found: found.slice(skip, skip + limit), hasMore: found.length > skip + limit, isCut };
}

function entriesIn(folder: string): { name: string; kind: 'folder' | 'file' }[] {
  const entries: { name: string; kind: 'folder' | 'file' }[] = [];
  try {
    using listing = opendirSync(folder);
    for (let entry = listing.readSync(); entry && entries.length < maxVisited; entry = listing.readSync()) {
      if (entry.isDirectory()) entries.push({ name: entry.name, kind: 'folder' });
      else if (entry.isFile()) entries.push({ name: entry.name, kind: 'file' });
    }
  } catch {
    // A folder that may not be read, or is gone.
  }
  return entries.toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

function isDatabase(path: string): boolean {
  try {
    return isDatabaseHead(headOf(path));
  } catch {
    return false;
  }
}

/** Puts a database in order after an engine was ended in the middle of a change. */
export function recover(desk: Desk, { target }: { target: Named }) {
  const open = desk.connections.open(target, 'write');
  rowsOf(open, 'SELECT count(*) FROM sqlite_schema');
  // What was undone may have grown the log.
  rowsOf(open, 'PRAGMA wal_checkpoint(TRUNCATE)');
  return { path: open.place.path };
}
