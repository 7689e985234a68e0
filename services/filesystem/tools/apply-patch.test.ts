import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { testPlace, type TestPlace } from '../place.fixture.ts';
import { applyPatch } from './apply-patch.ts';
import { listTrash } from './trash.ts';

const apply = async ({ files }: TestPlace, patch: string, dryRun = false) =>
  invoke(applyPatch, { path: '.', patch, dryRun }, files);

/** Everything in the root but the trash, as one object. */
const contentsOf = ({ root }: TestPlace) =>
  Object.fromEntries(
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !/\/(\.flotilla-trash|link)/.test(entry.parentPath))
      .map((entry) => {
        const path = join(entry.parentPath, entry.name);
        return [path.slice(root.length + 1), readFileSync(path, 'utf8')];
      })
      .toSorted(([one = ''], [other = '']) => (one < other ? -1 : 1)),
  );

const change = (name: string, from: string, to: string) =>
  `--- a/${name}\n+++ b/${name}\n@@ -1 +1 @@\n-${from}\n+${to}\n`;

test('What git shows as a difference is applied: changed, new, deleted, renamed files and modes', async () => {
  const before = {
    'change.txt': Array.from({ length: 30 }, (_, line) => `line ${line}\n`).join(''),
    'crlf.txt': 'one\r\ntwo\r\nthree\r\n',
    'no-end.txt': 'one\ntwo',
    'gone.txt': 'gone\n',
    'moved.txt': 'moved as it is\n',
    'edited.txt': 'one\ntwo\nthree\nfour\nfive\n',
    'run.sh': '#!/bin/sh\n',
    'ünï code.txt': 'a\n',
  };
  await using theirs = testPlace(before);
  await using ours = testPlace(before);
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@b', ...args], {
      cwd: theirs.root,
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] },
    });
  git('init', '--quiet');
  git('add', '.');
  git('commit', '--quiet', '-m', 'before');
  const write = (name: string, text: string) => writeFileSync(join(theirs.root, name), text);
  write('change.txt', before['change.txt'].replace('line 3\n', 'line three\n').replace('line 25\n', ''));
  write('crlf.txt', 'one\r\n2\r\nthree\r\n');
  write('no-end.txt', 'one\n2');
  write('ünï code.txt', 'b\n');
  mkdirSync(join(theirs.root, 'new/deep'), { recursive: true });
  write('new/deep/file.txt', 'new\nfile');
  write('empty.txt', '');
  git('rm', '--quiet', 'gone.txt');
  git('mv', 'moved.txt', 'new/moved.txt');
  renameSync(join(theirs.root, 'edited.txt'), join(theirs.root, 'new/edited.txt'));
  write('new/edited.txt', 'one\ntwo\nthree\nfour\n5\n');
  execFileSync('chmod', ['755', join(theirs.root, 'run.sh')]);
  git('add', '.');

  const { files } = await apply(ours, git('diff', '--cached', '--find-renames'));

  const { '.git': _, ...expected } = contentsOf(theirs);
  expect(contentsOf(ours)).toEqual(
    Object.fromEntries(Object.entries(expected).filter(([path]) => !path.startsWith('.git/'))),
  );
  expect(statSync(join(ours.root, 'run.sh')).mode & 0o777).toBe(0o755);
  expect(Object.groupBy(files, ({ action }) => action)).toMatchObject({
    created: { length: 2 },
    deleted: { length: 1 },
    renamed: { length: 2 },
    modified: { length: 5 },
  });
  expect((await invoke(listTrash, {}, ours.files)).trashed).toMatchObject([
    { path: join(ours.root, 'gone.txt') },
  ]);
});

describe('A patch', () => {
  test('of diff -u applies where its lines are now', async () => {
    await using place = testPlace({ f: 'added\nadded\none\ntwo\nthree\n' });

    await apply(place, '--- f\t2026-01-01\n+++ f\t2026-01-02\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n');

    expect(contentsOf(place)).toEqual({ f: 'added\nadded\none\n2\nthree\n' });
  });

  test('that is only tried out changes nothing', async () => {
    await using place = testPlace({ f: 'one\n' });

    const { content } = await apply(place, change('f', 'one', '1'), true);

    expect(content).toBe(`would be modified ${join(place.root, 'f')}`);
    expect(contentsOf(place)).toEqual({ f: 'one\n' });
  });

  const fits = change('a', 'a', 'A');
  const refusals: readonly (readonly [string, string, string])[] = [
    ['does not fit a file', `${fits}${change('b', 'wrong', 'B')}`, 'conflict'],
    ['is for a file that is missing', `${fits}${change('none', 'x', 'y')}`, 'not_found'],
    ['makes a file that exists', `${fits}--- /dev/null\n+++ b/b\n@@ -0,0 +1 @@\n+x\n`, 'conflict'],
    ['deletes a file that is another', `${fits}--- a/b\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n`, 'conflict'],
    ['leads out of the roots', `${fits}${change('../../outside/secret.txt', 'x', 'y')}`, 'forbidden'],
    ['leads out by a link', `${fits}--- /dev/null\n+++ b/link/x\n@@ -0,0 +1 @@\n+x\n`, 'forbidden'],
    ['is for the trash', `${fits}--- /dev/null\n+++ b/.flotilla-trash/x\n@@ -0,0 +1 @@\n+x\n`, 'forbidden'],
    ['changes a file twice', `${fits}${change('./a', 'a', 'B')}`, 'invalid_input'],
    [
      'is for bytes',
      `${fits}diff --git a/b b/b\nindex 1..2 100644\nBinary files a/b and b/b differ\n`,
      'invalid_input',
    ],
    [
      'makes a link',
      `${fits}diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n`,
      'invalid_input',
    ],
    [
      'makes a file, and something in it',
      `${fits}--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+x\n--- /dev/null\n+++ b/n/x\n@@ -0,0 +1 @@\n+x\n`,
      'invalid_input',
    ],
    ['is none', 'Please change the file.', 'invalid_input'],
    ['is broken', `${fits}--- a/b\n+++ b/b\n@@ -1,9 +1,9 @@\n-b\n`, 'invalid_input'],
    ['has no name', `${fits}--- \n+++ \n@@ -1 +1 @@\n-b\n+c\n`, 'invalid_input'],
  ];
  test.each(refusals)('that %s is refused as a whole', async (_, patch, code) => {
    await using place = testPlace({ a: 'a\n', b: 'b\n' });
    symlinkSync(place.outside, join(place.root, 'link'));

    await expect(apply(place, patch)).rejects.toMatchObject({ code });

    expect(contentsOf(place)).toEqual({ a: 'a\n', b: 'b\n' });
    expect(readdirSync(place.root)).toEqual(['a', 'b', 'link']);
    expect(readdirSync(place.outside)).toEqual(['secret.txt']);
  });

  test('that fits nowhere in a large file of like lines is refused soon', async () => {
    await using place = testPlace({ f: 'x\n'.repeat(200_000) });
    const hunk = `@@ -1,20001 +1,20001 @@\n${' x\n'.repeat(20_000)}-y\n+z\n`;

    await expect(apply(place, `--- a/f\n+++ b/f\n${hunk}`)).rejects.toMatchObject({
      code: 'too_large',
    });
  });
});

test('Places that are looked for in many files count together', async () => {
  const text = 'x\n'.repeat(40_000);
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  await using place = testPlace(Object.fromEntries(names.map((name) => [name, `${text}y\nz\n`])));
  // 1,000 lines fit almost, at each of two thousand places; then they fit.
  const lines = ' x\n'.repeat(1_000);
  const hunk = `@@ -38000,1002 +38000,1002 @@\n${lines}-y\n+Y\n z\n`;
  const patch = names.map((name) => `--- a/${name}\n+++ b/${name}\n${hunk}`);

  await apply(place, patch[0] ?? '', true);
  await expect(apply(place, patch.join(''), true)).rejects.toMatchObject({ code: 'too_large' });
});

test('Modes are those of new files, and of a changed one only whether it may be run', async () => {
  await using place = testPlace({ private: 'a\n' });
  chmodSync(join(place.root, 'private'), 0o640);
  const made = '--- /dev/null\n+++ b/NAME\n@@ -0,0 +1 @@\n+x\n';
  const umask = process.umask(0o077);
  try {
    await apply(
      place,
      [
        made.replace('NAME', 'plain'),
        `diff --git a/run b/run\nnew file mode 100755\n${made.replace('NAME', 'run')}`,
        made.replace('NAME', 'folder/f'),
        'diff --git a/private b/private\nold mode 100644\nnew mode 100755\n',
      ].join(''),
    );
  } finally {
    process.umask(umask);
  }

  const mode = (name: string) => (statSync(join(place.root, name)).mode & 0o777).toString(8);
  expect(['private', 'plain', 'run', 'folder', 'folder/f'].map(mode)).toEqual([
    '750',
    '644',
    '755',
    '755',
    '644',
  ]);
});

test('When a step fails in the middle, those before it are taken back', async () => {
  const created = '--- /dev/null\n+++ b/made/new.txt\n@@ -0,0 +1 @@\n+new\n';
  const patch = [
    change('a.txt', 'a', 'A'),
    '--- a/gone.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n',
    'diff --git a/old.txt b/moved.txt\nsimilarity index 100%\nrename from old.txt\nrename to moved.txt\n',
    created.replace('made/new.txt', 'early.txt'),
    created,
    change('z.txt', 'z', 'Z'),
  ].join('');
  const before = { 'a.txt': 'a\n', 'gone.txt': 'gone\n', 'old.txt': 'old\n', 'z.txt': 'z\n' };
  let wasHit = false;

  for (let attempt = 0; attempt < 50 && !wasHit; attempt += 1) {
    await using place = testPlace(before);
    // Somebody else changes the last file when everything is prepared, or already begun.
    const watcher = watch(place.root, (_event, name) => {
      if (name === 'early.txt' || name === 'moved.txt') writeFileSync(join(place.root, 'z.txt'), 'other\n');
    });
    const outcome = await apply(place, patch).then(
      () => 'ok',
      (error: { code: string }) => error.code,
    );
    watcher.close();
    wasHit = outcome === 'conflict';
    if (!wasHit) continue;
    expect(contentsOf(place)).toEqual({ ...before, 'z.txt': 'other\n' });
    expect(existsSync(join(place.root, 'made'))).toBe(false);
    expect(readdirSync(place.root).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  }

  expect(wasHit).toBe(true);
});
