import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { temporaryFolder } from '../tests/support/serve.ts';
import { openDatabase, transactionsOf } from './database.ts';
import { fullness, openQuotas, quotaField, quotaOf } from './quotas.ts';

const schema = `
  CREATE TABLE kept (owner TEXT PRIMARY KEY, items INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE note (owner TEXT NOT NULL, text TEXT NOT NULL) STRICT;
  CREATE TRIGGER note_added AFTER INSERT ON note BEGIN
    INSERT INTO kept VALUES (new.owner, 1, length(new.text))
      ON CONFLICT (owner) DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
  END;
  CREATE TRIGGER note_removed AFTER DELETE ON note BEGIN
    UPDATE kept SET items = items - 1, bytes = bytes - length(old.text) WHERE owner = old.owner;
  END;`;

function store(stack: DisposableStack) {
  const folder = stack.use(temporaryFolder());
  const migrations = join(folder.path, 'migrations');
  mkdirSync(migrations);
  writeFileSync(join(migrations, '001-note.sql'), schema);
  const database = stack.adopt(openDatabase(join(folder.path, 'data.db'), migrations), (open) =>
    open.close(),
  );
  const { write } = transactionsOf(database);
  const quotas = openQuotas(database, { items: 2, bytes: 100 }, 'Delete notes with delete_note.');
  const insert = database.prepare('INSERT INTO note VALUES (?, ?)');
  return {
    ...quotas,
    add: (owner: string, text: string) =>
      write(() => {
        insert.run(owner, text);
        quotas.requireWithin(owner);
      }),
    clear: (owner: string) => database.prepare('DELETE FROM note WHERE owner = ?').run(owner),
  };
}

test('a token keeps what it may and no more, and another is not affected', () => {
  using stack = new DisposableStack();
  const notes = store(stack);
  notes.add('a', 'one');
  notes.add('a', 'two');

  expect(() => notes.add('a', 'three')).toThrow(
    expect.objectContaining({
      code: 'too_large',
      message: expect.stringContaining('2 items') as string,
      hint: expect.stringContaining('delete_note') as string,
    }),
  );
  expect(() => notes.add('b', 'x'.repeat(101))).toThrow(/0 MB/);
  notes.add('b', 'x'.repeat(100));

  expect(notes.kept().holdings).toEqual([
    { owner: 'b', items: 1, bytes: 100 },
    { owner: 'a', items: 2, bytes: 6 },
  ]);
});

test('what is deleted makes room', () => {
  using stack = new DisposableStack();
  const notes = store(stack);
  notes.add('a', 'one');
  notes.add('a', 'two');

  notes.clear('a');
  notes.add('a', 'three');

  expect(notes.kept().holdings).toEqual([{ owner: 'a', items: 1, bytes: 5 }]);
});

test('the fullest token is the one nearest to either of its limits', () => {
  const quota = { items: 10, bytes: 1_000 };

  expect(fullness({ quota, holdings: [] })).toBeUndefined();
  expect(
    fullness({
      quota,
      holdings: [
        { owner: 'bytes', items: 1, bytes: 600 },
        { owner: 'items', items: 7, bytes: 10 },
      ],
    }),
  ).toEqual({ owner: 'items', share: 0.7 });
});

test('the settings of a service give its quota', () => {
  const field = quotaField(5, 'Most megabytes.');

  expect(quotaOf(field.parse(undefined), 100)).toEqual({ bytes: 5 * 1024 * 1024, items: 100 });
  expect(field.parse('2')).toBe(2);
  for (const wrong of ['0', '1.5', 'much']) expect(() => field.parse(wrong)).toThrow(/must be/);
});
