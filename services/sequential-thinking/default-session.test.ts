import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { testCall } from '#runtime/testing.ts';

import { defaultIdleMs } from './limits.ts';
import { contentOf, memoryStore, sessionWith, think } from './store.fixture.ts';

const { nowMs } = testCall();

describe('A thought without session_id', () => {
  test('begins a session with number 1, and continues it with the next', async () => {
    using store = memoryStore();

    const first = await think(store);
    const second = await think(store, { thoughtNumber: 2 });
    const again = await think(store);

    expect(second).toMatchObject({ session_id: first.session_id, thoughtHistoryLength: 2, warnings: [] });
    expect(again).toMatchObject({ thoughtHistoryLength: 1, warnings: [] });
    expect(again.session_id).not.toBe(first.session_id);
  });

  test('continues with number 1 too where it is a revision or on a branch', async () => {
    using store = memoryStore();
    const { session_id: begun } = await think(store);

    const revision = await think(store, { isRevision: true, revisesThought: 1 });
    const branch = await think(store, { branchFromThought: 1, branchId: 'other' });

    expect([revision.session_id, branch.session_id]).toEqual([begun, begun]);
    expect(branch).toMatchObject({ thoughtHistoryLength: 3, warnings: [] });
  });

  test('never continues the session of another token', async () => {
    using store = memoryStore();
    const ada = await think(store, {}, { caller: 'ada' });

    const bob = await think(store, { thoughtNumber: 2 }, { caller: 'bob' });

    expect(bob.session_id).not.toBe(ada.session_id);
    expect(bob).toMatchObject({
      thoughtHistoryLength: 1,
      warnings: [expect.stringMatching(/^None of your sessions .* Pass session_id/)],
    });
    expect(await think(store, { thoughtNumber: 2 }, { caller: 'ada' })).toMatchObject({
      session_id: ada.session_id,
      thoughtHistoryLength: 2,
    });
  });

  test('is not mixed up between two tokens that think at the same time', async () => {
    using store = memoryStore();

    for (let number = 1; number <= 20; number += 1) {
      for (const caller of ['ada', 'bob'])
        await think(store, { thoughtNumber: number, thought: `${caller} ${number}` }, { caller });
    }

    for (const caller of ['ada', 'bob']) {
      const sessions = contentOf(store, caller);
      expect(sessions).toHaveLength(1);
      expect(sessions[0]?.thoughts.map(({ thought }) => thought)).toEqual(
        Array.from({ length: 20 }, (_, index) => `${caller} ${index + 1}`),
      );
    }
  });

  test('is not mixed up between two clients of one token that the protocol tells apart', async () => {
    using store = memoryStore();
    const said = async (session: string | undefined, thoughtNumber: number, args: object = {}) =>
      think(store, { thoughtNumber, thought: `${session} ${thoughtNumber}`, ...args }, { session });
    const [a, b] = [await said('a', 1), await said('b', 1)];

    // Each is at the other's number again and again, and revises what it said itself.
    for (let number = 2; number <= 5; number += 1) {
      for (const client of ['b', 'a']) await said(client, number);
      await said('a', number, { isRevision: true, revisesThought: number - 1 });
    }
    await said('a', 6, { nextThoughtNeeded: false });
    const late = await said('a', 7);

    const thoughts = new Map(
      contentOf(store).map((session) => [session.handle, session.thoughts.map(({ thought }) => thought)]),
    );
    expect(thoughts.get(a.session_id)?.every((thought) => thought.startsWith('a '))).toBe(true);
    expect(thoughts.get(b.session_id)).toEqual([1, 2, 3, 4, 5].map((number) => `b ${number}`));
    expect(late).toMatchObject({ thoughtHistoryLength: 1, warnings: [expect.any(String)] });
  });

  test('of such a client that has begun none goes on in one that no client was named for', async () => {
    using store = memoryStore();
    const begun = await think(store);

    expect(await think(store, { thoughtNumber: 2 }, { session: 'a' })).toMatchObject({
      session_id: begun.session_id,
      warnings: [],
    });
    await think(store, { thoughtNumber: 1 }, { session: 'a' });
    await think(store, { thoughtNumber: 2, nextThoughtNeeded: false }, { session: 'a' });
    expect((await think(store, { thoughtNumber: 3 }, { session: 'a' })).session_id).not.toBe(
      begun.session_id,
    );
    expect((await think(store, { thoughtNumber: 3 })).session_id).toBe(begun.session_id);
  });

  test.each([
    ['that take turns', ['a1', 'b1', 'a2', 'b2', 'a3', 'b3', 'a4', 'b4']],
    ['of which one is ahead', ['a1', 'a2', 'a3', 'b1', 'a4', 'b2', 'a5', 'b3', 'a6', 'b4']],
    ['of which one finishes', ['a1', 'a2', 'b1', 'a3.', 'b2', 'b3', 'b4.', 'a1', 'b1', 'a2', 'b2']],
    ['of which one has more to say than it expected', ['a1', 'b1', 'b2.', 'a2', 'a3', 'a4', 'b3']],
  ])('is not mixed up between two clients of one token %s', async (_name, calls) => {
    using store = memoryStore();

    for (const said of calls) {
      const nextThoughtNeeded = !said.endsWith('.');
      await think(store, { thought: said, thoughtNumber: Number(said[1]), nextThoughtNeeded });
    }

    const clients = contentOf(store).map(
      ({ thoughts }) => new Set(thoughts.map(({ thought }) => thought[0])),
    );
    expect(clients.length).toBeGreaterThanOrEqual(2);
    for (const client of clients) expect(client.size).toBe(1);
  });

  test('is never mixed up between clients of one token that count their thoughts', async () => {
    const turn = fc.record({
      client: fc.integer({ min: 0, max: 2 }),
      what: fc.constantFrom('on', 'on', 'on', 'end', 'anew'),
    });

    await fc.assert(
      fc.asyncProperty(fc.array(turn, { maxLength: 30 }), async (turns) => {
        using store = memoryStore();
        const lastNumbers = [0, 0, 0];
        for (const { client, what } of turns) {
          const thoughtNumber = what === 'anew' ? 1 : (lastNumbers[client] ?? 0) + 1;
          lastNumbers[client] = what === 'end' ? 0 : thoughtNumber;
          await think(store, { thought: `${client}`, thoughtNumber, nextThoughtNeeded: what !== 'end' });
        }

        for (const { thoughts } of contentOf(store))
          expect(new Set(thoughts.map(({ thought }) => thought)).size).toBe(1);
      }),
    );
  });

  test('continues of several the one whose last number comes before its own', async () => {
    using store = memoryStore();
    const { session_id: ahead } = await think(store);
    await think(store, { thoughtNumber: 2 });
    const { session_id: behind } = await think(store);

    const third = await think(store, { thoughtNumber: 3 });
    const second = await think(store, { thoughtNumber: 2 });

    expect([third.session_id, second.session_id]).toEqual([ahead, behind]);
    expect([third.warnings, second.warnings]).toEqual([[], []]);
  });

  test.each([
    ['fits several equally', { thoughtNumber: 2 }],
    ['fits none of several', { thoughtNumber: 9 }],
    ['is a revision and several are open', { thoughtNumber: 2, isRevision: true, revisesThought: 1 }],
    ['is on a branch and several are open', { thoughtNumber: 2, branchFromThought: 1, branchId: 'b' }],
  ])('begins a session and says so where it %s', async (_name, said) => {
    using store = memoryStore();
    const { session_id: one } = await think(store);
    const { session_id: two } = await think(store);

    const third = await think(store, said);

    expect([one, two]).not.toContain(third.session_id);
    expect(third.warnings[0]).toMatch(/^Several of your sessions .* Pass session_id/);
  });

  test('continues the only open one with any number, and says what is odd', async () => {
    using store = memoryStore();
    const { session_id: begun } = await think(store);

    const jump = await think(store, { thoughtNumber: 7 });

    expect(jump).toMatchObject({
      session_id: begun,
      warnings: [expect.stringContaining('Thought 7 does not follow thought 1')],
    });
  });

  test.each([
    [
      'is finished',
      async (store: ReturnType<typeof memoryStore>) => think(store, { nextThoughtNeeded: false }),
      0,
    ],
    ['has been idle for too long', think, defaultIdleMs],
    [
      'was begun by name',
      async (store: ReturnType<typeof memoryStore>) => sessionWith(store, { thought: 'named' }),
      0,
    ],
  ])('does not continue a session that %s', async (_name, begin, laterMs) => {
    using store = memoryStore();
    await begin(store);

    const next = await think(store, { thoughtNumber: 2 }, { nowMs: nowMs + laterMs });

    expect(next).toMatchObject({ thoughtHistoryLength: 1, warnings: [expect.stringContaining('None of')] });
  });

  test('continues a session up to the last moment of its wait', async () => {
    using store = memoryStore();
    await think(store);

    const next = await think(store, { thoughtNumber: 2 }, { nowMs: nowMs + defaultIdleMs - 1 });

    expect(next).toMatchObject({ thoughtHistoryLength: 2, warnings: [] });
  });

  test('is refused where it is unclear and strict, and begins nothing', async () => {
    using store = memoryStore();

    await expect(think(store, { thoughtNumber: 2, strict: true })).rejects.toMatchObject({
      code: 'conflict',
    });

    expect(contentOf(store)).toEqual([]);
  });
});

test('a thought with session_id goes there, whoever began the session, finished or idle', async () => {
  using store = memoryStore();
  const { session_id: handle } = await think(store, { nextThoughtNeeded: false });

  const next = await think(
    store,
    { thoughtNumber: 2, session_id: handle },
    { caller: 'bob', nowMs: nowMs + 10 * defaultIdleMs },
  );

  expect(next).toMatchObject({ session_id: handle, thoughtHistoryLength: 2, warnings: [] });
});
