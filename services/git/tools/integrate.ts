import { join } from 'node:path';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { reshaping } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { headOf, messageField, repoPath, resolveRevision, revisionField } from '../arguments.ts';
import { requireUnfilteredTree } from '../filters.ts';
import { flags, type Git, type Repository } from '../git.ts';
import { longTimeoutMs, maxCommitsPerCall } from '../limits.ts';
import { integrated, integrationOutput, type Integration } from '../integration.ts';
import { requireNothingIgnored } from '../ignored.ts';
import { readSmall } from '../planted-files.ts';
import { requirePlainSequence, requireRewrite } from '../rewrites.ts';
import { requireHarmlessSubmodules } from '../submodules.ts';

const steps = z
  .enum(['start', 'continue', 'skip', 'abort'])
  .default('start')
  .describe('After conflicts: go on, leave the commit out or give up.');

export const gitMerge = defineTool({
  name: 'git_merge',
  title: 'Git Merge',
  description:
    'Merge a branch or commit into the current branch. Conflicts stay in the files: resolve, git_add and git_commit, or abort.',
  effect: 'write',
  hints: reshaping,
  timeoutMs: longTimeoutMs,
  input: z.object({
    repo_path: repoPath,
    branch: revisionField.optional().describe('What to merge; not with abort.'),
    mode: z.enum(['start', 'abort']).default('start').describe('abort gives up a merge with conflicts.'),
    fast_forward: z
      .enum(['allow', 'only', 'never'])
      .default('allow')
      .describe('Whether the branch may, must or must not move without a merge commit.'),
    squash: z.boolean().default(false).describe('Only stage the changes, as one.'),
    message: messageField.optional().describe('Of the merge commit.'),
  }),
  output: integrationOutput,

  handler: async (args, git: Git, call) =>
    git.change(args.repo_path, call, async (repository) => {
      const before = await headOf(repository);
      await requireHarmlessSubmodules(repository);
      if (args.mode === 'abort') return abandon(repository, 'merge');
      if (args.branch === undefined) throw new ToolError('invalid_input', 'Give the branch to merge.');
      const commit = await resolveRevision(repository, args.branch);
      await requireUnfilteredTree(repository, commit);
      if (before !== undefined) await requireNothingIgnored(repository, `${before}...${commit}`);
      return integrated(repository, before, [
        'merge',
        '--quiet',
        '--no-edit',
        '--no-stat',
        '--no-verify',
        '--no-gpg-sign',
        '--no-verify-signatures',
        '--no-autostash',
        { allow: '--ff', only: '--ff-only', never: '--no-ff' }[args.fast_forward],
        ...(args.squash ? ['--squash', '--ff'] : []),
        `--message=${args.message ?? `Merge '${args.branch}'`}`,
        commit,
      ]);
    }),
});

async function abandon(repository: Repository, command: string): Promise<Integration> {
  await repository.run([command, '--abort']);
  const head = await headOf(repository);
  return { outcome: 'aborted', conflicts: [], ...(head !== undefined && { head }) };
}

export const gitRebase = defineTool({
  name: 'git_rebase',
  title: 'Git Rebase',
  description: 'Put the commits of the current branch on top of another.',
  effect: 'destroy',
  hints: reshaping,
  timeoutMs: longTimeoutMs,
  input: z.object({
    repo_path: repoPath,
    mode: steps,
    upstream: revisionField.optional().describe('What to put them on; to start.'),
    onto: revisionField.optional().describe('Put them here, leaving out what upstream has.'),
  }),
  output: integrationOutput,

  handler: async ({ repo_path: path, mode, upstream, onto }, git: Git, call) =>
    git.change(path, call, async (repository) => {
      requireRewrite(git.policy, 'A rebase');
      await requireHarmlessSubmodules(repository);
      const before = await headOf(repository);
      if (mode === 'abort') {
        await requirePlainSequence(repository);
        return abandon(repository, 'rebase');
      }
      if (mode !== 'start') {
        await requirePlainSequence(repository);
        return integrated(repository, before, ['rebase', `--${mode}`]);
      }
      if (upstream === undefined) throw new ToolError('invalid_input', 'Give the upstream to rebase onto.');
      const commit = await resolveRevision(repository, upstream);
      const base = onto === undefined ? commit : await resolveRevision(repository, onto);
      await requireUnfilteredTree(repository, base);
      if (before !== undefined) {
        await requireUnfilteredTree(repository, before);
        await requireNothingIgnored(repository, `${before}..${base}`);
      }
      return integrated(repository, before, [
        ...flags('rebase --quiet --merge --no-verify --no-gpg-sign --no-autostash --no-autosquash'),
        ...flags('--no-update-refs --no-stat --no-rebase-merges'),
        ...(onto === undefined ? [] : [`--onto=${base}`]),
        commit,
      ]);
    }),
});

const picking = {
  repo_path: repoPath,
  mode: steps,
  commits: z
    .array(revisionField)
    .min(1)
    .max(maxCommitsPerCall)
    .optional()
    .describe('The commits, in this order; to start.'),
  mainline: z.int().min(1).max(16).optional().describe('Of a merge: the parent that counts, from 1.'),
};

interface Picking {
  readonly mode: 'start' | 'continue' | 'skip' | 'abort';
  readonly commits?: readonly string[] | undefined;
  readonly mainline?: number | undefined;
}

async function pick(
  repository: Repository,
  command: 'cherry-pick' | 'revert',
  { mode, commits, mainline }: Picking,
): Promise<Integration> {
  await requireHarmlessSubmodules(repository);
  const before = await headOf(repository);
  if (mode !== 'start') {
    await requirePlainSequence(repository);
    return mode === 'abort'
      ? abandon(repository, command)
      : integrated(repository, before, [command, `--${mode}`]);
  }
  if (commits === undefined) throw new ToolError('invalid_input', 'Give the commits.');
  const ids = await Promise.all(commits.map(async (commit) => resolveRevision(repository, commit)));
  const state = command === 'revert' ? 'REVERT_HEAD' : 'CHERRY_PICK_HEAD';
  const waits = async () =>
    (await readSmall(repository.roots, join(repository.gitDir, state), state)) !== undefined;
  if (await waits()) {
    throw new ToolError('conflict', `A ${command} is in progress already.`, {
      hint: 'End it first: mode continue, skip or abort.',
    });
  }
  for (const id of ids) {
    await requireUnfilteredTree(repository, id);
    const parent = `${id}^${mainline ?? 1}`;
    await requireNothingIgnored(repository, command === 'revert' ? `${id}..${parent}` : `${parent}..${id}`);
  }
  const picked = integrated(repository, before, [
    command,
    ...(command === 'revert' ? ['--no-edit'] : ['--allow-empty']),
    '--no-gpg-sign',
    ...(mainline === undefined ? [] : [`--mainline=${mainline}`]),
    ...ids,
  ]);
  return picked.catch(async (error: unknown) => {
    // A commit whose changes are here already waits, and would give its author to the next commit.
    if (await waits()) await repository.run([command, '--abort']);
    throw error;
  });
}

export const gitCherryPick = defineTool({
  name: 'git_cherry_pick',
  title: 'Git Cherry-Pick',
  description:
    'Repeat commits on the current branch. Conflicts stay in the files: resolve, git_add, then continue.',
  effect: 'write',
  hints: reshaping,
  timeoutMs: longTimeoutMs,
  input: z.object(picking),
  output: integrationOutput,
  handler: async ({ repo_path: path, ...args }, git: Git, call) =>
    git.change(path, call, async (repository) => pick(repository, 'cherry-pick', args)),
});

export const gitRevert = defineTool({
  name: 'git_revert',
  title: 'Git Revert',
  description: 'Undo commits by new commits. Conflicts stay in the files: resolve, git_add, then continue.',
  effect: 'write',
  hints: reshaping,
  timeoutMs: longTimeoutMs,
  input: z.object(picking),
  output: integrationOutput,
  handler: async ({ repo_path: path, ...args }, git: Git, call) =>
    git.change(path, call, async (repository) => pick(repository, 'revert', args)),
});
