/** Names of branches and what workers are told of them, whatever the titles and references are. */
import { execFileSync } from 'node:child_process';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { branchOf, filesNamed, gitOf, slugOf, trailersOf, worktreeOf } from './branches.ts';

describe('A branch', () => {
  test.each([
    ['Add POST /payments', 'task/t12-x7k2-add-post-payments'],
    ['  Über Größe & Ñandú!  ', 'task/t12-x7k2-uber-gro-e-nandu'],
    ['支付页面', 'task/t12-x7k2'],
    ['../../etc/passwd', 'task/t12-x7k2-etc-passwd'],
    ['-rf --force; rm', 'task/t12-x7k2-rf-force-rm'],
    ['main.lock', 'task/t12-x7k2-main-lock'],
    ['@{upstream}~1^:x\n\u202Eevil', 'task/t12-x7k2-upstream-1-x-evil'],
    [
      'Let the customers of the shop pay with cards of all kinds',
      'task/t12-x7k2-let-the-customers-of-the-shop-pay-with',
    ],
    ['x'.repeat(300), `task/t12-x7k2-${'x'.repeat(40)}`],
  ])('of the title %j is legal and says what it is about', (title, branch) => {
    expect(branchOf('t12-x7k2', title, 'feature')).toBe(branch);
  });

  test('of a hotfix says so', () => {
    expect(branchOf('t1-aaaa', 'Mend it', 'hotfix')).toBe('hotfix/t1-aaaa-mend-it');
  });

  test('of any title is made of letters, digits and single dashes, within bounds', () => {
    const titles = fc.oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 300 }),
      fc
        .array(fc.constantFrom('..', '.lock', '@{', '/', '-', ' ', 'a', 'é', '\u0130'))
        .map((parts) => parts.join('')),
    );
    const property = fc.property(titles, (title) => {
      const slug = slugOf(title);
      return slug === '' || (/^[a-z0-9]+(-[a-z0-9]+)*$/.test(slug) && slug.length <= 40);
    });

    expect(fc.check(property, { numRuns: 200 }).counterexample).toBeNull();
  });

  test('is one that git itself takes', () => {
    for (const title of ['a.lock/..', '支付', 'x'.repeat(300)]) {
      const branch = branchOf('t999999999999999-zzzz', title, 'hotfix');

      expect(execFileSync('git', ['check-ref-format', '--branch', branch], { encoding: 'utf8' }).trim()).toBe(
        branch,
      );
    }
  });
});

test.each([
  ['/srv/shop', '/srv/shop.worktrees/t1-aaaa-x'],
  ['/srv/shop///', '/srv/shop.worktrees/t1-aaaa-x'],
  ['shop', 'shop.worktrees/t1-aaaa-x'],
  ['.', './.worktrees/t1-aaaa-x'],
  ['a/..', 'a/../.worktrees/t1-aaaa-x'],
  ['/', '/.worktrees/t1-aaaa-x'],
])('the worktree of the repository %s lies beside it', (path, worktree) => {
  expect(worktreeOf(path, 'task/t1-aaaa-x')).toBe(worktree);
});

test('references stay in one trailer, also those with line breaks', () => {
  expect(trailersOf('t1-aaaa', ['#12', 'REQ-3\nSigned-off-by: Eve\u2028<e@x>', '\n'])).toEqual([
    'Task-Id: t1-aaaa',
    'Refs: #12, REQ-3 Signed-off-by: Eve <e@x>',
  ]);
  expect(trailersOf('t1-aaaa')).toEqual(['Task-Id: t1-aaaa']);
});

describe('Guidance', () => {
  const standing = {
    id: 't1-aaaa',
    branch: 'task/t1-aaaa-x',
    status: 'pending',
    waitsForMerge: false,
    news: undefined,
  };
  const repository = {
    path: '/srv/shop',
    base: 'main',
    kind: 'feature',
    mode: 'worktree',
    integration: 'manual',
  } as const;
  const conflict = { files: ['a.txt'], reported_by: 't', reported_at: '2026-01-01T00:00:00.000Z' };
  const merged = { commit: 'a'.repeat(40), merged_by: 't', merged_at: '2026-01-01T00:00:00.000Z' };

  test('tells the worker of a new task where to work', () => {
    const git = gitOf(standing, repository, undefined);

    expect(git.guidance).toContain(
      '/srv/shop.worktrees/t1-aaaa-x, with the new branch task/t1-aaaa-x from main',
    );
    expect(gitOf(standing, { ...repository, mode: 'branch' }, undefined)).not.toHaveProperty('worktree');
  });

  test('names the files of a conflict until the branch waits again', () => {
    const mending = gitOf({ ...standing, news: conflict }, repository, undefined);
    const again = gitOf(
      { ...standing, status: 'blocked', waitsForMerge: true, news: conflict },
      repository,
      undefined,
    );

    expect(mending).toMatchObject({ conflict });
    expect(mending.guidance).toContain('conflicts with main in a.txt');
    expect(again.guidance).toContain('record_merge');
    expect(again).not.toHaveProperty('conflict');
  });

  test('of a merged branch says what is left over', () => {
    expect(gitOf({ ...standing, status: 'completed', news: merged }, repository, undefined)).toMatchObject({
      merged,
      guidance: expect.stringContaining('not needed any more'),
    });
  });

  test('quotes what would end its sentence, and names some of many files', () => {
    expect(gitOf(standing, { ...repository, base: 'x; rm -rf "$HOME"\n' }, undefined).guidance).toContain(
      String.raw`from "x; rm -rf \"$HOME\"\n" (`,
    );
    expect(filesNamed(Array.from({ length: 12 }, (_, at) => `f${at}`))).toMatch(/f9 and 2 more$/);
  });
});
