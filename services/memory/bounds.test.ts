/** That no call holds the process for long: by what a turn may visit and a change may do, not by time. */
import { describe, expect, test } from 'vitest';

import { invoke, testCall } from '#runtime/testing.ts';

import type { Job } from './changes.ts';
import { graphPage, firstPage, listed } from './graph/graph-page.ts';
import type { GraphStore } from './graph/graph-store.ts';
import { walk } from './graph/walk.ts';
import { answerTokens, bytesPerToken, maxLinksPerAnswer, rowsPerStep } from './limits.ts';
import { openStore, type Store } from './store.ts';
import { atOnce, countsOf, entity, fill, graphOf, memoriesIn, relation, storeWith } from './store.fixture.ts';
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
  const counting = <Row>(rows: Row[]) => {
    links += rows.length;
    return rows;
  };
  return {
    links: () => links,
    graph: {
      ...graph,
      ends: (...args: Parameters<GraphStore['ends']>) => counting(graph.ends(...args)),
      linksTouching: (...args: Parameters<GraphStore['linksTouching']>) =>
        counting(graph.linksTouching(...args)),
    },
  };
}

describe('A read', () => {
  test('visits no more links in a step than it may, and none twice', () => {
    using store = denseStore(2 * rowsPerStep);
    const { graph, links } = counted(store.graph);
    const steps = walk(graph, [1], { depth: 3, maxEntities: 10 });
    const turns: number[] = [];

    for (let before = 0, step = steps.next(); ; step = steps.next()) {
      turns.push(links() - before);
      before = links();
      if (step.done) break;
    }

    expect(turns.length).toBeGreaterThan(2);
    expect(Math.max(...turns)).toBeLessThanOrEqual(rowsPerStep);
    // Each from both of its ends.
    expect(links()).toBe(2 * (2 * rowsPerStep + 1));
  });

  test.each([
    ['links', { maxLinks: 2, maxEntities: 10 }],
    ['entities', { maxEntities: 2 }],
  ])('gives up at a number of %s, and says so', (_, bounds) => {
    using store = denseStore(3);

    expect(atOnce(walk(store.graph, [1], { depth: 3, ...bounds })).isCut).toBe(true);
    expect(atOnce(walk(store.graph, [1], { depth: 3, maxEntities: 3 })).isCut).toBe(false);
  });

  test('looks at no more links for a page than it may, also where none of them is given', () => {
    using store = denseStore(maxLinksPerAnswer + 500);
    const { graph, links } = counted(store.graph);
    const read = (position: typeof firstPage) =>
      atOnce(
        graphPage(graph, (start) => listed(graph, [1, 2, 3], start), graph.linksTouching, position, {
          limit: 10,
          bytes: 10_000_000,
        }),
      );

    let given = 0;
    let pages = 0;
    for (let at: typeof firstPage | undefined = firstPage; at; pages += 1) {
      const before = links();
      const page: ReturnType<typeof read> = read(at);
      expect(links() - before).toBeLessThanOrEqual(maxLinksPerAnswer + rowsPerStep);
      given += page.relations.length;
      at = page.next;
    }
    expect(given).toBe(maxLinksPerAnswer + 501);
    expect(pages).toBeLessThan(5);
  });

  test('says that it gave up, and that there is no more to call for', async () => {
    using store = openStore(':memory:');
    const names = Array.from({ length: 5_100 }, (_, number) => `n${number}`);
    fill(store, {
      entities: names.map((name) => entity(name)),
      relations: names.slice(1).map((name) => relation('n0', name)),
    });

    const open = async (cursor?: string) =>
      invoke(openNodes, { names: ['n0'], depth: 1, token_budget: 100_000, cursor }, store);
    const seen = { entities: new Set<string>(), relations: new Set<string>() };
    for (let cursor: string | undefined, isLast = false; !isLast; isLast = cursor === undefined) {
      const page = await open(cursor);
      for (const { name } of page.entities) seen.entities.add(name);
      for (const { to } of page.relations) seen.relations.add(to);
      expect(page.truncated).toBe(true);
      cursor = page.next_cursor;
    }

    expect([seen.entities.size, seen.relations.size]).toEqual([5_000, 5_099]);
  });

  test('passes over memories in turns, and finds the one behind them', async () => {
    using store = openStore(':memory:');
    const messages = Array.from({ length: 500 }, () => ({ role: 'a', content: '.' }));
    await invoke(addMemory, { text: 'wanted', tags: ['x'], occurred_at: '2020-01-01T00:00:00Z' }, store);
    await invoke(addMemory, { messages }, store);
    const page = { limit: 1, bytes: answerTokens * bytesPerToken, now: '2026' };
    const steps = store.memories.list({ tags: ['x'] }, ['~', 0], page);

    expect(steps.next().done).toBe(false);
    expect((await invoke(listMemories, { tags: ['x'] }, store)).memories).toMatchObject([{ text: 'wanted' }]);
  });

  test('stops with its call', async () => {
    using store = denseStore(2 * rowsPerStep);
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
    expect(memoriesIn(store)).toBe(0);
  });

  test('takes the longest memory, in any script', async () => {
    using store = openStore(':memory:');

    await invoke(addMemory, { text: '東京'.repeat(32_768) }, store);

    expect(memoriesIn(store)).toBe(1);
  });

  test('costs no more to delete and to bring back than to make', () => {
    using store = storeWith({});
    const made = { name: 'create_entities', args: [entity('a', ...texts(250))] } as const;

    store.make({ ...made, author }, bounds);
    store.make({ name: 'delete_entities', args: ['a'], author }, bounds);
    store.make({ name: 'undo', args: undefined, author }, bounds);

    expect(countsOf(store)).toMatchObject({ entities: 1, observations: 250 });
  });
});
