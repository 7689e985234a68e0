/** Large answers, cancelled calls, and several writers at once. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { requireOwnEnd } from './failures.ts';
import { commit, place, plainGit, repository, use, write } from './repositories.fixture.ts';

// Many processes in a row, on machines of every speed.

const sha = (text: string) => createHash('sha256').update(text).digest('hex');

test('a diff of 100 MB costs little memory and says how to go on', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const line = `${'x'.repeat(98)}\n`;
  write(repo, { 'large.txt': '' });
  plainGit(repo, 'add', '--intent-to-add', 'large.txt');
  const large = Buffer.alloc(100_000_000, line);
  writeFileSync(join(repo, 'large.txt'), large);

  const before = process.memoryUsage.rss();
  const first = await use(at.git, 'git_diff_unstaged', { repo_path: repo });
  const grown = process.memoryUsage.rss() - before;

  expect(first).toMatchObject({ truncated: true, next_cursor: expect.any(String) as string });
  expect((first['diff'] as string).length).toBeLessThanOrEqual(100_000);
  expect(grown).toBeLessThan(50_000_000);
  const second = await use(at.git, 'git_diff_unstaged', { repo_path: repo, cursor: first['next_cursor'] });
  expect((second['diff'] as string).startsWith(`+${line}`)).toBe(true);
});

test('the pages of a diff are the diff, also where lines are long and not of ASCII', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  write(repo, { 'a.txt': `${'é€😀'.repeat(2_000)}\nshort\n${'y\n'.repeat(3_000)}end` });
  const whole = plainGit(repo, 'diff');

  const pages: string[] = [];
  let cursor: unknown;
  do {
    const page = await use(at.git, 'git_diff_unstaged', { repo_path: repo, max_bytes: 1_000, cursor });
    pages.push(page['diff'] as string);
    cursor = page['next_cursor'];
  } while (cursor !== undefined);

  expect(pages.length).toBeGreaterThan(10);
  expect(sha(pages.join(''))).toBe(sha(whole));
});

test('lists go on where they stopped, and a cursor belongs to its call', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  for (let number = 0; number < 5; number += 1) commit(repo, `c${number}`, { [`f${number}`]: 'needle\n' });
  const args = { repo_path: repo };

  for (const [tool, key, more] of [
    ['git_log', 'commits', { max_count: 2 }],
    ['git_ls_files', 'files', { limit: 2 }],
    ['git_grep', 'matches', { pattern: 'needle', limit: 2 }],
    ['git_reflog', 'entries', { limit: 2 }],
    ['git_search_history', 'commits', { text: 'needle', limit: 2 }],
  ] as const) {
    const whole = await use(at.git, tool, { ...args, ...more, [Object.keys(more).at(-1) ?? '']: 100 });
    const found: unknown[] = [];
    let cursor: unknown;
    do {
      const page = await use(at.git, tool, { ...args, ...more, cursor });
      expect((page[key] as unknown[]).length, tool).toBeLessThanOrEqual(2);
      found.push(...(page[key] as unknown[]));
      cursor = page['next_cursor'];
      expect(page['truncated'], tool).toBe(cursor === undefined ? undefined : true);
    } while (cursor !== undefined);
    expect(found, tool).toEqual(whole[key]);
    expect(found.length, tool).toBeGreaterThanOrEqual(5);
  }
  const { next_cursor: cursor } = await use(at.git, 'git_log', { ...args, max_count: 2 });
  await expect(use(at.git, 'git_log', { ...args, max_count: 3, cursor })).rejects.toMatchObject({
    code: 'invalid_input',
  });
});

test('changes of one repository wait for each other', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const names = Array.from({ length: 12 }, (_, number) => `f${number}.txt`);
  for (const name of names) write(repo, { [name]: name });

  await Promise.all(
    names.map(async (name) => use(at.git, 'git_commit', { repo_path: repo, message: name, files: [name] })),
  );

  expect(plainGit(repo, 'log', '--format=%s').split('\n').toSorted()).toEqual(['first', ...names].toSorted());
  expect(plainGit(repo, 'status', '--porcelain')).toBe('');
});

test('a lock of another git is a conflict that names it, and reading goes on', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  write(repo, { 'a.txt': 'changed', '.git/index.lock': '' });

  await expect(use(at.git, 'git_add', { repo_path: repo, files: ['.'] })).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('index.lock') as string,
  });
  expect(await use(at.git, 'git_status', { repo_path: repo })).toMatchObject({ is_clean: false });
  rmSync(join(repo, '.git/index.lock'));
  write(repo, { '.git/refs/heads/main.lock': '' });
  await expect(
    use(at.git, 'git_commit', { repo_path: repo, message: 'x', files: ['.'] }),
  ).rejects.toMatchObject({ code: 'conflict', hint: expect.stringContaining('Another git') as string });
});

test('a call that is taken back leaves no lock behind, and what waited goes on', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  for (let folder = 0; folder < 20; folder += 1) {
    write(
      repo,
      Object.fromEntries(
        Array.from({ length: 100 }, (_, file) => [`d${folder}/${file}`, `${folder} ${file}`]),
      ),
    );
  }
  const stop = new AbortController();

  const adding = use(at.git, 'git_add', { repo_path: repo, files: ['.'] }, { signal: stop.signal });
  const waiting = use(at.git, 'git_commit', { repo_path: repo, message: 'x', allow_empty: true });
  while (!existsSync(join(repo, '.git/index.lock'))) await setTimeout(1);
  stop.abort(new Error('taken back'));

  await expect(adding).rejects.toThrow('taken back');
  expect(await waiting).toMatchObject({ hash: expect.stringMatching(/^[0-9a-f]{40}$/) as string });
  expect(existsSync(join(repo, '.git/index.lock'))).toBe(false);
});

test('the service stops what runs, and git puts its locks away', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  write(repo, Object.fromEntries(Array.from({ length: 2_000 }, (_, file) => [`f${file}`, `${file}`])));

  const adding = use(at.git, 'git_add', { repo_path: repo, files: ['.'] });
  while (!existsSync(join(repo, '.git/index.lock'))) await setTimeout(1);
  const [failed] = await Promise.allSettled([adding, at.git[Symbol.asyncDispose]()]);

  expect(failed).toMatchObject({ reason: { code: 'unavailable' } });
  expect(existsSync(join(repo, '.git/index.lock'))).toBe(false);
});

test('messages of many megabytes hide no commit', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const large = (megabytes: number) => {
    writeFileSync(join(at.outside, 'message'), Buffer.alloc(megabytes * 1_000_000, 'message '));
    plainGit(repo, 'commit', '--quiet', '--allow-empty', `--file=${join(at.outside, 'message')}`);
  };
  for (const megabytes of [20, 20, 35]) large(megabytes);
  const hashes = plainGit(repo, 'log', '--format=%H').split('\n');
  commit(repo, 'last', { 'b.txt': '' });

  const found: { hash: string; message: string }[] = [];
  let cursor: unknown;
  do {
    const page = await use(at.git, 'git_log', { repo_path: repo, revision: 'HEAD~1', cursor });
    found.push(...(page['commits'] as typeof found));
    expect(page['truncated']).toBe(page['next_cursor'] === undefined ? undefined : true);
    cursor = page['next_cursor'];
  } while (cursor !== undefined);
  expect(found.map(({ hash }) => hash)).toEqual(hashes);
  expect(found.map(({ message }) => message.length)).toEqual([4_000, 4_000, 4_000, 6]);
});

test('what is longer than any path or name is told, not read', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  const long = '\n'.repeat(100_000);
  const blob = Buffer.from(plainGit(repo, 'rev-parse', 'HEAD:a.txt'), 'hex');
  const entry = Buffer.concat([Buffer.from(`100644 ${long}\0`), blob]);
  const hash = (type: string, input: string | Buffer) =>
    execFileSync('git', ['hash-object', '-w', '-t', type, '--literally', '--stdin'], { cwd: repo, input })
      .toString()
      .trim();
  const someone = 'a <a> 1 +0000';
  const tree = hash('tree', entry);
  const revision = hash('commit', `tree ${tree}\nauthor ${someone}\ncommitter ${someone}\n\nx\n`);

  const found = await use(at.git, 'git_grep', { repo_path: repo, revision, pattern: 'two' });
  expect(found['matches']).toMatchObject([{ line: 2, text: 'two' }]);
  const tooLong = { code: 'too_large', message: expect.stringContaining('16384 bytes') as string };
  await expect(use(at.git, 'git_ls_files', { repo_path: repo, revision })).rejects.toMatchObject(tooLong);

  write(repo, { '.git/logs/HEAD': `${'0'.repeat(40)} ${revision} ${someone}\t${'z'.repeat(100_000)}\n` });
  const reflog = await use(at.git, 'git_reflog', { repo_path: repo });
  expect(reflog['entries']).toMatchObject([{ action: 'z'.repeat(1_000) }]);

  execFileSync('git', ['update-index', '--add', '-z', '--index-info'], {
    cwd: repo,
    input: `100644 ${blob.toString('hex')}\t${'x'.repeat(200_000)}\0`,
  });
  await expect(use(at.git, 'git_branch', { repo_path: repo, branch_type: 'all' })).rejects.toMatchObject(
    tooLong,
  );
});

test.each([
  ['entries', `[x]\n${Array.from({ length: 20_001 }, (_, number) => `b${number}\n`).join('')}`],
  ['bytes', `[filter "${'é'.repeat(60_000)}"]\n\tclean = x\n`],
])('a configuration with too many or too long %s is refused', async (what, text) => {
  for (const isSandboxed of [true, false]) {
    using at = place({ isSandboxed });
    const repo = repository(at.root, 'repo');
    appendFileSync(join(repo, '.git/config'), text);

    await expect(use(at.git, 'git_log', { repo_path: repo })).rejects.toMatchObject({
      code: 'too_large',
      message: expect.stringContaining(what) as string,
    });
  }
});

test('a list of too many working trees is refused', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  for (let number = 0; number <= 1_000; number += 1) {
    const folder = `.git/worktrees/w${number}`;
    write(repo, { [`${folder}/gitdir`]: `/x/${number}/.git\n`, [`${folder}/HEAD`]: 'ref: refs/heads/x\n' });
    write(repo, { [`${folder}/commondir`]: '../..\n' });
  }

  await expect(use(at.git, 'git_worktree', { repo_path: repo })).rejects.toMatchObject({ code: 'too_large' });
});

test.each([true, false])(
  'a call that says more than the kernel hands on is too large (sandbox: %s)',
  async (isSandboxed) => {
    using at = place({ isSandboxed });
    const repo = repository(at.root, 'repo');
    const files = Array.from({ length: 1_000 }, (_, number) => `${'x/'.repeat(1_500)}${number}`);
    const tooMuch = { code: 'too_large', message: expect.stringContaining('hands on') as string };

    await expect(use(at.git, 'git_log', { repo_path: repo, files })).rejects.toMatchObject(tooMuch);
    await expect(
      use(at.git, 'git_merge', { repo_path: repo, branch: 'HEAD', message: 'é'.repeat(99_000) }),
    ).rejects.toMatchObject(tooMuch);
    // The sandbox starts, and git does not.
    const said = 'bwrap: execvp /usr/bin/prlimit: Argument list too long\n';
    expect(() => requireOwnEnd(1, null, said)).toThrow('hands on');
  },
);
