/**
 * Finds a repository and looks at it before git does: where it lies, where it leads, what its configuration says. Only the
 * named folder is looked at, never one above it, and git is told all places, so it searches for none.
 */
import { lstat, readdir, realpath, stat } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';

import { ToolError } from '#runtime/errors.ts';

import { gitEnvironment, namesProgram, overridesOf } from './environment.ts';
import { failure } from './failures.ts';
import { maxAlternates, maxIncludes, maxOverrides, maxSmallFileBytes } from './limits.ts';
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
import { runGit } from './run-git.ts';

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
}

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

/** @throws ToolError when there is no repository, or none that may be used. */
export async function findRepository(roots: Roots, path: string, signal: AbortSignal): Promise<Place> {
  const top = await realPathWithin(roots, path);
  const { gitDir, isBare } = await gitDirOf(roots, path, top);
  const shared = await readSmall(roots, join(gitDir, 'commondir'), 'its commondir');
  const commonDir =
    shared === undefined
      ? gitDir
      : await insideOf(roots, beside(gitDir, lineOf(shared, 'its commondir')), 'its commondir');

  const folders = [...new Set([gitDir, commonDir])];
  const stores = await alternatesOf(roots, join(commonDir, 'objects'));
  await requirePlainEntries(roots, [...folders, ...stores]);
  const config = await readConfig(roots, folders, signal);
  const modules = isBare ? [] : await readConfigFile(roots, join(top, '.gitmodules'), signal);

  const worktree = config.get('core.worktree')?.at(-1);
  if (worktree !== undefined) {
    await insideOf(roots, beside(gitDir, worktree), 'its core.worktree');
  }
  if (isBare && (worktree !== undefined || config.get('core.bare')?.at(-1) !== 'true'))
    throw noRepository(path);
  const overrides = overridesOf([...config.keys(), ...modules.map(([key]) => key)]);
  if (overrides.size > maxOverrides) {
    throw new ToolError('too_large', `Its configuration names more than ${maxOverrides} programs.`);
  }
  return { roots, top: isBare ? undefined : top, gitDir, commonDir, config, overrides };
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

/** The other stores of objects that git reads, and those that they name. */
async function alternatesOf(roots: Roots, objects: string): Promise<string[]> {
  const seen = new Set([await insideOf(roots, objects, 'its objects folder')]);
  for (const store of seen) {
    const bytes = await readSmall(roots, join(store, 'info', 'alternates'), 'its list of alternates');
    for (const line of bytes === undefined ? [] : decoded(bytes, 'its list of alternates').split('\n')) {
      if (line === '' || line.startsWith('#')) continue;
      // Git takes a line in quotes for an escaped path: no path of ours needs one.
      if (line.startsWith('"')) throw refusal('an alternate', 'is quoted');
      seen.add(await insideOf(roots, beside(store, line), 'an alternate'));
      if (seen.size > maxAlternates) throw refusal('its list of alternates', 'is too long');
    }
  }
  return [...seen];
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
    for (const [key, value] of await readConfigFile(roots, file, signal)) {
      const values = config.get(key);
      if (values) values.push(value);
      else config.set(key, [value]);
      if (!/^include(if\..*)?\.path$/s.test(key)) continue;
      // Git expands these by places that are none of ours.
      if (/^[~%]/.test(value))
        throw refusal('a file that its configuration includes', 'leads outside the roots');
      const included = beside(dirname(file), value);
      if (seen.has(included)) continue;
      await insideOf(roots, included, 'a file that its configuration includes');
      if (seen.size > maxIncludes) throw refusal('its configuration', 'includes too many files');
      seen.add(included);
      waiting.push(included);
    }
  }
  return config;
}

/** By content: most repositories are asked again and again, and each answer costs a process. */
const parsed = new Map<string, Entry[]>();
const maxParsed = 100;
const maxParsedLength = 10_000;

/** Read by git itself, which runs nothing for it, so that both read the same. */
async function readConfigFile(roots: Roots, file: string, signal: AbortSignal): Promise<Entry[]> {
  const bytes = await readSmall(roots, file, 'its configuration');
  if (bytes === undefined) return [];
  const text = decoded(bytes, 'its configuration');
  const known = parsed.get(text);
  if (known) return known;
  const finished = await runGit(['config', '--file', '-', '--no-includes', '--null', '--list'], {
    cwd: '/',
    env: gitEnvironment(new Map()),
    signal,
    input: text,
    takeBytes: 2 * maxSmallFileBytes,
  });
  if (finished.isCut) throw new ToolError('too_large', 'The configuration says too much.');
  if (finished.code !== 0) throw failure(finished);
  const entries = decoded(finished.output, 'its configuration')
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
