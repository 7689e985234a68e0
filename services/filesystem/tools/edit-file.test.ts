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
import { editFile } from './edit-file.ts';
import { getFileInfo } from './file-info.ts';
import { readTextFile } from './read-text.ts';
import { appendFile, writeFile } from './write-file.ts';

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
  const words = Array.from({ length: 50 }, (_, number) => `<${number}>`);
  await using place = testPlace({ f: words.join('\n') });

  await Promise.all(
    words.map(async (word) =>
      invoke(editFile, { path: 'f', edits: [{ oldText: word, newText: 'done' }] }, place.files),
    ),
  );

  expect(new Set(readFileSync(join(place.root, 'f'), 'utf8').split('\n'))).toEqual(new Set(['done']));
});

describe('Appending', () => {
  test('makes the file, then adds to its end', async () => {
    await using place = testPlace();
    const append = async (content: string) =>
      invoke(appendFile, { path: 'new/log', content, createParents: true }, place.files);

    expect(await append('one\n')).toMatchObject({ size: 4 });
    expect(await append('zwei ä\n')).toMatchObject({ size: 12 });

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
