import { expect, test } from 'vitest';

import { createLinks } from './links.ts';

test('a code is good once, for ten minutes, for the token that it was made with', () => {
  let nowMs = 1_000;
  const links = createLinks(() => nowMs);
  const [first, second, third] = [links.create('a'), links.create('b'), links.create('c')];

  expect(first).toMatch(/^[\w-]{22}$/);
  expect(links.take(first)).toBe('a');
  expect(links.take(first)).toBeUndefined();
  expect(links.take('x')).toBeUndefined();
  nowMs += 10 * 60_000 - 1;
  expect(links.take(second)).toBe('b');
  nowMs += 1;
  expect(links.take(third)).toBeUndefined();
});

test('of many that nobody opened, the newest hundred stay', () => {
  const links = createLinks(() => 0);
  const codes = Array.from({ length: 150 }, (_, index) => links.create(String(index)));

  expect(codes.map((code) => links.take(code)).filter((found) => found !== undefined)).toHaveLength(100);
});
