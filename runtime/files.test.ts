import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { temporaryFolder } from '../tests/support/serve.ts';
import { makeFolder, removeHalfWritten, writeFileAtomic } from './files.ts';

test('A file is written with its folders, for its owner alone, and nothing else is left', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'deep', 'er', 'file');

  writeFileAtomic(file, 'first');
  writeFileAtomic(file, 'second');

  expect(readFileSync(file, 'utf8')).toBe('second');
  expect(statSync(file).mode & 0o777).toBe(0o600);
  expect(readdirSync(join(folder.path, 'deep', 'er'))).toEqual(['file']);
});

test('A file that is replaced keeps its readers', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'shared');
  writeFileAtomic(file, 'first');
  chmodSync(file, 0o640);

  writeFileAtomic(file, 'second');

  expect(readFileSync(file, 'utf8')).toBe('second');
  expect(statSync(file).mode & 0o777).toBe(0o640);
});

test('A write that fails leaves what was there, and no temporary file', () => {
  using folder = temporaryFolder();
  const inTheWay = join(folder.path, 'file');
  mkdirSync(join(inTheWay, 'full'), { recursive: true });

  expect(() => writeFileAtomic(inTheWay, 'x')).toThrow(/EISDIR|ENOTEMPTY|EEXIST/);

  expect(readdirSync(folder.path)).toEqual(['file']);
});

test('A folder is made with those around it, and where nothing can be made that is said', () => {
  using folder = temporaryFolder();
  const deep = join(folder.path, 'a', 'b');

  expect(makeFolder(deep, 0o711)).toBe(true);
  expect(makeFolder(deep)).toBe(false);

  expect(statSync(deep).mode & 0o777).toBe(0o711);
  writeFileAtomic(join(folder.path, 'file'), '');
  for (const path of [
    '/proc/none',
    '/proc/none/below',
    join(folder.path, 'file'),
    join(folder.path, 'file', 'x'),
  ])
    expect(() => makeFolder(path), path).toThrow(/ENOENT|EEXIST|ENOTDIR/);
});

test('What a kill left half written goes, and nothing else', () => {
  using folder = temporaryFolder();
  for (const name of ['a.0123456789ab.tmp', 'b.db.0123456789ab.tmp-wal', 'c.0123456789ab.tmp', 'd.tmp', 'e'])
    writeFileAtomic(join(folder.path, name), '');

  removeHalfWritten(folder.path, (name) => name !== 'c');
  expect(readdirSync(folder.path)).toEqual(['c.0123456789ab.tmp', 'd.tmp', 'e']);
  removeHalfWritten(folder.path);
  expect(readdirSync(folder.path)).toEqual(['d.tmp', 'e']);
});
