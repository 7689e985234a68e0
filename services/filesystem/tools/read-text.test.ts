import {
  chmodSync,
  closeSync,
  ftruncateSync,
  openSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { inWords } from '../file-tool.ts';
import { maxTextBytes } from '../limits.ts';
import { asNobody, testPlace, type TestPlace } from '../place.fixture.ts';
import { getFileHash, getFileInfo } from './file-info.ts';
import { readFileLines, readMultipleFiles, readTextFile } from './read-text.ts';
import { readMediaFile } from './read-media.ts';

const read = async ({ files }: TestPlace, args: object) =>
  (await invoke(readTextFile, { path: 'f', ...args }, files)).content;

describe('head and tail', () => {
  const samples = [
    'one\ntwo\nthree\n',
    'one\ntwo\nthree',
    'one\r\ntwo\r\n',
    '\n\n\n',
    '\n',
    '',
    'x',
    `${'long '.repeat(100_000)}\nlast ä`,
  ];

  test.each(samples)('are lines from the start and from the end (%#)', async (sample) => {
    await using place = testPlace({ f: sample });
    const lines = sample.replace(/\n$/, '').split('\n');

    for (const count of [1, 2, 3, 4, 100]) {
      expect(await read(place, { head: count })).toBe(lines.slice(0, count).join('\n'));
      expect(await read(place, { tail: count })).toBe(lines.slice(-count).join('\n'));
    }
  });

  test.each([{ head: 0 }, { head: -1 }, { tail: 0 }, { tail: 1.5 }, { head: 'two' }])(
    'that are no count are refused (%#)',
    async (args) => {
      await using place = testPlace({ f: 'one\ntwo\n' });

      await expect(read(place, args)).rejects.toMatchObject({ code: 'invalid_input' });
    },
  );

  test('of a file of 3 GB take little memory', { timeout: 20_000 }, async () => {
    await using place = testPlace();
    const path = join(place.root, 'f');
    const descriptor = openSync(path, 'w');
    writeSync(descriptor, 'first\n');
    ftruncateSync(descriptor, 3 * 1024 ** 3);
    writeSync(descriptor, '\nlast\n', 3 * 1024 ** 3);
    closeSync(descriptor);
    globalThis.gc?.();
    const before = process.memoryUsage().rss;

    expect(await read(place, { head: 1 })).toBe('first');
    expect(await read(place, { tail: 1 })).toBe('last');

    expect(process.memoryUsage().rss - before).toBeLessThan(50 * 1024 ** 2);
    await expect(read(place, { tail: 2 })).rejects.toMatchObject({ code: 'too_large' });
    await expect(read(place, { head: 2 })).rejects.toMatchObject({ code: 'too_large' });
    await expect(read(place, {})).rejects.toMatchObject({
      code: 'too_large',
      hint: expect.stringContaining('read_file_lines') as string,
    });
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 ** 2);
  });
});

describe('A file', () => {
  test('is read as it is: byte-order mark, line ends and all', async () => {
    const text = '\ufeffone\r\ntwo\n\tdrei \u{1f600}\r';
    await using place = testPlace({ f: text });

    expect(await read(place, {})).toBe(text);
  });

  test.each([
    ['bytes that are no UTF-8', Buffer.from([0x61, 0xff, 0xfe])],
    ['NUL', Buffer.from('a\0b')],
    ['UTF-16', Buffer.from('text', 'utf16le')],
  ])('with %s is no text, and read as media', async (_, contents) => {
    await using place = testPlace({ f: contents });

    await expect(read(place, {})).rejects.toMatchObject({
      code: 'invalid_input',
      hint: expect.stringContaining('read_media_file') as string,
    });
    await expect(read(place, { head: 1 })).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(invoke(readMediaFile, { path: 'f' }, place.files)).resolves.toMatchObject({
      content: [{ type: 'resource', resource: { blob: contents.toString('base64') } }],
    });
  });

  test('is read up to the limit', async () => {
    await using place = testPlace({ f: 'x'.repeat(maxTextBytes) });
    expect(await read(place, {})).toHaveLength(maxTextBytes);

    truncateSync(join(place.root, 'f'), maxTextBytes + 1);

    await expect(read(place, {})).rejects.toMatchObject({ code: 'too_large' });
  });

  test('of the kernel that says it is empty is read to its end', async () => {
    await using place = testPlace();
    const files = { ...place.files, roots: ['/proc/sys/kernel'] };

    expect((await invoke(readTextFile, { path: 'ostype' }, files)).content).toBe('Linux\n');
  });

  test('has the etag of its contents, and the hash that other programs find', async () => {
    await using place = testPlace({ f: 'abc', g: 'abc' });

    const one = await invoke(readTextFile, { path: 'f' }, place.files);
    const other = await invoke(readTextFile, { path: 'g' }, place.files);
    const { hash, size } = await invoke(getFileHash, { path: 'f' }, place.files);

    expect(one.etag).toBe(other.etag);
    expect(size).toBe(3);
    expect(hash).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });
});

test('Several files share one limit, and one that fails does not stop the others', async () => {
  await using place = testPlace({ a: 'a', big: 'x'.repeat(maxTextBytes - 10), late: 'y'.repeat(100) });

  const { content } = await invoke(readMultipleFiles, { paths: ['a', 'none', 'big', 'late'] }, place.files);

  expect(content.split('\n---\n').map((part) => part.slice(0, 40))).toEqual([
    'a:\na\n',
    expect.stringMatching(/^none: Error - ENOENT: no such file/),
    expect.stringMatching(/^big:\nxxx/),
    expect.stringMatching(/^late: Error - The file has 100 bytes/),
  ]);
});

describe('Lines by number', () => {
  const lines = async (place: TestPlace, first: number, last: number) =>
    invoke(readFileLines, { path: 'f', start_line: first, end_line: last }, place.files);

  test('are found, and the end of the file is told', async () => {
    await using place = testPlace({ f: 'one\ntwo\nthree\n' });

    expect(await lines(place, 1, 1)).toEqual({ content: 'one', lines: 1, is_end: false });
    expect(await lines(place, 2, 3)).toEqual({ content: 'two\nthree', lines: 2, is_end: true });
    expect(await lines(place, 3, 9)).toEqual({ content: 'three', lines: 1, is_end: true });
    expect(await lines(place, 4, 9)).toEqual({ content: '', lines: 0, is_end: true });
  });

  test('are the same wherever a buffer ends', async () => {
    const all = Array.from({ length: 60_000 }, (_, number) => `line ${number} ${'ä'.repeat(number % 40)}`);
    await using place = testPlace();
    writeFileSync(join(place.root, 'f'), all.join('\n'));

    for (const first of [1, 9_000, 30_000, 59_990]) {
      const { content } = await lines(place, first, first + 4_000);
      expect(content).toBe(all.slice(first - 1, first + 4_000).join('\n'));
    }
  });

  test('stop with their call', async () => {
    await using place = testPlace();
    const path = join(place.root, 'f');
    writeFileSync(path, '');
    truncateSync(path, 1024 ** 4);
    const stop = new AbortController();
    setTimeout(() => stop.abort(new RangeError('too late')), 20);

    await expect(
      invoke(readFileLines, { path: 'f', start_line: 5, end_line: 6 }, place.files, { signal: stop.signal }),
    ).rejects.toThrow('too late');
  });
});

test('Lines are looked for without looking at every byte, and no further than they go', async () => {
  await using place = testPlace({ large: 'one\n' });
  const path = join(place.root, 'large');
  truncateSync(path, 64 * 1024 ** 2);
  const costOf = async (work: Promise<unknown>) => {
    const before = process.cpuUsage();
    await work;
    return process.cpuUsage(before).user;
  };
  const lines = async (start: number, end: number) =>
    invoke(readFileLines, { path: 'large', start_line: start, end_line: end }, place.files);

  await costOf(lines(1, 1));
  const first = await costOf(lines(1, 1));
  const all = await costOf(lines(3, 3));
  const hashed = await costOf(invoke(getFileHash, { path: 'large', algorithm: 'sha512' }, place.files));

  expect(await lines(3, 3)).toMatchObject({ lines: 0, is_end: true });
  expect(first).toBeLessThan(all / 2);
  expect(all).toBeLessThan(hashed);
});

test('What may not be read may be looked at', async () => {
  await using place = testPlace({ f: 'one' });
  await asNobody(place, async () => {
    chmodSync(join(place.root, 'f'), 0);

    const { content, etag } = await invoke(getFileInfo, { path: 'f' }, place.files);

    expect(content).toContain('size: 3\n');
    expect(etag).toBeUndefined();
    await expect(invoke(readTextFile, { path: 'f' }, place.files)).rejects.toMatchObject({
      code: 'forbidden',
      message: 'Permission denied: f',
    });
  });
});

test('What the system refuses is told in words, with the place', () => {
  const failure = (code: string, path?: string) => Object.assign(new Error('refused'), { code, path });

  expect(inWords(failure('EAGAIN'), 'a/b')).toMatchObject({
    code: 'unavailable',
    message: 'Another program holds the file: a/b',
  });
  expect(inWords(failure('EACCES', '/proc/self/fd/23/c'), 'a')).toMatchObject({
    message: 'Permission denied: a (at c)',
  });
  expect(inWords(failure('ENAMETOOLONG', '/proc/self/fd/23/b'), 'a/b')).toMatchObject({
    message: 'A name is too long: a/b',
  });
  expect(inWords(failure('EBUSY'), 'mnt')).toMatchObject({ code: 'conflict' });
});
