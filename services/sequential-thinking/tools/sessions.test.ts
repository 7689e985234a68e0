import { describe, expect, test } from 'vitest';

import { invoke, testCall } from '#runtime/testing.ts';

import { removedPerStep } from '../limits.ts';
import { contentOf, longSession, memoryStore, sessionWith, think } from '../store.fixture.ts';
import { getSession, searchThoughts } from './read-thoughts.ts';
import { deleteSession, listSessions, startSession } from './sessions.ts';

const { nowMs } = testCall();

test('a session that was begun by name is found under its title', async () => {
  using store = memoryStore();
  const { session_id: session } = await invoke(startSession, { title: 'Naming things' }, store);

  await think(store, { thought: 'Cache keys first.', session_id: session, nextThoughtNeeded: false });

  expect(await invoke(listSessions, {}, store)).toEqual({
    sessions: [
      {
        session_id: session,
        title: 'Naming things',
        thoughts: 1,
        totalThoughts: 5,
        finished: true,
        created_at: '2026-11-20T12:00:00.000Z',
        updated_at: '2026-11-20T12:00:00.000Z',
        first: 'Cache keys first.',
      },
    ],
  });
});

test('handles cannot be guessed', async () => {
  using store = memoryStore();

  const handles = await Promise.all(Array.from({ length: 100 }, async () => sessionWith(store)));

  expect(new Set(handles).size).toBe(100);
  for (const handle of handles) expect(handle).toMatch(/^[\w-]{20}$/);
});

test('list_sessions shows what the caller began, last used first, page by page', async () => {
  using store = memoryStore();
  const mine: string[] = [];
  for (let count = 0; count < 5; count += 1) {
    mine.push((await think(store, {}, { nowMs: nowMs + count })).session_id);
    await think(store, {}, { caller: 'bob' });
  }
  await think(store, { thoughtNumber: 2, session_id: mine[1] }, { nowMs: nowMs + 1_000 });

  const listed: string[] = [];
  for (let cursor: string | undefined; ;) {
    const page = await invoke(listSessions, { limit: 2, cursor }, store);
    listed.push(...page.sessions.map((session) => session.session_id));
    if (!page.next_cursor) break;
    cursor = page.next_cursor;
  }

  expect(listed).toEqual([1, 4, 3, 2, 0].map((index) => mine[index]));
});

describe('delete_session', () => {
  test('takes a session and all that is in it, and nothing else', async () => {
    using store = memoryStore();
    const gone = longSession(store, 2 * removedPerStep + 3, () => ({
      branchFromThought: 1,
      branchId: 'b',
    }));
    await sessionWith(store, { thought: 'stays' }, { branchFromThought: 1, branchId: 'b' });
    const others = contentOf(store).filter(({ handle }) => handle !== gone);

    const answer = await invoke(deleteSession, { session_id: gone }, store);

    expect(answer).toEqual({ session_id: gone, thoughts: 2 * removedPerStep + 3 });
    expect(contentOf(store)).toEqual(others);
    expect(store.sessions.removeLeftovers()).toBe(false);
    for (const again of [
      invoke(getSession, { session_id: gone }, store),
      invoke(deleteSession, { session_id: gone }, store),
    ])
      await expect(again).rejects.toMatchObject({ code: 'not_found' });
    await expect(think(store, { session_id: gone })).rejects.toMatchObject({ code: 'not_found' });
  });

  test('that is stopped goes on to its end, so that no room stays taken', async () => {
    using store = memoryStore();
    const thoughts = 3 * removedPerStep;
    const session = longSession(store, thoughts);
    const gone = AbortSignal.abort(new Error('gone'));

    const answer = await invoke(deleteSession, { session_id: session }, store, { signal: gone });

    expect(answer).toEqual({ session_id: session, thoughts });
    expect(contentOf(store)).toEqual([]);
    expect((await invoke(searchThoughts, { query: 'thought' }, store)).found).toEqual([]);
    expect(store.kept().holdings).toEqual([]);
    expect(store.sessions.removeLeftovers()).toBe(false);
  });
});

test('a full store takes nothing more, says so, keeps all it has, and takes again what was made room for', async () => {
  using store = memoryStore(2_000_000);
  const fill = async (handle?: string) => think(store, { thought: 'x'.repeat(60_000), session_id: handle });
  const { session_id: first } = await fill();
  const kept = await sessionWith(store, { thought: 'kept' });
  const fillUp = async () => {
    for (let count = 0; count < 100; count += 1) await fill(first);
  };

  await expect(fillUp()).rejects.toMatchObject({
    code: 'too_large',
    hint: expect.stringContaining('delete_session') as string,
  });
  await expect(invoke(startSession, {}, store)).rejects.toMatchObject({ code: 'too_large' });
  expect((await invoke(getSession, { session_id: kept }, store)).thoughts).toHaveLength(1);

  await invoke(deleteSession, { session_id: first }, store);
  expect(await think(store, { thoughtNumber: 2, session_id: kept })).toMatchObject({
    thoughtHistoryLength: 2,
  });
});
