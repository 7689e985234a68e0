/**
 * Adding, removing and moving a submodule, and whatever puts changes aside, start another git in its folder, which takes
 * no overrides from us: so all that is there is looked at first, as repositories of remotes are.
 */
import { join } from 'node:path';

import { ToolError } from '#runtime/errors.ts';

import type { Repository } from './git.ts';
import { maxSubmodules } from './limits.ts';
import { beside, insideOf, refusal, requirePlainEntries } from './planted-files.ts';
import { requireNoPrograms } from './repository.ts';
import { populated } from './tracked.ts';

/** @throws ToolError `forbidden` when one below these paths, or in one of them, names a program or leads outside. */
export async function requireHarmlessSubmodules(
  repository: Repository,
  paths: readonly string[] = ['.'],
): Promise<void> {
  const isNamed = (link: string) =>
    paths.some((path) => path === '.' || path === link || link.startsWith(`${path}/`));
  const waiting = await populated(repository.folder, repository.tracked.links.filter(isNamed));
  // Git moves their repositories there, when one is removed.
  if (waiting.length > 0)
    await requirePlainEntries(repository.roots, [join(repository.commonDir, 'modules')], []);
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
    for (const worktree of submodule.config.get('core.worktree') ?? []) {
      const real = await insideOf(submodule.roots, beside(submodule.gitDir, worktree), what);
      if (real !== submodule.top) throw refusal(what, 'has its files elsewhere');
    }
    waiting.push(...(await populated(submodule.folder, submodule.tracked.links)));
  }
}
