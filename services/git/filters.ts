/**
 * Paths whose content passes through a program on its way to and from the working tree (Git LFS, git-crypt). No such
 * program runs here, and without it git would store, or write out, something else than what is meant: so they are refused.
 */
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { ToolError } from '#runtime/errors.ts';

import type { GitOptions, Repository } from './git.ts';
import { decoded, readSmall } from './planted-files.ts';

const nonLiteral = { GIT_LITERAL_PATHSPECS: '0' };

/** For what a commit brings into the working tree: all its paths, or those that differ from the commit `from`. */
export async function requireUnfilteredTree(
  repository: Repository,
  tree: string,
  from?: string,
): Promise<void> {
  if (!(await mayFilter(repository, tree))) return;
  const paths = await repository.bytes(
    from === undefined
      ? ['ls-tree', '-r', '-z', '--name-only', '--full-tree', tree]
      : ['diff-tree', '-r', '-z', '--name-only', '--no-renames', '--no-ext-diff', from, tree],
  );
  const folder = await mkdtemp(join(tmpdir(), 'flotilla-git-'));
  try {
    const elsewhere = {
      env: { GIT_INDEX_FILE: join(folder, 'index') },
      mounts: [{ path: await realpath(folder), writable: true }],
    };
    await repository.run(['read-tree', tree], elsewhere);
    await refuseFiltered(repository, paths, ['--cached'], elsewhere);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** For what goes from the working tree into the index. @returns these paths, with NUL after each. */
export async function requireUnfilteredFiles(
  repository: Repository,
  paths: readonly string[],
  isForced: boolean,
): Promise<Buffer> {
  const listed = await repository.bytes([
    'ls-files',
    '-z',
    '--modified',
    '--others',
    ...(isForced ? [] : ['--exclude-standard']),
    '--',
    ...paths,
  ]);
  await refuseFiltered(repository, listed, []);
  return listed;
}

/** Git lists another repository as one untracked name, with "/" behind, and would hold nothing of it but its commit. */
export function repositoriesIn(listed: Buffer): string[] {
  if (!listed.includes('/\0')) return [];
  const names = decoded(listed, 'the name of a repository').split('\0');
  return names.filter((name) => name.endsWith('/')).map((name) => name.slice(0, -1));
}

/** @throws ToolError `conflict`. */
export function requireNoRepositories(listed: Buffer): void {
  const [name] = repositoriesIn(listed);
  if (name === undefined) return;
  throw new ToolError('conflict', `${name} is a repository of its own: none of its files would be added.`, {
    hint: 'Name other paths, or list it in .gitignore. git_add with force: true takes its commit, as of a submodule.',
  });
}

/** For what comes from the index. */
export async function requireUnfilteredIndex(
  repository: Repository,
  paths: readonly string[],
): Promise<void> {
  const listed = await repository.bytes(['ls-files', '-z', '--cached', '--', ...paths]);
  await refuseFiltered(repository, listed, ['--cached']);
}

/** Few repositories do: a look into their attribute files spares the rest. */
async function mayFilter(repository: Repository, tree: string): Promise<boolean> {
  const file = join(repository.commonDir, 'info', 'attributes');
  const own = await readSmall(repository.roots, file, 'its info/attributes');
  if (own?.includes('filter')) return true;
  const { code } = await repository.run(
    [
      'grep',
      '-a',
      '-q',
      '-F',
      '--no-recurse-submodules',
      '-e',
      'filter',
      tree,
      '--',
      ':(glob)**/.gitattributes',
    ],
    { accept: [1], env: nonLiteral },
  );
  return code === 0;
}

/** @param paths with NUL after each, as git lists them: a name need not be UTF-8. */
async function refuseFiltered(
  repository: Repository,
  paths: Buffer,
  flags: readonly string[],
  options: GitOptions = {},
): Promise<void> {
  if (paths.length === 0) return;
  const parts: string[] = [];
  const take = (part: string) => {
    if (parts.push(part) < 3) return;
    const [path = '', , filter = ''] = parts.splice(0);
    if (['unspecified', 'unset', 'set'].includes(filter)) return;
    throw new ToolError(
      'forbidden',
      `${path} needs the filter "${filter}" (.gitattributes), and this service runs no filters.`,
      { hint: 'Without it the content would be damaged. Use git on the host for such files.' },
    );
  };
  await repository.eachPart(['check-attr', ...flags, '-z', '--stdin', 'filter'], take, {
    ...options,
    input: paths,
  });
}
