/** What most tests of this service begin with. */
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createLog } from '#runtime/account/log.ts';
import { openToRead } from '#runtime/database.ts';
import { invoke } from '#runtime/testing.ts';
import type { Call } from '#runtime/tool.ts';

import { allTools } from './service.ts';
import { openLedger, type Keeping, type Ledger } from './store/ledger.ts';
import { readingFrom } from './store/reading.ts';
import { openStore, type Store } from './store/store.ts';

export const keepAll: Keeping = { days: 3_650, decisions: 1e9, quota: { items: 1e9, bytes: 1e12 } };

export const nowMs = Date.parse('2026-11-20T12:00:00Z');

/** With the thread that writes. */
export async function testStore(keeping: Keeping = keepAll): Promise<Store> {
  const folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-profile-'));
  const store = await openStore(folder.path, keeping, createLog('model-profile', 'error'));
  return {
    ...store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      folder.remove();
    },
  };
}

/** What writes, in this thread, and what reads. */
export function testLedger(keeping: Keeping = keepAll, uidsPerRun?: number) {
  const folder = mkdtempDisposableSync(join(tmpdir(), 'flotilla-profile-'));
  const file = join(folder.path, 'profile.db');
  let ledger = openLedger(file, keeping, uidsPerRun);
  const database = openToRead(file);
  const one = <Value>(work: () => Value): Value => {
    const [value] = ledger.together([work]);
    if (value instanceof Error) throw value;
    return value as Value;
  };
  return {
    reading: readingFrom(database),
    database,
    ledger: () => ledger,
    register: (name: string, more: Partial<Parameters<Ledger['register']>[0]> = {}) =>
      one(() => ledger.register({ owner: 'test', nowMs, note: null, kind: 'model', name, ...more })).key,
    record: (decisions: readonly unknown[] | string, owner = 'test', at = nowMs) =>
      one(() => ledger.record({ owner, nowMs: at, decisions })),
    resolve: (
      uid: string,
      outcome: number,
      source: number,
      more: Partial<Parameters<Ledger['resolve']>[0]> = {},
    ) =>
      one(() =>
        ledger.resolve({
          owner: 'test',
          nowMs,
          uid,
          outcome,
          source,
          errorKind: null,
          evaluator: null,
          ...more,
        }),
      ),
    /** As after a kill: only what is on disk is known. */
    reopen(): void {
      ledger[Symbol.dispose]();
      ledger = openLedger(file, keeping, uidsPerRun);
    },
    [Symbol.dispose]() {
      ledger[Symbol.dispose]();
      database.close();
      folder.remove();
    },
  };
}

type Answer = Readonly<Record<string, any>>; // oxlint-disable-line typescript/no-explicit-any -- what tools answer is looked at field by field

/** Calls a tool by its name, so that a test reads as a client would. */
export const callOf =
  (store: Store) =>
  async (name: string, args: object = {}, overrides: Partial<Call> = {}): Promise<Answer> => {
    const tool = allTools.find((one) => one.name === name);
    if (!tool) throw new TypeError(`No tool ${name}`);
    return (await invoke(tool, args, store, overrides)) as Answer;
  };
