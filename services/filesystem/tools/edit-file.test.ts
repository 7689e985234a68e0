import {
  chmodSync,
  lstatSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { testPlace } from '../place.fixture.ts';
import { allTools } from '../service.ts';
import { editFile } from './edit-file.ts';
import { getFileInfo } from './file-info.ts';
import { readTextFile } from './read-text.ts';
import { appendFile, createDirectory, writeFile } from './write-file.ts';

const one = [{ oldText: 'one', newText: '1' }];

describe('A change', () => {
  test('keeps the mode of the file, and leaves nothing beside it', async () => {
    await using place = testPlace({ f: 'one\r\n' });
    const path = join(place.root, 'f');
    chmodSync(path, 0o4754);

    await invoke(editFile, { path: 'f', edits: one }, place.files);
    expect(statSync(path).mode & 0o7777).toBe(0o754);
    await invoke(writeFile, { path: 'f', content: 'all new' }, place.files);

    expect(statSync(path).mode & 0o7777).toBe(0o754);
    expect(readFileSync(path, 'utf8')).toBe('all new');
    expect(readdirSync(place.root)).toEqual(['f']);
  });

  test('through a link changes the file and keeps the link', async () => {
    await using place = testPlace({ f: 'one' });
    symlinkSync('f', join(place.root, 'link'));

    await invoke(editFile, { path: 'link', edits: one }, place.files);

    expect(lstatSync(join(place.root, 'link')).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(place.root, 'f'), 'utf8')).toBe('1');
  });

  test('that is only tried out changes nothing, and says what it would be', async () => {
    await using place = testPlace({ f: 'one' });

    const tried = await invoke(editFile, { path: 'f', edits: one, dryRun: true }, place.files);
    expect(readFileSync(join(place.root, 'f'), 'utf8')).toBe('one');
    const made = await invoke(editFile, { path: 'f', edits: one }, place.files);

    expect(made).toEqual(tried);
    expect(made.content).toContain('-one');
  });

  test('that fails in one of its edits changes nothing', async () => {
    await using place = testPlace({ f: 'one two' });

    await expect(
      invoke(editFile, { path: 'f', edits: [...one, { oldText: 'three', newText: '3' }] }, place.files),
    ).rejects.toMatchObject({ code: 'not_found' });
    expect(readFileSync(join(place.root, 'f'), 'utf8')).toBe('one two');
  });

  test('of what is no text is refused', async () => {
    await using place = testPlace({ f: Buffer.from('one\0') });

    await expect(invoke(editFile, { path: 'f', edits: one }, place.files)).rejects.toMatchObject({
      code: 'invalid_input',
    });
  });

  test('with very different contents shows a diff in bounded time', async () => {
    const lines = (word: string) => Array.from({ length: 40_000 }, (_, n) => `${word} ${n * 7}`).join('\n');
    await using place = testPlace({ f: `start\n${lines('a')}\nend` });

    const { content } = await invoke(
      editFile,
      { path: 'f', edits: [{ oldText: 'start', newText: lines('b') }] },
      place.files,
    );

    expect(content.startsWith('```diff\n')).toBe(true);
  });
});

describe('ifMatch', () => {
  test('lets a change pass that builds on what is there, whichever call told', async () => {
    await using place = testPlace({ f: 'one' });
    const { etag } = await invoke(readTextFile, { path: 'f' }, place.files);
    expect((await invoke(getFileInfo, { path: 'f' }, place.files)).etag).toBe(etag);

    const edited = await invoke(editFile, { path: 'f', edits: one, ifMatch: etag }, place.files);
    await invoke(writeFile, { path: 'f', content: 'x', ifMatch: edited.etag }, place.files);

    expect(readFileSync(join(place.root, 'f'), 'utf8')).toBe('x');
  });

  test('stops a change that does not', async () => {
    await using place = testPlace({ f: 'one' });
    const { etag } = await invoke(readTextFile, { path: 'f' }, place.files);
    writeFileSync(join(place.root, 'f'), 'one, and more');

    await expect(
      invoke(editFile, { path: 'f', edits: one, ifMatch: etag }, place.files),
    ).rejects.toMatchObject({ code: 'conflict' });
    await expect(
      invoke(writeFile, { path: 'f', content: '', ifMatch: etag }, place.files),
    ).rejects.toMatchObject({ code: 'conflict' });
    await expect(
      invoke(writeFile, { path: 'gone', content: '', ifMatch: etag }, place.files),
    ).rejects.toMatchObject({ code: 'conflict' });
    expect(readdirSync(place.root)).toEqual(['f']);
  });

  test('lets one of many win', async () => {
    await using place = testPlace({ f: 'one' });
    const { etag } = await invoke(readTextFile, { path: 'f' }, place.files);

    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, async (_, writer) =>
        invoke(writeFile, { path: 'f', content: `writer ${writer}`, ifMatch: etag }, place.files),
      ),
    );

    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });
});

test('Edits at the same time are all made', async () => {
  const words = Array.from({ length: 25 }, (_, number) => `<${number}>`);
  await using place = testPlace({ f: words.join('\n') });

  await Promise.all(
    words.map(async (word) =>
      invoke(editFile, { path: 'f', edits: [{ oldText: word, newText: 'done' }] }, place.files),
    ),
  );

  expect(new Set(readFileSync(join(place.root, 'f'), 'utf8').split('\n'))).toEqual(new Set(['done']));
});

test('Half of a pair of surrogates is not found in the other pairs', async () => {
  await using place = testPlace({ f: 'hi \u{1f600} there' });

  for (const edit of [
    { oldText: '\ud83d', newText: 'x' },
    { oldText: 'hi', newText: '\ude00' },
  ]) {
    await expect(invoke(editFile, { path: 'f', edits: [edit] }, place.files)).rejects.toMatchObject({
      code: 'invalid_input',
    });
  }
  expect(readFileSync(join(place.root, 'f'), 'utf8')).toBe('hi \u{1f600} there');
});

test('A long edit keeps nobody from writing, and is made on what was written meanwhile', async () => {
  await using place = testPlace({ f: 'A\r\n'.repeat(2_000), g: '' });
  const edits = Array.from({ length: 301 }, (_, n) =>
    n % 2 === 0 ? { oldText: 'A', newText: 'B' } : { oldText: 'B', newText: 'A' },
  );
  const order: string[] = [];

  await Promise.all([
    invoke(editFile, { path: 'f', edits, replaceAll: true }, place.files).then(() => order.push('edit')),
    invoke(writeFile, { path: 'g', content: 'x' }, place.files).then(() => order.push('write')),
    invoke(appendFile, { path: 'f', content: 'A end' }, place.files).then(() => order.push('append')),
  ]);

  expect(order.at(-1)).toBe('edit');
  expect(readFileSync(join(place.root, 'f'), 'utf8')).toBe(`${'B\r\n'.repeat(2_000)}B end`);
});

describe('Appending', () => {
  test('makes the file, then adds to its end', async () => {
    await using place = testPlace();
    const append = async (content: string) =>
      invoke(appendFile, { path: 'new/log', content, createParents: true }, place.files);

    expect(await append('one\n')).toMatchObject({ size: 4 });
    const { size, etag } = await append('zwei ä\n');
    expect(size).toBe(12);
    expect((await invoke(getFileInfo, { path: 'new/log' }, place.files)).etag).toBe(etag);

    expect(readFileSync(join(place.root, 'new/log'), 'utf8')).toBe('one\nzwei ä\n');
  });

  test('many at the same time loses nothing', async () => {
    await using place = testPlace();
    const lines = Array.from({ length: 50 }, (_, number) => `line ${number}\n`);

    await Promise.all(
      lines.map(async (content) => invoke(appendFile, { path: 'log', content }, place.files)),
    );

    const written = readFileSync(join(place.root, 'log'), 'utf8').split(/(?<=\n)/);
    expect(written.toSorted()).toEqual(lines.toSorted());
  });
});

test('A folder that is missing is named, and made when asked', async () => {
  await using place = testPlace();
  const args = { path: 'a/b/c.txt', content: 'x' };

  await expect(invoke(writeFile, args, place.files)).rejects.toMatchObject({
    code: 'not_found',
    message: `Parent directory does not exist: ${join(place.root, 'a')}`,
  });
  await invoke(writeFile, { ...args, createParents: true }, place.files);

  expect(readFileSync(join(place.root, 'a/b/c.txt'), 'utf8')).toBe('x');
});

test('New files and folders are as the user makes them, whatever the umask of the fleet is', async () => {
  await using place = testPlace({ old: 'one' });
  chmodSync(join(place.root, 'old'), 0o600);
  const umask = process.umask(0o077);
  try {
    await invoke(writeFile, { path: 'a/b/new', content: 'x', createParents: true }, place.files);
    await invoke(appendFile, { path: 'log', content: 'x' }, place.files);
    await invoke(createDirectory, { path: 'c' }, place.files);
    await invoke(editFile, { path: 'old', edits: one }, place.files);
    await invoke(writeFile, { path: 'old', content: 'all new' }, place.files);
  } finally {
    process.umask(umask);
  }

  const mode = (name: string) => (statSync(join(place.root, name)).mode & 0o777).toString(8);
  expect(['a', 'a/b', 'c'].map(mode)).toEqual(['755', '755', '755']);
  expect(['a/b/new', 'log', 'old'].map(mode)).toEqual(['644', '644', '600']);
});

describe('What fails leaves no folders', () => {
  const long = 'x'.repeat(300);
  test.each<[string, object]>([
    ['write_file', { path: 'n/f', content: '', createParents: true, ifMatch: 'bogus' }],
    ['write_file', { path: `n/${long}`, content: '', createParents: true }],
    ['append_file', { path: `n/m/${long}`, content: '', createParents: true }],
    ['create_directory', { path: `n/${long}` }],
    ['create_directory', { path: `n/m/${long}/o` }],
    ['move_file', { source: 'nope', destination: 'n/x/f', createParents: true }],
    ['move_file', { source: 'sd', destination: 'sd/in/x', createParents: true }],
    ['copy_file', { source: 'nope', destination: 'n/x/f', createParents: true }],
    ['copy_file', { source: 'sd', destination: 'sd/in/x', createParents: true }],
    ['restore_file', { trash_id: '000000000000000-00000000', destination: 'n/x' }],
  ])('%s %j', async (name, args) => {
    await using place = testPlace({ 'sd/f': '' });
    const tool = allTools.find((candidate) => candidate.name === name);
    if (!tool) throw new TypeError(`No tool ${name}`);

    await expect(invoke(tool, args, place.files)).rejects.toMatchObject({
      code: expect.stringMatching(/invalid_input|not_found|conflict/) as string,
    });

    expect(readdirSync(place.root, { recursive: true }).map(String).toSorted()).toEqual(['sd', 'sd/f']);
  });
});
