/** What a process of the same user exchanges at the very moment in which a database is opened. */
import { copyFileSync, linkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';

import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { folders, madeElsewhere } from '../place.fixture.ts';
import { Connections } from './connections.ts';

/** The moments around SQLite's own opening, which is the real one. */
const moments = vi.hoisted(() => ({ before: () => {}, after: () => {}, reading: () => {} }));
vi.mock(import('node:sqlite'), async (original) => {
  const actual = await original();
  class DatabaseSync extends actual.DatabaseSync {
    constructor(...args: ConstructorParameters<typeof actual.DatabaseSync>) {
      moments.before();
      super(...args);
      moments.after();
    }
    override exec(sql: string): void {
      moments.reading();
      super.exec(sql);
    }
  }
  return { ...actual, DatabaseSync };
});

let place: ReturnType<typeof folders>;
let connections: Connections;
beforeEach(() => {
  place = folders();
  for (const [folder, value] of [
    [place.root, 'ours'],
    [place.outside, 'theirs'],
  ] as const) {
    madeElsewhere(join(folder, 'a.db'), `CREATE TABLE t (a); INSERT INTO t VALUES ('${value}')`);
  }
  connections = new Connections({ roots: [place.root], isReadOnly: false, maxBytes: 1e9, busyMs: 100 });
});
afterEach(() => {
  Object.assign(moments, { before() {}, after() {}, reading() {} });
  connections.closeAll();
  place[Symbol.dispose]();
});

const away = () => `${place.root}-away`;
const swap = () => {
  renameSync(place.root, away());
  symlinkSync(place.outside, place.root);
};
const swapBack = () => {
  rmSync(place.root);
  renameSync(away(), place.root);
};
const target = () => ({ path: join(place.root, 'a.db'), isDefault: false });
const valueOf = (access: 'read' | 'write') =>
  connections.open(target(), access).database.prepare('SELECT a FROM t').all();

test.each([
  ['while another connection has the right file open', true],
  ['while nothing is open', false],
])('a folder that is a link for a moment leads nowhere: %s', (_, isOpen) => {
  if (isOpen) valueOf('read');
  moments.before = swap;
  moments.after = swapBack;

  expect(() => connections.open(target(), 'write')).toThrow('was replaced while it was opened');

  Object.assign(moments, { before() {}, after() {} });
  expect(valueOf('write')).toEqual([['ours']]);
});

test.each(['after', 'reading'] as const)(
  'a folder that becomes a link once the file is open is found out: %s',
  (moment) => {
    const path = join(place.root, 'wal.db');
    madeElsewhere(path, 'PRAGMA journal_mode = WAL; CREATE TABLE t (a)');
    copyFileSync(path, join(place.outside, 'wal.db'));
    moments[moment] = () => {
      moments[moment] = () => {};
      swap();
    };

    expect(() => connections.open({ path, isDefault: false }, 'read')).toThrow(
      'was replaced while it was opened',
    );

    swapBack();
  },
);

test('a file that is a link to another name for a moment leads nowhere', () => {
  valueOf('read');
  const path = join(place.root, 'a.db');
  moments.before = () => {
    renameSync(path, `${path}.away`);
    copyFileSync(join(place.outside, 'a.db'), join(place.outside, 'b.db'));
    symlinkSync(join(place.outside, 'b.db'), path);
  };
  moments.after = () => {
    rmSync(path);
    renameSync(`${path}.away`, path);
  };

  expect(() => connections.open(target(), 'write')).toThrow('was replaced while it was opened');
});

test('a file that gets another name while it is opened is not used', () => {
  moments.before = () => linkSync(join(place.root, 'a.db'), join(place.outside, 'other.db'));

  expect(() => connections.open(target(), 'write')).toThrow('was replaced while it was opened');
});

test('a connection that takes over the descriptor of one that was closed is known as well', () => {
  const wal = { path: join(place.root, 'wal.db'), isDefault: false };
  madeElsewhere(wal.path, 'PRAGMA journal_mode = WAL; CREATE TABLE t (a)');
  const others = ['b', 'c', 'd'].map((name) => ({ path: join(place.root, `${name}.db`), isDefault: false }));
  connections.open(wal, 'write');
  connections.open(wal, 'read');
  // Closed while another one holds a lock, SQLite keeps the descriptor and gives it to the next.
  for (const other of others) connections.open(other, 'create');

  expect(connections.open(wal, 'write').database.prepare('SELECT * FROM t').all()).toEqual([]);
});
