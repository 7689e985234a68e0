import { expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { openStore } from '../store.ts';
import { answerTokens, bytesPerToken } from '../limits.ts';
import { countsOf, entity, graphOf, relation, storeWith } from '../store.fixture.ts';
import { buildContext } from './build-context.ts';
import { addObservations, createEntities, createRelations } from './create-graph.ts';
import { deleteEntities, deleteObservations, deleteRelations } from './delete-graph.ts';
import { findPath } from './find-path.ts';
import { getHistory, undo } from './history.ts';
import { memoryStats } from './memory-stats.ts';
import { openNodes } from './read-graph.ts';
import { mergeEntities, renameEntity } from './reshape-graph.ts';
import { searchNodes } from './search-nodes.ts';
import { exportGraph, importGraph } from './transfer-graph.ts';
import { addMemory } from './write-memories.ts';

test('a name given twice in one call is stored once, and so is an observation', async () => {
  using store = openStore(':memory:');

  const { entities } = await invoke(
    createEntities,
    { entities: [entity('a', 'x', 'x'), entity('a', 'y')] },
    store,
  );

  expect(entities).toEqual([entity('a', 'x')]);
  expect(graphOf(store).entities).toEqual([entity('a', 'x')]);
});

test('an entity that exists is left unchanged, and the answer says so', async () => {
  using store = storeWith({ entities: [entity('a', 'x')] });

  const value = await invoke(createEntities, { entities: [entity('a', 'y'), entity('b')] }, store);

  expect(value).toEqual({ entities: [entity('b')], existing: ['a'] });
  expect(createEntities.text?.(value)).toEqual([
    JSON.stringify([entity('b')], null, 2),
    'Left unchanged, as they exist: a. Use add_observations to add facts to them.',
  ]);
  expect(graphOf(store).entities).toEqual([entity('a', 'x'), entity('b')]);
});

test('an entity is the same in whichever form its name is written, and keeps its own', async () => {
  const [nfc, nfd] = ['Zoë Žižek', 'Zoë Žižek'.normalize('NFD')];
  for (const [stored, typed] of [
    [nfd, nfc],
    [nfc, nfd],
  ] as const) {
    using store = storeWith({ entities: [{ ...entity(stored, 'x'), entityType: nfd }, entity('b')] });

    expect(await invoke(createEntities, { entities: [entity(typed)] }, store)).toMatchObject({
      entities: [],
    });
    await invoke(addObservations, { observations: [{ entityName: typed, contents: ['y'] }] }, store);
    await invoke(createRelations, { relations: [relation('b', typed)] }, store);
    const opened = await invoke(openNodes, { names: [typed, stored] }, store);
    expect(opened).toEqual({
      entities: [{ ...entity(stored, 'x', 'y'), entityType: nfd }],
      relations: [relation('b', stored)],
    });
    for (const query of [typed, stored, 'ë ž', stored.slice(-7)]) {
      const found = await invoke(searchNodes, { query, mode: 'substring', entityTypes: [nfc] }, store);
      expect(found.entities).toHaveLength(1);
    }
    expect((await invoke(getHistory, { entity: typed }, store)).changes).toHaveLength(3);
    await invoke(renameEntity, { name: typed, new_name: typed }, store);
    await invoke(renameEntity, { name: stored, new_name: 'c' }, store);
    await invoke(undo, {}, store);
    expect(graphOf(store).entities[0]?.name).toBe(typed);
    await invoke(deleteEntities, { entityNames: [stored] }, store);
    expect(graphOf(store)).toEqual({ entities: [entity('b')], relations: [] });
    await invoke(createEntities, { entities: [entity(stored)] }, store);
    await expect(invoke(undo, { change_id: 7 }, store)).rejects.toMatchObject({ code: 'conflict' });
  }
});

test('a fact is the same in whichever form it is written', async () => {
  const [nfc, nfd] = ['Zoë', 'Zoë'.normalize('NFD')];
  for (const [stored, typed] of [
    [nfd, nfc],
    [nfc, nfd],
  ] as const) {
    using store = storeWith({ entities: [entity('a', stored)] });

    await invoke(addObservations, { observations: [{ entityName: 'a', contents: [typed] }] }, store);
    expect(graphOf(store).entities).toEqual([entity('a', stored)]);
    await invoke(deleteObservations, { deletions: [{ entityName: 'a', observations: [typed] }] }, store);
    expect(graphOf(store).entities).toEqual([entity('a')]);
  }
});

test('deleting says what was found and what was not', async () => {
  using store = storeWith({ entities: [entity('a', 'x'), entity('b')], relations: [relation('a', 'b')] });
  const gone = relation('b', 'a');

  const relations = await invoke(deleteRelations, { relations: [relation('a', 'b'), gone] }, store);
  const observations = await invoke(
    deleteObservations,
    {
      deletions: [
        { entityName: 'a', observations: ['x', 'y'] },
        { entityName: 'c', observations: ['z'] },
      ],
    },
    store,
  );
  const entities = await invoke(deleteEntities, { entityNames: ['a', 'c', 'a'] }, store);
  const nothing = await invoke(deleteEntities, { entityNames: ['a'] }, store);

  expect(relations).toMatchObject({ success: true, deleted: 1, not_found: [gone] });
  expect(observations).toMatchObject({
    message: 'Observations deleted successfully',
    deleted: 1,
    not_found: [
      { entityName: 'a', observations: ['y'] },
      { entityName: 'c', observations: ['z'] },
    ],
  });
  expect(entities).toMatchObject({ deleted: 1, not_found: ['c'] });
  expect(deleteEntities.text?.(entities)).toEqual([
    'Entities deleted successfully',
    'Deleted: 1. Not found: ["c"]',
  ]);
  expect(nothing).toEqual({
    success: false,
    message: 'No entities deleted: none was found',
    deleted: 0,
    not_found: ['a'],
  });
});

test('what a large change tells fits a client', async () => {
  using store = openStore(':memory:');
  const facts = Array.from({ length: 300 }, (_, n) => `${n} `.repeat(100));
  const named = Array.from({ length: 300 }, (_, n) => `${n} `.repeat(120));
  const tokensIn = (value: object) => Buffer.byteLength(JSON.stringify(value, null, 2)) / bytesPerToken;

  const created = await invoke(
    createEntities,
    { entities: [entity('a', ...facts), entity('b', 'x')] },
    store,
  );
  const many = await invoke(createEntities, { entities: named.map((name) => entity(name)) }, store);
  const known = await invoke(createEntities, { entities: named.map((name) => entity(name)) }, store);
  const added = await invoke(
    addObservations,
    { observations: [{ entityName: 'b', contents: facts }] },
    store,
  );
  const gone = await invoke(deleteEntities, { entityNames: named.map((name) => `${name}?`) }, store);

  for (const value of [created, many, known, added, gone])
    expect(tokensIn(value)).toBeLessThan(answerTokens + 500);
  expect(created.entities).toMatchObject([{ observationsTotal: 300 }, { observationsTotal: 1 }]);
  expect(many.total).toBe(300);
  expect(added.results[0]?.addedTotal).toBe(300);
  expect(gone.not_found_total).toBe(300);
  expect(countsOf(store)).toMatchObject({ entities: 302, observations: 601 });
});

test('a relation to nothing fails the whole call with the official phrase', async () => {
  using store = storeWith({ entities: [entity('a'), entity('b')] });

  const create = invoke(createRelations, { relations: [relation('a', 'b'), relation('a', 'gone')] }, store);

  await expect(create).rejects.toMatchObject({
    code: 'not_found',
    message: 'Entity with name gone not found',
  });
  expect(graphOf(store).relations).toEqual([]);
});

test('an unknown argument within an entity is named', async () => {
  using store = openStore(':memory:');

  await expect(
    invoke(addObservations, { observations: [{ entityName: 'a', contents: [], content: 'x' }] }, store),
  ).rejects.toMatchObject({ code: 'invalid_input', message: expect.stringContaining('"content"') });
});

test('a renamed entity keeps its place, observations and relations', async () => {
  using store = storeWith({ entities: [entity('a', 'x'), entity('b')], relations: [relation('b', 'a')] });

  await invoke(renameEntity, { name: 'a', new_name: 'z' }, store);

  expect(graphOf(store)).toEqual({
    entities: [entity('z', 'x'), entity('b')],
    relations: [relation('b', 'z')],
  });
});

test('a name that is taken is not given again', async () => {
  using store = storeWith({ entities: [entity('a'), entity('b')] });

  await expect(invoke(renameEntity, { name: 'a', new_name: 'b' }, store)).rejects.toMatchObject({
    code: 'conflict',
    hint: 'Use merge_entities to make one of both.',
  });
});

test('merged entities become one, without doubles and relations to itself', async () => {
  using store = storeWith({
    entities: [entity('a', 'x'), entity('b', 'x', 'y'), entity('c', 'z'), entity('d')],
    relations: [relation('a', 'b'), relation('b', 'd'), relation('c', 'd'), relation('d', 'c')],
  });

  const moved = await invoke(mergeEntities, { names: ['b', 'c', 'b'], into: 'a' }, store);

  expect(moved).toEqual({ observations: 2, relations: 2 });
  expect(graphOf(store)).toEqual({
    entities: [entity('a', 'x', 'y', 'z'), entity('d')],
    relations: [relation('a', 'd'), relation('d', 'a')],
  });
});

test('an entity is not merged into itself, and nothing else moves', async () => {
  using store = storeWith({ entities: [entity('a'), entity('b')] });

  await expect(invoke(mergeEntities, { names: ['b', 'a'], into: 'a' }, store)).rejects.toMatchObject({
    code: 'invalid_input',
  });
  expect(graphOf(store).entities).toHaveLength(2);
});

test('the shortest path is found against the direction of relations', async () => {
  using store = storeWith({
    entities: ['a', 'b', 'c', 'd', 'e'].map((name) => entity(name)),
    relations: [relation('a', 'b'), relation('c', 'b'), relation('c', 'd'), relation('e', 'e')],
  });

  expect(await invoke(findPath, { from: 'd', to: 'b' }, store)).toEqual({
    found: true,
    path: ['d', 'c', 'b'],
    relations: [relation('c', 'd'), relation('c', 'b')],
  });
  expect(await invoke(findPath, { from: 'a', to: 'a' }, store)).toEqual({
    found: true,
    path: ['a'],
    relations: [],
  });
  expect(await invoke(findPath, { from: 'a', to: 'e' }, store)).toEqual({
    found: false,
    path: [],
    relations: [],
  });
  expect(await invoke(findPath, { from: 'd', to: 'b', max_depth: 1 }, store)).toMatchObject({ found: false });
  await expect(invoke(findPath, { from: 'a', to: 'z' }, store)).rejects.toMatchObject({ code: 'not_found' });
});

test('an import with a bad line is refused as a whole unless told to skip', async () => {
  using store = openStore(':memory:');
  const jsonl = `${JSON.stringify({ type: 'entity', ...entity('a') })}\n/etc/passwd`;

  await expect(invoke(importGraph, { jsonl }, store)).rejects.toMatchObject({
    code: 'invalid_input',
    message: expect.stringContaining('line 2: not valid JSON'),
  });
  expect(store.journal.count()).toBe(0);
  expect(await invoke(importGraph, { jsonl, on_bad_line: 'skip' }, store)).toEqual({
    entities: 1,
    observations: 0,
    relations: 0,
    skipped: 1,
    refused: [{ line: 2, reason: 'not valid JSON' }],
  });
});

test('an export goes on through its pages', async () => {
  using store = storeWith({ entities: [entity('a'), entity('b')], relations: [relation('a', 'b')] });

  const first = await invoke(exportGraph, { limit: 2 }, store);
  const second = await invoke(exportGraph, { limit: 2, cursor: first.next_cursor }, store);

  expect([first.lines, second.lines, second.next_cursor]).toEqual([2, 1, undefined]);
  expect(JSON.parse(second.jsonl)).toEqual({ type: 'relation', ...relation('a', 'b') });
});

test('the context of a topic holds entities, their neighbours and memories within its budget', async () => {
  using store = storeWith({
    entities: [entity('tea', 'is hot'), entity('leaf'), entity('stone')],
    relations: [relation('leaf', 'tea')],
  });
  await invoke(addMemory, { text: 'Ada drinks tea' }, store);
  await invoke(addMemory, { text: `tea ${'x'.repeat(500)}` }, store);

  const context = await invoke(buildContext, { topic: 'tea' }, store);
  const small = await invoke(buildContext, { topic: 'tea', token_budget: 50 }, store);

  expect(context.entities.map(({ name }) => name)).toEqual(['tea', 'leaf']);
  expect(context.relations).toEqual([relation('leaf', 'tea')]);
  expect(context.memories).toHaveLength(2);
  expect(context.truncated).toBeUndefined();
  expect(small.truncated).toBe(true);
  expect(JSON.stringify([small.entities, small.memories.map(({ text }) => text)]).length).toBeLessThan(300);
});

test('the statistics count what lives', async () => {
  using store = storeWith({ entities: [entity('a', 'x'), entity('b')], relations: [relation('a', 'b')] });
  await invoke(addMemory, { text: 'tea', project: 'p' }, store);
  await invoke(addMemory, { text: 'gone', ttl: 1 }, store);

  expect(await invoke(memoryStats, {}, store, { nowMs: Date.parse('2027-01-01T00:00:00Z') })).toMatchObject({
    entities: 2,
    observations: 1,
    relations: 1,
    memories: 1,
    files: 0,
    changes: 3,
    entity_types: [{ entityType: 'thing', count: 2 }],
    projects: [{ project: 'p', count: 1 }],
  });
});

test('the history tells what each change did, and which are undone', async () => {
  using store = openStore(':memory:');
  await invoke(createEntities, { entities: [entity('a', 'x')] }, store, { caller: 'ada' });
  await invoke(renameEntity, { name: 'a', new_name: 'b' }, store);
  await invoke(undo, {}, store);

  const { changes } = await invoke(getHistory, { entity: 'b' }, store);

  expect(changes.map(({ change_id: id, tool, undone, undoes }) => ({ id, tool, undone, undoes }))).toEqual([
    { id: 3, tool: 'undo', undone: false, undoes: 2 },
    { id: 2, tool: 'rename_entity', undone: true, undoes: undefined },
    { id: 1, tool: 'create_entities', undone: false, undoes: undefined },
  ]);
  expect(changes.at(-1)).toMatchObject({
    caller: 'ada',
    added: ['entity a (thing)', 'observation a: x'],
    removed: [],
  });
});

test('the history of one memory or file leaves out the rest, and goes on through its pages', async () => {
  using store = storeWith({ entities: [entity('a')] });
  await invoke(addMemory, { text: 'tea' }, store);
  await invoke(addMemory, { text: 'coffee' }, store);
  const ids = async (args: object) =>
    (await invoke(getHistory, args, store)).changes.map(({ change_id: id }) => id);

  const { next_cursor: cursor, changes } = await invoke(getHistory, { limit: 2 }, store);

  expect(changes.map(({ change_id: id }) => id)).toEqual([3, 2]);
  expect(await ids({ limit: 2, cursor })).toEqual([1]);
  expect(await ids({ memory_id: 2 })).toEqual([3]);
  expect(await ids({ path: '/memories/none' })).toEqual([]);
  expect(await ids({ change_id: 2 })).toEqual([2]);
});

test('the history shows a part of a large change and says so', async () => {
  using store = openStore(':memory:');
  await invoke(createEntities, { entities: Array.from({ length: 30 }, (_, n) => entity(`n${n}`)) }, store);

  const { changes } = await invoke(getHistory, {}, store);

  expect(changes[0]).toMatchObject({ more: true });
  expect(changes[0]?.added).toHaveLength(20);
});
