/** What every answer owes a client: that it fits, says how to go on, names only tools that are there, and tells of its progress. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { executeTool } from '#runtime/account/execute.ts';
import { offeredNames } from '#runtime/account/offered-names.ts';
import type { ToolError } from '#runtime/errors.ts';
import { invoke, testCall } from '#runtime/testing.ts';
import { listSurface } from '#runtime/wire/mcp-surface.ts';
import { Reply, type AnyTool } from '#runtime/tool.ts';

import type { Files } from './files.ts';
import { testPlace, type TestPlace } from './place.fixture.ts';
import service, { allTools, coreTools } from './service.ts';

const maxTokens = 20_000;
/** Where clients cut; text in JSON has its quotation marks escaped. */
const mostTokens = 25_000;

const words = 'const value = compute(first, second); // and what follows from it, in some words of English';
const cjk = '我们在这里写一些中文文本来看看它有多少个标记，';

let place: TestPlace;
beforeAll(() => {
  const names = Array.from({ length: 1_200 }, (_, n) => `src/module-${n % 60}/some-file-name-${n}.ts`);
  place = testPlace({
    'long.txt': `${words}\n`.repeat(3_000),
    'one-line.json': JSON.stringify(Array.from({ length: 20_000 }, (_, n) => ({ n, s: 'x' }))),
    'cjk.txt': `${cjk}\n`.repeat(4_000),
    'many/keep': '',
    ...Object.fromEntries(
      Array.from({ length: 300 }, (_, n) => [`texts/t${n}.md`, `${words} ${n % 50}\n`.repeat(20)]),
    ),
  });
  for (let n = 0; n < 60; n += 1) mkdirSync(join(place.root, `src/module-${n}`), { recursive: true });
  for (const name of names) writeFileSync(join(place.root, name), '');
  for (let n = 0; n < 1_300; n += 1)
    writeFileSync(join(place.root, `many/another-longer-name-${n}.ts`), 'same');
});
afterAll(async () => place[Symbol.asyncDispose]());

/** With few arguments, so that the answer is as large as it is by default. */
const asked: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ['read_file', { path: 'long.txt' }],
  ['read_text_file', { path: 'long.txt' }],
  ['read_text_file', { path: 'one-line.json' }],
  ['read_text_file', { path: 'cjk.txt' }],
  ['read_text_file', { path: 'long.txt', head: 1_000_000 }],
  ['read_text_file', { path: 'long.txt', tail: 1_000_000 }],
  ['read_file_lines', { path: 'long.txt', start_line: 10, end_line: 1_000_000 }],
  ['read_multiple_files', { paths: Array.from({ length: 300 }, (_, n) => `texts/t${n}.md`) }],
  ['list_directory', { path: 'many' }],
  ['list_directory_with_sizes', { path: 'many' }],
  ['directory_tree', { path: 'src' }],
  ['directory_tree', { path: 'many' }],
  ['search_files', { path: '.', pattern: '**/*' }],
  ['search_file_contents', { path: '.', pattern: 'value', context_lines: 20, max_results: 1_000 }],
  ['get_folder_size', { path: 'many', limit: 1_000 }],
  ['find_duplicates', { path: '.', limit: 500 }],
  ['pack_directory', { path: '.' }],
  [
    'edit_file',
    { path: 'long.txt', edits: [{ oldText: 'value', newText: 'worth' }], replaceAll: true, dryRun: true },
  ],
];

const toolNamed = (name: string): AnyTool<Files> => {
  const found = allTools.find((candidate) => candidate.name === name);
  if (!found) throw new TypeError(`No tool ${name}`);
  return found;
};

describe('An answer', () => {
  test.each(asked)('of %s fits a client and says that there is more (%#)', async (name, args) => {
    const tool = toolNamed(name);
    const reply = await executeTool(tool, args, place.files, testCall());
    if (!(reply instanceof Reply)) throw new TypeError('no reply');
    const text = [tool.text?.(reply.value) ?? JSON.stringify(reply.value, null, 2)].flat().join('\n');

    expect(countTokens(text)).toBeLessThan(maxTokens);
    expect(countTokens(JSON.stringify(reply.value))).toBeLessThan(mostTokens);
    expect(text).toMatch(
      /truncated|"more_entries": [1-9]|"more_groups": [1-9]|more differences|"count": 1300/,
    );
    // A good part of what is allowed: nobody should have to ask often.
    expect(Buffer.byteLength(text)).toBeGreaterThan(name === 'find_duplicates' ? 3_000 : 20_000);
  });
});

test('The list of tools costs a client no more than this', () => {
  const tokens = (tools: readonly AnyTool<unknown>[]) =>
    countTokens(JSON.stringify(listSurface(service, tools).tools));

  expect(tokens(allTools)).toBeLessThan(6_100);
  expect(tokens(coreTools)).toBeLessThan(4_300);
});

test('Hints stay useful where the settings hide some tools', async () => {
  const named = offeredNames(allTools, coreTools);
  const hint = async (name: string, args: object) =>
    invoke(toolNamed(name), args, place.files).catch((error: ToolError) =>
      named(error.hint ?? '', 'destroy'),
    );
  writeFileSync(join(place.root, 'binary'), '\0');

  expect(await hint('read_text_file', { path: 'binary' })).toBe('read_media_file returns any file as it is.');
  expect(await hint('read_text_file', { path: '.flotilla-trash/x' })).toBe('restore_file brings it back.');
  expect(await hint('restore_file', { trash_id: 'none' })).toBe(
    'Pass the trash_id that delete_file returned.',
  );
});

describe('Progress', () => {
  test.each([
    ['directory_tree', { path: 'src' }],
    ['search_files', { path: '.', pattern: 'x' }],
    ['search_file_contents', { path: 'texts', pattern: 'nowhere' }],
    ['list_directory_with_sizes', { path: 'many' }],
    ['get_folder_size', { path: '.' }],
    ['find_duplicates', { path: 'texts' }],
    ['pack_directory', { path: 'texts' }],
    ['get_file_hash', { path: 'long.txt' }],
    ['read_file_lines', { path: 'long.txt', start_line: 5_000, end_line: 5_001 }],
    ['copy_file', { source: 'long.txt', destination: 'copied' }],
    [
      'edit_file',
      { path: 'long.txt', edits: [{ oldText: 'value', newText: 'worth' }], replaceAll: true, dryRun: true },
    ],
    ['apply_patch', { path: '.', patch: '--- /dev/null\n+++ b/patched\n@@ -0,0 +1 @@\n+new\n' }],
  ])('is told by %s, and only grows', async (name, args) => {
    const told: number[] = [];

    await invoke(toolNamed(name), args, place.files, { progress: (done) => told.push(done) });

    expect(told.length).toBeGreaterThan(0);
    expect(told).toEqual([...new Set(told)].toSorted((one, other) => one - other));
  });
});
