import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { openDatabase, transactionsOf } from '#runtime/database.ts';
import { testCall } from '#runtime/testing.ts';

import { openJournal } from './journal.ts';
import { openStore } from './store.ts';
import { containing, entity, fill, graphOf, recorded, relation, storeWith } from './store.fixture.ts';

test('a transaction that changes nothing leaves no entry', () => {
  using store = storeWith({ entities: [entity('a')] });

  fill(store, { entities: [entity('a', 'ignored')] });

  expect(store.journal.count()).toBe(1);
});

test('a transaction that fails half way changes nothing', () => {
  using store = storeWith({ entities: [entity('a')] });

  expect(() =>
    recorded(store, (change) => {
      store.graph.createEntities(change, [entity('b')]);
      store.graph.createRelations(change, [relation('a', 'missing')]);
    }),
  ).toThrow('Entity with name missing not found');
  expect(graphOf(store).entities).toEqual([entity('a')]);
  expect(containing(store, 'b')).toEqual([]);
});

test('watchers of the graph and of each touched entity are told, under old and new names', () => {
  using store = storeWith({ entities: [entity('a b'), entity('c')], relations: [relation('a b', 'c')] });
  const told: string[] = [];
  const call = testCall({ resourceUpdated: (uri) => told.push(uri) });

  void store.change('rename_entity', { name: 'a b', newName: 'd/e' }, call);

  expect(told.toSorted()).toEqual([
    'memory://entity/a%20b',
    'memory://entity/d%2Fe',
    'memory://knowledge-graph',
  ]);
});

test('nobody is told of what did not happen, nor of memories', () => {
  using store = openStore(':memory:');
  const told: string[] = [];
  const call = testCall({ resourceUpdated: (uri) => told.push(uri) });

  void store.change('delete_entities', ['nobody'], call);
  void store.change('add_memory', [{ text: 'note' }], call);

  expect(told).toEqual([]);
});

test('a write that another process keeps waiting is unavailable, not a bug', () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'memory-'));
  const file = join(folder.path, 'memory.db');
  using other = openStore(file);
  const database = openDatabase(file, fileURLToPath(new URL('migrations', import.meta.url)));
  database.pragma('busy_timeout = 0');
  const journal = openJournal(
    database,
    transactionsOf(database),
    {},
    { requireWithin: () => {}, afterwards: () => {} },
  );
  const write = () =>
    journal.record({ tool: 'test', caller: 'test', nowMs: 0 }, (change) =>
      change.insert('file', { path: '/memories/a', text: '' }),
    );

  const meanwhile = () =>
    recorded(other, () => {
      expect(write).toThrow(expect.objectContaining({ code: 'unavailable' }));
    });

  expect(meanwhile).not.toThrow();
  expect(write().changeId).toBe(1);
  database.close();
});

test('the journal cannot be altered', () => {
  const database = openDatabase(':memory:', fileURLToPath(new URL('migrations', import.meta.url)));
  const journal = openJournal(
    database,
    transactionsOf(database),
    {},
    { requireWithin: () => {}, afterwards: () => {} },
  );
  journal.record({ tool: 'test', caller: 'test', nowMs: 0 }, (change) =>
    change.insert('file', { path: '/memories/a', text: '' }),
  );

  expect(() => database.exec('DELETE FROM change')).toThrow('append-only');
  expect(() => database.exec("UPDATE change SET caller = 'other'")).toThrow('append-only');
  database.close();
});
