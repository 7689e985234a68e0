import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { asNobody, testPlace, type TestPlace } from '../place.fixture.ts';
import { directoryTree, searchFiles } from './find-files.ts';
import { listDirectory } from './list.ts';
import { searchFileContents } from './search-file-contents.ts';
import { deleteFile, listTrash, restoreFile } from './trash.ts';

const dayMs = 86_400_000;
/** The machine may be busy. */
const patient = { timeout: 90_000 };
const inTrash = async ({ files, root }: TestPlace) =>
  (await invoke(listTrash, {}, files)).trashed.map(({ path }) => path.slice(root.length + 1));
const now = Date.parse('2026-11-20T12:00:00Z');

test('What is deleted can be brought back, files, folders and links', async () => {
  await using place = testPlace({ 'a.txt': 'a', 'dir/deep/x': 'x' });
  symlinkSync(place.outside, join(place.root, 'link'));

  for (const [path, recursive] of [
    ['a.txt', false],
    ['dir', true],
    ['link', false],
  ] as const) {
    const { trash_id: id } = await invoke(deleteFile, { path, recursive }, place.files);
    expect(existsSync(join(place.root, path))).toBe(false);
    const { trashed } = await invoke(listTrash, {}, place.files);
    expect(trashed).toMatchObject([{ id, path: join(place.root, path), deleted_by: 'test' }]);
    await invoke(restoreFile, { trash_id: id }, place.files);
  }

  expect(readFileSync(join(place.root, 'a.txt'), 'utf8')).toBe('a');
  expect(readFileSync(join(place.root, 'dir/deep/x'), 'utf8')).toBe('x');
  expect(lstatSync(join(place.root, 'link')).isSymbolicLink()).toBe(true);
  expect(readdirSync(join(place.root, '.flotilla-trash'))).toEqual([]);
  expect(readdirSync(place.outside)).toEqual(['secret.txt']);
});

test('A restore puts nothing over what is there, makes folders that are gone, and can go elsewhere', async () => {
  await using place = testPlace({ 'dir/a': 'old' });
  const { trash_id: id } = await invoke(deleteFile, { path: 'dir/a' }, place.files);
  writeFileSync(join(place.root, 'dir/a'), 'new');

  await expect(invoke(restoreFile, { trash_id: id }, place.files)).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('Destination already exists') as string,
  });
  await invoke(restoreFile, { trash_id: id, destination: 'made/here' }, place.files);

  expect(readFileSync(join(place.root, 'dir/a'), 'utf8')).toBe('new');
  expect(readFileSync(join(place.root, 'made/here'), 'utf8')).toBe('old');
  await expect(invoke(restoreFile, { trash_id: id }, place.files)).rejects.toMatchObject({
    code: 'not_found',
  });
});

test('A folder that is not empty is deleted only when that is said, a root never', async () => {
  await using place = testPlace({ 'dir/a': 'a', 'empty/': '' });

  await expect(invoke(deleteFile, { path: 'dir' }, place.files)).rejects.toMatchObject({ code: 'conflict' });
  await expect(invoke(deleteFile, { path: place.root, recursive: true }, place.files)).rejects.toMatchObject({
    code: 'forbidden',
  });
  await expect(invoke(deleteFile, { path: 'none' }, place.files)).rejects.toMatchObject({
    code: 'not_found',
  });
  await invoke(deleteFile, { path: 'empty' }, place.files);

  expect(readdirSync(place.root)).toEqual(['.flotilla-trash', 'dir']);
});

test('The trash is not listed and not searched', async () => {
  await using place = testPlace({ 'a.txt': 'needle' });
  await invoke(deleteFile, { path: 'a.txt' }, place.files);

  expect((await invoke(listDirectory, { path: '.' }, place.files)).content).toBe('');
  expect((await invoke(directoryTree, { path: '.' }, place.files)).content).toBe('[]');
  expect((await invoke(searchFiles, { path: '.', pattern: '**' }, place.files)).content).toBe(
    'No matches found',
  );
  expect((await invoke(searchFileContents, { path: '.', pattern: 'needle' }, place.files)).matches).toBe(0);
});

test('What has been there for longer than the setting says is removed after the next delete', async () => {
  await using place = testPlace({ old: 'old', new: 'new', last: '' }, { trashDays: 30 });
  mkdirSync(join(place.root, 'odd'));
  writeFileSync(join(place.root, 'odd', Buffer.from([0x66, 0xff]).toString('latin1')), '');
  symlinkSync(place.outside, join(place.root, 'odd/link'));
  const remove = async (path: string, daysAgo: number) =>
    invoke(deleteFile, { path, recursive: true }, place.files, { nowMs: now - daysAgo * dayMs });
  await remove('old', 31);
  await remove('odd', 31);
  await remove('new', 29);

  await remove('last', 0);

  await expect.poll(async () => inTrash(place), patient).toEqual(['last', 'new']);
  await expect.poll(() => readdirSync(join(place.root, '.flotilla-trash')), patient).toHaveLength(2);
  expect(readdirSync(place.outside)).toEqual(['secret.txt']);
});

test('What its owner may not change any more expires too', async () => {
  await using place = testPlace({ 'old/locked/deep/f': '', new: '' }, { trashDays: 30 });
  await asNobody(place, async () => {
    chmodSync(join(place.root, 'old/locked/deep'), 0);
    chmodSync(join(place.root, 'old/locked'), 0o555);
    await invoke(deleteFile, { path: 'old', recursive: true }, place.files, { nowMs: now - 31 * dayMs });

    const deleted = await invoke(deleteFile, { path: 'new' }, place.files, { nowMs: now });

    expect(deleted.not_expired).toBeUndefined();
    await expect.poll(async () => inTrash(place), patient).toEqual(['new']);
    await expect.poll(() => readdirSync(join(place.root, '.flotilla-trash')), patient).toHaveLength(1);
  });
});

test('What cannot be removed from the trash is told and stays in the list, and the rest goes', async (context) => {
  const names = Array.from({ length: 25 }, (_, number) => `f${number}`);
  await using place = testPlace({
    'stuck/of-root/f': '',
    ...Object.fromEntries(names.map((name) => [name, ''])),
    last: '',
    later: '',
  });
  if (process.geteuid?.() !== 0) context.skip('only root can make what others cannot remove');
  await asNobody(place, async () => {
    for (const [index, path] of ['stuck', ...names].entries()) {
      const nowMs = now - 40 * dayMs + index;
      await invoke(deleteFile, { path, recursive: true }, place.files, { nowMs });
    }
  });
  const [stuck = ''] = readdirSync(join(place.root, '.flotilla-trash'));
  chownSync(join(place.root, '.flotilla-trash', stuck, 'item/of-root'), 0, 0);
  await asNobody(place, async () => {
    await invoke(deleteFile, { path: 'last' }, place.files, { nowMs: now });
    await expect.poll(async () => inTrash(place), patient).toEqual(['last', 'stuck']);
    await expect.poll(() => place.files.notExpired.get(place.root), patient).toBe(1);

    const deleted = await invoke(deleteFile, { path: 'later' }, place.files, { nowMs: now });
    expect(deleted.not_expired).toBe(1);
  });
});

test('What is being removed for good when the service ends is removed after the next start', async () => {
  await using place = testPlace({ old: 'old', last: '' });
  await invoke(deleteFile, { path: 'old' }, place.files, { nowMs: now - 31 * dayMs });
  const trash = join(place.root, '.flotilla-trash');
  const [id = ''] = readdirSync(trash);
  renameSync(join(trash, id), join(trash, `${id}.gone`));
  expect(await inTrash(place)).toEqual([]);
  await expect(invoke(restoreFile, { trash_id: `${id}.gone` }, place.files)).rejects.toMatchObject({
    code: 'not_found',
  });

  await invoke(deleteFile, { path: 'last' }, place.files, { nowMs: now });

  await expect.poll(() => readdirSync(trash), patient).toHaveLength(1);
});

test('A long list is read on, over all roots', async () => {
  await using place = testPlace();
  for (let number = 0; number < 7; number += 1) {
    const path = join(number < 4 ? place.root : place.other, `f${number}`);
    writeFileSync(path, '');
    await invoke(deleteFile, { path }, place.files, { nowMs: now + number });
  }
  const seen: string[] = [];

  for (let cursor: string | undefined, isFirst = true; isFirst || cursor; isFirst = false) {
    const page = await invoke(listTrash, { limit: 2, cursor }, place.files);
    seen.push(...page.trashed.map(({ path }) => path.slice(-2)));
    cursor = page.next_cursor;
  }

  expect(seen).toEqual(['f3', 'f2', 'f1', 'f0', 'f6', 'f5', 'f4']);
});

test('A trash that is a link is not used', async () => {
  await using place = testPlace({ a: 'a' });
  symlinkSync(place.outside, join(place.root, '.flotilla-trash'));

  await expect(invoke(deleteFile, { path: 'a' }, place.files)).rejects.toMatchObject({ code: 'conflict' });

  expect(readdirSync(place.outside)).toEqual(['secret.txt']);
  expect(readFileSync(join(place.root, 'a'), 'utf8')).toBe('a');
});
