import { expect, test } from 'vitest';

import { partReader, window } from './parts.ts';

test('parts are the same wherever their bytes are cut', () => {
  const texts = ['', 'a', 'é€😀', 'x'.repeat(100), '', 'end'];
  const bytes = Buffer.from(texts.map((text) => `${text}\0`).join(''));

  for (const length of [1, 2, 3, 7, 50, 1_000]) {
    const parts: string[] = [];
    const read = partReader((part) => parts.push(part), 0);
    for (let at = 0; at < bytes.length; at += length) read(bytes.subarray(at, at + length));
    expect(parts, `pieces of ${length}`).toEqual(texts);
  }
});

test('a window keeps what is in it, and counts all', () => {
  const found = window<number>(2, 3);
  for (let number = 0; number < 10; number += 1) found.add(() => number);

  expect(found.items).toEqual([2, 3, 4]);
  expect(found.seen).toBe(10);
});
