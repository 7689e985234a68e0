/**
 * Every subcommand of every tool, in a repository in which every hook that git knows would leave a mark, against a remote
 * that has them too. Without the sandbox, in which no hook could start: this is about what git is told.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { hookNames } from './hooks.fixture.ts';
import { commit, copier, place, plainGit, repository, use, write } from './repositories.fixture.ts';
import { allTools } from './service.ts';

type Arguments = Readonly<Record<string, unknown>>;
/** A call, or what somebody writes meanwhile. */
type Step = readonly [tool: string, args?: Arguments] | Readonly<Record<string, string>>;

const resolved = { 'a.txt': 'resolved\n' };
const conflict = (tool: string, args: Arguments) => [tool, args] as const;
const ended = (tool: string, args: Arguments): Step[][] => [
  [
    conflict(tool, args),
    ['git_conflicts'],
    resolved,
    ['git_add', { files: ['a.txt'] }],
    [tool, { mode: 'continue' }],
  ],
  [conflict(tool, args), [tool, { mode: 'skip' }]],
  [conflict(tool, args), [tool, { mode: 'abort' }]],
];
const one = (tool: string, ...all: readonly Arguments[]): Step[][] => all.map((args) => [[tool, args]]);
const dirty = { 'b.txt': 'more\n', 'new.txt': 'new\n' };

const sequences: readonly Step[][] = [
  ...one('git_status', {}),
  ...one('git_diff_unstaged', {}),
  ...one('git_diff_staged', {}),
  ...one('git_diff', { target: 'feature' }, { target: 'HEAD~1..feature' }),
  [dirty, ['git_commit', { message: 'x', files: ['b.txt'] }], ['git_commit', { message: 'y', amend: true }]],
  ...one('git_commit', { message: 'x', allow_empty: true, author: 'Eve <eve@example.com>' }),
  [dirty, ['git_add', { files: ['.'] }], ['git_reset'], ['git_add', { files: ['new.txt'], force: true }]],
  ...one(
    'git_reset',
    { mode: 'soft', target: 'HEAD~1' },
    { target: 'HEAD~1' },
    { mode: 'hard', target: 'HEAD~1', confirm: true },
  ),
  ...one('git_log', {}, { files: ['a.txt'], author: 'Bob', grep: 'first' }),
  ...one('git_create_branch', { branch_name: 'new' }),
  ...one(
    'git_checkout',
    { branch_name: 'feature' },
    { branch_name: 'new', create: true },
    { branch_name: 'HEAD~1' },
  ),
  ...one('git_show', { revision: 'HEAD' }, { revision: 'HEAD:a.txt' }),
  ...one('git_branch', { branch_type: 'all' }, { branch_type: 'local', contains: 'HEAD' }),
  ...one('git_blame', { path: 'a.txt' }, { path: 'a.txt', revision: 'HEAD' }),
  ...one('git_cherry_pick', { commits: ['other'] }),
  ...ended('git_cherry_pick', { commits: ['feature'] }),
  [dirty, ['git_clean', {}], ['git_clean', { dry_run: false, directories: true, ignored: true }]],
  ...one(
    'git_clone',
    { url: 'repo', repo_path: 'made' },
    { url: 'upstream', repo_path: 'made', bare: true, depth: 1 },
  ),
  ...one('git_diff_stat', {}, { target: 'feature' }),
  ...one('git_fetch', {}, { prune: true, tags: true }),
  ...one('git_grep', { pattern: 'o' }, { pattern: 'o', revision: 'HEAD' }),
  ...one('git_init', { repo_path: 'made' }, { repo_path: 'made', bare: true }),
  ...one('git_ls_files', {}, { untracked: true }, { revision: 'HEAD' }),
  ...one(
    'git_merge',
    { branch: 'other' },
    { branch: 'other', fast_forward: 'never' },
    { branch: 'other', squash: true },
  ),
  [
    ['git_merge', { branch: 'feature' }],
    ['git_merge', { mode: 'abort' }],
  ],
  [['git_merge', { branch: 'feature' }], resolved, ['git_commit', { message: 'merged', files: ['a.txt'] }]],
  ...one('git_mv', { source: 'a.txt', destination: 'c.txt' }),
  [
    ['git_reset', { mode: 'hard', target: 'HEAD~1', confirm: true }],
    ['git_pull', {}],
  ],
  ...one('git_pull', { fast_forward_only: false, branch: 'other' }),
  [
    ['git_commit', { message: 'x', allow_empty: true }],
    ['git_push', { dry_run: true }],
    ['git_push', {}],
  ],
  [
    ['git_tag', { mode: 'create', name: 'v2' }],
    ['git_push', { tags: ['v2'], set_upstream: true }],
  ],
  [
    ['git_commit', { message: 'y', amend: true }],
    ['git_push', { force_with_lease: true }],
  ],
  ...one('git_rebase', { upstream: 'other' }, { upstream: 'other', onto: 'HEAD~1' }),
  ...ended('git_rebase', { upstream: 'feature' }),
  ...one('git_reflog', {}),
  [
    ['git_remote', { mode: 'add', name: 'more', url: '../upstream' }],
    ['git_remote', { mode: 'set_url', name: 'more', url: '../seed' }],
    ['git_remote', { mode: 'list' }],
    ['git_remote', { mode: 'remove', name: 'origin' }],
  ],
  [
    dirty,
    ['git_restore', { files: ['.'] }],
    ['git_restore', { files: ['a.txt'], staged: true, worktree: true, source: 'HEAD~1' }],
  ],
  ...one('git_revert', { commits: ['HEAD'] }),
  ...ended('git_revert', { commits: ['HEAD~1'] }),
  ...one(
    'git_rm',
    { files: ['a.txt'] },
    { files: ['a.txt'], cached: true },
    { files: ['.'], recursive: true, force: true },
  ),
  ...one('git_search_history', { text: 'one' }, { text: 'o.e', regex: true }),
  ...one('git_show_file', { path: 'a.txt' }),
  [
    dirty,
    ['git_stash', { mode: 'push', include_untracked: true }],
    ['git_stash', { mode: 'list' }],
    ['git_stash', { mode: 'show' }],
    ['git_stash', { mode: 'apply' }],
    ['git_stash', { mode: 'drop' }],
  ],
  [dirty, ['git_stash', { mode: 'push' }], ['git_stash', { mode: 'pop' }]],
  [
    ['git_tag', { mode: 'create', name: 'v1', message: 'first' }],
    ['git_tag'],
    ['git_tag', { mode: 'delete', name: 'v1' }],
  ],
  [
    ['git_worktree', { mode: 'add', path: 'made', new_branch: 'there' }],
    ['git_worktree', { mode: 'list' }],
    ['git_worktree', { mode: 'remove', path: 'made' }],
  ],
];

test('no hook of a repository or of its remote runs, whatever is done', async () => {
  using at = place({ mayPush: true, mayRewrite: true, isSandboxed: false });
  const marks = join(at.outside, 'marks');
  mkdirSync(marks);
  const seed = repository(at.root, 'seed');
  plainGit(seed, 'checkout', '--quiet', '-b', 'other');
  commit(seed, 'other', { 'other.txt': 'other\n' });
  plainGit(seed, 'checkout', '--quiet', '-b', 'feature', 'main');
  commit(seed, 'feature', { 'a.txt': 'one\nfeature\n' });
  plainGit(seed, 'checkout', '--quiet', 'main');
  commit(seed, 'second', { 'a.txt': 'one\nmain\n', 'b.txt': 'b\n' });
  commit(seed, 'third', { 'a.txt': 'one\nmain, more\n', '.gitignore': '*.log\n' });
  plainGit(at.root, 'clone', '--quiet', '--bare', 'seed', 'upstream');
  plainGit(at.root, 'clone', '--quiet', 'upstream', 'repo');
  const repo = join(at.root, 'repo');
  for (const name of ['other', 'feature']) plainGit(repo, 'branch', '--quiet', name, `origin/${name}`);
  plainGit(join(at.root, 'upstream'), 'config', 'receive.denyCurrentBranch', 'ignore');
  for (const hooks of [join(repo, '.git/hooks'), join(at.root, 'upstream/hooks')]) {
    for (const name of hookNames) {
      write(hooks, { [name]: `#!/bin/sh\n: > '${marks}/${name}'\n` });
      chmodSync(join(hooks, name), 0o755);
    }
  }
  const kept = join(at.outside, 'kept');
  mkdirSync(kept);
  for (const name of ['repo', 'upstream']) renameSync(join(at.root, name), join(kept, name));
  const renewals = ['repo', 'upstream'].map((name) => copier(join(kept, name), join(at.root, name)));
  const anew = () => {
    rmSync(join(at.root, 'made'), { recursive: true, force: true });
    for (const renew of renewals) renew();
  };
  const failed: string[] = [];
  const tried = new Set<string>();
  for (const sequence of sequences) {
    anew();
    for (const step of sequence) {
      if (!Array.isArray(step)) {
        write(repo, step as Readonly<Record<string, string>>);
        continue;
      }
      const [tool, args] = step as [string, Arguments | undefined];
      tried.add(tool);
      const said = `${tool} ${JSON.stringify(args ?? {})}`;
      await use(at.git, tool, { repo_path: repo, ...args }).catch((error: Error) =>
        failed.push(`${said}: ${error.message}`),
      );
      expect(readdirSync(marks), said).toEqual([]);
    }
  }

  expect(failed).toEqual([]);
  expect([...tried].toSorted()).toEqual(allTools.map(({ name }) => name).toSorted());
  // The same by plain git, which shows that the hooks are real ones.
  anew();
  write(repo, { 'b.txt': 'changed\n' });
  for (const command of [
    'commit -qam x',
    'commit -q --amend -m y',
    'checkout -q feature',
    'checkout -q main',
    'merge -q other',
  ]) {
    plainGit(repo, ...command.split(' '));
  }
  plainGit(repo, 'push', '--quiet', 'origin', 'main');
  plainGit(repo, 'remote', 'remove', 'origin');
  const run = hookNames.filter((name) => existsSync(join(marks, name)));
  expect(run).toEqual(
    expect.arrayContaining([
      'pre-commit',
      'pre-merge-commit',
      'commit-msg',
      'post-checkout',
      'post-merge',
      'pre-push',
      'pre-receive',
      'post-update',
      'reference-transaction',
      'post-rewrite',
      'post-index-change',
    ]),
  );
});
