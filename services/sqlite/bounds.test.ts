/** What one caller may take, and what it costs others: nothing. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { afterAll, beforeAll, expect, test, vi } from 'vitest';

import { madeElsewhere, testPlace, type TestPlace } from './place.fixture.ts';

let place: TestPlace;
beforeAll(async () => {
  place = testPlace({ maxBytes: 4_000_000 });
  await place.call('execute_sql', {
    sql: 'CREATE TABLE t (a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES (1, 1)',
  });
});
afterAll(async () => place[Symbol.asyncDispose]());

const endless = 'WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c)';
const of = (caller: string) => ({ caller });
const count = async () => place.rows('SELECT count(*) AS n FROM t');

test('an endless query is stopped at its limit', async () => {
  const call = place.call('read_query', { query: `${endless} SELECT count(*) FROM c`, timeout_ms: 100 });

  await expect(call).rejects.toMatchObject({
    code: 'timeout',
    message: 'The statement was stopped after 100 ms.',
  });
});

test('others are served while endless queries run, which end with their clients', async () => {
  const gone = new AbortController();
  const query = `${endless} SELECT count(*) FROM c`;
  const over: unknown[] = [];
  const stuck = [1, 2, 3, 4].map(async () =>
    place
      .call('read_query', { query, timeout_ms: 25_000 }, { caller: 'greedy', signal: gone.signal })
      .catch((error: unknown) => over.push(error)),
  );

  for (let number = 0; number < 5; number += 1) {
    expect(await place.call('read_query', { query: 'SELECT 1' }, of('other'))).toMatchObject({
      rows: [{ 1: 1 }],
    });
  }
  expect(over).toEqual([]);
  gone.abort(new RangeError('gone'));
  await Promise.all(stuck);
  expect(over).toEqual(stuck.map(() => gone.signal.reason as unknown));
});

test('a token keeps its engine while those of another are ended', async () => {
  await using own = testPlace();
  /** Processes that this one started, whichever of its threads did. */
  const engines = () =>
    readdirSync('/proc/self/task')
      .flatMap((task) => readFileSync(`/proc/self/task/${task}/children`, 'utf8').trim().split(' '))
      .filter((pid) => pid !== '' && !before.has(pid));
  const before = new Set<string>();
  for (const pid of engines()) before.add(pid);
  const read = async () => own.call('read_query', { query: 'SELECT 1' }, of('quiet'));
  await read();
  const [kept = ''] = engines();

  for (let time = 0; time < 2; time += 1) {
    const query = `${endless} SELECT count(*) FROM c`;
    const greedy = own.call('read_query', { query, timeout_ms: 50 }, of('greedy'));
    await expect(greedy).rejects.toMatchObject({ code: 'timeout' });
    const there = engines();
    expect(there).toContain(kept);

    await read();

    expect(engines()).toEqual(there);
  }
});

test('a change that is stopped leaves nothing of it, no lock, and all that was acknowledged', async () => {
  for (const mode of ['wal', 'delete']) {
    const database = `stopped-${mode}.db`;
    madeElsewhere(join(place.root, database), `PRAGMA journal_mode = ${mode}; CREATE TABLE t (a)`);
    for (let value = 0; value < 5; value += 1) {
      await place.call('write_query', { query: 'INSERT INTO t VALUES (?)', params: [value], database });
    }

    const stopped = place.call('write_query', {
      query: `INSERT INTO t ${endless} SELECT x FROM c WHERE x < 40000 OR x % 1000000000 = 0`,
      database,
      timeout_ms: 700,
    });
    await expect(stopped).rejects.toMatchObject({ code: 'timeout' });

    // Others find it unlocked and whole, with nothing to put in order first.
    const script =
      'const { DatabaseSync } = require("node:sqlite"); new DatabaseSync(process.argv[1], { readOnly: true }).prepare("SELECT count(*) FROM t").get(); const d = new DatabaseSync(process.argv[1]); d.exec("BEGIN EXCLUSIVE"); console.log(d.prepare("SELECT count(*) AS n FROM t").get().n, d.prepare("PRAGMA integrity_check").get().integrity_check)';
    expect(
      execFileSync(process.execPath, ['-e', script, join(place.root, database)], { encoding: 'utf8' }),
    ).toBe('5 ok\n');
  }
});

test.each([
  ['a text that is too long', 'SELECT hex(zeroblob(100000000))', 'too_large'],
  [
    'a sort of everything',
    `SELECT x, hex(zeroblob(100000)) AS h FROM (${endless} SELECT x FROM c LIMIT 20000) ORDER BY h, -x`,
    'too_large',
  ],
  [
    'many texts in one',
    `SELECT length(group_concat(hex(zeroblob(100000)), x'00')) FROM (${endless} SELECT x FROM c LIMIT 100000)`,
    'too_large',
  ],
  ['more tables than are joined', `SELECT 1 FROM ${'t, '.repeat(70)}t`, 'invalid_input'],
  ['an expression that is too deep', `SELECT ${'1 + '.repeat(2_000)}1`, 'invalid_input'],
])('%s ends its call alone', async (_, query, code) => {
  await expect(place.call('read_query', { query, timeout_ms: 20_000 })).rejects.toMatchObject({ code });
  expect(await count()).toEqual([{ n: 1 }]);
});

test('a database grows to its bound, and no further', async () => {
  const query = `INSERT INTO t SELECT NULL, zeroblob(1000000) FROM (${endless} SELECT x FROM c LIMIT 10)`;

  await expect(place.call('write_query', { query })).rejects.toMatchObject({
    code: 'unavailable',
    hint: expect.stringContaining('the size that the operator allows') as string,
  });

  expect(await count()).toEqual([{ n: 1 }]);
});

test('rows come in pages that fit an answer, and all of them come', async () => {
  const query = `${endless} SELECT x, hex(zeroblob(100)) AS h FROM c LIMIT 450`;
  const seen: unknown[] = [];
  let pages = 0;
  for (let cursor: unknown; ; pages += 1) {
    const page = await place.call('read_query', {
      query,
      limit: 1_000,
      ...(cursor !== undefined && { cursor }),
    });
    expect(Buffer.byteLength(JSON.stringify(page))).toBeLessThan(40_000);
    seen.push(...(page['rows'] as { x: number }[]).map(({ x }) => x));
    cursor = page['next_cursor'];
    expect(page['truncated']).toBe(cursor === undefined ? undefined : true);
    if (cursor === undefined) break;
  }

  expect(seen).toEqual(Array.from({ length: 450 }, (_, at) => at + 1));
  expect(pages).toBeGreaterThan(1);
});

test('a million rows are not read to show the first', async () => {
  const page = await place.call('read_query', { query: `${endless} SELECT x FROM c`, limit: 3 });

  expect(page).toMatchObject({ rows: [{ x: 1 }, { x: 2 }, { x: 3 }], truncated: true });
});

test('a value that is larger than an answer is cut, and said to be', async () => {
  const page = await place.call('read_query', {
    query: "SELECT hex(zeroblob(1000000)) AS h, zeroblob(1000000) AS b, 'é' || hex(zeroblob(5000)) AS e",
  });

  expect(JSON.stringify(page).length).toBeLessThan(40_000);
  expect(page['cut']).toEqual([
    'row 1, h: of 2000000 characters',
    'row 1, b: of 1000000 bytes',
    'row 1, e: of 10001 characters',
  ]);
});

test('values come back as they went in', async () => {
  const values = [
    { int64: '9223372036854775807' },
    { int64: '-9223372036854775808' },
    9_007_199_254_740_991,
    0,
    -1.5,
    1e300,
    { real: 'Infinity' },
    { base64: 'AP8A/w==' },
    { base64: '' },
    null,
    '',
    'é😀\n"\'',
    '007',
    'null',
  ];
  const query = `SELECT ${values.map((_, at) => `? AS c${at}`).join(', ')}`;

  const { rows } = await place.call('read_query', { query, params: values });

  expect(Object.values((rows as object[])[0] ?? {})).toEqual(values);
  expect(
    await place.rows('SELECT typeof(:a) AS a, typeof($b) AS b, typeof(@c) AS c', {
      params: { a: 1, b: 1.5, c: true },
    }),
  ).toEqual([{ a: 'integer', b: 'real', c: 'integer' }]);
});

test('a transaction is seen by others when it is committed, and by nobody when it is rolled back', async () => {
  const { transaction } = await place.call('begin_transaction', {});
  await place.call('write_query', { query: "INSERT INTO t VALUES (2, 'x')", transaction });

  expect(await place.rows('SELECT count(*) AS n FROM t', { transaction })).toEqual([{ n: 2 }]);
  expect(await count()).toEqual([{ n: 1 }]);
  await place.call('rollback_transaction', { transaction });
  expect(await count()).toEqual([{ n: 1 }]);
  await expect(place.call('commit_transaction', { transaction })).rejects.toMatchObject({
    code: 'not_found',
  });
});

test('a transaction ends once, however many say so at once, and its engine is one call’s alone', async () => {
  const { transaction } = await place.call('begin_transaction', {});
  await place.call('write_query', { query: "INSERT INTO t VALUES (9, 'x')", transaction });

  const ends = await Promise.allSettled(
    ['rollback_transaction', 'commit_transaction', 'rollback_transaction'].map(async (name) =>
      place.call(name, { transaction }),
    ),
  );
  const reads = await Promise.all([1, 2, 3, 4].map(async (n) => place.rows(`SELECT ${n} AS n`)));

  expect(
    ends.map((end) => (end.status === 'fulfilled' ? 'ok' : (end.reason as { code: string }).code)),
  ).toEqual(['ok', 'not_found', 'not_found']);
  expect(reads).toEqual([[{ n: 1 }], [{ n: 2 }], [{ n: 3 }], [{ n: 4 }]]);
  expect(await count()).toEqual([{ n: 1 }]);
});

test('a transaction that read what others changed since is told to begin anew', async () => {
  const { transaction } = await place.call('begin_transaction', {});
  await place.rows('SELECT * FROM t', { transaction });
  await place.call('write_query', { query: 'UPDATE t SET b = b + 1' });

  await expect(place.call('write_query', { query: 'UPDATE t SET b = 2', transaction })).rejects.toMatchObject(
    { code: 'conflict', hint: expect.stringContaining('begin again') as string },
  );
  await place.call('rollback_transaction', { transaction });
});

test('a transaction belongs to the token that began it, and to one database', async () => {
  const { transaction } = await place.call('begin_transaction', {}, of('owner'));
  const second = await place.call('begin_transaction', {}, of('owner'));

  for (const [name, args] of [
    ['commit_transaction', {}],
    ['rollback_transaction', {}],
    ['read_query', { query: 'SELECT 1' }],
  ] as const) {
    await expect(place.call(name, { ...args, transaction }, of('other'))).rejects.toMatchObject({
      code: 'not_found',
    });
  }
  const elsewhere = { query: 'SELECT 1', transaction, database: 'stopped-wal.db' };
  await expect(place.call('read_query', elsewhere, of('owner'))).rejects.toMatchObject({
    code: 'invalid_input',
  });
  await expect(place.call('begin_transaction', {}, of('owner'))).rejects.toMatchObject({ code: 'too_large' });
  await place.call('commit_transaction', { transaction }, of('owner'));
  await place.call('commit_transaction', { transaction: second['transaction'] }, of('owner'));
});

test('an idle transaction is rolled back, and lets others write', async () => {
  await using quick = testPlace({ idleMs: 500 });
  await quick.call('execute_sql', { sql: "CREATE TABLE t (a); INSERT INTO t VALUES ('old')" });
  const { transaction } = await quick.call('begin_transaction', { mode: 'immediate' }, of('sleeper'));

  await quick.call('write_query', { query: "UPDATE t SET a = 'new'", timeout_ms: 20_000 }, of('other'));

  await expect(quick.call('commit_transaction', { transaction }, of('sleeper'))).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('idle for 0.5 s') as string,
  });
  expect(await quick.rows('SELECT * FROM t')).toEqual([{ a: 'new' }]);
});

test('a statement that is stopped ends its transaction, and says so', async () => {
  const { transaction } = await place.call('begin_transaction', {});
  await place.call('write_query', { query: "INSERT INTO t VALUES (4, 'x')", transaction });

  const query = `${endless} SELECT count(*) FROM c`;
  await expect(place.call('read_query', { query, transaction, timeout_ms: 200 })).rejects.toMatchObject({
    code: 'timeout',
  });

  await expect(place.call('commit_transaction', { transaction })).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('one of its statements was stopped') as string,
  });
  expect(await count()).toEqual([{ n: 1 }]);
});

test('temporary tables live within a transaction', async () => {
  const { transaction } = await place.call('begin_transaction', {});
  const sql = 'CREATE TEMP TABLE x (a); INSERT INTO x VALUES (1); SELECT * FROM x';

  expect(await place.call('execute_sql', { sql, transaction })).toMatchObject({
    statements: [{}, {}, { rows: [{ a: 1 }] }],
  });
  await place.call('commit_transaction', { transaction });
  await expect(place.call('execute_sql', { sql })).rejects.toMatchObject({ code: 'forbidden' });
});

test('all of a batch, a script or a bulk is kept, or nothing', async () => {
  const before = await place.rows('SELECT * FROM t');
  const works = [
    [
      'execute_batch',
      { statements: [{ sql: 'INSERT INTO t VALUES (10, 1)' }, { sql: 'INSERT INTO t VALUES (10, 1)' }] },
    ],
    [
      'execute_sql',
      { sql: 'CREATE TABLE u (a); INSERT INTO t VALUES (10, 1); INSERT INTO t VALUES (10, 1)' },
    ],
    [
      'bulk_insert',
      {
        table: 't',
        rows: [
          { a: 10, b: 1 },
          { a: 10, b: 1 },
        ],
      },
    ],
    ['bulk_insert', { table: 't', rows: [[10, 1], [11]] }],
  ] as const;

  for (const [name, args] of works) {
    await expect(place.call(name, args), name).rejects.toMatchObject({
      message: expect.stringMatching(/Statement 2|Row 2|UNIQUE/) as string,
    });
  }

  expect(await place.rows('SELECT * FROM t')).toEqual(before);
  expect(await place.call('list_tables')).toEqual({ tables: [{ name: 't', type: 'table' }] });
});

test('writers side by side lose nothing', async () => {
  await place
    .call('create_table', { query: 'CREATE TABLE counter (n INTEGER)', database: 'side.db' })
    .catch(() => {});
  await place.call('open_database', { path: 'side.db', create: true });
  await place.call('create_table', {
    query: 'CREATE TABLE IF NOT EXISTS counter (n INTEGER)',
    database: 'side.db',
  });

  await Promise.all(
    Array.from({ length: 60 }, async (_, at) =>
      place.call(
        'write_query',
        { query: 'INSERT INTO counter VALUES (?)', params: [at], database: 'side.db', timeout_ms: 20_000 },
        of(`caller ${at % 3}`),
      ),
    ),
  );

  expect(await place.rows('SELECT count(DISTINCT n) AS n FROM counter', { database: 'side.db' })).toEqual([
    { n: 60 },
  ]);
});

test('an import that is stopped leaves nothing', async () => {
  const lines = Array.from({ length: 100_000 }, (_, at) => `${at},text ${at}`);
  writeFileSync(join(place.root, 'large.csv'), `a,b\n${lines.join('\n')}\n`);
  const stop = new AbortController();
  const told: number[] = [];
  const progress = (done: number) => {
    told.push(done);
    stop.abort(new RangeError('gone'));
  };

  const call = place.call('import_csv', { path: 'large.csv', table: 'n' }, { signal: stop.signal, progress });

  await expect(call).rejects.toThrow('gone');
  expect(told.length).toBeGreaterThan(0);
  expect(await place.call('list_tables')).toEqual({ tables: [{ name: 't', type: 'table' }] });
});

test('an export and a backup that are stopped leave no file', async () => {
  const query = `${endless} SELECT x, hex(zeroblob(500)) AS h FROM c`;
  for (const [name, args] of [['export_csv', { query, path: 'out.csv' }]] as const) {
    const stop = new AbortController();
    const progress = () => stop.abort(new RangeError('gone'));
    await expect(place.call(name, args, { signal: stop.signal, progress })).rejects.toThrow('gone');
  }

  await vi.waitFor(() => {
    expect(readdirSync(place.root).filter((name) => /tmp|out\.csv/.test(name))).toEqual([]);
  });
});

test('what is exported is imported as it was, and blobs as base64', async () => {
  await place.call('open_database', { path: 'trip.db', create: true });
  const database = 'trip.db';
  await place.call('create_table', { query: 'CREATE TABLE x (i INTEGER, r REAL, t TEXT, n)', database });
  const rows = [
    [{ int64: '9223372036854775807' }, 0.1, 'a "b", c\r\nd', null],
    [-1, 5, '', { base64: 'AAE=' }],
  ];
  await place.call('bulk_insert', { table: 'x', rows, database });

  expect(await place.call('export_csv', { table: 'x', path: 'trip.csv', database })).toMatchObject({
    rows: 2,
  });
  await expect(place.call('export_csv', { table: 'x', path: 'trip.csv', database })).rejects.toMatchObject({
    code: 'conflict',
  });
  expect(await place.call('import_csv', { path: 'trip.csv', table: 'y', database })).toEqual({
    rows: 2,
    inserted: 2,
    created: true,
  });

  expect(await place.rows('SELECT *, typeof(r) AS type FROM y', { database })).toEqual([
    { i: { int64: '9223372036854775807' }, r: 0.1, t: 'a "b", c\r\nd', n: null, type: 'real' },
    { i: -1, r: 5, t: '', n: 'AAE=', type: 'real' },
  ]);
});

test('a backup is the database of one moment, and opens', async () => {
  expect(await place.call('backup_database', { path: 'copy.db' })).toMatchObject({
    size_bytes: statSync(join(place.root, 'copy.db')).size,
  });
  expect(await place.rows('SELECT count(*) AS n FROM t', { database: 'copy.db' })).toEqual(await count());
  await expect(place.call('backup_database', { path: 'copy.db' })).rejects.toMatchObject({
    code: 'conflict',
  });
});

test('a full-text index follows its table', async () => {
  const database = 'fts.db';
  madeElsewhere(
    join(place.root, database),
    "CREATE TABLE doc (id INTEGER PRIMARY KEY, body); INSERT INTO doc VALUES (7, 'Running foxes')",
  );
  await place.call('create_fts_index', { table: 'doc', columns: ['body'], tokenizer: 'stems', database });
  const found = async (text: string) =>
    place.rows('SELECT id FROM doc WHERE id IN (SELECT rowid FROM doc_fts WHERE doc_fts MATCH ?)', {
      params: [text],
      database,
    });

  expect(await found('fox')).toEqual([{ id: 7 }]);
  await place.call('write_query', { query: "UPDATE doc SET body = 'hens'", database });
  expect([await found('fox'), await found('hen')]).toEqual([[], [{ id: 7 }]]);
  await place.call('write_query', { query: 'DELETE FROM doc', database });
  expect(await found('hen')).toEqual([]);
});
