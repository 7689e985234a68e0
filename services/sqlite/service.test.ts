import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { toolsOf } from '#runtime/service.ts';

import { contract } from './contract.fixture.ts';
import { testPlace, tool, type TestPlace } from './place.fixture.ts';
import service, { allTools, coreTools } from './service.ts';

let place: TestPlace;
let valid: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
beforeAll(async () => {
  place = testPlace();
  valid = await contract.prepare({
    folder: place.root,
    foreign: 'said',
    call: async (name, args) => place.call(name, args),
  });
  symlinkSync(place.outside, join(place.root, 'escape'));
  for (const name of ['.git', '.flotilla-trash']) mkdirSync(join(place.root, name));
  writeFileSync(join(place.root, '.git', 'config'), '');
});
afterAll(async () => place[Symbol.asyncDispose]());

/** Names, kinds and contents of everything but what SQLite keeps beside a database that is open. */
const everything = () =>
  readdirSync(place.path, { recursive: true, withFileTypes: true })
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !/-(wal|shm)$/.test(path) && !path.includes('/data/'))
    .map((path) => {
      const stat = lstatSync(path);
      // A database changes when a log beside it is taken in: what is in it is asked otherwise.
      const content =
        stat.isFile() && !path.endsWith('.db')
          ? readFileSync(path, 'latin1')
          : stat.isSymbolicLink()
            ? readlinkSync(path)
            : '';
      return `${path} ${stat.mode} ${content}`;
    })
    .toSorted();

const names = allTools.map(({ name }) => name);
const pathFields = names.flatMap((name) =>
  ['path', 'database']
    .filter((field) => field in tool(name).input.shape)
    .map((field) => [name, field] as const),
);

test.each(pathFields)(
  '%s refuses a %s that leads out of the roots, and changes nothing',
  async (name, field) => {
    const { transaction: _, ...args } = valid[name] ?? {};
    const before = everything();

    for (const way of [
      join(place.outside, 'secret.csv'),
      join(place.outside, 'new.db'),
      '../outside/secret.csv',
      `${place.root}-evil/a.db`,
      'escape/secret.csv',
      'escape/new.db',
      '~/x.db',
      'file:///etc/passwd',
      '/proc/self/mem',
      '.flotilla-trash/x.db',
      'flotilla.db-wal',
    ]) {
      const outcome = place.call(name, { ...args, [field]: way });
      await expect(outcome, way).rejects.toMatchObject({ code: 'forbidden' });
    }
    expect(everything()).toEqual(before);
  },
);

test.each(pathFields)('%s refuses a %s that no file can have', async (name, field) => {
  for (const path of ['', 'nul\0', '\ud800', 'x'.repeat(4_097)]) {
    const outcome = place.call(name, { ...valid[name], [field]: path });
    await expect(outcome).rejects.toMatchObject({
      code: 'invalid_input',
      message: expect.stringContaining(field) as string,
    });
  }
});

test('nothing is made or written over but databases and CSV files by their names, and nothing in a repository', async () => {
  const before = everything();
  for (const [name, args] of [
    ['export_csv', { table: 'note', path: '.git/hooks.csv' }],
    ['export_csv', { table: 'note', path: '.git/config', overwrite: true }],
    ['export_csv', { table: 'note', path: 'start.sh' }],
    ['export_csv', { table: 'note', path: 'flotilla.db', overwrite: true }],
    ['backup_database', { path: 'config' }],
    ['backup_database', { path: 'flotilla.db' }],
    ['backup_database', { path: '.git/x.db' }],
    ['open_database', { path: 'x.sh', create: true }],
    ['open_database', { path: '.git/x.db', create: true }],
    ['create_table', { query: 'CREATE TABLE t (a)', database: '.git/config' }],
    ['import_csv', { path: 'flotilla.db', table: 'x' }],
    ['import_csv', { path: 'notes.csv', table: 'note', database: 'notes.csv' }],
  ] as const) {
    await expect(place.call(name, args), `${name} ${JSON.stringify(args)}`).rejects.toMatchObject({
      code: expect.stringMatching(/^(forbidden|invalid_input|conflict)$/) as string,
    });
  }
  expect(everything()).toEqual(before);
});

const oversized: readonly (readonly [string, Readonly<Record<string, unknown>>, string])[] = [
  ['read_query', { query: `SELECT '${'x'.repeat(1_000_001)}'` }, 'invalid_input'],
  ['read_query', { query: 'SELECT 1\0; DROP TABLE note' }, 'invalid_input'],
  ['read_query', { query: 'SELECT 1', params: Array.from({ length: 1_001 }, () => 1) }, 'invalid_input'],
  ['read_query', { query: 'SELECT ?', params: [2 ** 53 + 2] }, 'invalid_input'],
  ['read_query', { query: 'SELECT ?', params: [{ int64: '9223372036854775808' }] }, 'invalid_input'],
  ['read_query', { query: 'SELECT ?', params: [{ base64: 'not base64' }] }, 'invalid_input'],
  ['read_query', { query: 'SELECT ?', params: [['nested']] }, 'invalid_input'],
  ['read_query', { query: 'SELECT ?', params: [{ int64: '1', base64: '' }] }, 'invalid_input'],
  ['read_query', { query: 'SELECT ?', params: [] }, 'invalid_input'],
  ['read_query', { query: 'SELECT ?', params: [1, 2] }, 'invalid_input'],
  ['read_query', { query: 'SELECT :a', params: { b: 1 } }, 'invalid_input'],
  ['read_query', { query: 'SELECT :a, :b', params: { a: 1 } }, 'invalid_input'],
  ['read_query', { query: 'SELECT 1', limit: 1_001 }, 'invalid_input'],
  ['read_query', { query: 'SELECT 1', timeout_ms: 25_001 }, 'invalid_input'],
  ['read_query', { query: 'SELECT 1', cursor: 'nonsense' }, 'invalid_input'],
  ['read_query', { query: 'SELECT 1', transaction: 'tx_nonsense' }, 'not_found'],
  ['read_query', { query: 'SELECT nonsense' }, 'invalid_input'],
  ['write_query', { query: 'INSERT INTO note (id) VALUES (1)' }, 'conflict'],
  ['write_query', { query: 'SELECT 1' }, 'invalid_input'],
  ['create_table', { query: 'CREATE VIEW v AS SELECT 1' }, 'invalid_input'],
  ['create_table', { query: 'INSERT INTO note (text) VALUES (1)' }, 'invalid_input'],
  ['create_table', { query: 'CREATE TABLE note (a)' }, 'invalid_input'],
  ['create_table', { query: 'CREATE TEMP TABLE x (a)' }, 'forbidden'],
  ['describe_table', { table_name: 'none' }, 'not_found'],
  ['describe_table', { table_name: 'note); DROP TABLE note; --' }, 'not_found'],
  ['execute_sql', { sql: '-- nothing' }, 'invalid_input'],
  ['execute_sql', { sql: 'SELECT 1;'.repeat(201) }, 'too_large'],
  ['execute_batch', { statements: [] }, 'invalid_input'],
  ['execute_batch', { statements: [{ sql: 'SELECT 1; SELECT 2' }] }, 'invalid_input'],
  ['bulk_insert', { table: 'none', rows: [[1]] }, 'invalid_input'],
  ['bulk_insert', { table: 'note', rows: [[1, 2, 3]] }, 'invalid_input'],
  ['bulk_insert', { table: 'note', rows: [{ text: 'x' }, { other: 'y' }] }, 'invalid_input'],
  ['bulk_insert', { table: 'note', rows: [{ 'text) VALUES (1); --': 'x' }] }, 'invalid_input'],
  ['bulk_insert', { table: 'note', rows: Array.from({ length: 10_001 }, () => [1]) }, 'invalid_input'],
  ['import_csv', { path: 'none.csv', table: 'x' }, 'not_found'],
  ['import_csv', { path: 'notes.csv', table: 'note', columns: ['id'] }, 'invalid_input'],
  ['export_csv', { path: 'x.csv' }, 'invalid_input'],
  ['export_csv', { path: 'x.csv', table: 'note', query: 'SELECT 1' }, 'invalid_input'],
  ['export_csv', { path: 'x.csv', query: 'DELETE FROM note RETURNING *' }, 'forbidden'],
  ['export_csv', { path: 'missing/x.csv', table: 'note' }, 'not_found'],
  ['create_fts_index', { table: 'none', columns: ['text'] }, 'not_found'],
  ['create_fts_index', { table: 'note', columns: ['none'] }, 'not_found'],
  ['analyze_table', { table: 'note', columns: ['none'] }, 'not_found'],
  ['open_database', { path: 'none.db' }, 'not_found'],
  ['append_insight', { insight: ' ' }, 'invalid_input'],
  ['append_insight', { insight: 'x'.repeat(10_001) }, 'too_large'],
  ['append_insight', { insight: 'nul\0' }, 'invalid_input'],
];

test.each(oversized)('%s refuses what makes no sense, and changes nothing (%#)', async (name, args, code) => {
  const before = everything();
  const rows = await place.rows('SELECT * FROM note');

  await expect(place.call(name, args)).rejects.toMatchObject({ code });

  expect(everything()).toEqual(before);
  expect(await place.rows('SELECT * FROM note')).toEqual(rows);
});

test('who follows the memo hears of each insight', async () => {
  const updated: string[] = [];

  await place.call('append_insight', { insight: 'One.' }, { resourceUpdated: (uri) => updated.push(uri) });

  expect(updated).toEqual(['memo://insights']);
});

test('reading makes no file, and a default database is there with the first write', async () => {
  await using fresh = testPlace();

  expect(await fresh.call('list_tables')).toEqual({ tables: [] });
  expect(await fresh.rows('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  expect(await fresh.call('database_info')).toMatchObject({ exists: false });
  expect(readdirSync(fresh.root)).toEqual([]);
  await fresh.call('create_table', { query: 'CREATE TABLE t (a)' });
  expect(existsSync(join(fresh.root, 'flotilla.db'))).toBe(true);
});

test('the settings choose tools, and read-only ones where nothing may change', async () => {
  const { settings } = service;

  expect(toolsOf(service, settings.parse({}))).toEqual(allTools);
  expect(toolsOf(service, settings.parse({ FLOTILLA_SQLITE_TOOLS: 'core' }))).toEqual(coreTools);
  const reading = toolsOf(service, settings.parse({ FLOTILLA_SQLITE_MODE: 'read-only' }));
  expect(reading.filter(({ effect }) => effect !== 'read').map(({ name }) => name)).toEqual([
    'append_insight',
  ]);
  await using closed = testPlace({ isReadOnly: true });
  for (const name of names.filter((name) => tool(name).effect !== 'read' && name !== 'append_insight')) {
    const args = { ...valid[name] };
    if (/^(commit|rollback)/.test(name)) continue;
    await expect(closed.call(name, args), name).rejects.toMatchObject({ code: 'forbidden' });
  }
  expect(readdirSync(closed.root)).toEqual([]);
});

test('what rows say is kept apart', () => {
  const apart = allTools.filter(({ untrusted }) => untrusted === 'bounded').map(({ name }) => name);

  expect(names.filter((name) => !apart.includes(name)).toSorted()).toEqual([
    'append_insight',
    'backup_database',
    'begin_transaction',
    'bulk_insert',
    'commit_transaction',
    'create_fts_index',
    'create_table',
    'export_csv',
    'import_csv',
    'open_database',
    'rollback_transaction',
    'vacuum_database',
  ]);
});
