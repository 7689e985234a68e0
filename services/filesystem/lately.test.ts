import {
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { seenAtOnce } from './at-once.ts';
import { testPlace, type TestPlace } from './place.fixture.ts';

const read = ({ files }: TestPlace, path: string) => seenAtOnce(files, path, 1_000)?.contents?.toString();

/** Folders of the place that this process has open. */
function heldIn({ path }: TestPlace): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const where = readlinkSync(`/proc/self/fd/${fd}`);
      return where.startsWith(path) ? [where] : [];
    } catch {
      return [];
    }
  });
}

test.each(['root/above/folder', 'root/above', 'root'])(
  'What is read is there now, also after %s was moved, replaced, swapped for a link or deleted',
  async (moved) => {
    const file = 'above/folder/file.txt';
    await using place = testPlace({ [file]: 'first' });
    const [here, aside] = [join(place.path, moved), join(place.path, 'aside')];
    expect(read(place, file)).toBe('first');

    renameSync(here, aside);
    expect(read(place, file)).toBeUndefined();

    mkdirSync(join(place.root, 'above/folder'), { recursive: true });
    writeFileSync(join(place.root, file), 'second');
    expect(read(place, file)).toBe('second');

    rmSync(here, { recursive: true });
    symlinkSync(aside, here);
    expect(read(place, file)).toBeUndefined();

    rmSync(here);
    renameSync(aside, here);
    expect(read(place, file)).toBe('first');
  },
);

test('Folders are held for a moment, and only so many', async () => {
  const names = Array.from({ length: 300 }, (_, index) => `folder-${index}/file.txt`);
  await using place = testPlace(Object.fromEntries(names.map((name) => [name, name])));

  for (const name of names) expect(read(place, name)).toBe(name);

  expect(heldIn(place).length).toBeGreaterThan(0);
  expect(heldIn(place).length).toBeLessThanOrEqual(256);
  await expect.poll(() => heldIn(place)).toEqual([]);
});
