/** All that the tools of this service depend on, over one database. */
import { fileURLToPath } from 'node:url';

import { openDatabase, transactionsOf, type Database } from '#runtime/database.ts';
import { nowIso } from '#runtime/time.ts';
import type { Call } from '#runtime/tool.ts';
import { inTurns, type Steps } from '#runtime/turns.ts';

import { openChanges, type Done, type Job } from './changes.ts';
import { edited, type ArgsOf, type EditName, type ValueOf } from './edits.ts';
import { openGraphStore } from './graph/graph-store.ts';
import { openNodeIndex } from './graph/node-index.ts';
import { openHistory } from './history.ts';
import { openJournal, type Author, type Bounds, type Change, type Rows } from './journal.ts';
import { openMemoryStore, tagsOf } from './memory-store.ts';
import { openNoteStore } from './notes/note-store.ts';
import { openMemoryIndex } from './search/memory-index.ts';
import { openMemorySearch } from './search/memory-search.ts';

export const graphUri = 'memory://knowledge-graph';
export const entityUri = (name: string) => `memory://entity/${encodeURIComponent(name)}`;

const indexed = (row: Rows['memory']) => ({ ...row, tags: tagsOf(row) });

export type Stores = ReturnType<typeof storesOf>;

/** What there is over one connection: the process has one, and the thread of large changes another. */
export function storesOf(database: Database) {
  const nodes = openNodeIndex(database);
  const index = openMemoryIndex(database);
  const transactions = transactionsOf(database);
  const journal = openJournal(database, transactions, {
    ...nodes.indexes,
    memory: {
      prepare: (removed, added) =>
        index.prepare(removed.filter((row) => row.is_indexed).map(indexed), added.map(indexed)),
    },
  });
  const size = database
    .prepare<[], number>('SELECT page_count * page_size FROM pragma_page_count, pragma_page_size')
    .pluck();

  /** One change in the name of the author, here and now. */
  function record<Value>(author: Author, work: (change: Change) => Value, bounds?: Bounds): Done<Value> {
    const recorded = (change: Change) => {
      const value = work(change);
      index.unindexExpired(nowIso(author));
      return value;
    };
    const { value, changeId } = journal.record(author, recorded, bounds);
    return { value, touched: changeId === undefined ? [] : journal.touchedEntities(changeId) };
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
    record,
    make: ({ name, args, author }: Job, bounds: Bounds): Done =>
      record(author, (change) => edited(stores, change, name, args), bounds),
    sizeBytes: () => size.get() ?? 0,
  };
  return stores;
}

export type Store = ReturnType<typeof openStore>;

export function openStore(file: string) {
  const database = openDatabase(file, fileURLToPath(new URL('migrations', import.meta.url)));
  const stores = storesOf(database);
  const changes = openChanges(file, stores.make);
  const { read: snapshot, probe } = stores.transactions;

  return {
    ...stores,

    /** Takes the write lock and gives it back, unless a change has it. @throws when the database cannot be written. */
    probe: () => {
      if (!changes.isAtWork) probe();
    },

    /** Several reads that see one state, whatever another process writes meanwhile. */
    snapshot,
    /** A read that others are served in between: no state of the store holds for all of it. */
    inTurns: <Value>(call: Call, steps: Steps<Value>) => inTurns(snapshot, call, steps),

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

    [Symbol.dispose]() {
      void changes.close();
      database.close();
    },
    async [Symbol.asyncDispose]() {
      await changes.close();
      database.close();
    },
  };
}
