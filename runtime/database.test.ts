import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';

import { describe, expect, test } from 'vitest';

import { runModule } from '../tests/support/child.ts';
import { temporaryFolder } from '../tests/support/serve.ts';
import {
  lockFolder,
  openAgain,
  openDatabase,
  sharingCommit,
  transactionsOf,
  type Database,
} from './database.ts';
import { ConfigError, DamagedDataError } from './errors.ts';

/** A folder with migrations and a place for the database. */
function workshop(
  ...steps: readonly string[]
): { file: string; migrations: string; path: string } & Disposable {
  const folder = temporaryFolder();
  const migrations = join(folder.path, 'migrations');
  mkdirSync(migrations);
  const made = { path: folder.path, migrations, file: join(folder.path, 'deep', 'data.db') };
  steps.forEach((sql, index) => addStep(made, index + 1, sql));
  return { ...made, [Symbol.dispose]: () => folder[Symbol.dispose]() };
}

function addStep({ migrations }: { migrations: string }, number: number, sql: string): void {
  writeFileSync(join(migrations, `${String(number).padStart(3, '0')}-step.sql`), sql);
}

const createNotes = 'CREATE TABLE note (text TEXT NOT NULL) STRICT;';

/** Many pages of data, closed properly. */
function fill({ file, migrations }: { file: string; migrations: string }): Buffer {
  const database = openDatabase(file, migrations);
  const insert = database.prepare('INSERT INTO note VALUES (?)');
  database.transaction(() => {
    for (let i = 0; i < 2_000; i++) insert.run(`note ${i} ${'x'.repeat(100)}`);
  })();
  database.close();
  return readFileSync(file);
}

/** Many pages of data, some of them in the log only: a kill leaves it behind. */
async function writeAndDie(shop: { path: string; file: string; migrations: string }): Promise<void> {
  fill(shop);
  await using child = runModule(
    `
      import { openDatabase } from '#runtime/database.ts';
      const database = openDatabase(process.argv[1] + '/deep/data.db', process.argv[1] + '/migrations');
      database.exec("INSERT INTO note VALUES ('the last words')");
      console.log('written');
      setInterval(() => database.open, 1_000);
    `,
    shop.path,
  );
  await child.line();
  await child.kill();
}

describe('Opening', () => {
  test('makes the folder and the tables, once', () => {
    using shop = workshop(createNotes);

    openDatabase(shop.file, shop.migrations).close();
    const database = openDatabase(shop.file, shop.migrations);

    expect(database.prepare('SELECT count(*) AS count FROM note').get()).toEqual({ count: 0 });
    expect(database.pragma('user_version', { simple: true })).toBe(1);
    database.close();
  });

  test('plans each statement once, whatever values it gets, and leaves texts in it alone', () => {
    using shop = workshop(`${createNotes} CREATE INDEX only_a ON note (text) WHERE text = 'a';`);
    const database = openDatabase(shop.file, shop.migrations);
    const planOf = (condition: string, ...values: readonly string[]) =>
      JSON.stringify(
        database.prepare(`EXPLAIN QUERY PLAN SELECT * FROM note WHERE ${condition}`).all(...values),
      );
    expect(planOf("text = 'a'")).toContain('only_a');
    // SQLite by itself looks at the value, finds that the index has it all, and plans anew for the next one.
    expect(planOf('text = ?', 'a')).not.toContain('only_a');
    const said = database.prepare(
      `SELECT '?', ':a', "text?", [text?] /* ? */, ?, :b -- ?\n FROM (SELECT 1 AS "text?")`,
    );
    expect(said.raw().get(2, { b: 'c' })).toEqual(['?', ':a', 1, 1, 2, 'c']);
    database.close();
  });

  test('sets what keeps acknowledged writes through a power cut', () => {
    using shop = workshop(createNotes);
    const database = openDatabase(shop.file, shop.migrations);

    expect(database.pragma('journal_mode', { simple: true })).toBe('wal');
    expect(database.pragma('synchronous', { simple: true })).toBe(2);
    expect(database.pragma('foreign_keys', { simple: true })).toBe(1);
    database.close();
  });

  test('applies what is new, and keeps the data', () => {
    using shop = workshop(createNotes);
    fill(shop);
    addStep(shop, 2, "ALTER TABLE note ADD COLUMN author TEXT NOT NULL DEFAULT 'nobody';");

    const database = openDatabase(shop.file, shop.migrations);

    expect(database.prepare('SELECT count(*) AS count, min(author) AS author FROM note').get()).toEqual({
      count: 2_000,
      author: 'nobody',
    });
    database.close();
  });

  test('leaves the schema whole when a step fails', () => {
    using shop = workshop(createNotes);
    fill(shop);
    addStep(shop, 2, 'CREATE TABLE other (x INTEGER) STRICT; CREATE TABLE note (y INTEGER) STRICT;');
    expect(() => openDatabase(shop.file, shop.migrations)).toThrow(/already exists/);
    addStep(shop, 2, 'CREATE TABLE other (x INTEGER) STRICT;');

    const database = openDatabase(shop.file, shop.migrations);

    expect(database.pragma('user_version', { simple: true })).toBe(2);
    database.close();
  });

  test('of a file with a newer schema is refused as a matter of configuration', () => {
    using shop = workshop(createNotes, 'CREATE TABLE other (x INTEGER) STRICT;');
    fill(shop);
    using older = workshop(createNotes);

    const open = () => openDatabase(shop.file, older.migrations);

    expect(open).toThrow(ConfigError);
    expect(open).toThrow(/newer Flotilla \(schema 2\)/);
  });

  test('in a place that is no folder is refused as a matter of configuration', () => {
    using shop = workshop(createNotes);
    mkdirSync(shop.file, { recursive: true });

    expect(() => openDatabase(shop.file, shop.migrations)).toThrow(ConfigError);
  });

  test('by two processes at once creates once, and leaves nothing beside', async () => {
    using shop = workshop(createNotes);
    const code = `
      import { openDatabase } from '#runtime/database.ts';
      const database = openDatabase(process.argv[1] + '/deep/data.db', process.argv[1] + '/migrations');
      database.exec("INSERT INTO note VALUES ('kept')");
      database.close();
    `;
    await using one = runModule(code, shop.path);
    await using other = runModule(code, shop.path);
    expect([await one.exited(), await other.exited()]).toEqual([0, 0]);

    const database = openDatabase(shop.file, shop.migrations);

    expect(database.prepare('SELECT count(*) AS count FROM note').get()).toEqual({ count: 2 });
    database.close();
    expect(readdirSync(dirname(shop.file))).toEqual(['data.db']);
  });

  test('by two processes at once migrates once', async () => {
    using shop = workshop(createNotes);
    openDatabase(shop.file, shop.migrations).close();
    addStep(shop, 2, "INSERT INTO note VALUES ('once');");
    const code = `
      import { openDatabase } from '#runtime/database.ts';
      openDatabase(process.argv[1] + '/deep/data.db', process.argv[1] + '/migrations').close();
    `;
    await using one = runModule(code, shop.path);
    await using other = runModule(code, shop.path);
    expect([await one.exited(), await other.exited()]).toEqual([0, 0]);

    const database = openDatabase(shop.file, shop.migrations);

    expect(database.prepare('SELECT count(*) AS count FROM note').get()).toEqual({ count: 1 });
    database.close();
  });
});

describe('A damaged file is reported and not touched', () => {
  test.each([
    { what: 'its header overwritten', damage: (bytes: Buffer) => void bytes.fill(0x41, 0, 100) },
    { what: 'a page overwritten', damage: (bytes: Buffer) => void bytes.fill(0xff, 8_192, 12_288) },
    { what: 'every other page zeroed', damage: zeroEveryOtherPage },
  ])('with $what', ({ damage }) => {
    using shop = workshop(createNotes);
    const bytes = fill(shop);
    damage(bytes);
    writeFileSync(shop.file, bytes);

    expect(() => openDatabase(shop.file, shop.migrations)).toThrow(DamagedDataError);

    expect(readFileSync(shop.file).equals(bytes)).toBe(true);
  });

  test.each([0, 512, 5_000, 100_000])('cut off after %d bytes', (sizeBytes) => {
    using shop = workshop(createNotes);
    fill(shop);
    truncateSync(shop.file, sizeBytes);
    const bytes = readFileSync(shop.file);

    expect(() => openDatabase(shop.file, shop.migrations)).toThrow(DamagedDataError);

    expect(readFileSync(shop.file).equals(bytes)).toBe(true);
  });

  test('with the log of a process that was killed, which is not applied', async () => {
    using shop = workshop(createNotes);
    await writeAndDie(shop);
    truncateSync(shop.file, 4_096);
    const [bytes, log] = [readFileSync(shop.file), readFileSync(`${shop.file}-wal`)];

    expect(() => openDatabase(shop.file, shop.migrations)).toThrow(DamagedDataError);

    expect(readFileSync(shop.file).equals(bytes)).toBe(true);
    expect(readFileSync(`${shop.file}-wal`).equals(log)).toBe(true);
  });

  test('nor does a new one take the place of a file that is gone while its log is there', async () => {
    using shop = workshop(createNotes);
    await writeAndDie(shop);
    rmSync(shop.file);

    expect(() => openDatabase(shop.file, shop.migrations)).toThrow(/gone, but its log is there.*-wal/);

    expect(existsSync(shop.file)).toBe(false);
    rmSync(`${shop.file}-wal`);
    const database = openDatabase(shop.file, shop.migrations);
    expect(database.prepare('SELECT count(*) AS count FROM note').get()).toEqual({ count: 0 });
    database.close();
  });

  test('that is no database at all', () => {
    using shop = workshop(createNotes);
    mkdirSync(join(shop.path, 'deep'));
    writeFileSync(shop.file, 'Dear diary, '.repeat(100));

    expect(() => openDatabase(shop.file, shop.migrations)).toThrow(/is damaged .* Restore it from a backup/);
  });
});

function zeroEveryOtherPage(bytes: Buffer): void {
  for (let at = 4_096; at < bytes.length; at += 8_192) bytes.fill(0, at, Math.min(at + 4_096, bytes.length));
}

/** A database with its transactions, and how many notes it holds on disk: as another connection sees it. */
function notebook(shop: { file: string; migrations: string }, stack: DisposableStack) {
  const open = () => stack.adopt(openDatabase(shop.file, shop.migrations), (database) => database.close());
  const [database, other] = [open(), open()];
  const insert = database.prepare('INSERT INTO note VALUES (?)');
  const count = other.prepare<[], number>('SELECT count(*) FROM note').pluck();
  return {
    database,
    other,
    ...transactionsOf(database),
    add: (text: string) => insert.run(text),
    onDisk: () => count.get(),
  };
}

describe('A transaction', () => {
  test('that another process keeps waiting is unavailable, not a bug', () => {
    using shop = workshop(createNotes);
    using stack = new DisposableStack();
    const { database, other, write } = notebook(shop, stack);
    database.pragma('busy_timeout = 0');

    other
      .transaction(() =>
        expect(() => write(() => 'done')).toThrow(expect.objectContaining({ code: 'unavailable' })),
      )
      .immediate();

    expect(write(() => 'done')).toBe('done');
  });

  test('on a disk that is full is unavailable, and changes nothing', () => {
    using shop = workshop(createNotes);
    using stack = new DisposableStack();
    const { database, write, add, onDisk } = notebook(shop, stack);
    database.pragma('max_page_count = 3');

    expect(() => write(() => add('x'.repeat(100_000)))).toThrow(
      expect.objectContaining({ code: 'unavailable', message: 'The disk is full.' }),
    );
    expect(onDisk()).toBe(0);
  });

  test('that fails for another reason says what it was, and is undone', () => {
    using shop = workshop(createNotes);
    using stack = new DisposableStack();
    const { database, write, add, onDisk } = notebook(shop, stack);

    const breaking = () =>
      write(() => {
        add('kept?');
        database.exec('INSERT INTO note VALUES (NULL)');
      });

    expect(breaking).toThrow(/NOT NULL/);
    expect(onDisk()).toBe(0);
  });

  test('by itself is on disk when it returns', () => {
    using shop = workshop(createNotes);
    using stack = new DisposableStack();
    const { write, add, onDisk } = notebook(shop, stack);

    write(() => add('one'));

    expect(onDisk()).toBe(1);
  });

  test('that is staged does not wait for the disk, and what others have written is there before it', () => {
    using shop = workshop(createNotes);
    using stack = new DisposableStack();
    const { write, stage, add, onDisk, database } = notebook(shop, stack);
    const synchronous = () => Number(database.pragma('synchronous', { simple: true }));
    const seen: unknown[] = [];

    sharingCommit(() => write(() => add('of another')));
    stage(() => {
      seen.push(onDisk(), synchronous());
      add('staged');
    });
    expect(() =>
      stage(() => {
        throw new Error('no');
      }),
    ).toThrow('no');

    expect(seen).toEqual([1, 1]);
    expect(onDisk()).toBe(2);
    expect(synchronous()).toBe(2);
  });
});

describe('The reads of one turn', () => {
  const inTurn = <Value>(work: () => Value): Value => sharingCommit(work).value;
  const countOf = (database: Database) => database.prepare<[], number>('SELECT count(*) FROM note').pluck();

  test('see one state, and whoever goes on or comes later sees the newest', async () => {
    using shop = workshop(createNotes);
    using stack = new DisposableStack();
    const { database, read } = notebook(shop, stack);
    const count = countOf(database);
    const other = stack.adopt(openAgain(shop.file), (opened) => opened.close());

    const seen = [inTurn(() => read(() => count.get()))];
    other.exec("INSERT INTO note VALUES ('of another connection')");
    seen.push(inTurn(() => read(() => count.get())));
    expect(seen).toEqual([0, 0]);
    expect(read(() => count.get())).toBe(1);

    expect(inTurn(() => read(() => count.get()))).toBe(1);
    other.exec("INSERT INTO note VALUES ('another')");
    await setImmediate();
    expect(inTurn(() => read(() => count.get()))).toBe(2);
  });

  test('do not keep changes of the same turn from being made, seen and kept', async () => {
    using shop = workshop(createNotes);
    using stack = new DisposableStack();
    const { database, read, write, add, onDisk } = notebook(shop, stack);
    const count = countOf(database);

    inTurn(() => read(() => count.get()));
    write(() => add('alone'));
    expect(onDisk()).toBe(1);
    inTurn(() => read(() => count.get()));
    inTurn(() => write(() => add('shared')));

    expect(inTurn(() => read(() => count.get()))).toBe(2);
    await setImmediate();
    expect(onDisk()).toBe(2);
  });

  test('go on after one that fails, and may be the last thing before the store closes', async () => {
    using shop = workshop(createNotes);
    using stack = new DisposableStack();
    const { database, read } = notebook(shop, stack);
    const failing = () =>
      read(() => {
        throw new RangeError('no');
      });

    expect(() => inTurn(failing)).toThrow(RangeError);
    expect(inTurn(() => read(() => countOf(database).get()))).toBe(0);
    database.close();
    await setImmediate();
  });

  test('change nothing', () => {
    using shop = workshop(createNotes);
    using stack = new DisposableStack();
    const { read, write, add, onDisk } = notebook(shop, stack);

    expect(() => inTurn(() => read(() => write(() => add('one'))))).toThrow(TypeError);
    expect(onDisk()).toBe(0);
  });
});

describe('The changes of one turn', () => {
  /** In one turn of the event loop; each says when it was on disk, or what kept it from there. */
  async function inOneTurn(works: readonly (() => void)[]): Promise<unknown[]> {
    const shared = works.map(async (work) => sharingCommit(work).committed);
    return (await Promise.allSettled(shared)).map((outcome) =>
      outcome.status === 'fulfilled' ? 'on disk' : outcome.reason,
    );
  }

  test('share one commit, which tells when they are on disk', async () => {
    using shop = workshop(createNotes);
    using stack = new DisposableStack();
    const { write, add, onDisk } = notebook(shop, stack);
    const before: unknown[] = [];

    const outcomes = await inOneTurn([
      () => write(() => add('one')),
      () => write(() => add('two')),
      () => before.push(onDisk()),
    ]);

    expect(before).toEqual([0]);
    expect(outcomes).toEqual(['on disk', 'on disk', 'on disk']);
    expect(onDisk()).toBe(2);
  });

  test('are seen by the reads of that turn, which wait for the disk too', async () => {
    using shop = workshop(createNotes);
    using stack = new DisposableStack();
    const { database, read, write, add, onDisk } = notebook(shop, stack);
    const count = database.prepare<[], number>('SELECT count(*) FROM note').pluck();
    const seen: unknown[] = [];

    const outcomes = await inOneTurn([
      () => write(() => add('one')),
      () =>
        seen.push(
          read(() => count.get()),
          onDisk(),
        ),
    ]);

    expect(seen).toEqual([1, 0]);
    expect(outcomes).toEqual(['on disk', 'on disk']);
  });

  test('are on disk before anyone reads or writes who does not share', async () => {
    using shop = workshop(createNotes);
    using stack = new DisposableStack();
    const { read, write, add, onDisk } = notebook(shop, stack);

    const outcomes = inOneTurn([() => write(() => add('one'))]);
    const seen = read(onDisk);
    write(() => add('two'));

    expect(seen).toBe(1);
    expect(onDisk()).toBe(2);
    expect(await outcomes).toEqual(['on disk']);
  });

  test('write nothing to any file before their commit', async () => {
    using shop = workshop(createNotes);
    fill(shop);
    using stack = new DisposableStack();
    const { database, write } = notebook(shop, stack);
    const append = database.prepare("UPDATE note SET text = text || 'y'");
    const change = () => void write(() => append.run());
    const writtenBytes = () =>
      Number(/^wchar: (\d+)$/m.exec(readFileSync('/proc/thread-self/io', 'utf8'))?.[1]);

    const before = writtenBytes();
    const outcomes = inOneTurn([change, change]);
    const afterwards = writtenBytes();
    await outcomes;

    expect(afterwards - before).toBe(0);
    expect(writtenBytes() - afterwards).toBeGreaterThan(100_000);
    expect(database.pragma('temp_store', { simple: true })).toBe(0);
  });

  test.each(['first', 'second'])('stay when the %s of them fails', async (which) => {
    using shop = workshop(createNotes);
    using stack = new DisposableStack();
    const { write, add, onDisk } = notebook(shop, stack);
    const failing = () =>
      write(() => {
        add('undone');
        throw new RangeError('no');
      });
    const adding = () => write(() => add('kept'));

    const outcomes = await inOneTurn(which === 'first' ? [failing, adding] : [adding, failing]);

    const failed = new RangeError('no');
    expect(outcomes).toEqual(which === 'first' ? [failed, 'on disk'] : ['on disk', failed]);
    expect(onDisk()).toBe(1);
  });

  test('are lost together when SQLite gives all of them up, and every one of them is told', async () => {
    using shop = workshop(createNotes);
    using stack = new DisposableStack();
    const { database, write, add, onDisk } = notebook(shop, stack);
    database.pragma('max_page_count = 4');

    const outcomes = await inOneTurn([
      () => write(() => add('small')),
      () => write(() => add('x'.repeat(100_000))),
    ]);

    const full = expect.objectContaining({ code: 'unavailable', message: 'The disk is full.' });
    expect(outcomes).toEqual([full, full]);
    expect(onDisk()).toBe(0);
    write(() => add('small'));
    expect(onDisk()).toBe(1);
  });

  test('are lost together when the commit fails, and every one of them is told', async () => {
    using shop = workshop(
      `${createNotes}
       CREATE TABLE page (id INTEGER PRIMARY KEY, before INTEGER REFERENCES page (id) DEFERRABLE INITIALLY DEFERRED) STRICT;`,
    );
    using stack = new DisposableStack();
    const { database, write, add, onDisk } = notebook(shop, stack);

    const outcomes = await inOneTurn([
      () => write(() => add('small')),
      () => void write(() => database.exec('INSERT INTO page VALUES (1, 7)')),
    ]);

    const refused = expect.objectContaining({ message: 'FOREIGN KEY constraint failed' });
    expect(outcomes).toEqual([refused, refused]);
    expect(onDisk()).toBe(0);
    write(() => add('small'));
    expect(onDisk()).toBe(1);
  });
});

describe('A folder', () => {
  const holder = `
    import { lockFolder } from '#runtime/database.ts';
    globalThis.lock = lockFolder(process.argv[1]);
    console.log(globalThis.lock ? 'held' : 'refused');
    process.stdin.resume();
  `;

  test('is held by one process until it lets go', () => {
    using folder = temporaryFolder();
    const lock = lockFolder(folder.path);

    expect(lock).toBeDefined();
    expect(lockFolder(folder.path)).toBeUndefined();
    lock?.[Symbol.dispose]();

    using again = lockFolder(folder.path);
    expect(again).toBeDefined();
  });

  test('is refused to a second process, and free after the first was killed', async () => {
    using folder = temporaryFolder();
    await using first = runModule(holder, folder.path);
    expect(await first.line()).toBe('held');
    await using second = runModule(holder, folder.path);
    expect(await second.line()).toBe('refused');
    expect(lockFolder(folder.path)).toBeUndefined();

    await first.kill();

    using mine = lockFolder(folder.path);
    expect(mine).toBeDefined();
  });
});
