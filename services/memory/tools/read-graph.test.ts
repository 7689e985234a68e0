import fc from 'fast-check';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { expect, test } from 'vitest';

import { invoke, testCall } from '#runtime/testing.ts';
import type { AnyTool } from '#runtime/tool.ts';

import { answerTokens, bytesPerToken } from '../limits.ts';
import { resources } from '../resources.ts';
import type { Store } from '../store.ts';
import { entity, graphOf, recorded, relation, storeWith, type Graph } from '../store.fixture.ts';
import { openNodes, readGraph } from './read-graph.ts';
import { searchNodes } from './search-nodes.ts';
import { exportGraph } from './transfer-graph.ts';

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

/** What a client reads of an answer. */
/** Claude Code cuts what is longer. */
const mostTokens = 25_000;
const tokensOf = (answer: object) => countTokens(JSON.stringify(answer, null, 2));

const wide = (name: string) => ({ ...entity(name, 'said "so"', '東京の天気'), entityType: 'tea' });
const large = {
  entities: Array.from({ length: 1_500 }, (_, number) => wide(`n${number}`)),
  relations: Array.from({ length: 1_500 }, (_, number) => relation('n0', `n${number}`)),
};

test('an answer fits a client unless more is asked for, and goes on from there', async () => {
  using store = storeWith(large);

  for (const [tool, args] of [
    [readGraph, {}],
    [searchNodes, { query: 'tea' }],
    [openNodes, { names: large.entities.slice(0, 1_000).map(({ name }) => name) }],
    [exportGraph, {}],
  ] as const) {
    const answer = await invoke(tool as AnyTool<Store>, args, store);
    expect(answer).toMatchObject({ truncated: true, next_cursor: expect.any(String) });
    expect(tokensOf(answer)).toBeLessThan(mostTokens);
    expect(tokensOf(answer)).toBeGreaterThan(0.5 * answerTokens);
    const more = await invoke(tool as AnyTool<Store>, { ...args, token_budget: 100_000 }, store);
    expect(tokensOf(more)).toBeGreaterThan(1.3 * answerTokens);
  }
  const names = (await pages(readGraph, {}, store)).flatMap(({ entities }) => entities);
  expect(names).toHaveLength(1_500);
});

test.each([
  ['English', 'The staging database moved to port 5433, so what depends on it has to change. '],
  ['Japanese', '思考する象は森の中を歩いている。今日は天気がいいですね。'],
  ['hexadecimal', '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 '],
  ['Base64', 'q1Zt8KxJw3mPfR7uYd0LhN5vBgT2sXeC9oAiQkWrzEjMlUyDnFbVpHcGSaO4I6== '],
  ['emoji', '🦆🧊🪁🛸🪐🦉🧿🪬'],
  ['quotation marks', 'he said \\"yes\\" and "no" \\\\ '],
])('an answer in %s fits a client', async (_, text) => {
  const facts = Array.from({ length: 4 }, (_, n) => text.repeat(2) + n);
  using store = storeWith({ entities: Array.from({ length: 400 }, (_, n) => entity(`n${n}`, ...facts)) });

  const tokens = tokensOf(await invoke(readGraph, {}, store));

  expect(tokens).toBeLessThan(mostTokens);
  expect(tokens).toBeGreaterThan(0.3 * answerTokens);
});

test('an entity of large observations is cut by size, and read on by offset', async () => {
  const texts = Array.from({ length: 4 }, (_, n) => `${n} ${'staging database '.repeat(3_500)}`);
  using store = storeWith({ entities: [entity('a', ...texts), entity('b')] });

  const [first, ...others] = await pages(readGraph, {}, store);
  const rest = await invoke(openNodes, { names: ['a'], observationOffset: 1, token_budget: 100_000 }, store);

  expect(first).toMatchObject({
    entities: [{ observations: texts.slice(0, 1), observationsTotal: 4 }],
    truncated: true,
  });
  expect(others.map(({ entities }) => entities)).toEqual([[entity('b')]]);
  expect(rest.entities[0]?.observations).toEqual(texts.slice(1));
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

  const answer = await invoke(searchNodes, { query: 'a', token_budget: 45 }, store);

  expect(answer).toMatchObject({
    entities: [{ observations: ['x'.repeat(30)], observationsTotal: 2 }],
    truncated: true,
  });
});

test('the resources show the graph and one entity with its relations', async () => {
  using store = storeWith({
    entities: [entity('a'), entity('b'), entity('c')],
    relations: [relation('a', 'b')],
  });
  const [whole, one] = resources;
  const read = async (resource: typeof whole, name = '') => resource?.read({ name }, store, testCall());

  expect(await read(whole)).toEqual({ text: JSON.stringify(graphOf(store), null, 2) });
  expect(await read(one, 'b')).toEqual({
    text: JSON.stringify({ entities: [entity('b')], relations: [relation('a', 'b')] }, null, 2),
  });
  expect(await read(one, 'nobody')).toBeUndefined();
});

test('a graph too large for the resource says how to go on', async () => {
  using store = storeWith(large);

  const answer = await resources[0]?.read({}, store, testCall());

  const text = answer && 'text' in answer ? answer.text : '';
  expect(JSON.parse(text)).toMatchObject({
    truncated: true,
    continue: expect.stringContaining('read_graph'),
  });
  expect(Buffer.byteLength(text) / bytesPerToken).toBeLessThan(answerTokens + 500);
});
