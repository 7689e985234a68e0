import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { testPlace, type TestPlace } from '../place.fixture.ts';
import { directoryTree, searchFiles } from './find-files.ts';
import { listDirectory, listDirectoryWithSizes } from './list.ts';

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
    { name: 'a', type: 'directory', children: [] },
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

test('A walk stops with its call, and lets others be served', { timeout: 20_000 }, async () => {
  await using place = testPlace();
  for (let folder = 0; folder < 20; folder += 1) {
    mkdirSync(join(place.root, `d${folder}`));
    for (let file = 0; file < 60; file += 1) writeFileSync(join(place.root, `d${folder}/f${file}`), '');
  }
  const stop = new AbortController();
  setTimeout(() => stop.abort(new RangeError('too late')), 5);

  await expect(
    invoke(searchFiles, { path: '.', pattern: '**/*a*b*c*' }, place.files, { signal: stop.signal }),
  ).rejects.toThrow('too late');
});
