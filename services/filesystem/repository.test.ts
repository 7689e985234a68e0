import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { openFiles } from './files.ts';
import { testPlace, type TestPlace } from './place.fixture.ts';
import { allTools } from './service.ts';

const git = (folder: string, ...args: string[]) =>
  execFileSync('git', args, {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    env: {
      PATH: process.env['PATH'],
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CEILING_DIRECTORIES: folder,
      // Its samples of hooks would only cost time.
      GIT_TEMPLATE_DIR: '/nonexistent',
      ...Object.fromEntries(
        ['AUTHOR', 'COMMITTER'].flatMap((who) => [
          [`GIT_${who}_NAME`, 'A'],
          [`GIT_${who}_EMAIL`, 'a@example.com'],
        ]),
      ),
    },
  });

async function tool(name: string, args: object, { files }: TestPlace) {
  const found = allTools.find((candidate) => candidate.name === name);
  if (!found) throw new TypeError(`No tool ${name}`);
  return invoke(found, args, files);
}

/** A working tree with a linked one, a bare repository, one whose files lie apart, and a link to a repository's files. */
function withRepositories(settings: { readonly allowsGit?: boolean } = {}): TestPlace {
  const place = testPlace({ 'work/a.txt': 'a\n', 'plain/b.txt': 'b\n', 'plain/dir/c.txt': 'c\n' }, settings);
  const { root } = place;
  git(root, 'init', '-q', 'work');
  const work = join(root, 'work');
  git(work, 'add', '.');
  git(work, 'commit', '-qm', 'one');
  git(work, 'worktree', 'add', '-q', join(root, 'linked'));
  git(root, 'init', '-q', '--bare', 'bare');
  git(root, 'init', '-q', '--separate-git-dir', join(root, 'apart'), join(root, 'top'));
  mkdirSync(join(work, '.git/modules/m'), { recursive: true });
  for (const repository of [join(work, '.git'), join(root, 'bare'), join(root, 'apart')]) {
    mkdirSync(join(repository, 'hooks'));
    mkdirSync(join(repository, 'info'), { recursive: true });
  }
  writeFileSync(join(work, '.git/info/attributes'), '*.txt text\n');
  symlinkSync('work/.git', join(root, 'to-git'));
  return place;
}

/** Names, kinds and contents of everything in the roots. */
const everything = ({ path }: TestPlace) =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .map((entry) => {
      const at = join(entry.parentPath, entry.name);
      const content = entry.isFile()
        ? readFileSync(at, 'latin1')
        : entry.isSymbolicLink()
          ? readlinkSync(at)
          : '';
      return `${at} ${lstatSync(at).mode} ${content}`;
    })
    .toSorted();

const here = [
  'work/.git',
  'work/.git/hooks',
  'work/.git/config',
  'work/.git/index',
  'work/.git/info/attributes',
  'work/.git/HEAD',
  'work/.git/modules/m',
  'work/.git/worktrees/linked/gitdir',
  'work/../work//.git/./config',
  'linked/.git',
  'top/.git',
  'apart/config',
  'apart/hooks',
  'bare/config',
  'bare/HEAD',
  'bare/hooks',
  'bare/refs/heads',
  'to-git/config',
];
const notThere = [
  'work/.git/hooks/pre-commit',
  'work/.git/info/new/deep',
  'work/.git/modules/m/config',
  'plain/.git',
  'plain/.git/config',
  'plain/.GIT',
  'plain/.Git/hooks/pre-commit',
  'plain/.git.',
  'plain/.git ',
  'plain/git~1',
  'plain/GIT~1/config',
  'plain/.git::$INDEX_ALLOCATION',
  'plain/.g\u200cit',
  'plain/.gi\u00adt/config',
  'plain/\uff0egit/config',
  'bare/hooks/post-receive',
  'bare/new/deep',
  'apart/hooks/pre-commit',
  'to-git/hooks/pre-commit',
  'to-git/new/deep',
];

const added = (name: string) => `--- /dev/null\n+++ b/${name}\n@@ -0,0 +1 @@\n+new\n`;
const renamed = (from: string, to: string) =>
  `diff --git a/${from} b/${to}\nsimilarity index 100%\nrename from ${from}\nrename to ${to}\n`;
const removed = (name: string) => `diff --git a/${name} b/${name}\ndeleted file mode 100644\n`;
const executable = (name: string) => `diff --git a/${name} b/${name}\nold mode 100644\nnew mode 100755\n`;

/** For every tool that changes something, the calls that would change a path; a deleted thing has the given id. */
const changes: Readonly<Record<string, (path: string, id: string) => readonly object[]>> = {
  write_file: (path) => [
    { path, content: 'new' },
    { path, content: 'new', createParents: true },
  ],
  edit_file: (path) => [{ path, edits: [{ oldText: 'e', newText: 'x' }], replaceAll: true }],
  append_file: (path) => [{ path, content: 'new', createParents: true }],
  create_directory: (path) => [{ path }, { path: `${path}/deep/er` }],
  move_file: (path) => [
    { source: 'plain/b.txt', destination: path, createParents: true },
    { source: 'plain/dir', destination: path, createParents: true },
    { source: path, destination: 'moved', createParents: true },
  ],
  copy_file: (path) => [
    { source: 'plain/b.txt', destination: path, createParents: true },
    { source: 'plain', destination: path, createParents: true },
    { source: 'work', destination: path, createParents: true },
  ],
  delete_file: (path) => [{ path, recursive: true }],
  restore_file: (path, id) => [{ trash_id: id, destination: path }],
  apply_patch: (path) => [
    { path: '.', patch: added(path) },
    { path: '.', patch: renamed('plain/b.txt', path) },
    { path: '.', patch: renamed(path, 'plain/renamed') },
    { path: '.', patch: removed(path) },
    { path: '.', patch: executable(path) },
  ],
};

test('every tool that changes something is tried in this file', () => {
  const changing = allTools.filter(({ effect }) => effect !== 'read').map(({ name }) => name);
  expect(Object.keys(changes).toSorted()).toEqual(changing.toSorted());
});

describe('What belongs to a repository', () => {
  test.each(Object.keys(changes))('is not changed by %s', async (name) => {
    await using place = withRepositories();
    await tool('write_file', { path: 'gone', content: 'gone' }, place);
    const { trash_id: id } = await tool('delete_file', { path: 'gone' }, place);
    const before = everything(place);

    for (const path of [...here, ...notThere]) {
      for (const args of changes[name]?.(path, String(id)) ?? []) {
        const outcome = await tool(name, args, place).catch((error: unknown) => error);
        const what = JSON.stringify(args);
        // Of what is not there, and of what would lie in a file, something else may be said first.
        const others =
          here.includes(path) && name !== 'create_directory' ? [] : ['not_found', 'invalid_input'];
        expect(['forbidden', ...others], what).toContain((outcome as { code?: string }).code);
      }
      expect(everything(place), path).toEqual(before);
    }
  });

  test('is read', async () => {
    await using place = withRepositories();

    for (const path of ['work/.git/HEAD', 'bare/HEAD', 'to-git/HEAD', 'linked/.git']) {
      expect((await tool('read_text_file', { path }, place))['content']).toMatch(/^(ref|gitdir): /);
    }
    expect((await tool('list_directory', { path: 'work/.git' }, place))['content']).toContain(
      '[FILE] config',
    );
    await tool('copy_file', { source: 'work/.git/config', destination: 'config.txt' }, place);
    expect(readFileSync(join(place.root, 'config.txt'), 'utf8')).toContain('[core]');
  });

  test('is changed where the operator allows it', async () => {
    await using place = withRepositories({ allowsGit: true });

    await tool('write_file', { path: 'work/.git/hooks/pre-commit', content: 'exit 1\n' }, place);
    await tool('write_file', { path: 'bare/description', content: 'ours\n' }, place);
    await tool('create_directory', { path: 'plain/.git' }, place);
    const { trash_id: id } = await tool('delete_file', { path: 'work/.git', recursive: true }, place);
    await tool('restore_file', { trash_id: id }, place);

    expect(git(join(place.root, 'work'), 'log', '--format=%s')).toBe('one\n');
  });
});

test('a repository as a whole is moved, copied, deleted and restored, and works on', async () => {
  await using place = withRepositories();
  const log = (folder: string) => git(join(place.root, folder), 'log', '--format=%s');

  await tool('move_file', { source: 'work', destination: 'deep/moved', createParents: true }, place);
  expect(log('deep/moved')).toBe('one\n');
  await tool('copy_file', { source: 'deep', destination: 'copied' }, place);
  expect(log('copied/moved')).toBe('one\n');
  const { trash_id: id } = await tool('delete_file', { path: 'copied', recursive: true }, place);
  expect(existsSync(join(place.root, 'copied'))).toBe(false);
  await tool('restore_file', { trash_id: id }, place);
  expect(log('copied/moved')).toBe('one\n');
  await tool('move_file', { source: 'bare', destination: 'bare.git' }, place);
  expect(git(join(place.root, 'bare.git'), 'rev-parse', '--is-bare-repository')).toBe('true\n');
  await tool('write_file', { path: 'copied/moved/a.txt', content: 'changed\n' }, place);
});

describe('A folder is not made a repository', () => {
  /** Ways to make a file, or a folder, of a name. */
  const ways: readonly (readonly [string, (name: string) => object, ('file' | 'folder')?])[] = [
    ['write_file', (name) => ({ path: `made/${name}`, content: 'ref: refs/heads/main\n' }), 'file'],
    ['write_file', (name) => ({ path: `made/${name}/x`, content: '', createParents: true }), 'folder'],
    ['append_file', (name) => ({ path: `made/${name}`, content: 'ref: refs/heads/main\n' }), 'file'],
    ['create_directory', (name) => ({ path: `made/${name}` }), 'folder'],
    ['create_directory', (name) => ({ path: `made/${name}/deep` }), 'folder'],
    ['move_file', (name) => ({ source: `of-${name}`, destination: `made/${name}` })],
    ['copy_file', (name) => ({ source: `of-${name}`, destination: `made/${name}` })],
    ['apply_patch', (name) => ({ path: '.', patch: added(`made/${name}`) }), 'file'],
    ['apply_patch', (name) => ({ path: 'made', patch: added(`${name}/x`) }), 'folder'],
    ['apply_patch', (name) => ({ path: '.', patch: renamed(`of/x${name}`, `made/${name}/b`) }), 'folder'],
  ];
  const isFile = (name: string) => name === 'HEAD' || name === 'commondir';

  test('whichever way and order its parts are made in', async () => {
    const order = fc.constantFrom(
      ['HEAD', 'objects', 'refs'],
      ['refs', 'HEAD', 'objects'],
      ['objects', 'refs', 'HEAD'],
      ['HEAD', 'commondir'],
      ['commondir', 'HEAD'],
    );
    const chosen = fc.array(fc.nat(), { minLength: 3, maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(order, chosen, async (names, picks) => {
        await using place = testPlace({
          'of-HEAD': 'ref: refs/heads/main\n',
          'of-commondir': '../of\n',
          'of-objects/': '',
          'of-refs/': '',
          'of/xHEAD': '',
          'of/xobjects': '',
          'of/xrefs': '',
          'made/hooks/post-checkout': 'planted',
        });
        const make = async (name: string, pick = 0) => {
          const kind = isFile(name) ? 'file' : 'folder';
          const fitting = ways.filter(([, , only]) => only === undefined || only === kind);
          const [by = '', args] = fitting[pick % fitting.length] ?? [];
          return tool(by, args?.(name) ?? {}, place);
        };
        for (const [index, name] of names.slice(0, -1).entries()) await make(name, picks[index]);
        const before = everything(place);

        await expect(make(names.at(-1) ?? '', picks[2])).rejects.toMatchObject({ code: 'forbidden' });

        expect(everything(place)).toEqual(before);
      }),
      { numRuns: 15 },
    );
  });

  test('by one patch that makes all of them', async () => {
    await using place = testPlace({ 'made/hooks/post-checkout': 'planted' });
    const before = everything(place);

    for (const names of [
      ['HEAD', 'objects/x', 'refs/x'],
      ['objects/x', 'refs/x', 'HEAD'],
      ['commondir', 'HEAD'],
    ]) {
      const patch = names.map((name) => added(`made/${name}`)).join('');
      await expect(tool('apply_patch', { path: '.', patch }, place)).rejects.toMatchObject({
        code: 'forbidden',
      });
      expect(everything(place)).toEqual(before);
    }
  });

  test('by calls at the same time', async () => {
    await using place = testPlace({ 'made/HEAD': '', 'made/refs-of/': '' });

    const outcomes = await Promise.allSettled([
      tool('create_directory', { path: 'made/objects' }, place),
      tool('move_file', { source: 'made/refs-of', destination: 'made/refs' }, place),
      tool('write_file', { path: 'made/refs/x', content: '', createParents: true }, place),
      tool('write_file', { path: 'made/commondir', content: '' }, place),
    ]);

    expect(outcomes.filter(({ status }) => status === 'rejected').length).toBeGreaterThan(0);
    const made = readdirSync(join(place.root, 'made'));
    expect(made).not.toContain('commondir');
    expect(made.includes('objects') && made.includes('refs')).toBe(false);
  });

  test('by what is put back from the trash', async () => {
    await using place = testPlace({ 'made/HEAD': '', 'made/refs/': '' });
    const { trash_id: id } = await tool('delete_file', { path: 'made/HEAD' }, place);
    await tool('create_directory', { path: 'made/objects' }, place);

    await expect(tool('restore_file', { trash_id: id }, place)).rejects.toMatchObject({ code: 'forbidden' });
    await tool('restore_file', { trash_id: id, destination: 'elsewhere' }, place);
  });

  test('in what is copied at the moment', async () => {
    await using place = testPlace({ '.flotilla-0123456789abcdef.tmp/x': '' });
    const path = '.flotilla-0123456789abcdef.tmp/hooks';

    await expect(tool('write_file', { path, content: '' }, place)).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining('a copy is being made there') as string,
    });
    await tool('delete_file', { path: '.flotilla-0123456789abcdef.tmp', recursive: true }, place);
  });

  test('but such names alone are names like others', async () => {
    await using place = testPlace({ 'objects/a': 'a', 'refs/b': 'b', 'GITHUB/c': '' });

    for (const path of [
      'docs/HEAD',
      'docs/objects',
      '.gitignore',
      '.github/x',
      '.gitattributes',
      'x.git/y',
    ]) {
      await tool('write_file', { path, content: '', createParents: true }, place);
    }
    rmSync(join(place.root, 'refs'), { recursive: true });
    await tool('write_file', { path: 'HEAD', content: '' }, place);

    expect(existsSync(join(place.root, 'docs/objects'))).toBe(true);
    expect(existsSync(join(place.root, 'HEAD'))).toBe(true);
  });
});

test('a root within a repository is read only, and one that is a repository too', async () => {
  await using place = withRepositories();

  for (const root of ['work/.git', 'work/.git/hooks', 'bare']) {
    await using files = openFiles({ ...place.files, roots: [join(place.root, root)] });
    const write = tool('write_file', { path: 'new', content: '' }, { ...place, files });
    await expect(write).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining('belongs to a Git repository') as string,
    });
  }
});
