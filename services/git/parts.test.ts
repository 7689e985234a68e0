import { expect, test } from 'vitest';

import { maxPartBytes } from './limits.ts';
import { partReader, recordReader, window } from './parts.ts';

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

test('records are the same wherever their bytes are cut, and a long part loses its end', () => {
  const long = 'y'.repeat(40_000);
  const records = [
    ['a\nb', '1', 'text'],
    ['\n\n', '2', long],
  ];
  const bytes = Buffer.from(records.map((record) => `${record.join('\0')}\n`).join(''));

  for (const length of [1, 7, 100_000]) {
    const taken: string[][] = [];
    const read = recordReader((...parts) => void taken.push(parts), [0, 0, 10]);
    for (let at = 0; at < bytes.length; at += length) read(bytes.subarray(at, at + length));
    expect(taken, `pieces of ${length}`).toEqual([records[0], ['\n\n', '2', long.slice(0, maxPartBytes)]]);
  }
});

test('a part without an end is not kept for ever', () => {
  const read = partReader(() => {}, 0);

  expect(() => {
    for (let times = 0; times < 1_000; times += 1) read(Buffer.alloc(1_000, 'x'));
  }).toThrow(/more than 16384 bytes/);
});
