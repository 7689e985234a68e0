import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { folders, madeElsewhere } from '../place.fixture.ts';
import { Connections } from './connections.ts';
import { inWords } from './failures.ts';
import { runAll, runOnly } from './statements.ts';

const place = folders();
const file = join(place.root, 'a.db');
const connections = new Connections({ roots: [place.root], isReadOnly: false, maxBytes: 1e9, busyMs: 100 });
const bounds = { rows: 10, skip: 0, bytes: 32_000 };

beforeAll(() => {
  madeElsewhere(
    file,
    `CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 2); CREATE VIRTUAL TABLE r USING rtree(id, x0, x1);
     CREATE VIRTUAL TABLE f USING fts5(body); CREATE VIRTUAL TABLE f4 USING fts4(body);
     INSERT INTO f VALUES ('words'); INSERT INTO f4 VALUES ('words'); INSERT INTO r VALUES (1, 0, 1);`,
  );
});
afterAll(() => {
  connections.closeAll();
  place[Symbol.dispose]();
});

function run(
  sql: string,
  permit: 'read' | 'write' | 'all',
  access: 'read' | 'write' = permit === 'read' ? 'read' : 'write',
) {
  const open = connections.open({ path: file, isDefault: false }, access);
  try {
    return runOnly(open, { sql }, permit, bounds);
  } catch (error) {
    throw inWords(error);
  }
}

const reads = [
  'SELECT * FROM t',
  '/* a comment */ SELECT 1',
  'WITH x AS (SELECT 1 AS y) SELECT * FROM x',
  'VALUES (1)',
  'EXPLAIN SELECT * FROM t',
  'EXPLAIN QUERY PLAN SELECT * FROM t',
  'PRAGMA table_info(t)',
  'PRAGMA user_version',
  'PRAGMA integrity_check',
  "SELECT * FROM pragma_table_info('t')",
  'SELECT * FROM sqlite_schema',
  "SELECT * FROM json_each('[1]')",
  "SELECT * FROM f WHERE f MATCH 'words'",
  "SELECT * FROM f4 WHERE f4 MATCH 'words'",
  'SELECT * FROM r',
  'SELECT name FROM dbstat LIMIT 1',
];

test.each(reads)('reads: %s', (sql) => {
  expect(() => run(sql, 'read')).not.toThrow();
});

const changes = [
  'INSERT INTO t VALUES (1, 1)',
  '/**/ INSERT INTO t VALUES (1, 1) RETURNING *',
  'WITH x AS (SELECT 1 AS y) INSERT INTO t SELECT y, y FROM x',
  'REPLACE INTO t VALUES (1, 1)',
  'UPDATE t SET a = 2',
  'DELETE FROM t',
  'CREATE TABLE n (a)',
  'CREATE TEMP TABLE n (a)',
  'CREATE INDEX i ON t (a)',
  'ALTER TABLE t ADD COLUMN c',
  'DROP TABLE t',
  'ANALYZE',
  'REINDEX',
  'VACUUM',
  'BEGIN',
  'SAVEPOINT s',
  'PRAGMA user_version = 7',
  'PRAGMA journal_mode = delete',
  'PRAGMA wal_checkpoint',
  'PRAGMA optimize',
  "INSERT INTO f (f) VALUES ('rebuild')",
  "INSERT INTO r_node VALUES (9, x'00')",
  'UPDATE sqlite_schema SET sql = 1',
];
const closed = [
  "ATTACH 'ATTACHED' AS x",
  "ATTACH ':memory:' AS x",
  "VACUUM INTO 'ATTACHED'",
  'DETACH main',
  "SELECT load_extension('x')",
  "SELECT fts3_tokenizer('simple')",
  "SELECT fts3_tokenizer('simple', x'00')",
  'PRAGMA writable_schema = 1',
  'PRAGMA writable_schema(reset)',
  'PRAGMA temp_store_directory = "/tmp"',
  'PRAGMA data_store_directory = "/tmp"',
  'PRAGMA trusted_schema = ON',
  'PRAGMA synchronous = OFF',
  'PRAGMA journal_mode = OFF',
  'PRAGMA journal_mode = MEMORY',
  'PRAGMA locking_mode = EXCLUSIVE',
  'PRAGMA mmap_size = 1000000',
  'PRAGMA ignore_check_constraints = 1',
  'PRAGMA hard_heap_limit = 1',
  'PRAGMA max_page_count = 1',
  'PRAGMA lock_proxy_file = "/tmp/x"',
  'PRAGMA query_only = 0',
  'CREATE VIRTUAL TABLE v USING csv(filename=/etc/passwd)',
  "UPDATE sqlite_schema SET sql = 'x'",
  'DELETE FROM f_data',
  'BEGIN',
  'COMMIT',
  'ROLLBACK',
  'SAVEPOINT s',
];

const contents = () =>
  JSON.stringify([
    run('SELECT * FROM t', 'read').rows,
    run('SELECT * FROM sqlite_schema', 'read').rows,
    run('PRAGMA user_version', 'read').rows,
    readdirSync(place.path, { recursive: true }).filter((name) => !/-(wal|shm)$/.test(String(name))),
  ]);

test.each([...changes, ...closed])('refused to one who may only read, whatever the connection: %s', (sql) => {
  const before = contents();

  for (const access of ['read', 'write'] as const) {
    expect(() => run(sql, 'read', access)).toThrow(/not authorized|may not be modified|readonly/);
    expect(() => run(`WITH x AS (SELECT 1) ${sql}`, 'read', access)).toThrow(Error);
  }

  expect(contents()).toBe(before);
});

test.each(closed)('closed to everyone: %s', (sql) => {
  const before = contents();
  const target = join(place.root, 'attached.db');

  for (const given of [sql, `/* x */ ${sql}`]) {
    expect(() => run(given.replace('ATTACHED', target), 'all')).toThrow(
      /not authorized|may not be modified|no such module|readonly/,
    );
  }

  expect(existsSync(target)).toBe(false);
  expect(contents()).toBe(before);
});

test.each(['DROP TABLE t', 'DROP TABLE f', 'ALTER TABLE t DROP COLUMN a', 'CREATE TEMP TABLE n (a)'])(
  'refused to one who may write: %s',
  (sql) => {
    const before = contents();

    expect(() => run(sql, 'write')).toThrow('not authorized');

    expect(contents()).toBe(before);
  },
);

test('a second statement is refused, unless it is a comment', () => {
  expect(() => run('SELECT 1; DROP TABLE t', 'all')).toThrow('one statement at a time');
  expect(() => run('SELECT 1; SELECT 2', 'read')).toThrow('one statement at a time');
  expect(() => run('SELECT 1; nonsense', 'read')).toThrow('one statement at a time');
  expect(run('SELECT 1; -- that is all', 'read').rows).toEqual([{ 1: 1 }]);
  expect(() => run('-- nothing', 'read')).toThrow('no statement');
});

test('a misspelt column in double quotes is no text', () => {
  expect(() => run('SELECT "nonsense" FROM t', 'read')).toThrow('no such column');
});

test('params in a list go to the statements in which they stand', () => {
  const open = connections.open({ path: file, isDefault: false }, 'write');
  const sql = 'SELECT ?, ?; SELECT 1; SELECT ?2';

  const outcomes = runAll(open, { sql, params: [1, 2, 3, 4] }, 'read', bounds);

  expect(outcomes.map(({ rows }) => rows)).toEqual([[{ '?': 1, '?:1': 2 }], [{ 1: 1 }], [{ '?2': 4 }]]);
  expect(() => runAll(open, { sql, params: [1, 2, 3] }, 'read', bounds)).toThrow(
    '2 parameters, and params has 1',
  );
  expect(() => runAll(open, { sql, params: [1, 2, 3, 4, 5] }, 'read', bounds)).toThrow('fewer than params');
});
