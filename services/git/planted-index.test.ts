/** What an index names that somebody planted: paths that lead out, below links, and other repositories. */
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import { testCall } from '#runtime/testing.ts';

import { validCalls } from './calls.fixture.ts';
import { settledAfterMs } from './limits.ts';
import { commit, copier, place, plainGit, repository, use, write } from './repositories.fixture.ts';
import { allTools } from './service.ts';
import { lookAtIndex } from './tracked.ts';

// Many processes, on machines of every speed; most tests wait for them, each in a place of its own.

interface Entry {
  readonly path: string;
  readonly mode?: number;
  readonly blob: string;
}

/** An index of version 2, as git reads it. */
function indexOf(entries: readonly Entry[]): Buffer {
  const header = Buffer.alloc(12);
  header.write('DIRC');
  header.writeUInt32BE(2, 4);
  header.writeUInt32BE(entries.length, 8);
  const body = entries.map(({ path, mode = 0o100644, blob }) => {
    const fields = Buffer.alloc(62);
    fields.writeUInt32BE(mode, 24);
    fields.write(blob, 40, 'hex');
    fields.writeUInt16BE(Math.min(Buffer.byteLength(path), 0xfff), 60);
    const length = 62 + Buffer.byteLength(path);
    return Buffer.concat([fields, Buffer.from(path), Buffer.alloc(8 - (length % 8))]);
  });
  const all = Buffer.concat([header, ...body]);
  return Buffer.concat([all, createHash('sha1').update(all).digest()]);
}

const blobOf = (repo: string) => plainGit(repo, 'rev-parse', 'HEAD:a.txt');
const plant = (repo: string, ...entries: readonly Entry[]) =>
  writeFileSync(join(repo, '.git/index'), indexOf(entries.toSorted((a, b) => (a.path < b.path ? -1 : 1))));

const refusal = {
  code: 'forbidden',
  message: expect.stringMatching(/^The repository is refused: a path in its index/) as string,
};

describe.concurrent('An index that is another one during the look', () => {
  /** Looks while git is told of it in this way. */
  const lookWhile = async (repo: string, meanwhile: (list: () => string) => string) =>
    lookAtIndex({
      top: repo,
      gitDir: join(repo, '.git'),
      roots: [join(repo, '..')],
      run: async (args: readonly string[], { consume }: { consume: (chunk: Buffer) => void }) => {
        consume(Buffer.from(meanwhile(() => plainGit(repo, ...args))));
        return { isCut: false };
      },
    } as unknown as Parameters<typeof lookAtIndex>[0]);

  test('is not remembered as what was there before', async () => {
    using at = place();
    const [repo, clean] = [repository(at.root, 'repo'), repository(at.root, 'clean')];
    plant(repo, { path: '../outside/secret', blob: blobOf(repo) });
    await setTimeout(2 * settledAfterMs);

    await lookWhile(repo, (list) => {
      renameSync(repo, join(at.root, 'aside'));
      renameSync(clean, repo);
      const listed = list();
      renameSync(repo, clean);
      renameSync(join(at.root, 'aside'), repo);
      return listed;
    });

    await expect(use(at.git, 'git_status', { repo_path: repo })).rejects.toMatchObject(refusal);
  });

  test('is a conflict when it has vanished with its folder', async () => {
    using at = place();
    const repo = repository(at.root, 'repo');
    await setTimeout(2 * settledAfterMs);

    await expect(
      lookWhile(repo, (list) => {
        const listed = list();
        rmSync(repo, { recursive: true });
        return listed;
      }),
    ).rejects.toMatchObject({ code: 'conflict' });
    await expect(lookWhile(repo, (list) => list())).rejects.toMatchObject({ code: 'conflict' });
  });
});

describe.concurrent('A path in the index that leads out', () => {
  test.each([
    '../outside/secret',
    '..',
    './a',
    'a/../../outside/secret',
    'a/./b',
    'a//b',
    '/etc/passwd',
    'a/',
    '.git/config',
    '.GIT/hooks/pre-commit',
    'a/.git/config',
    'a/.git',
    'git~1/config',
    '.git./config',
  ])('is refused before anything is done: %s', async (path) => {
    using at = place({ mayPush: true, mayRewrite: true, isSandboxed: false });
    const repo = repository(at.root, 'repo');
    plant(repo, { path, blob: blobOf(repo) });

    for (const name of ['git_status', 'git_diff_unstaged', 'git_add', 'git_log', 'git_rm', 'git_checkout']) {
      await expect(
        use(at.git, name, { ...validCalls[name]?.args, repo_path: repo }),
        name,
      ).rejects.toMatchObject(refusal);
    }
  });

  test('is refused by every tool, in every form of an index, and plain git follows it', async () => {
    using at = place({ mayPush: true, mayRewrite: true, isSandboxed: false });
    write(at.outside, { secret: 'hidden\n' });
    const repo = repository(at.root, 'repo');
    const forms = ['--index-version=2', '--index-version=4', '--split-index'];
    for (const form of forms) {
      plant(repo, { path: '../../outside/secret', blob: blobOf(repo) });
      plainGit(repo, 'update-index', ...form.split('='));
      for (const { name } of allTools.filter(({ name }) => !/^git_(init|clone)$/.test(name))) {
        await expect(
          use(at.git, name, { ...validCalls[name]?.args, repo_path: repo }),
          `${form} ${name}`,
        ).rejects.toMatchObject(refusal);
      }
    }

    expect(readFileSync(join(at.outside, 'secret'), 'utf8')).toBe('hidden\n');
    expect(plainGit(repo, 'diff')).toContain('+hidden');
    plainGit(repo, 'rm', '--quiet', '--force', '-r', '--', '.');
    expect(existsSync(join(at.outside, 'secret'))).toBe(false);
  });

  test('cannot be followed in the sandbox either', async () => {
    using at = place();
    write(at.outside, { secret: 'hidden\n' });
    const repo = repository(at.root, 'repo');

    await at.git.change(repo, testCall(), async (opened) => {
      plant(repo, { path: '../../outside/secret', blob: blobOf(repo) });
      expect((await opened.line(['diff', '--no-ext-diff'])).includes('hidden')).toBe(false);
      await opened.run(['rm', '--force', '--quiet', '-r', '--', '.'], { accept: [128] });
    });

    expect(readdirSync(at.outside)).toEqual(['secret']);
  });

  test('one that was looked at is looked at again when it changes', async () => {
    using at = place({ isSandboxed: false });
    const repo = repository(at.root, 'repo');
    await use(at.git, 'git_status', { repo_path: repo });
    await setTimeout(150);
    await use(at.git, 'git_status', { repo_path: repo });

    plant(repo, { path: '../x', blob: blobOf(repo) });

    await expect(use(at.git, 'git_status', { repo_path: repo })).rejects.toMatchObject(refusal);
  });
});

test('what waited for another change is looked at again', async () => {
  using at = place({ isSandboxed: false });
  const repo = repository(at.root, 'repo');

  const begun = Promise.withResolvers<void>();

  const first = at.git.change(repo, testCall(), async () => {
    begun.resolve();
    await setTimeout(300);
    plant(repo, { path: '../x', blob: blobOf(repo) });
  });
  await begun.promise;
  const second = use(at.git, 'git_add', { repo_path: repo, files: ['.'] });

  await expect(second).rejects.toMatchObject(refusal);
  await first;
});

describe.concurrent('A tracked path below a link', () => {
  test('is not read or deleted through it, by any tool', async () => {
    using at = place({ mayPush: true, mayRewrite: true, isSandboxed: false });
    const planted = repository(at.root, 'planted');
    commit(planted, 'below', { 'd/secret.txt': 'inside\n' });
    plainGit(planted, 'branch', 'feature');
    rmSync(join(planted, 'd'), { recursive: true });
    symlinkSync(at.outside, join(planted, 'd'));
    const repo = join(at.root, 'repo');
    const renew = copier(planted, repo);
    for (const name of allTools.map((tool) => tool.name).filter((name) => !/^git_(init|clone)$/.test(name))) {
      write(at.outside, { 'secret.txt': 'outside secret\n' });
      renew();

      const { args } = validCalls[name] ?? {};
      const wider = {
        git_grep: { pattern: 'secret' },
        git_rm: { files: ['.'], recursive: true, force: true },
      }[name];
      const said = await use(at.git, name, { ...args, ...wider, repo_path: repo }).then(
        (value) => JSON.stringify(value),
        (error: Error) => error.message,
      );

      expect(said, name).not.toContain('outside secret');
      expect(readFileSync(join(at.outside, 'secret.txt'), 'utf8'), name).toBe('outside secret\n');
      expect(said.includes('d is a link'), name).toBe(wider !== undefined);
    }
  });
});

describe.concurrent('Another repository in the index', () => {
  test('whose .git leads outside is refused, also to read', async () => {
    using at = place({ isSandboxed: false });
    const far = repository(at.outside, 'far');
    const repo = repository(at.root, 'repo');
    mkdirSync(join(repo, 'sub'));
    write(repo, { 'sub/.git': `gitdir: ${far}/.git\n` });
    plant(repo, { path: 'sub', mode: 0o160000, blob: plainGit(far, 'rev-parse', 'HEAD') });

    for (const name of ['git_status', 'git_diff_unstaged', 'git_add', 'git_merge', 'git_stash']) {
      await expect(
        use(at.git, name, { ...validCalls[name]?.args, repo_path: repo }),
        name,
      ).rejects.toMatchObject({
        code: 'forbidden',
        message: 'The repository is refused: its .git file leads outside the roots.',
      });
    }
  });

  // Merges put changes aside first, and look into such repositories with a git that takes no overrides.
  test('whose configuration names a program is not entered', async () => {
    using at = place({ mayRewrite: true, isSandboxed: false });
    const template = repository(at.root, 'template', { 'a.txt': 'one\n', 'b.txt': 'b\n' });
    plainGit(template, 'checkout', '--quiet', '-b', 'feature');
    commit(template, 'feature', { 'f.txt': 'f\n' });
    plainGit(template, 'checkout', '--quiet', 'main');
    const mark = join(at.outside, 'mark');
    const sub = repository(template, 'sub', { 'x.txt': 'x\n' });
    plainGit(sub, 'config', 'filter.e.clean', `touch ${mark}; cat`);
    write(sub, { '.git/info/attributes': '* filter=e\n' });
    commit(template, 'undeclared', {});
    rmSync(mark, { force: true });
    const repo = join(at.root, 'repo');
    const anew = () => {
      rmSync(repo, { recursive: true, force: true });
      cpSync(template, repo, { recursive: true });
      plainGit(repo, 'config', 'remote.origin.url', '../template');
      write(repo, { 'sub/x.txt': 'y\n', 'b.txt': 'changed\n' });
    };

    for (const [name, args] of [
      ['git_merge', { branch: 'feature' }],
      ['git_merge', { branch: 'feature', fast_forward: 'never' }],
      ['git_pull', { branch: 'feature', fast_forward_only: false }],
      ['git_cherry_pick', { commits: ['feature'] }],
      ['git_revert', { commits: ['HEAD'] }],
      ['git_rebase', { upstream: 'feature' }],
      ['git_checkout', { branch_name: 'feature' }],
      ['git_reset', { mode: 'hard', target: 'feature', confirm: true }],
      ['git_stash', { mode: 'push' }],
      ['git_restore', { files: ['.'] }],
      ['git_add', { files: ['.'] }],
    ] as const) {
      anew();
      await expect(use(at.git, name, { repo_path: repo, ...args }), name).rejects.toMatchObject({
        code: 'forbidden',
        message: expect.stringContaining('sets filter.e.clean') as string,
      });
      expect(existsSync(mark), name).toBe(false);
    }
    for (const name of ['git_status', 'git_diff_unstaged', 'git_diff_stat', 'git_grep', 'git_ls_files']) {
      await use(at.git, name, { ...validCalls[name]?.args, repo_path: repo });
      expect(existsSync(mark), name).toBe(false);
    }
    plainGit(repo, '-c', 'diff.ignoreSubmodules=dirty', 'merge', '--quiet', '--no-edit', 'feature');
    expect(existsSync(mark)).toBe(true);
  });
});
