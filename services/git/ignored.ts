/** Files that .gitignore names are often the only copy of something, and git writes over them without a word. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';

import { ToolError } from '#runtime/errors.ts';

import type { Repository } from './git.ts';
import { maxPathsPerCall } from './limits.ts';

/** @throws ToolError `conflict` where what this range adds would take the place of an ignored file. */
export async function requireNothingIgnored(repository: Repository, range: string): Promise<void> {
  const flags = ['-z', '--name-only', '--no-renames', '--no-ext-diff', '--diff-filter=A'];
  // A first commit has no parent; and git refuses to merge what has nothing in common.
  const added = await repository.parts(['diff', ...flags, range, '--'], { accept: [128] });
  const there: string[] = [];
  for (const path of added) {
    if (await lstat(join(repository.folder, path)).catch(() => undefined)) there.push(path);
  }
  for (let at = 0; at < there.length; at += maxPathsPerCall) {
    const ignored = ['ls-files', '-z', '--others', '--ignored', '--exclude-standard', '--'];
    const [lost] = await repository.parts([...ignored, ...there.slice(at, at + maxPathsPerCall)]);
    if (lost !== undefined) {
      throw new ToolError('conflict', `${lost} is an ignored file, and would be overwritten.`, {
        hint: 'Move it away first.',
      });
    }
  }
}
