/** Walks over folders beneath a root, in an order that can be taken up again. */
import { join, relative } from 'node:path';
import { setImmediate } from 'node:timers/promises';

import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

import {
  codeOf,
  locate,
  namesIn,
  openFile,
  openFolder,
  type Entry,
  type Folder,
  type Place,
  type Territory,
} from './beneath.ts';
import { isIgnored, parseIgnore, type IgnoreFile } from './gitignore.ts';
import { maxDepth } from './limits.ts';

export interface Found extends Entry {
  /** From where the walk began. */
  readonly names: readonly string[];
  /** What it lies in; open until the walk goes on. */
  readonly folder: Folder;
}

export interface WalkOptions {
  /** Left out, with all that is in it. */
  readonly skip?: (path: string, entry: Entry) => boolean;
  readonly respectGitignore?: boolean;
  /** Goes on behind this one. */
  readonly after?: readonly string[];
  readonly depth?: number;
  /** Told of folders that may not be read. */
  readonly unreadable?: (path: string) => void;
}

/** How many names are gone through between two turns in which others are served. */
const namesPerTurn = 1_000;
const maxIgnoreBytes = 256 * 1024;

/** Each folder before what is in it, names in order. Links are named and not followed. */
export async function* walk(
  territory: Territory,
  { root, path }: Pick<Place, 'root' | 'path'>,
  start: Folder,
  options: WalkOptions,
  { signal }: Pick<Call, 'signal'>,
): AsyncGenerator<Found, void> {
  const { skip, respectGitignore = false, after = [], depth = maxDepth, unreadable } = options;
  const prefix = relative(root, path).split('/').filter(Boolean);
  let passed = 0;

  async function* within(
    folder: Folder,
    above: readonly string[],
    files: readonly IgnoreFile[],
    [resume, ...deeper]: readonly string[],
  ): AsyncGenerator<Found, void> {
    const rules = respectGitignore
      ? [...files, ...(await ignoreFile(territory, folder, prefix.length + above.length))]
      : files;
    for (const entry of await namesIn(folder)) {
      if (resume !== undefined && entry.name < resume) continue;
      passed += 1;
      if (passed % namesPerTurn === 0) await setImmediate();
      signal.throwIfAborted();
      const names = [...above, entry.name];
      const isFolder = entry.type === 'directory';
      if (respectGitignore && (entry.name === '.git' || isIgnored(rules, [...prefix, ...names], isFolder)))
        continue;
      if (skip?.(names.join('/'), entry)) continue;
      if (entry.name !== resume) yield { ...entry, names, folder };
      if (!isFolder || names.length >= depth) continue;
      const below = await enter(folder, entry.name, () => unreadable?.(names.join('/')));
      if (!below) continue;
      try {
        yield* within(below, names, rules, entry.name === resume ? deeper : []);
      } finally {
        await below.close();
      }
    }
  }

  const files = respectGitignore ? await filesAbove(territory, root, prefix) : [];
  yield* within(start, [], files, after);
}

/** `undefined` when the folder is gone, or no folder any more. */
async function enter(folder: Folder, name: string, unreadable: () => void): Promise<Folder | undefined> {
  try {
    const below = await openFolder(folder, name);
    return below;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    if (code !== 'EACCES') throw error;
    unreadable();
    return undefined;
  }
}

/** The rules of the folders above the walk's, from the root on. */
async function filesAbove(
  territory: Territory,
  root: string,
  prefix: readonly string[],
): Promise<IgnoreFile[]> {
  const found: IgnoreFile[] = [];
  for (const depth of prefix.keys()) {
    await using place = await locate(territory, join(root, ...prefix.slice(0, depth), '.gitignore'), {
      follow: false,
    });
    found.push(...(await ignoreFile(territory, place.folder, depth)));
  }
  return found;
}

/** None, where the folder has none that may be read. */
async function ignoreFile(territory: Territory, folder: Folder, depth: number): Promise<IgnoreFile[]> {
  try {
    await using file = await openFile(territory, { folder, name: '.gitignore', path: '.gitignore' });
    const { buffer, bytesRead } = await file.read(Buffer.alloc(maxIgnoreBytes), 0, maxIgnoreBytes, 0);
    return [parseIgnore(buffer.toString('utf8', 0, bytesRead), depth)];
  } catch (error) {
    if (error instanceof ToolError || codeOf(error) === 'EACCES') return [];
    throw error;
  }
}
