import { chmodSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { invoke, testCall } from '#runtime/testing.ts';
import type { AnyTool } from '#runtime/tool.ts';

import { locate, openFolderAt } from '../beneath.ts';
import type { Files } from '../files.ts';
import { parseGlobs } from '../glob.ts';
import { maxWalkSteps } from '../limits.ts';
import { asNobody, testPlace, type TestPlace } from '../place.fixture.ts';
import { walk, type WalkOptions } from '../walk.ts';
import { stepsPerTurn } from '../work.ts';
import { directoryTree, searchFiles } from './find-files.ts';
import { listDirectory, listDirectoryWithSizes } from './list.ts';
import { findDuplicates, getFolderSize } from './measure.ts';
import { copyFile } from './move-and-copy.ts';
import { packDirectory } from './pack-directory.ts';
import { searchFileContents } from './search-file-contents.ts';

const project = {
  '.gitignore': 'node_modules/\n*.log\n',
  'a.log': '',
  'a.txt': '',
  'node_modules/x/index.js': '',
  'src/.gitignore': '!keep.log\n/own\n',
  'src/keep.log': '',
  'src/own': '',
  'src/main.ts': '',
  '.git/config': '',
};

interface Node {
  readonly name: string;
  readonly children?: readonly Node[];
}
const pathsOf = (nodes: readonly Node[], above = ''): string[] =>
  nodes.flatMap(({ name, children }) => [
    above + name,
    ...(children ? pathsOf(children, `${above}${name}/`) : []),
  ]);

/** All pages of a tool that answers with text. */
async function pages(
  tool: typeof directoryTree | typeof searchFiles | typeof listDirectory | typeof listDirectoryWithSizes,
  args: object,
  { files }: TestPlace,
): Promise<string[]> {
  const contents: string[] = [];
  for (let cursor: string | undefined, isFirst = true; isFirst || cursor; isFirst = false) {
    const page = await invoke(tool as typeof listDirectory, { ...args, cursor }, files);
    expect(page.truncated === undefined).toBe(page.next_cursor === undefined);
    contents.push(page.content);
    cursor = page.next_cursor;
  }
  return contents;
}

test('.gitignore files count when asked, also those above the folder', async () => {
  await using place = testPlace(project);
  const tree = async (path: string, respectGitignore: boolean) => {
    const { content } = await invoke(directoryTree, { path, respectGitignore }, place.files);
    return pathsOf(JSON.parse(content) as Node[]);
  };

  expect(await tree('.', true)).toEqual([
    '.gitignore',
    'a.txt',
    'src',
    'src/.gitignore',
    'src/keep.log',
    'src/main.ts',
  ]);
  expect(await tree('src', true)).toEqual(['.gitignore', 'keep.log', 'main.ts']);
  expect(await tree('.', false)).toContain('node_modules/x/index.js');
  expect(await tree('.', false)).toContain('.git/config');
});

describe('A large answer', () => {
  const names = Array.from({ length: 40 }, (_, number) => `d${number % 7}/e${number % 3}/f${number}`);
  const contents = Object.fromEntries(names.map((name) => [name, 'x'.repeat(10)]));

  test('is a search that can be read on to the same end', async () => {
    await using place = testPlace(contents);

    const whole = await pages(searchFiles, { path: '.', pattern: '**/f*' }, place);
    const parts = await pages(searchFiles, { path: '.', pattern: '**/f*', limit: 3 }, place);

    expect(whole).toHaveLength(1);
    expect(parts.length).toBeGreaterThan(10);
    expect(parts.join('\n').replace('\nNo matches found', '')).toBe(whole[0]);
    expect(whole[0]?.split('\n')).toHaveLength(40);
  });

  test('is a tree whose pages have every entry once, and the folders above them', async () => {
    await using place = testPlace(contents);
    const read = (page: string) => pathsOf(JSON.parse(page) as Node[]);

    const [whole = '[]'] = await pages(directoryTree, { path: '.' }, place);
    const parts = await pages(directoryTree, { path: '.', maxEntries: 5 }, place);

    const files = (paths: string[]) => paths.filter((path) => path.includes('f'));
    expect(parts.length).toBeGreaterThan(5);
    expect(files(parts.flatMap(read))).toEqual(files(read(whole)));
    expect(new Set(parts.flatMap(read))).toEqual(new Set(read(whole)));
  });

  test('is a tree without indentation where it lies so deep that the blanks would be most of it', async () => {
    const way = Array.from({ length: 90 }, (_, depth) => `${depth}`).join('/');
    await using place = testPlace(
      Object.fromEntries(Array.from({ length: 300 }, (_, number) => [`${way}/f${number}`, ''])),
    );

    const all = await pages(directoryTree, { path: '.' }, place);

    for (const page of all) expect(page.length).toBeLessThan(100_000);
    expect(all.flatMap((page) => pathsOf(JSON.parse(page) as Node[]))).toContain(`${way}/f299`);
  });

  test('is a list that can be read on', async () => {
    const flat = Object.fromEntries(
      Array.from({ length: 25 }, (_, number) => [`f${number}`, 'x'.repeat(number)]),
    );
    await using place = testPlace(flat);

    const [whole = ''] = await pages(listDirectory, { path: '.' }, place);
    const parts = await pages(listDirectory, { path: '.', limit: 4 }, place);
    const sized = await pages(listDirectoryWithSizes, { path: '.', limit: 10, sortBy: 'size' }, place);

    expect(parts.join('\n')).toBe(whole);
    expect(sized).toHaveLength(3);
    expect(sized[0]).toMatch(/^\[FILE\] f24 /);
    for (const page of sized) expect(page).toContain('Total: 25 files, 0 directories\nCombined size: 300 B');
  });
});

test('A folder below the depth that is asked for is named, and not looked into', async () => {
  await using place = testPlace({ 'a/b/c': '', d: '' });

  const { content } = await invoke(directoryTree, { path: '.', maxDepth: 1 }, place.files);

  expect(JSON.parse(content)).toEqual([
    { name: 'a', type: 'directory' },
    { name: 'd', type: 'file' },
  ]);
});

test('Links are named and not followed, so that circles end', async () => {
  await using place = testPlace({ 'a/b': '' });
  symlinkSync('..', join(place.root, 'a/up'));
  symlinkSync(place.outside, join(place.root, 'out'));

  const { content } = await invoke(searchFiles, { path: '.', pattern: '**/*' }, place.files);

  expect(content.split('\n').map((path) => path.slice(place.root.length + 1))).toEqual([
    'a',
    'a/b',
    'a/up',
    'out',
  ]);
});

describe('A walk', () => {
  const many = (folders: number, files: number) => {
    const names = Array.from({ length: folders * files }, (_, n) => `d${n % folders}/${'a'.repeat(150)}${n}`);
    return Object.fromEntries(names.map((name) => [name, '']));
  };
  /** Compares some 20,000 characters for each name. */
  const slow = `**/*${'a'.repeat(140)}z`;

  test('stops with its call', async () => {
    await using place = testPlace(many(2, 50));
    const stop = new AbortController();
    setImmediate(() => stop.abort(new RangeError('too late')));
    const excludePatterns = Array.from({ length: 20 }, () => slow);

    await expect(
      invoke(searchFiles, { path: '.', pattern: slow, excludePatterns }, place.files, {
        signal: stop.signal,
      }),
    ).rejects.toThrow('too late');
  });

  test.each<[string, WalkOptions]>([
    ['patterns of a call', { excludes: parseGlobs(Array.from({ length: 40 }, () => slow)) }],
    ['a .gitignore', { respectGitignore: true }],
  ])('lets others be served for the work that %s make', async (_, options) => {
    await using place = testPlace({ ...many(1, 50), '.gitignore': `${slow}\n`.repeat(40) });
    await using start = await locate(place.files, '.');
    await using folder = await openFolderAt(start);
    const { entries, work } = walk(place.files, start, folder, options, testCall());
    const steps = [0];
    let isOver = false;
    const look = () => {
      steps.push(work.steps);
      if (!isOver) setImmediate(look);
    };
    setImmediate(look);

    for await (const _ of entries);

    isOver = true;
    expect(work.steps).toBeGreaterThan(10 * stepsPerTurn);
    const longest = steps.reduce((most, now, index) => Math.max(most, now - (steps[index - 1] ?? 0)), 0);
    expect(longest).toBeLessThan(2 * stepsPerTurn);
  });

  test('that is enough for one call says where to go on, also when nothing fits', async () => {
    await using place = testPlace(many(3, 20));
    await using start = await locate(place.files, '.');
    await using folder = await openFolderAt(start);
    const excludes = parseGlobs([`**/${'a'.repeat(150)}*`]);
    const found: string[] = [];
    let rounds = 0;

    for (let after: readonly string[] | undefined = []; after;) {
      const walked = walk(place.files, start, folder, { after, excludes }, testCall());
      walked.work.steps = maxWalkSteps - 20_000;
      for await (const { names } of walked.entries) found.push(names.join('/'));
      after = walked.isCut ? walked.position : undefined;
      rounds += 1;
    }

    expect(found).toEqual(['d0', 'd1', 'd2']);
    expect(rounds).toBeGreaterThan(3);
  });

  test('skips and names a folder that may not be read', async () => {
    await using place = testPlace({ 'a/f': 'needle', 'nx/g': 'needle', 'ro/h': 'needle', 'z/i': 'needle' });
    await asNobody(place, async () => {
      chmodSync(join(place.root, 'nx'), 0);
      chmodSync(join(place.root, 'ro'), 0o444);
      const nx = 'nx (may not be read)';
      const call = async (tool: AnyTool<Files>, args: object = {}) =>
        invoke(tool, { path: '.', ...args }, place.files);

      const search = await call(searchFiles, { pattern: '**/*' });
      expect(String(search['content']).split('\n')).toHaveLength(7);
      expect(search).toMatchObject({ left_out: [nx] });
      expect(await call(directoryTree)).toMatchObject({ left_out: [nx] });
      const unreadable = { pattern: 'needle', glob: '{nx,ro}/**' };
      expect(await call(searchFileContents, unreadable)).toMatchObject({
        matches: 0,
        not_searched: '1 may not be read',
        left_out: [nx, 'ro/h (may not be read)'],
      });
      expect(await call(packDirectory)).toMatchObject({
        files: 2,
        left_out: [nx, 'ro/h (may not be read)'],
      });
      const unseen = [nx, 'ro/h (may not be read)'];
      expect(await call(getFolderSize)).toMatchObject({ files: 2, left_out: unseen });
      expect(await call(findDuplicates)).toMatchObject({ groups: [{ count: 2 }], left_out: unseen });
      expect((await call(listDirectoryWithSizes, { path: 'ro' }))['content']).toContain('[FILE] h');
      await expect(call(listDirectory, { path: 'nx' })).rejects.toMatchObject({
        code: 'forbidden',
        message: 'Permission denied: nx',
      });
      chmodSync(join(place.root, 'nx'), 0o755);
    });
  });

  test('says what lies too deep for it', async () => {
    await using place = testPlace();
    // Deeper than any path of one call can name.
    let folder = place.root;
    for (let depth = 0; depth < 101; depth += 1) mkdirSync((folder = join(folder, 'd')));
    writeFileSync(join(folder, 'f'), 'x');
    const tooDeep = {
      truncated: true,
      left_out: [`${Array(100).fill('d').join('/')} (too deep: ask for it alone)`],
    };

    const search = await invoke(searchFiles, { path: '.', pattern: '**/f' }, place.files);
    expect(search).toMatchObject({ content: 'No matches found', ...tooDeep });
    expect(search.next_cursor).toBeUndefined();
    expect(await invoke(getFolderSize, { path: '.' }, place.files)).toMatchObject(tooDeep);
    expect(
      await invoke(directoryTree, { path: '.', maxDepth: 100, maxEntries: 1_000 }, place.files),
    ).toMatchObject(tooDeep);
    const shallow = await invoke(directoryTree, { path: '.', maxDepth: 99 }, place.files);
    expect(shallow.truncated).toBeUndefined();
  });

  test('can be taken up again however long the names are', async () => {
    await using place = testPlace();
    const deep = Array.from({ length: 15 }, () => '\x01'.repeat(250)).join('/');
    mkdirSync(join(place.root, deep), { recursive: true });
    for (const name of ['a', 'b']) writeFileSync(join(place.root, deep, name), 'needle\nneedle\n');

    for (const page of [{ limit: 1 }, { limit: 15 }, { limit: 16 }]) {
      const found = await pages(searchFiles, { path: '.', pattern: '**', ...page }, place);
      expect(
        found
          .join('\n')
          .split('\n')
          .filter((line) => line.startsWith(place.root)),
      ).toHaveLength(17);
    }
  });
});

test('Patterns fit names in either spelling of their letters', async () => {
  const [composed, decomposed] = ['caf\u00e9', 'cafe\u0301'];
  await using place = testPlace({ [`${composed}.md`]: '', [`d/${decomposed}.md`]: 'x', 'cafe.md': '' });
  const find = async (pattern: string, args: object = {}) =>
    (await invoke(searchFiles, { path: '.', pattern, ...args }, place.files)).content.split('\n');

  for (const name of [composed, decomposed]) {
    expect(await find(`**/${name}.md`)).toHaveLength(2);
    expect(await find('**/caf?.md')).toHaveLength(3);
    expect(await find('**/*.md', { excludePatterns: [`**/${name}*`] })).toEqual([
      join(place.root, 'cafe.md'),
    ]);
    expect(
      (await invoke(searchFileContents, { path: '.', pattern: 'x', glob: `d/${name}.md` }, place.files))
        .matches,
    ).toBe(1);
  }
});

test('What a change has not finished is not listed, searched or copied', async () => {
  const temporary = `.flotilla-${'0'.repeat(16)}.tmp`;
  await using place = testPlace({
    'd/f': 'needle',
    [`d/${temporary}`]: 'needle',
    'd/.flotilla-mine.tmp': '',
  });

  await invoke(copyFile, { source: 'd', destination: 'copy' }, place.files);

  expect(readdirSync(join(place.root, 'copy'))).toEqual(['.flotilla-mine.tmp', 'f']);
  expect((await invoke(listDirectory, { path: 'd' }, place.files)).content).not.toContain(temporary);
  expect((await invoke(searchFileContents, { path: 'd', pattern: 'needle' }, place.files)).matches).toBe(1);
});
