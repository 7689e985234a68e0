import { chmodSync, linkSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { asNobody, testPlace, type TestPlace } from '../place.fixture.ts';
import { searchFileContents } from './search-file-contents.ts';

const search = async ({ files }: TestPlace, args: object) =>
  invoke(searchFileContents, { path: '.', ...args }, files);
const short = ({ files }: Awaited<ReturnType<typeof search>>, { root }: TestPlace) =>
  files.flatMap(({ path, lines }) =>
    lines.map(
      ({ line, text, is_match: hit }) => `${path.slice(root.length + 1)}:${line}${hit ? ':' : '-'}${text}`,
    ),
  );

const contents = {
  'a.ts': 'const a = 1;\nlet b = a + 1;\r\n// A (literal).\n',
  'b/c.md': '# a\n\nText.\n',
  'b/d.ts': 'nothing here',
  'ignored.log': 'a',
  '.gitignore': '*.log\n',
};

describe('Lines', () => {
  test('that contain a text are found, as it stands', async () => {
    await using place = testPlace(contents);

    expect(short(await search(place, { pattern: 'a + 1' }), place)).toEqual(['a.ts:2:let b = a + 1;']);
    expect(short(await search(place, { pattern: '(literal).' }), place)).toEqual(['a.ts:3:// A (literal).']);
    expect(await search(place, { pattern: 'const A' })).toMatchObject({
      files: [],
      matches: 0,
      searched_files: 5,
    });
    expect((await search(place, { pattern: 'const A', ignore_case: true })).matches).toBe(1);
  });

  test('that match an expression are found, in files that fit', async () => {
    await using place = testPlace(contents);
    const args = { pattern: '^(#|let)', regex: true };

    expect(short(await search(place, args), place)).toEqual(['a.ts:2:let b = a + 1;', 'b/c.md:1:# a']);
    expect(short(await search(place, { ...args, glob: '**/*.md' }), place)).toEqual(['b/c.md:1:# a']);
    expect(short(await search(place, { ...args, excludePatterns: ['b'] }), place)).toHaveLength(1);
    expect(
      short(await search(place, { pattern: 'a', glob: '*.log', respectGitignore: true }), place),
    ).toEqual([]);
    expect(short(await search(place, { path: 'b/c.md', pattern: 'Text' }), place)).toEqual([
      'b/c.md:3:Text.',
    ]);
  });

  test('come with those around them', async () => {
    await using place = testPlace({ f: 'one\ntwo\nthree\nfour\nfive\n' });

    expect(short(await search(place, { pattern: 'three', context_lines: 1 }), place)).toEqual([
      'f:2-two',
      'f:3:three',
      'f:4-four',
    ]);
  });

  test('that are long are cut, and look like nothing but text', async () => {
    await using place = testPlace({ f: `needle ${'x'.repeat(2_000_000)}\n/proc/self/fd/3\x01needle` });

    const { files } = await search(place, { pattern: 'needle' });

    expect(files[0]?.lines[0]?.text.length).toBeLessThan(600);
    expect(files[0]?.lines[1]).toEqual({ line: 2, text: '/proc/self/fd/3\x01needle', is_match: true });
  });
});

test.each(['-e', '--pre=sh', '--files', '-f/etc/passwd', '--', '$(id)', "';"])(
  'A pattern that looks like an option is text: %s',
  async (pattern) => {
    await using place = testPlace({ f: `x ${pattern} y\n` });

    expect((await search(place, { pattern })).files[0]?.lines).toEqual([
      { line: 1, text: `x ${pattern} y`, is_match: true },
    ]);
  },
);

test('A pattern that is none is refused with the reason', async () => {
  await using place = testPlace({ f: 'x' });

  for (const pattern of ['(', '(?=a)b', '(a)\\1']) {
    await expect(search(place, { pattern, regex: true })).rejects.toMatchObject({ code: 'invalid_input' });
  }
});

test('Files that are binary, linked or too large are counted, and not searched', async () => {
  await using place = testPlace({ f: 'needle', binary: Buffer.from('needle\0') });
  writeFileSync(join(place.root, 'large'), 'needle');
  truncateSync(join(place.root, 'large'), 65 * 1024 * 1024);
  writeFileSync(join(place.outside, 'hard'), 'needle');
  linkSync(join(place.outside, 'hard'), join(place.root, 'hard'));
  symlinkSync(place.outside, join(place.root, 'link'));
  execFileSync('mkfifo', [join(place.root, 'fifo')]);

  const found = await search(place, { pattern: 'needle' });

  expect(found).toMatchObject({
    files: [{ path: join(place.root, 'f') }],
    searched_files: 1,
    not_searched: '1 binary, 1 with several names, 1 larger than 64 MiB',
  });
  expect(searchFileContents.text?.(found)).toMatch(/\n\[not searched: 1 binary, 1 with/);
});

test('A file with a name that is not UTF-8 is said not to be searched', async () => {
  await using place = testPlace({ a: 'x' });
  writeFileSync(Buffer.concat([Buffer.from(`${place.root}/bad`), Buffer.of(0xff)]), 'y');

  expect(await search(place, { pattern: 'y' })).toMatchObject({
    not_searched: '1 with a name that is not UTF-8',
  });
});

test('That nothing was found in what was not searched is said', async () => {
  await using place = testPlace({ a: Buffer.from('needle\0'), b: 'needle' });
  await asNobody(place, async () => {
    chmodSync(join(place.root, 'b'), 0);

    const found = await search(place, { pattern: 'needle' });

    expect(searchFileContents.text?.(found)).toBe(
      'No matches found\n\n[not searched: 1 binary, 1 may not be read]\n\n[left out: b (may not be read)]',
    );
  });
});

describe('UTF-16 that is marked', () => {
  const encodings = [
    ['little-endian', (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le')],
    ['big-endian', (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le').swap16()],
  ] as const;

  test.each(encodings)('is searched: %s', async (_, encode) => {
    await using place = testPlace({
      a: 'z\u00e4hl',
      f: encode('eins\r\nz\u00e4hl \u{1f600}\n'),
      g: encode(''),
    });

    expect(short(await search(place, { pattern: 'z\u00e4hl' }), place)).toEqual([
      'a:1:z\u00e4hl',
      'f:2:z\u00e4hl \u{1f600}',
    ]);
    expect((await search(place, { path: 'f', pattern: '^eins$', regex: true })).matches).toBe(1);
  });

  test.each(encodings)('is read on within: %s', async (_, encode) => {
    // Other characters have the byte of a line end too.
    const lines = Array.from({ length: 300 }, (_, n) => (n % 4 === 0 ? `needle ${n} \u0a0a` : `\u010a ${n}`));
    await using place = testPlace({ f: encode(lines.join('\n')) });
    const whole = short(await search(place, { pattern: 'needle', max_results: 1_000 }), place);
    const seen: string[] = [];

    for (let cursor: string | undefined, isFirst = true; isFirst || cursor; isFirst = false) {
      const page = await search(place, { pattern: 'needle', max_results: 7, cursor });
      seen.push(...short(page, place));
      cursor = page.next_cursor;
    }

    expect(whole).toHaveLength(75);
    expect(seen).toEqual(whole);
  });
});

test('An answer holds what fits, at least one match, and goes on behind it', async () => {
  const lines = Array.from(
    { length: 200 },
    (_, n) => `${n % 50 === 25 ? 'needle' : 'line'} ${n} ${'ä'.repeat(200)}`,
  );
  await using place = testPlace({ a: lines.join('\n'), b: lines.join('\n') });
  const seen: number[] = [];
  let pages = 0;

  for (let cursor: string | undefined, isFirst = true; isFirst || cursor; isFirst = false) {
    const args = { pattern: 'needle', context_lines: 20, max_bytes: 1_000, cursor };
    const page = await search(place, args);
    seen.push(
      ...page.files.flatMap(({ lines }) => lines.filter((line) => line.is_match).map(({ line }) => line)),
    );
    expect(JSON.stringify(page.files).length).toBeLessThan(25_000);
    cursor = page.next_cursor;
    pages += 1;
  }

  expect(seen).toEqual([26, 76, 126, 176, 26, 76, 126, 176]);
  expect(pages).toBeGreaterThan(7);
});

describe('Many matches', () => {
  test('are read on to the same end', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 150 }, (_, number) => [
        `d${number % 5}/f${number}`,
        'needle\n'.repeat(number % 4),
      ]),
    );
    await using place = testPlace(files);
    const seen: string[] = [];
    let pages = 0;

    for (let cursor: string | undefined, isFirst = true; isFirst || cursor; isFirst = false) {
      const page = await search(place, { pattern: 'needle', max_results: 20, cursor });
      expect(page.matches).toBeLessThanOrEqual(20);
      seen.push(...short(page, place));
      cursor = page.next_cursor;
      pages += 1;
    }

    expect(seen).toEqual(short(await search(place, { pattern: 'needle', max_results: 1_000 }), place));
    expect(pages).toBeGreaterThan(8);
  });

  test.each([0, 2])('in one file are read on within it, with %i lines around each', async (around) => {
    const lines = Array.from({ length: 300 }, (_, n) => (n % 4 === 0 ? `needle ${n}` : `line ${n}`));
    await using place = testPlace({ 'sd/a': lines.join('\n'), 'sd/b': 'needle\n', 'sd/c': 'needle\n' });
    const args = { pattern: 'needle', context_lines: around };

    for (const path of ['sd', 'sd/a']) {
      const whole = short(await search(place, { ...args, path, max_results: 1_000 }), place);
      const seen: string[] = [];
      let matches = 0;
      for (let cursor: string | undefined, isFirst = true; isFirst || cursor; isFirst = false) {
        const page = await search(place, { ...args, path, max_results: 7, cursor });
        seen.push(...short(page, place));
        matches += page.matches;
        expect(page.next_cursor).not.toBe(cursor);
        cursor = page.next_cursor;
      }
      expect(seen).toEqual(whole);
      expect(matches).toBe(path === 'sd' ? 77 : 75);
    }
  });

  test.each(['a/a', 'a'])('in what is gone by now do not stop the search: %s', async (gone) => {
    await using place = testPlace({ 'a/a': 'needle\n'.repeat(9), b: 'needle\n' });
    const { next_cursor: cursor } = await search(place, { pattern: 'needle', max_results: 3 });
    rmSync(join(place.root, gone), { recursive: true });

    const second = await search(place, { pattern: 'needle', max_results: 3, cursor });

    expect(short(second, place)).toEqual(['b:1:needle']);
  });
});

test.each([
  ['too large', 'large', 'too_large'],
  ['binary', 'binary', 'invalid_input'],
])('A file that is %s is refused when it is named', async (_, path, code) => {
  await using place = testPlace({ large: 'needle', binary: Buffer.from('needle\0') });
  truncateSync(join(place.root, 'large'), 65 * 1024 * 1024);

  await expect(search(place, { path, pattern: 'needle' })).rejects.toMatchObject({ code });
});

test('A search stops with its call', async () => {
  await using place = testPlace({ f: 'x'.repeat(30_000_000) });
  const stop = new AbortController();
  setTimeout(() => stop.abort(new RangeError('too late')), 30);

  await expect(
    invoke(searchFileContents, { path: '.', pattern: `(x+x+)+y`.repeat(20), regex: true }, place.files, {
      signal: stop.signal,
    }),
  ).rejects.toThrow('too late');
});
