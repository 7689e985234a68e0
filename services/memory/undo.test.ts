import fc from 'fast-check';
import { expect, test } from 'vitest';

import { ToolError } from '#runtime/errors.ts';
import type { Change } from './journal.ts';
import { openStore, type Store } from './store.ts';
import { entity, graphOf, rankedBy, recorded, relation, storeWith } from './store.fixture.ts';
import { takeBack } from './undo.ts';

const undoing = (store: Store, changeId?: number, caller = 'test') =>
  recorded(store, (change) => takeBack(store.journal, store.graph, change, changeId), { caller });

const doing = (store: Store, work: (change: Change) => unknown, caller = 'test') =>
  recorded(store, work, { caller });

const name = fc.constantFrom('a', 'b', 'c', 'd');
const text = fc.constantFrom('x', 'y', 'z');
type Step = (store: Store) => (change: Change) => unknown;

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ name, texts: fc.array(text) }).map(
    ({ name: its, texts }): Step =>
      (store) =>
      (change) =>
        store.graph.createEntities(change, [entity(its, ...texts)]),
  ),
  fc.record({ from: name, to: name }).map(
    ({ from, to }): Step =>
      (store) =>
      (change) =>
        store.graph.createRelations(change, [relation(from, to)]),
  ),
  fc.record({ name, texts: fc.array(text) }).map(
    ({ name: its, texts }): Step =>
      (store) =>
      (change) =>
        store.graph.addObservations(change, its, texts),
  ),
  fc.array(name).map(
    (names): Step =>
      (store) =>
      (change) =>
        store.graph.deleteEntities(change, names),
  ),
  fc.record({ name, texts: fc.array(text) }).map(
    ({ name: its, texts }): Step =>
      (store) =>
      (change) =>
        store.graph.deleteObservations(change, its, texts),
  ),
  fc.record({ from: name, to: name }).map(
    ({ from, to }): Step =>
      (store) =>
      (change) =>
        store.graph.rename(change, from, to),
  ),
  fc.record({ from: fc.array(name), to: name }).map(
    ({ from, to }): Step =>
      (store) =>
      (change) =>
        store.graph.merge(change, from, to),
  ),
);

/** Steps may be refused; a refused one must leave no trace, so that it counts like any other. */
function attempt(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof ToolError)) throw error;
  }
}

test('undoing change after change leads back through every state, and undoing the undos forth again', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      using store = openStore(':memory:');
      const states = [graphOf(store)];
      for (const make of steps) {
        const before = store.journal.count();
        attempt(() => doing(store, make(store)));
        if (store.journal.count() > before) states.push(graphOf(store));
        expect(graphOf(store)).toEqual(states.at(-1));
      }

      const undos: number[] = [];
      for (const state of states.slice(0, -1).toReversed()) {
        undoing(store);
        undos.push(store.journal.count());
        expect(graphOf(store)).toEqual(state);
      }
      for (const state of states.slice(1)) {
        undoing(store, undos.pop());
        expect(graphOf(store)).toEqual(state);
      }
    }),
  );
});

test('what the search finds follows every undo', () => {
  using store = storeWith({ entities: [entity('a', 'tea')] });
  doing(store, (change) => store.graph.deleteEntities(change, ['a']));

  undoing(store);

  expect(rankedBy(store, 'tea')).toEqual([1]);
});

test('undo takes the newest change of the caller, not that of another', () => {
  using store = storeWith({ entities: [entity('mine')] });
  doing(store, (change) => store.graph.createEntities(change, [entity('theirs')]), 'other');

  undoing(store);

  expect(graphOf(store).entities).toEqual([entity('theirs')]);
});

test('a change that a later one built on cannot be undone', () => {
  using store = storeWith({ entities: [entity('a')] });
  doing(store, (change) => store.graph.addObservations(change, 'a', ['x']));

  expect(() => undoing(store, 1)).toThrow(expect.objectContaining({ code: 'conflict' }));
  expect(graphOf(store).entities).toEqual([entity('a', 'x')]);
});

test('a deletion cannot be undone when its name was given again', () => {
  using store = storeWith({ entities: [entity('a', 'old')] });
  doing(store, (change) => store.graph.deleteEntities(change, ['a']));
  doing(store, (change) => store.graph.createEntities(change, [entity('a', 'new')]));

  expect(() => undoing(store, 2)).toThrow(expect.objectContaining({ code: 'conflict' }));
  expect(graphOf(store).entities).toEqual([entity('a', 'new')]);
});

test('a change is not undone twice', () => {
  using store = storeWith({ entities: [entity('a')] });
  undoing(store, 1);

  expect(() => undoing(store, 1)).toThrow(
    expect.objectContaining({ code: 'conflict', hint: 'Undo change 2 to bring it back.' }),
  );
});

test.each([[undefined], [9]])('without a change to undo, undo says so (%s)', (changeId) => {
  using store = openStore(':memory:');

  expect(() => undoing(store, changeId)).toThrow(expect.objectContaining({ code: 'not_found' }));
});

test('memories and files come back as they were', () => {
  using store = openStore(':memory:');
  const { id } = doing(store, (change) => store.memories.add(change, { text: 'old', tags: ['t'] })) as {
    id: number;
  };
  doing(store, (change) => store.memories.update(change, id, { text: 'new' }));
  doing(store, (change) => store.notes.create(change, '/memories/f', 'text'));
  doing(store, (change) => store.notes.remove(change, '/memories/f'));

  undoing(store);
  expect(store.notes.read('/memories/f')?.text).toBe('text');
  undoing(store, 2);
  expect(store.memories.get(id, '2026')).toMatchObject({ text: 'old', tags: ['t'] });
});
