import { execFileSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { openFiles } from './files.ts';
import { secret, testPlace, type TestPlace } from './place.fixture.ts';
import { readTextFile } from './tools/read-text.ts';
import { createDirectory, writeFile } from './tools/write-file.ts';
import { getFileInfo } from './tools/file-info.ts';
import { listAllowedDirectories, listDirectory } from './tools/list.ts';

const read = async ({ files }: TestPlace, path: string) =>
  (await invoke(readTextFile, { path }, files)).content;
const write = async ({ files }: TestPlace, path: string) =>
  invoke(writeFile, { path, content: 'new' }, files);

const nfc = 'caf\u00e9';
const nfd = 'cafe\u0301';

/** Paths that lead out, and how each is told off. */
const escapes: readonly (readonly [string, (place: TestPlace) => string, RegExp])[] = [
  ['absolute', ({ outside }) => join(outside, 'secret.txt'), /^Access denied - path outside/],
  ['with dots', ({ root }) => `${root}/../outside/secret.txt`, /^Access denied - path outside/],
  ['relative with dots', () => '../outside/secret.txt', /^Access denied - path outside/],
  ['with dots behind what is there', ({ root }) => `${root}/a/../../outside/secret.txt`, /path outside/],
  ['with doubled slashes', ({ root }) => `${root}//..//outside/./secret.txt`, /path outside/],
  ['of a folder whose name begins alike', ({ root }) => `${root}-evil/secret.txt`, /path outside/],
  ['of the home', () => '~/secret.txt', /without ~/],
  ['of a user', () => '~root/secret.txt', /without ~/],
  ['that is a URL', ({ outside }) => `file://${outside}/secret.txt`, /without ~ and file:/],
  ['of the process', () => '/proc/self/cwd/package.json', /path outside/],
  ['of an open file', () => '/proc/self/fd/0', /path outside/],
  ['through a link to a file', () => 'to-file', /^Access denied - symlink target outside/],
  ['through a link to a folder', () => 'to-folder/secret.txt', /symlink target outside/],
  ['through a chain of links', () => 'chain/secret.txt', /symlink target outside/],
  ['through a relative link', () => 'up/outside/secret.txt', /symlink target outside/],
  ['through a link to the processes', () => 'to-proc/cwd/package.json', /symlink target outside/],
  ['through a link to nothing outside', () => 'to-nothing', /symlink target outside/],
  ['of Windows', () => 'C:\\secret.txt', /Windows-style/],
];

function withLinks(): TestPlace {
  const place = testPlace({ 'a/b.txt': 'b' });
  const link = (target: string, name: string) => symlinkSync(target, join(place.root, name));
  mkdirSync(`${place.root}-evil`);
  writeFileSync(`${place.root}-evil/secret.txt`, secret);
  link(join(place.outside, 'secret.txt'), 'to-file');
  link(place.outside, 'to-folder');
  link('to-folder', 'chain');
  link('..', 'up');
  link('/proc/self', 'to-proc');
  link(join(place.outside, 'nothing.txt'), 'to-nothing');
  return place;
}

describe('A path', () => {
  test.each(escapes)('%s is refused, for reading and writing', async (_, path, message) => {
    await using place = withLinks();
    const refusal = { code: 'forbidden', message: expect.stringMatching(message) as string };

    await expect(read(place, path(place))).rejects.toMatchObject(refusal);
    await expect(write(place, path(place))).rejects.toMatchObject(refusal);
    expect(readdirSync(place.outside)).toEqual(['secret.txt']);
    expect(readFileSync(join(place.outside, 'secret.txt'), 'utf8')).toBe(secret);
  });

  test.each([
    ['doubled slashes', (root: string) => `${root}//a///b.txt`],
    ['dots for the same folder', (root: string) => `${root}/./a/./b.txt`],
    ['dots that stay within', (root: string) => `${root}/a/../a/b.txt`],
    ['a beginning in the first root', () => 'a/b.txt'],
  ])('with %s leads where it says', async (_, path) => {
    await using place = withLinks();

    expect(await read(place, path(place.root))).toBe('b');
  });

  test('that looks encoded is a name like others', async () => {
    await using place = testPlace({ '..%2f..%2fx': 'x' });

    expect(await read(place, '..%2f..%2fx')).toBe('x');
    await expect(read(place, '%2e%2e/outside/secret.txt')).rejects.toMatchObject({ code: 'not_found' });
  });

  test('of 4,096 characters is looked up, and a longer one refused', async () => {
    await using place = testPlace();
    const path = (length: number) => 'a/'.repeat(length).slice(0, length);

    await expect(read(place, path(4_096))).rejects.toMatchObject({ code: 'not_found' });
    await expect(read(place, path(4_097))).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(read(place, 'n'.repeat(300))).rejects.toMatchObject({ code: 'invalid_input' });
  });

  test('1,000 folders deep can be used', async () => {
    await using place = testPlace();
    const folder = 'd/'.repeat(1_000);
    execFileSync('mkdir', ['-p', folder], { cwd: place.root });

    await write(place, `${folder}x`);

    expect(await read(place, `${folder}x`)).toBe('new');
  });

  test.each(['nul\0', 'half \ud800'])('that no file can have is refused (%#)', async (path) => {
    await using place = testPlace();

    await expect(read(place, path)).rejects.toMatchObject({ code: 'invalid_input' });
  });

  test('that goes on behind a file is no folder', async () => {
    await using place = testPlace({ file: 'x' });

    await expect(read(place, 'file/x')).rejects.toMatchObject({ code: 'invalid_input' });
  });

  test('in either spelling of a letter leads to what is there, and two that look alike are told apart', async () => {
    await using place = testPlace({ [nfc]: 'composed' });
    expect(await read(place, nfd)).toBe('composed');

    writeFileSync(join(place.root, nfd), 'decomposed');

    expect(await read(place, nfc)).toBe('composed');
    expect(await read(place, nfd)).toBe('decomposed');
  });

  test('in a third spelling of two that look alike is ambiguous', async () => {
    const spellings = ['\u1e69', 's\u0323\u0307', '\u1e63\u0307'];
    await using place = testPlace({ [`${spellings[0]}`]: '', [`${spellings[1]}`]: '' });

    await expect(read(place, `${spellings[2]}`)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('Ambiguous Unicode path component') as string,
    });
  });
});

describe('A link', () => {
  test('within the roots is followed, by a chain and to another root too', async () => {
    await using place = testPlace({ 'a/b.txt': 'b' });
    writeFileSync(join(place.other, 'o.txt'), 'other');
    symlinkSync('a', join(place.root, 'one'));
    symlinkSync(join(place.root, 'one'), join(place.root, 'two'));
    symlinkSync('../root/two/b.txt', join(place.root, 'three'));
    symlinkSync(join(place.other, 'o.txt'), join(place.root, 'four'));

    expect(await read(place, 'three')).toBe('b');
    expect(await read(place, 'four')).toBe('other');
  });

  test('that goes round in circles ends', async () => {
    await using place = testPlace();
    symlinkSync('b', join(place.root, 'a'));
    symlinkSync('a', join(place.root, 'b'));

    await expect(read(place, 'a')).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining('symbolic links') as string,
    });
    await expect(write(place, 'a/x')).rejects.toMatchObject({ code: 'forbidden' });
  });

  test('to nothing within the roots is not found, and written through', async () => {
    await using place = testPlace();
    symlinkSync('made', join(place.root, 'link'));

    await expect(read(place, 'link')).rejects.toMatchObject({ code: 'not_found' });
    await write(place, 'link');

    expect(readFileSync(join(place.root, 'made'), 'utf8')).toBe('new');
    expect(lstatSync(join(place.root, 'link')).isSymbolicLink()).toBe(true);
  });

  test('in place of the folder of a new file is refused', async () => {
    await using place = testPlace();
    symlinkSync(place.outside, join(place.root, 'folder'));

    for (const path of ['folder/new', 'folder/deep/new']) {
      await expect(
        invoke(writeFile, { path, content: 'x', createParents: true }, place.files),
      ).rejects.toMatchObject({ code: 'forbidden' });
      await expect(invoke(createDirectory, { path }, place.files)).rejects.toMatchObject({
        code: 'forbidden',
      });
    }
    expect(readdirSync(place.outside)).toEqual(['secret.txt']);
  });
});

describe('A hard link', () => {
  const linked = (allowsHardLinks: boolean) => {
    const place = testPlace({}, { allowsHardLinks });
    linkSync(join(place.outside, 'secret.txt'), join(place.root, 'linked'));
    return place;
  };

  test('to a file outside is neither read nor written', async () => {
    await using place = linked(false);
    const refusal = { code: 'forbidden', message: expect.stringContaining('hard links') as string };

    await expect(read(place, 'linked')).rejects.toMatchObject(refusal);
    await expect(write(place, 'linked')).rejects.toMatchObject(refusal);
    expect((await invoke(getFileInfo, { path: 'linked' }, place.files)).etag).toBeUndefined();
  });

  test('is read when the operator allows it, and a write parts it from its other names', async () => {
    await using place = linked(true);

    expect(await read(place, 'linked')).toBe(secret);
    await write(place, 'linked');

    expect(readFileSync(join(place.outside, 'secret.txt'), 'utf8')).toBe(secret);
  });
});

describe('What is no regular file', () => {
  const refused = { code: 'forbidden', message: expect.stringContaining('not a regular file') as string };

  test('is refused without waiting for it, however many ask', async () => {
    await using place = testPlace();
    execFileSync('mkfifo', [join(place.root, 'fifo')]);

    const reads = await Promise.allSettled(Array.from({ length: 20 }, async () => read(place, 'fifo')));

    for (const attempt of reads) expect(attempt).toMatchObject({ status: 'rejected', reason: refused });
    await expect(write(place, 'fifo')).rejects.toMatchObject(refused);
    await expect(invoke(listDirectory, { path: '.' }, place.files)).resolves.toMatchObject({
      content: '[FILE] fifo',
    });
    expect(lstatSync(join(place.root, 'fifo')).isFIFO()).toBe(true);
  });

  test('is refused when it is a socket', async () => {
    await using place = testPlace();
    const server = createServer().listen(join(place.root, 'socket'));
    await new Promise((resolve) => server.once('listening', resolve));

    await expect(read(place, 'socket')).rejects.toMatchObject(refused);
    await expect(write(place, 'socket')).rejects.toMatchObject(refused);
    server.close();
  });

  test('is refused when it is a device', async (context) => {
    await using place = testPlace();
    try {
      execFileSync('mknod', [join(place.root, 'zero'), 'c', '1', '5'], { stdio: 'ignore' });
    } catch {
      context.skip('the kernel forbids it: no devices can be made here');
    }

    await expect(read(place, 'zero')).rejects.toMatchObject(refused);
    await expect(write(place, 'zero')).rejects.toMatchObject(refused);
  });

  test('is refused when it is a folder', async () => {
    await using place = testPlace({ 'folder/': '' });

    await expect(read(place, 'folder')).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(write(place, 'folder')).rejects.toMatchObject({ code: 'invalid_input' });
    await expect(write(place, '.')).rejects.toMatchObject({ code: 'invalid_input' });
  });
});

describe('The trash', () => {
  test.each(['.flotilla-trash', '.flotilla-trash/x', '.Flotilla-Trash/x', 'a/.flotilla-trash/x', 'link/x'])(
    'is not reached as %s',
    async (path) => {
      await using place = testPlace({ '.flotilla-trash/x': 'deleted', 'a/.flotilla-trash/x': 'deleted' });
      symlinkSync('.flotilla-trash', join(place.root, 'link'));

      await expect(read(place, path)).rejects.toMatchObject({ code: 'forbidden' });
      await expect(write(place, path)).rejects.toMatchObject({ code: 'forbidden' });
    },
  );
});

describe('Roots', () => {
  test('that were named through a link are reached by that name, and nothing beside them is', async () => {
    await using place = testPlace({ 'a/b.txt': 'b' });
    const name = join(place.path, 'named');
    const linked = new Map([[name, place.root]]);
    await using files = openFiles({ ...place.files, roots: [place.root], linked });

    expect((await invoke(readTextFile, { path: `${name}/a/b.txt` }, files)).content).toBe('b');
    for (const path of [`${name}-evil/a/b.txt`, `${name}/../outside/secret.txt`]) {
      await expect(invoke(readTextFile, { path }, files)).rejects.toMatchObject({ code: 'forbidden' });
    }
  });

  test('are found by either spelling of their letters', async () => {
    await using place = testPlace({ [`${nfd}/x`]: 'x' });
    await using files = openFiles({ ...place.files, roots: [join(place.root, nfd)] });

    for (const path of [join(place.root, nfc, 'x'), join(place.root, nfd, 'x')]) {
      expect((await invoke(readTextFile, { path }, files)).content).toBe('x');
    }
    await expect(
      invoke(readTextFile, { path: join(place.root, `${nfc}-evil`, 'x') }, files),
    ).rejects.toMatchObject({ code: 'forbidden' });
  });

  test('that are not set are asked for', async () => {
    await using place = testPlace();
    const files = openFiles({ ...place.files, roots: [] });

    await expect(invoke(readTextFile, { path: 'x' }, files)).rejects.toMatchObject({
      code: 'forbidden',
      hint: expect.stringContaining('FLOTILLA_ROOTS') as string,
    });
    expect((await invoke(listAllowedDirectories, {}, files)).content).toContain('FLOTILLA_ROOTS');
  });

  test('that are gone are unavailable, also when a link takes their place', async () => {
    await using place = testPlace();
    rmSync(place.root, { recursive: true });
    await expect(read(place, 'x')).rejects.toMatchObject({ code: 'unavailable' });

    symlinkSync(place.outside, place.root);

    await expect(read(place, 'secret.txt')).rejects.toMatchObject({ code: 'unavailable' });
    expect(existsSync(join(place.outside, 'secret.txt'))).toBe(true);
  });
});

test('What lies on no disk of this host is reached through threads, and found alike', async () => {
  await using place = testPlace();
  await using files = openFiles({ ...place.files, roots: ['/proc/sys/kernel'] });

  expect((await invoke(readTextFile, { path: 'ostype' }, files)).content).toBe('Linux\n');
  expect((await invoke(listDirectory, { path: 'random' }, files)).content).toContain('[FILE] boot_id');
  expect((await invoke(getFileInfo, { path: 'random/boot_id' }, files)).content).toContain('isFile: true');
  await expect(invoke(readTextFile, { path: 'random/none' }, files)).rejects.toMatchObject({
    code: 'not_found',
  });
  await expect(invoke(readTextFile, { path: 'ostype/none' }, files)).rejects.toMatchObject({
    code: 'invalid_input',
  });
});

test('No descriptor is left open, whatever came of the calls', async () => {
  await using place = withLinks();
  const open = () => readdirSync('/proc/self/fd').length;
  const attempts = async () => {
    for (const [, path] of escapes) {
      await read(place, path(place)).catch(() => {});
      await write(place, path(place)).catch(() => {});
    }
    await read(place, 'a/b.txt');
    await write(place, 'a/new');
  };
  await attempts();
  const before = open();

  for (let round = 0; round < 5; round += 1) await attempts();

  // Folders are held for a moment longer.
  await expect.poll(open).toBeLessThanOrEqual(before);
});

test('Calls at the same time each get their own file, or their own refusal', async () => {
  const names = Array.from({ length: 60 }, (_, number) => `d${number % 7}/f${number}`);
  await using place = testPlace(Object.fromEntries(names.map((name) => [name, name])));
  symlinkSync(place.outside, join(place.root, 'escape'));

  for (let round = 0; round < 5; round += 1) {
    const answers = await Promise.all(
      names.flatMap((name) => [
        read(place, name),
        read(place, `escape/${name}`).catch((error: { code: string }) => error.code),
      ]),
    );
    expect(answers).toEqual(names.flatMap((name) => [name, 'forbidden']));
  }
});
