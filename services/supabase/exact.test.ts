import fc from 'fast-check';
import { expect, test } from 'vitest';

import { exactJson, exactNumber } from './exact.ts';

test.each([
  ['0', 0],
  ['-0', -0],
  ['1.50', 1.5],
  ['9007199254740991', 9_007_199_254_740_991],
  ['9007199254740993', '9007199254740993'],
  ['-9223372036854775808', '-9223372036854775808'],
  ['0.1', 0.1],
  ['0.30000000000000004', 0.300_000_000_000_000_04],
  ['0.12345678901234567890', '0.12345678901234567890'],
  ['1e400', '1e400'],
  ['1e-400', '1e-400'],
  ['NaN', 'NaN'],
  ['-Infinity', '-Infinity'],
  ['1000000000000000000000', '1000000000000000000000'],
])('%s is %s', (text, value) => {
  expect(exactNumber(text)).toBe(value);
});

test('JSON keeps its meaning: a number is the same, or its text', () => {
  fc.assert(
    fc.property(fc.json(), (json) => {
      expect(JSON.parse(exactJson(json))).toEqual(JSON.parse(json, sameOrText as never));
    }),
  );
});

const sameOrText = (_key: string, value: unknown, { source }: { readonly source?: string }) =>
  typeof value === 'number' && source !== undefined ? exactNumber(source) : value;

test('digits within texts are left alone, whatever stands before them', () => {
  const json = String.raw`{"a\"9007199254740993": ["\\", 9007199254740993, "x 9007199254740993"]}`;
  expect(JSON.parse(exactJson(json))).toEqual({
    'a"9007199254740993': ['\\', '9007199254740993', 'x 9007199254740993'],
  });
});
