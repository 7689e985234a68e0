import fc from 'fast-check';
import { expect, test } from 'vitest';

import { cutAt, fitting, pageBytes, pageOf } from './page.ts';

const text = fc
  .array(fc.constantFrom('a', 'é', '中', '🎉', '\n', 'a line\n'), { maxLength: 60 })
  .map((parts) => parts.join(''));

test('pages of a text joined are the text, each within its bytes, and none cuts a character', () => {
  fc.assert(
    fc.property(text, fc.integer({ min: 4, max: 40 }), (sample, most) => {
      const pages: string[] = [];
      for (let at: number | undefined = 0; at !== undefined;) {
        const page = pageOf(sample, at, most);
        pages.push(page.text);
        at = page.next;
      }

      expect(pages.join('')).toBe(sample);
      for (const page of pages) {
        expect(Buffer.byteLength(page)).toBeLessThanOrEqual(most);
        expect(page.isWellFormed()).toBe(true);
      }
    }),
  );
});

test('a page ends with a line where one ends in its second half', () => {
  expect(pageOf('0123456\n89abc', 0, 10)).toEqual({ text: '0123456\n', next: 8 });
  expect(pageOf('01\n3456789abc', 0, 10)).toEqual({ text: '01\n3456789', next: 10 });
  expect(pageOf('🎉🎉', 0, 1)).toEqual({ text: '🎉', next: 2 });
});

test('no pair of surrogates is cut', () => {
  expect([cutAt('a🎉b', 2), cutAt('a🎉b', 3), cutAt('ab', 9)]).toEqual([1, 3, 2]);
});

test('rows fit as long as there is room, and one always does', () => {
  const rows = Array.from({ length: 9 }, () => ({ text: 'x'.repeat(10_000) }));

  expect(fitting(rows)).toHaveLength(3);
  expect(fitting([{ text: 'x'.repeat(2 * pageBytes) }, rows[0]])).toHaveLength(1);
  expect(fitting(rows.slice(0, 2))).toHaveLength(2);
  expect(fitting([])).toEqual([]);
});
