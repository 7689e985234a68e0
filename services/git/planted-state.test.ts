/**
 * State that git keeps in `.git` between two commands, planted by somebody: what waits for an end, what was put aside, what
 * is remembered of conflicts. Without the sandbox: what is told to git, and looked at before, has to hold alone.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { commit, place, plainGit, repository, use, write, type Place } from './repositories.fixture.ts';

// Many processes, on machines of every speed; most tests wait for them, each in a place of its own.

const open = { mayPush: true, mayRewrite: true, isSandboxed: false } as const;

interface Trial {
  readonly at: Place;
  readonly repo: string;
  /** Of `feature`, which changes `f.txt`, and of `main`, which is checked out. */
  readonly feature: string;
  readonly head: string;
  /** Leaves a mark. */
  readonly program: string;
  readonly mark: string;
}

function trial(at: Place): Trial {
  const repo = repository(at.root, 'repo');
  plainGit(repo, 'checkout', '--quiet', '-b', 'feature');
  const feature = commit(repo, 'feature', { 'f.txt': 'f\n' });
  plainGit(repo, 'checkout', '--quiet', 'main');
  const head = commit(repo, 'main', { 'm.txt': 'm\n' });
  const [program, mark] = [join(at.outside, 'program'), join(at.outside, 'mark')];
  write(at.outside, { program: `#!/bin/sh\n: > '${mark}'\n`, secret: 'SECRET\n' });
  chmodSync(program, 0o755);
  return { at, repo, feature, head, program, mark };
}

const plainly = (folder: string, ...args: readonly string[]) => {
  try {
    plainGit(folder, ...args);
  } catch {
    // Whether it succeeds is not the question.
  }
};

/** A rebase that waits for its next step. */
const rebasing = ({ repo, feature, head }: Trial, folder: string, more: Readonly<Record<string, string>>) => {
  const state = {
    'head-name': 'refs/heads/main\n',
    onto: `${head}\n`,
    'orig-head': `${head}\n`,
    ...(folder === 'rebase-merge'
      ? { 'git-rebase-todo': `pick ${feature} f\n`, done: '', interactive: '', msgnum: '0\n', end: '1\n' }
      : {}),
    ...more,
  };
  const files = Object.entries(state).map(([name, text]) => [`.git/${folder}/${name}`, text]);
  write(repo, Object.fromEntries(files) as Record<string, string>);
};

type Plant = (trial: Trial) => void;
type Command = readonly [tool: string, args: Readonly<Record<string, unknown>>];

const strategy: Plant = ({ repo, program }) => plainGit(repo, 'config', 'alias.merge-evil', `!${program}`);

const programs: readonly (readonly [string, Plant, Command, plain: readonly string[]])[] = [
  [
    'lines of a format that become steps of a rebase',
    ({ repo, program }) => plainGit(repo, 'config', 'rebase.instructionFormat', `%s%nexec ${program}`),
    ['git_rebase', { upstream: 'feature' }],
    ['rebase', 'feature'],
  ],
  [
    'a strategy in the configuration, which is an alias',
    (on) => {
      strategy(on);
      plainGit(on.repo, 'config', 'pull.twohead', 'evil');
    },
    ['git_cherry_pick', { commits: ['feature'] }],
    ['cherry-pick', 'feature'],
  ],
  [
    'a strategy of a pick in progress',
    (on) => {
      strategy(on);
      write(on.repo, {
        '.git/sequencer/todo': `pick ${on.feature} f\npick ${on.feature} f\n`,
        '.git/sequencer/opts': '[options]\n\tStrategy = evil\n',
        '.git/sequencer/head': `${on.head}\n`,
      });
    },
    ['git_cherry_pick', { mode: 'continue' }],
    ['cherry-pick', '--continue'],
  ],
  [
    'a strategy of a rebase in progress',
    (on) => {
      strategy(on);
      rebasing(on, 'rebase-merge', { strategy: 'evil\n' });
    },
    ['git_rebase', { mode: 'continue' }],
    ['rebase', '--continue'],
  ],
  [
    'changes put aside by a merge, and a submodule with a filter that nothing declares',
    ({ repo, program }) => {
      const sub = repository(repo, 'sub', { 'x.txt': 'x' });
      write(repo, { '.gitmodules': '[submodule "sub"]\n\tpath = sub\n\turl = ./sub\n\tignore = none\n' });
      commit(repo, 'submodule', {});
      rmSync(join(repo, '.gitmodules'));
      write(repo, { 'a.txt': 'aside\n' });
      const aside = plainGit(repo, 'stash', 'create');
      plainGit(repo, 'checkout', '--quiet', 'a.txt');
      plainGit(sub, 'config', 'filter.inner.clean', program);
      write(sub, { '.git/info/attributes': '* filter=inner\n', 'x.txt': 'y' });
      write(repo, { '.git/MERGE_AUTOSTASH': `${aside}\n` });
    },
    ['git_commit', { message: 'x', allow_empty: true }],
    ['commit', '--allow-empty', '--no-status', '--message=x'],
  ],
];

describe.concurrent.each(programs)('%s', (_, plant, [tool, args], plain) => {
  test.concurrent('starts nothing', async () => {
    using at = place(open);
    const on = trial(at);
    plant(on);

    await use(at.git, tool, { repo_path: on.repo, ...args }).catch(() => {});

    expect(existsSync(on.mark)).toBe(false);
  });

  test.concurrent('starts a program through plain git', () => {
    using at = place(open);
    const on = trial(at);
    plant(on);

    plainly(on.repo, ...plain);

    expect(existsSync(on.mark)).toBe(true);
  });
});

test.concurrent('Patches to apply are left to git on the host: their options name files to write', async () => {
  using at = place(open);
  const on = trial(at);
  const patch = `From ${on.feature} Mon Sep 17 00:00:00 2001\nFrom: a <a@a>\nDate: Fri, 2 Jan 2026 03:04:05 +0200\nSubject: f\n\n---\n${plainGit(on.repo, 'diff', '--full-index', 'main~1', 'feature')}\n`;
  rebasing(on, 'rebase-apply', {
    '0001': patch,
    '0002': patch,
    next: '1\n',
    last: '2\n',
    rebasing: '',
    'apply-opt': `'--build-fake-ancestor=${join(at.outside, 'secret')}'\n`,
    'author-script': "GIT_AUTHOR_NAME='a'\nGIT_AUTHOR_EMAIL='a'\nGIT_AUTHOR_DATE='@1 +0000'\n",
    'final-commit': 'x\n',
    'original-commit': `${on.feature}\n`,
  });
  write(on.repo, { 'm.txt': 'changed\n' });
  plainGit(on.repo, 'add', 'm.txt');

  for (const mode of ['continue', 'skip', 'abort']) {
    await expect(use(at.git, 'git_rebase', { repo_path: on.repo, mode })).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining('.git/rebase-apply') as string,
    });
  }
  expect(readFileSync(join(at.outside, 'secret'), 'utf8')).toBe('SECRET\n');

  plainly(on.repo, 'rebase', '--continue');
  expect(readFileSync(join(at.outside, 'secret'), 'latin1')).toMatch(/^DIRC/);
});

test.concurrent('What is remembered of conflicts is neither read nor written', async () => {
  using at = place(open);
  const { repo } = trial(at);
  const folder = `.git/rr-cache/${'a'.repeat(40)}`;
  write(repo, {
    [`${folder}/preimage`]: 'x\n',
    '.git/MERGE_RR': `${'a'.repeat(40)}\t../../outside/secret\0`,
    'a.txt': 'new\n',
  });

  await use(at.git, 'git_commit', { repo_path: repo, message: 'x', files: ['a.txt'] });
  expect(readdirSync(join(repo, folder))).toEqual(['preimage']);

  plainGit(repo, 'commit', '--quiet', '--allow-empty', '--message=y');
  expect(readFileSync(join(repo, folder, 'postimage'), 'utf8')).toBe('SECRET\n');
});

test.concurrent.each(['include', 'worktree'])(
  'A repository that calls itself bare by %s has no working tree',
  async (by) => {
    using at = place(open);
    trial(at);
    plainGit(at.root, 'clone', '--quiet', '--bare', 'repo', 'odd.git');
    const odd = join(at.root, 'odd.git');
    // The folder of the repository would be its working tree, and its index has not been looked at.
    plainGit(odd, 'config', 'core.bare', 'false');
    const bare = '[core]\n\tbare = true\n';
    if (by === 'include') {
      write(odd, { more: bare });
      plainGit(odd, 'config', 'include.path', 'more');
    } else write(odd, { 'config.worktree': bare });

    await expect(use(at.git, 'git_log', { repo_path: odd })).resolves.toBeDefined();
    for (const [name, args] of [
      ['git_status', {}],
      ['git_rm', { files: ['.'], recursive: true, force: true }],
      ['git_restore', { files: ['.'] }],
    ] as const) {
      await expect(use(at.git, name, { repo_path: odd, ...args })).rejects.toMatchObject({
        message: expect.stringContaining('must be run in a work tree') as string,
      });
    }
  },
);

test.concurrent('A submodule that is removed takes its repository nowhere else', async () => {
  using at = place(open);
  const { repo } = trial(at);
  repository(repo, 'sub', { 'x.txt': 'x' });
  write(repo, { '.gitmodules': '[submodule "lfs/b"]\n\tpath = sub\n\turl = ./sub\n' });
  commit(repo, 'submodule', {});
  mkdirSync(join(repo, '.git/modules'));
  symlinkSync(at.outside, join(repo, '.git/modules/lfs'));

  await expect(
    use(at.git, 'git_rm', { repo_path: repo, files: ['sub'], recursive: true }),
  ).rejects.toMatchObject({ code: 'forbidden' });
  expect(existsSync(join(at.outside, 'b'))).toBe(false);

  plainGit(repo, 'rm', '-r', '--quiet', 'sub');
  expect(existsSync(join(at.outside, 'b/HEAD'))).toBe(true);
});

test.concurrent('A repository inside that leads outside is not taken by its commit', async () => {
  using at = place(open);
  const { repo } = trial(at);
  const other = repository(at.outside, 'other');
  write(repo, { 'inner/.git': `gitdir: ${other}/.git\n` });

  await expect(
    use(at.git, 'git_add', { repo_path: repo, files: ['inner'], force: true }),
  ).rejects.toMatchObject({ code: 'forbidden' });
  expect(plainGit(repo, 'ls-files', 'inner')).toBe('');
});

test.concurrent('A push changes no other working tree', async () => {
  using at = place(open);
  const { repo, head } = trial(at);
  plainGit(at.root, 'clone', '--quiet', 'repo', 'other');
  plainGit(join(at.root, 'other'), 'config', 'receive.denyCurrentBranch', 'UpdateInstead');
  plainGit(repo, 'remote', 'add', 'origin', join(at.root, 'other'));
  commit(repo, 'more', { 'more.txt': 'more\n' });

  await expect(use(at.git, 'git_push', { repo_path: repo })).rejects.toMatchObject({
    code: 'forbidden',
    message: expect.stringContaining('receive.denyCurrentBranch') as string,
  });
  expect(plainGit(join(at.root, 'other'), 'rev-parse', 'HEAD')).toBe(head);
  await use(at.git, 'git_fetch', { repo_path: repo });
});
