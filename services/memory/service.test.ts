import { expect, test } from 'vitest';

import { toolsOf } from '#runtime/service.ts';
import { invoke } from '#runtime/testing.ts';

import { maxFileLength, maxNameLength, maxTextLength } from './limits.ts';
import service, { allTools, coreTools } from './service.ts';
import { openStore } from './store.ts';
import { fill, storeWith } from './store.fixture.ts';

const entityArgs = { name: 'Eve', entityType: 'person', observations: ['hums'] };
const relationArgs = { from: 'Ada', to: 'Bob', relationType: 'likes' };

async function prepared() {
  const store = storeWith({ entities: [{ name: 'Ada', entityType: 'thing', observations: ['writes'] }] });
  fill(store, { entities: [{ name: 'Bob', entityType: 'thing', observations: [] }] });
  await invoke(tool('add_memory'), { text: 'tea', project: 'p', tags: ['t'] }, store);
  return store;
}

function tool(name: string) {
  const found = allTools.find((candidate) => candidate.name === name);
  if (!found) throw new TypeError(`No tool ${name}`);
  return found;
}

const long = 'x'.repeat(maxTextLength + 1);
const longName = 'x'.repeat(maxNameLength + 1);
const tenMegabytes = 'x'.repeat(10_000_000);
const oversized: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ['create_entities', { entities: [{ ...entityArgs, observations: [tenMegabytes] }] }],
  ['create_entities', { entities: [{ ...entityArgs, observations: [long] }] }],
  ['create_entities', { entities: [{ ...entityArgs, name: longName }] }],
  ['create_entities', { entities: [entityArgs, { ...entityArgs, name: 'Fay', entityType: longName }] }],
  ['create_relations', { relations: [relationArgs, { ...relationArgs, relationType: longName }] }],
  ['add_observations', { observations: [{ entityName: 'Ada', contents: ['new', tenMegabytes] }] }],
  ['rename_entity', { name: 'Ada', new_name: longName }],
  ['add_memory', { text: tenMegabytes }],
  [
    'add_memory',
    {
      messages: [
        { role: 'a', content: 'fine' },
        { role: 'a', content: long },
      ],
    },
  ],
  ['add_memory', { text: 'a', project: longName }],
  ['update_memory', { id: 1, text: long }],
  ['memory', { command: 'create', path: '/memories/b', file_text: 'x'.repeat(maxFileLength + 1) }],
];

test.each(oversized)('%s refuses a text that is too long, and stores nothing (%#)', async (name, args) => {
  using store = await prepared();
  const before = store.journal.count();

  await expect(invoke(tool(name), args, store)).rejects.toMatchObject({ code: 'too_large' });
  expect(store.journal.count()).toBe(before);
});

const unstorable = ['half \ud800 pair', 'nul \0'];

test.each(unstorable)('text that could not be given back as it came is refused (%#)', async (text) => {
  using store = openStore(':memory:');

  await expect(invoke(tool('add_memory'), { text }, store)).rejects.toMatchObject({ code: 'invalid_input' });
});

test('the setting chooses between the core tools and all', () => {
  const { settings } = service;

  expect(toolsOf(service, settings.parse({}))).toEqual(allTools);
  expect(toolsOf(service, settings.parse({ FLOTILLA_MEMORY_TOOLS: 'core' }))).toEqual(coreTools);
  expect(() => settings.parse({ FLOTILLA_MEMORY_TOOLS: 'few' })).toThrow('core');
});

test('what others stored is marked as data, and kept apart in the tools of our own', () => {
  const marked = (how: 'as-is' | 'bounded') =>
    allTools.filter(({ untrusted }) => untrusted === how).map(({ name }) => name);

  expect(marked('as-is')).toEqual(['read_graph', 'search_nodes', 'open_nodes']);
  expect(marked('bounded').toSorted()).toEqual([
    'build_context',
    'export_graph',
    'find_path',
    'get_history',
    'get_memory',
    'list_memories',
    'memory',
    'memory_stats',
    'search_memories',
    'update_memory',
  ]);
});
