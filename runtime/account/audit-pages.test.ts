import { mkdtempDisposableSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { segmentName } from './audit-chain.ts';
import { parsePlace, placeText, trailPage, type TrailPlace } from './audit-pages.ts';

const start: TrailPlace = { segment: 0, bytes: 0 };

async function all(folder: string, from = start): Promise<{ text: string; place: TrailPlace }> {
  let text = '';
  for (let place = from; ;) {
    const page = await trailPage(folder, place);
    if (!page) throw new Error('gone');
    if (page.lines.length === 0) return { text, place: page.next };
    text += page.lines.toString();
    place = page.next;
  }
}

test('pages give every line once, over segments, and what comes later from where they ended', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-test-'));
  expect(await all(folder.path)).toEqual({ text: '', place: start });
  const write = (segment: number, text: string) =>
    writeFileSync(join(folder.path, segmentName(segment)), text, { flag: 'a' });
  const long = `${'x'.repeat(700_000)}\n`;
  write(1, long + long + long);
  write(2, 'second\nhalf of a li');
  const first = await all(folder.path);
  expect(first.text).toBe(`${long.repeat(3)}second\n`);
  write(2, 'ne\n');
  write(4, 'fourth\n');
  expect((await all(folder.path, first.place)).text).toBe('half of a line\nfourth\n');

  rmSync(join(folder.path, segmentName(1)));
  expect((await all(folder.path)).text).toBe('second\nhalf of a line\nfourth\n');
});

test('a line that is longer than a page is passed over, and what comes after it is read', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-test-'));
  const write = (segment: number, text: string) =>
    writeFileSync(join(folder.path, segmentName(segment)), text, { flag: 'a' });
  const page = 1024 * 1024;
  write(1, `first\n${'x'.repeat(page)}\n${'x'.repeat(3 * page)}\nafter\n`);
  const begun = await all(folder.path);
  expect(begun.text).toBe('first\nafter\n');

  write(1, 'x'.repeat(page));
  expect(await all(folder.path, begun.place)).toEqual({ text: '', place: begun.place });
  write(1, '\nlast\n');
  expect((await all(folder.path, begun.place)).text).toBe('last\n');
});

test('a place beyond the end is told, and not read as the end', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-test-'));
  const file = join(folder.path, segmentName(1));
  writeFileSync(file, 'one\ntwo\n');
  const { place } = await all(folder.path);
  truncateSync(file, 4);
  expect(await trailPage(folder.path, place)).toBeUndefined();
  rmSync(file);
  expect(await trailPage(folder.path, place)).toBeUndefined();
});

test('a place is a text that is read again, and no other text is one', () => {
  expect(parsePlace(placeText({ segment: 12, bytes: 4096 }))).toEqual({ segment: 12, bytes: 4096 });
  for (const text of ['', '1', '1:', ':1', '-1:0', '1:1e3', '../x:1', '1:2:3', '9999999:0']) {
    expect(parsePlace(text), text).toBeUndefined();
  }
});
