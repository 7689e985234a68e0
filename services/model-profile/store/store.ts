/** The store: a thread that writes, and a connection that reads here. */
import { join } from 'node:path';

import type { Log } from '#runtime/account/log.ts';
import { openToRead } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import { Link, watched } from '#runtime/link.ts';
import type { Holding, Kept } from '#runtime/quotas.ts';

import { maxQueued } from '../limits.ts';
import type { Keeping, Recorded, Recording, Resolved, Resolving } from './ledger.ts';
import type { LedgerEvent, LedgerHandlers, LedgerSettings } from './ledger-thread.ts';
import type { Registered, Registering } from './names.ts';
import { readingFrom, type Reading } from './reading.ts';

export const databaseFile = (dataDir: string) => join(dataDir, 'profile.db');

const retryAfterMs = 1_000;

export interface Store extends AsyncDisposable {
  readonly reading: Reading;
  /** On disk when it resolves. @throws ToolError `unavailable` when too many wait. */
  record(recording: Recording, size: number): Promise<Recorded>;
  resolve(resolving: Resolving): Promise<Resolved>;
  register(registering: Registering): Promise<Registered>;
  /** Decisions that were sent away because too many waited, since the start. */
  refusedBusy: () => number;
  /** Decisions that wait to be written. */
  queued: () => number;
  kept(): Kept;
  probe(): void;
}

export async function openStore(dataDir: string, keeping: Keeping, log: Log): Promise<Store> {
  const file = databaseFile(dataDir);
  const settings: LedgerSettings = { file, keeping };
  const link = new Link<LedgerHandlers>(new URL('ledger-thread.ts', import.meta.url), settings, (event) => {
    const { level, event: name, fields } = event as LedgerEvent;
    log[level](name, fields);
  });
  // Opened, checked and migrated there.
  await link.ask('probe', undefined);
  const database = openToRead(file);
  const reading = readingFrom(database);
  const kept = database.prepare<[], Holding>(
    'SELECT owner, items, bytes FROM kept WHERE items > 0 ORDER BY bytes DESC, owner LIMIT 100',
  );
  let queued = 0;
  const queuedOf = new Map<string, number>();
  let refused = 0;
  const look = watched(
    async () => link.ask('probe', undefined),
    () => link.gone,
  );

  /** @throws ToolError `unavailable`: nothing was stored, and the same may be sent again. */
  async function queueing<Value>(owner: string, size: number, ask: () => Promise<Value>): Promise<Value> {
    const own = queuedOf.get(owner) ?? 0;
    // Half of the room is for the others.
    if (own > 0 && (queued + size > maxQueued || own + size > maxQueued / 2)) {
      refused += size;
      throw new ToolError('unavailable', `${own} decisions of the token wait to be written already.`, {
        hint: `Nothing was stored. Send the same again in ${retryAfterMs / 1_000} s: what is stored by then is not stored twice.`,
        retryAfterMs,
      });
    }
    queued += size;
    queuedOf.set(owner, own + size);
    try {
      return await ask();
    } finally {
      queued -= size;
      const left = (queuedOf.get(owner) ?? 0) - size;
      if (left > 0) queuedOf.set(owner, left);
      else queuedOf.delete(owner);
    }
  }

  return {
    reading,
    record: async (recording, size) =>
      queueing(recording.owner, size, async () => link.ask('record', recording)),
    resolve: async (resolving) => queueing(resolving.owner, 1, async () => link.ask('resolve', resolving)),
    register: async (registering) =>
      queueing(registering.owner, 1, async () => link.ask('register', registering)),
    refusedBusy: () => refused,
    queued: () => queued,
    kept: () => ({ quota: keeping.quota, holdings: kept.all() }),

    probe(): void {
      look();
      reading.change();
    },

    async [Symbol.asyncDispose](): Promise<void> {
      // Who writes closes last, and leaves one file: who only reads cannot take over what is in the log.
      database[Symbol.dispose]();
      await link[Symbol.asyncDispose]();
    },
  };
}
