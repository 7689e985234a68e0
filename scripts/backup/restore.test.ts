/** An archive that was tampered with: each is refused, with nothing changed. */
import { createHash, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';

import { describe, expect, test } from 'vitest';

import { entryOf } from '#config/catalogue.ts';
import { DamagedDataError, exitOf, UnavailableError, UsageError } from '#runtime/errors.ts';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { tarOf, type TarEntry } from '../../tests/support/tar.ts';
import { passingKey } from './archive.ts';
import {
  manifestName,
  manifestSchema,
  signatureName,
  tokensName,
  upstreamsName,
  type Manifest,
} from './manifest.ts';
import { restoreArchive, unsigned, type RestoreOptions } from './restore.ts';
import { nameOf, sign } from './signature.ts';

const own = generateKeyPairSync('ed25519').privateKey;
const stranger = generateKeyPairSync('ed25519').privateKey;
const sha256 = (contents: string | Buffer) => createHash('sha256').update(contents).digest('hex');
const silent = { tell() {}, [Symbol.dispose]() {} };

const contents: Readonly<Record<string, string>> = {
  'memory/notes.txt': 'what was there before',
  'dashboard/empty': '',
  [tokensName]: '{"tokens":[]}\n',
  [upstreamsName]: '{"upstreams":{}}\n',
};

const manifestOf = (files: Readonly<Record<string, string>>, about: Partial<Manifest> = {}): Manifest => ({
  format: 2,
  createdAt: '2026-11-20T12:00:00.000Z',
  version: '0.1.0',
  node: 'v26.10.0',
  services: ['memory', 'dashboard'],
  missing: [],
  files: Object.entries(files).map(([path, text]) => ({
    path,
    bytes: Buffer.byteLength(text),
    sha256: sha256(text),
  })),
  ...about,
});

interface Parts {
  /** What the manifest says. */
  readonly manifest: unknown;
  /** Over which the signature is made. */
  readonly signed?: string;
  readonly key?: KeyObject | null;
  readonly entries: readonly TarEntry[];
}

const entriesOf = (files: Readonly<Record<string, string>>): TarEntry[] =>
  Object.entries(files).map(([path, text]) => ({ path, text }));

function archiveOf({ manifest, signed, key = own, entries }: Parts): Buffer {
  const text = JSON.stringify(manifest);
  const signature = key === null ? [] : [{ path: signatureName, text: sign(signed ?? text, key) }];
  return zstdCompressSync(tarOf([{ path: manifestName, text }, ...signature, ...entries]));
}

const whole: Parts = { manifest: manifestOf(contents), entries: entriesOf(contents) };
/** With these files besides, as if they belonged there. */
const withMore = (more: Readonly<Record<string, string>>, about: Partial<Manifest> = {}): Parts => ({
  manifest: manifestOf({ ...contents, ...more }, about),
  entries: entriesOf({ ...contents, ...more }),
});
/** With this entry in place of the notes. */
const withEntry = (entry: TarEntry): Parts => ({
  ...whole,
  entries: [entry, ...entriesOf(contents).slice(1)],
});

const apart = (path: string, about = {}) => ({
  path,
  bytes: 1,
  sha256: '0'.repeat(64),
  apart: { name: `${'0'.repeat(64)}.${'0'.repeat(16)}.zst`, bytes: 1, sha256: '0'.repeat(64) },
  ...about,
});

/** The beginning of what a header promises. */
const zeros = '\0'.repeat(4_000_000);

function place() {
  const folder = temporaryFolder();
  const dataRoot = join(folder.path, 'data');
  mkdirSync(join(dataRoot, 'memory'), { recursive: true });
  writeFileSync(join(dataRoot, 'memory', 'notes.txt'), 'what is there now');
  const archive = join(folder.path, 'archive.tar.zst');
  return {
    ...folder,
    dataRoot,
    archive,
    restore: async (bytes: Buffer, options: Partial<RestoreOptions> = {}) => {
      writeFileSync(archive, bytes);
      return restoreArchive(
        {
          archive,
          identities: [],
          dataRoot,
          only: undefined,
          force: true,
          dryRun: false,
          noted: undefined,
          trusted: [nameOf(own)],
          isChosen: false,
          ...options,
        },
        silent,
      );
    },
    /** Everything in the data folder, and what lies beside it. */
    state: () =>
      readdirSync(folder.path, { recursive: true })
        .map(String)
        .filter((path) => path !== 'archive.tar.zst' && basename(path) !== '.lock')
        .toSorted()
        .map((path) => {
          const file = join(folder.path, path);
          return statSync(file).isFile() ? `${path} ${sha256(readFileSync(file))}` : path;
        }),
  };
}

const tar = (parts: Parts) => {
  const text = JSON.stringify(parts.manifest);
  return tarOf([
    { path: manifestName, text },
    { path: signatureName, text: sign(text, own) },
    ...parts.entries,
  ]);
};

describe('refused with nothing changed:', () => {
  test.each<[string, Buffer, RegExp]>([
    [
      'a symbolic link',
      archiveOf(withEntry({ path: 'memory/notes.txt', type: 'SymbolicLink', linkpath: '/etc/passwd' })),
      /no plain file but a SymbolicLink/,
    ],
    [
      'a hard link',
      archiveOf(withEntry({ path: 'memory/notes.txt', type: 'Link', linkpath: 'dashboard/empty' })),
      /no plain file but a Link/,
    ],
    [
      'a device',
      archiveOf(withEntry({ path: 'memory/notes.txt', type: 'BlockDevice' })),
      /no plain file but a BlockDevice/,
    ],
    [
      'a folder in place of a file',
      archiveOf(withEntry({ path: 'memory/notes.txt', type: 'Directory' })),
      /no plain file but a Directory|its manifest has no/,
    ],
    [
      'a path that climbs',
      archiveOf(withMore({ 'memory/../../climbed': 'x' })),
      /cannot be understood: it is no path of ours/,
    ],
    [
      'an entry whose path climbs',
      archiveOf(withEntry({ path: '../climbed', text: contents['memory/notes.txt'] ?? '' })),
      /its manifest has no "\.\.\/climbed"/,
    ],
    ['an absolute path', archiveOf(withMore({ '/tmp/absolute': 'x' })), /it is no path of ours/],
    ['a path with a line end', archiveOf(withMore({ 'memory/a\nb': 'x' })), /it is no path of ours/],
    [
      'a file of the fleet that is none of ours',
      archiveOf(withMore({ token: 'x' })),
      /has token, which belongs to nobody/,
    ],
    [
      'a file below the list of tokens',
      archiveOf(withMore({ 'tokens.json/x': 'x' })),
      /has tokens\.json\/x, which belongs to nobody in it/,
    ],
    [
      'a file below a file',
      archiveOf(withMore({ 'memory/notes.txt/x': 'x' })),
      /has memory\/notes\.txt\/x below a file/,
    ],
    [
      'a file of a process that it does not name',
      archiveOf(withMore({ 'git/x': 'x' })),
      /has git\/x, which belongs to nobody in it/,
    ],
    [
      'no process',
      archiveOf({ ...whole, manifest: manifestOf({}, { services: [] }) }),
      /cannot be understood/,
    ],
    [
      'a process twice',
      archiveOf({
        ...whole,
        manifest: manifestOf(contents, { services: ['memory', 'dashboard', 'memory'] }),
      }),
      /names a process twice/,
    ],
    [
      'a process that it has and misses',
      archiveOf({
        ...whole,
        manifest: manifestOf(contents, { missing: [{ name: 'memory', reason: 'gone' }] }),
      }),
      /misses a process that it has/,
    ],
    [
      'a file twice in the manifest',
      archiveOf({
        ...whole,
        manifest: { ...manifestOf(contents), files: [0, 0].flatMap(() => manifestOf(contents).files) },
      }),
      /has a file twice/,
    ],
    [
      'a file twice',
      archiveOf({ ...whole, entries: [...whole.entries, ...whole.entries.slice(0, 1)] }),
      /its manifest has no "memory\/notes\.txt", or has it once/,
    ],
    ['a file too few', archiveOf({ ...whole, entries: whole.entries.slice(1) }), /is missing from it/],
    [
      'other bytes than the manifest says',
      archiveOf(withEntry({ path: 'memory/notes.txt', text: 'what was there BEFORE' })),
      /is not what was written \(its SHA-256 differs\)/,
    ],
    [
      'another length than the manifest says',
      archiveOf(withEntry({ path: 'memory/notes.txt', text: 'short' })),
      /has 5 bytes where 21 are due/,
    ],
    [
      'a terabyte that is not there',
      archiveOf(withEntry({ path: 'memory/notes.txt', size: 2 ** 40, text: zeros })),
      /has 1099511627776 bytes where 21 are due/,
    ],
    [
      'a terabyte of nothing, which the manifest has too',
      archiveOf({
        manifest: {
          ...manifestOf({}),
          files: [{ path: 'memory/sparse', bytes: 2 ** 50, sha256: sha256('') }],
        },
        entries: [{ path: 'memory/sparse', size: 2 ** 40, text: zeros }],
      }),
      /needs 1125899906842624 bytes, and there are/,
    ],
    [
      'a sparse file',
      (() => {
        const bytes = tar(withEntry({ path: 'memory/notes.txt', text: contents['memory/notes.txt'] ?? '' }));
        const at = bytes.indexOf('memory/notes.txt\0');
        bytes.write('S', at + 156); // the type of GNU's sparse files
        bytes.write('        ', at + 148);
        const sum = bytes.subarray(at, at + 512).reduce((total, byte) => total + byte, 0);
        bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148);
        return zstdCompressSync(bytes);
      })(),
      /no plain file but a|is missing from it|damaged/,
    ],
    [
      'garbage after the end',
      Buffer.concat([archiveOf(whole), Buffer.from('garbage')]),
      /follows after its end/,
    ],
    [
      'much garbage after the end',
      Buffer.concat([archiveOf(whole), Buffer.alloc(1_000_000, 'x')]),
      /follows after its end/,
    ],
    [
      'an archive after the end',
      Buffer.concat([archiveOf(whole), archiveOf(whole)]),
      /more in it than|follows after its end/,
    ],
    [
      'blocks after the end of its files',
      zstdCompressSync(Buffer.concat([tar(whole), Buffer.alloc(512, 'x')])),
      /follows after its end/,
    ],
    [
      'zeros after the end of its files',
      zstdCompressSync(Buffer.concat([tar(whole), Buffer.alloc(10_240)])),
      /follows after its end/,
    ],
    ['no signature', archiveOf({ ...whole, key: null }), /where its signature is due/],
    [
      'the signature of another manifest',
      archiveOf({ ...whole, signed: JSON.stringify(manifestOf({})) }),
      /its signature is none over its manifest/,
    ],
    [
      'a signature that is none',
      zstdCompressSync(
        tarOf([
          { path: manifestName, text: JSON.stringify(whole.manifest) },
          { path: signatureName, text: '{"key":"ed25519:","signature":""}' },
          ...whole.entries,
        ]),
      ),
      /its signature is none over its manifest/,
    ],
    [
      'a signature without an end',
      zstdCompressSync(
        tarOf([
          { path: manifestName, text: JSON.stringify(whole.manifest) },
          { path: signatureName, text: 'x'.repeat(5_000) },
          ...whole.entries,
        ]),
      ),
      /its signature is too long/,
    ],
    [
      'the key of sessions',
      archiveOf(withMore({ 'dashboard/session-key': '0'.repeat(64) })),
      /has dashboard\/session-key, which no backup holds/,
    ],
    ['a lock', archiveOf(withMore({ 'memory/.lock': '' })), /has memory\/\.lock, which no backup holds/],
    [
      'a journal beside its database',
      archiveOf(withMore({ 'memory/memory.db': '', 'memory/memory.db-wal': 'x' })),
      /has memory\/memory\.db-wal, which no backup holds/,
    ],
    [
      'what is half written',
      archiveOf(withMore({ 'memory/a.tmp': 'x' })),
      /has memory\/a\.tmp, which no backup holds/,
    ],
    [
      'a database that is not the one of the manifest',
      archiveOf({
        manifest: {
          ...manifestOf(contents),
          files: [
            ...manifestOf(contents).files,
            {
              path: 'memory/memory.db',
              bytes: 8,
              sha256: sha256('nonsense'),
              database: { userVersion: 1, rows: {} },
            },
          ],
        },
        entries: [...whole.entries, { path: 'memory/memory.db', text: 'nonsense' }],
      }),
      /memory\/memory\.db is damaged/,
    ],
    [
      'a file apart that is none of the records of calls',
      archiveOf({ ...whole, manifest: { ...manifestOf(contents), files: [apart('memory/notes.txt')] } }),
      /has memory\/notes\.txt in a place that is not its own/,
    ],
    [
      'a file apart under the name of another',
      archiveOf({
        ...whole,
        manifest: {
          ...manifestOf(contents),
          files: [apart('memory/audit/audit-000001.jsonl', { sha256: '1'.repeat(64) })],
        },
      }),
      /has memory\/audit\/audit-000001\.jsonl in a place that is not its own/,
    ],
    [
      'a file apart whose name leads elsewhere',
      archiveOf({
        ...whole,
        manifest: {
          ...manifestOf(contents),
          files: [
            apart('memory/audit/audit-000001.jsonl', {
              apart: { name: '../../tokens.json', bytes: 1, sha256: '0'.repeat(64) },
            }),
          ],
        },
      }),
      /cannot be understood/,
    ],
    [
      'a folder where the records of calls go on',
      archiveOf(withMore({ 'memory/audit/audit-000001.jsonl/x': 'x' })),
      /is no plain file/,
    ],
  ])('%s', async (_, bytes, complaint) => {
    using here = place();
    const before = here.state();

    const restoring = here.restore(bytes);

    await expect(restoring).rejects.toThrow(complaint);
    const refusal: unknown = await restoring.catch((error: unknown) => error);
    expect(exitOf(refusal)).toBeDefined();
    expect(here.state()).toEqual(before);
  });

  test('what is not the file that was noted beside it', async () => {
    using here = place();
    const before = here.state();

    await expect(here.restore(archiveOf(whole), { noted: sha256('another') })).rejects.toThrow(
      /another SHA-256 than the note beside it/,
    );

    expect(here.state()).toEqual(before);
  });
});

test('the archive that all these were made from is taken', async () => {
  using here = place();

  const restored = await here.restore(archiveOf(whole), { noted: sha256(archiveOf(whole)) });

  expect(restored).toMatchObject({ isTrusted: true, tokens: 'restored', signer: nameOf(own) });
  expect(readFileSync(join(here.dataRoot, 'memory', 'notes.txt'), 'utf8')).toBe('what was there before');
  expect(manifestSchema.safeParse(whole.manifest).success).toBe(true);
  expect(entryOf('dashboard')).toBeDefined();
});

describe('who made it decides about tokens and servers of others:', () => {
  const older = {
    manifest: manifestOf(contents, { format: 1 }),
    key: null,
    entries: entriesOf(contents),
  };

  test.each([
    { who: 'another host', bytes: archiveOf({ ...whole, key: stranger }), signer: nameOf(stranger) },
    { who: 'nobody', bytes: archiveOf(older), signer: unsigned },
  ])('by $who, they come only when that is trusted', async ({ bytes, signer }) => {
    using here = place();
    const [tokens, upstreams] = [tokensName, upstreamsName].map((name) => join(here.dataRoot, name)) as [
      string,
      string,
    ];

    expect(await here.restore(bytes)).toMatchObject({
      isTrusted: false,
      tokens: 'withheld',
      upstreams: 'withheld',
      signer,
    });
    expect([tokens, upstreams].map((file) => existsSync(file))).toEqual([false, false]);
    expect(readFileSync(join(here.dataRoot, 'memory', 'notes.txt'), 'utf8')).toBe('what was there before');

    await expect(here.restore(bytes, { isChosen: true })).rejects.toThrow(UsageError);
    expect(await here.restore(bytes, { isChosen: true, trusted: [] })).toMatchObject({ tokens: 'withheld' });
    expect(await here.restore(bytes, { trusted: [nameOf(own), signer] })).toMatchObject({
      isTrusted: true,
      tokens: 'restored',
    });
    expect(readFileSync(tokens, 'utf8')).toBe(contents[tokensName]);
    expect(readFileSync(upstreams, 'utf8')).toBe(contents[upstreamsName]);
  });

  test('what is there stays, whoever made it', async () => {
    using here = place();
    writeFileSync(join(here.dataRoot, tokensName), '{"tokens": []}');
    writeFileSync(join(here.dataRoot, upstreamsName), '{"upstreams": {}}');

    expect(await here.restore(archiveOf(whole))).toMatchObject({ tokens: 'kept', upstreams: 'kept' });
    expect(readFileSync(join(here.dataRoot, upstreamsName), 'utf8')).toBe('{"upstreams": {}}');
    expect(await here.restore(archiveOf({ ...whole, key: stranger }))).toMatchObject({ tokens: 'kept' });
    expect(readFileSync(join(here.dataRoot, tokensName), 'utf8')).toBe('{"tokens": []}');
  });
});

test('errors have the kinds that become exit codes', async () => {
  using here = place();
  const { identity } = await passingKey();

  await expect(here.restore(archiveOf(withMore({ 'git/x': 'x' })))).rejects.toThrow(DamagedDataError);
  await expect(
    here.restore(
      archiveOf({
        manifest: { ...manifestOf({}), files: [{ path: 'memory/a', bytes: 2 ** 50, sha256: sha256('') }] },
        entries: [],
      }),
      { identities: [identity] },
    ),
  ).rejects.toThrow(UnavailableError);
});
