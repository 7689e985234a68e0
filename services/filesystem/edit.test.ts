import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { applyEdits, type EditRules } from './edit.ts';

const once: EditRules = { replaceAll: false, expectedOccurrences: 1 };
const edit = async (text: string, oldText: string, newText: string, rules: Partial<EditRules> = {}) =>
  applyEdits(text, [{ oldText, newText }], { ...once, ...rules });

describe('A text that occurs', () => {
  test('once is replaced as it stands', async () => {
    expect(await edit('a b c', 'b', '$& $1')).toBe('a $& $1 c');
  });

  test.each([
    ['x x x', 'x', 3],
    ['}\n}\n}\n', '}\n}\n', 2],
    ['aaa', 'aa', 2],
    ['  same\nother\n\tsame\n', 'same ', 2],
    ['a\na\na', ' a', 3],
  ])('more often is an error with the count: %j', async (text, oldText, count) => {
    await expect(edit(text, oldText, 'y')).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining(`occurs ${count} times`) as string,
    });
  });

  test('as often as expected is replaced everywhere', async () => {
    expect(await edit('x x x', 'x', 'y', { expectedOccurrences: 3 })).toBe('y y y');
    expect(await edit('x x x', 'x', 'y', { replaceAll: true })).toBe('y y y');
    await expect(edit('x x x', 'x', 'y', { expectedOccurrences: 2 })).rejects.toMatchObject({
      code: 'conflict',
    });
  });

  test('nowhere is not found', async () => {
    await expect(edit('abc', 'd', 'e')).rejects.toMatchObject({
      code: 'not_found',
      message: 'Could not find exact match for edit:\nd',
    });
  });
});

describe('What is not edited', () => {
  test('keeps its line ends, whichever they are', async () => {
    expect(await edit('one\r\ntwo\r\nthree\r\n', 'two', '2\nzwei')).toBe('one\r\n2\r\nzwei\r\nthree\r\n');
    expect(await edit('one\r\ntwo\nthree\r\n', 'one\ntwo', 'x')).toBe('x\nthree\r\n');
    expect(await edit('one\ntwo\n', 'one\r\ntwo', '1\r\n2')).toBe('1\n2\n');
    expect(await edit('\ufeffone\r\n', 'one', 'x')).toBe('\ufeffx\r\n');
    expect(await edit('a\rb\r\nc', 'b', 'x')).toBe('a\rx\r\nc');
  });

  test('keeps them through several edits, and new lines end as most do', async () => {
    const edits = [
      { oldText: 'b', newText: 'B\n+' },
      { oldText: '+\nc', newText: '' },
      { oldText: 'd', newText: 'D' },
    ];

    expect(applyEdits('a\r\nb\r\nc\nd\r\ne\n', edits, once)).toBe('a\r\nB\r\n\nD\r\ne\n');
  });

  test('is the same byte by byte, whatever stands around the edit', async () => {
    const piece = fc.stringMatching(/^[ab \t\r\n]{0,12}$/);
    await fc.assert(
      fc.asyncProperty(piece, piece, async (before, after) => {
        // Between the two a return could become half of a line end.
        const head = before.replace(/\r$/, '');
        const edited = await edit(`${head}MARK${after}`, 'MARK', 'X');
        expect(edited).toBe(`${head}X${after}`);
      }),
      { numRuns: 500 },
    );
  });
});

describe('Lines that differ in the white space around them are found, and new ones', () => {
  test.each([
    [
      'a class of Python',
      'class A:\n    if x:\n        return 1\n    z = 2\n',
      'if x:\n    return 1',
      'if y:\n    return 2',
      'class A:\n    if y:\n        return 2\n    z = 2\n',
    ],
    [
      'a closing brace',
      'f() {\n\tif (a) {\n\t\tb();\n\t}\n}\n',
      'if (a) {\n\tb();\n}',
      'if (c) {\n\tb();\n}',
      'f() {\n\tif (c) {\n\t\tb();\n\t}\n}\n',
    ],
    ['more lines than before', '  a\n  b\n', 'a\nb', 'a\n  deep\n\nb\nc', '  a\n    deep\n\n  b\n  c\n'],
    ['given too deep', 'a\n  b\n', '    a\n      b', '    a\n      c\n    d', 'a\n  c\nd\n'],
    [
      'a comment under tabs',
      '\t/**\n\t * a\n\t */\n',
      '/**\n * a\n */',
      '/**\n * b\n * c\n */',
      '\t/**\n\t * b\n\t * c\n\t */\n',
    ],
    [
      'tabs given as spaces',
      '\tif x:\n\t\ta\n',
      'if x:\n    a',
      'if y:\n    if z:\n        b',
      '\tif y:\n\t\tif z:\n\t\t\tb\n',
    ],
    ['spaces given as tabs', 'if x:\n  a\n', '\tif x:\n\t\ta', '\tif y:\n\t\ta\n\tb', 'if y:\n  a\nb\n'],
    ['a line given with another indentation', '\ta\n', '    a', '    b\n    c', '\tb\n\tc\n'],
    ['white space at the end alone', '  a  \n  b\n', '  a\n  b', '  c\n    d', '  c\n    d\n'],
    ['a line end in the text to find', '  a\n  b\n', 'a\n', 'c\n', '  c\n  b\n'],
    ['a line end at the end of the file', 'x\n  a', 'a\n', 'c\n', 'x\n  c\n'],
    ['nothing', '  a\n  b\n', 'a \n', '', '  b\n'],
    ['blank lines between', '  a\n\n  b\n', 'a\n \nb', 'a\n\nc', '  a\n\n  c\n'],
  ])('are moved as far: %s', async (_, text, oldText, newText, edited) => {
    expect(await edit(text, oldText, newText)).toBe(edited);
  });

  test.each([
    ['lines that move differently', '    a\n        b\n', 'a\n  b', 'a\n  c'],
    ['a flat text for a deep one', '    if x:\n        a\n', 'if x:\na', 'if y:\na'],
    ['spaces behind a tab', '\tif x\n\tc\n', 'if x\nc', 'if y\n    b'],
    ['a tab behind spaces', '    a\n    c\n', 'a\nc', 'a\n\tb'],
    ['less deep than can be', 'a\n', '    a', '    b\nc'],
    ['half a tab', '\ta\n\t\tb\n', 'a\n    b', 'a\n  b'],
    ['a tab of unknown width', '\ta\n', '    a', '    a\n        b'],
    ['a tab of two widths', '\ta\n\t\tb\n\t\t\tc\n', 'a\n  b\n      c', 'a\n  c'],
    ['one place of several', ' a\n  b\n a\n   b\n', 'a\n b', 'a\n c'],
  ])('are refused where it is not clear how far: %s', async (_, text, oldText, newText) => {
    await expect(edit(text, oldText, newText, { replaceAll: true })).rejects.toMatchObject({
      code: 'not_found',
      message: `Could not find exact match for edit:\n${oldText}`,
      hint: expect.stringMatching(/lines from 1 on .* indentation|lines from 3 on .* indentation/) as string,
    });
  });

  test('are not looked for by white space alone', async () => {
    await expect(edit('a\n\nb\n', '   ', 'x')).rejects.toMatchObject({ code: 'not_found' });
  });

  const level = fc.integer({ min: 0, max: 3 });
  const block = fc.array(fc.tuple(level, fc.constantFrom('x();', '}', 'return 1', 'é')), {
    minLength: 1,
    maxLength: 6,
  });
  const written = (lines: readonly (readonly [number, string])[], unit: string, base: number) =>
    lines.map(([level, text]) => `${unit.repeat(base + level)}${text}`).join('\n');
  const base = fc.integer({ min: 0, max: 3 });

  test('stand as they would have, had the text been given with its indentation', async () => {
    const unit = fc.constantFrom('\t', '  ', '    ');
    await fc.assert(
      fc.asyncProperty(unit, base, base, block, block, async (unit, here, given, old, next) => {
        const file = (lines: string) => `start\n${lines}\nend\n`;
        const edited = await edit(
          file(written(old, unit, here)),
          // So that it is not the same as it stands.
          `${written(old, unit, given)} `,
          written(next, unit, given),
        );
        expect(edited).toBe(file(written(next, unit, here)));
      }),
      { numRuns: 500 },
    );
  });

  test('of another kind stand at the same depth, or the edit is refused', async () => {
    const width = fc.constantFrom(2, 4, 8);
    let done = 0;
    await fc.assert(
      fc.asyncProperty(
        width,
        fc.boolean(),
        base,
        base,
        block,
        block,
        async (width, isTab, here, given, old, next) => {
          const spaces = ' '.repeat(width);
          const [unit, other] = isTab ? ['\t', spaces] : [spaces, '\t'];
          // Where nothing is indented, nothing says how.
          fc.pre(old.some(([level]) => level + here > 0));
          const edited = await edit(
            `start\n${written(old, unit, here)}\n`,
            `${written(old, other, given)} `,
            written(next, other, given),
          ).catch((error: { code: string }) => error.code);
          const isRefused = edited === 'not_found';
          done += isRefused ? 0 : 1;
          expect(isRefused || edited).toBe(isRefused || `start\n${written(next, unit, here)}\n`);
        },
      ),
      { numRuns: 500 },
    );
    expect(done).toBeGreaterThan(100);
  });
});

test('edits are made one after the other, or none', () => {
  const edits = [
    { oldText: 'a', newText: 'b' },
    { oldText: 'b', newText: 'c' },
  ];

  expect(applyEdits('a', edits, once)).toBe('c');
  expect(() => applyEdits('a', [...edits, { oldText: 'b', newText: 'd' }], once)).toThrow(
    'Could not find exact match',
  );
});

describe('More than a file may hold', () => {
  test('is refused before it is built', async () => {
    const newText = `${'z'.repeat(500)}\n`.repeat(2_000);
    const before = process.memoryUsage().rss;

    await expect(edit('a\n'.repeat(50_000), 'a', newText, { replaceAll: true })).rejects.toMatchObject({
      code: 'too_large',
    });
    // Lines that differ in the white space around them are another way to the same.
    await expect(
      edit(' a \n b\n'.repeat(25_000), 'a\nb', newText, { replaceAll: true }),
    ).rejects.toMatchObject({
      code: 'too_large',
    });

    expect(process.memoryUsage().rss - before).toBeLessThan(300 * 1024 ** 2);
  });

  test('is refused in between too, although a later edit makes it smaller', async () => {
    const edits = [
      { oldText: 'a', newText: 'b'.repeat(1_000_000) },
      { oldText: 'b', newText: '' },
    ];

    await expect(async () =>
      applyEdits('aaaaaa', edits, { ...once, replaceAll: true }),
    ).rejects.toMatchObject({ code: 'too_large' });
  });
});

test('many edits of a file with the line ends of Windows end where they began', () => {
  const edits = Array.from({ length: 500 }, (_, n) => ({
    oldText: n % 2 === 0 ? 'A' : 'B',
    newText: n % 2 === 0 ? 'B' : 'A',
  }));
  const text = 'A\r\n'.repeat(2_000);

  expect(applyEdits(text, edits, { ...once, replaceAll: true })).toBe(text);
});
