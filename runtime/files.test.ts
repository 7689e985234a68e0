import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { temporaryFolder } from '../tests/support/serve.ts';
import { writeFileAtomic } from './files.ts';

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
