import { describe, expect, test } from 'vitest';

import { callOf, testStore } from '../store.fixture.ts';

interface Compressed {
  readonly text: string;
  readonly kind: string;
  readonly tokens: number;
  readonly original_tokens: number;
  readonly handle?: string;
}

async function compressed(content: string, args: object = {}): Promise<Compressed> {
  using store = testStore();
  return await callOf(store)<Compressed>('compress_output', { content, ...args });
}

const withoutMark = ({ text }: Compressed) =>
  text.replace(/\n\[shortened: read_output out_[0-9a-f]{24}\]\n$/, '');

test('a log shows each kind of line once, trouble more often, and counts the others', async () => {
  const lines = Array.from({ length: 200 }, (_, at) => `12:00:${at} INFO request ${at} took ${at} ms`);
  lines.splice(100, 0, ...Array.from({ length: 6 }, (_, at) => `12:01:${at} ERROR disk ${at} is full`));

  const result = await compressed(lines.join('\n'));

  expect(result.kind).toBe('log');
  expect(withoutMark(result)).toBe(
    [
      '12:00:0 INFO request 0 took 0 ms [+199 alike]',
      '12:01:0 ERROR disk 0 is full',
      '12:01:1 ERROR disk 1 is full',
      '12:01:2 ERROR disk 2 is full [+3 alike]',
    ].join('\n'),
  );
});

test('a JSON text keeps its shape, is valid, and its numbers are as written', async () => {
  const rows = Array.from({ length: 100 }, (_, id) => ({
    id,
    name: `row "${id}" \\`,
    tags: [1, 2, 3, 4, 5, 6],
  }));
  const content = `{ "big": 12345678901234567890, "rows": ${JSON.stringify(rows)}, "long": "${'é'.repeat(900)}", "none": [], "last": {"a": [[1], [2], [3], [4]]}}`;

  const result = await compressed(content);
  const value = JSON.parse(withoutMark(result)) as Record<string, unknown>;

  expect(result.kind).toBe('json');
  expect(result.text).toContain('"big":12345678901234567890');
  expect(value['rows']).toEqual([
    ...rows.slice(0, 3).map((row) => ({ ...row, tags: [1, 2, 3, '[+3 more]'] })),
    '[+97 more]',
  ]);
  expect(value['long']).toBe(`${'é'.repeat(200)}[+700 characters]`);
  expect(value['none']).toEqual([]);
  expect(value['last']).toEqual({ a: [[1], [2], [3], '[+1 more]'] });
});

test('a diff keeps its changes', async () => {
  const around = Array.from({ length: 40 }, (_, at) => ` unchanged line ${at}`);
  const content = [
    'diff --git a/a.ts b/a.ts',
    'index 123..456 100644',
    '--- a/a.ts',
    '+++ b/a.ts',
    '@@ -1,41 +1,41 @@',
    ...around,
    '-old',
    '+new',
    ...around,
    '@@ -100 +100,99 @@',
    ...Array.from({ length: 99 }, (_, at) => `+line ${at}`),
  ].join('\n');

  const result = await compressed(content);

  expect(result.kind).toBe('diff');
  expect(withoutMark(result).split('\n').slice(0, 7)).toEqual([
    'diff --git a/a.ts b/a.ts',
    '--- a/a.ts',
    '+++ b/a.ts',
    '@@ -1,41 +1,41 @@',
    '-old',
    '+new',
    '@@ -100 +100,99 @@',
  ]);
  expect(withoutMark(result)).toMatch(/\+line 59\n\[\+39 changed lines\]$/);
});

test('a run of tests keeps what failed', async () => {
  const passed = Array.from({ length: 60 }, (_, at) => ` ✓ does thing ${at} (${at} ms)`);
  const content = [
    ...passed,
    ' ✗ does another',
    '   AssertionError: 1 is not 2',
    ...passed,
    'Tests 1 failed, 120 passed',
  ];

  const result = await compressed(content.join('\n'));

  expect(result.kind).toBe('test');
  expect(withoutMark(result).split('\n')).toEqual([
    '[+60 lines that passed]',
    ' ✗ does another',
    '   AssertionError: 1 is not 2',
    '[+60 lines that passed]',
    'Tests 1 failed, 120 passed',
  ]);
});

test('a stack trace keeps its message and frames of its own', async () => {
  const own = Array.from({ length: 20 }, (_, at) => `    at step${at} (/app/src/run.js:${at}:1)`);
  const foreign = Array.from(
    { length: 30 },
    (_, at) => `    at lib${at} (/app/node_modules/lib/index.js:${at}:1)`,
  );

  const result = await compressed(['TypeError: x is not a function', ...own, ...foreign].join('\n'));

  expect(result.kind).toBe('stacktrace');
  const lines = withoutMark(result).split('\n');
  expect(lines.slice(0, 2)).toEqual(['TypeError: x is not a function', own[0]]);
  expect(lines.slice(-2)).toEqual(['[+12 frames]', '[+30 frames of libraries]']);
});

test('what would not get shorter is left as it is, and not kept', async () => {
  const result = await compressed('All is well.');

  expect(result).toMatchObject({ text: 'All is well.', tokens: result.original_tokens });
  expect(result).not.toHaveProperty('handle');
});

describe('Hostile content', () => {
  test.each([
    ['brackets', '['.repeat(200_000) + ']'.repeat(200_000)],
    ['one line', 'at '.repeat(300_000)],
    ['empty lines', '\n'.repeat(300_000)],
    ['backslashes', JSON.stringify(['\\"'.repeat(100_000)])],
    ['hexadecimal', 'deadbeef-'.repeat(100_000)],
    ['many elements', `[${'1,'.repeat(200_000)}1]`],
  ])('is compressed without an error: %s', async (_, content) => {
    const result = await compressed(content, { token_budget: 500 });

    expect(result.tokens).toBeLessThanOrEqual(500);
  });
});
