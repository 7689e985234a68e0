import { readdir, realpath, rmdir } from 'node:fs/promises';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { reshaping } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import {
  branchField,
  pathField,
  repoPath,
  requireRefName,
  resolveRevision,
  revisionField,
} from '../arguments.ts';
import { failure } from '../failures.ts';
import { requireUnfilteredTree } from '../filters.ts';
import type { Git, Repository } from '../git.ts';
import { longTimeoutMs, maxListed } from '../limits.ts';
import { isWithin, refusal } from '../planted-files.ts';
import { inNewFolder, newFolderWithin, realPathWithin, sightOf } from '../repository.ts';

const worktreeOutput = z.object({
  path: z.string().describe('Its top folder.'),
  head: z.string().optional().describe('The commit.'),
  branch: z.string().optional().describe('Absent when HEAD is detached.'),
  within_roots: z.boolean().describe('Whether this service may use it.'),
});

async function worktrees(
  repository: Repository,
  roots: readonly string[],
): Promise<z.output<typeof worktreeOutput>[]> {
  const said = await repository.line(['worktree', 'list', '--porcelain', '-z']);
  const records = said.split('\0\0').filter((record) => record !== '');
  if (records.length > maxListed) {
    throw new ToolError('too_large', `There are more than ${maxListed} working trees.`, {
      hint: 'Its owner runs git worktree prune.',
    });
  }
  return Promise.all(
    records.map(async (record) => {
      const about = new Map(
        record.split('\0').map((line) => {
          const end = line.indexOf(' ');
          return end < 0 ? [line, ''] : [line.slice(0, end), line.slice(end + 1)];
        }),
      );
      const path = about.get('worktree') ?? '';
      const head = about.get('HEAD');
      const branch = about.get('branch')?.replace(/^refs\/heads\//, '');
      return {
        path,
        ...(head !== undefined && { head }),
        ...(branch !== undefined && { branch }),
        within_roots: isWithin(roots, await realpath(path).catch(() => '/')),
      };
    }),
  );
}

export const gitWorktree = defineTool({
  name: 'git_worktree',
  title: 'Git Worktree',
  description: 'List, add or remove working trees: several branches checked out at once.',
  effect: 'destroy',
  untrusted: 'bounded',
  hints: reshaping,
  timeoutMs: longTimeoutMs,
  input: z.object({
    repo_path: repoPath,
    mode: z.enum(['list', 'add', 'remove']).default('list').describe('remove refuses one with changes.'),
    path: pathField.optional().describe('Folder to add or remove.'),
    new_branch: branchField().optional().describe('Make this branch there.'),
    revision: revisionField.default('HEAD').describe('What to check out there.'),
  }),
  output: z.object({ worktrees: z.array(worktreeOutput).describe('All that there are then.') }),

  async handler({ repo_path: repo, mode, path, new_branch: branch, revision }, git: Git, call) {
    const { roots } = git.policy;
    if (mode === 'list') return { worktrees: await worktrees(await git.open(repo, call), roots) };
    if (path === undefined) throw new ToolError('invalid_input', `Give the path to ${mode}.`);
    return git.change(repo, call, async (repository) => {
      if (mode === 'remove') {
        const real = await realPathWithin(roots, path);
        const known = await worktrees(repository, roots);
        if (!known.some((one) => one.path === real)) {
          throw new ToolError('not_found', `${path} is no working tree of this repository.`);
        }
        // Git looks into it first, with a configuration of its own.
        const target = await repository.enter(real);
        if (target.commonDir !== repository.commonDir)
          throw refusal('that working tree', 'is of another one');
        const { mounts, links } = sightOf(target, true);
        const finished = await repository.run(['worktree', 'remove', '--', real], {
          settings: Object.fromEntries(target.overrides),
          mounts,
          links,
          accept: [1, 255],
        });
        // The sandbox holds the empty folder itself.
        const left = await readdir(real).catch(() => undefined);
        if (finished.code !== 0 && left?.length !== 0) throw failure(finished);
        if (left) await rmdir(real);
        return { worktrees: await worktrees(repository, roots) };
      }
      const folder = await newFolderWithin(roots, path);
      const commit = await resolveRevision(repository, revision);
      await requireUnfilteredTree(repository, commit);
      if (branch !== undefined) requireRefName(`refs/heads/${branch}`);
      const { code } = await repository.run(['show-ref', '--verify', '--quiet', `refs/heads/${revision}`], {
        accept: [1, 128],
      });
      const isBranch = code === 0;
      const flags = branch === undefined ? (isBranch ? [] : ['--detach']) : ['--no-track', '-b', branch];
      const target = branch === undefined && isBranch ? revision : commit;
      await inNewFolder(folder, async () =>
        repository.run(['worktree', 'add', '--quiet', ...flags, '--', folder, target], {
          mounts: [{ path: folder, writable: true }],
        }),
      );
      return { worktrees: await worktrees(repository, roots) };
    });
  },
});
