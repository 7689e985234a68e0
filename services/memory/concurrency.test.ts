import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { expect, test } from 'vitest';

import { indexFaults } from './search/index-faults.fixture.ts';
import { openStore } from './store.ts';
import { containing, countsOf, graphOf, memoriesIn } from './store.fixture.ts';

const migrations = fileURLToPath(new URL('migrations', import.meta.url));
const script = fileURLToPath(new URL('writer.fixture.ts', import.meta.url));

function writer(file: string, name: string, clients: number, creates: number, facts = 1) {
  const child = spawn(process.execPath, [script, file, name, ...[clients, creates, facts].map(String)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return { child, lines: createInterface({ input: child.stdout }), closed: once(child, 'close') };
}

test('1,000 entities and memories of 20 clients in two processes all stay', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'memory-'));
  const file = join(folder.path, 'memory.db');

  const exits = await Promise.all(['one', 'two'].map((name) => writer(file, name, 10, 50).closed));

  using store = openStore(file);
  expect(exits.map(([code]) => code)).toEqual([0, 0]);
  expect(countsOf(store)).toEqual({ entities: 1_000, observations: 1_000, relations: 0 });
  expect(containing(store, 'WRITTEN BY 7')).toHaveLength(100);
  expect(store.journal.count()).toBe(2_000);
  expect(indexFaults(file, migrations)).toEqual([]);
});

test('kill -9 leaves a large change whole or not made', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'memory-'));
  const file = join(folder.path, 'memory.db');
  const facts = 1_000;
  const acknowledged: string[] = [];

  for (const round of ['first', 'second']) {
    const { child, lines, closed } = writer(file, round, 2, 1_000_000, facts);
    for await (const line of lines) if (acknowledged.push(line) % 5 === 0) child.kill('SIGKILL');
    await closed;
  }

  using store = openStore(file);
  const { entities } = graphOf(store);
  expect(acknowledged.length).toBeGreaterThanOrEqual(10);
  expect(new Set(entities.map(({ name }) => name)).isSupersetOf(new Set(acknowledged))).toBe(true);
  expect(entities.filter(({ observations }) => observations.length !== facts)).toEqual([]);
  expect(containing(store, `fact ${facts - 1}`)).toHaveLength(entities.length);
  expect(indexFaults(file, migrations)).toEqual([]);
});

test('kill -9 in a write loop loses nothing that was acknowledged', async () => {
  using folder = mkdtempDisposableSync(join(tmpdir(), 'memory-'));
  const file = join(folder.path, 'memory.db');
  const acknowledged: string[] = [];

  for (const round of ['first', 'second', 'third']) {
    const { child, lines, closed } = writer(file, round, 4, 1_000_000);
    for await (const line of lines) {
      if (acknowledged.push(line) % 100 === 0) child.kill('SIGKILL');
    }
    const [, signal] = await closed;
    expect(signal).toBe('SIGKILL');
  }

  using store = openStore(file);
  const { entities } = graphOf(store);
  expect(acknowledged.length).toBeGreaterThanOrEqual(300);
  expect(new Set(entities.map(({ name }) => name)).isSupersetOf(new Set(acknowledged))).toBe(true);
  expect(entities.every(({ observations }) => observations.length === 1)).toBe(true);
  expect(containing(store, 'written by')).toHaveLength(entities.length);
  const memories = memoriesIn(store);
  expect(memories).toBeGreaterThanOrEqual(acknowledged.length);
  expect(indexFaults(file, migrations)).toEqual([]);
});
