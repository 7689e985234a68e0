import {
  appendFileSync,
  chmodSync,
  closeSync,
  ftruncateSync,
  openSync,
  renameSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { inWords } from '../file-tool.ts';
import { answerBytes, maxAskedBytes } from '../limits.ts';
import { asNobody, testPlace, type TestPlace } from '../place.fixture.ts';
import { editFile } from './edit-file.ts';
import { getFileHash, getFileInfo } from './file-info.ts';
import { readFileLines, readMultipleFiles, readTextFile } from './read-text.ts';
import { readMediaFile } from './read-media.ts';
import { appendFile } from './write-file.ts';

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
      const whole = { max_bytes: maxAskedBytes };
      expect(await read(place, { head: count, ...whole })).toBe(lines.slice(0, count).join('\n'));
      expect(await read(place, { tail: count, ...whole })).toBe(lines.slice(-count).join('\n'));
    }
  });

  test.each([{ head: 0 }, { head: -1 }, { tail: 0 }, { tail: 1.5 }, { head: 'two' }])(
    'that are no count are refused (%#)',
    async (args) => {
      await using place = testPlace({ f: 'one\ntwo\n' });

      await expect(read(place, args)).rejects.toMatchObject({ code: 'invalid_input' });
    },
  );

  test('of a file of 3 GB take little memory', async () => {
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
    // The line in between is no text, and does not fit: the parts before and behind it are read.
    expect(await read(place, { tail: 2 })).toBe('last');
    expect(await read(place, { head: 2 })).toBe('first\n');
    expect(await read(place, {})).toBe('first\n');
    await expect(read(place, { tail: 2, max_bytes: maxAskedBytes })).resolves.toBe('last');
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
    ['UTF-16 that is not marked', Buffer.from('text', 'utf16le')],
    ['half a character of UTF-16', Buffer.from('\ufefftext\ud800', 'utf16le')],
    ['UTF-32', Buffer.from('\ufeff\0t\0', 'utf16le')],
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

  test('is read whole when that is asked for, up to the limit', async () => {
    await using place = testPlace({ f: 'x'.repeat(maxAskedBytes) });

    expect(await read(place, { max_bytes: maxAskedBytes })).toHaveLength(maxAskedBytes);
    await expect(read(place, { max_bytes: maxAskedBytes + 1 })).rejects.toMatchObject({
      code: 'invalid_input',
    });
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
  await using place = testPlace({
    a: 'a',
    huge: 'z'.repeat(answerBytes + 1),
    big: 'x'.repeat(answerBytes - 100),
    late: 'y'.repeat(100),
  });
  const paths = ['a', 'none', 'huge', 'big', 'late', 'a'];
  const tool = async (paths: readonly string[]) => invoke(readMultipleFiles, { paths }, place.files);

  const first = await tool(paths);

  expect(first.content.split('\n---\n').map((part) => part.slice(0, 40))).toEqual([
    'a:\na\n',
    expect.stringMatching(/^none: Error - ENOENT: no such file/),
    expect.stringMatching(/^huge: Error - The file has 32001 bytes/),
  ]);
  expect(first).toMatchObject({ not_read: ['none', 'huge'], left_from: 'big' });
  expect(readMultipleFiles.text?.(first)).toMatch(/\n\[truncated: call again for the files from big on\]$/);
  const second = await tool(paths.slice(3));
  expect(second.content.split('\n---\n').map((part) => part.slice(0, 8))).toEqual(['big:\nxxx']);
  expect(second.left_from).toBe('late');
  expect(await tool(paths.slice(4))).toEqual({ content: `late:\n${'y'.repeat(100)}\n\n---\na:\na\n` });
});

describe('A text that is too long for one answer', () => {
  /** All parts, in the order in which they come. */
  async function parts(place: TestPlace, tool: typeof readTextFile | typeof readFileLines, args: object) {
    const contents: string[] = [];
    for (let cursor: string | undefined, isFirst = true; isFirst || cursor; isFirst = false) {
      const page = await invoke(tool as typeof readTextFile, { path: 'f', ...args, cursor }, place.files);
      expect(page.truncated === undefined).toBe(page.next_cursor === undefined);
      expect(Buffer.byteLength(page.content)).toBeLessThanOrEqual(1_000);
      contents.push(page.content);
      cursor = page.next_cursor;
    }
    return contents;
  }
  const line = fc.string({ unit: fc.constantFrom('a', 'ä', '\u{1f600}', '\t', ' ', '\r'), maxLength: 60 });
  const longLine = fc.integer({ min: 0, max: 900 }).map((length) => 'é\u{1f600}'.repeat(length));
  const lines = fc.array(fc.oneof({ weight: 9, arbitrary: line }, { weight: 1, arbitrary: longLine }), {
    maxLength: 120,
  });

  test('comes in parts that are the whole, from the start or from the end', async () => {
    await using place = testPlace({ f: '' });
    await fc.assert(
      fc.asyncProperty(lines, fc.boolean(), fc.nat(130), async (lines, isEnded, count) => {
        const text = `${lines.join('\n')}${isEnded ? '\n' : ''}`;
        writeFileSync(join(place.root, 'f'), text);
        const max = { max_bytes: 1_000 };
        const all = text.replace(/\n$/, '').split('\n');
        const n = count + 1;

        expect((await parts(place, readTextFile, max)).join('')).toBe(text);
        expect((await parts(place, readTextFile, { ...max, head: n })).join('')).toBe(
          all.slice(0, n).join('\n'),
        );
        expect((await parts(place, readTextFile, { ...max, tail: n })).toReversed().join('')).toBe(
          all.slice(-n).join('\n'),
        );
        const some = { ...max, start_line: 3, end_line: n + 3 };
        expect((await parts(place, readFileLines, some)).join('')).toBe(all.slice(2, n + 3).join('\n'));
      }),
      { numRuns: 60 },
    );
  });

  test('is cut at the end of a line, and says how to go on', async () => {
    await using place = testPlace({ f: 'a line of text\n'.repeat(10_000) });

    const page = await invoke(readTextFile, { path: 'f' }, place.files);

    expect(page.content).toMatch(/\na line of text\n$/);
    expect(Buffer.byteLength(page.content)).toBeLessThanOrEqual(answerBytes);
    expect(page.etag).toBeUndefined();
    expect(readTextFile.text?.(page)).toMatch(/\n\[truncated: call again with cursor [\w-]+\]$/);
  });

  test('is read on when more was added, and not when another is in its place', async () => {
    await using place = testPlace({ f: 'line\n'.repeat(1_000), other: 'other' });
    const read = async (cursor?: string) =>
      invoke(readTextFile, { path: 'f', max_bytes: 4_000, cursor }, place.files);
    const { next_cursor: cursor } = await read();

    appendFileSync(join(place.root, 'f'), 'added\n');
    expect((await read(cursor)).content).toMatch(/^line\n(.|\n)*added\n$/);

    renameSync(join(place.root, 'other'), join(place.root, 'f'));
    await expect(read(cursor)).rejects.toMatchObject({ code: 'conflict' });
  });
});

describe.each([
  ['utf-16le', (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le')],
  ['utf-16be', (text: string) => Buffer.from(`\ufeff${text}`, 'utf16le').swap16()],
] as const)('A file in %s', (encoding, encode) => {
  const text = 'eins\r\nzwei \u{1f600}\n\u0a0a drei\n';

  test('is read like others', async () => {
    await using place = testPlace({ f: encode(text) });
    const read = async (args: object) => invoke(readTextFile, { path: 'f', ...args }, place.files);

    expect(await read({})).toMatchObject({ content: text, encoding });
    expect(await read({ head: 1 })).toMatchObject({ content: 'eins\r', encoding });
    expect(await read({ tail: 1 })).toMatchObject({ content: '\u0a0a drei' });
    expect(await invoke(readFileLines, { path: 'f', start_line: 2, end_line: 2 }, place.files)).toMatchObject(
      { content: 'zwei \u{1f600}', is_end: false },
    );
    expect((await invoke(readMultipleFiles, { paths: ['f'] }, place.files)).content).toBe(`f:\n${text}\n`);
  });

  test('is not changed', async () => {
    await using place = testPlace({ f: encode(text) });

    await expect(
      invoke(editFile, { path: 'f', edits: [{ oldText: 'zwei', newText: 'zwo' }] }, place.files),
    ).rejects.toMatchObject({ code: 'invalid_input', message: expect.stringContaining('UTF-16') as string });
    await expect(invoke(appendFile, { path: 'f', content: 'vier' }, place.files)).rejects.toMatchObject({
      code: 'invalid_input',
    });
  });
});

describe('Lines by number', () => {
  const lines = async (place: TestPlace, first: number, last: number) =>
    invoke(readFileLines, { path: 'f', start_line: first, end_line: last }, place.files);

  test('are found, and the end of the file is told', async () => {
    await using place = testPlace({ f: 'one\ntwo\nthree\n' });

    expect(await lines(place, 1, 1)).toEqual({ content: 'one', is_end: false });
    expect(await lines(place, 2, 3)).toEqual({ content: 'two\nthree', is_end: true });
    expect(await lines(place, 3, 9)).toEqual({ content: 'three', is_end: true });
    expect(await lines(place, 4, 9)).toEqual({ content: '', is_end: true });
  });

  test('are the same wherever a buffer ends', async () => {
    const all = Array.from({ length: 60_000 }, (_, number) => `line ${number} ${'ä'.repeat(number % 40)}`);
    await using place = testPlace();
    writeFileSync(join(place.root, 'f'), all.join('\n'));

    for (const first of [1, 9_000, 30_000, 59_990]) {
      const args = { path: 'f', start_line: first, end_line: first + 4_000, max_bytes: maxAskedBytes };
      const { content } = await invoke(readFileLines, args, place.files);
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
  /** The system tells user and system time apart by guess: their sum counts, and the least of some. */
  const costOf = async (work: () => Promise<unknown>) => {
    const costs: number[] = [];
    for (let round = 0; round < 3; round += 1) {
      const before = process.cpuUsage();
      await work();
      const { user, system } = process.cpuUsage(before);
      costs.push(user + system);
    }
    return Math.min(...costs);
  };
  const lines = async (start: number, end: number) =>
    invoke(readFileLines, { path: 'large', start_line: start, end_line: end }, place.files);

  const first = await costOf(async () => lines(1, 1));
  const all = await costOf(async () => lines(3, 3));
  const hashed = await costOf(async () =>
    invoke(getFileHash, { path: 'large', algorithm: 'sha512' }, place.files),
  );

  expect(await lines(3, 3)).toEqual({ content: '', is_end: true });
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
