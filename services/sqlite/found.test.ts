/** Databases as people have them, from other programs and in every state. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { basename, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { folders, madeElsewhere, testPlace, type TestPlace } from './place.fixture.ts';

let place: TestPlace;
beforeAll(() => {
  place = testPlace();
});
afterAll(async () => place[Symbol.asyncDispose]());

const inRoot = (name: string) => join(place.root, name);
const read = async (database: string, query = 'SELECT * FROM t') => place.rows(query, { database });

test.each(['DELETE', 'TRUNCATE', 'PERSIST', 'WAL'])(
  'a database with the journal mode %s stays so',
  async (mode) => {
    const name = `${mode}.db`;
    madeElsewhere(
      inRoot(name),
      `PRAGMA journal_mode = ${mode}; CREATE TABLE t (a); INSERT INTO t VALUES (1)`,
    );

    await place.call('write_query', { query: 'INSERT INTO t VALUES (2)', database: name });

    expect(await read(name)).toEqual([{ a: 1 }, { a: 2 }]);
    // The others are not kept in the file.
    const expected = mode === 'WAL' ? 'wal' : 'delete';
    expect(await place.call('database_info', { database: name })).toMatchObject({ journal_mode: expected });
  },
);

test('what is acknowledged is synced, and so is the end of its journal', async () => {
  madeElsewhere(inRoot('synced.db'), 'CREATE TABLE t (a)');
  const { transaction } = await place.call('begin_transaction', { database: 'synced.db' });

  // 3 is EXTRA.
  expect(await place.rows('PRAGMA synchronous', { transaction })).toEqual([{ synchronous: 3 }]);
  await place.call('rollback_transaction', { transaction });
});

test('a sparse database of 10 GB is read and written', async () => {
  madeElsewhere(inRoot('large.db'), 'PRAGMA page_size = 65536; CREATE TABLE t (a); INSERT INTO t VALUES (1)');
  const fd = openSync(inRoot('large.db'), 'r+');
  ftruncateSync(fd, 10 * 1024 ** 3);
  closeSync(fd);

  expect(await read('large.db')).toEqual([{ a: 1 }]);
  await place.call('write_query', { query: 'INSERT INTO t VALUES (2)', database: 'large.db' });
  expect(await read('large.db')).toEqual([{ a: 1 }, { a: 2 }]);
});

test('tables with the strangest names are told, described and analysed', async () => {
  const names = ['x"); DROP TABLE t; --', "it's", 'ta ble', '[x]', '`', '%', 'é😀', 'select', '-', 'a\nb'];
  const database = 'names.db';
  const quote = (name: string) => `"${name.replaceAll('"', '""')}"`;
  madeElsewhere(
    inRoot(database),
    names
      .map(
        (name) => `CREATE TABLE ${quote(name)} (${quote(name)} TEXT); INSERT INTO ${quote(name)} VALUES (1);`,
      )
      .join('\n'),
  );

  const { tables } = await place.call('list_tables', { database });
  expect(tables).toEqual(names.map((name) => ({ name, type: 'table' })));
  for (const name of names) {
    const args = { database, table: name };
    expect(await place.call('describe_table', { database, table_name: name })).toMatchObject({
      columns: [{ name }],
    });
    expect(await place.call('analyze_table', args)).toMatchObject({
      rows: 1,
      columns: [{ name, distinct: 1 }],
    });
    expect(await place.call('bulk_insert', { ...args, rows: [{ [name]: 'b' }] })).toEqual({
      inserted: 1,
      ignored: 0,
    });
    expect(await place.call('create_fts_index', { ...args, columns: [name] })).toMatchObject({ rows: 2 });
    expect(await place.call('export_csv', { ...args, path: 'names.csv', overwrite: true })).toMatchObject({
      rows: 2,
    });
  }
});

test('a module, a collation and a table that are missing hide nothing else', async () => {
  const database = 'phone.db';
  madeElsewhere(
    inRoot(database),
    `CREATE TABLE t (a); INSERT INTO t VALUES ('b'), ('a'); CREATE VIEW broken AS SELECT * FROM gone; CREATE VIEW fine AS SELECT a FROM t;
     CREATE TABLE fake (x)`,
  );
  const other = new DatabaseSync(inRoot(database), { defensive: false });
  other.exec(`PRAGMA writable_schema = 1;
    UPDATE sqlite_schema SET sql = 'CREATE VIRTUAL TABLE fake USING mozStorage(x)', rootpage = 0 WHERE name = 'fake';
    INSERT INTO sqlite_schema SELECT 'table', 'c', 'c', rootpage, 'CREATE TABLE c (a COLLATE LOCALIZED)' FROM sqlite_schema WHERE name = 't';`);
  other.close();

  expect(await place.call('list_tables', { database })).toEqual({
    tables: [
      { name: 't', type: 'table' },
      { name: 'broken', type: 'view' },
      { name: 'fine', type: 'view' },
      { name: 'fake', type: 'virtual' },
      { name: 'c', type: 'table' },
    ],
  });
  expect(await read(database, 'SELECT * FROM fine ORDER BY a')).toEqual([{ a: 'a' }, { a: 'b' }]);
  expect(await place.call('describe_table', { database, table_name: 'fake' })).toMatchObject({
    type: 'virtual',
    sql: 'CREATE VIRTUAL TABLE fake USING mozStorage(x)',
    problem: expect.stringContaining('no such module') as string,
  });
  expect(await place.call('describe_table', { database, table_name: 'broken' })).toMatchObject({
    problem: expect.stringContaining('no such table') as string,
  });
  expect(await place.call('search_objects', { database, detail_level: 'full' })).toMatchObject({
    objects: expect.arrayContaining([expect.objectContaining({ name: 'fake' })]) as unknown,
  });
  await expect(read(database, 'SELECT * FROM fake')).rejects.toMatchObject({
    code: 'conflict',
    hint: expect.stringContaining('brings this module along') as string,
  });
  await expect(read(database, 'SELECT * FROM broken')).rejects.toMatchObject({ code: 'invalid_input' });
  expect(await read(database, 'SELECT a FROM c')).toHaveLength(2);
  await expect(read(database, 'SELECT a FROM c ORDER BY a')).rejects.toMatchObject({
    code: 'conflict',
    hint: expect.stringContaining('COLLATE NOCASE') as string,
  });
});

test.each<[string, Buffer, string]>([
  ['a text', Buffer.from('id,name\n1,x\n'.repeat(50)), 'This is no SQLite database'],
  [
    'an encrypted database',
    Buffer.from(Array.from({ length: 4_096 }, (_, at) => (at * 7_919) % 251)),
    'or it is encrypted',
  ],
  [
    'a broken header',
    Buffer.concat([Buffer.from('SQLite format 3\0'), Buffer.alloc(4_080, 255)]),
    'not a database',
  ],
])('%s is refused with what helps, and left as it is', async (_, bytes, message) => {
  writeFileSync(inRoot('odd.db'), bytes);

  for (const [name, args] of [
    ['list_tables', { database: 'odd.db' }],
    ['write_query', { query: 'CREATE TABLE t (a)', database: 'odd.db' }],
    ['open_database', { path: 'odd.db', create: true }],
    ['vacuum_database', { database: 'odd.db' }],
  ] as const) {
    await expect(place.call(name, args)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining(message) as string,
      hint: expect.stringMatching(/name another file|import_csv/) as string,
    });
  }
  expect(readFileSync(inRoot('odd.db')).equals(bytes)).toBe(true);
});

test('a damaged database says so', async () => {
  madeElsewhere(inRoot('damaged.db'), 'CREATE TABLE t (a); INSERT INTO t VALUES (hex(randomblob(20000)))');
  const bytes = readFileSync(inRoot('damaged.db'));
  bytes.fill(0xff, 4_096, 8_192);
  writeFileSync(inRoot('damaged.db'), bytes);

  await expect(read('damaged.db')).rejects.toMatchObject({
    code: 'conflict',
    hint: expect.stringContaining('.recover') as string,
  });
  expect(await place.call('database_info', { database: 'damaged.db', check: 'full' })).toMatchObject({
    problems: expect.arrayContaining([expect.any(String)]) as unknown,
  });
});

test('an empty file is an empty database, and becomes one only where its name says so', async () => {
  writeFileSync(inRoot('empty.db'), '');
  writeFileSync(inRoot('__init__.py'), '');

  expect(await place.call('list_tables', { database: '__init__.py' })).toEqual({ tables: [] });
  await place.call('create_table', { query: 'CREATE TABLE t (a)', database: 'empty.db' });
  await expect(
    place.call('create_table', { query: 'CREATE TABLE t (a)', database: '__init__.py' }),
  ).rejects.toMatchObject({ code: 'invalid_input' });
  expect(statSync(inRoot('__init__.py')).size).toBe(0);
});

test('another program that writes is waited for, then named', async () => {
  await using impatient = testPlace({ busyMs: 200 });
  const file = join(impatient.root, 'flotilla.db');
  madeElsewhere(file, 'CREATE TABLE t (a)');
  using other = new DatabaseSync(file);
  other.exec('BEGIN IMMEDIATE; INSERT INTO t VALUES (1)');
  const locked = {
    code: 'unavailable',
    message: 'Database error: database is locked',
    hint: expect.stringMatching(
      /^It is held by [^ ].* \(process \d+\)\. Another program or transaction has it locked/,
    ) as string,
  };

  // A reader is not kept waiting, unless what is written is on its way to the file.
  expect(await impatient.rows('SELECT * FROM t')).toEqual([]);
  await expect(impatient.call('write_query', { query: 'INSERT INTO t VALUES (2)' })).rejects.toMatchObject(
    locked,
  );
  other.exec('COMMIT; BEGIN EXCLUSIVE; INSERT INTO t VALUES (3)');
  await expect(impatient.rows('SELECT * FROM t')).rejects.toMatchObject(locked);
  await using fresh = testPlace({ root: impatient.root, busyMs: 200 });
  await expect(fresh.rows('SELECT * FROM t')).rejects.toMatchObject(locked);

  await using patient = testPlace({ root: impatient.root, busyMs: 15_000 });
  const waiting = patient.call('write_query', { query: 'INSERT INTO t VALUES (2)', timeout_ms: 20_000 });
  other.exec('COMMIT');
  await waiting;
  expect(await patient.rows('SELECT * FROM t')).toEqual([{ a: 1 }, { a: 3 }, { a: 2 }]);
});

test.each(['delete', 'wal'])(
  'what a program left that fell while it wrote is put in order (%s)',
  async (mode) => {
    const file = inRoot(`fallen-${mode}.db`);
    madeElsewhere(file, `PRAGMA journal_mode = ${mode}; CREATE TABLE t (a); INSERT INTO t VALUES (1)`);
    const program = `const { DatabaseSync } = require('node:sqlite');
    const db = new DatabaseSync(process.argv[1]);
    db.exec("PRAGMA cache_size = 1; BEGIN IMMEDIATE; INSERT INTO t SELECT hex(randomblob(500)) FROM (WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c LIMIT 2000) SELECT x FROM c)");
    console.log('written'); setInterval(() => {}, 1000);`;
    // An engine has it open already.
    expect(await read(file)).toEqual([{ a: 1 }]);
    const other = spawn(process.execPath, ['-e', program, file], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => other.stdout.once('data', resolve));
    other.kill('SIGKILL');
    await new Promise((resolve) => other.once('exit', resolve));
    expect(existsSync(`${file}-${mode === 'wal' ? 'wal' : 'journal'}`)).toBe(true);

    expect(await read(file)).toEqual([{ a: 1 }]);
    expect(await place.call('database_info', { database: file, check: 'full' })).toMatchObject({
      problems: [],
    });
  },
);

test('a journal that names another file is not followed', async () => {
  madeElsewhere(inRoot('planted.db'), 'CREATE TABLE t (a); INSERT INTO t VALUES (1)');
  const name = Buffer.from(join(place.outside, 'secret.csv'));
  const numbers = Buffer.alloc(8);
  numbers.writeUInt32BE(name.length);
  numbers.writeUInt32BE(
    name.reduce((sum, byte) => sum + byte, 0),
    4,
  );
  const magic = Buffer.from('d9d505f920a163d7', 'hex');
  const journal = Buffer.concat([magic, Buffer.alloc(504), Buffer.alloc(4), name, numbers, magic]);
  writeFileSync(inRoot('planted.db-journal'), journal);

  for (const [tool, args] of [
    ['list_tables', { database: 'planted.db' }],
    ['write_query', { query: 'INSERT INTO t VALUES (2)', database: 'planted.db' }],
  ] as const) {
    await expect(place.call(tool, args)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('over several databases') as string,
    });
  }
  expect(readFileSync(inRoot('planted.db-journal')).equals(journal)).toBe(true);
  rmSync(inRoot('planted.db-journal'));
  expect(await read('planted.db')).toEqual([{ a: 1 }]);
});

test.each(['-wal', '-shm', '-journal'])(
  'a file of SQLite that is a link, another name or no file is refused, and nothing is changed (%s)',
  async (end) => {
    const file = inRoot(`beside${end}.db`);
    madeElsewhere(file, 'CREATE TABLE t (a); INSERT INTO t VALUES (1)');
    expect(await read(file)).toEqual([{ a: 1 }]);
    const theirs = join(place.outside, `theirs${end}`);
    writeFileSync(theirs, 'theirs');
    for (const [make, what] of [
      [() => linkSync(theirs, file + end), 'has 2 names'],
      [() => symlinkSync(theirs, file + end), 'is a link'],
      [() => execFileSync('mkfifo', [file + end]), 'is a pipe'],
      [() => mkdirSync(file + end), 'is a folder'],
    ] as const) {
      make();
      for (const [tool, args] of [
        ['read_query', { query: 'SELECT * FROM t', database: file }],
        ['write_query', { query: 'INSERT INTO t VALUES (2)', database: file }],
        ['vacuum_database', { database: file }],
        ['backup_database', { database: file, path: 'copy.db' }],
        ['begin_transaction', { database: file }],
      ] as const) {
        await expect(place.call(tool, args), what).rejects.toMatchObject({
          code: 'forbidden',
          message: expect.stringContaining(what) as string,
        });
      }
      rmSync(file + end, { recursive: true });
    }
    expect(readFileSync(theirs, 'utf8')).toBe('theirs');
    expect(await read(file)).toEqual([{ a: 1 }]);
  },
);

test('a database in a folder that cannot be written is read, and its changes are refused', (context) => {
  using other = folders();
  const files = ['delete', 'wal'].map((mode) => join(other.root, `${mode}.db`));
  for (const file of files) {
    madeElsewhere(
      file,
      `PRAGMA journal_mode = ${basename(file, '.db')}; CREATE TABLE t (a); INSERT INTO t VALUES (1)`,
    );
    chmodSync(file, 0o444);
  }
  for (const folder of [other.path, other.root]) chmodSync(folder, 0o555);
  // Root may write everywhere: there, a process of nobody tries it.
  const user = process.geteuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
  const tried = spawnSync(
    process.execPath,
    [fileURLToPath(import.meta.resolve('./reader.fixture.ts')), other.root, ...files],
    {
      ...user,
      encoding: 'utf8',
      env: {},
    },
  );
  for (const folder of [other.path, other.root]) chmodSync(folder, 0o755);
  if (tried.error || tried.stderr.includes('EACCES'))
    context.skip(`nobody cannot start our code: ${tried.error ?? tried.stderr}`);

  const refused = /readonly database|unable to open/;
  expect(JSON.parse(tried.stdout)).toEqual(
    files.map(() => ['[["1"]]', expect.stringMatching(refused) as string]),
  );
});

test('links, other names and what lies outside are refused', async () => {
  madeElsewhere(join(place.outside, 'theirs.db'), 'CREATE TABLE t (a)');
  symlinkSync(join(place.outside, 'theirs.db'), inRoot('link.db'));
  symlinkSync(place.outside, inRoot('folder'));
  linkSync(join(place.outside, 'theirs.db'), inRoot('hard.db'));
  execFileSync('mkfifo', [inRoot('pipe.db')]);
  await using socket = createServer().listen(inRoot('socket.db'));
  await once(socket, 'listening');
  mkdirSync(inRoot('sub.db'));
  madeElsewhere(inRoot('real.db'), 'CREATE TABLE t (a)');
  symlinkSync('real.db', inRoot('inner.db'));

  for (const database of [
    'link.db',
    'folder/theirs.db',
    'hard.db',
    'pipe.db',
    'socket.db',
    join(place.outside, 'theirs.db'),
  ]) {
    await expect(read(database), database).rejects.toMatchObject({ code: 'forbidden' });
  }
  await expect(read('sub.db')).rejects.toMatchObject({ code: 'invalid_input' });
  await expect(read('none.db')).rejects.toMatchObject({ code: 'not_found' });
  // A link within the roots is one.
  expect(await read('inner.db')).toEqual([]);
  for (const name of ['link.db', 'hard.db', 'pipe.db']) rmSync(inRoot(name));
});

test('a database that is replaced between two calls is opened anew', async () => {
  madeElsewhere(inRoot('one.db'), 'CREATE TABLE t (a); INSERT INTO t VALUES (1)');
  madeElsewhere(inRoot('two.db'), 'CREATE TABLE t (a); INSERT INTO t VALUES (2)');
  expect(await read('one.db')).toEqual([{ a: 1 }]);

  copyFileSync(inRoot('two.db'), inRoot('new.db'));
  rmSync(inRoot('one.db'));
  execFileSync('mv', [inRoot('new.db'), inRoot('one.db')]);

  expect(await read('one.db')).toEqual([{ a: 2 }]);
});

test('databases are found by what stands in them', async () => {
  mkdirSync(inRoot('deep/er'), { recursive: true });
  madeElsewhere(inRoot('deep/er/History'), 'CREATE TABLE t (a)');
  writeFileSync(inRoot('deep/er/no.db'), 'text');

  const found: string[] = [];
  for (let cursor: unknown; ;) {
    const page = await place.call('list_databases', { limit: 5, ...(cursor !== undefined && { cursor }) });
    found.push(...(page['databases'] as { path: string }[]).map(({ path }) => path));
    cursor = page['next_cursor'];
    if (cursor === undefined) break;
  }

  expect(found).toContain(inRoot('deep/er/History'));
  expect(found).not.toContain(inRoot('deep/er/no.db'));
  expect(new Set(found).size).toBe(found.length);
});

test('a database is never written over, whatever its name', async () => {
  const database = 'own.txt';
  madeElsewhere(inRoot(database), 'CREATE TABLE p (a); INSERT INTO p VALUES (1)');

  await expect(
    place.call('export_csv', { database, table: 'p', path: database, overwrite: true }),
  ).rejects.toMatchObject({ code: 'conflict' });

  expect(await place.call('read_query', { database, query: 'SELECT a FROM p' })).toMatchObject({
    rows: [{ a: 1 }],
  });
});

test.each<[string, string | Buffer, object]>([
  ['lines that end with a carriage return', 'a,b\r1,x\r2,y\r', { rows: 2 }],
  ['a byte order mark', '\ufeffa,b\n1,x\n2,y\n', { rows: 2 }],
  ['UTF-16, little end first', Buffer.from('\ufeffa,b\n1,x\n2,y\n', 'utf16le'), { rows: 2 }],
  ['UTF-16, big end first', Buffer.from('\ufeffa,b\n1,x\n2,y\n', 'utf16le').swap16(), { rows: 2 }],
])('a CSV file with %s is imported as it is meant', async (_, content, answer) => {
  writeFileSync(inRoot('meant.csv'), content);
  await place.call('execute_sql', { sql: 'DROP TABLE IF EXISTS meant' });

  expect(await place.call('import_csv', { path: 'meant.csv', table: 'meant' })).toMatchObject(answer);

  expect(await place.rows('SELECT * FROM meant')).toEqual([
    { a: 1, b: 'x' },
    { a: 2, b: 'y' },
  ]);
});

test.each<[string, string | Buffer, string, string]>([
  ['UTF-16 without a mark', Buffer.from('a,b\n1,x\n', 'utf16le'), 'it holds NUL bytes', 'iconv -f UTF-16LE'],
  [
    'NUL far behind its beginning',
    `a,b\n${'1,x\n'.repeat(300_000)}2,\0\n`,
    'it holds NUL bytes',
    'Nothing was imported',
  ],
  ['another encoding', Buffer.from('a,b\n1,\u00e9\n', 'latin1'), 'is not UTF-8', 'WINDOWS-1252'],
  ['half a UTF-16 unit', Buffer.from('\ufeffa,b\n', 'utf16le').subarray(0, 7), 'is not UTF-16LE', 'iconv'],
  ['semicolons', 'a;b\n1;x\n', 'has no ",", but ";"', 'Give the delimiter ";"'],
  [
    'a row that is longer',
    'a,b\n1,x\n2,y,z\n',
    'Line 3 of the CSV file: 3 fields, and not 2',
    'Nothing was imported',
  ],
  [
    'a row that is shorter',
    'a,b\n1,x\n2\n',
    'Line 3 of the CSV file: 1 fields, and not 2',
    'Nothing was imported',
  ],
  ['a name twice', 'a,A\n1,x\n', 'Two columns of the CSV file are named A', 'Give columns'],
  ['nothing in it', '', 'The CSV file is empty', 'Nothing was imported'],
])('a CSV file with %s is refused, and nothing is made', async (_, content, message, hint) => {
  writeFileSync(inRoot('refused.csv'), content);

  await expect(place.call('import_csv', { path: 'refused.csv', table: 'refused' })).rejects.toMatchObject({
    code: 'invalid_input',
    message: expect.stringContaining(message) as string,
    hint: expect.stringContaining(hint) as string,
  });

  expect(await place.rows("SELECT * FROM sqlite_schema WHERE name = 'refused'")).toEqual([]);
});

test('numbers of both kinds in one column come back from an import as they were written', async () => {
  const text = 'n\r\n5\r\n2.5\r\n9007199254740993\r\n';
  writeFileSync(inRoot('numbers.csv'), text);

  await place.call('import_csv', { path: 'numbers.csv', table: 'numbers' });
  await place.call('export_csv', { table: 'numbers', path: 'numbers.csv', overwrite: true });

  expect(readFileSync(inRoot('numbers.csv'), 'utf8')).toBe(text);
  expect(await place.rows('SELECT typeof(n) AS type FROM numbers')).toEqual([
    { type: 'integer' },
    { type: 'real' },
    { type: 'integer' },
  ]);
});

test('a statement that is asked again sees the tables as they are by now, and holds nothing in between', async () => {
  const database = 'again.db';
  madeElsewhere(
    inRoot(database),
    'PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)',
  );
  const query = 'SELECT * FROM t';
  const first = await place.call('read_query', { database, query, limit: 1 });
  expect(first).toMatchObject({ rows: [{ a: 1 }], truncated: true });

  using other = new DatabaseSync(inRoot(database));
  other.exec('DELETE FROM t; INSERT INTO t VALUES (4)');
  // A reader that held its place in the log would keep it from being taken in.
  expect(other.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()).toMatchObject({ busy: 0, log: 0 });
  expect(await read(database, query)).toEqual([{ a: 4 }]);

  other.exec('ALTER TABLE t ADD COLUMN b DEFAULT 5');
  expect(await read(database, query)).toEqual([{ a: 4, b: 5 }]);
  other.exec("DROP TABLE t; CREATE VIRTUAL TABLE t USING fts5(a); INSERT INTO t VALUES ('x')");
  expect(await read(database, query)).toEqual([{ a: 'x' }]);
  const shadow = 'INSERT INTO t_config VALUES (1, 2)';
  for (let time = 0; time < 2; time += 1) {
    await expect(place.call('write_query', { database, query: shadow })).rejects.toMatchObject({
      message: expect.stringContaining('t_config may not be modified') as string,
    });
  }
  other.exec('DROP TABLE t');
  await expect(read(database, query)).rejects.toMatchObject({ code: 'invalid_input' });
});

test('who holds a lock is named: a reader in the way of a writer, and a transaction of this service', async () => {
  await using impatient = testPlace({ busyMs: 100 });
  const file = join(impatient.root, 'flotilla.db');
  madeElsewhere(file, 'CREATE TABLE t (a); INSERT INTO t VALUES (1)');
  using other = new DatabaseSync(file);
  other.exec('BEGIN');
  other.prepare('SELECT * FROM t').get();
  symlinkSync(file, join(impatient.root, 'alias.db'));
  const write = async (database?: string) =>
    impatient.call('write_query', { query: 'INSERT INTO t VALUES (2)', database });

  await expect(write()).rejects.toMatchObject({
    code: 'unavailable',
    hint: expect.stringContaining(`(process ${process.pid})`) as string,
  });
  other.exec('COMMIT; PRAGMA journal_mode = WAL');
  await impatient.call('begin_transaction', { mode: 'immediate' });
  await expect(write()).rejects.toMatchObject({
    code: 'unavailable',
    hint: expect.stringContaining('held by a transaction of this token: pass its handle') as string,
  });
  await expect(write('alias.db')).rejects.toMatchObject({
    hint: expect.stringContaining('held by a transaction or statement of this service') as string,
  });
});

test.each<[string, Record<string, unknown>, string, string]>([
  ['explain_sql', { sql: 'EXPLAIN SELECT 1' }, 'invalid_input', 'Give the statement without it'],
  ['read_query', { query: 'EXPLAIN DELETE FROM m' }, 'forbidden', 'explain_sql shows the plan'],
  ['open_database', { path: 'no/such/a.db', create: true }, 'not_found', 'make it first'],
  ['export_csv', { path: 'no/such/a.csv', table: 'm' }, 'not_found', 'make it first'],
  ['read_query', { query: 'SELECT 1', database: '.' }, 'invalid_input', 'Name a file in it'],
  ['search_objects', { table: 'none' }, 'not_found', 'list_tables'],
  ['read_query', { query: 'SELECT :a', params: { a: 1, b: 2 } }, 'invalid_input', 'and no others'],
  [
    'read_query',
    { query: 'SELECT :__proto__', params: JSON.parse('{"__proto__": 1}') as object },
    'invalid_input',
    'choose another name',
  ],
])('%s %j says what helps', async (name, args, code, hint) => {
  await place.call('execute_sql', { sql: 'CREATE TABLE IF NOT EXISTS m (a)' });

  await expect(place.call(name, args)).rejects.toMatchObject({
    code,
    hint: expect.stringContaining(hint) as string,
  });
});

test('what is kept of a statement that fails, and of its transaction, is said', async () => {
  await place.call('execute_sql', { sql: 'CREATE TABLE u (a UNIQUE); INSERT INTO u VALUES (1)' });
  const insert = async (how: string, more = {}) =>
    place.call('write_query', { query: `INSERT OR ${how} INTO u VALUES (2), (1)`, ...more });
  const { transaction } = await place.call('begin_transaction', {});

  await expect(insert('ROLLBACK', { transaction })).rejects.toThrow('the whole transaction was rolled back');
  await expect(insert('ABORT')).rejects.toThrow(/constraint failed: u\.a$/);
  await expect(insert('FAIL')).rejects.toThrow('what the statement changed before this row was kept');
  expect(await place.rows('SELECT a FROM u')).toEqual([{ a: 1 }, { a: 2 }]);
});

test('a column is found by its name alone', async () => {
  madeElsewhere(inRoot('columns.db'), 'CREATE TABLE t (amount); CREATE TABLE amounts (x)');

  expect(await place.call('search_objects', { database: 'columns.db', pattern: 'AMOUNT%' })).toMatchObject({
    objects: [
      { name: 'amounts', type: 'table' },
      { name: 'amount', type: 'column', table: 't' },
    ],
  });
});
