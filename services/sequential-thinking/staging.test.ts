import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

import { expect, test } from 'vitest';

import { testCall } from '#runtime/testing.ts';
import type { Steps } from '#runtime/turns.ts';

import type { Session } from './sessions.ts';
import { contentOf, memoryStore, quota } from './store.fixture.ts';
import { openStore, type Store } from './store.ts';

const thought = { thought: 'A thought.', nextThoughtNeeded: true, thoughtNumber: 1, totalThoughts: 5 };

/** Adds thoughts, each of which is a piece of its own; `told` hears how many there are. */
function filling(store: Store, count: number, told: (done: number) => void = () => {}) {
  return function* (session: Session): Steps<string> {
    const thoughts = store.thoughts.appendTo(session);
    for (let done = 1; done <= count; done += 1) {
      thoughts.add(thought, '2026-11-20T12:00:00.000Z', 'test');
      told(done);
      for (const endMs = performance.now() + 5; performance.now() < endMs;);
      yield;
    }
    return session.handle;
  };
}

test('others have their turns while a session is imported, and find nothing of it before it is whole', async () => {
  using store = memoryStore();
  const state = { isDone: false };
  const adding = store
    .addSession(testCall(), 'Plan', filling(store, 10))
    .finally(() => (state.isDone = true));
  const seen: unknown[] = [];
  while (!state.isDone) {
    seen.push(contentOf(store));
    await setImmediate();
  }
  seen.pop();
  const handle = await adding;

  expect(seen.length).toBeGreaterThan(5);
  expect(seen.flat()).toEqual([]);
  expect(store.sessions.get(handle)).toMatchObject({ title: 'Plan', thoughts: 10 });
  expect(store.kept().holdings).toEqual([{ owner: 'test', items: 11, bytes: 11 * 200 + 10 * 10 }]);
});

test('nothing is left of an import whose client goes', async () => {
  using store = memoryStore();
  const gone = new AbortController();
  const stopAt = (done: number) => done === 5 && gone.abort(new Error('gone'));

  await expect(
    store.addSession(testCall({ signal: gone.signal }), undefined, filling(store, 10, stopAt)),
  ).rejects.toThrow('gone');

  expect(contentOf(store)).toEqual([]);
  expect(store.kept().holdings.filter(({ items }) => items > 0)).toEqual([]);
});

test('nothing is left of an import that passes the quota', async () => {
  using store = openStore(':memory:', { ...quota, items: 5 });

  await expect(store.addSession(testCall(), undefined, filling(store, 10))).rejects.toMatchObject({
    code: 'too_large',
  });

  expect(contentOf(store)).toEqual([]);
  expect(store.kept().holdings.filter(({ items }) => items > 0)).toEqual([]);
});

test('nothing is left after the next start of an import that a crash broke off', () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'thinking-'));
  const file = join(folder.path, 'thinking.db');
  {
    using store = openStore(file, quota);
    const call = testCall();
    store.add(call, () => {
      const session = store.sessions.stage(call, undefined);
      store.thoughts.appendTo(session).add(thought, '2026-11-20T12:00:00.000Z', call.caller);
    });
  }

  using store = openStore(file, quota);

  expect(store.sessions.removeLeftovers()).toBe(false);
  expect(store.kept().holdings.filter(({ items }) => items > 0)).toEqual([]);
});
