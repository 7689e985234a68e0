/** What changes history that others may build on, and stays off unless the operator allows it. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';

import { ToolError } from '#runtime/errors.ts';

import type { Policy, Repository } from './git.ts';
import { decoded, readSmall } from './planted-files.ts';

/** @throws ToolError `forbidden`. */
export function requireRewrite({ mayRewrite }: Policy, what: string): void {
  if (mayRewrite) return;
  throw new ToolError('forbidden', `${what} rewrites history, which is off.`, {
    hint: 'The operator allows it with FLOTILLA_GIT_ALLOW_REWRITE=true. A new commit, or git_revert, needs no permission.',
  });
}

const notPlain = (what: string) =>
  new ToolError('forbidden', `The sequence in progress has ${what}`, {
    hint: 'Continue or abort it with git on the host.',
  });

/**
 * A sequence that somebody left in the repository may hold lines that start programs: only plain ones are gone on with.
 * A strategy is a program too, and the options of patches (`git am`) name files to write.
 *
 * @throws ToolError `forbidden`.
 */
export async function requirePlainSequence({ gitDir, roots }: Repository): Promise<void> {
  if (await lstat(join(gitDir, 'rebase-apply')).catch(() => undefined)) {
    throw notPlain('patches to apply (.git/rebase-apply), which are not applied here.');
  }
  for (const [place, plain] of Object.entries({
    'rebase-merge/strategy': /^(ort|recursive)?\s*$/,
    'rebase-merge/strategy_opts': /^\s*$/,
    'sequencer/opts': /^((?!strategy).)*$/is,
  })) {
    const bytes = await readSmall(roots, join(gitDir, place), place);
    if (!plain.test(decoded(bytes ?? Buffer.of(), place)))
      throw notPlain(`a strategy that is not used here (.git/${place}).`);
  }
  const places = ['rebase-merge/git-rebase-todo', 'rebase-merge/git-rebase-todo.backup', 'sequencer/todo'];
  for (const place of places) {
    const bytes = await readSmall(roots, join(gitDir, place), place);
    const line = decoded(bytes ?? Buffer.of(), place)
      .split('\n')
      .find((one) => !/^\s*(#.*)?$|^\s*(pick|p|revert|drop|d|noop)(\s|$)/.test(one));
    if (line !== undefined) {
      throw notPlain(`a step that is not run here: ${line.slice(0, 100)}`);
    }
  }
}
