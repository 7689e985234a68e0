/** That no call holds the process for long: by what a turn may visit and a change may do, not by time. */
import { describe, expect, test } from 'vitest';

import { invoke, testCall } from '#runtime/testing.ts';

import type { Job } from './changes.ts';
import { graphPage, firstPage, listed } from './graph/graph-page.ts';
import type { GraphStore } from './graph/graph-store.ts';
import { walk } from './graph/walk.ts';
import { maxLinksPerTurn, maxRowsPerTurn } from './limits.ts';
import { openStore, type Store } from './store.ts';
import { atOnce, entity, fill, graphOf, relation, storeWith } from './store.fixture.ts';
import { findPath } from './tools/find-path.ts';
import { openNodes } from './tools/read-graph.ts';
import { listMemories } from './tools/read-memories.ts';
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
  const author = { tool: 'test', caller: 'test', nowMs: testCall().nowMs };
  const bounds = { most: 300 };

  const ideographs = Array.from({ length: 1_000 }, (_, n) => String.fromCodePoint(0x4e00 + n)).join('');
  const named = (count: number) => texts(count).map((name) => entity(`n${name}`));
  const messages = (...contents: string[]) => contents.map((text) => ({ text }));
  const refused: readonly (readonly [string, Pick<Job, 'name' | 'args'>])[] = [
    ['new rows', { name: 'create_entities', args: [entity('b', ...texts(300))] }],
    ['rows that exist', { name: 'create_entities', args: texts(2_100).map(() => entity('a')) }],
    [
      'facts that exist',
      { name: 'add_observations', args: [{ entityName: 'a', contents: texts(2_100).map(() => 'known') }] },
    ],
    ['text', { name: 'add_observations', args: [{ entityName: 'a', contents: ['x'.repeat(30_100)] }] }],
    [
      'text without spaces',
      { name: 'add_observations', args: [{ entityName: 'a', contents: [ideographs.repeat(2)] }] },
    ],
    ['words', { name: 'add_memory', args: messages(texts(1_000).join(' ')) }],
    ['words without spaces', { name: 'add_memory', args: messages(ideographs) }],
    [
      'lines',
      {
        name: 'import_graph',
        args: {
          jsonl: named(200)
            .map((one) => JSON.stringify({ type: 'entity', ...one }))
            .join('\n'),
          onBadLine: 'refuse',
        },
      },
    ],
    ['deletions', { name: 'delete_entities', args: ['large'] }],
    ['moves', { name: 'merge_entities', args: { names: ['large'], into: 'a' } }],
    ['steps back', { name: 'undo', args: 2 }],
  ];
  test.each(refused)('of too many %s is refused as a whole', (_, job) => {
    using store = storeWith({ entities: [entity('a', 'known')] });
    fill(store, { entities: [entity('large', ...texts(400))] });
    const before = graphOf(store);

    expect(() => store.make({ ...job, author }, bounds)).toThrow(
      expect.objectContaining({ code: 'too_large', hint: expect.stringContaining('split it') }),
    );
    expect(store.journal.count()).toBe(2);
    expect(graphOf(store)).toEqual(before);
    expect(store.memories.counts('2026')).toEqual([]);
  });

  test('takes the longest memory, in any script', async () => {
    using store = openStore(':memory:');

    await invoke(addMemory, { text: '東京'.repeat(32_768) }, store);

    expect(store.memories.counts('2026')).toEqual([{ project: '', count: 1 }]);
  });

  test('costs no more to delete and to bring back than to make', () => {
    using store = storeWith({});
    const made = { name: 'create_entities', args: [entity('a', ...texts(250))] } as const;

    store.make({ ...made, author }, bounds);
    store.make({ name: 'delete_entities', args: ['a'], author }, bounds);
    store.make({ name: 'undo', args: undefined, author }, bounds);

    expect(store.graph.counts()).toMatchObject({ entities: 1, observations: 250 });
  });
});
