import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { openFiles, type Files } from '../files.ts';
import { testPlace, type TestPlace } from '../place.fixture.ts';
import { getFileInfo } from './file-info.ts';
import { copyFile, moveFile } from './move-and-copy.ts';
import { writeFile } from './write-file.ts';

const move = async ({ files }: TestPlace, source: string, destination: string) =>
  invoke(moveFile, { source, destination }, files);
const copy = async ({ files }: TestPlace, source: string, destination: string) =>
  invoke(copyFile, { source, destination }, files);
const both = [
  ['move_file', move],
  ['copy_file', copy],
] as const;

describe.each(both)('%s', (_, perform) => {
  test.each(['file', 'folder', 'empty', 'link'])('does not touch a %s at the destination', async (there) => {
    await using place = testPlace({ a: 'a', file: 'there', 'folder/x': 'there', 'empty/': '', 'dir/y': '' });
    symlinkSync('nowhere', join(place.root, 'link'));

    for (const source of ['a', 'dir']) {
      await expect(perform(place, source, there)).rejects.toMatchObject({
        code: 'conflict',
        message: `Destination already exists: ${join(place.root, there)}`,
      });
    }
    expect(readdirSync(place.root, { recursive: true }).map(String).toSorted()).toEqual(
      ['a', 'dir', 'dir/y', 'empty', 'file', 'folder', 'folder/x', 'link'].toSorted(),
    );
    expect(readFileSync(join(place.root, 'file'), 'utf8')).toBe('there');
  });

  test('does not put a folder into itself', async () => {
    await using place = testPlace({ 'dir/x': 'x' });
    symlinkSync('dir', join(place.root, 'link'));

    for (const into of ['dir/dir', 'dir/deep/er', 'link/dir']) {
      await expect(perform(place, 'dir', into)).rejects.toMatchObject({
        code: expect.stringMatching(/invalid_input|not_found/) as string,
      });
    }
    expect(readdirSync(place.root, { recursive: true }).map(String).toSorted()).toEqual([
      'dir',
      'dir/x',
      'link',
      'link/x',
    ]);
  });

  test('leaves the roots where they are', async () => {
    await using place = testPlace();

    await expect(perform(place, '.', 'x')).rejects.toMatchObject({
      code: expect.stringMatching(/forbidden|invalid_input/) as string,
    });
    await expect(perform(place, 'none', place.other)).rejects.toMatchObject({ code: 'not_found' });
    await expect(perform(place, 'none', 'x')).rejects.toMatchObject({ code: 'not_found' });
    expect(readdirSync(place.root)).toEqual([]);
  });
});

describe('Moving', () => {
  test('takes files, folders and links along, to another root too', async () => {
    await using place = testPlace({ a: 'a', 'dir/x': 'x' });
    symlinkSync(place.outside, join(place.root, 'link'));

    await move(place, 'a', join(place.other, 'b'));
    await move(place, 'dir', join(place.other, 'dir'));
    await move(place, 'link', 'renamed');

    expect(readFileSync(join(place.other, 'b'), 'utf8')).toBe('a');
    expect(readFileSync(join(place.other, 'dir/x'), 'utf8')).toBe('x');
    expect(readlinkSync(join(place.root, 'renamed'))).toBe(place.outside);
    expect(readdirSync(place.root)).toEqual(['renamed']);
  });

  test('onto itself changes nothing, under any of its names', async () => {
    await using place = testPlace({ 'dir/x': 'x' });
    symlinkSync('dir', join(place.root, 'link'));

    await move(place, 'dir', 'dir');
    await move(place, 'dir/x', './link/../dir//x');
    await move(place, 'dir/x', 'link/x');

    expect(readFileSync(join(place.root, 'dir/x'), 'utf8')).toBe('x');
  });

  test('many to one name lets one of them have it, and keeps the others', async () => {
    const names = Array.from({ length: 20 }, (_, number) => `f${number}`);
    await using place = testPlace(Object.fromEntries(names.map((name) => [name, name])));

    const outcomes = await Promise.allSettled(names.map(async (name) => move(place, name, 'target')));

    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(readdirSync(place.root)).toHaveLength(20);
    expect(names).toContain(readFileSync(join(place.root, 'target'), 'utf8'));
  });

  test('to another file system says what to do instead, and leaves nothing there', async (context) => {
    await using place = testPlace({ a: 'a', 'dir/x': 'x' });
    if (!existsSync('/dev/shm') || statSync('/dev/shm').dev === statSync(place.root).dev)
      context.skip('the kernel forbids it: there is no other file system here');
    const elsewhere = mkdtempSync('/dev/shm/flotilla-test-');
    try {
      await using files = openFiles({ ...place.files, roots: [place.root, elsewhere] });

      for (const name of ['a', 'dir']) {
        await expect(
          invoke(moveFile, { source: name, destination: join(elsewhere, name) }, files),
        ).rejects.toMatchObject({ code: 'conflict', hint: expect.stringContaining('copy_file') as string });
      }
      expect(readdirSync(elsewhere)).toEqual([]);
      expect(readdirSync(place.root)).toEqual(['a', 'dir']);

      await invoke(copyFile, { source: 'dir', destination: join(elsewhere, 'dir') }, files);
      expect(readFileSync(join(elsewhere, 'dir/x'), 'utf8')).toBe('x');
    } finally {
      rmSync(elsewhere, { recursive: true });
    }
  });
});

describe('Copying', () => {
  test('takes everything in a folder along, with modes, and links as links', async () => {
    await using place = testPlace({ 'dir/deep/x': 'x'.repeat(600_000), 'dir/empty/': '', 'dir/run': '#!' });
    chmodSync(join(place.root, 'dir/run'), 0o755);
    chmodSync(join(place.root, 'dir/deep'), 0o711);
    chmodSync(join(place.root, 'dir/empty'), 0o555);
    symlinkSync(join(place.outside, 'secret.txt'), join(place.root, 'dir/link'));

    const umask = process.umask(0o077);
    const { files, bytes } = await copy(place, 'dir', 'copy').finally(() => process.umask(umask));

    expect({ files, bytes }).toEqual({ files: 2, bytes: 600_002 });
    expect(readFileSync(join(place.root, 'copy/deep/x'), 'utf8')).toBe('x'.repeat(600_000));
    for (const name of ['', 'run', 'deep', 'deep/x', 'empty'])
      expect(statSync(join(place.root, 'copy', name)).mode).toBe(
        statSync(join(place.root, 'dir', name)).mode,
      );
    expect(lstatSync(join(place.root, 'copy/link')).isSymbolicLink()).toBe(true);
    expect(readdirSync(join(place.root, 'copy/empty'))).toEqual([]);
  });

  test('of what may not be read fails as a whole, and leaves nothing', async () => {
    await using place = testPlace({ 'dir/a': 'a' });
    mkdirSync(join(place.root, 'dir/z'));
    execFileSync('mkfifo', [join(place.root, 'dir/z/fifo')]);

    await expect(copy(place, 'dir', 'copy')).rejects.toMatchObject({ code: 'forbidden' });

    expect(readdirSync(place.root)).toEqual(['dir']);
  });
});

/** A copy that has begun, and copies once `go` is called. */
async function begunCopy(place: TestPlace) {
  const { promise: gate, resolve: go } = Promise.withResolvers<void>();
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const takeLong: Files['takeLong'] = async (call, work) => {
    begin();
    await gate;
    return place.files.takeLong(call, work);
  };
  const copy = invoke(copyFile, { source: 'big', destination: 'd/copy' }, { ...place.files, takeLong });
  await begun;
  return { copy, go };
}

test('A long copy keeps nobody from writing, beside it and where it goes', async () => {
  await using place = testPlace({ big: 'x'.repeat(600_000), 'd/': '' });
  const { copy, go } = await begunCopy(place);

  await invoke(writeFile, { path: 'beside', content: 'x' }, place.files);
  await invoke(writeFile, { path: 'd/there', content: 'x' }, place.files);
  await invoke(moveFile, { source: 'd', destination: 'e' }, place.files);
  await invoke(writeFile, { path: 'd/other', content: 'x', createParents: true }, place.files);
  go();
  await copy;

  expect(readdirSync(join(place.root, 'd'))).toEqual(['copy', 'other']);
  expect(readdirSync(join(place.root, 'e'))).toEqual(['there']);
});

test('A copy to what is there is refused before anything is copied', async () => {
  await using place = testPlace({ big: 'x'.repeat(1_000_000), there: '' });
  const told: number[] = [];

  await expect(
    invoke(copyFile, { source: 'big', destination: 'there' }, place.files, {
      progress: (done) => told.push(done),
    }),
  ).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('Destination already exists') as string,
  });

  expect(told).toEqual([]);
});

test('A copy whose place was taken, or went away, meanwhile leaves nothing behind', async () => {
  await using place = testPlace({ big: 'x'.repeat(600_000), 'd/': '' });
  const first = await begunCopy(place);
  await invoke(writeFile, { path: 'd/copy', content: 'mine' }, place.files);
  first.go();
  await expect(first.copy).rejects.toMatchObject({ code: 'conflict' });
  expect(readdirSync(join(place.root, 'd'))).toEqual(['copy']);

  rmSync(join(place.root, 'd/copy'));
  const second = await begunCopy(place);
  await invoke(moveFile, { source: 'd', destination: 'e' }, place.files);
  second.go();
  await expect(second.copy).rejects.toMatchObject({ code: 'not_found' });
  expect(readdirSync(place.root)).toEqual(['big', 'e']);
  expect(readdirSync(join(place.root, 'e'))).toEqual([]);
});

test('More files than are synced one by one are copied as well', async () => {
  const names = Array.from({ length: 110 }, (_, n) => `d/f${n}`);
  await using place = testPlace(Object.fromEntries(names.map((name) => [name, name])));

  expect(await invoke(copyFile, { source: 'd', destination: 'copy' }, place.files)).toMatchObject({
    files: 110,
  });

  expect(readFileSync(join(place.root, 'copy/f109'), 'utf8')).toBe('d/f109');
});

test('Of changes that build on the same contents one is made, whichever way they name the file', async () => {
  await using place = testPlace({ 'd/f': 'start' });
  symlinkSync('d', join(place.root, 'alias'));
  symlinkSync('d/f', join(place.root, 'link'));
  const { etag } = await invoke(getFileInfo, { path: 'd/f' }, place.files);
  const ways = ['d/f', 'alias/f', 'link', join(place.root, 'd/f')];

  const outcomes = await Promise.allSettled(
    Array.from({ length: 12 }, async (_, n) =>
      invoke(writeFile, { path: ways[n % ways.length], content: `by ${n}`, ifMatch: etag }, place.files),
    ),
  );

  const done = outcomes.flatMap(({ status }, n) => (status === 'fulfilled' ? [`by ${n}`] : []));
  expect(done).toEqual([readFileSync(join(place.root, 'd/f'), 'utf8')]);
  const codes = outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [(outcome.reason as { code: string }).code] : [],
  );
  expect(codes).toEqual(Array(11).fill('conflict'));
});
