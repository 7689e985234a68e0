import { execFileSync } from 'node:child_process';
import { linkSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { seenAtOnce } from './at-once.ts';
import { openFileAt } from './beneath.ts';
import { smallFileBytes } from './limits.ts';
import { testPlace } from './place.fixture.ts';
import { readAll } from './text.ts';

function withDoubts() {
  const place = testPlace({
    'folder/below/file.txt': 'within',
    'empty.txt': '',
    'large.txt': 'x'.repeat(smallFileBytes + 1),
    'caf\u00e9.txt': 'spelled in two ways',
  });
  const link = (target: string, name: string) => symlinkSync(target, join(place.root, name));
  link('folder/below/file.txt', 'link-to-file');
  link('folder', 'link-to-folder');
  link(join(place.outside, 'secret.txt'), 'link-out');
  link(place.outside, 'folder-out');
  linkSync(join(place.outside, 'secret.txt'), join(place.root, 'other-name'));
  execFileSync('mkfifo', [join(place.root, 'pipe')]);
  return place;
}

test('The short way reads what the long way reads', async () => {
  await using place = withDoubts();
  for (const path of ['folder/below/file.txt', './folder//below/../below/file.txt', 'empty.txt']) {
    await using file = await openFileAt(place.files, path);
    const seen = seenAtOnce(place.files, path, 1_000);

    expect(seen?.path, path).toBe(file.path);
    expect(seen?.stat.ino, path).toBe((await file.stat()).ino);
    expect(seen?.contents, path).toEqual(await readAll(file));
  }
});

test('Contents that are too many, or not to be read, are left to the long way', async () => {
  await using place = withDoubts();
  for (const path of ['folder', '.', 'large.txt', 'other-name', 'pipe'])
    expect(seenAtOnce(place.files, path, 10_000_000)?.contents, path).toBeUndefined();
  expect(seenAtOnce(place.files, 'folder/below/file.txt', 'within'.length - 1)?.contents).toBeUndefined();
});

test('Where there is a link, another spelling or nothing, the short way sees nothing', async () => {
  await using place = withDoubts();
  const paths = ['link-to-file', 'link-to-folder', 'link-to-folder/below/file.txt', 'link-out'];
  paths.push(
    'folder-out/secret.txt',
    'caf\u00e9.txt',
    'missing.txt',
    'missing/file.txt',
    'empty.txt/file.txt',
  );
  for (const path of paths) expect(seenAtOnce(place.files, path, 1_000), path).toBeUndefined();
});

test('The short way refuses what lies outside, and the trash, as the long way does', async () => {
  await using place = withDoubts();
  for (const path of ['../outside/secret.txt', join(place.outside, 'secret.txt'), '.flotilla-trash/x', '~/x'])
    expect(() => seenAtOnce(place.files, path, 1_000), path).toThrow(/^Access denied/);
});
