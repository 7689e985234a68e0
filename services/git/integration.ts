/** What comes of bringing changes together: they are in, or conflicts wait in the files. */
import { z } from 'zod';

import { headOf } from './arguments.ts';
import { failure } from './failures.ts';
import type { Repository } from './git.ts';
import { maxListed } from './limits.ts';

export const integrationOutput = z.object({
  outcome: z.enum(['done', 'unchanged', 'conflicts', 'aborted']).describe('conflicts wait in the files.'),
  head: z.string().optional().describe('The commit now.'),
  conflicts: z.array(z.string()).describe('Paths in conflict.'),
});
export type Integration = z.output<typeof integrationOutput>;

export async function conflictsIn(repository: Repository): Promise<string[]> {
  const paths = new Set<string>();
  await repository.eachPart(['ls-files', '--unmerged', '-z'], (part) =>
    paths.add(part.slice(part.indexOf('\t') + 1)),
  );
  return [...paths];
}

/** @throws ToolError when git refuses and leaves no conflicts: then nothing has changed. */
export async function integrated(
  repository: Repository,
  before: string | undefined,
  args: readonly string[],
): Promise<Integration> {
  // To leave a commit out is to drop its conflicts: those that are there then are of the next one.
  const known = args.includes('--skip') ? [] : await conflictsIn(repository);
  const finished = await repository.run(args, { accept: [1, 2, 128] });
  const { code } = finished;
  const head = await headOf(repository);
  const conflicts = await conflictsIn(repository);
  if (code !== 0 && (conflicts.length === 0 || known.length > 0)) throw failure(finished);
  const outcome = code === 0 ? (head === before ? 'unchanged' : 'done') : 'conflicts';
  return { outcome, conflicts: conflicts.slice(0, maxListed), ...(head !== undefined && { head }) };
}
