import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, matchesGlob } from 'node:path';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { testCall } from '#runtime/testing.ts';

import { isIgnored, parseIgnore } from './gitignore.ts';
import { fitsPath, lettersOf, parseGlobs } from './glob.ts';
import { testPlace } from './place.fixture.ts';
import { beginWork } from './work.ts';

const globMatcher = (pattern: string) => {
  const globs = parseGlobs([pattern]);
  const work = { steps: 0 };
  return (path: string) => globs.some((glob) => fitsPath(glob, lettersOf(path), work));
};

describe('A pattern', () => {
  test.each([
    ['*.ts', 'a.ts', true],
    ['*.ts', 'b/a.ts', false],
    ['**/*.ts', 'a.ts', true],
    ['**/*.ts', 'b/c/a.ts', true],
    ['src/**', 'src', false],
    ['src/**', 'src/a/b', true],
    ['**', '.hidden/x', true],
    ['*', '.hidden', true],
    ['a/**/b', 'a/b', true],
    ['a/**/b', 'a/x/y/b', true],
    ['?.ts', 'ä.ts', true],
    ['?', '\u{1f600}', true],
    ['[a-c]x', 'bx', true],
    ['[!a-c]x', 'bx', false],
    ['[]]x', ']x', true],
    ['a[', 'a[', true],
    ['[[:alpha:]]x', 'bx', true],
    ['[![:alpha:]]x', 'bx', false],
    ['[[:nothing:]x', ':x', true],
    ['[a-]x', '-x', true],
    ['\\*', '*', true],
    ['\\*', 'a', false],
    ['{a,b{c,d}}.ts', 'bd.ts', true],
    ['{a}', '{a}', true],
    ['', 'a', false],
  ])('%j and %j', (pattern, path, fits) => {
    expect(globMatcher(pattern)(path)).toBe(fits);
  });

  test('fits what Node says that it fits', () => {
    const pattern = fc
      .array(fc.constantFrom('a', 'b', '*', '?', '/', '**', '{a,b}', '[ab]'), { minLength: 1, maxLength: 8 })
      .map((parts) => parts.join(''))
      // Two stars beside something else, and empty names, have a meaning of their own there.
      .filter((text) => !/[^/]\*\*|\*\*[^/]|\/\/|^\/|\/$/.test(text));
    const path = fc.stringMatching(/^[ab]{1,3}(\/[ab]{1,3}){0,3}$/);

    fc.assert(
      fc.property(pattern, path, (pattern, path) => {
        expect(globMatcher(pattern)(path)).toBe(matchesGlob(path, pattern));
      }),
      { numRuns: 3_000 },
    );
  });

  test('of many stars ends soon', () => {
    const name = 'a'.repeat(255);
    const matches = globMatcher(`${'*a'.repeat(120)}b`);
    const deep = globMatcher(`${'**/a/'.repeat(50)}b`);

    for (let round = 0; round < 100; round += 1) {
      expect(matches(name)).toBe(false);
      expect(deep('a/'.repeat(99))).toBe(false);
    }
  });

  test('of another dialect is refused', () => {
    expect(() => globMatcher('!(a)')).toThrow(expect.objectContaining({ code: 'invalid_input' }));
    expect(() => globMatcher('{a,b}'.repeat(9))).toThrow(expect.objectContaining({ code: 'invalid_input' }));
  });

  test('is one of a list whose alternatives count together', () => {
    const pattern = '{a,b}'.repeat(7);

    expect(parseGlobs([pattern])).toHaveLength(128);
    expect(() => parseGlobs([pattern, pattern, pattern, pattern])).toThrow(
      expect.objectContaining({ code: 'invalid_input' }),
    );
  });

  test('is read in time that grows with its length, whatever it holds', () => {
    // Each of these took a second and more, when it was long.
    const hostile = [
      `{a,b}{c,d}{e,f}{g,h}{i,j}{k,l}{m,n}{${','.repeat(900)}`,
      '['.repeat(1_000),
      '[[:'.repeat(333),
    ];
    for (const pattern of hostile) {
      const globs = parseGlobs([pattern]);
      expect(globs.some((glob) => fitsPath(glob, lettersOf('a'), { steps: 0 }))).toBe(false);
    }
    for (const line of [`a${' '.repeat(200_000)}x`, '['.repeat(30_000), '\\ '.repeat(30_000)])
      expect(parseIgnore(`${line}\n`.repeat(20), 0).rules).toEqual([]);
    expect(parseIgnore(`a${' '.repeat(200_000)}\n`, 0).rules).toHaveLength(1);
  });

  test('takes no more steps than its length times that of the path', () => {
    const work = { steps: 0 };
    const pattern = `${'*a?[ab]'.repeat(100)}z`;
    const path = `${'a'.repeat(200)}/`.repeat(10);

    for (const glob of parseGlobs([pattern, `**/${pattern}`])) fitsPath(glob, lettersOf(path), work);

    expect(work.steps).toBeLessThan(2 * 2 * pattern.length * path.length);
  });
});

describe('.gitignore', () => {
  const rules = [
    '# comment',
    '',
    '*.log',
    '!keep.log',
    '/top',
    'build/',
    'docs/*.md',
    'a/**/z',
    '**/cache',
    'logs/**',
    '\\#odd',
    'trailing   ',
    '[ab].txt',
    'x?y',
    '!important/',
    'foo/*',
    '!foo/bar',
    '[[:digit:][:upper:]_-]q',
    '[\\]]r',
    'kept\\ ',
  ].join('\n');
  const paths = [
    'a.log',
    'keep.log',
    'sub/keep.log',
    'top',
    'sub/top',
    'build/x',
    'sub/build/x',
    'other/build',
    'docs/a.md',
    'docs/sub/a.md',
    'a/z',
    'a/b/c/z',
    'cache/x',
    'sub/cache/x',
    'logs/x/y',
    '#odd',
    'trailing',
    'a.txt',
    'c.txt',
    'sub/b.txt',
    'xzy',
    'important/a.log',
    'foo/bar',
    'foo/baz',
    'nested/own.txt',
    '7q',
    'Zq',
    '-q',
    'zq',
    ']r',
    'kept ',
    'nested/a.log',
  ];
  const nested = '!*.log\nown.txt\n';

  test('leaves out what git leaves out', async () => {
    await using place = testPlace();
    for (const path of paths) {
      mkdirSync(dirname(join(place.root, path)), { recursive: true });
      writeFileSync(join(place.root, path), '');
    }
    writeFileSync(join(place.root, '.gitignore'), rules);
    writeFileSync(join(place.root, 'nested/.gitignore'), nested);
    const git = (...args: string[]) =>
      execFileSync('git', args, { cwd: place.root, encoding: 'utf8', env: { PATH: process.env['PATH'] } });
    git('init', '--quiet');
    const left = git('ls-files', '--others', '--exclude-standard', '-z').split('\0');

    const files = [parseIgnore(rules, 0)];
    const isLeftOut = async (path: string) => {
      const letters = lettersOf(path);
      const known = path.startsWith('nested/') ? [...files, parseIgnore(nested, 1)] : files;
      for (const index of letters.keys()) {
        const isFolder = index < letters.length - 1;
        if (await isIgnored(known, letters.slice(0, index + 1), isFolder, beginWork(testCall()))) return true;
      }
      return false;
    };

    for (const path of paths) expect(await isLeftOut(path), path).toBe(!left.includes(path));
  });
});
