/** Each engine, opened on nothing, for the tests that hold them to one behaviour. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Quota } from '#runtime/quotas.ts';

import type { Engine, EntryChange, Listener } from './engine.ts';
import { databaseName, openSqlite } from './sqlite.ts';

export interface Opened extends AsyncDisposable {
  readonly engine: Engine;
  readonly changes: EntryChange[];
  readonly arrived: string[];
  /** The same data, opened once more, after this one was closed. */
  reopen(): Promise<Opened>;
}

const plenty: Quota = { items: 1_000_000, bytes: 1_000_000_000 };

export function listening() {
  const changes: EntryChange[] = [];
  const arrived: string[] = [];
  const listener: Listener = {
    changed: (change) => void changes.push(change),
    arrived: (agent) => void arrived.push(agent),
  };
  return { changes, arrived, listener };
}

async function sqlite(quota = plenty): Promise<Opened> {
  const folder = mkdtempSync(join(tmpdir(), 'flotilla-hub-'));
  const open = (): Opened => {
    const { changes, arrived, listener } = listening();
    const engine = openSqlite(join(folder, databaseName), quota, listener);
    return {
      engine,
      changes,
      arrived,
      async reopen() {
        await engine[Symbol.asyncDispose]();
        return open();
      },
      async [Symbol.asyncDispose]() {
        await engine[Symbol.asyncDispose]();
        rmSync(folder, { recursive: true });
      },
    };
  };
  return open();
}

export const engines: Readonly<Record<string, (quota?: Quota) => Promise<Opened>>> = { sqlite };
