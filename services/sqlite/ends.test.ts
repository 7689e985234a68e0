/** What long work leaves when it is cancelled, killed, or the service starts again; and what is told of it. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, expect, test, vi } from 'vitest';

import { firstTokenFile } from '#runtime/access/tokens.ts';
import { cancelled } from '#runtime/errors.ts';
import { startService } from '#runtime/process/run.ts';

import { callTool, rpc } from '../../tests/support/rpc.ts';
import { temporaryFolder } from '../../tests/support/serve.ts';
import { folders, testPlace, type TestPlace } from './place.fixture.ts';
import sqlite from './service.ts';

const rows = 60_000;
const csv = `id,name\n${Array.from({ length: rows }, (_, at) => `${at},name ${at}\n`).join('')}`;
const endless = 'WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c)';
const capabilities = 'io.modelcontextprotocol/clientCapabilities';
const offering = { meta: { [capabilities]: { extensions: { 'io.modelcontextprotocol/tasks': {} } } } };

let place: TestPlace;
beforeAll(() => {
  place = testPlace();
  writeFileSync(join(place.root, 'rows.csv'), csv);
  writeFileSync(join(place.root, 'few.csv'), 'id\n1\n2\n');
});
afterAll(async () => place[Symbol.asyncDispose]());

const leftIn = (folder: string) => readdirSync(folder).filter((name) => name.startsWith('.flotilla-'));

test('an import that is cancelled is made or not, as its answer says, whenever that was', async () => {
  const outcomes = new Map<string, unknown>();
  // Half of the work is the first reading of the file.
  for (const part of [0, 0.5, 0.9, 1]) {
    const gone = new AbortController();
    const table = `t${part * 10}`;
    const imported = place.call(
      'import_csv',
      { path: 'rows.csv', table },
      { signal: gone.signal, progress: (done, total = 1) => done / total >= part && gone.abort(cancelled()) },
    );
    outcomes.set(table, await imported.then(({ inserted }) => inserted, String));
  }

  const { tables } = await place.call('list_tables', {});
  const names = new Set((tables as { name: string }[]).map(({ name }) => name));
  for (const [table, outcome] of outcomes) {
    expect(outcome, table).toBe(
      names.has(table) ? rows : 'ToolError: The call was cancelled. Nothing of it was kept.',
    );
  }
});

test('an import that is cancelled while it waits for another program leaves nothing', async () => {
  await using impatient = testPlace({ root: place.root, busyMs: 300 });
  const gone = new AbortController();
  using other = new DatabaseSync(join(place.root, 'busy.db'));
  other.exec('CREATE TABLE s (a); BEGIN IMMEDIATE');

  const imported = impatient.call(
    'import_csv',
    { path: 'few.csv', table: 't', database: 'busy.db' },
    { signal: gone.signal },
  );
  setImmediate(() => gone.abort(cancelled()));

  await expect(imported).rejects.toMatchObject({
    code: 'cancelled',
    message: 'The call was cancelled. Nothing of it was kept.',
  });
  other.exec('ROLLBACK');
  expect(await impatient.call('list_tables', { database: 'busy.db' })).toEqual({
    tables: [{ name: 's', type: 'table' }],
  });
});

test('an import whose end was begun is told as made, though its client went', async () => {
  const gone = new AbortController();
  // Another program reads: in the mode of a journal, the end of a change waits until it is done.
  const file = join(place.root, 'slow.db');
  using reader = new DatabaseSync(file);
  reader.exec('PRAGMA journal_mode = DELETE; CREATE TABLE s (a); INSERT INTO s VALUES (1); BEGIN');
  reader.prepare('SELECT * FROM s').get();
  const imported = place.call(
    'import_csv',
    { path: 'few.csv', table: 't', database: 'slow.db' },
    { signal: gone.signal },
  );
  // Other programs cannot begin to read as soon as the end waits.
  const script =
    'new (require("node:sqlite").DatabaseSync)(process.argv[1], { readOnly: true, timeout: 0 }).prepare("SELECT * FROM s").get()';
  await vi.waitFor(
    () =>
      expect(spawnSync(process.execPath, ['-e', script, file], { encoding: 'utf8' }).stderr).toContain(
        'locked',
      ),
    10_000,
  );

  gone.abort(new Error('gone'));
  reader.exec('COMMIT');

  expect(await imported).toMatchObject({ inserted: 2, created: true });
  expect(await place.rows('SELECT * FROM t', { database: 'slow.db' })).toEqual([{ id: 1 }, { id: 2 }]);
});

test('an export whose engine is killed leaves no file', async () => {
  const gone = new AbortController();
  const exported = place.call(
    'export_csv',
    { query: `${endless} SELECT count(*) FROM c`, path: 'never.csv' },
    { signal: gone.signal },
  );
  await vi.waitFor(() => expect(leftIn(place.root)).toHaveLength(1), 10_000);

  gone.abort(cancelled());

  await expect(exported).rejects.toThrow('Nothing of it was kept.');
  expect(leftIn(place.root)).toEqual([]);
  expect(existsSync(join(place.root, 'never.csv'))).toBe(false);
});

test('what a kill of the service left of an export is gone when it starts again', async () => {
  using killed = folders();
  const script = fileURLToPath(new URL('exporter.fixture.ts', import.meta.url));
  const child = spawn(process.execPath, [script, killed.root, join(killed.path, 'data')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await vi.waitFor(() => expect(leftIn(killed.root)).toHaveLength(1), 20_000);
  // What belongs to others stays.
  const theirs = '.flotilla-0123456789abcdef.tmp';
  appendFileSync(join(killed.root, theirs), '');
  child.kill('SIGKILL');
  await once(child, 'close');
  expect(leftIn(killed.root)).toHaveLength(2);

  await using again = testPlace({ root: killed.root, dataDir: join(killed.path, 'data') });

  expect(leftIn(killed.root)).toEqual([theirs]);
  expect(await again.rows('SELECT 1 AS a')).toEqual([{ a: 1 }]);
});

test('the result of an import and an export is found after a restart of the service', async () => {
  using folder = temporaryFolder();
  const settings = { FLOTILLA_DATA: folder.path, FLOTILLA_LOG_LEVEL: 'error', FLOTILLA_ROOTS: place.root };
  const file = join(place.root, 'kept.db');
  using other = new DatabaseSync(file);
  other.exec('PRAGMA journal_mode = DELETE; CREATE TABLE s (a)');
  const first = await startService(sqlite, 0, settings);
  const token = readFileSync(firstTokenFile(folder.path), 'utf8').trim();
  const before = { url: `http://127.0.0.1:${first.port}`, token };
  const results = new Map<string, unknown>();
  for (const [name, args] of [
    ['import_csv', { path: 'few.csv', table: 'kept', database: file }],
    ['export_csv', { table: 'kept', path: 'kept.csv', database: file }],
  ] as const) {
    // It waits for another program, and so becomes a task.
    other.exec('BEGIN EXCLUSIVE');
    const { result } = await callTool(before, name, args, offering);
    other.exec('COMMIT');
    const taskId = result?.['taskId'];
    const shown = async (at: typeof before) => (await rpc(at, 'tasks/get', { taskId }, offering)).result;
    await vi.waitFor(async () => expect(await shown(before)).toMatchObject({ status: 'completed' }), 20_000);
    results.set(name, shown);
  }
  await first.stop();

  const second = await startService(sqlite, 0, settings);
  await using _stopping = { [Symbol.asyncDispose]: async () => second.stop() };
  const after = { url: `http://127.0.0.1:${second.port}`, token };

  const told = await Promise.all(
    [...results.values()].map(async (shown) => (shown as (at: typeof before) => Promise<unknown>)(after)),
  );
  expect(told).toMatchObject([
    { status: 'completed', result: { structuredContent: { rows: 2, inserted: 2, created: true } } },
    { status: 'completed', result: { structuredContent: { rows: 2, path: join(place.root, 'kept.csv') } } },
  ]);
});
