/**
 * Where a path leads. What is opened has to lie under the roots after all links are followed, and is looked at again once
 * it is open. Runs in an engine: a slow disk holds up nobody else.
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  realpathSync,
  statSync,
  type Stats,
} from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';

import { ToolError } from '#runtime/errors.ts';
import { contains, isNamed, trashName } from '#runtime/roots.ts';

/** Files that we make have one of these names: nothing else under the roots can be made or written over. */
const endings = {
  database: ['.db', '.db3', '.sqlite', '.sqlite3', '.s3db', '.sl3'],
  csv: ['.csv', '.tsv', '.txt'],
};

export interface Place {
  /** Without links. */
  readonly path: string;
  readonly stat: Stats | undefined;
}

/** SQLite's own files beside a database. */
export const ownEndings = ['-wal', '-shm', '-journal'] as const;

/** @throws ToolError `forbidden`, `not_found` where its folder is missing. */
export function placeOf(roots: readonly string[], given: string): Place {
  const folder = real(dirname(given), given, missingFolder);
  let path = join(folder, basename(given));
  let stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isSymbolicLink()) {
    path = real(path, given);
    stat = lstatSync(path);
  }
  if (!roots.some((root) => contains(root, path) && root !== path)) {
    throw new ToolError('forbidden', `Access denied - outside allowed directories: ${given}`, {
      hint: `It leads there through a link. The allowed directories are ${roots.join(', ')}.`,
    });
  }
  const names = path.split('/');
  if (names.some((name) => isNamed(name, trashName)) || ownEndings.some((end) => path.endsWith(end))) {
    throw new ToolError('forbidden', `Access denied - neither the trash nor SQLite's own files: ${given}`, {
      hint: 'Name the database itself.',
    });
  }
  if (stat && !stat.isFile()) {
    throw stat.isDirectory()
      ? new ToolError('invalid_input', `This is a directory: ${given}`, { hint: 'Name a file in it.' })
      : new ToolError('forbidden', `Access denied - not a regular file: ${given}`);
  }
  if (stat && stat.nlink > 1) {
    throw new ToolError(
      'forbidden',
      `Access denied - the file has ${stat.nlink} names (hard links): ${given}`,
      {
        hint: 'SQLite damages a database that is used by two names, and another may lie outside. Copy the file, and name the copy.',
      },
    );
  }
  return { path, stat };
}

function real(path: string, given: string, absent = missing): string {
  try {
    return realpathSync.native(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') throw absent(given);
    if (code === 'EACCES' || code === 'ELOOP' || code === 'ENAMETOOLONG') {
      throw new ToolError('forbidden', `Access denied - ${code}: ${given}`, {
        hint: 'The operator changes the mode of the folder, or you name another.',
      });
    }
    throw error;
  }
}

export const missing = (given: string) =>
  new ToolError('not_found', `There is no such file: ${given}`, {
    hint: 'list_databases shows what is there. open_database with create makes a database.',
  });

const missingFolder = (given: string) =>
  new ToolError('not_found', `There is no such folder: ${dirname(given)}`, {
    hint: 'No folder is made here: name one that is there, or make it first. list_databases shows where databases are.',
  });

/** Nothing in a repository is changed: its files may start programs. @throws ToolError `forbidden`. */
export function requireNoRepository(path: string): void {
  if (!path.split('/').some((name) => isNamed(name, '.git'))) return;
  throw new ToolError('forbidden', `Access denied - it belongs to a Git repository: ${path}`, {
    hint: 'Choose another folder.',
  });
}

/** @throws ToolError where a client may not make or write over a file of this name. */
export function requireEnding(path: string, kind: keyof typeof endings): void {
  requireNoRepository(path);
  if (endings[kind].includes(extname(path).toLowerCase())) return;
  throw new ToolError(
    'invalid_input',
    `A ${kind === 'csv' ? 'CSV file' : 'database'} of this name is not made: ${path}`,
    {
      hint: `Its name has to end with ${endings[kind].join(', ')}, so that no other kind of file is written over.`,
    },
  );
}

/** The first bytes of a regular file that no database of this process has open: closing it would give up its locks. */
export function headOf(path: string): Buffer {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const bytes = Buffer.alloc(100);
    return fstatSync(fd).isFile() ? bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0)) : bytes;
  } finally {
    closeSync(fd);
  }
}

export const isDatabaseHead = (head: Buffer) =>
  head.subarray(0, 16).toString('latin1') === 'SQLite format 3\0';

const journalMagic = Buffer.from('d9d505f920a163d7', 'hex');

/**
 * SQLite follows the other names of its own files, waits for what is none, and of a journal of a transaction over several databases it
 * looks for the file that it names, and may delete it. No statement here makes one; one that came with a database may name any file.
 *
 * @throws ToolError `forbidden`, `conflict`.
 */
export function requireOwnFiles({ path }: Place): void {
  for (const end of ownEndings) {
    const stat = lstatSync(path + end, { throwIfNoEntry: false });
    if (!stat || (stat.isFile() && stat.nlink === 1)) continue;
    // Whoever removes it at this moment leaves it without a name.
    if (stat.isFile() && stat.nlink === 0) continue;
    const what = stat.isFile() ? `has ${stat.nlink} names (hard links)` : `is ${kindOf(stat)}`;
    throw new ToolError(
      'forbidden',
      `Access denied - a file of SQLite beside the database ${what}: ${path}${end}`,
      {
        hint: 'SQLite makes none like it. What it leads to may be no part of this database: find out who made it, and take it away.',
      },
    );
  }
  if (!endOf(`${path}-journal`)?.equals(journalMagic)) return;
  throw new ToolError('conflict', `A transaction over several databases was left unfinished: ${path}`, {
    hint: 'Open it once with the program that made it, such as sqlite3, if you trust where it comes from.',
  });
}

const kindOf = (stat: Stats) =>
  stat.isSymbolicLink() ? 'a link' : stat.isDirectory() ? 'a folder' : 'a pipe, socket or device';

/** Nothing where there is no such file, or none any more: whoever writes removes it. */
function endOf(path: string): Buffer | undefined {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (!stat?.isFile() || stat.size < journalMagic.length) return undefined;
  try {
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const end = Buffer.alloc(journalMagic.length);
      readSync(fd, end, 0, end.length, stat.size - end.length);
      return end;
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The files that this process has open, by descriptor: where the kernel says that they are, and which they are. */
export function openFiles(): ReadonlyMap<string, { readonly path: string; readonly stat: Stats }> {
  const open = new Map<string, { path: string; stat: Stats }>();
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      const link = join('/proc/self/fd', fd);
      const stat = statSync(link);
      if (stat.isFile()) open.set(fd, { path: readlinkSync(link), stat });
    } catch {
      // The descriptor with which the folder was read.
    }
  }
  return open;
}

/**
 * What SQLite opened since then lies in this very folder, by one name, and is this database and its own files.
 *
 * @returns what the new descriptors of the database itself lead to. @throws ToolError `conflict`.
 */
export function requireSame(
  { path, stat }: Place,
  before: ReturnType<typeof openFiles>,
  given: string,
): readonly Stats[] {
  const found: Stats[] = [];
  const name = basename(path);
  for (const [fd, file] of openFiles()) {
    const known = before.get(fd);
    if (known?.path === file.path && isSameFile(known.stat, file.stat)) continue;
    // A log may be removed as soon as it is open, by whoever closes the database last.
    const at = file.path.replace(/ \(deleted\)$/, '');
    const end = ['', ...ownEndings].find((one) => basename(at) === name + one);
    if (end === undefined) continue;
    const isAnother = end === '' && !isSameFile(file.stat, stat ?? file.stat);
    if (at !== path + end || file.stat.nlink > 1 || isAnother) throw replaced(given);
    if (end === '') found.push(file.stat);
  }
  return found;
}

export const isSameFile = (
  one: Pick<Stats, 'dev' | 'ino'> | undefined,
  other: Pick<Stats, 'dev' | 'ino'> | undefined,
) => one?.ino === other?.ino && one?.dev === other?.dev;

export const replaced = (given: string) =>
  new ToolError('conflict', `The file was replaced while it was opened: ${given}`, { hint: 'Look again.' });
