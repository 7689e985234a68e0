import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { testCall } from '#runtime/testing.ts';

import { applyEdits, type EditRules } from './edit.ts';

/** How often others could be served while something ran, and what came of it. */
async function turnsOf(work: Promise<unknown>) {
  let turns = 0;
  let isOver = false;
  const count = () => {
    turns += 1;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  const [outcome] = await Promise.allSettled([work]);
  isOver = true;
  return { turns, outcome };
}

const once: EditRules = { replaceAll: false, expectedOccurrences: 1 };
const edit = async (text: string, oldText: string, newText: string, rules: Partial<EditRules> = {}) =>
  applyEdits(text, [{ oldText, newText }], { ...once, ...rules }, testCall());

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

    expect(await applyEdits('a\r\nb\r\nc\nd\r\ne\n', edits, once, testCall())).toBe('a\r\nB\r\n\nD\r\ne\n');
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

test('lines that differ in the white space around them are found, and new ones indented like them', async () => {
  const text = 'if (a) {\n    one();\n    two();\n}\n';

  expect(await edit(text, 'one();\ntwo();', 'one();\nthree();')).toBe('if (a) {\n    one();\nthree();\n}\n');
  expect(await edit(text, '  one();\n  two();', '  one();\n    three();')).toBe(
    'if (a) {\n    one();\n      three();\n}\n',
  );
});

test('edits are made one after the other, or none', async () => {
  const edits = [
    { oldText: 'a', newText: 'b' },
    { oldText: 'b', newText: 'c' },
  ];

  expect(await applyEdits('a', edits, once, testCall())).toBe('c');
  await expect(
    applyEdits('a', [...edits, { oldText: 'b', newText: 'd' }], once, testCall()),
  ).rejects.toMatchObject({ code: 'not_found' });
});

test('a search that finds nothing lets others be served in between', async () => {
  // Every place of the text looks like the pattern until its first letter.
  const text = 'a'.repeat(2_000_000);
  const { turns, outcome } = await turnsOf(edit(text, `b${'a'.repeat(50_000)}`, 'x'));

  expect(outcome).toMatchObject({ reason: { code: 'not_found' } });
  expect(turns).toBeGreaterThan(3);
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

    await expect(
      applyEdits('aaaaaa', edits, { ...once, replaceAll: true }, testCall()),
    ).rejects.toMatchObject({ code: 'too_large' });
  });
});

test('many edits of a large file let others be served, and end', async () => {
  const edits = Array.from({ length: 500 }, (_, n) => ({
    oldText: n % 2 === 0 ? 'A' : 'B',
    newText: n % 2 === 0 ? 'B' : 'A',
  }));
  const rules = { ...once, replaceAll: true };
  const text = 'A\r\n'.repeat(2_000);

  const { turns, outcome } = await turnsOf(applyEdits(text, edits, rules, testCall()));

  expect(outcome).toEqual({ status: 'fulfilled', value: text });
  expect(turns).toBeGreaterThan(5);
  const large = 'A\n'.repeat(20_000) + 'x'.repeat(4_900_000);
  const stopped = new AbortController();
  setImmediate(() => stopped.abort(new RangeError('too late')));
  await expect(applyEdits(large, edits, rules, stopped)).rejects.toThrow('too late');
});
