import fc from 'fast-check';
import { expect, test } from 'vitest';

import { invoke, testCall } from '#runtime/testing.ts';
import type { AnyTool } from '#runtime/tool.ts';

import { maxEntitiesPerAnswer } from '../limits.ts';
import { resources } from '../resources.ts';
import type { Store } from '../store.ts';
import { entity, fill, graphOf, recorded, relation, storeWith, type Graph } from '../store.fixture.ts';
import { openNodes, readGraph, searchNodes } from './read-graph.ts';

interface Page extends Graph {
  truncated?: true;
  next_cursor?: string;
}

async function pages(tool: AnyTool<Store>, args: object, store: Store): Promise<Page[]> {
  const read: Page[] = [];
  for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
    const page = (await invoke(tool, { ...args, ...(cursor && { cursor }) }, store)) as Page;
    read.push(page);
    cursor = page.next_cursor;
  }
  return read;
}

const names = ['a', 'b', 'c', 'd', 'e'];
const graph: fc.Arbitrary<Graph> = fc.record({
  entities: fc.constant(names.map((name) => entity(name, 'one', 'two'))),
  relations: fc.uniqueArray(
    fc.record({
      from: fc.constantFrom(...names),
      to: fc.constantFrom(...names),
      relationType: fc.constant('r'),
    }),
    { selector: ({ from, to }) => from + to, maxLength: 12 },
  ),
});

test('the pages of read_graph hold every entity and every relation once', async () => {
  await fc.assert(
    fc.asyncProperty(graph, fc.integer({ min: 1, max: 6 }), async (given, limit) => {
      using store = storeWith(given);

      const read = await pages(readGraph, { limit }, store);

      expect(read.flatMap(({ entities }) => entities)).toEqual(given.entities);
      const relations = read.flatMap((page) => page.relations);
      expect(relations).toHaveLength(given.relations.length);
      expect(relations).toEqual(expect.arrayContaining(given.relations));
    }),
  );
});

test('the pages of search_nodes within any token budget hold all that one answer holds', async () => {
  await fc.assert(
    fc.asyncProperty(graph, fc.integer({ min: 1, max: 9 }), async (given, budget) => {
      using store = storeWith(given);
      const whole = await invoke(searchNodes, { query: 'thing' }, store);

      const read = await pages(searchNodes, { query: 'thing', token_budget: budget }, store);

      const found = read.flatMap(({ entities }) => entities.map(({ name }) => name));
      expect(found).toEqual(whole.entities.map(({ name }) => name));
      const relations = new Set(read.flatMap((page) => page.relations.map((one) => JSON.stringify(one))));
      expect(relations).toEqual(new Set(whole.relations.map((one) => JSON.stringify(one))));
    }),
  );
});

test('what is cut says so, and the observations left out can be read on', async () => {
  using store = storeWith({ entities: [entity('a', 'one', 'two', 'three')] });

  const cut = await invoke(readGraph, { observationLimit: 2 }, store);
  const rest = await invoke(openNodes, { names: ['a'], observationOffset: 2 }, store);

  expect(cut.entities).toEqual([{ ...entity('a', 'one', 'two'), observationsTotal: 3 }]);
  expect(rest.entities[0]?.observations).toEqual(['three']);
});

test('an answer without a limit ends at the bound, and goes on from there', async () => {
  using store = storeWith({
    entities: Array.from({ length: maxEntitiesPerAnswer + 1 }, (_, number) => entity(`n${number}`)),
  });

  const [first, second] = await pages(readGraph, {}, store);

  expect(first).toMatchObject({ truncated: true });
  expect(second?.entities).toEqual([entity(`n${maxEntitiesPerAnswer}`)]);
});

test('a graph of large observations is cut by size', async () => {
  const large = (name: string) =>
    entity(name, ...Array.from({ length: 10 }, (_, n) => `${n}`.repeat(60_000)));
  using store = storeWith({ entities: [large('a')] });
  fill(store, { entities: [large('b')] });

  const read = await pages(readGraph, {}, store);

  expect(read.map(({ entities }) => entities.map(({ name }) => name))).toEqual([['a'], ['b']]);
});

test('types and time narrow a search', async () => {
  using store = storeWith({ entities: [entity('tea one'), { ...entity('tea two'), entityType: 'drink' }] });
  recorded(store, (change) => store.graph.addObservations(change, 'tea one', ['late']), {
    nowMs: Date.parse('2027-01-01T00:00:00Z'),
  });
  const search = async (args: object) =>
    (await invoke(searchNodes, { query: 'tea', ...args }, store)).entities.map(({ name }) => name);

  expect(await search({ entityTypes: ['drink'] })).toEqual(['tea two']);
  expect(await search({ since: '2026-12-31T23:00:00-01:00' })).toEqual(['tea one']);
  expect(await search({ since: '2030-01-01T00:00:00Z' })).toEqual([]);
  expect(await search({ entityTypes: [] })).toEqual([]);
});

test('depth opens the entities around', async () => {
  using store = storeWith({
    entities: ['a', 'b', 'c', 'd'].map((name) => entity(name)),
    relations: [relation('a', 'b'), relation('c', 'b'), relation('c', 'd')],
  });
  const open = async (depth: number) =>
    (await invoke(openNodes, { names: ['a'], depth }, store)).entities.map(({ name }) => name);

  expect(await open(0)).toEqual(['a']);
  expect(await open(2)).toEqual(['a', 'b', 'c']);
});

test('a cursor of another call is refused', async () => {
  using store = storeWith({ entities: [entity('a'), entity('b')] });
  const { next_cursor: cursor } = await invoke(readGraph, { limit: 1 }, store);

  await expect(invoke(readGraph, { limit: 2, cursor }, store)).rejects.toMatchObject({
    code: 'invalid_input',
  });
});

test('an entity that is longer than an answer is cut, and says so', async () => {
  using store = storeWith({ entities: [entity('a', 'x'.repeat(30), 'y'.repeat(30))] });

  const answer = await invoke(searchNodes, { query: 'a', token_budget: 10 }, store);

  expect(answer).toMatchObject({
    entities: [{ observations: ['x'.repeat(30)], observationsTotal: 2 }],
    truncated: true,
  });
});

test('the resources show the graph and one entity with its relations', () => {
  using store = storeWith({
    entities: [entity('a'), entity('b'), entity('c')],
    relations: [relation('a', 'b')],
  });
  const [whole, one] = resources;
  const read = (resource: typeof whole, name = '') => resource?.read({ name }, store, testCall());

  expect(read(whole)).toEqual({ text: JSON.stringify(graphOf(store), null, 2) });
  expect(read(one, 'b')).toEqual({
    text: JSON.stringify({ entities: [entity('b')], relations: [relation('a', 'b')] }, null, 2),
  });
  expect(read(one, 'nobody')).toBeUndefined();
});

test('a graph too large for the resource says how to go on', () => {
  using store = storeWith({});
  fill(store, {
    entities: Array.from({ length: maxEntitiesPerAnswer + 1 }, (_, number) => entity(`n${number}`)),
  });

  const answer = resources[0]?.read({}, store, testCall());

  expect(answer && 'text' in answer && JSON.parse(answer.text)).toMatchObject({
    truncated: true,
    continue: expect.stringContaining('read_graph'),
  });
});
