import { expect, test } from 'vitest';

import { toolsOf } from '#runtime/service.ts';
import { invoke } from '#runtime/testing.ts';

import { maxFileLength, maxNameLength, maxTextLength } from './limits.ts';
import service, { allTools, coreTools } from './service.ts';
import { openStore } from './store.ts';
import { fill, storeWith } from './store.fixture.ts';

const entityArgs = { name: 'Eve', entityType: 'person', observations: ['hums'] };
const relationArgs = { from: 'Ada', to: 'Bob', relationType: 'likes' };

/** Arguments that succeed on the store of `prepared`, for every tool. */
const valid: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  create_entities: { entities: [entityArgs] },
  create_relations: { relations: [relationArgs] },
  add_observations: { observations: [{ entityName: 'Ada', contents: ['sings'] }] },
  delete_entities: { entityNames: ['Ada'] },
  delete_observations: { deletions: [{ entityName: 'Ada', observations: ['writes'] }] },
  delete_relations: { relations: [relationArgs] },
  read_graph: { limit: 5, entityTypes: ['thing'], includeObservations: false, observationLimit: 1 },
  search_nodes: {
    query: 'ada',
    limit: 5,
    mode: 'ranked',
    entityTypes: ['thing'],
    since: '2026-01-01T00:00:00Z',
    token_budget: 9,
  },
  open_nodes: { names: ['Ada'], observationLimit: 1, observationOffset: 1, depth: 1 },
  add_memory: {
    text: 'tea',
    project: 'p',
    session: 's',
    speaker: 'Ada',
    tags: ['t'],
    occurred_at: '2026-01-01T00:00:00Z',
    ttl: 60,
  },
  search_memories: {
    query: 'tea',
    project: 'p',
    tags: ['t'],
    since: '2026-01-01T00:00:00Z',
    until: '2027-01-01T00:00:00Z',
    limit: 5,
    token_budget: 9,
  },
  get_memory: { id: 1 },
  list_memories: {
    project: 'p',
    session: 's',
    tags: ['t'],
    since: '2026-01-01T00:00:00Z',
    until: '2027-01-01T00:00:00Z',
    limit: 5,
  },
  update_memory: {
    id: 1,
    text: 'coffee',
    project: 'q',
    session: 's',
    speaker: 'Bob',
    tags: [],
    occurred_at: '2026-01-01T00:00:00Z',
    ttl: 60,
  },
  delete_memories: { ids: [1] },
  build_context: { topic: 'tea', depth: 1, token_budget: 100, project: 'p' },
  find_path: { from: 'Ada', to: 'Bob', max_depth: 3 },
  merge_entities: { names: ['Bob'], into: 'Ada' },
  rename_entity: { name: 'Ada', new_name: 'Lovelace' },
  export_graph: { limit: 5 },
  import_graph: { jsonl: JSON.stringify({ type: 'entity', ...entityArgs }), on_bad_line: 'skip' },
  get_history: { change_id: 1, entity: 'Ada', memory_id: 1, path: '/memories/a', limit: 5 },
  undo: { change_id: 1 },
  purge_history: { before: '2026-01-01' },
  memory: { command: 'create', path: '/memories/b', file_text: 'b' },
  memory_stats: {},
};
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

const names = allTools.map(({ name }) => name);

test('every tool has arguments in this file', () => {
  expect(Object.keys(valid).toSorted()).toEqual(names.toSorted());
});

test.each(names)('%s accepts its arguments', async (name) => {
  using store = await prepared();

  await expect(invoke(tool(name), valid[name], store)).resolves.toBeDefined();
});

test.each(names)('%s names an unknown argument and changes nothing', async (name) => {
  using store = await prepared();
  const before = store.journal.count();

  await expect(invoke(tool(name), { ...valid[name], bogus: 1 }, store)).rejects.toMatchObject({
    code: 'invalid_input',
    message: expect.stringContaining('bogus'),
  });
  expect(store.journal.count()).toBe(before);
});

test.each(names)('%s names each argument of a wrong type, and changes nothing', async (name) => {
  using store = await prepared();
  const before = store.journal.count();

  for (const field of Object.keys(valid[name] ?? {})) {
    await expect(
      invoke(tool(name), { ...valid[name], [field]: { wrong: true } }, store),
    ).rejects.toMatchObject({ code: 'invalid_input', message: expect.stringContaining(field) });
  }
  expect(store.journal.count()).toBe(before);
});

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

test('names and hints of all tools are unique and complete', () => {
  expect(new Set(names).size).toBe(names.length);
  for (const { effect, hints } of allTools) {
    expect(hints.readOnly).toBe(effect === 'read');
    expect(hints.openWorld).toBe(false);
    expect({ read: [false], write: [false, true], destroy: [true] }[effect]).toContain(hints.destructive);
  }
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
