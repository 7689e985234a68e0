/** Indexes that another version of the code made are built anew, while the store is used. */
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { openAgain } from '#runtime/database.ts';
import { invoke } from '#runtime/testing.ts';

import { openStore, type Store } from '../store.ts';
import { containing, entity, fill, rankedBy, recorded } from '../store.fixture.ts';
import { searchMemories } from '../tools/read-memories.ts';
import { indexFaults } from './index-faults.fixture.ts';

const migrations = fileURLToPath(new URL('../migrations', import.meta.url));

/** As after an upgrade. */
function outdate(file: string): void {
  const database = openAgain(file);
  database.exec('UPDATE memory_index SET analyzer = 0; UPDATE node_index SET analyzer = 0');
  database.close();
}

const found = async (store: Store, query: string) =>
  (await invoke(searchMemories, { query, limit: 500, token_budget: 100_000 }, store)).memories
    .map(({ id }) => id)
    .toSorted((a, b) => a - b);

const numbers = (count: number) => Array.from({ length: count }, (_, number) => number);

test('searches find everything at every step, and changes meanwhile are not lost', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'memory-'));
  const file = join(folder.path, 'memory.db');
  {
    using store = openStore(file);
    const words = numbers(60).map((number) => `word${number}`);
    recorded(store, (change) => {
      for (const number of numbers(150))
        store.memories.add(change, {
          text: `heron ${number} ${words.join(' ')}`,
          project: number % 2 ? 'p' : undefined,
        });
    });
    fill(store, {
      entities: numbers(450).map((number) => entity(`n${number}`, 'likes herons', 'x'.repeat(300))),
    });
    outdate(file);

    const ids = new Set(numbers(150).map((number) => number + 1));
    const names = new Set(numbers(450).map((number) => number + 1));
    let steps = 0;
    for (let share = store.rebuilding(); share !== undefined; share = store.rebuild()) {
      steps += 1;
      expect(share).toBeGreaterThanOrEqual(0);
      recorded(store, (change) => {
        ids.add(store.memories.add(change, { text: 'heron new' }).id);
        store.memories.remove(change, 2 * steps);
        store.memories.update(change, 2 * steps + 1, { text: 'heron changed' });
        store.graph.createEntities(change, [entity(`new${steps}`, 'likes herons')]);
        store.graph.deleteEntities(change, [`n${steps}`]);
      });
      ids.delete(2 * steps);
      names.add(450 + steps);
      names.delete(steps + 1);

      expect(await found(store, 'heron')).toEqual([...ids].toSorted((a, b) => a - b));
      expect(containing(store, 'HERONS')).toEqual([...names].toSorted((a, b) => a - b));
    }

    expect(steps).toBeGreaterThan(8);
    expect(new Set(rankedBy(store, 'liking a heron'))).toEqual(names);
  }
  expect(indexFaults(file, migrations)).toEqual([]);
});

test('a new store has nothing to build', () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'memory-'));
  using store = openStore(join(folder.path, 'memory.db'));

  expect(store.rebuilding()).toBeUndefined();
});

test('a store that opens with outdated indexes builds them by itself, in a thread', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'memory-'));
  const file = join(folder.path, 'memory.db');
  {
    using store = openStore(file);
    const entities = numbers(1_000).map((number) => entity(`n${number}`, 'likes herons', 'x'.repeat(600)));
    fill(store, { entities });
    recorded(store, (change) => store.memories.add(change, { text: 'heron' }));
    outdate(file);
  }
  const told: string[] = [];
  {
    await using store = openStore(file);
    expect(store.rebuilding()).toBeLessThan(1);

    await store.rebuildAll((event) => void told.push(event));

    expect(store.rebuilding()).toBeUndefined();
    expect(rankedBy(store, 'liking a heron')).toHaveLength(1_000);
    expect(await found(store, 'heron')).toEqual([1]);
  }
  expect(told).toEqual(['indexes_rebuilding', 'indexes_rebuilt']);
  expect(indexFaults(file, migrations)).toEqual([]);
});
