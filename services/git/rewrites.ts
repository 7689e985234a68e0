/** What changes history that others may build on, and stays off unless the operator allows it. */
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

/**
 * A sequence that somebody left in the repository may hold lines that start programs: only plain ones are gone on with.
 *
 * @throws ToolError `forbidden`.
 */
export async function requirePlainSequence({ gitDir, roots }: Repository): Promise<void> {
  const places = ['rebase-merge/git-rebase-todo', 'rebase-merge/git-rebase-todo.backup', 'sequencer/todo'];
  for (const place of places) {
    const bytes = await readSmall(roots, join(gitDir, place), place);
    const line = decoded(bytes ?? Buffer.of(), place)
      .split('\n')
      .find((one) => !/^\s*(#.*)?$|^\s*(pick|p|revert|drop|d|noop)(\s|$)/.test(one));
    if (line !== undefined) {
      throw new ToolError(
        'forbidden',
        `The sequence in progress has a step that is not run here: ${line.slice(0, 100)}`,
        {
          hint: 'Abort it, or continue it with git on the host.',
        },
      );
    }
  }
}
