import { mkdirSync, mkdtempDisposableSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect, test, vi } from 'vitest';

import { openDatabase, transactionsOf, type Database } from '../database.ts';
import { longPages, worthPages } from './checkpoints.ts';

interface State {
  /** Pages of the log. */
  readonly log: number;
  readonly checkpointed: number;
}

const stateOf = (database: Database) => (database.pragma('wal_checkpoint(NOOP)') as [State])[0];

const patienceMs = 30_000;

/** A database with one large row: to put it anew writes as many pages as are asked for. */
function heavyRow(stack: DisposableStack) {
  const folder = stack.use(mkdtempDisposableSync(join(tmpdir(), 'flotilla-checkpoints-')));
  const migrations = join(folder.path, 'migrations');
  mkdirSync(migrations);
  writeFileSync(join(migrations, '001-note.sql'), 'CREATE TABLE note (id INTEGER PRIMARY KEY, text BLOB)');
  const file = join(folder.path, 'notes.db');
  const database = stack.adopt(openDatabase(file, migrations), (one) => one.close());
  const put = database.prepare('INSERT OR REPLACE INTO note VALUES (1, zeroblob(?))');
  const { write } = transactionsOf(database);
  return { database, file, migrations, put: (pages: number) => write(() => put.run(pages * 4_096)) };
}

test('a thread moves a long log into the database, and the next change begins the log anew', async () => {
  using stack = new DisposableStack();
  const { database, put } = heavyRow(stack);
  put(worthPages / 2);
  expect(stateOf(database)).toMatchObject({ checkpointed: 0 });

  await vi.waitFor(
    () => {
      put(worthPages);
      expect(stateOf(database).checkpointed).toBeGreaterThan(0);
    },
    { timeout: patienceMs },
  );
  await vi.waitFor(
    () => {
      const { log, checkpointed } = stateOf(database);
      expect(checkpointed).toBe(log);
    },
    { timeout: patienceMs },
  );
  put(1);

  expect(stateOf(database).log).toBeLessThan(worthPages);
});

test('a log to which somebody writes all the time begins anew as well, and gives its place back when they rest', async () => {
  using stack = new DisposableStack();
  const { database, file, put } = heavyRow(stack);
  let longest = 0;

  await vi.waitFor(
    () => {
      put(worthPages);
      const { log } = stateOf(database);
      longest = Math.max(longest, log);
      expect(log).toBeLessThan(longest);
    },
    { timeout: patienceMs, interval: 1 },
  );

  expect(longest).toBeLessThan(3 * longPages);
  const sizeBytes = () => statSync(`${file}-wal`).size;
  expect(sizeBytes()).toBeGreaterThan(longPages * 4_096);
  await vi.waitFor(() => expect(sizeBytes()).toBe(0), { timeout: patienceMs });
  put(1);
  expect(stateOf(database)).toMatchObject({ checkpointed: 0 });
});

test('a database that is closed while a thread is at its log is whole, and its folder may be removed at once', async () => {
  for (let waitMs = 0; waitMs < 200; waitMs += 20) {
    using stack = new DisposableStack();
    const { database, file, migrations, put } = heavyRow(stack);
    put(worthPages);
    await sleep(waitMs); // oxlint-disable-line no-await-in-loop -- the thread comes some time after
    put(worthPages);
    database.close();

    const again = stack.adopt(openDatabase(file, migrations), (one) => one.close());

    expect(again.prepare('SELECT length(text) FROM note').pluck().get()).toBe(worthPages * 4_096);
  }
});
