/**
 * Adding, removing and moving a submodule, and putting changes aside, start another git in its folder, which takes no
 * overrides from us: so all that is there is looked at first, as repositories of remotes are.
 */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';

import { ToolError } from '#runtime/errors.ts';

import type { Repository } from './git.ts';
import { maxSubmodules } from './limits.ts';
import { beside, decoded, insideOf, refusal } from './planted-files.ts';
import { requireNoPrograms } from './repository.ts';

/** @throws ToolError `forbidden` when one below these paths, or in one of them, names a program or leads outside. */
export async function requireHarmlessSubmodules(
  repository: Repository,
  paths: readonly string[],
): Promise<void> {
  const waiting = await populated(repository, paths);
  for (let seen = 0; waiting.length > 0; seen += 1) {
    if (seen >= maxSubmodules) {
      throw new ToolError('too_large', `There are more than ${maxSubmodules} submodules.`, {
        hint: 'Name fewer paths.',
      });
    }
    const folder = waiting.pop() ?? '';
    const what = `the submodule ${folder}`;
    const submodule = await repository.enter(folder);
    requireNoPrograms(submodule, `The submodule ${folder}`);
    const worktree = submodule.config.get('core.worktree')?.at(-1);
    if (worktree !== undefined) {
      const real = await insideOf(submodule.roots, beside(submodule.gitDir, worktree), what);
      if (real !== submodule.top) throw refusal(what, 'has its files elsewhere');
    }
    waiting.push(...(await populated(submodule, ['.'])));
  }
}

/** Folders of submodules that have a repository. */
async function populated(repository: Repository, paths: readonly string[]): Promise<string[]> {
  const listed = await repository.bytes(['ls-files', '-z', '--stage', '--', ...paths]);
  const links = listed
    .toString('latin1')
    .split('\0')
    .filter((line) => line.startsWith('160000 '))
    .map((line) =>
      decoded(Buffer.from(line.slice(line.indexOf('\t') + 1), 'latin1'), 'the name of a submodule'),
    );
  const folders = [...new Set(links)].map((path) => join(repository.folder, path));
  const found = await Promise.all(
    folders.map(async (folder) =>
      lstat(join(folder, '.git')).then(
        () => [folder],
        () => [],
      ),
    ),
  );
  return found.flat();
}
