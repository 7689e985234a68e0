import { describe, expect, test } from 'vitest';

import { filled, referencesIn } from './references.ts';

const values = {
  file: { path: '/tmp/x', lines: ['first', 'second'], size: 7, none: null, __proto__x: 1 },
  said: { text: '{{file.path}} and {{task.title}}' },
};

describe('a reference', () => {
  test.each([
    ['{{file.path}}', '/tmp/x'],
    ['{{file.size}}', 7],
    ['{{file.lines}}', ['first', 'second']],
    ['{{file.lines.1}}', 'second'],
    ['{{file.none}}', null],
    ['at {{file.path}}:{{file.size}}', 'at /tmp/x:7'],
    ['{{file.lines}} in all', '["first","second"] in all'],
  ])('%s becomes its value, of its own type where the text is nothing else', (text, value) => {
    expect(filled({ text }, values)).toEqual({ text: value });
  });

  test('whose path is longer than any value is deep is none', () => {
    const text = `{{file${'.a'.repeat(101)}}}`;

    expect(referencesIn({ text })).toEqual([]);
  });

  test('is one of up to ten thousand in all steps of a task', () => {
    const room = { left: 10_000 };
    const text = '{{a.b}}\\{{a.b}}'.repeat(2_500);

    expect(referencesIn({ text }, room)).toHaveLength(2_500);
    expect(referencesIn({ text }, room)).toHaveLength(2_500);
    expect(() => referencesIn({ text: '{{a.b}}' }, room)).toThrow(/more than 10000 references/);
  });

  test.each(['{{ file.path }}', '{{File}}', '{{file.path|upper}}', '{file.path}', '{{}}', '{{file..path}}'])(
    '%s is none, and stays',
    (text) => {
      expect(filled({ text }, values)).toEqual({ text });
      expect(referencesIn({ text })).toEqual([]);
    },
  );

  test('with a backslash before it stays, without the backslash', () => {
    expect(filled({ text: 'a \\{{file.path}} b' }, values)).toEqual({ text: 'a {{file.path}} b' });
    expect(referencesIn(['\\{{file.path}}'])).toEqual([]);
  });

  test('that stands in what is put in is text', () => {
    expect(filled({ whole: '{{said.text}}', part: '<{{said.text}}>' }, values)).toEqual({
      whole: '{{file.path}} and {{task.title}}',
      part: '<{{file.path}} and {{task.title}}>',
    });
  });

  test('is found wherever it stands, but not in names', () => {
    const given = { a: [{ b: '{{file.path}}' }], '{{said.text}}': 1 };

    expect(referencesIn(given)).toEqual([['file', 'path']]);
    expect(filled(given, values)).toEqual({ a: [{ b: '/tmp/x' }], '{{said.text}}': 1 });
  });

  test.each([
    '{{file.constructor}}',
    '{{file.__proto__}}',
    '{{file.lines.length}}',
    '{{file.lines.2}}',
    '{{constructor}}',
  ])('%s to what is not a value of its own is to nothing', (text) => {
    expect(() => filled({ text }, values)).toThrow(/refers to nothing/);
  });

  test('cannot make arguments that are too long out of short ones', () => {
    const long = { text: 'a'.repeat(1_000_000) };

    expect(() => filled({ text: '{{long.text}}'.repeat(4) }, { long })).toThrow(/more than 3000000 bytes/);
    expect(() => filled({ list: Array.from({ length: 4 }, () => '{{long}}') }, { long })).toThrow(
      /more than/,
    );
  });
});
