import { expect, test } from 'vitest';

import { compilePattern } from './pattern.ts';

test('a match is found anywhere, or in the whole text when that is asked for', () => {
  expect(compilePattern('b+').test('abba')).toBe(true);
  expect(compilePattern('b|abba', { whole: true }).test('abb')).toBe(false);
  expect(compilePattern('B', { ignoreCase: true }).test('abba')).toBe(true);
  expect(compilePattern(String.raw`(?P<user>\w+)@(?<host>\w+)`).capture('to a@b c@d')).toEqual(
    new Map([
      ['user', 'a'],
      ['host', 'b'],
    ]),
  );
});

test.each(['(', '[', 'a{2,1}', '(?=a)', String.raw`(a)\1`, '(?<!a)b', '*', 'a{1001}'])(
  '%s is refused with what RE2 says',
  (source) => {
    expect(() => compilePattern(source)).toThrow(/cannot be read/);
  },
);

test.each([
  'x'.repeat(1_001),
  'x{600}y{600}',
  `((${'a'.repeat(900)}){30}){30}`,
  `(${String.raw`\pL`.repeat(300)}){1000}`,
  String.raw`\pL{1000}`.repeat(100),
  `${'(a{1000}|b{1000}|'.repeat(50)}${')'.repeat(50)}`,
])('%# an expression that would be large when written out is refused before it is compiled', (source) => {
  expect(() => compilePattern(source)).toThrow(/too large/);
});

test.each([
  String.raw`\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}`,
  '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}',
  String.raw`(?:\d{1,3}\.){3}\d{1,3}`,
  '[][{}]{3}',
  String.raw`\{\d+\}`,
])('%s is taken', (source) => {
  expect(compilePattern(source).reach).toBeGreaterThan(5_000);
});

test('expressions that stall others end, and a long text is looked at as far as their size allows', () => {
  const text = `${'ab'.repeat(50_000)}!`;
  for (const source of ['(a+)+$', '(a|a)*c', '([ab]*)*[cd]', '[ab]*a[ab]{900}[cd]$', '(?:a?b?){100}[cd]$']) {
    expect(compilePattern(source).test(text)).toBe(false);
  }
  const pattern = compilePattern('[ab]*a[ab]{901}[!]$');
  expect(pattern.reach).toBeLessThan(1_200);
  expect(pattern.test(`${'ab'.repeat(500)}!`)).toBe(true);
  // Where it is not looked at further is not its end.
  expect(compilePattern('b$').test('ab'.repeat(200_000))).toBe(false);
});
