/** What each token may keep, and how it makes room. */
import { cpSync, mkdirSync, mkdtempDisposableSync, readdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { openAgain, openDatabase } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import { invoke } from '#runtime/testing.ts';

import { kinds } from './journal.ts';
import { bytesKept } from './limits.ts';
import { indexFaults } from './search/index-faults.fixture.ts';
import service from './service.ts';
import { openStore, type Store } from './store.ts';
import { countsOf, entity, graphOf, memoriesIn, recorded, storeWith } from './store.fixture.ts';
import { addObservations, createEntities } from './tools/create-graph.ts';
import { deleteEntities } from './tools/delete-graph.ts';
import { getHistory, purgeHistory, undo } from './tools/history.ts';
import { openNodes } from './tools/read-graph.ts';
import { mergeEntities, renameEntity } from './tools/reshape-graph.ts';
import { addMemory, deleteMemories, updateMemory } from './tools/write-memories.ts';

const migrations = fileURLToPath(new URL('migrations', import.meta.url));

/** What the rows of a database say of what each token keeps. */
function counted(file: string): Record<string, { items: number; bytes: number }> {
  const database = openAgain(file);
  const kept: Record<string, { items: number; bytes: number }> = {};
  for (const kind of kinds) {
    const rows = database
      .prepare<[], { caller: string }>(
        `SELECT v.*, caller FROM ${kind} AS v JOIN change ON change.id = valid_from`,
      )
      .all();
    for (const row of rows) {
      const own = (kept[row.caller] ??= { items: 0, bytes: 0 });
      own.items += 1;
      own.bytes += bytesKept(kind, row);
    }
  }
  database.close();
  return kept;
}

const caller = fc.constantFrom('ada', 'bob');
const name = fc.constantFrom('a', 'b', '東京');
type Step = (store: Store, call: { readonly caller: string; readonly nowMs: number }) => Promise<unknown>;
const step: fc.Arbitrary<Step> = fc.oneof(
  name.map(
    (its): Step =>
      async (store, call) =>
        invoke(createEntities, { entities: [entity(its, 'x', '京都')] }, store, call),
  ),
  name.map(
    (its): Step =>
      async (store, call) =>
        invoke(deleteEntities, { entityNames: [its] }, store, call),
  ),
  fc.tuple(name, name).map(
    ([its, other]): Step =>
      async (store, call) =>
        invoke(renameEntity, { name: its, new_name: other }, store, call),
  ),
  fc.tuple(name, name).map(
    ([its, other]): Step =>
      async (store, call) =>
        invoke(mergeEntities, { names: [its], into: other }, store, call),
  ),
  fc.constant<Step>(async (store, call) => invoke(addMemory, { text: 'tea', ttl: 15 }, store, call)),
  fc.constant<Step>(async (store, call) => invoke(updateMemory, { id: 1, text: 'more tea' }, store, call)),
  fc.constant<Step>(async (store, call) => invoke(deleteMemories, { ids: [2] }, store, call)),
  fc.constant<Step>(async (store, call) => invoke(undo, {}, store, call)),
  fc.constant<Step>(async (store, call) => invoke(purgeHistory, {}, store, call)),
);

test('what is counted is what is there, whatever was stored, deleted, undone or purged', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(step, caller), { maxLength: 15 }), async (steps) => {
      using folder = mkdtempDisposableSync(join(tmpdir(), 'memory-'));
      const file = join(folder.path, 'memory.db');
      {
        using store = openStore(file);
        for (const [index, [take, who]] of steps.entries()) {
          const call = { caller: who, nowMs: Date.parse('2026-01-01T00:00:00Z') + index * 5_000 };
          // Steps may be refused.
          await take(store, call).catch((error: unknown) => {
            if (!(error instanceof ToolError)) throw error;
          });
          const known = Object.fromEntries(store.kept().holdings.map((one) => [one.owner, one]));
          for (const [owner, { items, bytes }] of Object.entries(counted(file))) {
            expect(known[owner]?.items).toBe(items);
            expect(Math.abs((known[owner]?.bytes ?? 0) - bytes)).toBeLessThan(15);
          }
        }
      }
      expect(indexFaults(file, migrations)).toEqual([]);
    }),
    { numRuns: 25 },
  );
});

test('a token that has used its quota is told how to make room, and nobody else is refused', async () => {
  using store = openStore(':memory:', { items: 5, bytes: 1_000_000 });
  const her = { caller: 'her' };
  await invoke(createEntities, { entities: [entity('a', '1', '2', '3')] }, store, her);
  const add = async (text: string, call: object) =>
    invoke(addObservations, { observations: [{ entityName: 'a', contents: [text] }] }, store, call);
  await add('4', her);

  await expect(add('5', her)).rejects.toMatchObject({
    code: 'too_large',
    message: expect.stringContaining('5 items'),
    hint: expect.stringContaining('purge_history'),
  });
  await add('5', { caller: 'him' });
  await invoke(deleteEntities, { entityNames: ['a'] }, store, her);
  await expect(invoke(createEntities, { entities: [entity('b')] }, store, her)).rejects.toMatchObject({
    code: 'too_large',
  });
  const purged = await invoke(purgeHistory, {}, store, her);
  await invoke(createEntities, { entities: [entity('b', '1')] }, store, her);

  expect(purged).toMatchObject({ purged: 5 - 1, more: false });
  expect(store.kept().holdings).toMatchObject([
    { owner: 'her', items: 3 },
    { owner: 'him', items: 1 },
  ]);
});

test('a quota in bytes holds for large changes too, which a thread makes', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'memory-'));
  await using store = openStore(join(folder.path, 'memory.db'), { items: 1_000_000, bytes: 1_048_576 });
  const facts = Array.from({ length: 2_000 }, (_, n) => `${n}`.padEnd(300, ' tea'));

  const large = invoke(createEntities, { entities: [entity('a', ...facts)] }, store);

  await expect(large).rejects.toMatchObject({ code: 'too_large', message: expect.stringContaining('1 MB') });
  expect(countsOf(store)).toEqual({ entities: 0, observations: 0, relations: 0 });
});

test('what another deleted comes back, although its owner has no room for a second copy', async () => {
  using store = openStore(':memory:', { items: 100, bytes: 1_000_000 });
  const facts = Array.from({ length: 60 }, (_, n) => `fact ${n}`);
  await invoke(createEntities, { entities: [entity('a', ...facts)] }, store, { caller: 'her' });
  await invoke(deleteEntities, { entityNames: ['a'] }, store, { caller: 'him' });

  const [deletion] = (await invoke(getHistory, { entity: 'a' }, store)).changes;

  await invoke(undo, { change_id: deletion?.change_id }, store, { caller: 'her' });

  expect(graphOf(store).entities).toEqual([entity('a', ...facts)]);
  await expect(
    invoke(addObservations, { observations: [{ entityName: 'a', contents: ['more'] }] }, store, {
      caller: 'her',
    }),
  ).rejects.toMatchObject({ code: 'too_large', hint: expect.stringContaining('get_history') as string });
});

test('what is purged is gone for good, and only what its caller stored and what has ended', async () => {
  using store = storeWith({});
  const her = { caller: 'her' };
  const later = { ...her, nowMs: Date.parse('2026-11-20T12:01:00Z') };
  await invoke(createEntities, { entities: [entity('a', 'x'), entity('b')] }, store, her);
  await invoke(createEntities, { entities: [entity('c', 'y')] }, store, { caller: 'him' });
  await invoke(addMemory, { text: 'tea', ttl: 30 }, store, her);
  await invoke(addMemory, { text: 'tea' }, store, her);
  await invoke(deleteEntities, { entityNames: ['a', 'c'] }, store, her);
  const before = await invoke(purgeHistory, { before: '2026-11-20' }, store, later);

  const purged = await invoke(purgeHistory, {}, store, later);

  expect(before.purged).toBe(0);
  expect(purged).toMatchObject({ purged: 3, more: false });
  const history = async (id: number) =>
    (await invoke(getHistory, { change_id: id }, store)).changes.map(({ added, removed, purged: gone }) => ({
      added,
      removed,
      gone,
    }));
  expect(await history(1)).toEqual([{ added: ['entity b (thing)'], removed: [], gone: true }]);
  expect(await history(5)).toMatchObject([{ removed: ['entity c (thing)', 'observation c: y'], gone: true }]);
  await expect(invoke(undo, { change_id: 5 }, store)).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('purged'),
  });
  expect(graphOf(store).entities).toEqual([entity('b')]);
  expect(memoriesIn(store)).toBe(1);
  await invoke(createEntities, { entities: [entity('d')] }, store);
  expect((await invoke(openNodes, { names: ['b', 'd'] }, store)).entities).toHaveLength(2);
});

test('existing rows get the owner who stored them', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'memory-'));
  const file = join(folder.path, 'memory.db');
  const former = join(folder.path, 'former');
  mkdirSync(former);
  for (const each of readdirSync(migrations).filter((name) => name < '005'))
    cpSync(join(migrations, each), join(former, each));
  const old = openDatabase(file, former);
  old.exec(`
    INSERT INTO change (id, at, caller, tool) VALUES (1, '', 'ada', ''), (2, '', 'bob', '');
    INSERT INTO entity (entity_id, name, type, valid_from, valid_to) VALUES (1, 'é', 't', 1, 2), (1, 'b', 't', 2, NULL);
    INSERT INTO observation (observation_id, entity_id, text, valid_from) VALUES (1, 1, 'likes tea', 1);`);
  old.close();

  using store = openStore(file);

  expect(store.kept().holdings).toEqual([
    { owner: 'ada', items: 2, bytes: 434 },
    { owner: 'bob', items: 1, bytes: 228 },
  ]);
});

test('the bytes that are counted are about those on the disk', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'memory-'));
  const file = join(folder.path, 'memory.db');
  const words = 'the staging database of our gateway moved to another port on Monday and was slow'.split(' ');
  const text = (from: number, count: number) =>
    Array.from({ length: count }, (_, at) => words[(from * 7 + at * 3) % words.length]).join(' ');
  let kept = 0;
  {
    using store = openStore(file);
    for (let round = 0; round < 10; round += 1) {
      recorded(store, (change) => {
        for (let at = 0; at < 100; at += 1) {
          const number = round * 100 + at;
          store.graph.createEntities(change, [
            entity(`entity ${number}`, text(number, 15), text(number + 1, 60)),
          ]);
          store.memories.add(change, { text: text(number, 30), project: 'p', session: `s${round}` });
        }
        store.notes.create(change, `/memories/${round}`, text(round, 1_000));
      });
    }
    kept = store.kept().holdings[0]?.bytes ?? 0;
  }
  const database = openAgain(file);
  database.pragma('wal_checkpoint(TRUNCATE)');
  database.close();

  const share = kept / statSync(file).size;
  expect(share).toBeGreaterThan(0.6);
  expect(share).toBeLessThan(1.6);
});

test('the quota is a setting', () => {
  const parsed = service.settings.parse({ FLOTILLA_MEMORY_QUOTA_MB: '7', FLOTILLA_MEMORY_QUOTA_ITEMS: '9' });
  expect(parsed).toMatchObject({ FLOTILLA_MEMORY_QUOTA_MB: 7, FLOTILLA_MEMORY_QUOTA_ITEMS: 9 });
  expect(service.settings.safeParse({ FLOTILLA_MEMORY_QUOTA_MB: '0' }).success).toBe(false);
});
