/** A repository below the roots that leads git somewhere else is refused; one that leads to another place below them works. */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { expect, test, vi } from 'vitest';

import { commit, place, plainGit, repository, use, write, type Place } from './repositories.fixture.ts';

// Many processes in a row, on machines of every speed.
vi.setConfig({ testTimeout: 60_000 });

const strays: readonly (readonly [string, (repo: string, at: Place) => void])[] = [
  [
    'a .git file',
    (repo, at) => {
      const other = repository(at.outside, 'other');
      rmSync(join(repo, '.git'), { recursive: true });
      writeFileSync(join(repo, '.git'), `gitdir: ${other}/.git\n`);
    },
  ],
  [
    'a .git link',
    (repo, at) => {
      const other = repository(at.outside, 'other');
      rmSync(join(repo, '.git'), { recursive: true });
      symlinkSync(join(other, '.git'), join(repo, '.git'));
    },
  ],
  [
    'a commondir',
    (repo, at) => writeFileSync(join(repo, '.git/commondir'), join(repository(at.outside, 'other'), '.git')),
  ],
  ['a missing commondir', (repo) => writeFileSync(join(repo, '.git/commondir'), '../../nowhere')],
  [
    'alternates',
    (repo, at) =>
      write(repo, { '.git/objects/info/alternates': `${repository(at.outside, 'other')}/.git/objects\n` }),
  ],
  [
    'alternates of alternates',
    (repo, at) => {
      const other = repository(at.outside, 'other');
      const between = repository(at.root, 'between');
      write(between, { '.git/objects/info/alternates': `${other}/.git/objects\n` });
      write(repo, { '.git/objects/info/alternates': '../../../between/.git/objects\n' });
    },
  ],
  ['quoted alternates', (repo, at) => write(repo, { '.git/objects/info/alternates': `"${at.outside}"\n` })],
  ['a core.worktree', (repo, at) => void plainGit(repo, 'config', 'core.worktree', at.outside)],
  [
    'an include',
    (repo, at) => {
      write(at.outside, { config: '' });
      plainGit(repo, 'config', 'include.path', join(at.outside, 'config'));
    },
  ],
  [
    'a conditional include of an include',
    (repo, at) => {
      write(at.outside, { config: '' });
      write(repo, { '.git/more': `[include]\npath = ${at.outside}/config\n` });
      plainGit(repo, 'config', 'includeIf.gitdir:/nowhere.path', 'more');
    },
  ],
  ['an include of the home', (repo) => void plainGit(repo, 'config', 'include.path', '~root/x')],
  [
    'a link to a log',
    (repo, at) => {
      write(at.outside, { profile: '' });
      rmSync(join(repo, '.git/logs/HEAD'));
      symlinkSync(join(at.outside, 'profile'), join(repo, '.git/logs/HEAD'));
    },
  ],
  [
    'a link to what is not there yet',
    (repo, at) => symlinkSync(join(at.outside, 'new'), join(repo, '.git/COMMIT_EDITMSG2')),
  ],
  [
    'a link to refs',
    (repo, at) => {
      rmSync(join(repo, '.git/refs/tags'), { recursive: true });
      symlinkSync(at.outside, join(repo, '.git/refs/tags'));
    },
  ],
  ['a link to objects', (repo, at) => symlinkSync(at.outside, join(repo, '.git/objects/zz'))],
];

test.each(strays)('%s that leads outside the roots is refused', async (_, lead) => {
  using at = place();
  const repo = repository(at.root, 'repo');
  lead(repo, at);

  for (const [tool, args] of [
    ['git_status', {}],
    ['git_commit', { message: 'x', allow_empty: true }],
    ['git_log', {}],
  ] as const) {
    await expect(use(at.git, tool, { repo_path: repo, ...args }), tool).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringMatching(/^The repository is refused: /) as string,
    });
  }
  expect(existsSync(join(at.outside, 'new'))).toBe(false);
});

test('working trees, submodules, alternates and includes below the roots work', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  plainGit(repo, 'worktree', 'add', '--quiet', '../linked');
  plainGit(at.root, 'clone', '--quiet', '--shared', 'repo', 'shared');
  plainGit(
    repo,
    '-c',
    'protocol.file.allow=always',
    'submodule',
    '--quiet',
    'add',
    join(at.root, 'shared'),
    'sub',
  );
  write(join(at.root, 'shared'), { 'common.config': '[user]\n\tname = Eve\n' });
  plainGit(join(at.root, 'shared'), 'config', 'include.path', '../common.config');

  for (const folder of ['linked', 'shared', 'repo/sub']) {
    const path = join(at.root, folder);
    write(path, { 'new.txt': folder });
    await use(at.git, 'git_commit', { repo_path: path, message: folder, files: ['new.txt'] });
    expect(plainGit(path, 'log', '-1', '--format=%s')).toBe(folder);
  }
});

test('a bare repository is read, and the .git folder of another is none', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  plainGit(at.root, 'clone', '--quiet', '--bare', 'repo', 'bare');

  expect(await use(at.git, 'git_log', { repo_path: join(at.root, 'bare') })).toMatchObject({
    commits: [{ message: 'first\n' }],
  });
  await expect(use(at.git, 'git_log', { repo_path: join(repo, '.git') })).rejects.toMatchObject({
    code: 'not_found',
  });
  await expect(use(at.git, 'git_status', { repo_path: at.root })).rejects.toMatchObject({
    code: 'not_found',
  });
  await expect(use(at.git, 'git_status', { repo_path: 'nowhere' })).rejects.toMatchObject({
    code: 'not_found',
  });
});

test('a folder within a repository is not the repository', async () => {
  using at = place();
  const repo = repository(at.root, 'repo', { 'sub/a.txt': 'a' });

  await expect(use(at.git, 'git_status', { repo_path: join(repo, 'sub') })).rejects.toMatchObject({
    code: 'not_found',
    message: expect.stringContaining(join(repo, 'sub')) as string,
  });
});

test('the repository of another user is served: the roots say what is trusted, and nothing of it runs', async (context) => {
  if (process.getuid?.() !== 0) context.skip('only root can give a folder away');
  using at = place();
  const repo = repository(at.root, 'repo');
  const { chownSync } = await import('node:fs');
  for (const path of [repo, join(repo, '.git')]) chownSync(path, 12_345, 12_345);

  expect(() => plainGit(repo, 'status')).toThrow(/dubious ownership/);
  expect(await use(at.git, 'git_status', { repo_path: repo })).toMatchObject({ is_clean: true });
});

test('lines of files outside do not come back in errors', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  write(at.outside, { secret: 'the secret line\n' });
  for (const key of [
    'blame.ignoreRevsFile',
    'mailmap.file',
    'diff.orderFile',
    'core.excludesFile',
    'commit.template',
  ]) {
    plainGit(repo, 'config', key, join(at.outside, 'secret'));
  }
  const calls = [
    ['git_blame', { path: 'a.txt' }],
    ['git_log', {}],
    ['git_diff', { target: 'HEAD' }],
    ['git_commit', { message: 'x', allow_empty: true }],
  ] as const;

  for (const [tool, args] of calls) {
    expect(JSON.stringify(await use(at.git, tool, { repo_path: repo, ...args }))).not.toContain(
      'secret line',
    );
  }
});

test('paths that need a filter are refused, and others of the same repository are not', async () => {
  using at = place({ mayRewrite: true });
  const repo = repository(at.root, 'repo');
  commit(repo, 'lfs', { '.gitattributes': '*.bin filter=lfs diff=lfs -text\n', 'a.bin': 'pointer' });
  plainGit(repo, 'branch', 'side', 'HEAD');
  commit(repo, 'text', { 'a.txt': 'changed' });
  plainGit(repo, 'branch', 'binary');
  commit(repo, 'bin', { 'a.bin': 'other pointer' });
  const args = { repo_path: repo };

  expect(await use(at.git, 'git_checkout', { ...args, branch_name: 'main' })).toMatchObject({
    branch: 'main',
  });
  await expect(use(at.git, 'git_checkout', { ...args, branch_name: 'side' })).rejects.toMatchObject({
    code: 'forbidden',
    message: 'a.bin needs the filter "lfs" (.gitattributes), and this service runs no filters.',
  });
  write(repo, { 'a.bin': 'content', 'b.txt': 'b' });
  await expect(use(at.git, 'git_add', { ...args, files: ['a.bin'] })).rejects.toMatchObject({
    code: 'forbidden',
  });
  await expect(use(at.git, 'git_restore', { ...args, files: ['a.bin'] })).rejects.toMatchObject({
    code: 'forbidden',
  });
  await use(at.git, 'git_add', { ...args, files: ['b.txt'] });
  expect(plainGit(repo, 'diff', '--cached', '--name-only')).toBe('b.txt');
  expect(readFileSync(join(repo, 'a.bin'), 'utf8')).toBe('content');
});

test('a configuration that is too large, or names too many programs, is refused', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const lines = Array.from({ length: 1_000 }, (_, number) => `[filter "f${number}"]\n\tclean = x\n`);
  appendFileSync(join(repo, '.git/config'), lines.join(''));

  await expect(use(at.git, 'git_status', { repo_path: repo })).rejects.toMatchObject({ code: 'too_large' });
  mkdirSync(join(repo, 'x'));
  appendFileSync(join(repo, '.git/config'), `[x]\n\ty = ${'z'.repeat(1_100_000)}\n`);
  await expect(use(at.git, 'git_status', { repo_path: repo })).rejects.toMatchObject({ code: 'too_large' });
});
