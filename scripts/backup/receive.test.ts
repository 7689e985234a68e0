import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import {
  array,
  asyncProperty,
  assert,
  constantFrom,
  record,
  string,
  uint8Array,
  uniqueArray,
} from 'fast-check';
import { expect, test } from 'vitest';

import { snapshotOf } from '#runtime/data/snapshot.ts';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { unpackArchive, writeArchive } from './archive.ts';
import { isSafePath, manifestName } from './manifest.ts';
import { receiveSnapshot } from './receive.ts';

const signal = new AbortController().signal;

const linesOf = (...frames: readonly object[]) =>
  Buffer.from(frames.map((frame) => `${JSON.stringify(frame)}\n`).join(''));

async function* inParts(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function whole(folder: string): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of snapshotOf({ dataDir: folder, secretFiles: [] }, signal, async () => undefined))
    parts.push(part);
  return Buffer.concat(parts);
}

function source() {
  const folder = temporaryFolder();
  mkdirSync(join(folder.path, 'from', 'below'), { recursive: true });
  writeFileSync(join(folder.path, 'from', 'empty'), '');
  writeFileSync(join(folder.path, 'from', 'below', 'text'), 'one\ntwo\nthree');
  return { ...folder, from: join(folder.path, 'from'), to: join(folder.path, 'to') };
}

test.each([1, 7, 64, 1_000_000])('a snapshot comes whole in parts of %i bytes', async (size) => {
  using folder = source();

  const files = await receiveSnapshot(inParts(await whole(folder.from), size), folder.to, () => {});

  expect(files.map(({ path, bytes }) => [path, bytes])).toEqual([
    ['below/text', 13],
    ['empty', 0],
  ]);
  expect(readFileSync(join(folder.to, 'below', 'text'), 'utf8')).toBe('one\ntwo\nthree');
});

test('a snapshot cut off anywhere is not taken for a whole one', async () => {
  using folder = source();
  const bytes = await whole(folder.from);

  for (let length = 0; length < bytes.length; length += 11) {
    await expect(
      receiveSnapshot(inParts(bytes.subarray(0, length), 16), join(folder.to, String(length)), () => {}),
      `${length} bytes`,
    ).rejects.toThrow(/not whole/);
  }
});

test('a changed byte of a file is found', async () => {
  using folder = source();
  const bytes = await whole(folder.from);
  bytes.writeUInt8(bytes.readUInt8(bytes.indexOf('three')) ^ 1, bytes.indexOf('three'));

  await expect(receiveSnapshot(inParts(bytes, 64), folder.to, () => {})).rejects.toThrow(/came changed/);
});

test.each(['../outside', '/etc/outside', 'a/../../outside', 'a//b', './a', 'a\0b', 'line\nbreak', ''])(
  'a file may not go to %j',
  async (path) => {
    using folder = source();
    const bytes = linesOf({ kind: 'file', path, bytes: 0, isDatabase: false });

    await expect(receiveSnapshot(inParts(bytes, 64), folder.to, () => {})).rejects.toThrow(
      /it has a file at/,
    );
    expect(existsSync(join(folder.path, 'outside'))).toBe(false);
  },
);

test.each([
  ['what is no JSON', Buffer.from('HTTP/1.1 200\n')],
  ['a frame of another kind', linesOf({ kind: 'wish' })],
  ['a line without an end', Buffer.alloc(200_000, 'x')],
  ['a count that differs', linesOf({ kind: 'end', files: 3 })],
  ['a hash without a file', linesOf({ kind: 'hash', sha256: 'x' })],
])('%s is refused', async (_, bytes) => {
  using folder = source();

  await expect(receiveSnapshot(inParts(bytes, 64), folder.to, () => {})).rejects.toThrow(/not whole/);
});

test('the owner says why it failed', async () => {
  using folder = source();
  const bytes = linesOf(
    { kind: 'working', path: 'a', share: 0.5 },
    { kind: 'failed', reason: 'The disk is full.' },
  );

  await expect(receiveSnapshot(inParts(bytes, 64), folder.to, () => {})).rejects.toThrow('The disk is full.');
});

const folderNames = ['a', 'b', '@c', '-d', 'ü'];
const nameOf = string({ minLength: 1, maxLength: 40, unit: 'grapheme' }).filter(
  (name) =>
    isSafePath(name) &&
    !folderNames.includes(name) &&
    Buffer.byteLength(name) < 200 &&
    !/\/|^\.(?:lock|snapshot)$|(?:\.tmp|\.db|-wal|-shm|-journal)$/.test(name),
);

test('whatever a folder holds comes back from an archive as it was', async () => {
  const folders = uniqueArray(
    record({
      folders: array(constantFrom(...folderNames), { maxLength: 3 }),
      name: nameOf,
      bytes: uint8Array({ maxLength: 3_000 }),
    }),
    { maxLength: 12, selector: ({ name }) => name.normalize('NFC').toLowerCase() },
  );
  await assert(
    asyncProperty(folders, async (files) => {
      using root = temporaryFolder();
      const from = join(root.path, 'from');
      mkdirSync(from);
      for (const { folders: below, name, bytes } of files) {
        mkdirSync(join(from, ...below), { recursive: true });
        writeFileSync(join(from, ...below, name), bytes);
      }

      const staged = join(root.path, 'staged');
      const received = await receiveSnapshot(
        snapshotOf({ dataDir: from, secretFiles: [] }, signal, async () => undefined),
        join(staged, 'memory'),
        () => {},
      );
      const described = received.map(({ path, bytes, sha256 }) => ({
        path: `memory/${path}`,
        bytes,
        sha256,
      }));
      writeFileSync(
        join(staged, manifestName),
        JSON.stringify({
          format: 1,
          createdAt: '2026-11-20T12:00:00Z',
          version: '',
          node: '',
          services: ['memory'],
          missing: [],
          files: described,
        }),
      );
      const archive = join(root.path, 'archive');
      await writeArchive(staged, [manifestName, ...described.map(({ path }) => path)], archive, [], () => {});
      const target = ({ path }: { readonly path: string }) => join(root.path, 'to', path);
      await unpackArchive(archive, { identities: [], target, room: root.path, told: () => {} });

      expect(received).toHaveLength(files.length);
      for (const { folders: below, name, bytes } of files) {
        const path = join('memory', ...below, name);
        expect(Buffer.compare(readFileSync(target({ path })), bytes), path).toBe(0);
      }
    }),
    { numRuns: 60 },
  );
});
