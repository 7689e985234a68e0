/** A folder for tests: `root` with databases, and `outside`, which nothing may reach. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

import type { Log } from '#runtime/account/log.ts';
import { invoke } from '#runtime/testing.ts';
import type { Call } from '#runtime/tool.ts';

import { openDatabases, type Databases } from './databases.ts';
import { allTools } from './service.ts';
import type { Pressed } from './transactions.ts';

export const secret = 'outside of all roots';

export const tool = (name: string) => {
  const found = allTools.find((candidate) => candidate.name === name);
  if (!found) throw new TypeError(`No tool ${name}`);
  return found;
};

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

export interface TestPlace extends AsyncDisposable {
  readonly path: string;
  readonly root: string;
  readonly outside: string;
  readonly databases: Databases;
  /** Calls a tool. @returns its value. @throws ToolError. */
  call(
    name: string,
    args?: Readonly<Record<string, unknown>>,
    call?: Partial<Call>,
  ): Promise<Readonly<Record<string, unknown>>>;
  /** All rows of a query. */
  rows(query: string, more?: Readonly<Record<string, unknown>>): Promise<unknown>;
}

export function folders(): Disposable & {
  readonly path: string;
  readonly root: string;
  readonly outside: string;
} {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'flotilla-sqlite-')));
  const [root, outside] = [join(path, 'root'), join(path, 'outside')];
  for (const folder of [root, outside]) mkdirSync(folder);
  writeFileSync(join(outside, 'secret.csv'), secret);
  return { path, root, outside, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export function testPlace(
  settings: {
    isReadOnly?: boolean;
    idleMs?: number;
    maxBytes?: number;
    busyMs?: number;
    pressed?: Pressed;
    root?: string | undefined;
    dataDir?: string | undefined;
  } = {},
): TestPlace {
  const place = folders();
  const databases = openDatabases({
    roots: [settings.root ?? place.root],
    linked: new Map(),
    warnings: [],
    dataDir: settings.dataDir ?? join(place.path, 'data'),
    defaultDatabase: 'flotilla.db',
    isReadOnly: settings.isReadOnly ?? false,
    maxBytes: settings.maxBytes ?? 1e9,
    busyMs: settings.busyMs ?? 4_000,
    pressed: settings.pressed,
    transactionIdleMs: settings.idleMs ?? 30_000,
    insightQuota: { items: 100, bytes: 100_000 },
    log: silent,
  });
  const call: TestPlace['call'] = async (name, args = {}, overrides) =>
    invoke(tool(name), args, databases, overrides);
  return {
    ...place,
    databases,
    call,
    rows: async (query, more = {}) => (await call('read_query', { query, limit: 1_000, ...more }))['rows'],
    async [Symbol.asyncDispose]() {
      await databases[Symbol.asyncDispose]();
      place[Symbol.dispose]();
    },
  };
}

/** A database as another program makes it. */
export function madeElsewhere(path: string, sql: string): void {
  const database = new DatabaseSync(path);
  database.exec(sql);
  database.close();
}
