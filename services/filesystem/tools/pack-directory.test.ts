import { linkSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { testPlace } from '../place.fixture.ts';
import { packDirectory } from './pack-directory.ts';

test('A pack holds a list, then each text file under its path, and names what it leaves out', async () => {
  await using place = testPlace({
    '.gitignore': 'dist/\n',
    'dist/out.js': 'built',
    '.git/HEAD': 'ref',
    'src/a.ts': 'const a = 1;',
    'src/b.bin': Buffer.from([0, 1, 2]),
    'src/large.txt': 'x'.repeat(600_000),
    'z.md': '# Z\n',
  });
  linkSync(join(place.outside, 'secret.txt'), join(place.root, 'hard'));
  symlinkSync(place.outside, join(place.root, 'link'));

  const pack = await invoke(packDirectory, { path: '.', excludePatterns: ['.gitignore'] }, place.files);

  expect(pack).toEqual({
    content: `Files of ${place.root}:\nsrc/a.ts\nz.md\n\n===== src/a.ts =====\nconst a = 1;\n\n===== z.md =====\n# Z\n`,
    files: 2,
    left_out: [
      'hard (not a regular file with one name)',
      'src/b.bin (no text)',
      'src/large.txt (larger than 524288 bytes)',
    ],
    estimated_tokens: Math.ceil(pack.content.length / 4),
  });
});

test('A pack that is too long is read on, and no file is in it twice or cut', async () => {
  const names = Array.from({ length: 30 }, (_, number) => `d${number % 4}/f${number}.txt`);
  await using place = testPlace(
    Object.fromEntries(names.map((name) => [name, `${name} ${'x'.repeat(300)}`])),
  );
  const packed: string[] = [];
  let pages = 0;

  for (let cursor: string | undefined, isFirst = true; isFirst || cursor; isFirst = false) {
    const args = { path: '.', include: ['**/*.txt'], max_bytes: 1_500, cursor };
    const page = await invoke(packDirectory, args, place.files);
    expect(page.content.length).toBeLessThan(2_000);
    packed.push(
      ...[...page.content.matchAll(/^===== (.+) =====\n\1 x{300}$/gm)].map(([, name = '']) => name),
    );
    cursor = page.next_cursor;
    pages += 1;
  }

  expect(packed.toSorted()).toEqual(names.toSorted());
  expect(pages).toBeGreaterThan(5);
});
