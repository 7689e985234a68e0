import { describe, expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { longSession, memoryStore, sessionWith } from '../store.fixture.ts';
import { compareBranches, getSummary } from './outline.ts';

/** Two ways from thought 2, and a third from the second thought of the first. */
const threeWays = [
  { thought: 'The question.' },
  { thought: 'The facts.' },
  { thought: 'Main way.' },
  { thoughtNumber: 3, thought: 'Way a.', branchFromThought: 2, branchId: 'a' },
  { thoughtNumber: 4, thought: 'More of a.', branchId: 'a' },
  { thoughtNumber: 4, thought: 'Way b.', branchFromThought: 3, branchId: 'b', nextThoughtNeeded: false },
  { thoughtNumber: 4, thought: 'Main way on.', isRevision: true, revisesThought: 1 },
];

describe('get_summary', () => {
  test('tells how a session begins and ends, its branches, and what was reconsidered', async () => {
    using store = memoryStore();
    const session = await sessionWith(store, ...threeWays);

    const summary = await invoke(getSummary, { session_id: session }, store);

    expect(summary).toEqual({
      session: {
        session_id: session,
        thoughts: 7,
        totalThoughts: 5,
        finished: false,
        created_at: '2026-11-20T12:00:00.000Z',
        updated_at: '2026-11-20T12:00:00.000Z',
      },
      first: { position: 1, thoughtNumber: 1, thought: 'The question.' },
      last: { position: 7, thoughtNumber: 4, thought: 'Main way on.' },
      branches: [
        {
          branchId: '',
          thoughts: 4,
          finished: false,
          last: { position: 7, thoughtNumber: 4, thought: 'Main way on.' },
        },
        {
          branchId: 'a',
          fromThought: 2,
          thoughts: 2,
          finished: false,
          last: { position: 5, thoughtNumber: 4, thought: 'More of a.' },
        },
        {
          branchId: 'b',
          fromThought: 3,
          thoughts: 1,
          finished: true,
          last: { position: 6, thoughtNumber: 4, thought: 'Way b.' },
        },
      ],
      revisions: [{ of: { position: 1, thoughtNumber: 1 }, by: [{ position: 7, thoughtNumber: 4 }] }],
    });
  });

  test('says the same of the same session every time, and of an empty one that it is empty', async () => {
    using store = memoryStore();
    const session = await sessionWith(store, ...threeWays);
    const empty = await sessionWith(store);

    const first = await invoke(getSummary, { session_id: session }, store);

    expect(await invoke(getSummary, { session_id: session }, store)).toEqual(first);
    expect(await invoke(getSummary, { session_id: empty }, store)).toMatchObject({
      session: { thoughts: 0, finished: false },
      branches: [{ branchId: '', thoughts: 0 }],
      revisions: [],
    });
  });

  test('joins revisions of revisions into one chain', async () => {
    using store = memoryStore();
    const revise = (revisesThought: number) => ({ isRevision: true, revisesThought });
    const session = await sessionWith(store, {}, {}, revise(1), revise(3), revise(2), revise(4));

    const { revisions } = await invoke(getSummary, { session_id: session }, store);

    expect(revisions.map(({ of, by }) => [of.position, ...by.map(({ position }) => position)])).toEqual([
      [1, 3, 4, 6],
      [2, 5],
    ]);
  });

  test('quotes about as much as it may, and cuts long lists', async () => {
    using store = memoryStore();
    const session = longSession(store, 4_000, (number) => ({
      thought: 'x'.repeat(5_000),
      ...(number > 1 && { isRevision: true, revisesThought: 1 }),
      ...(number > 1 && number <= 200 && { branchFromThought: 1, branchId: `b${number}` }),
    }));

    const summary = await invoke(getSummary, { session_id: session, max_chars: 1_000 }, store);

    const quoted = [summary.first, summary.last, ...summary.branches.map(({ last }) => last)];
    const length = quoted.reduce((sum, one) => sum + (one?.thought.length ?? 0), 0);
    expect(length).toBeLessThanOrEqual(1_100);
    expect(summary.branches).toHaveLength(51);
    expect(summary.revisions.flatMap(({ by }) => by)).toHaveLength(50);
    expect(summary.truncated).toBe(true);
  });
});

describe('compare_branches', () => {
  test('puts all lines side by side after the last thought that they share', async () => {
    using store = memoryStore();
    const session = await sessionWith(store, ...threeWays);

    const compared = await invoke(compareBranches, { session_id: session }, store);

    expect(compared).toMatchObject({ shared: 2, parting: { position: 2, thought: 'The facts.' } });
    expect(
      compared.branches.map(({ branchId, own, after_parting: after }) => [
        branchId,
        own,
        after.map(({ thought }) => thought),
      ]),
    ).toEqual([
      ['', 2, ['Main way.', 'Main way on.']],
      ['a', 2, ['Way a.', 'More of a.']],
      ['b', 2, ['Way a.', 'Way b.']],
    ]);
    expect(compared).not.toHaveProperty('truncated');
  });

  test('lets branches of a branch part where the second left the first', async () => {
    using store = memoryStore();
    const session = await sessionWith(store, ...threeWays);

    const compared = await invoke(compareBranches, { session_id: session, branches: ['b', 'a'] }, store);

    expect(compared).toMatchObject({
      shared: 3,
      parting: { position: 4, thought: 'Way a.' },
      branches: [
        { branchId: 'b', own: 1, finished: true },
        { branchId: 'a', own: 1, finished: false },
      ],
    });
  });

  test('has nothing shared with a branch that begins nowhere', async () => {
    using store = memoryStore();
    const session = await sessionWith(store, {}, { branchFromThought: 9, branchId: 'lost' });

    const compared = await invoke(compareBranches, { session_id: session }, store);

    expect(compared).toMatchObject({ shared: 0, branches: [{ own: 1 }, { own: 1 }] });
    expect(compared).not.toHaveProperty('parting');
  });

  test('shows the first thoughts of long branches and says that there are more', async () => {
    using store = memoryStore();
    const session = longSession(store, 300, (number) => ({
      thought: 'y'.repeat(2_000),
      ...(number > 100 && { branchFromThought: 1, branchId: number % 2 === 0 ? 'even' : 'odd' }),
    }));

    const args = { session_id: session, branches: ['odd', 'even'], limit: 5, max_chars: 500 };
    const compared = await invoke(compareBranches, args, store);

    expect(compared.branches.map(({ own, after_parting: after }) => [own, after.length])).toEqual([
      [100, 5],
      [100, 5],
    ]);
    expect(compared.truncated).toBe(true);
    expect(JSON.stringify(compared).length).toBeLessThan(2_500);
  });

  test('names a branch that does not exist', async () => {
    using store = memoryStore();
    const session = await sessionWith(store, {});

    const call = invoke(compareBranches, { session_id: session, branches: ['', 'nope'] }, store);

    await expect(call).rejects.toMatchObject({
      code: 'not_found',
      message: 'The session has no branch "nope".',
    });
  });
});
