import { describe, expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { pageBytes } from '#runtime/page.ts';

import { maxRowsPerSearch, maxThoughtLength } from '../limits.ts';
import { longSession, memoryStore, sessionWith, think } from '../store.fixture.ts';
import type { Store } from '../store.ts';
import { getSession, searchThoughts } from './read-thoughts.ts';

const search = async (store: Store, query: string, args: object = {}, caller = 'test') =>
  invoke(searchThoughts, { query, ...args }, store, { caller });

describe('get_session', () => {
  test('reads a session page by page, and each branch alone', async () => {
    using store = memoryStore();
    const session = longSession(store, 60, (number) =>
      number % 3 === 0 ? { branchFromThought: 1, branchId: 'b' } : {},
    );
    const positions = async (args: object) => {
      const found: number[] = [];
      for (let cursor: string | undefined; ;) {
        const page = await invoke(getSession, { session_id: session, ...args, cursor }, store);
        found.push(...page.thoughts.map(({ position }) => position));
        if (!page.next_cursor) return found;
        cursor = page.next_cursor;
      }
    };
    const all = Array.from({ length: 60 }, (_, index) => index + 1);

    expect(await positions({})).toEqual(all);
    expect(await positions({ limit: 7, from: 11 })).toEqual(all.slice(10));
    expect(await positions({ limit: 7, branch: 'b' })).toEqual(all.filter((position) => position % 3 === 0));
    expect(await positions({ limit: 7, branch: '' })).toEqual(all.filter((position) => position % 3 !== 0));
    expect(await positions({ from: 61 })).toEqual([]);
  });

  test('holds no more text than an answer may, but always a thought', async () => {
    using store = memoryStore();
    const session = longSession(store, 20, () => ({ thought: 'x'.repeat(10_000) }));

    const page = await invoke(getSession, { session_id: session }, store);

    expect(page.thoughts.length).toBeGreaterThan(1);
    expect(page.thoughts.length * 10_000).toBeLessThanOrEqual(pageBytes);
    expect(page).toMatchObject({ truncated: true, next_cursor: expect.any(String) as string });
  });

  test('gives a thought that is longer than an answer in parts', async () => {
    using store = memoryStore();
    const long = '語'.repeat(maxThoughtLength);
    const session = await sessionWith(store, { thought: 'a' }, { thought: long }, { thought: 'b' });
    const texts = new Map<number, string>();
    for (let cursor: string | undefined, isFirst = true; isFirst || cursor; isFirst = false) {
      const page = await invoke(getSession, { session_id: session, cursor }, store);
      for (const { position, thought, offset = 0 } of page.thoughts) {
        expect(Buffer.byteLength(thought)).toBeLessThanOrEqual(pageBytes);
        expect(texts.get(position) ?? '').toHaveLength(offset);
        texts.set(position, (texts.get(position) ?? '') + thought);
      }
      cursor = page.next_cursor;
    }

    expect([...texts]).toEqual([
      [1, 'a'],
      [2, long],
      [3, 'b'],
    ]);
  });

  test('refuses a cursor of other arguments', async () => {
    using store = memoryStore();
    const session = longSession(store, 3);
    const { next_cursor: cursor } = await invoke(getSession, { session_id: session, limit: 1 }, store);

    for (const args of [{ limit: 2 }, { limit: 1, branch: '' }, { limit: 1, from: 2 }]) {
      const call = invoke(getSession, { session_id: session, ...args, cursor }, store);
      await expect(call).rejects.toMatchObject({ code: 'invalid_input' });
    }
  });
});

describe('search_thoughts', () => {
  test('finds thoughts with all words in any case, order and script, newest first', async () => {
    using store = memoryStore();
    const session = await sessionWith(
      store,
      { thought: 'The CACHE is stale.' },
      { thought: 'Nothing of interest.' },
      { thought: 'stale Äpfel, cached' },
      { thought: '設計を見直す' },
    );
    const found = async (query: string) =>
      (await search(store, query, { session_id: session })).found.map(({ position }) => position);

    expect(await found('cache stale')).toEqual([3, 1]);
    expect(await found('ÄPFEL')).toEqual([3]);
    expect(await found('見直')).toEqual([4]);
    expect(await found('cache missing')).toEqual([]);
  });

  test('looks without session_id only at what the caller began, and with it wherever it leads', async () => {
    using store = memoryStore();
    const { session_id: hers } = await think(store, { thought: 'a secret plan' }, { caller: 'ada' });

    expect((await search(store, 'secret', {}, 'ada')).found).toHaveLength(1);
    expect((await search(store, 'secret', {}, 'bob')).found).toEqual([]);
    expect((await search(store, 'secret', { session_id: hers }, 'bob')).found).toHaveLength(1);
  });

  test.each([
    '"',
    '%',
    '_',
    '*',
    'a" OR "b',
    "'; DROP TABLE thought; --",
    'NEAR(',
    '(((a+)+)+)+$',
    '\\',
    'thought:*',
  ])('takes %j for what it says, and for nothing else', async (query) => {
    using store = memoryStore();
    await sessionWith(store, { thought: 'ab cd' }, { thought: `before ${query} after` });

    expect((await search(store, query)).found.map(({ position }) => position)).toEqual([2]);
  });

  test('shows the part of a long thought around the first word', async () => {
    using store = memoryStore();
    await sessionWith(store, { thought: `${'💡'.repeat(1_000)} needle ${'x '.repeat(1_000)}` });

    const [found] = (await search(store, 'needle')).found;

    expect(found?.excerpt).toMatch(/^….* needle .*…$/su);
    expect(found?.excerpt.isWellFormed()).toBe(true);
    expect(found?.excerpt.length).toBeLessThan(250);
  });

  test('goes on where an answer ended, and finds each thought once', async () => {
    using store = memoryStore();
    const session = longSession(store, 95, (number) => ({
      thought: `${number % 2 === 0 ? 'even' : 'odd'} ${number}`,
    }));

    for (const where of [{}, { session_id: session }]) {
      const found: number[] = [];
      for (let cursor: string | undefined; ;) {
        const page = await search(store, 'even', { ...where, limit: 10, cursor });
        found.push(...page.found.map(({ position }) => position));
        if (!page.next_cursor) break;
        cursor = page.next_cursor;
      }

      expect(found).toEqual(Array.from({ length: 47 }, (_, index) => 94 - 2 * index));
    }
  });

  test('looks at so many thoughts in one call, in turns, and says how to go on', async () => {
    using store = memoryStore();
    await sessionWith(store, { thought: 'needle' });
    for (let count = 0; count <= maxRowsPerSearch; count += 50_000) longSession(store, 50_000);
    let turns = 0;
    const other = setInterval(() => (turns += 1), 0);

    const first = await search(store, 'needle');
    clearInterval(other);
    const second = await search(store, 'needle', { cursor: first.next_cursor });

    expect(first).toMatchObject({ found: [], truncated: true });
    expect(second.found).toHaveLength(1);
    expect(second).not.toHaveProperty('truncated');
    expect(turns).toBeGreaterThan(20);
  });

  test('stops when the caller is gone', async () => {
    using store = memoryStore();
    longSession(store, 10_000);
    const gone = AbortSignal.abort(new Error('gone'));

    const call = invoke(searchThoughts, { query: 'needle' }, store, { signal: gone });

    await expect(call).rejects.toThrow('gone');
  });
});
