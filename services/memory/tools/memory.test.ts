import { expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { atOnce } from '../store.fixture.ts';
import { openStore, type Store } from '../store.ts';
import { answerTokens, bytesPerToken } from '../limits.ts';
import { memory } from './memory.ts';

const run = async (store: Store, command: string, args: object) =>
  (await invoke(memory, { command, ...args }, store)).content;

async function storeWithNotes(files: Readonly<Record<string, string>>): Promise<Store> {
  const store = openStore(':memory:');
  for (const [path, text] of Object.entries(files)) await run(store, 'create', { path, file_text: text });
  return store;
}

const notes = '/memories/notes.txt';

const pathsIn = (store: Store) => atOnce(store.notes.entries('/memories', 10)).map(({ path }) => path);

test('an empty memory can be viewed', async () => {
  using store = openStore(':memory:');

  expect(await run(store, 'view', { path: '/memories' })).toBe(
    "Here're the files and directories up to 2 levels deep in /memories, excluding hidden items and node_modules:\n0\t/memories",
  );
});

test('a folder shows two levels with sizes, and nothing hidden', async () => {
  using store = await storeWithNotes({
    '/memories/a/b/deep.txt': 'x'.repeat(2_048),
    '/memories/a/.hidden': 'x',
    '/memories/node_modules/x': 'x',
    '/memories/é.txt': 'é',
  });

  const lines = (await run(store, 'view', { path: '/memories/' })).split('\n').slice(1);

  expect(lines).toEqual([
    '2.0K\t/memories',
    '2.0K\t/memories/a/',
    '2.0K\t/memories/a/b/',
    '2\t/memories/é.txt',
  ]);
});

test('a file shows its lines by number, all or a range', async () => {
  using store = await storeWithNotes({ [notes]: 'one\ntwo\nthree\n' });

  expect(await run(store, 'view', { path: notes })).toBe(
    `Here's the content of ${notes} with line numbers:\n     1\tone\n     2\ttwo\n     3\tthree`,
  );
  expect(await run(store, 'view', { path: notes, view_range: [2, -1] })).toMatch(
    /:\n {5}2\ttwo\n {5}3\tthree$/,
  );
});

test('a long file is cut, and says how to go on', async () => {
  using store = await storeWithNotes({ [notes]: 'line\n'.repeat(5_000) });

  const { content, truncated } = await invoke(memory, { command: 'view', path: notes }, store);

  expect(truncated).toBe(true);
  expect(content.length).toBeLessThan(16_200);
  expect(content).toMatch(/\tline\n\[cut: pass view_range\]$/);
});

test('a range is cut too, however short its lines are', async () => {
  using store = await storeWithNotes({ [notes]: '\n'.repeat(262_000) });

  const { content, truncated } = await invoke(
    memory,
    { command: 'view', path: notes, view_range: [1, -1] },
    store,
  );

  expect(truncated).toBe(true);
  expect(Buffer.byteLength(JSON.stringify(content)) / bytesPerToken).toBeLessThan(answerTokens + 100);
  expect(content).toMatch(/\[cut: pass a later view_range\]$/);
});

test('what an edit shows is cut', async () => {
  using store = await storeWithNotes({ [notes]: 'one' });

  const answer = await run(store, 'str_replace', {
    path: notes,
    old_str: 'one',
    new_str: '\n'.repeat(262_000),
  });

  expect(answer.length).toBeLessThan(16_200);
});

test('a long line is cut too', async () => {
  using store = await storeWithNotes({ [notes]: 'x'.repeat(50_000) });

  expect((await run(store, 'view', { path: notes })).length).toBeLessThan(16_200);
});

test('a replacement is made literally, and shows the lines around it', async () => {
  using store = await storeWithNotes({ [notes]: 'one\ntwo\nthree' });

  const answer = await run(store, 'str_replace', { path: notes, old_str: 'two', new_str: '$& 2\n2.5' });

  expect(answer).toBe(
    'The memory file has been edited.\n     1\tone\n     2\t$& 2\n     3\t2.5\n     4\tthree',
  );
});

test('a replacement by nothing deletes', async () => {
  using store = await storeWithNotes({ [notes]: 'one two' });

  await run(store, 'str_replace', { path: notes, old_str: ' two' });

  expect(store.notes.read(notes)?.text).toBe('one');
});

test.each([
  [0, 'zero\none\ntwo\n'],
  [1, 'one\nzero\ntwo\n'],
  [2, 'one\ntwo\nzero\n'],
])('text is inserted after line %i', async (line, text) => {
  using store = await storeWithNotes({ [notes]: 'one\ntwo' });

  expect(await run(store, 'insert', { path: notes, insert_line: line, insert_text: 'zero\n' })).toBe(
    `The file ${notes} has been edited.`,
  );
  expect(store.notes.read(notes)?.text).toBe(text);
});

test('a path is the same in whichever form it is written', async () => {
  using store = await storeWithNotes({ ['/memories/é/ö'.normalize('NFD')]: 'x' });

  expect(await run(store, 'view', { path: '/memories/é/ö' })).toContain('\tx');
  await expect(run(store, 'create', { path: '/memories/é/ö', file_text: '' })).rejects.toMatchObject({
    code: 'conflict',
  });
});

test('a folder is deleted and renamed with all that is in it', async () => {
  using store = await storeWithNotes({ '/memories/a/b/c': '1', '/memories/a/d': '2', '/memories/ab': '3' });

  await run(store, 'rename', { old_path: '/memories/a', new_path: '/memories/z/y' });
  expect(pathsIn(store)).toEqual(['/memories/ab', '/memories/z/y/b/c', '/memories/z/y/d']);
  await run(store, 'delete', { path: '/memories/z/' });
  expect(pathsIn(store)).toEqual(['/memories/ab']);
});

const refused: readonly (readonly [string, object, string, string])[] = [
  [
    'view',
    { path: '/memories/none' },
    'not_found',
    'The path /memories/none does not exist. Please provide a valid path.',
  ],
  ['view', { path: notes, view_range: [3, 4] }, 'invalid_input', 'the file has 2 lines'],
  ['view', { path: '/memories', view_range: [1, 2] }, 'invalid_input', 'is a folder'],
  ['create', { path: notes, file_text: '' }, 'conflict', `Error: File ${notes} already exists`],
  ['create', { path: '/memories/dir', file_text: '' }, 'conflict', 'already exists'],
  ['create', { path: '/memories', file_text: '' }, 'conflict', 'already exists'],
  ['create', { path: `${notes}/below`, file_text: '' }, 'conflict', 'is a file, not a folder'],
  [
    'str_replace',
    { path: notes, old_str: 'none' },
    'not_found',
    `No replacement was performed, old_str \`none\` did not appear verbatim in ${notes}.`,
  ],
  [
    'str_replace',
    { path: notes, old_str: 'o' },
    'conflict',
    'Multiple occurrences of old_str `o` in lines: 1, 2. Please ensure it is unique',
  ],
  [
    'str_replace',
    { path: '/memories/dir', old_str: 'o' },
    'not_found',
    'Error: The path /memories/dir does not exist. Please provide a valid path.',
  ],
  [
    'insert',
    { path: notes, insert_line: 3, insert_text: 'x' },
    'invalid_input',
    'Error: Invalid `insert_line` parameter: 3. It should be within the range of lines of the file: [0, 2]',
  ],
  [
    'insert',
    { path: '/memories/none', insert_line: 0, insert_text: 'x' },
    'not_found',
    'Error: The path /memories/none does not exist',
  ],
  ['delete', { path: '/memories/none' }, 'not_found', 'Error: The path /memories/none does not exist'],
  ['delete', { path: '/memories' }, 'invalid_input', 'cannot be deleted'],
  [
    'rename',
    { old_path: '/memories/none', new_path: '/memories/x' },
    'not_found',
    'Error: The path /memories/none does not exist',
  ],
  [
    'rename',
    { old_path: notes, new_path: '/memories/dir/file' },
    'conflict',
    'Error: The destination /memories/dir/file already exists',
  ],
  ['rename', { old_path: '/memories/dir', new_path: '/memories/dir/sub' }, 'conflict', 'lies inside'],
  [
    'rename',
    { old_path: '/memories', new_path: '/memories/x' },
    'invalid_input',
    'cannot be deleted or renamed',
  ],
  ['view', {}, 'invalid_input', 'path'],
  ['view', { path: notes, file_text: 'x' }, 'invalid_input', 'file_text'],
  ['create', { path: notes }, 'invalid_input', 'file_text'],
  ['insert', { path: notes, insert_text: 'x' }, 'invalid_input', 'insert_line'],
  ['rename', { path: notes, old_path: notes, new_path: '/memories/x' }, 'invalid_input', 'path'],
  ['format', { path: notes }, 'invalid_input', 'command'],
];

test.each(refused)('%s %j is refused and changes nothing', async (command, args, code, message) => {
  using store = await storeWithNotes({ [notes]: 'one\ntwo\n', '/memories/dir/file': '' });
  const before = store.journal.count();

  await expect(run(store, command, args)).rejects.toMatchObject({
    code,
    message: expect.stringContaining(message),
  });
  expect(store.journal.count()).toBe(before);
});

test.each([
  '/etc/passwd',
  'memories/a',
  '/memoriesX/a',
  '/memories/../etc',
  '/memories/a/../../b',
  '/memories/./a',
  '/memories//a',
  '/memories/..\\a',
  '/memories/%2e%2e/a',
  '/memories/a\n',
  '/memories/\0',
  `/memories/${'x'.repeat(600)}`,
])('the path %j is refused', async (path) => {
  using store = openStore(':memory:');

  await expect(run(store, 'create', { path, file_text: '' })).rejects.toMatchObject({
    code: 'invalid_input',
  });
  await expect(run(store, 'rename', { old_path: notes, new_path: path })).rejects.toMatchObject({
    code: 'invalid_input',
  });
});

test('an edit that makes a file too large is refused and keeps the file', async () => {
  using store = await storeWithNotes({ [notes]: 'x'.repeat(200_000) });

  const edit = run(store, 'insert', { path: notes, insert_line: 0, insert_text: 'y'.repeat(100_000) });

  await expect(edit).rejects.toMatchObject({ code: 'too_large' });
  expect(store.notes.read(notes)?.text).toHaveLength(200_000);
});

test('the text block is what was seen', () => {
  expect(memory.text?.({ content: 'seen' })).toBe('seen');
});
