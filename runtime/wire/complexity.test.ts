import fc from 'fast-check';
import { expect, test } from 'vitest';

import { isTooComplex, partsOf } from './complexity.ts';

const bytesOf = (text: string) => Buffer.from(text);

test.each([
  ['5', 0],
  ['"a,b:c[d{e"', 0],
  ['[1,2,3]', 3],
  ['{"a":1,"b":[{}]}', 6],
  ['{"a\\"b,":"\\\\","c":1}', 4],
  ['["unfinished, ', 1],
  ['["escaped at its end\\', 1],
])('The parts of %s are %i', (text, parts) => {
  expect(partsOf(bytesOf(text))).toBe(parts);
});

test('Whatever stands in strings counts for nothing, however it is escaped', () => {
  const odd = fc.string({
    unit: fc.constantFrom('"', '\\', ',', '[', 'a', 'é', '\n', 'x'.repeat(70)),
    maxLength: 40,
  });
  fc.assert(
    fc.property(fc.array(odd), (texts) => {
      const plain = JSON.stringify(texts.map(() => 'x'));
      expect(partsOf(bytesOf(JSON.stringify(texts)))).toBe(partsOf(bytesOf(plain)));
    }),
  );
});

test('A text with more parts than are allowed is too complex, and one with as many is not', () => {
  const list = (length: number) => bytesOf(`[${'0,'.repeat(length - 1)}0]`);

  expect(isTooComplex(list(100_000))).toBe(false);
  expect(isTooComplex(list(100_001))).toBe(true);
  expect(isTooComplex(bytesOf(`"${','.repeat(200_000)}"`))).toBe(false);
});
