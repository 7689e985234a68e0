/** The twelve tools of mcp-server-git answer in its words. */
import { realpathSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { commit, place, plainGit, repository, say, use, write } from './repositories.fixture.ts';

// Many processes, on machines of every speed; most tests wait for them, each in a place of its own.

test.concurrent('git_status says what git status says', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const status = () => plainGit(repo, 'status');

  expect(await say(at.git, 'git_status', { repo_path: repo })).toBe(
    'Repository status:\nOn branch main\nnothing to commit, working tree clean',
  );
  write(repo, { 'a.txt': 'changed\n', 'new.txt': '' });
  expect(await say(at.git, 'git_status', { repo_path: repo })).toBe(`Repository status:\n${status()}`);
});

test.concurrent('the diffs say what git diff says, with as many lines around as asked for', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  write(repo, { 'a.txt': 'one\nTWO\nthree\n' });
  const args = { repo_path: repo };

  expect(await say(at.git, 'git_diff_unstaged', args)).toBe(`Unstaged changes:\n${plainGit(repo, 'diff')}`);
  expect(await say(at.git, 'git_diff_unstaged', { ...args, context_lines: 0 })).toBe(
    `Unstaged changes:\n${plainGit(repo, 'diff', '--unified=0')}`,
  );
  expect(await say(at.git, 'git_diff_staged', args)).toBe('Staged changes:\n');
  plainGit(repo, 'add', '.');
  expect(await say(at.git, 'git_diff_staged', args)).toBe(
    `Staged changes:\n${plainGit(repo, 'diff', '--cached')}`,
  );
  expect(await say(at.git, 'git_diff', { ...args, target: 'main' })).toBe(
    `Diff with main:\n${plainGit(repo, 'diff', 'main')}`,
  );
});

test.concurrent('files are staged, committed and unstaged', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  write(repo, { 'b.txt': 'b', 'c/d.txt': 'd', '-n': 'dash' });
  const args = { repo_path: repo };

  expect(await say(at.git, 'git_add', { ...args, files: ['b.txt', '-n', join(repo, 'c/d.txt')] })).toBe(
    'Files staged successfully',
  );
  expect(plainGit(repo, 'diff', '--cached', '--name-only')).toBe('-n\nb.txt\nc/d.txt');
  expect(await say(at.git, 'git_reset', args)).toBe('All staged changes reset');
  expect(plainGit(repo, 'diff', '--cached', '--name-only')).toBe('');
  await use(at.git, 'git_add', { ...args, files: ['.'] });
  const text = await say(at.git, 'git_commit', { ...args, message: '# not a comment' });
  expect(text).toBe(`Changes committed successfully with hash ${plainGit(repo, 'rev-parse', 'HEAD')}`);
  expect(plainGit(repo, 'log', '-1', '--format=%an %ae %s %ct')).toBe(
    `Ada ada@example.com # not a comment ${Date.parse('2026-11-20T12:00:00Z') / 1000}`,
  );
  await expect(use(at.git, 'git_commit', { ...args, message: 'again' })).rejects.toMatchObject({
    code: 'conflict',
    message:
      'No changes staged for commit. Use git_add to stage changes first; git_status shows what is currently staged.',
  });
});

test.concurrent('git_log writes commits as the official server does, newest first', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const first = plainGit(repo, 'rev-parse', 'HEAD');
  const second = commit(repo, 'it\'s\n\n"two"\\', { 'b.txt': '' });
  const args = { repo_path: repo };
  const entry = (hash: string, message: string) =>
    `Commit: '${hash}'\nAuthor: <git.Actor "Bob <bob@example.com>">\nDate: 2026-01-02 03:04:05+02:00\nMessage: ${message}\n`;

  expect(await say(at.git, 'git_log', args)).toBe(
    `Commit history:\n${entry(second, String.raw`'it\'s\n\n"two"\\\n'`)}\n${entry(first, String.raw`'first\n'`)}`,
  );
  expect(await use(at.git, 'git_log', { ...args, max_count: 1 })).toMatchObject({
    commits: [{ hash: second, parents: [first] }],
    truncated: true,
  });
  expect(await say(at.git, 'git_log', { ...args, start_timestamp: '2099-01-01' })).toBe('Commit history:\n');
  expect(await say(at.git, 'git_log', { ...args, end_timestamp: '2000-01-01' })).toBe('Commit history:\n');
});

test.concurrent('branches are made, listed and switched to', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const args = { repo_path: repo };

  expect(await say(at.git, 'git_create_branch', { ...args, branch_name: 'feat' })).toBe(
    "Created branch 'feat' from 'main'",
  );
  expect(await say(at.git, 'git_branch', { ...args, branch_type: 'local' })).toBe('  feat\n* main');
  expect(await say(at.git, 'git_branch', { ...args, branch_type: 'remote' })).toBe('');
  expect(await say(at.git, 'git_checkout', { ...args, branch_name: 'feat' })).toBe(
    "Switched to branch 'feat'",
  );
  const head = commit(repo, 'more', { 'b.txt': 'b' });
  expect(await say(at.git, 'git_create_branch', { ...args, branch_name: 'x', base_branch: 'main' })).toBe(
    "Created branch 'x' from 'main'",
  );
  expect(await say(at.git, 'git_branch', { ...args, branch_type: 'all', contains: head })).toBe('* feat');
  expect(await say(at.git, 'git_branch', { ...args, branch_type: 'local', not_contains: head })).toBe(
    '  main\n  x',
  );
  expect(await say(at.git, 'git_checkout', { ...args, branch_name: 'HEAD~1' })).toBe(
    `HEAD is now detached at ${plainGit(repo, 'rev-parse', 'main').slice(0, 7)}`,
  );
  expect(await say(at.git, 'git_branch', { ...args, branch_type: 'local' })).toMatch(
    /^\* \(HEAD detached at /,
  );
});

test.concurrent('git_branch shows remote branches as git branch does', async () => {
  using at = place();
  repository(at.root, 'repo');
  plainGit(at.root, 'clone', '--quiet', 'repo', 'copy');
  const copy = join(at.root, 'copy');

  for (const [type, flag] of [
    ['remote', '-r'],
    ['all', '-a'],
  ] as const) {
    expect(await say(at.git, 'git_branch', { repo_path: copy, branch_type: type })).toBe(
      plainGit(copy, 'branch', flag),
    );
  }
});

test.concurrent('git_show shows a commit with its patch, a file, and a folder', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const head = commit(repo, 'second\n\nwith a body', { 'a.txt': 'one\n', 'd/e.txt': 'caf\u00e9\n' });
  const args = { repo_path: repo };

  expect(await say(at.git, 'git_show', { ...args, revision: head })).toBe(
    `${plainGit(repo, 'show', '--date=iso')}\n`,
  );
  expect(await say(at.git, 'git_show', { ...args, revision: 'HEAD:d/e.txt' })).toBe('café\n');
  expect(await say(at.git, 'git_show', { ...args, revision: 'HEAD:' })).toBe('a.txt\nd\n');
});

const phrases: readonly (readonly [string, Readonly<Record<string, unknown>>, string, RegExp])[] = [
  ['git_diff', { target: 'nope' }, 'not_found', /^Ref 'nope' did not resolve to an object$/],
  [
    'git_diff',
    { target: '--output=x' },
    'invalid_input',
    /Invalid target: '--output=x' - cannot start with '-'/,
  ],
  ['git_checkout', { branch_name: 'nope' }, 'not_found', /^Ref 'nope' did not resolve to an object$/],
  [
    'git_checkout',
    { branch_name: '-f' },
    'invalid_input',
    /Invalid branch name: '-f' - cannot start with '-'/,
  ],
  [
    'git_create_branch',
    { branch_name: 'main' },
    'conflict',
    /^Cannot create branch 'main': refs\/heads\/main already exists$/,
  ],
  [
    'git_create_branch',
    { branch_name: 'x', base_branch: '-t' },
    'invalid_input',
    /Invalid base branch: '-t' - cannot start/,
  ],
  [
    'git_log',
    { start_timestamp: '--all' },
    'invalid_input',
    /Invalid start_timestamp: '--all' - cannot start with '-'/,
  ],
  [
    'git_show',
    { revision: '--format=x' },
    'invalid_input',
    /Invalid revision: '--format=x' - cannot start with '-'/,
  ],
  ['git_branch', { branch_type: 'bogus' }, 'invalid_input', /Invalid branch type: bogus/],
  [
    'git_branch',
    { branch_type: 'local', contains: '--x' },
    'invalid_input',
    /Invalid contains value: '--x' - cannot start/,
  ],
  ['git_add', { files: ['../x'] }, 'forbidden', /^Path '..\/x' is outside the repository '.*\/repo'$/],
  ['git_add', { files: ['nope.txt'] }, 'not_found', /pathspec 'nope.txt' did not match any files/],
];

test.concurrent.each(phrases)('%s %j is %s', async (tool, args, code, message) => {
  using at = place();
  const repo = repository(at.root, 'repo');

  await expect(use(at.git, tool, { repo_path: repo, ...args })).rejects.toMatchObject({
    code,
    message: expect.stringMatching(message) as string,
  });
  expect(realpathSync(repo)).toBe(repo);
});

test.concurrent('times that are none, patterns that are none and no commits at all', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const log = async (args: Readonly<Record<string, unknown>>) =>
    use(at.git, 'git_log', { repo_path: repo, ...args });

  for (const args of [{ start_timestamp: 'garbage' }, { end_timestamp: '2 wekks ago' }, { author: '[' }]) {
    await expect(log(args)).rejects.toMatchObject({ code: 'invalid_input' });
  }
  for (const start_timestamp of [
    '2 weeks ago',
    'yesterday',
    '2024-01-15T14:30:25',
    '2024-01-15T14:30:25Z',
    'Jan 15 2024',
    'last friday',
    'noon yesterday',
    '15th of January 2024 14:30 CEST',
  ]) {
    await log({ start_timestamp });
  }
  expect(await log({ max_count: 0 })).toEqual({ commits: [] });
});

test.concurrent('a repository that prefers other forms is answered in the same ones', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  write(repo, { 'a.txt': 'one\nTWO\nthree\n', 'new.txt': '' });
  plainGit(repo, 'stash', '--quiet');
  write(repo, { 'a.txt': 'one\nTWO\nthree\n' });
  const answers = async () =>
    Promise.all(
      (
        [
          ['git_status', {}],
          ['git_show', { revision: 'HEAD' }],
          ['git_log', {}],
          ['git_diff_unstaged', {}],
          ['git_stash', { mode: 'show' }],
          ['git_grep', { pattern: 'T' }],
        ] as const
      ).map(async ([tool, args]) => say(at.git, tool, { repo_path: repo, ...args })),
    );
  const before = await answers();

  for (const [key, value] of [
    ['status.short', 'true'],
    ['status.branch', 'true'],
    ['color.status', 'always'],
    ['log.showRoot', 'false'],
    ['log.decorate', 'full'],
    ['log.abbrevCommit', 'true'],
    ['format.pretty', 'oneline'],
    ['diff.context', '0'],
    ['diff.noprefix', 'true'],
    ['core.abbrev', '12'],
    ['grep.column', 'true'],
    ['advice.statusHints', 'false'],
  ] as const) {
    plainGit(repo, 'config', key, value);
  }
  expect(await answers()).toEqual(before);
});

test.concurrent('messages are written as Python writes them, whatever is in them', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  commit(repo, 'a\u00a0b\u200bc\u2028d\u{e0001}e\x7ff é😀', {});

  expect(await say(at.git, 'git_log', { repo_path: repo, max_count: 1 })).toContain(
    String.raw`Message: 'a\xa0b\u200bc\u2028d\U000e0001e\x7ff é😀\n'`,
  );
});
