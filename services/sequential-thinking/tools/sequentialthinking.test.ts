import { describe, expect, test } from 'vitest';

import { invoke } from '#runtime/testing.ts';

import { maxBranches, maxThoughtLength, maxThoughtsPerSession } from '../limits.ts';
import { contentOf, longSession, memoryStore, sessionWith, think } from '../store.fixture.ts';
import { compareBranches, getSummary } from './outline.ts';
import { getSession } from './read-thoughts.ts';

describe('What does not fit', () => {
  const faults = [
    ['an empty thought', { thought: ' \n' }, 'invalid_input', ['The thought is empty.']],
    [
      'a revision of a thought that does not exist',
      { isRevision: true, revisesThought: 99 },
      'not_found',
      ['no thought 99'],
    ],
    ['a revision without a target', { isRevision: true }, 'invalid_input', ['revisesThought does not say']],
    [
      'a branch from a thought that does not exist',
      { branchFromThought: 77, branchId: 'b' },
      'not_found',
      ['no thought 77'],
    ],
    ['a branch point without a branch', { branchFromThought: 1 }, 'invalid_input', ['without branchId']],
    [
      'a branch point with an empty name',
      { branchFromThought: 1, branchId: '' },
      'invalid_input',
      ['without branchId'],
    ],
    ['a branch without a point', { branchId: 'b' }, 'not_found', ['There is no branch "b"']],
    [
      'several faults at once',
      { thought: '', isRevision: true, branchFromThought: 5 },
      'invalid_input',
      ['empty', 'revisesThought', 'no thought 5', 'without branchId'],
    ],
  ] as const;

  test.each(faults)('is stored with a warning: %s', async (_name, said, _code, messages) => {
    using store = memoryStore();
    const session = await sessionWith(store, {});

    const { warnings, thoughtHistoryLength } = await think(store, {
      thoughtNumber: 2,
      session_id: session,
      ...said,
    });

    expect(warnings).toEqual(messages.map((message) => expect.stringContaining(message) as unknown));
    expect(thoughtHistoryLength).toBe(2);
  });

  test.each(faults)(
    'is refused when strict, and nothing is stored: %s',
    async (_name, said, code, messages) => {
      using store = memoryStore();
      const session = await sessionWith(store, {});
      const before = contentOf(store);

      const call = think(store, { thoughtNumber: 2, session_id: session, strict: true, ...said });

      await expect(call).rejects.toMatchObject({
        code,
        message: expect.stringContaining(messages[0]) as string,
      });
      expect(contentOf(store)).toEqual(before);
      expect(await invoke(getSummary, { session_id: session }, store)).toMatchObject({
        branches: [{ branchId: '' }],
      });
    },
  );
});

test.each([
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '💡 a/b "c" \n</x>',
  "'; DROP TABLE thought; --",
])('a branch may have any name: %j', async (name) => {
  using store = memoryStore();
  const session = await sessionWith(store, {});

  const begun = await think(store, {
    thoughtNumber: 2,
    branchFromThought: 1,
    branchId: name,
    session_id: session,
  });
  const next = await think(store, { thoughtNumber: 3, branchId: name, session_id: session });

  expect(begun).toMatchObject({
    branches: [name],
    branch: { branchId: name, fromThought: 1, thoughts: 1 },
    warnings: [],
  });
  expect(next).toMatchObject({ branches: [name], branch: { branchId: name, thoughts: 2 }, warnings: [] });
  const read = await invoke(getSession, { session_id: session, branch: name }, store);
  expect(read.thoughts.map(({ position, branchId }) => [position, branchId])).toEqual([
    [2, name],
    [3, name],
  ]);
  const compared = await invoke(compareBranches, { session_id: session, branches: ['', name] }, store);
  expect(compared.branches.map(({ branchId }) => branchId)).toEqual(['', name]);
});

test('branches are listed in the order in which they began, also where their names are numbers', async () => {
  using store = memoryStore();
  const branch = (branchId: string) => ({ branchFromThought: 1, branchId });

  const session = await sessionWith(store, {}, branch('2'), branch('b'), branch('1'));

  expect(await think(store, { session_id: session, thoughtNumber: 5 })).toMatchObject({
    branches: ['2', 'b', '1'],
  });
});

test('a number means the thought of the own line, then of the lines that it came from, then any', async () => {
  using store = memoryStore();
  const session = await sessionWith(
    store,
    {}, // 1
    {}, // 2
    { thoughtNumber: 2, branchFromThought: 1, branchId: 'a' }, // 3
    { thoughtNumber: 3, branchFromThought: 2, branchId: 'b' }, // 4, from position 3
    { thoughtNumber: 2, branchFromThought: 1, branchId: 'c' }, // 5
    { thoughtNumber: 4, branchId: 'b', isRevision: true, revisesThought: 2 }, // of position 3
    { thoughtNumber: 3, isRevision: true, revisesThought: 2 }, // of position 2
    { thoughtNumber: 4, isRevision: true, revisesThought: 4 }, // of position 6
  );

  const { revisions } = await invoke(getSummary, { session_id: session }, store);

  expect(revisions.map(({ of, by }) => [of.position, by.map(({ position }) => position)])).toEqual([
    [3, [6, 8]],
    [2, [7]],
  ]);
});

test.each([maxThoughtLength + 1, 1_048_576])(
  'a thought of %i characters is refused, and nothing is stored',
  async (length) => {
    using store = memoryStore();

    await expect(think(store, { thought: 'x'.repeat(length) })).rejects.toMatchObject({ code: 'too_large' });

    expect(contentOf(store)).toEqual([]);
  },
);

test('the longest thought is stored and read back', async () => {
  using store = memoryStore();
  const thought = '語'.repeat(maxThoughtLength);

  const { session_id: session } = await think(store, { thought });

  expect(store.thoughts.at(store.sessions.get(session), 1)?.text).toBe(thought);
});

test('a session takes as many branches as it may, and then goes on without more', async () => {
  using store = memoryStore();
  const session = longSession(store, maxBranches + 1, (number) =>
    number === 1 ? {} : { branchFromThought: 1, branchId: `b${number}` },
  );
  const another = { thoughtNumber: 9, branchFromThought: 1, branchId: 'one too many', session_id: session };

  await expect(think(store, another)).rejects.toMatchObject({
    code: 'too_large',
    hint: expect.stringContaining('start_session') as string,
  });

  expect(await think(store, { ...another, branchId: 'b2' })).toMatchObject({
    thoughtHistoryLength: maxBranches + 2,
    warnings: [],
  });
});

test('a session takes 100,000 thoughts and no more, and stays quick to read', async () => {
  using store = memoryStore();
  const session = longSession(store, maxThoughtsPerSession - 1);

  const last = await think(store, { thoughtNumber: maxThoughtsPerSession, session_id: session });
  const beyond = think(store, { thoughtNumber: maxThoughtsPerSession + 1, session_id: session });

  expect(last).toMatchObject({ thoughtHistoryLength: maxThoughtsPerSession, warnings: [] });
  await expect(beyond).rejects.toMatchObject({
    code: 'too_large',
    hint: expect.stringContaining('start_session') as string,
  });
  const read = await invoke(getSession, { session_id: session, from: 99_999 }, store);
  expect(read.thoughts.map(({ position }) => position)).toEqual([99_999, 100_000]);
  expect(await invoke(getSummary, { session_id: session }, store)).toMatchObject({
    session: { thoughts: maxThoughtsPerSession },
    branches: [{ thoughts: maxThoughtsPerSession }],
  });
});
