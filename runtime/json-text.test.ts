import { expect, test } from 'vitest';

import { jsonPieces } from './json-text.ts';

const quotes = '"'.repeat(300_000);

test.each<[string, unknown]>([
  ['a short value', { a: [1, null, 'x"'], b: undefined, c: {} }],
  ['a long text', quotes],
  [
    'long texts among others',
    { a: quotes, none: undefined, b: [quotes, 1, { c: null, d: `€${quotes}` }], 'e"': true },
  ],
  ['whole characters where a piece ends', [`x${'🦊'.repeat(200_000)}`, '🦊'.repeat(200_000)]],
  ['half characters', ['\u{D83E}'.repeat(200_000), `x${'\u{DD8A}\u{D83E}'.repeat(200_000)}`]],
])('%s is written as JSON writes it', (_what, value) => {
  const pieces = [...jsonPieces(value)];

  expect(pieces.join('') === JSON.stringify(value)).toBe(true);
  expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(1_000_000);
});
