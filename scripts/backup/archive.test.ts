import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';

import { describe, expect, test } from 'vitest';

import { ConfigError, DamagedDataError, UnavailableError } from '#runtime/errors.ts';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { tarOf } from '../../tests/support/tar.ts';
import { passingKey, readIdentities, unpackArchive, writeArchive } from './archive.ts';
import { manifestName, type Manifest } from './manifest.ts';

const sha256 = (contents: string | Buffer) => createHash('sha256').update(contents).digest('hex');

function manifestOf(files: Readonly<Record<string, string>>): Manifest {
  return {
    format: 1,
    createdAt: '2026-11-20T12:00:00.000Z',
    version: '0.1.0',
    node: 'v26.10.0',
    services: ['memory'],
    missing: [],
    files: Object.entries(files).map(([path, text]) => ({ path, bytes: text.length, sha256: sha256(text) })),
  };
}

const contents = {
  'memory/memory.db': 'rows '.repeat(100_000),
  'memory/empty': '',
  'memory/a/b/c.txt': 'deep',
  [`memory/${'long-name-'.repeat(15)}`]: 'x',
};

function place() {
  const folder = temporaryFolder();
  const into = join(folder.path, 'into');
  const archive = join(folder.path, 'archive');
  mkdirSync(into);
  return {
    ...folder,
    archive,
    into,
    unpack: async (identities: readonly string[] = []) =>
      unpackArchive(archive, {
        identities,
        target: ({ path }) => join(into, path),
        room: into,
        told: () => {},
      }),
  };
}

async function written(recipients: readonly string[] = []) {
  const here = place();
  const from = join(here.path, 'from');
  for (const [path, text] of Object.entries({
    ...contents,
    [manifestName]: JSON.stringify(manifestOf(contents)),
  })) {
    mkdirSync(dirname(join(from, path)), { recursive: true });
    writeFileSync(join(from, path), text);
  }
  const paths = [manifestName, ...Object.keys(contents)];
  const facts = await writeArchive(from, paths, here.archive, recipients, () => {});
  return { ...here, ...facts };
}

test('a folder comes back byte by byte, from an archive that its owner alone may read', async () => {
  using here = await written();

  const unpacked = await here.unpack();

  expect(unpacked).toEqual({ manifest: manifestOf(contents), signer: undefined });
  for (const [path, text] of Object.entries(contents))
    expect(readFileSync(join(here.into, path), 'utf8')).toBe(text);
  expect(statSync(here.archive)).toMatchObject({ mode: 0o100600, size: here.sizeBytes });
  expect(sha256(readFileSync(here.archive))).toBe(here.sha256);
});

test('an encrypted archive opens with either of its identities, and with no other', async () => {
  const lasting = await passingKey();
  const passing = await passingKey();
  const stranger = await passingKey();
  using here = await written([lasting.recipient, passing.recipient]);

  expect(readFileSync(here.archive, 'latin1')).not.toContain('memory.db');
  await expect(here.unpack()).rejects.toThrow(/is encrypted: name the identity's file/);
  await expect(here.unpack([stranger.identity])).rejects.toThrow(ConfigError);
  await here.unpack([lasting.identity]);
  expect(existsSync(join(here.into, 'memory/memory.db'))).toBe(true);
});

test('a file of identities is read past its comments, and a wrong one is named', async () => {
  using here = place();
  const { identity } = await passingKey();
  const file = join(here.path, 'identity');
  writeFileSync(file, `# created: 2026-11-20\n# public key: age1...\n${identity}\n`);

  expect(readIdentities(file)).toEqual([identity]);
  writeFileSync(file, 'password');
  expect(() => readIdentities(file)).toThrow(/no age identity in/);
  expect(() => readIdentities(join(here.path, 'none'))).toThrow(ConfigError);
});

describe.each([{ kind: 'plain' }, { kind: 'encrypted' }])('a damaged $kind archive', ({ kind }) => {
  const damagedOne = async () => {
    const key = await passingKey();
    const here = await written(kind === 'plain' ? [] : [key.recipient]);
    return { ...here, open: async () => here.unpack([key.identity]) };
  };

  test('is found wherever a bit of it has turned', async () => {
    using here = await damagedOne();
    const good = readFileSync(here.archive);
    for (let at = 0; at < good.length; at += Math.ceil(good.length / 40)) {
      const bad = Buffer.from(good);
      bad.writeUInt8(bad.readUInt8(at) ^ 0x10, at);
      writeFileSync(here.archive, bad);
      const isFound = await here.open().then(
        // A bit that tells how it was compressed, or for whom encrypted, may turn without any effect.
        () =>
          Object.entries(contents).every(
            ([path, text]) => readFileSync(join(here.into, path), 'utf8') === text,
          ),
        (error: unknown) =>
          error instanceof DamagedDataError || (kind === 'encrypted' && error instanceof ConfigError),
      );
      expect(isFound, `byte ${at}`).toBe(true);
      rmSync(join(here.into, 'memory'), { recursive: true, force: true });
    }
  });

  test('is found wherever it was cut off', async () => {
    using here = await damagedOne();
    const { size } = statSync(here.archive);
    for (let length = size - 1; length > 0; length -= Math.ceil(size / 25)) {
      truncateSync(here.archive, length);
      await expect(here.open(), `${length} of ${size} bytes`).rejects.toThrow(
        kind === 'plain' ? DamagedDataError : Error,
      );
      rmSync(join(here.into, 'memory'), { recursive: true, force: true });
    }
  });
});

describe('a hostile archive is refused, and writes nothing where it should not', () => {
  const manifest = manifestOf({ 'memory/a': 'aaaa' });
  const entryOf = (value: unknown) => ({ path: manifestName, text: JSON.stringify(value) });
  const good = { path: 'memory/a', text: 'aaaa' };

  test.each([
    ['no manifest first', [good, entryOf(manifest)], /where its manifest is due/],
    [
      'a manifest that is none',
      [{ path: manifestName, text: 'null' }, good],
      /manifest cannot be understood/,
    ],
    ['a manifest of another format', [entryOf({ ...manifest, format: 3 }), good], /cannot be understood/],
    ['a manifest without its signature', [entryOf({ ...manifest, format: 2 }), good], /its signature is due/],
    [
      'a manifest with a path upwards',
      [entryOf(manifestOf({ '../a': 'aaaa' })), { path: '../a', text: 'aaaa' }],
      /cannot be understood/,
    ],
    [
      'a manifest with an absolute path',
      [entryOf(manifestOf({ '/tmp/a': 'aaaa' })), { path: '/tmp/a', text: 'aaaa' }],
      /cannot be understood/,
    ],
    ['a path upwards', [entryOf(manifest), { path: '../../a', text: 'aaaa' }], /has no "\.\.\/\.\.\/a"/],
    ['a file that the manifest lacks', [entryOf(manifest), good, { path: 'memory/b' }], /has no "memory\/b"/],
    ['a file twice', [entryOf(manifest), good, good], /or has it once/],
    ['a file too few', [entryOf(manifest)], /memory\/a is missing from it/],
    ['other bytes', [entryOf(manifest), { path: 'memory/a', text: 'aaab' }], /SHA-256 differs/],
    [
      'another length',
      [entryOf(manifest), { path: 'memory/a', text: 'aaaaa' }],
      /has 5 bytes where 4 are due/,
    ],
    [
      'a symbolic link',
      [entryOf(manifest), { path: 'memory/a', type: 'SymbolicLink', linkpath: '/etc' }],
      /no plain file but a SymbolicLink/,
    ],
    [
      'a hard link',
      [entryOf(manifest), { path: 'memory/a', type: 'Link', linkpath: '/etc/passwd' }],
      /no plain file but a Link/,
    ],
    ['a device', [entryOf(manifest), { path: 'memory/a', type: 'CharacterDevice' }], /but a CharacterDevice/],
  ] as const)('%s', async (_, entries, complaint) => {
    using here = place();
    writeFileSync(here.archive, zstdCompressSync(tarOf(entries)));

    const unpacked = here.unpack();

    await expect(unpacked).rejects.toThrow(DamagedDataError);
    await expect(unpacked).rejects.toThrow(complaint);
    expect(existsSync(join(here.path, 'a'))).toBe(false);
  });

  test('what no tar is, and what no archive is', async () => {
    using here = place();
    writeFileSync(here.archive, zstdCompressSync(Buffer.alloc(10_000, 'x')));
    await expect(here.unpack()).rejects.toThrow(DamagedDataError);
    writeFileSync(here.archive, 'PK\u0003\u0004');
    await expect(here.unpack()).rejects.toThrow(/is no backup/);
    writeFileSync(here.archive, '');
    await expect(here.unpack()).rejects.toThrow(/is no backup/);
  });

  test('more than there is room for is not even begun', async () => {
    using here = place();
    const huge = { ...manifest, files: [{ path: 'memory/a', bytes: 2 ** 50, sha256: sha256('') }] };
    writeFileSync(
      here.archive,
      zstdCompressSync(tarOf([entryOf(huge), { path: 'memory/a', size: 2 ** 32 }])),
    );

    await expect(here.unpack()).rejects.toThrow(UnavailableError);
    expect(existsSync(join(here.into, 'memory'))).toBe(false);
  });

  test('a few bytes that stand for very many end when the manifest is passed', async () => {
    using here = place();
    const bomb = Buffer.concat([tarOf([entryOf(manifest), good]), Buffer.alloc(100 * 1024 * 1024)]);
    writeFileSync(here.archive, zstdCompressSync(bomb));
    expect(statSync(here.archive).size).toBeLessThan(50_000);

    await expect(here.unpack()).rejects.toThrow(/more in it than its manifest says/);
  });
});
