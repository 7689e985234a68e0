import { applyPatch } from 'diff';
import fc from 'fast-check';
import { expect, test } from 'vitest';

import { entriesDiff } from './line-diff.ts';

function diffOf(before: string, after: string, context = 3) {
  const { changes } = entriesDiff({
    before: new Map([['k', before]]),
    after: new Map([['k', after]]),
    context,
  });
  return changes[0] ?? { text: '', added: 0, removed: 0 };
}

/** The longest common part of two lists of lines. */
function longest(a: readonly string[], b: readonly string[]): number {
  let row = b.map(() => 0);
  for (const x of a) {
    const above = row;
    row = [];
    for (const [at, y] of b.entries())
      row.push(x === y ? (above[at - 1] ?? 0) + 1 : Math.max(above[at] ?? 0, row[at - 1] ?? 0));
  }
  return row.at(-1) ?? 0;
}

test('a diff is the shortest, and applied it gives the other text', () => {
  const text = fc
    .array(fc.constantFrom('a', 'b', 'c', ''), { maxLength: 12 })
    .map((lines) => lines.map((line) => `${line}\n`).join(''));
  fc.assert(
    fc.property(text, text, fc.constantFrom('', 'z'), fc.nat(5), (before, after, end, context) => {
      const { text: diff, added, removed } = diffOf(before, after + end, context);
      const [old, fresh] = [before, after + end].map((each) => each.match(/[^\n]*\n|[^\n]+$/g) ?? []);

      expect(applyPatch(before, diff)).toBe(after + end);
      expect(added + removed).toBe(
        (old?.length ?? 0) + (fresh?.length ?? 0) - 2 * longest(old ?? [], fresh ?? []),
      );
    }),
  );
});

test('texts that have too little in common are shown as a replacement, which can be applied', () => {
  const text = (word: string) => Array.from({ length: 5_000 }, (_, at) => `${word} ${at}`).join('\n');

  const { text: diff, added, removed } = diffOf(text('old'), `${text('new')}\n`);

  expect([added, removed]).toEqual([5_000, 5_000]);
  expect(applyPatch(text('old'), diff)).toBe(`${text('new')}\n`);
});

test('the name of an entry stays in its line', () => {
  const { changes } = entriesDiff({
    before: new Map(),
    after: new Map([['a\n+forged', 'x\n']]),
    context: 3,
  });

  expect(changes[0]?.text).toBe('--- /dev/null\n+++ a +forged\n@@ -0,0 +1 @@\n+x\n');
});
