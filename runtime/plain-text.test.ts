import { expect, test } from 'vitest';

import { plainText } from './plain-text.ts';

test.each([
  ['a \n\t b', 'a b'],
  ['\n \n  \u2028 a', 'a'],
  ['a\u001b[31m  b\u202e', 'a  b'],
  ['a  b', 'a  b'],
])('%j is told as %j', (text, told) => {
  expect(plainText(text, 100)).toBe(told);
});

test('a very long row of blanks takes no longer than other text', () => {
  const blanks = ' '.repeat(1_000_000);
  expect(plainText(`a${blanks}b\n${blanks}c`, 3)).toBe('a …');
});
