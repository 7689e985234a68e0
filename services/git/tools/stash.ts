import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { reshaping } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { headOf, maxBytes, repoPath, resolveRevision, word } from '../arguments.ts';
import { requireUnfilteredFiles, requireUnfilteredTree } from '../filters.ts';
import { flags, type Git, type Repository } from '../git.ts';
import { conflictsIn } from '../integration.ts';
import { longTimeoutMs, maxLineLength, maxListed } from '../limits.ts';
import { listPage, placeIn, textPage } from '../pages.ts';
import { failure } from '../failures.ts';
import { requireHarmlessSubmodules } from '../submodules.ts';
import { diffFlags } from './diff.ts';

const stashOutput = z.object({
  index: z.int().describe('From the newest, 0.'),
  commit: z.string().describe('What holds the changes.'),
  message: z.string().describe('What was said of it.'),
});

export const gitStash = defineTool({
  name: 'git_stash',
  title: 'Git Stash',
  description: 'Put changes aside and bring them back: push, list, show, apply, pop, drop.',
  effect: 'destroy',
  untrusted: 'bounded',
  hints: reshaping,
  timeoutMs: longTimeoutMs,
  input: z.object({
    repo_path: repoPath,
    mode: z
      .enum(['list', 'push', 'show', 'apply', 'pop', 'drop'])
      .default('list')
      .describe('apply keeps the stash, pop drops it if it fits, drop deletes it.'),
    index: z.int().min(0).max(100_000).default(0).describe('Which stash; 0 is the newest.'),
    message: word('message', 1_000).optional().describe('What to say of a new one.'),
    include_untracked: z.boolean().default(false).describe('Put untracked files aside too.'),
    limit: limitField(maxListed, 50),
    max_bytes: maxBytes,
    cursor: cursorField,
  }),
  output: z.object({
    stashes: z.array(stashOutput).describe('All, or the one in question.'),
    diff: z.string().optional().describe('What show shows.'),
    conflicts: z.array(z.string()).optional().describe('In conflict; the stash is kept.'),
    ...continuation,
  }),

  async handler(args, git: Git, call) {
    const { mode, index } = args;
    const place = placeIn('git_stash', args);
    if (mode === 'list') {
      const repository = await git.open(args.repo_path, call);
      const found = await stashes(repository, place.start, args.limit + 1);
      const { items, ...more } = listPage(found, args.limit, place);
      return { stashes: [...items], ...more };
    }
    if (mode === 'show') {
      const repository = await git.open(args.repo_path, call);
      const stash = await stashAt(repository, index);
      const between = [...diffFlags, `${stash.commit}^1`, stash.commit];
      const { text, ...more } = await textPage('git_stash', args, repository, ['diff', ...between, '--']);
      return { stashes: [stash], diff: text, ...more };
    }
    return git.change(args.repo_path, call, async (repository) => {
      if (mode !== 'drop') await requireHarmlessSubmodules(repository);
      if (mode === 'push') return { stashes: [await push(repository, args.message, args.include_untracked)] };
      const stash = await stashAt(repository, index);
      if (mode !== 'drop') await requireUnfilteredTree(repository, stash.commit);
      const name = `stash@{${index}}`;
      const finished = await repository.run(['stash', mode, '--quiet', name], {
        accept: [1],
      });
      const conflicts = await conflictsIn(repository);
      if (finished.code !== 0 && conflicts.length === 0) throw failure(finished);
      return { stashes: [stash], ...(finished.code !== 0 && { conflicts: conflicts.slice(0, maxListed) }) };
    });
  },
});

/** Git passes paths of its own making on, which are patterns. */
const patterns = { env: { GIT_LITERAL_PATHSPECS: '0' } };

async function push(
  repository: Repository,
  message: string | undefined,
  isWithUntracked: boolean,
): Promise<z.output<typeof stashOutput>> {
  const head = await headOf(repository);
  if (head === undefined) throw new ToolError('conflict', 'There is no commit yet to go back to.');
  // It writes the files of HEAD back.
  await requireUnfilteredTree(repository, head);
  await requireUnfilteredFiles(repository, ['.'], false);
  const [before] = await stashes(repository, 0, 1);
  await repository.run(
    [
      ...flags('stash push --quiet'),
      ...(isWithUntracked ? ['--include-untracked'] : []),
      ...(message === undefined ? [] : [`--message=${message}`]),
    ],
    patterns,
  );
  const [stash] = await stashes(repository, 0, 1);
  if (stash === undefined || stash.commit === before?.commit) {
    throw new ToolError('conflict', 'There are no changes to put aside.', {
      hint: 'Untracked files need include_untracked: true.',
    });
  }
  return stash;
}

async function stashAt(repository: Repository, index: number): Promise<z.output<typeof stashOutput>> {
  const [stash] = await stashes(repository, index, 1);
  if (stash) return stash;
  throw new ToolError('not_found', `There is no stash ${index}.`, { hint: 'List them first.' });
}

async function stashes(
  repository: Repository,
  skip: number,
  count: number,
): Promise<z.output<typeof stashOutput>[]> {
  const { code } = await repository.run(['show-ref', '--verify', '--quiet', 'refs/stash'], { accept: [1] });
  if (code !== 0) return [];
  await resolveRevision(repository, 'refs/stash');
  const parts = await repository.parts([
    'log',
    '--walk-reflogs',
    '-z',
    '--format=%H%x00%gs',
    `--skip=${skip}`,
    `--max-count=${count}`,
    'refs/stash',
    '--',
  ]);
  return Array.from({ length: Math.floor(parts.length / 2) }, (_, at) => ({
    index: skip + at,
    commit: parts[2 * at] ?? '',
    message: (parts[2 * at + 1] ?? '').slice(0, maxLineLength).toWellFormed(),
  }));
}
