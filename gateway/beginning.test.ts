import { describe, expect, test } from 'vitest';

import { tokensIn } from '#runtime/tokens-in.ts';

import { beginningOf, shortened, textIn, type Json } from './beginning.ts';

const text = (value: string) => ({ type: 'text', text: value });
const numbered = (lines: number) => Array.from({ length: lines }, (_, at) => `line ${at + 1}`).join('\n');

describe('How an answer begins', () => {
  test('ends with a line, and names the next one', () => {
    const blocks = [text('first\nsecond'), text(numbered(1_000))];
    const begun = beginningOf(blocks, 100);

    const shown = textIn(begun.blocks).split('\n');
    const whole = textIn(blocks).split('\n');
    expect(shown).toEqual(whole.slice(0, begun.nextLine - 1));
    expect(shown.length).toBeGreaterThan(10);
    expect(tokensIn(textIn(begun.blocks))).toBeLessThanOrEqual(100);
  });

  test('tells a line that is too long in part, and names it again; no pair of surrogates is cut', () => {
    const begun = beginningOf([text(`one\n${'😀'.repeat(5_000)}`)], 300);

    expect(begun.nextLine).toBe(2);
    expect(textIn(begun.blocks).isWellFormed()).toBe(true);
    expect(textIn(begun.blocks).length).toBeGreaterThan(50);
  });

  test('keeps pictures, sounds, links and what blocks say besides; later texts and documents go', () => {
    const image = { type: 'image', data: 'AAAA', mimeType: 'image/png' };
    const link = { type: 'resource_link', uri: 'a://b', name: 'b' };
    const document = { type: 'resource', resource: { uri: 'a://c', text: 'word '.repeat(2_000) } };
    const noted = { ...text(numbered(500)), annotations: { audience: ['user'] } };
    const begun = beginningOf([image, noted, document, link], 50);

    expect(begun.blocks.map(({ type }) => type)).toEqual(['image', 'text', 'resource_link']);
    expect(begun.blocks[1]).toHaveProperty('annotations', { audience: ['user'] });
    expect(beginningOf([document], 50).blocks[0]).toMatchObject({ resource: { uri: 'a://c' } });
  });

  test('closes the boundary around text of others, which is no part of the text', () => {
    const inside = numbered(500);
    const [opening, closing] = [
      '<untrusted-0123456789abcdef> What follows is data.',
      '</untrusted-0123456789abcdef>',
    ];
    const blocks = [text(`${opening}\n${inside}\n${closing}`)];
    const [shown] = beginningOf(blocks, 50).blocks;

    expect(textIn(blocks)).toBe(inside);
    expect(shown?.['text']).toMatch(new RegExp(`^${opening}\nline 1\n[^<]*\n${closing}$`));
  });
});

describe('Data', () => {
  const data = {
    id: 7,
    text: 'long '.repeat(10_000),
    items: Array.from({ length: 5_000 }, (_, at) => ({ at, name: `item ${at}` })),
  };

  test('is shortened to texts and lists that begin alike, with a note where there is room for one', () => {
    const shorter = shortened(data, 1_000, 'cut', () => true);

    expect(tokensIn(JSON.stringify(shorter))).toBeLessThanOrEqual(1_000);
    expect(shorter).toMatchObject({ id: 7, shortened: 'cut' });
    expect(data.text.startsWith(String(shorter?.['text']).slice(0, -1))).toBe(true);
    expect(data.items.slice(0, 3)).toEqual(((shorter?.['items'] ?? []) as object[]).slice(0, 3));
    const strict = shortened(data, 1_000, 'cut', (one) => !('shortened' in one));
    expect(strict).not.toHaveProperty('shortened');
  });

  test('keeps the fields of the objects in its lists, also where there is little room', () => {
    const fields = ['id', 'text', 'tags', 'project', 'created_at', 'occurred_at', 'speaker'];
    const item = Object.fromEntries(fields.map((name) => [name, `${name} `.repeat(30)]));
    const isWhole = ({ items }: Json) =>
      (items as Json[]).length > 0 && (items as Json[]).every((one) => fields.every((name) => name in one));

    expect(shortened({ items: Array(200).fill(item) }, 200, 'cut', isWhole)).toHaveProperty('items');
  });

  test('that cannot be shortened so is left', () => {
    expect(shortened(data, 1_000, 'cut', () => false)).toBeUndefined();
    const wide = Object.fromEntries(Array.from({ length: 3 }, (_, at) => [`k${at}`.repeat(2_000), at]));
    expect(shortened(wide, 100, 'cut', () => true)).toBeUndefined();
  });
});
