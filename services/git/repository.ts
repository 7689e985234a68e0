/**
 * Finds a repository and looks at it before git does: where it lies, where it leads, what its configuration says. Only the
 * named folder is looked at, never one above it, and git is told all places, so it searches for none.
 */
import { lstat, readdir, readFile, realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';

import { ToolError } from '#runtime/errors.ts';
import { contains } from '#runtime/roots.ts';

import { gitEnvironment, overridesOf } from './environment.ts';
import { failure } from './failures.ts';
import { maxAlternates, maxConfigBytes, maxGitEntries, maxIncludes, maxOverrides } from './limits.ts';
import { runGit } from './run-git.ts';

export interface Place {
  /** The top of the working tree; `undefined` for a bare repository. Real paths, like the others. */
  readonly top: string | undefined;
  readonly gitDir: string;
  /** What all working trees of a repository share; elsewhere than `gitDir` for linked ones. */
  readonly commonDir: string;
  /** The repository's own configuration: names in git's spelling, with all values. */
  readonly config: ReadonlyMap<string, readonly string[]>;
  readonly overrides: ReadonlyMap<string, string>;
}

type Roots = readonly string[];

export const isWithin = (roots: Roots, path: string): boolean => roots.some((root) => contains(root, path));

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
  return real;
}

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
  const found = await lstat(folder).catch(() => undefined);
  if (found && (!found.isDirectory() || (await readdir(folder)).length > 0)) {
    throw new ToolError('conflict', `${path} exists and is no empty folder.`, {
      hint: 'Choose another path.',
    });
  }
  return folder;
}

const strays = (what: string, why: string) =>
  new ToolError('forbidden', `The repository is refused: ${what} ${why}.`, {
    hint: 'It would lead git outside the roots. Its owner corrects it, or names another root.',
  });

async function insideOf(roots: Roots, path: string, what: string): Promise<string> {
  const real = await realpath(path).catch(() => undefined);
  if (real === undefined) throw strays(what, 'leads nowhere');
  if (!isWithin(roots, real)) throw strays(what, 'leads outside the roots');
  return real;
}

const textOf = async (path: string) =>
  readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new ToolError('forbidden', `The repository is refused: ${path} cannot be read.`, { cause: error });
  });

/** @throws ToolError when there is no repository, or none that may be used. */
export async function findRepository(roots: Roots, path: string, signal: AbortSignal): Promise<Place> {
  const top = await realPathWithin(roots, path);
  const { gitDir, isBare } = await gitDirOf(roots, path, top);
  const shared = (await textOf(join(gitDir, 'commondir')))?.trim();
  const commonDir =
    shared === undefined ? gitDir : await insideOf(roots, resolve(gitDir, shared), 'its commondir');

  const folders = [...new Set([gitDir, commonDir])];
  await Promise.all(folders.map(async (folder) => requireNoStrayLinks(roots, folder)));
  await requireAlternatesWithin(roots, join(commonDir, 'objects'));
  const config = await readConfig(roots, folders, signal);
  const modules = isBare ? [] : await readConfigFile(join(top, '.gitmodules'), signal);

  const worktree = config.get('core.worktree')?.at(-1);
  if (worktree !== undefined) await insideOf(roots, resolve(gitDir, worktree), 'its core.worktree');
  if (isBare && (worktree !== undefined || config.get('core.bare')?.at(-1) !== 'true'))
    throw noRepository(path);
  const overrides = overridesOf([...config.keys(), ...modules.map(([key]) => key)]);
  if (overrides.size > maxOverrides) {
    throw new ToolError('too_large', `Its configuration names more than ${maxOverrides} programs.`);
  }
  return { top: isBare ? undefined : top, gitDir, commonDir, config, overrides };
}

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
  if (found.size > 10_000) throw noRepository(path);
  const target = /^gitdir: (.+?)\r?\n*$/s.exec((await textOf(dotGit)) ?? '')?.[1];
  if (target === undefined) throw noRepository(path);
  return { gitDir: await insideOf(roots, resolve(top, target), 'its .git file'), isBare: false };
}

/** Git writes through links: a planted `logs/HEAD` could be any file of the user. */
async function requireNoStrayLinks(roots: Roots, gitDir: string): Promise<void> {
  const waiting = [gitDir];
  let left = maxGitEntries;
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    left -= entries.length;
    if (left < 0) {
      throw new ToolError('too_large', `Its .git folder has more than ${maxGitEntries} entries.`, {
        hint: 'Its owner runs git pack-refs --all.',
      });
    }
    for (const entry of entries) {
      const path = join(folder, entry.name);
      if (entry.isSymbolicLink()) await insideOf(roots, path, `the link ${entry.name} in its .git`);
      else if (entry.isDirectory() && !isContentOnly(gitDir, folder, entry.name)) waiting.push(path);
    }
  }
}

/** Objects are written under names that follow from their content, and renamed into place; submodules are looked at when they are named. */
const isContentOnly = (gitDir: string, folder: string, name: string) =>
  (folder === join(gitDir, 'objects') && /^([0-9a-f]{2}|pack)$/.test(name)) ||
  (folder === gitDir && (name === 'modules' || name === 'lfs'));

async function requireAlternatesWithin(roots: Roots, objects: string): Promise<void> {
  const waiting = [objects];
  const seen = new Set(waiting);
  for (let store = waiting.pop(); store !== undefined; store = waiting.pop()) {
    const lines = (await textOf(join(store, 'info', 'alternates')))?.split('\n') ?? [];
    for (const line of lines) {
      if (line === '' || line.startsWith('#')) continue;
      // Git takes a line in quotes for an escaped path: no path of ours needs one.
      if (line.startsWith('"')) throw strays('an alternate', 'is quoted');
      const other = await insideOf(roots, resolve(store, line), 'an alternate');
      if (seen.has(other)) continue;
      if (seen.size > maxAlternates) throw strays('its list of alternates', 'is too long');
      seen.add(other);
      waiting.push(other);
    }
  }
}

type Entry = readonly [key: string, value: string];

/** Includes are followed whatever their condition: it can change while git works. */
async function readConfig(
  roots: Roots,
  folders: readonly string[],
  signal: AbortSignal,
): Promise<Map<string, string[]>> {
  const waiting = folders.flatMap((folder) => [join(folder, 'config'), join(folder, 'config.worktree')]);
  const config = new Map<string, string[]>();
  const seen = new Set(waiting);
  for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
    for (const [key, value] of await readConfigFile(file, signal)) {
      const values = config.get(key);
      if (values) values.push(value);
      else config.set(key, [value]);
      if (!/^include(if\..*)?\.path$/s.test(key)) continue;
      // Git expands these by places that are none of ours.
      if (/^[~%]/.test(value))
        throw strays('a file that its configuration includes', 'leads outside the roots');
      const included = isAbsolute(value) ? value : join(dirname(file), value);
      if (seen.has(included)) continue;
      await insideOf(roots, included, 'a file that its configuration includes');
      if (seen.size > maxIncludes) throw strays('its configuration', 'includes too many files');
      seen.add(included);
      waiting.push(included);
    }
  }
  return config;
}

/** Read by git itself, which runs nothing for it, so that both read the same. */
async function readConfigFile(file: string, signal: AbortSignal): Promise<Entry[]> {
  const found = await lstat(file).catch(() => undefined);
  if (found === undefined) return [];
  const finished = await runGit(['config', '--file', file, '--no-includes', '--null', '--list'], {
    cwd: '/',
    env: gitEnvironment(new Map()),
    signal,
    takeBytes: maxConfigBytes,
  });
  const { code, output, isCut } = finished;
  if (isCut) throw new ToolError('too_large', `The configuration has more than ${maxConfigBytes} bytes.`);
  if (code !== 0) throw failure(finished);
  const entries = output.toString().split('\0').slice(0, -1);
  return entries.map((entry) => {
    const end = entry.indexOf('\n');
    return end < 0 ? [entry, 'true'] : [entry.slice(0, end), entry.slice(end + 1)];
  });
}
