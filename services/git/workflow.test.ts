/** The tools beside the official twelve do their work. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { commit, place, plainGit, repository, say, use, write, type Place } from './repositories.fixture.ts';

// Many processes, on machines of every speed; most tests wait for them, each in a place of its own.

/** `main` and `side` have each a commit of their own; both change `a.txt`, so that they conflict. */
function diverged(at: Place, isConflict = true): string {
  const repo = repository(at.root, 'repo');
  plainGit(repo, 'checkout', '--quiet', '-b', 'side');
  commit(repo, 'on side', { [isConflict ? 'a.txt' : 'side.txt']: 'side\n' });
  plainGit(repo, 'checkout', '--quiet', 'main');
  commit(repo, 'on main', { 'a.txt': 'main\n' });
  return repo;
}

test.concurrent('git_merge merges, or leaves conflicts that git_conflicts tells and git_commit ends', async () => {
  using at = place();
  const repo = diverged(at);
  const args = { repo_path: repo };

  expect(await use(at.git, 'git_merge', { ...args, branch: 'side' })).toMatchObject({
    outcome: 'conflicts',
    conflicts: ['a.txt'],
  });
  expect(await use(at.git, 'git_conflicts', args)).toEqual({
    in_progress: ['merge'],
    conflicts: [{ path: 'a.txt', base: true, ours: true, theirs: true }],
  });
  expect(await use(at.git, 'git_status', args)).toMatchObject({
    entries: [{ path: 'a.txt', index: 'U', worktree: 'U' }],
  });
  await expect(use(at.git, 'git_merge', { ...args, branch: 'side' })).rejects.toMatchObject({
    code: 'conflict',
  });
  write(repo, { 'a.txt': 'both\n' });
  await use(at.git, 'git_commit', { ...args, message: 'merged', files: ['a.txt'] });
  expect(plainGit(repo, 'rev-list', '--count', 'HEAD')).toBe('4');
  expect(await use(at.git, 'git_merge', { ...args, branch: 'side' })).toMatchObject({ outcome: 'unchanged' });
});

test.concurrent('a merge with conflicts can be given up, and one without makes a commit', async () => {
  using at = place();
  const repo = diverged(at);
  const args = { repo_path: repo };
  const before = plainGit(repo, 'rev-parse', 'HEAD');
  await use(at.git, 'git_merge', { ...args, branch: 'side' });

  expect(await use(at.git, 'git_merge', { ...args, mode: 'abort' })).toEqual({
    outcome: 'aborted',
    head: before,
    conflicts: [],
  });
  await expect(
    use(at.git, 'git_merge', { ...args, branch: 'side', fast_forward: 'only' }),
  ).rejects.toMatchObject({ code: 'conflict' });
  expect(plainGit(repo, 'status', '--porcelain')).toBe('');
  plainGit(repo, 'branch', 'ahead', commit(repo, 'ahead', { 'b.txt': 'b' }));
  plainGit(repo, 'reset', '--quiet', '--hard', 'HEAD~1');
  expect(await use(at.git, 'git_merge', { ...args, branch: 'ahead', fast_forward: 'never' })).toMatchObject({
    outcome: 'done',
  });
  expect(plainGit(repo, 'log', '-1', '--format=%s')).toBe("Merge 'ahead'");
});

test.concurrent('commits are picked and reverted, also over a conflict', async () => {
  using at = place();
  const repo = diverged(at, false);
  const args = { repo_path: repo };

  expect(await use(at.git, 'git_cherry_pick', { ...args, commits: ['side'] })).toMatchObject({
    outcome: 'done',
  });
  expect(plainGit(repo, 'log', '-1', '--format=%an %s')).toBe('Bob on side');
  expect(await use(at.git, 'git_revert', { ...args, commits: ['HEAD'] })).toMatchObject({ outcome: 'done' });
  expect(existsSync(join(repo, 'side.txt'))).toBe(false);

  plainGit(repo, 'checkout', '--quiet', '-b', 'other', 'HEAD~3');
  commit(repo, 'other', { 'a.txt': 'other\n' });
  expect(await use(at.git, 'git_cherry_pick', { ...args, commits: ['main~2'] })).toMatchObject({
    outcome: 'conflicts',
  });
  write(repo, { 'a.txt': 'resolved\n' });
  await use(at.git, 'git_add', { ...args, files: ['a.txt'] });
  expect(await use(at.git, 'git_cherry_pick', { ...args, mode: 'continue' })).toMatchObject({
    outcome: 'done',
  });
  expect(plainGit(repo, 'log', '-1', '--format=%s')).toBe('on main');
});

test.concurrent('history is rewritten only where the operator allows it', async () => {
  using closed = place();
  const repo = diverged(closed);
  const head = plainGit(repo, 'rev-parse', 'HEAD');

  for (const [tool, args] of [
    ['git_rebase', { upstream: 'side' }],
    ['git_commit', { message: 'x', amend: true }],
    ['git_reset', { mode: 'hard', confirm: true }],
    ['git_reset', { mode: 'soft', target: 'HEAD~1' }],
  ] as const) {
    await expect(use(closed.git, tool, { repo_path: repo, ...args })).rejects.toMatchObject({
      code: 'forbidden',
      hint: expect.stringContaining('FLOTILLA_GIT_ALLOW_REWRITE') as string,
    });
  }
  expect(plainGit(repo, 'rev-parse', 'HEAD')).toBe(head);
});

test.concurrent('git_rebase puts commits on top of another branch, over a conflict too', async () => {
  using at = place({ mayRewrite: true });
  const repo = diverged(at);
  const args = { repo_path: repo };

  expect(await use(at.git, 'git_rebase', { ...args, upstream: 'side' })).toMatchObject({
    outcome: 'conflicts',
  });
  expect(await use(at.git, 'git_conflicts', args)).toMatchObject({ in_progress: ['rebase'] });
  write(repo, { 'a.txt': 'both\n' });
  await use(at.git, 'git_add', { ...args, files: ['a.txt'] });
  expect(await use(at.git, 'git_rebase', { ...args, mode: 'continue' })).toMatchObject({ outcome: 'done' });
  expect(plainGit(repo, 'log', '--format=%s')).toBe('on main\non side\nfirst');
});

test.concurrent('a reset moves the branch where that is allowed, and a hard one wants a confirmation', async () => {
  using at = place({ mayRewrite: true });
  const repo = diverged(at);
  const first = plainGit(repo, 'rev-parse', 'HEAD~1');
  const reset = { repo_path: repo, mode: 'hard', target: 'HEAD~1' };

  await expect(use(at.git, 'git_reset', reset)).rejects.toMatchObject({ code: 'invalid_input' });
  expect(await use(at.git, 'git_reset', { ...reset, confirm: true })).toMatchObject({
    head: first,
    message: `HEAD is now at ${first.slice(0, 7)}`,
  });
  expect(readFileSync(join(repo, 'a.txt'), 'utf8')).toBe('one\ntwo\nthree\n');
  const reflog = await use(at.git, 'git_reflog', { repo_path: repo });
  expect((reflog['entries'] as unknown[])[0]).toMatchObject({
    selector: 'HEAD@{0}',
    action: expect.stringMatching(/^reset/) as string,
  });
});

test.concurrent('changes are put aside and come back', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const args = { repo_path: repo };
  write(repo, { 'a.txt': 'changed\n', 'new.txt': 'new\n' });

  expect(
    await use(at.git, 'git_stash', { ...args, mode: 'push', message: 'work', include_untracked: true }),
  ).toMatchObject({ stashes: [{ index: 0, message: 'On main: work' }] });
  expect(plainGit(repo, 'status', '--porcelain')).toBe('');
  expect(await use(at.git, 'git_stash', args)).toMatchObject({ stashes: [{ message: 'On main: work' }] });
  expect((await use(at.git, 'git_stash', { ...args, mode: 'show' }))['diff']).toContain('+changed');
  await expect(use(at.git, 'git_stash', { ...args, mode: 'push' })).rejects.toMatchObject({
    code: 'conflict',
  });
  await expect(use(at.git, 'git_stash', { ...args, mode: 'pop', index: 3 })).rejects.toMatchObject({
    code: 'not_found',
  });
  await use(at.git, 'git_stash', { ...args, mode: 'pop' });
  expect(readFileSync(join(repo, 'new.txt'), 'utf8')).toBe('new\n');
  expect(await use(at.git, 'git_stash', args)).toEqual({ stashes: [] });
});

test.concurrent('a stash that does not fit is kept, and its conflicts are told', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  write(repo, { 'a.txt': 'stashed\n' });
  await use(at.git, 'git_stash', { repo_path: repo, mode: 'push' });
  commit(repo, 'other', { 'a.txt': 'other\n' });

  expect(await use(at.git, 'git_stash', { repo_path: repo, mode: 'pop' })).toMatchObject({
    conflicts: ['a.txt'],
  });
  expect(plainGit(repo, 'stash', 'list')).not.toBe('');
});

test.concurrent('files are moved, removed, restored and cleaned up', async () => {
  using at = place();
  const repo = repository(at.root, 'repo', { 'a.txt': 'a', 'b.txt': 'b', '.gitignore': '*.log\n' });
  const args = { repo_path: repo };

  await use(at.git, 'git_mv', { ...args, source: 'a.txt', destination: 'c.txt' });
  expect(await use(at.git, 'git_rm', { ...args, files: ['b.txt'] })).toEqual({ removed: ['b.txt'] });
  expect(plainGit(repo, 'status', '--porcelain')).toBe('D  b.txt\nR  a.txt -> c.txt');
  await expect(
    use(at.git, 'git_mv', { ...args, source: 'c.txt', destination: '.gitignore' }),
  ).rejects.toMatchObject({ code: 'conflict' });
  expect(await use(at.git, 'git_restore', { ...args, files: ['b.txt'], staged: true })).toEqual({
    restored: ['b.txt'],
  });
  expect(existsSync(join(repo, 'b.txt'))).toBe(false);
  await use(at.git, 'git_restore', { ...args, files: ['b.txt'] });
  expect(readFileSync(join(repo, 'b.txt'), 'utf8')).toBe('b');

  write(repo, { 'new.txt': '', 'x.log': '', 'd/new.txt': '' });
  expect(await use(at.git, 'git_clean', args)).toEqual({ dry_run: true, removed: ['new.txt'], count: 1 });
  expect(existsSync(join(repo, 'new.txt'))).toBe(true);
  const all = { ...args, dry_run: false, directories: true, ignored: true };
  expect(await use(at.git, 'git_clean', all)).toMatchObject({ count: 3 });
  expect(['new.txt', 'x.log', 'd'].filter((name) => existsSync(join(repo, name)))).toEqual([]);
});

test.concurrent('names with spaces, quotes, line ends, dashes and other bytes come back as they are', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const names = ['-dash', 'a "quoted" name', 'line\nend', 'tab\tname', 'ünïcode', ' space'];
  write(repo, Object.fromEntries(names.map((name) => [name, 'needle\n'])));
  const args = { repo_path: repo };
  const paths = (answer: Readonly<Record<string, unknown>>, key: string) =>
    (answer[key] as { path: string }[]).map(({ path }) => path).toSorted();

  expect(paths(await use(at.git, 'git_status', args), 'entries')).toEqual(names.toSorted());
  await use(at.git, 'git_commit', { ...args, message: 'names', files: names });
  expect((await use(at.git, 'git_ls_files', args))['files']).toEqual(expect.arrayContaining(names));
  const stat = await use(at.git, 'git_diff_stat', { ...args, target: 'HEAD~1..HEAD' });
  expect(paths(stat, 'files')).toEqual(names.toSorted());
  expect(stat['total']).toEqual({ files: 6, added: 6, deleted: 0 });
  const found = paths(await use(at.git, 'git_grep', { ...args, pattern: 'needle' }), 'matches');
  expect(found).toEqual(names.toSorted());
  for (const path of names) {
    expect(await use(at.git, 'git_show_file', { ...args, path })).toMatchObject({ content: 'needle\n' });
  }
});

test.concurrent('who wrote a line, and when a text came and went', async () => {
  using at = place();
  const repo = repository(at.root, 'repo', { 'a.txt': 'one\ntwo\n' });
  const first = plainGit(repo, 'rev-parse', 'HEAD');
  const second = commit(repo, 'adds', { 'a.txt': 'one\nneedle\ntwo\n' });
  const third = commit(repo, 'removes', { 'a.txt': 'one\ntwo\n' });
  const args = { repo_path: repo };

  expect(await use(at.git, 'git_blame', { ...args, path: 'a.txt', revision: second })).toMatchObject({
    lines: [
      { line: 1, commit: first, author: 'Bob', text: 'one', summary: 'first' },
      { line: 2, commit: second, text: 'needle', authored_at: '2026-01-02T01:04:05.000Z' },
      { line: 3, commit: first, text: 'two' },
    ],
  });
  const search = await use(at.git, 'git_search_history', { ...args, text: 'needle' });
  expect(search).toMatchObject({ commits: [{ hash: third }, { hash: second }] });
  expect(await use(at.git, 'git_search_history', { ...args, text: '^need', regex: true })).toMatchObject({
    commits: [{ hash: third }, { hash: second }],
  });
  expect(
    await use(at.git, 'git_grep', { ...args, pattern: 'NEED', ignore_case: true, revision: second }),
  ).toEqual({
    matches: [{ path: 'a.txt', line: 2, text: 'needle' }],
  });
});

test.concurrent('a file that is no text comes as base64, page by page', async () => {
  using at = place();
  const bytes = Buffer.from(Array.from({ length: 3_000 }, (_, number) => number % 256));
  const repo = repository(at.root, 'repo', { 'a.bin': bytes });
  const args = { repo_path: repo, path: 'a.bin', max_bytes: 1_000 };

  const parts: Buffer[] = [];
  let cursor: unknown;
  do {
    const page = await use(at.git, 'git_show_file', { ...args, cursor });
    expect(page).toMatchObject({ encoding: 'base64', size_bytes: 3_000 });
    parts.push(Buffer.from(page['content'] as string, 'base64'));
    cursor = page['next_cursor'];
  } while (cursor !== undefined);
  expect(Buffer.concat(parts).equals(bytes)).toBe(true);
});

test.concurrent('tags are made, listed and deleted', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const head = plainGit(repo, 'rev-parse', 'HEAD');
  const args = { repo_path: repo };

  await use(at.git, 'git_tag', { ...args, mode: 'create', name: 'v1', message: 'The first' });
  expect(plainGit(repo, 'cat-file', '-t', 'v1')).toBe('tag');
  expect(await use(at.git, 'git_tag', args)).toEqual({
    tags: [{ name: 'v1', commit: head, subject: 'The first' }],
  });
  await expect(use(at.git, 'git_tag', { ...args, mode: 'create', name: 'v1' })).rejects.toMatchObject({
    code: 'conflict',
  });
  await expect(use(at.git, 'git_tag', { ...args, mode: 'create', name: 'a b' })).rejects.toMatchObject({
    code: 'invalid_input',
  });
  await use(at.git, 'git_tag', { ...args, mode: 'delete', name: 'v1' });
  expect(plainGit(repo, 'tag')).toBe('');
});

test.concurrent('working trees are added below the roots, listed and removed', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const args = { repo_path: repo };
  const path = join(at.root, 'linked');

  await use(at.git, 'git_worktree', { ...args, mode: 'add', path, new_branch: 'side' });
  expect(await use(at.git, 'git_worktree', args)).toMatchObject({
    worktrees: [
      { path: repo, branch: 'main', within_roots: true },
      { path, branch: 'side', within_roots: true },
    ],
  });
  expect(await use(at.git, 'git_status', { repo_path: path })).toMatchObject({
    branch: 'side',
    is_clean: true,
  });
  await expect(
    use(at.git, 'git_worktree', { ...args, mode: 'add', path: join(at.outside, 'x') }),
  ).rejects.toMatchObject({ code: 'forbidden' });
  await use(at.git, 'git_worktree', { ...args, mode: 'remove', path });
  expect(existsSync(path)).toBe(false);
});

test.concurrent('a repository is made, and used before its first commit', async () => {
  using at = place({ name: undefined, email: undefined });
  const made = (await use(at.git, 'git_init', { repo_path: 'deep/new' })) as { path: string };
  const args = { repo_path: made.path };

  expect(made).toEqual({ path: join(at.root, 'deep/new'), branch: 'main' });
  expect(await use(at.git, 'git_status', args)).toMatchObject({ branch: 'main', is_clean: true });
  await expect(use(at.git, 'git_log', args)).rejects.toMatchObject({ code: 'not_found' });
  write(made.path, { 'a.txt': 'a' });
  await use(at.git, 'git_commit', { ...args, message: 'first', files: ['.'] });
  expect(plainGit(made.path, 'log', '--format=%an %ae')).toBe('Flotilla flotilla@localhost');
  plainGit(made.path, 'config', 'user.name', 'Own');
  await use(at.git, 'git_commit', { ...args, message: 'second', allow_empty: true });
  expect(plainGit(made.path, 'log', '-1', '--format=%an')).toBe('Own');
  await expect(use(at.git, 'git_init', { repo_path: made.path })).rejects.toMatchObject({ code: 'conflict' });
});

test.concurrent('ignored files stay: nothing is checked out, merged or picked over them', async () => {
  using at = place({ mayRewrite: true });
  const repo = repository(at.root, 'repo');
  plainGit(repo, 'branch', 'other');
  commit(repo, 'ignore', { '.gitignore': 'x.env\n' });
  plainGit(repo, 'checkout', '--quiet', '-b', 'side');
  write(repo, { 'x.env': 'theirs' });
  plainGit(repo, 'add', '--force', 'x.env');
  commit(repo, 'adds', {});
  plainGit(repo, 'checkout', '--quiet', 'main');
  commit(repo, 'own', { 'b.txt': 'b' });
  write(repo, { 'x.env': 'mine' });
  const args = { repo_path: repo };

  for (const [tool, more] of [
    ['git_checkout', { branch_name: 'side' }],
    ['git_merge', { branch: 'side' }],
    ['git_cherry_pick', { commits: ['side'] }],
    ['git_rebase', { upstream: 'side' }],
  ] as const) {
    await expect(use(at.git, tool, { ...args, ...more }), tool).rejects.toMatchObject({ code: 'conflict' });
    expect(readFileSync(join(repo, 'x.env'), 'utf8'), tool).toBe('mine');
  }
  expect(await use(at.git, 'git_checkout', { ...args, branch_name: 'other' })).toMatchObject({
    branch: 'other',
  });
});

test.concurrent('the index is restored alone, and during a merge what is not in conflict', async () => {
  using at = place();
  const repo = repository(at.root, 'repo', { 'a.txt': 'a\n', 'b.txt': 'b' });
  const args = { repo_path: repo };
  write(repo, { 'b.txt': 'changed' });
  plainGit(repo, 'add', 'b.txt');

  await use(at.git, 'git_restore', { ...args, files: ['b.txt'], staged: true });
  expect(plainGit(repo, 'status', '--porcelain')).toBe(' M b.txt');
  plainGit(repo, 'checkout', '--quiet', 'b.txt');
  plainGit(repo, 'checkout', '--quiet', '-b', 'side');
  commit(repo, 'side', { 'a.txt': 'side\n' });
  plainGit(repo, 'checkout', '--quiet', 'main');
  commit(repo, 'main', { 'a.txt': 'main\n' });
  await use(at.git, 'git_merge', { ...args, branch: 'side' });
  write(repo, { 'b.txt': 'changed' });
  await use(at.git, 'git_restore', { ...args, files: ['b.txt'] });
  expect(readFileSync(join(repo, 'b.txt'), 'utf8')).toBe('b');
});

test.concurrent('a pick of what is here already leaves nothing behind', async () => {
  using at = place();
  const repo = diverged(at, false);
  const args = { repo_path: repo };
  await use(at.git, 'git_cherry_pick', { ...args, commits: ['side'] });
  const head = plainGit(repo, 'rev-parse', 'HEAD');

  await expect(use(at.git, 'git_cherry_pick', { ...args, commits: ['side'] })).rejects.toMatchObject({
    code: 'conflict',
  });
  expect(plainGit(repo, 'rev-parse', 'HEAD')).toBe(head);
  expect(await use(at.git, 'git_conflicts', args)).toEqual({ in_progress: [], conflicts: [] });
  await use(at.git, 'git_commit', { ...args, message: 'mine', allow_empty: true });
  expect(plainGit(repo, 'log', '-1', '--format=%an')).toBe('Ada');
});

test.concurrent('lines of a file without lines, beyond its end, and of no time', async () => {
  using at = place();
  const repo = repository(at.root, 'repo', { 'a.txt': 'one\n', empty: '' });
  const tree = plainGit(repo, 'rev-parse', 'HEAD^{tree}');
  write(repo, {
    object: `tree ${tree}\nauthor A <a@b> 99999999999999 +0000\ncommitter A <a@b> 1 +0000\n\nx\n`,
  });
  const odd = plainGit(repo, 'hash-object', '-t', 'commit', '-w', '--literally', 'object');
  const args = { repo_path: repo };

  expect(await use(at.git, 'git_blame', { ...args, path: 'empty' })).toEqual({ lines: [] });
  await expect(use(at.git, 'git_blame', { ...args, path: 'a.txt', start_line: 5 })).rejects.toMatchObject({
    code: 'not_found',
  });
  expect(await use(at.git, 'git_blame', { ...args, path: 'a.txt', revision: odd })).toMatchObject({
    lines: [{ authored_at: '1970-01-01T00:00:00.000Z' }],
  });
});

test.concurrent('a branch that no repository can have makes none', async () => {
  using at = place();

  await expect(use(at.git, 'git_init', { repo_path: 'new', initial_branch: 'a..b' })).rejects.toMatchObject({
    code: 'invalid_input',
  });
  expect(existsSync(join(at.root, 'new'))).toBe(false);
});

test.concurrent('git_clean names files as they are', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const names = ['a "quoted" name', 'line\nend', 'tab\tname', '\x01\\x', 'ünï'];
  write(repo, Object.fromEntries(names.map((name) => [name, ''])));

  const { removed } = await use(at.git, 'git_clean', { repo_path: repo });
  expect((removed as string[]).toSorted()).toEqual(names.toSorted());
});

test.concurrent('a submodule without programs is added with its new commit', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const folder = repository(repo, 'sub', { 'x.txt': 'x' });
  const args = { repo_path: repo };

  await use(at.git, 'git_add', { ...args, files: ['sub'], force: true });
  await use(at.git, 'git_commit', { ...args, message: 'sub' });
  commit(folder, 'more', { 'x.txt': 'y' });
  expect(await use(at.git, 'git_add', { ...args, files: ['.'] })).toEqual({ staged: ['sub'] });
});

test.concurrent('another repository inside is named and not added, unless that is meant', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const inner = repository(repo, 'deep inside', { 'x.txt': 'x' });
  plainGit(repo, 'worktree', 'add', '--quiet', 'linked');
  write(repo, { 'new.txt': 'new' });
  const refused = (name: string) => ({
    code: 'conflict',
    message: `${name} is a repository of its own: none of its files would be added.`,
  });

  await expect(use(at.git, 'git_add', { repo_path: repo, files: ['.'] })).rejects.toMatchObject(
    refused('deep inside'),
  );
  const linked = { repo_path: repo, files: ['linked'] };
  await expect(use(at.git, 'git_add', linked)).rejects.toMatchObject(refused('linked'));
  await expect(use(at.git, 'git_commit', { ...linked, message: 'x' })).rejects.toMatchObject(
    refused('linked'),
  );
  expect(plainGit(repo, 'diff', '--cached', '--name-only')).toBe('');

  await use(at.git, 'git_add', { repo_path: repo, files: ['deep inside'], force: true });
  expect(plainGit(repo, 'ls-files', '--stage', 'deep inside')).toContain(
    plainGit(inner, 'rev-parse', 'HEAD'),
  );
  write(inner, { 'y.txt': 'y' });
  commit(inner, 'second', {});
  await use(at.git, 'git_add', { repo_path: repo, files: ['deep inside', 'new.txt'] });
  expect(plainGit(repo, 'ls-files', '--stage', 'deep inside')).toContain(
    plainGit(inner, 'rev-parse', 'HEAD'),
  );
});

test.concurrent('git_show shows what a merge brought to its first parent', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  plainGit(repo, 'checkout', '--quiet', '-b', 'side');
  commit(repo, 'side', { 'side.txt': 'side\n' });
  plainGit(repo, 'checkout', '--quiet', 'main');
  commit(repo, 'main', { 'main.txt': 'main\n' });
  plainGit(repo, 'merge', '--quiet', '--no-edit', 'side');

  const shown = await say(at.git, 'git_show', { repo_path: repo, revision: 'HEAD' });

  expect(shown).toContain('+side');
  expect(shown).not.toContain('+main');
});

test.concurrent('a name below another, or above, is refused with the reason', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  plainGit(repo, 'tag', 'v1');
  plainGit(repo, 'branch', 'deep/one');
  const refused = {
    code: 'conflict',
    message: expect.stringContaining('exists; cannot create') as string,
    hint: expect.stringContaining('one cannot lie below the other') as string,
  };

  for (const [tool, args] of [
    ['git_create_branch', { branch_name: 'main/sub' }],
    ['git_create_branch', { branch_name: 'deep' }],
    ['git_checkout', { branch_name: 'main/sub', create: true }],
    ['git_tag', { mode: 'create', name: 'v1/x' }],
    ['git_worktree', { mode: 'add', path: 'made', new_branch: 'main/sub' }],
  ] as const) {
    await expect(use(at.git, tool, { repo_path: repo, ...args }), tool).rejects.toMatchObject(refused);
  }
  expect(existsSync(join(at.root, 'made'))).toBe(false);
});

test.concurrent('clone, fetch and push tell how far they are', async () => {
  using at = place({ mayPush: true });
  const repo = repository(at.root, 'repo');
  plainGit(repo, 'config', 'receive.denyCurrentBranch', 'ignore');
  const told: [number, string | undefined][] = [];
  const progress = (done: number, _: unknown, message?: string) => void told.push([done, message]);

  await use(at.git, 'git_clone', { repo_path: 'copy', url: 'repo' }, { progress });
  expect(told.map(([, message]) => message)).toContain('Receiving objects: 100%');
  const cloned = told.length;
  commit(repo, 'more', { 'more.txt': 'more' });
  await use(at.git, 'git_fetch', { repo_path: 'copy' }, { progress });
  expect(told.length).toBeGreaterThan(cloned);
  await use(at.git, 'git_pull', { repo_path: 'copy' });
  const fetched = told.length;
  commit(join(at.root, 'copy'), 'mine', { 'mine.txt': 'mine' });
  await use(at.git, 'git_push', { repo_path: 'copy' }, { progress });

  expect(told.slice(fetched).map(([, message]) => message)).toContain('Writing objects: 100%');
  expect(told.slice(0, cloned).map(([done]) => done)).toEqual(
    told
      .slice(0, cloned)
      .map(([done]) => done)
      .toSorted((a, b) => a - b),
  );
});

test.concurrent('where a driver would merge, the conflict is left to the caller', async () => {
  using at = place();
  const repo = diverged(at);
  plainGit(repo, 'config', 'merge.ours.driver', 'true');
  write(repo, { '.git/info/attributes': '* merge=ours\n' });

  const merged = await use(at.git, 'git_merge', { repo_path: repo, branch: 'side' });

  expect(merged).toMatchObject({ outcome: 'conflicts', conflicts: ['a.txt'] });
});
