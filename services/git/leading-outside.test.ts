/** A repository below the roots that leads git somewhere else is refused; one that leads to another place below them works. */
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

import { expect, test } from 'vitest';

import { testCall } from '#runtime/testing.ts';

import { validCalls } from './calls.fixture.ts';
import { allTools } from './service.ts';
import { commit, place, plainGit, repository, use, write, type Place } from './repositories.fixture.ts';

// Many processes, on machines of every speed; most tests wait for them, each in a place of its own.

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
  [
    'a link to packs',
    (repo, at) => {
      const other = repository(at.outside, 'other');
      plainGit(other, 'repack', '-a', '-d', '-q');
      mkdirSync(join(repo, '.git/objects/pack'), { recursive: true });
      for (const name of readdirSync(join(other, '.git/objects/pack'))) {
        symlinkSync(join(other, '.git/objects/pack', name), join(repo, '.git/objects/pack', name));
      }
    },
  ],
  [
    'a link to an object',
    (repo, at) => {
      mkdirSync(join(repo, '.git/objects/ff'));
      symlinkSync(join(at.outside, 'object'), join(repo, '.git/objects/ff', 'f'.repeat(38)));
    },
  ],
  [
    'a link to objects of alternates',
    (repo, at) => {
      const between = repository(at.root, 'between');
      symlinkSync(at.outside, join(between, '.git/objects/pack/x'));
      write(repo, { '.git/objects/info/alternates': '../../../between/.git/objects\n' });
    },
  ],
  [
    'a link to a link',
    (repo, at) => {
      mkdirSync(join(at.root, 'between'));
      symlinkSync(at.outside, join(at.root, 'between/tags'));
      symlinkSync(join(at.root, 'between'), join(repo, '.git/refs/more'));
    },
  ],
  // Git goes by the bytes, and by what links really lead to; what U+FFFD or a shorter path would name is a decoy.
  [
    'a commondir of other bytes',
    (repo, at) => {
      decoy(at, 'cd\ufffd');
      writeFileSync(join(repo, '.git/commondir'), Buffer.from('../../cd\xff', 'latin1'));
    },
  ],
  [
    'a commondir with a space',
    (repo, at) => {
      decoy(at, 'cd');
      symlinkSync(join(repository(at.outside, 'other'), '.git'), join(at.root, 'cd '));
      writeFileSync(join(repo, '.git/commondir'), '../../cd \n');
    },
  ],
  [
    'a commondir behind a link',
    (repo, at) => {
      repository(at.root, 'deep');
      repository(at.outside, 'deep');
      mkdirSync(join(at.outside, 'x'));
      symlinkSync(join(at.outside, 'x'), join(repo, 'way'));
      writeFileSync(join(repo, '.git/commondir'), '../way/../deep/.git');
      decoy(at, 'repo/deep/.git');
    },
  ],
  [
    'alternates of other bytes',
    (repo, at) => {
      decoy(at, 'objects\ufffd');
      writeFileSync(
        join(repo, '.git/objects/info/alternates'),
        Buffer.from(`${at.root}/objects\xff\n`, 'latin1'),
      );
    },
  ],
  [
    'an include of other bytes',
    (repo, at) => {
      write(at.root, { 'x\ufffd': '' });
      appendFileSync(join(repo, '.git/config'), Buffer.from('[include]\npath = ../../x\xff\n', 'latin1'));
    },
  ],
  [
    'a filter of other bytes',
    (repo) =>
      appendFileSync(join(repo, '.git/config'), Buffer.from('[filter "\xff"]\nclean = false\n', 'latin1')),
  ],
  [
    'a link below a folder of other bytes',
    (repo, at) => {
      write(at.outside, { log: '' });
      const folder = Buffer.from(`${repo}/.git/logs/refs/heads/\xff`, 'latin1');
      mkdirSync(folder);
      symlinkSync(join(at.outside, 'log'), Buffer.concat([folder, Buffer.from('/b')]));
    },
  ],
  ...[
    'commondir',
    'config',
    'config.worktree',
    'HEAD',
    'index',
    'packed-refs',
    'info/attributes',
    'objects/info/alternates',
    'MERGE_HEAD',
  ].map(
    (name) =>
      [
        `a pipe as ${name}, which`,
        (repo: string) => {
          mkdirSync(dirname(join(repo, '.git', name)), { recursive: true });
          rmSync(join(repo, '.git', name), { force: true });
          execFileSync('mkfifo', [join(repo, '.git', name)]);
        },
      ] as const,
  ),
  ['a pipe as .gitmodules, which', (repo) => void execFileSync('mkfifo', [join(repo, '.gitmodules')])],
  [
    'a .gitmodules link',
    (repo, at) => {
      write(at.outside, { modules: 'no configuration' });
      symlinkSync(join(at.outside, 'modules'), join(repo, '.gitmodules'));
    },
  ],
];

const decoy = (at: Place, name: string) => mkdirSync(join(at.root, name), { recursive: true });

test.concurrent.each(strays)('%s that leads outside the roots is refused', async (_, lead) => {
  using at = place({ mayPush: true, mayRewrite: true });
  const repo = repository(at.root, 'repo');
  lead(repo, at);

  // Before git reads it: nothing is waited for, and nothing outside is written.
  const before = readdirSync(at.outside, { recursive: true });
  await Promise.all(
    allTools.map(async ({ name }) => {
      if (name === 'git_init') return;
      const path = name === 'git_clone' ? join(at.root, 'copy') : repo;
      await expect(
        use(at.git, name, { ...validCalls[name]?.args, repo_path: path }),
        name,
      ).rejects.toMatchObject({
        code: 'forbidden',
        message: expect.stringMatching(/^The repository is refused: /) as string,
      });
    }),
  );
  expect(readdirSync(at.outside, { recursive: true })).toEqual(before);
  expect(existsSync(join(at.outside, 'new'))).toBe(false);
});

test.concurrent('working trees, submodules, alternates and includes below the roots work', async () => {
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

test.concurrent('a bare repository is read, and the .git folder of another is none', async () => {
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

test.concurrent('a folder within a repository is not the repository', async () => {
  using at = place();
  const repo = repository(at.root, 'repo', { 'sub/a.txt': 'a' });

  await expect(use(at.git, 'git_status', { repo_path: join(repo, 'sub') })).rejects.toMatchObject({
    code: 'not_found',
    message: expect.stringContaining(join(repo, 'sub')) as string,
  });
});

test.concurrent('the repository of another user is served: the roots say what is trusted, and nothing of it runs', async (context) => {
  if (process.getuid?.() !== 0) context.skip('only root can give a folder away');
  using at = place();
  const repo = repository(at.root, 'repo');
  const { chownSync } = await import('node:fs');
  for (const path of [repo, join(repo, '.git')]) chownSync(path, 12_345, 12_345);

  expect(() => plainGit(repo, 'status')).toThrow(/dubious ownership/);
  expect(await use(at.git, 'git_status', { repo_path: repo })).toMatchObject({ is_clean: true });
});

test.concurrent('lines of files outside do not come back in errors', async () => {
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

test.concurrent('paths that need a filter are refused, and others of the same repository are not', async () => {
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

test.concurrent('a configuration that is too large, or names too many programs, is refused', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const lines = Array.from({ length: 1_000 }, (_, number) => `[filter "f${number}"]\n\tclean = x\n`);
  appendFileSync(join(repo, '.git/config'), lines.join(''));

  await expect(use(at.git, 'git_status', { repo_path: repo })).rejects.toMatchObject({ code: 'too_large' });
  mkdirSync(join(repo, 'x'));
  appendFileSync(join(repo, '.git/config'), `[x]\n\ty = ${'z'.repeat(1_100_000)}\n`);
  await expect(use(at.git, 'git_status', { repo_path: repo })).rejects.toMatchObject({ code: 'too_large' });
});

test.concurrent('a file without end is not read', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const before = process.memoryUsage.rss();
  for (const name of ['commondir', 'objects/info/alternates', 'config.worktree']) {
    write(repo, { [`.git/${name}`]: '' });
    truncateSync(join(repo, '.git', name), 300_000_000);
    await expect(use(at.git, 'git_status', { repo_path: repo })).rejects.toMatchObject({ code: 'too_large' });
    rmSync(join(repo, '.git', name));
  }
  expect(process.memoryUsage.rss() - before).toBeLessThan(100_000_000);
});

test.concurrent('a pipe in the working tree ends the call that meets it, wherever it lies', async () => {
  using at = place();
  const repo = repository(at.root, 'repo', { 'deep/a.txt': 'a\n', 'deep/b.txt': 'b\n' });
  write(repo, { 'deep/new.txt': 'new\n' });
  execFileSync('mkfifo', [join(repo, 'deep/.gitignore')]);

  await expect(use(at.git, 'git_status', { repo_path: repo })).rejects.toMatchObject({
    code: 'forbidden',
    message: 'Git waits for a pipe in the working tree, and nobody writes to it.',
  });
});

test.concurrent('a call that ends earlier than a pipe is seen ends as it would', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  execFileSync('mkfifo', [join(repo, '.gitignore')]);
  const started = (signal: AbortSignal) => use(at.git, 'git_status', { repo_path: repo }, { signal });

  // It settles when git has ended.
  await Promise.all(
    Array.from({ length: 5 }, async () =>
      expect(started(AbortSignal.timeout(300))).rejects.toThrow(/timeout/),
    ),
  );
  rmSync(join(repo, '.gitignore'));
  expect(await started(AbortSignal.timeout(10_000))).toMatchObject({ is_clean: true });
});

test.concurrent('names that are no UTF-8 are no reason to refuse', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const name = Buffer.from(`${repo}/.git/refs/heads/\xff`, 'latin1');
  writeFileSync(name, `${plainGit(repo, 'rev-parse', 'HEAD')}\n`);

  expect(await use(at.git, 'git_branch', { repo_path: repo, branch_type: 'local' })).toMatchObject({
    branches: [{ name: 'main' }, { name: '\ufffd' }],
  });
});

test.concurrent('what the fleet keeps below a root is no place for repositories, and in none it is touched', async () => {
  using at = place();
  const kept = join(at.root, '.flotilla-trash');
  mkdirSync(kept);
  const repo = repository(at.root, 'repo');
  const thrown = repository(kept, 'thrown');
  const refused = { code: 'forbidden', message: expect.stringContaining('keeps for itself') as string };

  for (const path of [join(kept, 'new'), join(at.root, 'a/.FLOTILLA-Trash/b'), '.flotilla-trash/new']) {
    await expect(use(at.git, 'git_init', { repo_path: path })).rejects.toMatchObject(refused);
    await expect(use(at.git, 'git_clone', { repo_path: path, url: 'repo' })).rejects.toMatchObject(refused);
    const adding = { repo_path: repo, mode: 'add', path };
    await expect(use(at.git, 'git_worktree', adding)).rejects.toMatchObject(refused);
  }
  await expect(use(at.git, 'git_status', { repo_path: thrown })).rejects.toMatchObject(refused);
  expect(readdirSync(kept)).toEqual(['thrown']);

  write(repo, { '.flotilla-trash/x': 'deleted', 'new.txt': 'new' });
  await use(at.git, 'git_add', { repo_path: repo, files: ['.'] });
  expect(plainGit(repo, 'diff', '--cached', '--name-only')).toBe('new.txt');
  const all = { dry_run: false, directories: true, ignored: true };
  await use(at.git, 'git_clean', { repo_path: repo, ...all });
  expect(existsSync(join(repo, '.flotilla-trash/x'))).toBe(true);
});

test.concurrent('links in .git to that of another repository are written through, and those to other folders only read', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const other = join(at.root, 'other');
  mkdirSync(join(other, '.git'), { recursive: true });
  for (const name of ['config', 'refs', 'objects', 'logs'])
    symlinkSync(join(repo, '.git', name), join(other, '.git', name));
  writeFileSync(join(other, '.git/HEAD'), 'ref: refs/heads/other\n');
  write(other, { 'new.txt': 'new' });
  await use(at.git, 'git_commit', { repo_path: other, message: 'through', files: ['new.txt'] });
  expect(plainGit(repo, 'log', '-1', '--format=%s', 'other')).toBe('through');

  mkdirSync(join(at.root, 'project'));
  symlinkSync(join(at.root, 'project'), join(repo, '.git/objects/ff'));
  await at.git.change(repo, testCall(), async (opened) => {
    const writing = ['config', '--file', join(at.root, 'project/config'), 'a.b', 'c'];
    await expect(opened.run(writing)).rejects.toThrow(/Read-only file system/);
  });
  expect(readdirSync(join(at.root, 'project'))).toEqual([]);
});
