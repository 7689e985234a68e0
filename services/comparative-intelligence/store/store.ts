/** The store as tools see it: one thread writes, two compute, and nothing of it holds the event loop. */
import { join } from 'node:path';

import { openToRead } from '#runtime/database.ts';
import { Lane, orStopped } from '#runtime/lanes.ts';
import { Link, watched, type Answered, type Asked } from '#runtime/link.ts';
import type { Holding, Kept } from '#runtime/quotas.ts';
import type { Call } from '#runtime/tool.ts';

import type { AnalystHandlers } from './analyst-thread.ts';
import type { Keeping } from './keeper.ts';
import type { KeeperHandlers, KeeperSettings } from './keeper-thread.ts';
import { readingFrom, type Reading } from './reading.ts';

export const databaseFile = (dataDir: string) => join(dataDir, 'comparisons.db');

const analysts = 2;
const computing = { perCaller: 1, inAll: analysts, waiting: 64 };
/**
 * Batches wait in memory for the thread that writes. It serves tokens in turn; of one token it has one thing after the other, as each
 * rests on what is there before it.
 */
const writing = { perCaller: 1, inAll: 64, waiting: 256 };

type Caller = Pick<Call, 'signal' | 'caller'>;

export interface Store extends AsyncDisposable {
  /** Small reads, in this thread. */
  readonly reading: Reading;
  /** @throws ToolError as the computation threw it, or `unavailable` when too many wait. */
  analyse<K extends keyof AnalystHandlers>(
    kind: K,
    request: Asked<AnalystHandlers[K]>,
    call: Caller,
  ): Promise<Answered<AnalystHandlers[K]>>;
  /** On disk when it resolves. */
  write<K extends keyof KeeperHandlers>(
    kind: K,
    request: Asked<KeeperHandlers[K]>,
    call: Caller,
  ): Promise<Answered<KeeperHandlers[K]>>;
  kept(): Kept;
  probe(): void;
}

export async function openStore(dataDir: string, keeping: Keeping): Promise<Store> {
  const file = databaseFile(dataDir);
  const settings: KeeperSettings = { file, keeping };
  const keeper = new Link<KeeperHandlers>(new URL('keeper-thread.ts', import.meta.url), settings, () => {});
  // Opened, checked and migrated there.
  await keeper.ask('probe', undefined);
  const database = openToRead(file);
  const kept = database.prepare<[], Holding>(
    'SELECT owner, items, bytes FROM kept WHERE items > 0 ORDER BY bytes DESC, owner LIMIT 100',
  );
  const [computes, writes] = [new Lane(computing), new Lane(writing)];
  const all = new Set<Link<AnalystHandlers>>();
  const idle: Link<AnalystHandlers>[] = [];
  const look = watched(
    async () => keeper.ask('probe', undefined),
    () => keeper.gone,
  );

  /** Started when the first one is needed: most of the time none is. */
  function analyst(): Link<AnalystHandlers> {
    for (let link = idle.pop(); link; link = idle.pop()) {
      if (!link.gone) return link;
      all.delete(link);
    }
    const link = new Link<AnalystHandlers>(new URL('analyst-thread.ts', import.meta.url), file, () => {});
    all.add(link);
    return link;
  }

  return {
    reading: readingFrom(database),

    async analyse(kind, request, call) {
      // The place is held until the thread is free again, though the caller may be gone before.
      const answer = computes.run(call, async () => {
        const link = analyst();
        try {
          return await link.ask(kind, request);
        } finally {
          idle.push(link);
        }
      });
      return orStopped(answer, call.signal);
    },

    write: async (kind, request, call) => writes.run(call, async () => keeper.ask(kind, request)),

    kept: () => ({ quota: keeping.quota, holdings: kept.all() }),

    probe(): void {
      look();
      kept.get();
    },

    async [Symbol.asyncDispose](): Promise<void> {
      // Who writes closes last, and leaves one file: who only reads cannot take over what is in the log.
      await Promise.all([...all].map(async (link) => link[Symbol.asyncDispose]()));
      database[Symbol.dispose]();
      await keeper[Symbol.asyncDispose]();
    },
  };
}
