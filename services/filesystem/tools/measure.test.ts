import {
  appendFileSync,
  existsSync,
  linkSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { testPlace } from '../place.fixture.ts';
import { findDuplicates, getFolderSize } from './measure.ts';
import { readTextFile } from './read-text.ts';

test('Usage is added up by what is in the folder, and a file with several names counts once', async () => {
  await using place = testPlace({
    'big/a': 'x'.repeat(100_000),
    'big/deep/b': 'y'.repeat(50_000),
    small: 'z',
  });
  linkSync(join(place.root, 'big/a'), join(place.root, 'z-again'));
  symlinkSync(place.outside, join(place.root, 'link'));
  writeFileSync(join(place.root, 'sparse'), '');
  truncateSync(join(place.root, 'sparse'), 1024 ** 3);

  const usage = await invoke(getFolderSize, { path: '.', limit: 1 }, place.files);

  expect(usage.bytes).toBe(150_001 + place.outside.length + 1024 ** 3);
  expect(usage.disk_bytes).toBeLessThan(1024 ** 2);
  expect(usage.largest).toMatchObject([{ path: join(place.root, 'big') }]);
  expect(usage.more_entries).toBe(4);
  expect(usage.free_bytes).toBeGreaterThan(0);
});

test('Files with the same contents are found, those that waste most first', async () => {
  await using place = testPlace({
    'a/one': 'same small',
    'b/two': 'same small',
    'b/odd': 'as long as',
    'big/1': 'x'.repeat(500_000),
    'big/2': 'x'.repeat(500_000),
    'big/3': `${'x'.repeat(499_999)}y`,
    'skip/1': 'same small',
    empty1: '',
    empty2: '',
  });
  symlinkSync('a/one', join(place.root, 'link'));
  linkSync(join(place.root, 'big/3'), join(place.outside, 'elsewhere'));

  const found = await invoke(findDuplicates, { path: '.', excludePatterns: ['skip'] }, place.files);

  expect(
    found.groups.map(({ bytes, paths }) => [bytes, paths.map((path) => path.slice(place.root.length + 1))]),
  ).toEqual([
    [500_000, ['big/1', 'big/2']],
    [10, ['a/one', 'b/two']],
  ]);
  expect(found.skipped_files).toBe(1);
  expect((await invoke(findDuplicates, { path: '.', limit: 1 }, place.files)).more_groups).toBe(1);
});

test('Sizes beyond what a number holds exactly are told', async (context) => {
  // Only few file systems have room for such a file, even one with nothing in it.
  if (!existsSync('/dev/shm')) context.skip('there is no such file system here');
  const elsewhere = mkdtempSync('/dev/shm/flotilla-test-');
  try {
    writeFileSync(join(elsewhere, 'huge'), '');
    truncateSync(join(elsewhere, 'huge'), Number.MAX_SAFE_INTEGER);
    appendFileSync(join(elsewhere, 'huge'), 'beyond');
    await using place = testPlace();
    const files = { ...place.files, roots: [elsewhere] };

    expect((await invoke(getFolderSize, { path: '.' }, files)).bytes).toBeGreaterThan(2 ** 53);
    await expect(invoke(readTextFile, { path: 'huge', tail: 1 }, files)).rejects.toMatchObject({
      code: 'too_large',
    });
  } finally {
    rmSync(elsewhere, { recursive: true });
  }
});
