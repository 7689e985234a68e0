/** All that the tools of this service depend on, over one database. */
import { fileURLToPath } from 'node:url';

import { openDatabase, transactionsOf } from '#runtime/database.ts';
import type { Call } from '#runtime/tool.ts';

import { openGraphStore } from './graph/graph-store.ts';
import { openNodeIndex } from './graph/node-index.ts';
import { openHistory } from './history.ts';
import { openJournal, type Change, type Rows } from './journal.ts';
import { openMemoryStore, tagsOf } from './memory-store.ts';
import { openNoteStore } from './notes/note-store.ts';
import { openMemorySearch } from './search/memory-search.ts';
import { nowIso } from '#runtime/time.ts';
import { inTurns, type Steps } from '#runtime/turns.ts';

export const graphUri = 'memory://knowledge-graph';
export const entityUri = (name: string) => `memory://entity/${encodeURIComponent(name)}`;

const indexed = (row: Rows['memory']) => ({ ...row, tags: tagsOf(row) });

export type Store = ReturnType<typeof openStore>;

export function openStore(file: string) {
  const database = openDatabase(file, fileURLToPath(new URL('migrations', import.meta.url)));
  const nodes = openNodeIndex(database);
  const search = openMemorySearch(database);
  const transactions = transactionsOf(database);
  const journal = openJournal(database, transactions, {
    ...nodes.indexes,
    memory: {
      update: (removed, added) =>
        search.updateIndex(removed.filter((row) => row.is_indexed).map(indexed), added.map(indexed)),
    },
  });
  const size = database
    .prepare<[], number>('SELECT page_count * page_size FROM pragma_page_count, pragma_page_size')
    .pluck();

  /** Several reads that see one state, whatever another process writes meanwhile. */
  const { read: snapshot } = transactions;

  return {
    journal,
    history: openHistory(database),
    nodes,
    graph: openGraphStore(database, journal),
    memories: openMemoryStore(database, journal, search),
    notes: openNoteStore(database),
    sizeBytes: () => size.get() ?? 0,

    /** Takes the write lock and gives it back. @throws when the database cannot be written. */
    probe: transactions.probe,

    snapshot,
    /** A read that others are served in between: no state of the store holds for all of it. */
    inTurns: <Value>(call: Call, steps: Steps<Value>) => inTurns(snapshot, call, steps),

    /** One change in the name of the caller, announced to those who watch what it touched. */
    change<Value>(tool: string, call: Call, work: (change: Change) => Value): Value {
      const author = { tool, caller: call.caller, nowMs: call.nowMs };
      const { value, changeId } = journal.record(author, (change) => {
        const done = work(change);
        search.unindexExpired(nowIso(call));
        return done;
      });
      const touched = changeId === undefined ? [] : journal.touchedEntities(changeId);
      for (const uri of touched.length > 0 ? [graphUri, ...touched.map(entityUri)] : [])
        call.resourceUpdated(uri);
      return value;
    },

    [Symbol.dispose]: () => database.close(),
  };
}
