import { describe, expect, test } from 'vitest';

import { testCall } from '#runtime/testing.ts';

import { requireModestPattern, type Dialect } from './patterns.ts';
import { place, repository, use, write } from './repositories.fixture.ts';

// Many processes, on machines of every speed; most tests wait for them, each in a place of its own.

const hostile: readonly (readonly [Dialect, string])[] = [
  ['extended', '((a{1,1000}){1,1000})'],
  ['extended', '(a{255}){255}'],
  ['extended', '(((x{20}){20}){20}){20}'],
  ['extended', 'a{1,30000}'],
  ['extended', '[[:alpha:]]{9999}'],
  ['extended', '(a{100}|b{100}){100}'],
  ['extended', 'x{100}{100}'],
  ['basic', String.raw`\(\(a\{1,1000\}\)\{1,1000\}\)`],
  ['basic', String.raw`\(a\{255\}\)\{255\}`],
  ['extended', String.raw`(a*)\1`],
  ['basic', String.raw`\(a*\)*\1`],
];

test.concurrent.each(hostile)(
  'a pattern that would grow without bounds is refused: %s %s',
  (dialect, pattern) => {
    expect(() => requireModestPattern(pattern, dialect)).toThrow(/states|Back-references/);
  },
);

test.concurrent.each([
  ['extended', '^[a-z]{1,64}@([a-z0-9-]{1,63}[.]){1,8}[a-z]{2,24}$'],
  ['extended', String.raw`\(not a group\){3}`],
  ['extended', '[{1,9999}(]{3}'],
  ['extended', String.raw`\\1`],
  ['extended', '{1,2'],
  ['extended', 'fo+|ba?r|(x|y)*'],
  ['basic', 'a{9999}{9999}'],
  ['basic', '(a(b'],
  ['basic', String.raw`\(fix\|feat\)\{1,2\}`],
  ['basic', '[]a]\\{1,9\\}'],
] as const)('a pattern of people is taken: %s %s', (dialect, pattern) => {
  expect(() => requireModestPattern(pattern, dialect)).not.toThrow();
});

describe('Where a pattern comes through all the same', () => {
  test.concurrent.each([
    ['grep', '--extended-regexp', '-e', '((a{1,1000}){1,1000})'],
    ['log', '--extended-regexp', '--author=((a{1,1000}){1,1000})'],
    ['log', '--extended-regexp', '--grep=((a{1,1000}){1,1000})'],
    ['log', '-G((a{1,1000}){1,1000})'],
  ])('git ends at its limit of memory, with a clear error: %s %s', async (...args) => {
    for (const isSandboxed of [true, false]) {
      using at = place({ memoryBytes: 200_000_000, isSandboxed });
      const repo = repository(at.root, 'repo');
      const opened = await at.git.open(repo, testCall());

      await expect(opened.run(args)).rejects.toMatchObject({
        code: 'too_large',
        hint: expect.stringContaining('a simpler pattern') as string,
      });
    }
  });
});

test.concurrent('the tools refuse such patterns before git sees them', async () => {
  using at = place();
  const repo = repository(at.root, 'repo');
  write(repo, { 'b.txt': 'a' });
  const basic = String.raw`\(\(a\{1,1000\}\)\{1,1000\}\)`;

  for (const [tool, args] of [
    ['git_grep', { pattern: '((a{1,1000}){1,1000})', regex: true }],
    ['git_search_history', { text: '((a{1,1000}){1,1000})', regex: true }],
    ['git_log', { author: basic }],
    ['git_log', { grep: basic }],
  ] as const) {
    await expect(use(at.git, tool, { repo_path: repo, ...args })).rejects.toMatchObject({
      code: 'invalid_input',
    });
  }
  expect(await use(at.git, 'git_grep', { repo_path: repo, pattern: '((a{1,1000}){1,1000})' })).toMatchObject({
    matches: [],
  });
});
