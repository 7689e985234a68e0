/**
 * Opens what lies beneath the roots, and nothing else, also while somebody swaps folders for links: a path is walked
 * name by name, each opened without following links, from the descriptor of the folder before. Node has no `openat`;
 * `/proc/self/fd/N/name` is the same. Links are followed by hand, if they lead to a place beneath a root.
 */
import { constants, opendirSync, readlinkSync, type Dirent, type Stats } from 'node:fs';
import { opendir, readlink } from 'node:fs/promises';
import { resolve } from 'node:path';

import { randomHex } from '#runtime/account/trace.ts';
import { ToolError } from '#runtime/errors.ts';
import { isAscii, isNamed, trashName } from '#runtime/roots.ts';

import { asAnything, asFolder, openHandle, statOf, type Handle, type Now } from './handle.ts';
import { maxLinks, maxNamesPerFolder } from './limits.ts';
import { onceForAll } from './once.ts';
import { sorted } from './work.ts';

/** Reached by its own tools alone. */
const isTrash = (name: string) => isNamed(name, trashName);

/** What a change has not finished yet, or never did, lies under such a name beside what it is for. */
export const temporaryName = () => `.flotilla-${randomHex(8)}.tmp`;
const isTemporary = (name: string) => /^\.flotilla-[0-9a-f]{16}\.tmp$/.test(name);

/** A folder that is held open: what happens to its path meanwhile does not matter. */
export type Folder = Handle;

/** A name in a folder that is held open. Nothing need be there yet. */
export interface Spot {
  readonly folder: Folder;
  /** `.` for a root itself. */
  readonly name: string;
  /** Where that is, without links: for messages. */
  readonly path: string;
}

/** Where a path leads. */
export interface Place extends Spot, AsyncDisposable {
  readonly root: string;
}

export interface Territory {
  readonly roots: readonly string[];
  /** Other names of roots, which lead there through links. */
  readonly linked: ReadonlyMap<string, string>;
  /** Whether files with several names may be used: another of the names may be outside. */
  readonly allowsHardLinks: boolean;
  /** Whether what belongs to Git repositories may be changed. @see repository.ts */
  readonly allowsGit: boolean;
}

/** The path of a name in an open folder, for any call of Node: the name is not resolved again from above. */
export const at = (folder: Pick<Folder, 'fd'>, name: string) => `/proc/self/fd/${folder.fd}/${name}`;
/** Where a name in a folder is, for messages and to look it up again. */
export const pathIn = ({ path }: Pick<Folder, 'path'>, name: string): string => {
  if (name === '.') return path;
  return path === '/' ? `/${name}` : `${path}/${name}`;
};
/** The path of what is held: for calls that a descriptor which reads nothing does not take. */
export const again = (handle: Pick<Handle, 'fd'>) => `/proc/self/fd/${handle.fd}`;

export const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code;
export const isDenied = (error: unknown) => codeOf(error) === 'EACCES' || codeOf(error) === 'EPERM';

export interface Way {
  /** Whether the last name is followed if it is a link; otherwise the place is that of the link itself. True unless given. */
  readonly follow?: boolean;
  /** Looks at each folder on the way, from the root to the one that holds the last name, and may throw. */
  readonly look?: (folder: Folder) => Promise<void>;
}

/**
 * Finds where a path leads.
 *
 * @throws ToolError `forbidden` for a place outside the roots, `not_found` when a folder on the way is missing.
 */
export const locate = async (
  territory: Territory,
  given: string,
  { follow = true, look }: Way = {},
): Promise<Place> =>
  goTo(territory, given, look, async (folder, name, root) => {
    const target = follow ? await linkTarget(folder, name) : undefined;
    if (target === undefined) {
      return {
        root,
        path: pathIn(folder, name),
        folder,
        name,
        [Symbol.asyncDispose]: async () => folder.close(),
      };
    }
    await folder.close();
    return resolve(folder.path, target);
  });

/** Opens the regular file to which a path leads. @throws ToolError as `locate` and `openFile` do. */
export const openFileAt = async (territory: Territory, given: string): Promise<Handle> =>
  goTo(territory, given, undefined, async (folder, name) => {
    const path = pathIn(folder, name);
    await using held = await hold({ folder, name, path });
    const stat = await held.stat();
    const target = stat.isSymbolicLink() ? await linkTarget(folder, name) : undefined;
    const found = target === undefined ? await openHeld(territory, held, stat) : resolve(folder.path, target);
    await folder.close();
    return found;
  });

/** Goes on from link to link. What `arrive` returns is the end, or the path that a link there leads to; it closes the folder. */
async function goTo<Found extends object>(
  territory: Territory,
  given: string,
  look: Way['look'],
  arrive: (folder: Folder, name: string, root: string) => Promise<Found | string>,
): Promise<Found> {
  let path = absolute(territory, given);
  for (let links = 0; links <= maxLinks; links += 1) {
    const root = rootOf(territory, path, links > 0);
    const names = namesBelow(root, path);
    const last = names.pop() || '.';
    const folder = await walkDown(root, names, last, look);
    if (typeof folder === 'string') {
      path = folder;
      continue;
    }
    try {
      const found = await arrive(folder, isAscii(last) ? last : await spelling(folder, last), root);
      if (typeof found !== 'string') return found;
      path = found;
    } catch (error) {
      await folder.close();
      throw error;
    }
  }
  throw new ToolError('forbidden', `Too many symbolic links: ${given}`, {
    hint: 'They may form a loop: use the path of the file itself.',
  });
}

export function absolute({ roots, linked }: Territory, given: string): string {
  const [first] = roots;
  if (first === undefined) {
    throw new ToolError('forbidden', 'There are no allowed directories.', {
      hint: 'The operator names folders in FLOTILLA_ROOTS or FLOTILLA_FILESYSTEM_ROOTS and restarts the service.',
    });
  }
  if (/^[A-Za-z]:([\\/]|$)/.test(given)) {
    throw new ToolError(
      'forbidden',
      `Access denied - Windows-style path received on a POSIX host: ${given}`,
      rootsHint,
    );
  }
  if (/^(~|file:)/.test(given)) {
    throw new ToolError(
      'forbidden',
      `Access denied - paths are taken as they are, without ~ and file://: ${given}`,
      rootsHint,
    );
  }
  const path = resolve(first, given);
  if (rootAbove(roots, path) !== undefined) return path;
  const alias = [...linked.keys()].find((name) => isBeneath(name, path));
  if (alias !== undefined) return (linked.get(alias) ?? '') + path.slice(alias.length);
  // Letters with marks have two spellings in Unicode that look the same.
  const known = new Map([...linked, ...roots.map((root) => [root, root] as const)]);
  const alike = [...known].filter(([name]) => isBeneath(name.normalize('NFC'), path.normalize('NFC')));
  const [[name, root] = ['', ''], ...others] = alike;
  if (root === '' || others.length > 0) return path;
  return resolve(root, ...path.split('/').slice(name.split('/').length));
}

/** Paths without links and dots are compared as they are. */
const isBeneath = (folder: string, path: string) =>
  path.startsWith(folder) && (path.length === folder.length || path[folder.length] === '/' || folder === '/');

const rootAbove = (roots: readonly string[], path: string) => roots.find((root) => isBeneath(root, path));

/** The names from a root down to a path beneath it. */
export const namesBelow = (root: string, path: string) =>
  path.slice(root === '/' ? 1 : root.length + 1).split('/');

const rootsHint = {
  hint: 'list_allowed_directories names the folders; a relative path begins in the first of them.',
};

export function rootOf({ roots }: Territory, path: string, isTarget: boolean): string {
  const root = rootAbove(roots, path);
  if (root === undefined) {
    const what = isTarget ? 'symlink target' : 'path';
    throw new ToolError(
      'forbidden',
      `Access denied - ${what} outside allowed directories: ${path} not in ${roots.join(', ')}`,
      rootsHint,
    );
  }
  const names = namesBelow(root, path);
  if (names.some(isTrash)) {
    throw new ToolError('forbidden', `Access denied - the trash has its own tools: ${path}`, {
      hint: 'list_trash shows what is in it. restore_file brings it back.',
    });
  }
  if (names.slice(0, -1).some(isTemporary)) {
    throw new ToolError('forbidden', `Access denied - a copy is being made there: ${path}`, {
      hint: 'Where nobody copies any more, it is a leftover: delete_file takes it as a whole.',
    });
  }
  return root;
}

/** Opens each folder from the one before, down to the one that holds `last`; or returns the path that a link leads to. */
async function walkDown(
  root: string,
  names: readonly string[],
  last: string,
  look: Way['look'],
): Promise<Folder | string> {
  let folder = await openRoot(root);
  try {
    if (look) await look(folder);
    for (const [index, given] of names.entries()) {
      const name = isAscii(given) ? given : await spelling(folder, given);
      const next = await nextFolder(folder, name);
      if (typeof next === 'string') {
        const target = resolve(folder.path, next, ...names.slice(index + 1), last);
        await folder.close();
        return target;
      }
      await folder.close();
      folder = next;
      if (look) await look(folder);
    }
    return folder;
  } catch (error) {
    await folder.close();
    throw error;
  }
}

async function nextFolder(folder: Folder, name: string): Promise<Folder | string> {
  try {
    return await openFolder(folder, name);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') throw new MissingFolder(pathIn(folder, name));
    if (codeOf(error) !== 'ENOTDIR') throw error;
    const target = await linkTarget(folder, name);
    if (target === undefined) throw noFolder(pathIn(folder, name));
    return target;
  }
}

class MissingFolder extends ToolError {
  readonly path: string;

  constructor(path: string) {
    super('not_found', `Parent directory does not exist: ${path}`, {
      hint: 'create_directory makes it, with the folders above it.',
    });
    this.path = path;
  }
}

/** The path that a change at a given one begins with: without links, and the first folder that is missing on the way. */
export async function leadsTo(territory: Territory, given: string, way: Way = {}): Promise<string> {
  try {
    await using place = await locate(territory, given, way);
    return place.path;
  } catch (error) {
    if (error instanceof MissingFolder) return error.path;
    throw error;
  }
}

const noFolder = (path: string) =>
  new ToolError('invalid_input', `Not a directory: ${path}`, {
    hint: 'get_file_info says what it is.',
  });

export async function openRoot(root: string): Promise<Folder> {
  try {
    return await openHandle(root, asFolder, root);
  } catch (cause) {
    throw new ToolError('unavailable', `The allowed directory ${root} cannot be opened.`, {
      hint: 'The operator restores the folder, or names another in the settings.',
      cause,
    });
  }
}

export const openFolder = async (folder: Folder, name: string): Promise<Folder> =>
  openHandle(at(folder, name), asFolder, pathIn(folder, name), folder);

/** `undefined` when there is no link of this name. */
async function linkTarget(folder: Folder, name: string): Promise<string | undefined> {
  const path = at(folder, name);
  const stat = await statOf(folder, path);
  if (!stat?.isSymbolicLink()) return undefined;
  try {
    return folder.isLocal ? readlinkSync(path) : await readlink(path);
  } catch (error) {
    // It is another by now.
    if (codeOf(error) === 'EINVAL' || codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Letters with marks have two spellings in Unicode that look the same: the one that is there is taken. */
async function spelling(folder: Folder, name: string): Promise<string> {
  if (isAscii(name) || (await statOf(folder, at(folder, name)))) return name;
  const wanted = name.normalize('NFC');
  const alike = (await namesIn(folder)).filter((other) => other.name.normalize('NFC') === wanted);
  if (alike.length > 1) {
    throw new ToolError('conflict', `Ambiguous Unicode path component: ${name}`, {
      hint: 'Use the exact spelling that list_directory shows.',
    });
  }
  return alike[0]?.name ?? name;
}

export interface Entry {
  readonly name: string;
  readonly type: 'directory' | 'file' | 'link' | 'other';
}

/** What is in a folder, by name, but for the trash and what is not finished. @throws ToolError `too_large`. */
export async function namesIn(folder: Folder): Promise<Entry[]> {
  const entries: Entry[] = [];
  await using listing = await listingOf(folder);
  for (;;) {
    // Most folders are small: what there is more is read while others are served.
    const isAtOnce = folder.isLocal && entries.length < namesAtOnce;
    const entry = isAtOnce ? listing.readSync() : await listing.read();
    if (!entry) break;
    if (isTrash(entry.name) || isTemporary(entry.name)) continue;
    entries.push({ name: entry.name, type: typeOf(entry) });
    if (entries.length > maxNamesPerFolder) {
      throw new ToolError('too_large', `A folder has more than ${maxNamesPerFolder} entries.`, {
        hint: 'Name the files or folders in it one by one.',
      });
    }
  }
  return sorted(entries, (one, other) => (one.name < other.name ? -1 : 1));
}

const namesAtOnce = 1_000;

const listingOf = async (folder: Folder) =>
  folder.isLocal
    ? opendirSync(again(folder), { bufferSize: namesAtOnce })
    : opendir(again(folder), { bufferSize: namesAtOnce });

function typeOf(entry: Dirent): Entry['type'] {
  if (entry.isDirectory()) return 'directory';
  if (entry.isFile()) return 'file';
  return entry.isSymbolicLink() ? 'link' : 'other';
}

/** Opens the folder at a place. */
export async function openFolderAt({ folder, name, path }: Spot): Promise<Folder> {
  try {
    return await openFolder(folder, name);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') throw missing(path);
    if (codeOf(error) === 'ENOTDIR') throw noFolder(path);
    throw error;
  }
}

export const missing = (path: string) =>
  new ToolError('not_found', `ENOENT: no such file or directory: ${path}`, {
    hint: 'list_directory and search_files show what is there.',
  });

/** Holds what is at a place without opening it, whatever it is. */
export async function hold({ folder, name, path }: Spot): Promise<Handle> {
  try {
    return await openHandle(at(folder, name), asAnything, path, folder);
  } catch (error) {
    throw codeOf(error) === 'ENOENT' ? missing(path) : error;
  }
}

/**
 * Opens a regular file to read. It is looked at first through a descriptor that reads nothing, and what was looked at is
 * opened: a pipe does not make anybody wait, a device does nothing.
 *
 * @throws ToolError `forbidden` for anything but a regular file with one name, `not_found`.
 */
export async function openFile(territory: Territory, place: Spot): Promise<Handle> {
  await using held = await hold(place);
  return await openHeld(territory, held, await held.stat());
}

/** Opens what is held, if it is a regular file; `stat` is what it looks like. @throws ToolError as `openFile` does. */
export function openHeld(territory: Territory, held: Handle, stat: Stats): Now<Handle> {
  requireRegular(territory, stat, held.path);
  return openHandle(again(held), constants.O_RDONLY | constants.O_NONBLOCK, held.path, held);
}

function requireRegular({ allowsHardLinks }: Territory, stat: Stats, path: string): void {
  if (stat.isDirectory()) {
    throw new ToolError('invalid_input', `EISDIR: this is a directory: ${path}`, {
      hint: 'list_directory shows what is in it.',
    });
  }
  if (!stat.isFile()) {
    throw new ToolError('forbidden', `Access denied - not a regular file: ${path}`, {
      hint: 'Pipes, sockets, devices and links that change meanwhile are not opened.',
    });
  }
  if (stat.nlink > 1 && !allowsHardLinks) {
    throw new ToolError(
      'forbidden',
      `Access denied - the file has ${stat.nlink} names (hard links): ${path}`,
      {
        hint: 'Another of them may lie outside the allowed directories. The operator allows this with FLOTILLA_FILESYSTEM_HARD_LINKS=allow.',
      },
    );
  }
}

/** Makes names in a folder durable. The disk is waited for once, where many wait. */
export async function syncFolder(folder: Folder): Promise<void> {
  const { dev, ino } = await folder.stat();
  return onceForAll(`${dev}:${ino}`, async () => {
    await using readable = await openHandle(
      again(folder),
      constants.O_RDONLY | constants.O_DIRECTORY,
      folder.path,
      folder,
    );
    await readable.sync();
  });
}
