/** That no call holds the process for long: by what a turn may visit and a change may do, not by time. */
import { describe, expect, test } from 'vitest';

import { invoke, testCall } from '#runtime/testing.ts';
import type { AnyTool } from '#runtime/tool.ts';

import { graphPage, firstPage, listed } from './graph/graph-page.ts';
import type { GraphStore } from './graph/graph-store.ts';
import { walk } from './graph/walk.ts';
import { maxChangeCost, maxLinksPerTurn, maxObservationsPerCall, maxRowsPerTurn } from './limits.ts';
import { openStore, type Store } from './store.ts';
import { atOnce, entity, fill, relation, storeWith } from './store.fixture.ts';
import { addObservations, createEntities } from './tools/create-graph.ts';
import { deleteEntities } from './tools/delete-graph.ts';
import { findPath } from './tools/find-path.ts';
import { undo } from './tools/history.ts';
import { openNodes } from './tools/read-graph.ts';
import { listMemories } from './tools/read-memories.ts';
import { importGraph } from './tools/transfer-graph.ts';
import { addMemory } from './tools/write-memories.ts';

/** Two entities with more relations between them than a turn visits, and a third that is far. */
function denseStore(relations: number): Store {
  const store = storeWith({ entities: ['a', 'b', 'c'].map((name) => entity(name)) });
  fill(store, {
    relations: Array.from({ length: relations }, (_, number) => relation('a', 'b', `r${number}`)),
  });
  fill(store, { relations: [relation('b', 'c')] });
  return store;
}

/** The graph, with a count of the links that it handed out. */
function counted(graph: GraphStore) {
  let links = 0;
  function* counting<Row>(rows: Iterable<Row>) {
    for (const row of rows) {
      links += 1;
      yield row;
    }
  }
  return {
    links: () => links,
    graph: {
      ...graph,
      ends: (...args: Parameters<GraphStore['ends']>) => [...counting(graph.ends(...args))],
      linksTouching: (id: number, after: number) => counting(graph.linksTouching(id, after)),
    } as GraphStore,
  };
}

describe('A read', () => {
  test('visits no more links in a turn than it may, and none twice', () => {
    using store = denseStore(maxLinksPerTurn + 500);
    const { graph, links } = counted(store.graph);
    const steps = walk(graph, [1], { depth: 3, maxEntities: 10 });
    const turns: number[] = [];

    for (let before = 0, step = steps.next(); ; step = steps.next()) {
      turns.push(links() - before);
      before = links();
      if (step.done) break;
    }

    expect(turns.length).toBeGreaterThan(2);
    expect(Math.max(...turns)).toBeLessThanOrEqual(maxLinksPerTurn);
    // Each from both of its ends.
    expect(links()).toBe(2 * (maxLinksPerTurn + 501));
  });

  test.each([
    ['links', { maxLinks: 2, maxEntities: 10 }],
    ['entities', { maxEntities: 2 }],
  ])('gives up at a number of %s, and says so', (_, bounds) => {
    using store = denseStore(3);

    expect(atOnce(walk(store.graph, [1], { depth: 3, ...bounds })).isCut).toBe(true);
    expect(atOnce(walk(store.graph, [1], { depth: 3, maxEntities: 3 })).isCut).toBe(false);
  });

  test('puts no more links into a page than a turn visits, also where none of them is given', () => {
    using store = denseStore(maxLinksPerTurn + 500);
    const { graph, links } = counted(store.graph);
    const read = (position: typeof firstPage) =>
      graphPage(graph, (start) => listed(graph, [1, 2, 3], start), graph.linksTouching, position, {
        limit: 10,
      });

    let given = 0;
    let pages = 0;
    for (let at: typeof firstPage | undefined = firstPage; at; pages += 1) {
      const before = links();
      const page = read(at);
      expect(links() - before).toBeLessThanOrEqual(maxLinksPerTurn + 1);
      given += page.relations.length;
      at = page.next;
    }
    expect(given).toBe(maxLinksPerTurn + 501);
    expect(pages).toBeLessThan(5);
  });

  test('says that it gave up, and that there is no more to call for', async () => {
    using store = openStore(':memory:');
    const names = Array.from({ length: 5_100 }, (_, number) => `n${number}`);
    fill(store, {
      entities: names.map((name) => entity(name)),
      relations: names.slice(1).map((name) => relation('n0', name)),
    });

    const open = (cursor?: string) => invoke(openNodes, { names: ['n0'], depth: 1, cursor }, store);
    const first = await open();
    const last = await open(first.next_cursor);

    expect([first.entities.length, first.relations.length]).toEqual([5_000, 5_099]);
    expect(last).toEqual({ entities: [], relations: [], truncated: true });
  });

  test('passes over memories in turns, and finds the one behind them', async () => {
    using store = openStore(':memory:');
    const messages = Array.from({ length: 500 }, () => ({ role: 'a', content: '.' }));
    await invoke(addMemory, { text: 'wanted', tags: ['x'], occurred_at: '2020-01-01T00:00:00Z' }, store);
    for (let count = 0; count <= maxRowsPerTurn; count += 500) await invoke(addMemory, { messages }, store);
    const steps = store.memories.list({ tags: ['x'] }, ['~', 0], 1, '2026');

    expect(steps.next().done).toBe(false);
    expect((await invoke(listMemories, { tags: ['x'] }, store)).memories).toMatchObject([{ text: 'wanted' }]);
  });

  test('stops with its call', async () => {
    using store = denseStore(maxLinksPerTurn + 500);
    const signal = AbortSignal.abort(new RangeError('too late'));

    const search = invoke(findPath, { from: 'a', to: 'c' }, store, { signal });

    await expect(search).rejects.toThrow('too late');
  });
});

describe('A change', () => {
  const texts = (count: number) => Array.from({ length: count }, (_, number) => `${number}`);
  const largest = Math.floor(maxChangeCost / 1.1) - 10;

  test('of the size that is allowed can be made, deleted and brought back', async () => {
    using store = storeWith({});
    await invoke(createEntities, { entities: [entity('a', ...texts(largest))] }, store);

    await invoke(deleteEntities, { entityNames: ['a'] }, store);
    await invoke(undo, {}, store);

    expect(store.graph.counts()).toMatchObject({ entities: 1, observations: largest });
  });

  const many = texts(maxObservationsPerCall);
  // Two rows each.
  const lines = Array.from({ length: maxChangeCost / 2 + 100 }, (_, n) =>
    JSON.stringify({ type: 'entity', ...entity(`n${n}`, 'x') }),
  );
  const refused: readonly (readonly [string, AnyTool<Store>, object])[] = [
    ['new rows', createEntities, { entities: [entity('b', ...many)] }],
    [
      'rows that exist',
      createEntities,
      { entities: Array.from({ length: 100 }, (_, n) => entity(`n${n}`, ...many.map(() => 'x'))) },
    ],
    [
      'text',
      addObservations,
      { observations: [{ entityName: 'a', contents: texts(50).map((n) => n.padEnd(60_000)) }] },
    ],
    [
      'words',
      addMemory,
      { messages: texts(10).map((content) => ({ role: 'a', content: content.padEnd(60_000, ' tea') })) },
    ],
    [
      'words without spaces',
      addMemory,
      { messages: texts(15).map(() => ({ role: 'a', content: '東京'.repeat(20_000) })) },
    ],
    ['lines', importGraph, { jsonl: lines.join('\n') }],
  ];
  test.each(refused)('of too many %s is refused as a whole', async (_, tool, args) => {
    using store = storeWith({ entities: [entity('a')] });

    await expect(invoke(tool, args, store)).rejects.toMatchObject({
      code: 'too_large',
      hint: expect.stringContaining('split it'),
    });
    expect(store.journal.count()).toBe(1);
    expect(store.graph.counts()).toEqual({ entities: 1, observations: 0, relations: 0 });
  });

  test('takes the longest memory, in any script', async () => {
    using store = openStore(':memory:');

    await invoke(addMemory, { text: '東京'.repeat(32_768) }, store);

    expect(store.memories.counts('2026')).toEqual([{ project: '', count: 1 }]);
  });

  test('does not load what it cannot delete', () => {
    using store = storeWith({ entities: [entity('a'), entity('b')] });
    const types = texts(maxChangeCost + 1_000);
    fill(store, { relations: types.map((type) => relation('a', 'b', type)) });

    expect(() =>
      store.change('test', testCall(), (change) => store.graph.deleteEntities(change, ['a'])),
    ).toThrow(
      expect.objectContaining({ code: 'too_large', hint: expect.stringContaining('relations first') }),
    );
    expect(store.graph.counts().relations).toBe(types.length);
  });
});
