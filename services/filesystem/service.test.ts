import { lstatSync, readdirSync, readFileSync, readlinkSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { toolsOf } from '#runtime/service.ts';
import { invoke } from '#runtime/testing.ts';

import { contract } from './contract.fixture.ts';
import { testPlace, type TestPlace } from './place.fixture.ts';
import service, { allTools, coreTools } from './service.ts';

const pathFields = ['path', 'paths', 'source', 'destination'];
const names = allTools.map(({ name }) => name);

async function prepared(name: string) {
  const place = testPlace({});
  const valid = await contract.prepare({
    folder: place.root,
    foreign: 'inner',
    call: async (named, args) => invoke(tool(named), args, place.files),
  });
  symlinkSync(place.outside, join(place.root, 'escape'));
  return { place, args: valid[name] ?? {}, [Symbol.asyncDispose]: async () => place[Symbol.asyncDispose]() };
}

function tool(name: string) {
  const found = allTools.find((candidate) => candidate.name === name);
  if (!found) throw new TypeError(`No tool ${name}`);
  return found;
}

/** Names, kinds and contents of everything: in the roots, their trash, and outside. */
const everything = ({ path }: TestPlace) =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .map((entry) => {
      const at = join(entry.parentPath, entry.name);
      const content = entry.isFile()
        ? readFileSync(at, 'utf8')
        : entry.isSymbolicLink()
          ? readlinkSync(at)
          : '';
      return `${at} ${lstatSync(at).mode} ${content}`;
    })
    .toSorted();

const withPaths = names.flatMap((name) =>
  Object.keys(tool(name).input.shape)
    .filter((field) => pathFields.includes(field))
    .map((field) => [name, field] as const),
);

test.each(withPaths)(
  '%s refuses a %s that leads out of the roots, and changes nothing',
  async (name, field) => {
    await using preparation = await prepared(name);
    const { place } = preparation;
    const before = everything(place);
    const ways = [
      join(place.outside, 'secret.txt'),
      '../outside/secret.txt',
      `${place.root}-evil`,
      'escape/secret.txt',
      'escape/new/deep',
      '~/x',
      'file:///etc/passwd',
      '/proc/self/environ',
      '.flotilla-trash/x',
    ];

    for (const way of ways) {
      const args = { ...preparation.args, [field]: field === 'paths' ? [way] : way };
      const outcome = await invoke(tool(name), args, place.files).catch((error: unknown) => error);
      // One file of several that cannot be read does not fail the call.
      expect(
        field === 'paths' ? outcome : { content: String(outcome), ...(outcome as object) },
        way,
      ).toMatchObject({
        content: expect.stringContaining('Access denied') as string,
        ...(field !== 'paths' && { code: 'forbidden' }),
      });
    }
    expect(everything(place)).toEqual(before);
  },
);

test.each(withPaths)('%s refuses a %s that no file can have', async (name, field) => {
  await using preparation = await prepared(name);

  for (const path of ['', 'nul\0', '\ud800', 'x'.repeat(4_097), 'x'.repeat(1_000_000)]) {
    const args = { ...preparation.args, [field]: field === 'paths' ? [path] : path };
    await expect(invoke(tool(name), args, preparation.place.files)).rejects.toMatchObject({
      code: 'invalid_input',
    });
  }
});

const oversized: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ['read_text_file', { tail: undefined, head: 1e9 }],
  ['read_multiple_files', { paths: Array.from({ length: 501 }, () => 'a.txt') }],
  ['edit_file', { edits: Array.from({ length: 501 }, () => ({ oldText: 'a', newText: 'b' })) }],
  ['edit_file', { edits: [{ oldText: 'x'.repeat(100_001), newText: 'b' }] }],
  ['edit_file', { edits: [{ oldText: 'one', newText: 'x'.repeat(6_000_000) }] }],
  ['edit_file', { edits: [{ oldText: '', newText: 'x' }] }],
  ['edit_file', { edits: [{ oldText: 'one', newText: 'x', __proto__: null, extra: 1 }] }],
  ['search_files', { pattern: '{a,b}'.repeat(9) }],
  ['search_files', { pattern: 'x'.repeat(1_001) }],
  ['search_files', { excludePatterns: Array.from({ length: 101 }, () => 'x') }],
  ['search_file_contents', { pattern: 'two\nlines' }],
  ['search_file_contents', { context_lines: 1e6 }],
  ['apply_patch', { patch: 'x'.repeat(4_000_001) }],
  ['directory_tree', { maxDepth: 1e9 }],
  ['list_directory', { limit: 1e9 }],
  ['pack_directory', { max_bytes: 1e9 }],
  ['read_file_lines', { start_line: 0 }],
  ['read_file_lines', { start_line: 5, end_line: 1 }],
  ['restore_file', { trash_id: '../../x' }],
];

test.each(oversized)(
  '%s refuses too much and what makes no sense, and changes nothing (%#)',
  async (name, args) => {
    await using preparation = await prepared(name);
    const before = everything(preparation.place);

    const refused = invoke(tool(name), { ...preparation.args, ...args }, preparation.place.files);

    await expect(refused).rejects.toMatchObject({
      code: expect.stringMatching(/^(invalid_input|too_large|not_found)$/) as string,
    });
    expect(everything(preparation.place)).toEqual(before);
  },
);

test.each(names)('%s changes nothing once its call was stopped', async (name) => {
  await using preparation = await prepared(name);
  const before = everything(preparation.place);
  const signal = AbortSignal.abort(new RangeError('too late'));

  // What had nothing left to wait for may still answer.
  const failure = await invoke(tool(name), preparation.args, preparation.place.files, { signal }).then(
    () => 'too late',
    (error: Error) => error.message,
  );

  expect(failure).toBe('too late');
  expect(everything(preparation.place)).toEqual(before);
});

test('a cursor of another call is refused', async () => {
  await using place = testPlace({ a: '', b: '' });
  const first = await invoke(tool('list_directory'), { path: '.', limit: 1 }, place.files);

  await expect(
    invoke(tool('list_directory'), { path: '.', limit: 2, cursor: first['next_cursor'] }, place.files),
  ).rejects.toMatchObject({ code: 'invalid_input' });
});

test('the settings choose tools and roots', async () => {
  const { settings } = service;

  expect(toolsOf(service, settings.parse({}))).toEqual(allTools);
  expect(toolsOf(service, settings.parse({ FLOTILLA_FILESYSTEM_TOOLS: 'core' }))).toEqual(coreTools);
  expect(() => settings.parse({ FLOTILLA_FILESYSTEM_TRASH_DAYS: '-1' })).toThrow('TRASH_DAYS');
});

test('what files say is marked as data, and kept apart in the tools of our own', () => {
  const marked = (how: 'as-is' | 'bounded') =>
    allTools.filter(({ untrusted }) => untrusted === how).map(({ name }) => name);

  expect(marked('as-is')).toEqual([
    'read_file',
    'read_text_file',
    'read_media_file',
    'read_multiple_files',
    'edit_file',
    'list_directory',
    'list_directory_with_sizes',
    'directory_tree',
    'search_files',
    'get_file_info',
    'list_allowed_directories',
  ]);
  expect(marked('bounded')).toEqual([
    'search_file_contents',
    'read_file_lines',
    'list_trash',
    'get_folder_size',
    'find_duplicates',
    'pack_directory',
  ]);
});
