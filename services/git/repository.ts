/**
 * Finds a repository and looks at it before git does: where it lies, where it leads, what its configuration says. Only the
 * named folder is looked at, never one above it, and git is told all places, so it searches for none.
 */
import { lstat, mkdir, readdir, realpath, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';

import { ToolError } from '#runtime/errors.ts';
import { wayTo } from '#runtime/sandbox.ts';

import { requireHarmlessKeys } from './configuration.ts';
import { namesProgram, overridesOf } from './environment.ts';
import type { RunNowhere } from './git.ts';
import {
  maxAlternates,
  maxConfigEntries,
  maxIncludes,
  maxOverrideBytes,
  maxOverrides,
  maxSmallFileBytes,
} from './limits.ts';
import {
  beside,
  decoded,
  insideOf,
  isWithin,
  readSmall,
  refusal,
  requirePlainEntries,
  type Roots,
} from './planted-files.ts';
import type { Sight } from './run-git.ts';

export interface Place {
  readonly roots: Roots;
  /** The top of the working tree; `undefined` for a bare repository. Real paths, like the others. */
  readonly top: string | undefined;
  readonly gitDir: string;
  /** What all working trees of a repository share; elsewhere than `gitDir` for linked ones. */
  readonly commonDir: string;
  /** The repository's own configuration: names in git's spelling, with all values. */
  readonly config: ReadonlyMap<string, readonly string[]>;
  readonly overrides: ReadonlyMap<string, string>;
  /** Files elsewhere that git reads: includes and alternates, by the paths that it takes to them. */
  readonly reads: readonly string[];
  /** Links within its .git. */
  readonly entryLinks: readonly string[];
}

/** What git sees of a repository, and may change in it. */
export function sightOf(
  { top, gitDir, commonDir, reads, entryLinks }: Place,
  mayWrite: boolean,
): Required<Pick<Sight, 'mounts' | 'links'>> {
  const own = [...new Set([top ?? gitDir, gitDir, commonDir])];
  const [read, linked] = [reads.map(wayTo), entryLinks.map(wayTo)];
  return {
    mounts: [
      ...own.map((path) => ({ path, writable: mayWrite })),
      // What a link leads to is written only where it is git's: a planted one could lead to any folder below the roots.
      ...linked.map(({ real }) => ({ path: real, writable: mayWrite && isGits(real) })),
      ...read.map(({ real }) => ({ path: real, writable: false })),
    ],
    links: new Map([...read, ...linked].flatMap(({ links }) => [...links])),
  };
}

const isGits = (path: string) => path.split('/').some((part) => part.endsWith('.git'));

/** @throws ToolError `forbidden` without roots. A relative path begins at the first root. */
export function absolute(roots: Roots, path: string): string {
  const [first] = roots;
  if (first === undefined) {
    throw new ToolError('forbidden', 'No folder is open to this service.', {
      hint: 'The operator names folders in FLOTILLA_ROOTS or FLOTILLA_GIT_ROOTS, with colons between.',
    });
  }
  return resolve(first, path);
}

const outside = (path: string, roots: Roots) =>
  new ToolError(
    'forbidden',
    `Repository path '${path}' is outside the allowed repository '${roots.join("', '")}'`,
    {
      hint: 'Name a folder below one of these.',
    },
  );

/**
 * The real path of what exists below the roots.
 *
 * @throws ToolError `forbidden` outside them, whether or not anything is there; `not_found`.
 */
export async function realPathWithin(roots: Roots, path: string): Promise<string> {
  const named = absolute(roots, path);
  const real = await realpath(named).catch(() => undefined);
  if (real === undefined && isWithin(roots, await realpath(await existingAbove(named)))) {
    throw new ToolError('not_found', `${path} is not there.`, { hint: 'Correct the path.' });
  }
  if (real === undefined || !isWithin(roots, real)) throw outside(path, roots);
  requireOpen(roots, real, path);
  return real;
}

/** What other parts of the fleet keep below a root, deleted files above all, is theirs. @throws ToolError `forbidden`. */
function requireOpen(roots: Roots, real: string, path: string): void {
  const root = roots.find((one) => isWithin([one], real)) ?? '/';
  if (!relative(root, real).split('/').some(isKept)) return;
  throw new ToolError('forbidden', `${path} lies in a folder that the fleet keeps for itself.`, {
    hint: 'Choose another path: names that begin with ".flotilla-" are taken.',
  });
}
const isKept = (part: string) => part.toLowerCase().startsWith('.flotilla-');

/** The nearest folder above that exists: what a path that is still to be made will lie in. */
export async function existingAbove(path: string): Promise<string> {
  const above = dirname(path);
  return (await lstat(above).catch(() => undefined)) ? above : existingAbove(above);
}

/** Where a folder can be made: what leads to it is really below the roots. @throws ToolError `conflict` when it has content. */
export async function newFolderWithin(roots: Roots, path: string): Promise<string> {
  const named = absolute(roots, path);
  const above = await existingAbove(named);
  const folder =
    (await realpath(named).catch(() => undefined)) ??
    join(await realpath(above).catch(() => '/'), relative(above, named));
  if (!isWithin(roots, folder) || folder.split('/').some((part) => part.toLowerCase() === '.git')) {
    throw outside(path, roots);
  }
  requireOpen(roots, folder, path);
  await requireNothingIn(folder, path);
  return folder;
}

async function requireNothingIn(folder: string, path: string): Promise<void> {
  const found = await lstat(folder).catch(() => undefined);
  if (!found || (found.isDirectory() && (await readdir(folder)).length === 0)) return;
  throw new ToolError('conflict', `${path} exists and is no empty folder.`, { hint: 'Choose another path.' });
}

/** Folders that calls are making: what fails takes its own away, and nothing of another. */
const beingMade = new Set<string>();

/**
 * Makes a folder for what git puts there; when that fails, nothing is left of it.
 *
 * @throws ToolError `conflict` while another call makes it, or one above or below, and when something is there.
 */
export async function inNewFolder<Value>(folder: string, work: () => Promise<Value>): Promise<Value> {
  if ([...beingMade].some((other) => isWithin([other], folder) || isWithin([folder], other))) {
    throw new ToolError('conflict', `Another call makes a repository in ${folder}.`, {
      hint: 'Wait for it, or choose another path.',
    });
  }
  beingMade.add(folder);
  try {
    // Another call may have made it since it was looked for.
    await requireNothingIn(folder, folder);
    const made = await mkdir(folder, { recursive: true });
    try {
      return await work();
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      if (made === undefined) await mkdir(folder);
      else await removeEmpty(dirname(folder), dirname(made));
      throw error;
    }
  } finally {
    beingMade.delete(folder);
  }
}

/** From a folder up to below another, while nothing is in them. */
async function removeEmpty(folder: string, above: string): Promise<void> {
  if (folder === above || !isWithin([above], folder)) return;
  const isGone = await rmdir(folder).then(
    () => true,
    () => false,
  );
  if (isGone) await removeEmpty(dirname(folder), above);
}

/** @throws ToolError when there is no repository, or none that may be used. */
export async function findRepository(roots: Roots, path: string, run: RunNowhere): Promise<Place> {
  const top = await realPathWithin(roots, path);
  const { gitDir, isBare } = await gitDirOf(roots, path, top);
  const commonDir = await commonDirOf(roots, gitDir);

  const folders = [...new Set([gitDir, commonDir])];
  const stores = await alternatesOf(roots, join(commonDir, 'objects'));
  const entryLinks = await requirePlainEntries(roots, [...folders, ...stores.keys()]);
  const { config, included } = await readConfig(roots, folders, run);
  const modules = isBare ? [] : await readConfigFile(roots, join(top, '.gitmodules'), run);
  await requireHarmlessKeys(config.keys(), run);

  // Which one counts depends on where it stands, and on conditions of includes.
  const worktrees = config.get('core.worktree') ?? [];
  for (const worktree of worktrees) await insideOf(roots, beside(gitDir, worktree), 'its core.worktree');
  if (isBare && (worktrees.length > 0 || config.get('core.bare')?.at(-1) !== 'true'))
    throw noRepository(path);
  const overrides = overridesOf([...config.keys(), ...modules.map(([key]) => key)]);
  if (overrides.size > maxOverrides) {
    throw new ToolError('too_large', `Its configuration names more than ${maxOverrides} programs.`);
  }
  if (Buffer.byteLength([...overrides.keys()].join('')) > maxOverrideBytes) {
    throw new ToolError(
      'too_large',
      `Its configuration names programs in more than ${maxOverrideBytes} bytes.`,
    );
  }
  // Its own objects come first; they are no place elsewhere.
  const reads = [...[...stores.values()].slice(1), ...included];
  return { roots, top: isBare ? undefined : top, gitDir, commonDir, config, overrides, reads, entryLinks };
}

async function commonDirOf(roots: Roots, gitDir: string): Promise<string> {
  const shared = await readSmall(roots, join(gitDir, 'commondir'), 'its commondir');
  if (shared === undefined) return gitDir;
  return insideOf(roots, beside(gitDir, lineOf(shared, 'its commondir')), 'its commondir');
}

/** Where a submodule has its repository: what git reads of it from outside. @throws ToolError `forbidden`. */
export async function submoduleDirs(roots: Roots, folder: string): Promise<string[]> {
  const { gitDir } = await gitDirOf(roots, folder, folder);
  return [gitDir, await commonDirOf(roots, gitDir)];
}

/** For repositories in which another git works than the one that takes our overrides. @throws ToolError `forbidden`. */
export function requireNoPrograms({ config }: Place, what: string): void {
  const program = [...config.keys()].find(namesProgram);
  if (program === undefined) return;
  throw new ToolError('forbidden', `${what} sets ${program}, which may start a program.`, {
    hint: 'Its owner removes that setting.',
  });
}

/** Git takes line ends away at the end, and no spaces. */
const lineOf = (bytes: Buffer, what: string) => decoded(bytes, what).replace(/[\r\n]+$/, '');

const noRepository = (path: string) =>
  new ToolError('not_found', `${path} is no Git repository.`, {
    hint: 'Name the top folder of a working tree, or a bare repository; git_init makes one.',
  });

async function gitDirOf(roots: Roots, path: string, top: string) {
  const dotGit = join(top, '.git');
  const found = await lstat(dotGit).catch(() => undefined);
  if (found === undefined) {
    const parts = ['HEAD', 'objects', 'refs'].map(async (name) =>
      stat(join(top, name)).catch(() => undefined),
    );
    if ((await Promise.all(parts)).includes(undefined)) throw noRepository(path);
    return { gitDir: top, isBare: true };
  }
  if (!found.isFile()) return { gitDir: await insideOf(roots, dotGit, 'its .git'), isBare: false };
  // A linked working tree or a submodule.
  const text = lineOf((await readSmall(roots, dotGit, 'its .git file')) ?? Buffer.of(), 'its .git file');
  const target = /^gitdir: (.+)$/s.exec(text)?.[1];
  if (target === undefined) throw noRepository(path);
  return { gitDir: await insideOf(roots, beside(top, target), 'its .git file'), isBare: false };
}

/** The stores of objects that git reads, by their real paths, with the paths that it takes to the others. */
async function alternatesOf(roots: Roots, objects: string): Promise<Map<string, string>> {
  const seen = new Map([[await insideOf(roots, objects, 'its objects folder'), objects]]);
  for (const [store] of seen) {
    const bytes = await readSmall(roots, join(store, 'info', 'alternates'), 'its list of alternates');
    for (const line of bytes === undefined ? [] : decoded(bytes, 'its list of alternates').split('\n')) {
      if (line === '' || line.startsWith('#')) continue;
      // Git takes a line in quotes for an escaped path: no path of ours needs one.
      if (line.startsWith('"')) throw refusal('an alternate', 'is quoted');
      const path = beside(store, line);
      const real = await insideOf(roots, path, 'an alternate');
      if (!seen.has(real)) seen.set(real, path);
      if (seen.size > maxAlternates) throw refusal('its list of alternates', 'is too long');
    }
  }
  return seen;
}

type Entry = readonly [key: string, value: string];

/** Includes are followed whatever their condition: it can change while git works. */
async function readConfig(
  roots: Roots,
  folders: readonly string[],
  run: RunNowhere,
): Promise<{ config: Map<string, string[]>; included: string[] }> {
  const waiting = folders.flatMap((folder) => [join(folder, 'config'), join(folder, 'config.worktree')]);
  const config = new Map<string, string[]>();
  const seen = new Set(waiting);
  const included: string[] = [];
  let left = maxConfigEntries;
  for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
    const entries = await readConfigFile(roots, file, run);
    left -= entries.length;
    if (left < 0) {
      throw new ToolError('too_large', `Its configuration has more than ${maxConfigEntries} entries.`);
    }
    for (const [key, value] of entries) {
      const values = config.get(key);
      if (values) values.push(value);
      else config.set(key, [value]);
      if (!/^include(if\..*)?\.path$/s.test(key)) continue;
      // Git expands these by places that are none of ours.
      if (/^[~%]/.test(value))
        throw refusal('a file that its configuration includes', 'leads outside the roots');
      const more = beside(dirname(file), value);
      if (seen.has(more)) continue;
      await insideOf(roots, more, 'a file that its configuration includes');
      if (seen.size > maxIncludes) throw refusal('its configuration', 'includes too many files');
      seen.add(more);
      waiting.push(more);
      included.push(more);
    }
  }
  return { config, included };
}

/** By content: most repositories are asked again and again, and each answer costs a process. */
const parsed = new Map<string, Entry[]>();
const maxParsed = 100;
const maxParsedLength = 10_000;

/** Read by git itself, which runs nothing for it, so that both read the same. */
async function readConfigFile(roots: Roots, file: string, run: RunNowhere): Promise<Entry[]> {
  const bytes = await readSmall(roots, file, 'its configuration');
  if (bytes === undefined) return [];
  const text = decoded(bytes, 'its configuration');
  const known = parsed.get(text);
  if (known) return known;
  const { output, isCut } = await run(['config', '--file', '-', '--no-includes', '--null', '--list'], {
    input: text,
    takeBytes: 2 * maxSmallFileBytes,
  });
  if (isCut) throw new ToolError('too_large', 'The configuration says too much.');
  const entries = decoded(output, 'its configuration')
    .split('\0')
    .slice(0, -1)
    .map((entry): Entry => {
      const end = entry.indexOf('\n');
      return end < 0 ? [entry, 'true'] : [entry.slice(0, end), entry.slice(end + 1)];
    });
  if (text.length <= maxParsedLength) {
    if (parsed.size >= maxParsed) parsed.clear();
    parsed.set(text, entries);
  }
  return entries;
}
