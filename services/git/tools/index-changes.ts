import { join } from 'node:path';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { adding, completing, replacing, reshaping } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import {
  headOf,
  messageField,
  pathField,
  pathsField,
  pathsWithin,
  pathWithin,
  repoPath,
  resolveRevision,
  revisionField,
} from '../arguments.ts';
import {
  repositoriesIn,
  requireNoRepositories,
  requireUnfilteredFiles,
  requireUnfilteredIndex,
  requireUnfilteredTree,
} from '../filters.ts';
import { flags, type Git, type Repository } from '../git.ts';
import { longTimeoutMs, maxListed } from '../limits.ts';
import { window } from '../parts.ts';
import { requireRewrite } from '../rewrites.ts';
import { requireHarmlessSubmodules } from '../submodules.ts';
import { foldersAbove } from '../tracked.ts';
import { diffFlags } from './diff.ts';

/** Paths that differ between two states, the first of them. */
async function changedPaths(repository: Repository, between: readonly string[]): Promise<string[]> {
  const found = window<string>(0, maxListed);
  const options = ['--name-only', '--no-renames', '-z'];
  await repository.eachPart(['diff', ...diffFlags, ...options, ...between], (path) => found.add(() => path));
  return found.items;
}

async function stage(repository: Repository, files: readonly string[], isForced: boolean): Promise<void> {
  const paths = await pathsWithin(repository, files);
  await requireHarmlessSubmodules(repository, paths);
  const listed = await requireUnfilteredFiles(repository, paths, isForced);
  if (!isForced) requireNoRepositories(listed);
  // Git reads the commit of each, wherever it leads.
  for (const folder of repositoriesIn(listed)) await repository.enter(join(repository.folder, folder));
  await repository.run(['add', ...(isForced ? ['--force'] : []), '--', ...paths]);
}

const filesField = pathsField('Files and folders, relative to the top; "." is all.');
const staged = z.array(z.string()).describe(`What is staged now, the first ${maxListed} paths.`);

export const gitAdd = defineTool({
  name: 'git_add',
  title: 'Git Add',
  description: 'Adds file contents to the staging area. Deleted files are staged as deleted.',
  effect: 'write',
  hints: completing,
  timeoutMs: longTimeoutMs,
  input: z.object({
    repo_path: repoPath,
    files: filesField,
    force: z.boolean().default(false).describe('Also what .gitignore leaves out.'),
  }),
  output: z.object({ staged }),
  text: () => 'Files staged successfully',

  handler: async ({ repo_path: path, files, force }, git: Git, call) =>
    git.change(path, call, async (repository) => {
      await stage(repository, files, force);
      return { staged: await changedPaths(repository, ['--cached', '--']) };
    }),
});

export const gitCommit = defineTool({
  name: 'git_commit',
  title: 'Git Commit',
  description:
    'Records changes to the repository: what is staged, and files given. No hooks run, nothing is signed.',
  effect: 'write',
  // Amending replaces a commit, where the operator allows it.
  hints: reshaping,
  timeoutMs: longTimeoutMs,
  input: z.object({
    repo_path: repoPath,
    message: messageField.describe('The message of the commit.'),
    files: filesField.optional().describe('Stage these first.'),
    amend: z.boolean().default(false).describe('Replace the last commit; needs FLOTILLA_GIT_ALLOW_REWRITE.'),
    author: z
      .string()
      .max(500)
      .regex(/^[^<>\p{Cc}]+ <[^<>\p{Cc}]+>$/u, 'must be: Name <email>')
      .optional()
      .describe('Name <email>, when another wrote it.'),
    allow_empty: z.boolean().default(false).describe('Allow a commit without changes.'),
  }),
  output: z.object({
    hash: z.string().describe('The new commit.'),
    branch_head_before: z.string().optional().describe('The commit before; absent for the first one.'),
  }),
  text: ({ hash }) => `Changes committed successfully with hash ${hash}`,

  handler: async (
    { repo_path: path, message, files, amend, author, allow_empty: allowEmpty },
    git: Git,
    call,
  ) =>
    git.change(path, call, async (repository) => {
      if (amend) requireRewrite(git.policy, 'Amending');
      const before = await headOf(repository);
      if (files) await stage(repository, files, false);
      // What a merge has put aside comes back with its commit.
      await requireHarmlessSubmodules(repository);
      if (!amend && !allowEmpty) await requireSomething(repository);
      await repository.run(
        [
          'commit',
          ...flags('--quiet --no-verify --no-gpg-sign --no-status --cleanup=whitespace --file=-'),
          ...(amend ? ['--amend'] : []),
          ...(allowEmpty ? ['--allow-empty'] : []),
          ...(author === undefined ? [] : [`--author=${author}`]),
        ],
        { input: message },
      );
      const hash = await resolveRevision(repository, 'HEAD');
      return { hash, ...(before !== undefined && { branch_head_before: before }) };
    }),
});

async function requireSomething(repository: Repository): Promise<void> {
  const { code } = await repository.run(['diff', ...diffFlags, '--cached', '--quiet'], { accept: [1] });
  if (code === 1) return;
  // A merge is worth a commit although nothing differs.
  const { code: none } = await repository.run(['rev-parse', '--verify', '--quiet', 'MERGE_HEAD'], {
    accept: [1],
  });
  if (none === 0) return;
  throw new ToolError(
    'conflict',
    'No changes staged for commit. Use git_add to stage changes first; git_status shows what is currently staged.',
  );
}

export const gitReset = defineTool({
  name: 'git_reset',
  title: 'Git Reset',
  description:
    'Unstages all staged changes. A target moves the branch there, mode hard also discards changes: both need FLOTILLA_GIT_ALLOW_REWRITE.',
  effect: 'destroy',
  hints: replacing,
  timeoutMs: longTimeoutMs,
  input: z.object({
    repo_path: repoPath,
    mode: z
      .enum(['soft', 'mixed', 'hard'])
      .default('mixed')
      .describe('soft keeps index and files, mixed files, hard neither.'),
    target: revisionField.default('HEAD').describe('Where the branch goes.'),
    confirm: z.boolean().default(false).describe('Required for hard: changes in files are lost.'),
  }),
  output: z.object({
    mode: z.string().describe('As asked for.'),
    head: z.string().optional().describe('The commit now; absent before the first one.'),
    message: z.string().describe('What was done.'),
  }),
  text: ({ message }) => message,

  handler: async ({ repo_path: path, mode, target, confirm }, git: Git, call) =>
    git.change(path, call, async (repository) => {
      const before = await headOf(repository);
      if (mode === 'mixed' && target === 'HEAD') {
        await repository.run(['reset', '--quiet', '--mixed', '--no-recurse-submodules']);
        return { mode, ...(before !== undefined && { head: before }), message: 'All staged changes reset' };
      }
      const commit = await resolveRevision(repository, target);
      if (mode === 'hard' || commit !== before) requireRewrite(git.policy, 'This reset');
      if (mode === 'hard' && !confirm) {
        throw new ToolError('invalid_input', 'A hard reset discards all changes in files.', {
          hint: 'Pass confirm: true if that is meant; git_stash keeps them.',
        });
      }
      if (mode === 'hard') {
        await requireHarmlessSubmodules(repository);
        await requireUnfilteredTree(repository, commit);
      }
      await repository.run(['reset', '--quiet', `--${mode}`, '--no-recurse-submodules', commit, '--']);
      return { mode, head: commit, message: `HEAD is now at ${commit.slice(0, 7)}` };
    }),
});

export const gitRestore = defineTool({
  name: 'git_restore',
  title: 'Git Restore',
  description: 'Bring files back as in the index or a commit; their changes are lost.',
  effect: 'destroy',
  hints: replacing,
  timeoutMs: longTimeoutMs,
  input: z.object({
    repo_path: repoPath,
    files: filesField,
    source: revisionField.optional().describe('Commit to take them from.'),
    staged: z.boolean().default(false).describe('Restore the index, from HEAD unless source is given.'),
    worktree: z.boolean().optional().describe('Restore the files; true unless staged.'),
  }),
  output: z.object({
    restored: z.array(z.string()).describe(`Paths that differed, the first ${maxListed}.`),
  }),

  handler: async (args, git: Git, call) =>
    git.change(args.repo_path, call, async (repository) => {
      const { files, source, staged: isStaged, worktree = !isStaged } = args;
      if (!isStaged && !worktree) {
        throw new ToolError('invalid_input', 'Nothing to restore: set staged or worktree.');
      }
      const paths = await pathsWithin(repository, files);
      await requireHarmlessSubmodules(repository, paths);
      const wanted = source ?? (isStaged ? 'HEAD' : undefined);
      const commit = wanted === undefined ? undefined : await resolveRevision(repository, wanted);
      if (worktree && commit !== undefined) await requireUnfilteredTree(repository, commit);
      if (worktree && commit === undefined) await requireUnfilteredIndex(repository, paths);
      const against = commit === undefined ? [] : [commit];
      const cached = worktree ? [] : ['--cached'];
      const restored = await changedPaths(repository, [...cached, ...against, '--', ...paths]);
      await repository.run([
        'restore',
        '--quiet',
        '--no-recurse-submodules',
        ...(isStaged ? ['--staged'] : []),
        ...(worktree ? ['--worktree'] : []),
        ...(commit === undefined ? [] : [`--source=${commit}`]),
        '--',
        ...paths,
      ]);
      return { restored };
    }),
});

const untracked = z.array(z.string()).describe(`Paths, the first ${maxListed}.`);

export const gitRm = defineTool({
  name: 'git_rm',
  title: 'Git Remove',
  description: 'Remove files from the index and the working tree; those with changes only by force.',
  effect: 'destroy',
  hints: reshaping,
  input: z.object({
    repo_path: repoPath,
    files: filesField,
    cached: z.boolean().default(false).describe('Only from the index: the files stay.'),
    recursive: z.boolean().default(false).describe('Also whole folders.'),
    force: z.boolean().default(false).describe('Also files with changes, which are lost.'),
  }),
  output: z.object({ removed: untracked }),

  handler: async ({ repo_path: path, files, cached, recursive, force }, git: Git, call) =>
    git.change(path, call, async (repository) => {
      const paths = await pathsWithin(repository, files);
      await requireHarmlessSubmodules(repository, paths);
      const removed = window<string>(0, maxListed);
      const folders = foldersAbove();
      await repository.eachPart(['ls-files', '-z', '--', ...paths], (name) => {
        removed.add(() => name);
        folders.add(name);
      });
      if (!cached) await folders.requireNoLink(repository.folder);
      await repository.run([
        'rm',
        '--quiet',
        ...(cached ? ['--cached'] : []),
        ...(recursive ? ['-r'] : []),
        ...(force ? ['--force'] : []),
        '--',
        ...paths,
      ]);
      return { removed: removed.items };
    }),
});

export const gitMv = defineTool({
  name: 'git_mv',
  title: 'Git Move',
  description: 'Move or rename a tracked file or folder; nothing is replaced.',
  effect: 'write',
  hints: adding,
  input: z.object({
    repo_path: repoPath,
    source: pathField.describe('What to move.'),
    destination: pathField.describe('Its new path, or a folder to move it into.'),
  }),
  output: z.object({
    source: z.string().describe('Where it was.'),
    destination: z.string().describe('As asked for.'),
  }),

  handler: async (args, git: Git, call) =>
    git.change(args.repo_path, call, async (repository) => {
      const source = await pathWithin(repository, args.source);
      const destination = await pathWithin(repository, args.destination);
      // A link to a folder would be moved into, wherever it leads.
      await pathWithin(repository, `${destination}/x`);
      await requireHarmlessSubmodules(repository, [source]);
      await repository.run(['mv', '--', source, destination]);
      return { source, destination };
    }),
});

export const gitClean = defineTool({
  name: 'git_clean',
  title: 'Git Clean',
  description: 'List untracked files, or delete them for good with dry_run: false.',
  effect: 'destroy',
  hints: reshaping,
  untrusted: 'bounded',
  input: z.object({
    repo_path: repoPath,
    dry_run: z.boolean().default(true).describe('Only list what would go.'),
    directories: z.boolean().default(false).describe('Also untracked folders.'),
    ignored: z.boolean().default(false).describe('Also what .gitignore leaves out.'),
    files: pathsField('Only these paths.').optional(),
  }),
  output: z.object({
    dry_run: z.boolean().describe('Whether all of it is still there.'),
    removed: untracked,
    count: z.int().describe('Of all.'),
  }),

  handler: async ({ repo_path: path, dry_run: dryRun, directories, ignored, files }, git: Git, call) =>
    git.change(path, call, async (repository) => {
      const paths = files && (await pathsWithin(repository, files));
      // Its output has no form for programs.
      const removed = window<string>(0, maxListed);
      await repository.eachLine(
        [
          'clean',
          dryRun ? '--dry-run' : '--force',
          ...(directories ? ['-d'] : []),
          ...(ignored ? ['-x'] : []),
          // The trash is emptied by those who keep it.
          '--exclude=.flotilla-*',
          '--',
          ...(paths ?? []),
        ],
        (line) => {
          const [, name] = /^(?:Would remove|Removing) (.+)$/.exec(line) ?? [];
          if (name !== undefined) removed.add(() => unquoted(name));
        },
        { settings: { 'core.quotePath': 'false' } },
      );
      return { dry_run: dryRun, removed: removed.items, count: removed.seen };
    }),
});

const escapes: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** A name as git writes it where a line holds one. */
const unquoted = (name: string): string =>
  /^".*"$/.test(name)
    ? name
        .slice(1, -1)
        .replaceAll(/\\([0-7]{3}|.)/g, (_, code: string) =>
          code.length === 3 ? String.fromCharCode(Number.parseInt(code, 8)) : (escapes[code] ?? code),
        )
    : name;
