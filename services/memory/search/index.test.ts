import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import fc from 'fast-check';
import { expect, test } from 'vitest';

import { openDatabase } from '#runtime/database.ts';
import type { Change } from '../journal.ts';
import { atOnce, recorded } from '../store.fixture.ts';
import { openStore, type Store } from '../store.ts';
import { indexFaults } from './index-faults.fixture.ts';

const migrations = fileURLToPath(new URL('../migrations', import.meta.url));
const startMs = Date.parse('2026-01-01T00:00:00Z');

const memory = fc.record({
  text: fc
    .array(fc.constantFrom('tea', 'heron', 'lake', 'swim', '東京'), { maxLength: 6 })
    .map((all) => all.join(' ')),
  project: fc.constantFrom(undefined, 'p', 'q'),
  speaker: fc.constantFrom(undefined, 'Ana'),
  tags: fc.subarray(['x', 'y']),
  ttl: fc.constantFrom(undefined, 1, 100),
});
const step = fc.oneof(
  fc.record({ add: memory }),
  fc.record({ remove: fc.integer({ min: 1, max: 9 }) }),
  fc.record({ update: fc.integer({ min: 1, max: 9 }), text: fc.constantFrom('tea lake', 'swim') }),
);
type Step = typeof step extends fc.Arbitrary<infer One> ? One : never;

function take(store: Store, one: Step, nowMs: number): void {
  const taken = (change: Change) => {
    if ('add' in one) store.memories.add(change, one.add);
    else if ('remove' in one) store.memories.remove(change, one.remove);
    else if ('update' in one && store.journal.live('memory', one.update)?.expires_at === null)
      store.memories.update(change, one.update, { text: one.text });
  };
  recorded(store, taken, { nowMs });
}

test('the lists hold what the live memories say, whatever was added, changed, deleted or expired', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      using folder = mkdtempDisposableSync(join(tmpdir(), 'memory-'));
      const file = join(folder.path, 'memory.db');
      {
        using store = openStore(file);
        for (const [index, one] of steps.entries()) take(store, one, startMs + index * 10_000);
      }

      expect(indexFaults(file, migrations)).toEqual([]);
    }),
    { numRuns: 30 },
  );
});

test('what has expired leaves the lists with the writes that follow, and is deleted and undone like the rest', () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'memory-'));
  const file = join(folder.path, 'memory.db');
  const indexed = (store: Store) =>
    atOnce(
      store.memories.search(
        { query: 'heron' },
        { offset: 0, limit: 100, bytes: 1_000_000, now: '2000-01-01T00:00:00.000Z' },
      ),
    ).found.length;
  {
    using store = openStore(file);
    const herons = Array.from({ length: 60 }, () => ({ text: 'heron', ttl: 60 }));
    recorded(store, (change) => herons.forEach((heron) => store.memories.add(change, heron)), {
      nowMs: startMs,
    });
    const write = () =>
      recorded(store, (change) => store.memories.add(change, { text: 'tea' }), { nowMs: startMs + 61_000 });
    expect(indexed(store)).toBe(60);
    write();
    expect(indexed(store)).toBe(40);
    write();
    write();
    expect(indexed(store)).toBe(0);
    recorded(store, (change) => store.memories.remove(change, 1), { nowMs: startMs + 62_000 });
  }

  expect(indexFaults(file, migrations)).toEqual([]);
});

test('the check finds a posting too few, one too many and a wrong total', () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'memory-'));
  const file = join(folder.path, 'memory.db');
  {
    using store = openStore(file);
    recorded(store, (change) => store.memories.add(change, { text: 'heron lake' }));
  }
  const database = openDatabase(file, migrations);
  database.exec(`
    DELETE FROM memory_posting WHERE term = 'heron';
    INSERT INTO memory_posting SELECT 'other', scope, first_id, block FROM memory_posting WHERE term = 'lake';
    UPDATE memory_scope SET terms = 7;`);
  database.close();

  expect(indexFaults(file, migrations)).toHaveLength(3);
});
