/** Large changes are made by a thread, while others read and wait for their turn. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { expect, test, vi } from 'vitest';

import { invoke, testCall } from '#runtime/testing.ts';

import { openStore, type Store } from './store.ts';
import { countsOf, entity, graphOf } from './store.fixture.ts';
import { addObservations, createEntities } from './tools/create-graph.ts';
import { deleteEntities } from './tools/delete-graph.ts';
import { undo } from './tools/history.ts';

/** A store in a file, because nothing else has a thread. */
function fileStore(): { readonly store: Store } & AsyncDisposable {
  const folder = mkdtempSync(join(tmpdir(), 'memory-'));
  const store = openStore(join(folder, 'memory.db'));
  return {
    store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

const facts = (count: number) => Array.from({ length: count }, (_, number) => `fact ${number}`);
const large = (name: string, count = 3_000) => ({ entities: [entity(name, ...facts(count))] });
const small = (name: string) => ({ entities: [entity(name)] });

test('a large change is whole or not there for those who read, and is undone as one', async () => {
  await using opened = fileStore();
  const { store } = opened;
  const told: string[] = [];
  const call = { resourceUpdated: (uri: string) => void told.push(uri) };
  const seen = new Set<number>();

  const making = invoke(createEntities, large('a'), store, call);
  const isNext = async () => Promise.race([making, new Promise((next) => setImmediate(next, 'not yet'))]);
  while ((await isNext()) === 'not yet') {
    seen.add(countsOf(store).observations);
    store.probe();
  }
  const { entities } = await making;

  expect(entities).toEqual([entity('a', ...facts(3_000))]);
  expect(seen.has(0)).toBe(true);
  expect([...seen].every((count) => count === 0 || count === 3_000)).toBe(true);
  expect(told).toEqual(['memory://knowledge-graph', 'memory://entity/a']);
  await invoke(deleteEntities, { entityNames: ['a'] }, store);
  await invoke(undo, {}, store);
  expect(countsOf(store)).toMatchObject({ entities: 1, observations: 3_000 });
  expect(store.journal.count()).toBe(3);
});

test('small changes of another caller are made while a large change waits, which is made in the end', async () => {
  await using opened = fileStore();
  const { store } = opened;
  const order: string[] = [];
  const over = new AbortController();
  const hers = ['1', '2'].map(async (name) =>
    invoke(createEntities, large(name, 9_000), store, { caller: 'her' }).then(() => order.push(name)),
  );
  const all = Promise.all(hers).finally(() => over.abort());

  for (let number = 0; !over.signal.aborted; number += 1) {
    await invoke(createEntities, small(`his ${number}`), store, { caller: 'him' });
    order.push('his');
    await new Promise((next) => setImmediate(next));
  }
  await all;

  expect(order.slice(0, 4)).toEqual(['his', 'his', 'his', 'his']);
  expect(order.filter((name) => name !== 'his')).toEqual(['1', '2']);
  expect(countsOf(store).observations).toBe(18_000);
});

test('a change of another caller waits for none of many large ones', async () => {
  await using opened = fileStore();
  const { store } = opened;
  const order: string[] = [];
  const done = (name: string) => () => order.push(name);
  await invoke(createEntities, { entities: [entity('known')] }, store);

  const names = ['1', '2', '3', '4'];
  const hers = names.map(async (name) =>
    invoke(createEntities, large(name), store, { caller: 'her' }).then(done(name)),
  );
  const his = invoke(createEntities, small('his'), store, { caller: 'him' }).then(done('his'));
  const refused = invoke(
    addObservations,
    { observations: [{ entityName: 'unknown', contents: ['x'] }] },
    store,
    { caller: 'third' },
  );

  await expect(refused).rejects.toMatchObject({ code: 'not_found' });
  await Promise.all([...hers, his]);
  expect(order).toEqual(['his', '1', '2', '3', '4']);
  expect(countsOf(store)).toMatchObject({ entities: 6, observations: 12_000 });
});

test('a large change that fails, or is too large, says why and changes nothing', async () => {
  await using opened = fileStore();
  const { store } = opened;
  const more = { entityName: 'a', contents: facts(3_000) };
  await invoke(createEntities, small('a'), store);

  const fails = invoke(
    addObservations,
    { observations: [more, { entityName: 'unknown', contents: ['x'] }] },
    store,
  );
  await expect(fails).rejects.toMatchObject({
    code: 'not_found',
    message: 'Entity with name unknown not found',
    hint: expect.stringContaining('search_nodes'),
  });
  const texts = Array.from({ length: 40 }, (_, number) => `${number}`.padEnd(65_000, ' tea'));
  const tooLarge = invoke(addObservations, { observations: [{ entityName: 'a', contents: texts }] }, store);
  await expect(tooLarge).rejects.toMatchObject({ code: 'too_large' });

  expect(graphOf(store).entities).toEqual([entity('a')]);
  expect(store.journal.count()).toBe(1);
});

test('a change whose call is stopped is undone, and the next is made', async () => {
  await using opened = fileStore();
  const { store } = opened;
  const over = new AbortController();
  const stopped = invoke(createEntities, large('a'), store, { signal: over.signal });
  const waiting = invoke(createEntities, large('b'), store, { signal: over.signal });
  const next = invoke(createEntities, small('c'), store, { caller: 'other' });

  over.abort(new RangeError('gone'));

  await expect(stopped).rejects.toMatchObject({ code: 'cancelled' });
  await expect(waiting).rejects.toThrow('gone');
  await next;
  expect(graphOf(store).entities).toEqual([entity('c')]);
});

test('a client hears how far a long change and a long read are', async () => {
  await using opened = fileStore();
  const { store } = opened;
  vi.useFakeTimers({ toFake: ['setInterval', 'performance'] });
  const told: number[] = [];
  const call = testCall({ progress: (done) => void told.push(done) });
  const next = async () => {
    vi.advanceTimersByTime(500);
    return new Promise((done) => setImmediate(done, 'not yet'));
  };

  const making = invoke(createEntities, { entities: [entity('a', ...facts(9_000))] }, store, call);
  while ((await Promise.race([making, next()])) === 'not yet');
  vi.useRealTimers();
  const changed = told.splice(0);
  const reading = store.inTurns(
    call,
    (function* () {
      for (let step = 0; step < 3; step += 1) {
        const endMs = performance.now() + 510;
        while (performance.now() < endMs);
        yield;
      }
    })(),
  );
  await reading;

  expect(changed).toEqual([...new Set(changed)].toSorted((a, b) => a - b));
  expect(changed[0]).toBeGreaterThan(0);
  expect(told).toEqual([2, 3]);
});

test('a store that closes undoes what is being made, and says so', async () => {
  const opened = fileStore();
  const making = invoke(createEntities, large('a'), opened.store);
  const failure = making.catch((error: unknown) => error);

  await opened[Symbol.asyncDispose]();

  expect(await failure).toMatchObject({ code: 'unavailable' });
});

test('small changes need no thread', () => {
  using store = openStore(':memory:');
  const answer = store.change('create_entities', [entity('a')], testCall());

  expect(answer).not.toBeInstanceOf(Promise);
});
