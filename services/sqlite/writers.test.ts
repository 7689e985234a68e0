/** Who changes a database, when, and who has to wait for it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import { afterAll, beforeAll, expect, test } from 'vitest';

import { madeElsewhere, testPlace, type TestPlace } from './place.fixture.ts';
import { openWriters } from './writers.ts';

let place: TestPlace;
beforeAll(() => {
  place = testPlace({ pressed: { idleMs: 200, lifeMs: 600 }, busyMs: 2_000 });
  const lines = Array.from({ length: 20_000 }, (_, at) => `${at},a text that is some twenty long ${at}`);
  writeFileSync(join(place.root, 'rows.csv'), `id,name\n${lines.join('\n')}\n`);
});
afterAll(async () => place[Symbol.asyncDispose]());

const of = (caller: string) => ({ caller });
const calm = new AbortController().signal;
const waiter = (caller: string) => ({ caller, signal: calm });

test('changes of a database come in turns of the tokens, and those of others at once', async () => {
  const writers = openWriters(1_000);
  const order: string[] = [];
  const endTurn = await writers.hold('one.db', waiter('first'), () => order.push('pressed'));
  const change = async (caller: string) =>
    writers.run('one.db', waiter(caller), async () => void order.push(caller));

  const changes = [change('greedy'), change('greedy'), change('greedy'), change('quiet')];
  await writers.run('two.db', waiter('quiet'), async () => void order.push('elsewhere'));
  endTurn();
  await Promise.all(changes);

  expect(order.filter((one) => one !== 'pressed')).toEqual([
    'elsewhere',
    'greedy',
    'quiet',
    'greedy',
    'greedy',
  ]);
  expect(order).toContain('pressed');
});

test.each(['wal', 'delete'])(
  'rows of an import are read while others change the database (%s)',
  async (mode) => {
    const database = `aside-${mode}.db`;
    const file = join(place.root, database);
    madeElsewhere(file, `PRAGMA journal_mode = ${mode}; CREATE TABLE t (a)`);
    using other = new DatabaseSync(file);
    other.exec('BEGIN IMMEDIATE; INSERT INTO t VALUES (1)');
    const told: string[] = [];
    const progress = (_done: number, _total?: number, message = '') => {
      // A reader of this database would keep it from being committed.
      if (told.length === 0) other.exec('COMMIT');
      told.push(message);
    };

    const imported = await place.call(
      'import_csv',
      { path: 'rows.csv', table: 'kept', database },
      { progress },
    );

    expect(imported).toEqual({ rows: 20_000, inserted: 20_000, created: true });
    expect(told[0]).toMatch(/^[1-9]\d* rows read$/);
    expect(
      await place.rows('SELECT (SELECT count(*) FROM t) AS t, (SELECT count(*) FROM kept) AS n', {
        database,
      }),
    ).toEqual([{ t: 1, n: 20_000 }]);
  },
);

test('an import waits aside for its turn, and leaves nothing when it is cancelled there', async () => {
  const database = 'turn.db';
  await place.call('open_database', { path: database, create: true });
  const { transaction } = await place.call('begin_transaction', { database, mode: 'immediate' });
  const gone = new AbortController();
  const progress = () => setTimeout(() => gone.abort(new RangeError('gone')), 0);

  await expect(
    place.call(
      'import_csv',
      { path: 'rows.csv', table: 'never', database },
      { progress, signal: gone.signal },
    ),
  ).rejects.toThrow('gone');

  await place.call('create_table', { query: 'CREATE TABLE mine (a)', transaction });
  await place.call('commit_transaction', { transaction });
  expect(await place.rows('SELECT name FROM sqlite_schema', { database })).toEqual([{ name: 'mine' }]);
  expect(await place.rows('SELECT count(*) AS n FROM sqlite_temp_schema', { database })).toEqual([{ n: 0 }]);
});

test('a transaction ends sooner when another token waits for it, idle or busy', async () => {
  await place.call('execute_sql', { sql: 'CREATE TABLE t (a)' });
  const insert = async (value: string, caller: string, transaction?: unknown) =>
    place.call(
      'write_query',
      { query: 'INSERT INTO t VALUES (?)', params: [value], transaction, timeout_ms: 20_000 },
      of(caller),
    );
  const begin = async () => (await place.call('begin_transaction', {}, of('holder')))['transaction'];
  const idle = await begin();
  await insert('lost', 'holder', idle);

  await insert('first', 'other');

  await expect(insert('lost', 'holder', idle)).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('idle for 0.2 s') as string,
  });
  const busy = await begin();
  await insert('lost', 'holder', busy);
  const waiting = insert('second', 'other');
  const working = (async () => {
    for (;;) await insert('lost', 'holder', busy);
  })();
  await expect(working).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('kept others waiting for 0.6 s') as string,
  });
  await waiting;
  expect(await place.rows('SELECT a FROM t')).toEqual([{ a: 'first' }, { a: 'second' }]);
});

test('a commit that runs is not ended by another token that waits, and says what came of it', async () => {
  await using hurried = testPlace({ pressed: { idleMs: 20_000, lifeMs: 1 } });
  await hurried.call('execute_sql', { sql: 'CREATE TABLE t (a)' });
  const { transaction } = await hurried.call('begin_transaction', {});
  const many = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)';
  await hurried.call('execute_sql', {
    sql: `${many} INSERT INTO t SELECT randomblob(1500) FROM n`,
    transaction,
    timeout_ms: 25_000,
  });

  const committing = hurried.call('commit_transaction', { transaction });
  const waiting = hurried.call('write_query', { query: 'CREATE TABLE u (a)' }, of('other'));

  expect(await committing).toMatchObject({});
  await waiting;
  expect(await hurried.rows('SELECT count(*) AS n FROM t')).toEqual([{ n: 20_000 }]);
});

test('rows are added as if each came alone, where triggers and keys look at others', async () => {
  const database = 'order.db';
  const sql = `CREATE TABLE node (id INTEGER PRIMARY KEY, parent REFERENCES node (id));
    CREATE TABLE seen (id UNIQUE, before);
    CREATE TRIGGER counts AFTER INSERT ON seen BEGIN
      UPDATE seen SET before = (SELECT count(*) - 1 FROM seen) WHERE id = new.id; END;
    CREATE TABLE plain (id INTEGER PRIMARY KEY)`;
  await place.call('open_database', { path: database, create: true });
  await place.call('execute_sql', { sql, database });
  const importing = async (text: string, table: string) => {
    writeFileSync(join(place.root, 'order.csv'), text);
    return place.call('import_csv', { path: 'order.csv', table, database });
  };

  await expect(importing('id,parent\n1,2\n2,\n', 'node')).rejects.toThrow(
    'Line 2 of the CSV file: FOREIGN KEY constraint failed',
  );
  await importing('id,parent\n1,\n2,1\n', 'node');
  await importing('id\na\nb\n', 'seen');
  expect(await place.rows('SELECT * FROM seen', { database })).toEqual([
    { id: 'a', before: 0 },
    { id: 'b', before: 1 },
  ]);
  await expect(importing('id\na\n', 'seen')).rejects.toThrow('Line 2 of the CSV file: UNIQUE');
  // Within a step of a thousand lines.
  await expect(importing('id\n1\n2\n\n"3"\n2\n5\n', 'plain')).rejects.toThrow(
    'Line 6 of the CSV file: UNIQUE',
  );
  await expect(importing('id\n1\nx\n', 'plain')).rejects.toThrow('Line 3 of the CSV file: datatype mismatch');
  expect(await place.rows('SELECT count(*) AS n FROM plain', { database })).toEqual([{ n: 0 }]);
});
