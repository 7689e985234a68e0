/** All that the tools of this service depend on, over one database. */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { openDatabase, transactionsOf, type Database } from '#runtime/database.ts';
import { openQuotas, quotaOf, type Quota } from '#runtime/quotas.ts';
import { nowIso } from '#runtime/time.ts';
import type { Call } from '#runtime/tool.ts';
import { inTurns, telling, type Steps } from '#runtime/turns.ts';

import { openChanges, type Done, type Job } from './changes.ts';
import { edited, type ArgsOf, type EditName, type ValueOf } from './edits.ts';
import { openGraphStore } from './graph/graph-store.ts';
import { openNodeIndex } from './graph/node-index.ts';
import { openHistory } from './history.ts';
import { openJournal, type Author, type Bounds, type Change, type RowIndexes, type Rows } from './journal.ts';
import { openMeaning } from './meaning/meaning.ts';
import { openVectors } from './meaning/vectors.ts';
import { openMemoryStore, tagsOf } from './memory-store.ts';
import { openNoteStore } from './notes/note-store.ts';
import { openPurge } from './purge.ts';
import { openMemoryIndex } from './search/memory-index.ts';
import { openMemorySearch } from './search/memory-search.ts';

export const graphUri = 'memory://knowledge-graph';
export const entityUri = (name: string) => `memory://entity/${encodeURIComponent(name)}`;

const indexed = (row: Rows['memory']) => ({ ...row, tags: tagsOf(row) });

/** What there is over one connection: the process has one, and the thread of large changes another. */
export function storesOf(database: Database, quota: Quota) {
  const quotas = openQuotas(database, quota, remedy);
  const nodes = openNodeIndex(database);
  const index = openMemoryIndex(database);
  const transactions = transactionsOf(database);
  const indexes: RowIndexes = {
    ...nodes.indexes,
    memory: {
      prepare: (removed, added) =>
        index.prepare(removed.filter((row) => row.is_indexed).map(indexed), added.map(indexed)),
    },
  };
  const journal = openJournal(database, transactions, indexes, {
    requireWithin: (owner, times) => quotas.requireWithin(owner, times),
    afterwards: (author) => index.unindexExpired(nowIso(author)),
  });
  const size = database
    .prepare<[], number>('SELECT page_count * page_size FROM pragma_page_count, pragma_page_size')
    .pluck();

  /** One change in the name of the author, here and now. */
  function record<Value>(author: Author, work: (change: Change) => Value, bounds?: Bounds): Done<Value> {
    const { value, touched } = journal.record(author, work, bounds);
    return { value, touched };
  }

  /** The share of the indexes that is as this version of the code makes them; `undefined` for all. */
  function rebuilding(): number | undefined {
    const shares = [index.rebuilding(), nodes.rebuilding()];
    if (shares.every((share) => share === undefined)) return undefined;
    return Math.min(...shares.map((share) => share ?? 1));
  }

  const stores = {
    transactions,
    journal,
    history: openHistory(database),
    nodes,
    graph: openGraphStore(database, journal),
    memories: openMemoryStore(database, journal, openMemorySearch(database, index)),
    memoryIndex: index,
    notes: openNoteStore(database),
    purge: openPurge(database, journal, (rows) => index.prepare(rows.map(indexed), []).write()),
    kept: () => quotas.kept(),
    record,
    make: ({ name, args, author }: Job, bounds: Bounds): Done =>
      record(author, (change) => edited(stores, change, name, args), bounds),
    sizeBytes: () => size.get() ?? 0,
    rebuilding,
    /** One step of building the indexes anew. @returns the share that is done; `undefined` for all. */
    rebuild(): number | undefined {
      transactions.write(() => {
        if (index.rebuilding() === undefined) nodes.rebuildStep();
        else index.rebuildStep();
      });
      return rebuilding();
    },
  };
  return stores;
}

export const defaultQuotaMb = 512;
export const defaultQuotaItems = 2_000_000;
const defaultQuota = quotaOf(defaultQuotaMb, defaultQuotaItems);
const remedy =
  'Call purge_history, which deletes for good what you stored and what you or others deleted or replaced since; look with get_history first, and undo what should come back.';

const stepsAtOnce = 5;
const retryMs = 30_000;

export type Store = ReturnType<typeof openStore>;

/** How memories are searched by meaning, where that is set. */
type MeaningOptions = Pick<Parameters<typeof openMeaning>[0], 'settings' | 'tell' | 'times'>;

export function openStore(file: string, quota = defaultQuota, meaningOptions?: MeaningOptions) {
  const database = openDatabase(file, fileURLToPath(new URL('migrations', import.meta.url)));
  const stores = storesOf(database, quota);
  const changes = openChanges(file, quota, stores.make);
  const closing = new AbortController();
  const { read: snapshot, probe } = stores.transactions;
  const meaning =
    meaningOptions &&
    openMeaning({
      ...meaningOptions,
      vectors: openVectors(database),
      transactions: stores.transactions,
      write: async (work, signal) => changes.own(() => stores.transactions.write(work), signal),
    });
  // What is small is built before anyone asks: a new database, above all.
  for (let step = 0; step < stepsAtOnce && stores.rebuilding() !== undefined; step += 1) stores.rebuild();

  return {
    ...stores,
    meaning,

    /** Takes the write lock and gives it back, unless a change has it. @throws when the database cannot be written. */
    probe: () => {
      if (!changes.isAtWork) probe();
    },

    /** Several reads that see one state, whatever another process writes meanwhile. */
    snapshot,
    /** A read that others are served in between: no state of the store holds for all of it. */
    inTurns: <Value>(call: Call, steps: Steps<Value>) => inTurns(snapshot, call, telling(call, steps)),

    /** One change in the name of the caller, announced to those who watch what it touched. */
    change<Name extends EditName>(
      name: Name,
      args: ArgsOf<Name>,
      call: Call,
    ): ValueOf<Name> | Promise<ValueOf<Name>> {
      const author = { tool: name, caller: call.caller, nowMs: call.nowMs };
      const announced = ({ value, touched }: Done<ValueOf<Name>>) => {
        for (const uri of touched.length > 0 ? [graphUri, ...touched.map(entityUri)] : [])
          call.resourceUpdated(uri);
        return value;
      };
      const done = changes.make({ name, args, author }, call);
      return done instanceof Promise ? done.then(announced) : announced(done);
    },

    /**
     * Builds the indexes anew where another version made them: in short steps, between which others change the store. Until it
     * is done, searches use the former lists or read what is not there yet. Ends with the store.
     */
    async rebuildAll(
      tell: (event: string, fields: Readonly<Record<string, unknown>>) => void,
    ): Promise<void> {
      const { signal } = closing;
      if (stores.rebuilding() === undefined) return;
      tell('indexes_rebuilding', {});
      while (!signal.aborted && stores.rebuilding() !== undefined) {
        const startedAtMs = performance.now();
        try {
          await changes.rebuild(signal);
          await sleep(performance.now() - startedAtMs, undefined, { signal, ref: false });
        } catch (error) {
          if (signal.aborted) return;
          tell('indexes_not_rebuilt', { error });
          await sleep(retryMs, undefined, { signal, ref: false }).catch(() => {});
        }
      }
      if (!signal.aborted) tell('indexes_rebuilt', {});
    },

    [Symbol.dispose]() {
      closing.abort();
      void meaning?.close();
      void changes.close();
      database.close();
    },
    async [Symbol.asyncDispose]() {
      closing.abort();
      await meaning?.close();
      await changes.close();
      database.close();
    },
  };
}
