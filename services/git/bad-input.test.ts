/** Every tool, with every argument wrong in turn: a clear error, and the repository as it was. */
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';
import { z } from 'zod';

import { validCalls } from './calls.fixture.ts';
import { plainGit, place, repository, use, write } from './repositories.fixture.ts';
import { allTools } from './service.ts';

// Many processes, on machines of every speed; most tests wait for them, each in a place of its own.

/** Without the sandbox, which is not what this is about, and costs time. */
const everything = {
  mayPush: true,
  mayRewrite: true,
  protocols: ['https', 'ssh'],
  isSandboxed: false,
} as const;

/** Everything below a folder, names and contents. */
function fingerprint(folder: string): string {
  const hash = createHash('sha256');
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }).toSorted()) {
    const path = join(folder, name);
    const found = lstatSync(path);
    hash.update(`${name}\0${found.mode}\0`);
    if (found.isFile()) hash.update(readFileSync(path));
    if (found.isSymbolicLink()) hash.update(readlinkSync(path));
  }
  return hash.digest('hex');
}

interface Field {
  readonly type?: string;
  readonly anyOf?: readonly Field[];
  readonly items?: Field;
}

const typeOf = (field: Field): string => field.type ?? field.anyOf?.[0]?.type ?? 'string';
const fieldsOf = (tool: (typeof allTools)[number]) =>
  Object.entries(z.toJSONSchema(tool.input as z.ZodObject, { io: 'input' }).properties ?? {}) as [
    string,
    Field,
  ][];

/** Of another type, too long, not to be stored, or an option. */
function wrongValues(field: Field): unknown[] {
  const texts = ['', 'x'.repeat(200_000), 'a\0b', '\ud800'];
  switch (typeOf(field)) {
    case 'string':
      return [7, {}, ['a'], ...texts];
    case 'array':
      return ['a', {}, [7], Array.from({ length: 1_001 }, () => 'a'), ...texts.map((text) => [text])];
    case 'boolean':
      return ['yes', 1, []];
    default:
      return ['one', 1.5, -1, 1e300, []];
  }
}

test.concurrent.each(allTools.map((tool) => [tool.name, tool] as const))(
  '%s refuses wrong arguments and changes nothing',
  async (name, tool) => {
    using at = place(everything);
    const repo = repository(at.root, 'repo');
    plainGit(repo, 'branch', 'feature');
    write(repo, { 'a.txt': 'changed\n', 'new.txt': 'new\n' });
    const args = { repo_path: repo, ...validCalls[name]?.args };
    const before = fingerprint(at.root);

    const wrong: Record<string, unknown>[] = [{}, { ...args, repo_path: undefined }, { ...args, unknown: 1 }];
    for (const [field, form] of fieldsOf(tool)) {
      for (const value of wrongValues(form)) wrong.push({ ...args, [field]: value });
    }
    for (const one of wrong) {
      const said = JSON.stringify(one).slice(0, 200);
      await expect(use(at.git, name, one), said).rejects.toMatchObject({ code: 'invalid_input' });
    }

    expect(fingerprint(at.root)).toBe(before);
  },
);

test.concurrent.each(allTools.map(({ name }) => name))('%s stays below the roots', async (name) => {
  using at = place(everything);
  const other = join(at.outside, 'other');
  write(at.root, { '../outside/other/.git/HEAD': '', '../root-evil/.git/HEAD': '' });
  symlinkSync(other, join(at.root, 'link'));
  symlinkSync(at.outside, join(at.root, 'folder'));
  const before = [fingerprint(at.root), fingerprint(at.outside)];

  for (const path of [
    other,
    '../outside/other',
    join(at.root, '../root-evil'),
    join(at.root, 'link'),
    'link',
    'folder/other',
    'folder/new',
    '/',
    '/nowhere/at/all',
  ]) {
    await expect(
      use(at.git, name, { ...validCalls[name]?.args, repo_path: path }),
      path,
    ).rejects.toMatchObject({
      code: 'forbidden',
      message: `Repository path '${path}' is outside the allowed repository '${at.root}'`,
    });
  }
  expect([fingerprint(at.root), fingerprint(at.outside)]).toEqual(before);
});

test.concurrent.each(allTools.map(({ name }) => name))(
  '%s says how roots are set where there are none',
  async (name) => {
    using at = place({ roots: [] });

    await expect(
      use(at.git, name, { ...validCalls[name]?.args, repo_path: join(at.root, 'repo') }),
    ).rejects.toMatchObject({
      code: 'forbidden',
      hint: expect.stringContaining('FLOTILLA_GIT_ROOTS') as string,
    });
  },
);

test.concurrent.each(allTools.map((tool) => [tool.name, tool] as const))(
  '%s takes no text for an option',
  async (name, tool) => {
    using at = place(everything);
    repository(at.root, 'upstream');
    plainGit(at.root, 'clone', '--quiet', 'upstream', 'repo');
    const repo = join(at.root, 'repo');
    const mark = join(at.outside, 'mark');

    for (const [index, [field, form]] of fieldsOf(tool).entries()) {
      if (!['array', 'string'].includes(typeOf(form))) continue;
      const option = index % 2 === 0 ? `--upload-pack=touch ${mark}` : `--output=${mark}`;
      const value = typeOf(form) === 'array' ? [option] : option;
      const answer = await use(at.git, name, {
        repo_path: repo,
        ...validCalls[name]?.args,
        [field]: value,
      }).then(
        () => 'ok',
        (error: { code?: string; message: string }) => error.code ?? error.message,
      );
      expect(answer, `${field} ${option}`).toMatch(/^(ok|invalid_input|not_found|forbidden|conflict)$/);
    }
    expect(existsSync(mark)).toBe(false);
    expect(readdirSync(at.outside)).toEqual([]);
  },
);

describe('Paths within a repository', () => {
  const taking = [
    ['git_add', (path: string) => ({ files: [path] })],
    ['git_commit', (path: string) => ({ files: [path], message: 'x' })],
    ['git_restore', (path: string) => ({ files: [path] })],
    ['git_rm', (path: string) => ({ files: [path], force: true, recursive: true })],
    ['git_mv', (path: string) => ({ source: path, destination: 'b.txt' })],
    ['git_mv', (path: string) => ({ source: 'a.txt', destination: path })],
    ['git_clean', (path: string) => ({ files: [path], dry_run: false, directories: true, ignored: true })],
    ['git_blame', (path: string) => ({ path })],
    ['git_grep', (path: string) => ({ pattern: 'x', files: [path] })],
    ['git_ls_files', (path: string) => ({ files: [path] })],
    ['git_diff_unstaged', (path: string) => ({ files: [path] })],
    ['git_show_file', (path: string) => ({ path })],
    ['git_log', (path: string) => ({ files: [path] })],
  ] as const;

  const inCommits: readonly string[] = ['git_show_file', 'git_log'];
  const inCommitsAnswers = ['forbidden', 'not_found', 'nothing found'];

  test.concurrent.each(taking)('do not lead %s out of it', async (name, argsFor) => {
    using at = place(everything);
    const repo = repository(at.root, 'repo');
    write(at.outside, { 'secret.txt': 'secret' });
    write(at.root, { 'beside.txt': 'beside' });
    symlinkSync(at.outside, join(repo, 'way'));
    symlinkSync(join(at.outside, 'nowhere'), join(repo, 'dangling'));
    const before = [fingerprint(repo), fingerprint(at.outside)];

    for (const path of [
      '../beside.txt',
      join(at.outside, 'secret.txt'),
      'way/secret.txt',
      'dangling/new.txt',
      '.git/config',
      '.GIT/hooks/post-commit',
      'sub/.git/config',
    ]) {
      const code = await use(at.git, name, { repo_path: repo, ...argsFor(path) }).then(
        () => 'nothing found',
        (error: { code?: string }) => error.code,
      );
      // Some look into commits, where no such path can be.
      expect(inCommits.includes(name) ? inCommitsAnswers : ['forbidden'], path).toContain(code);
    }
    expect([fingerprint(repo), fingerprint(at.outside)]).toEqual(before);
  });

  test.concurrent('move nothing through a link that stands for a folder', async () => {
    using at = place();
    const repo = repository(at.root, 'repo');
    symlinkSync(at.outside, join(repo, 'way'));

    await expect(
      use(at.git, 'git_mv', { repo_path: repo, source: 'a.txt', destination: 'way' }),
    ).rejects.toMatchObject({ code: 'forbidden' });
    expect(readdirSync(at.outside)).toEqual([]);
  });

  test.concurrent('are names, never patterns', async () => {
    using at = place();
    const repo = repository(at.root, 'repo');
    write(repo, { '*': 'star', 'b.txt': 'b', ':(top)': 'magic' });

    await use(at.git, 'git_add', { repo_path: repo, files: ['*', ':(top)'] });

    expect(plainGit(repo, 'diff', '--cached', '--name-only')).toBe('*\n:(top)');
  });
});
