/** All that the tools of this service depend on, over one database. */
import { fileURLToPath } from 'node:url';

import { openDatabase } from '#runtime/database.ts';
import type { Call } from '#runtime/tool.ts';

import { openFileStore } from './file-store.ts';
import { openGraphStore } from './graph-store.ts';
import { openJournal, type Change, type Rows } from './journal.ts';
import { openMemoryTable, tagsOf } from './memory-store.ts';
import { openNodeIndex } from './node-index.ts';
import { MemorySearch } from './search.ts';

export const graphUri = 'memory://knowledge-graph';
export const entityUri = (name: string) => `memory://entity/${encodeURIComponent(name)}`;

const indexed = (row: Rows['memory']) => ({ ...row, tags: tagsOf(row) });

export type Store = ReturnType<typeof openStore>;

export function openStore(file: string) {
  const database = openDatabase(file, fileURLToPath(new URL('migrations', import.meta.url)));
  const nodes = openNodeIndex(database);
  const search = new MemorySearch(database);
  const journal = openJournal(database, {
    ...nodes.indexes,
    memory: {
      add: (row) => search.indexMemory(indexed(row)),
      remove: (row) => search.unindexMemory(indexed(row)),
    },
  });
  const size = database
    .prepare<[], number>('SELECT page_count * page_size FROM pragma_page_count, pragma_page_size')
    .pluck();

  return {
    journal,
    nodes,
    graph: openGraphStore(database, journal),
    memories: openMemoryTable(database, journal, search),
    files: openFileStore(database),
    sizeBytes: () => size.get() ?? 0,

    /** Takes the write lock and gives it back. @throws when the database cannot be written. */
    probe: () => database.transaction(() => {}).immediate(),

    /** Several reads that see one state, whatever another process writes meanwhile. */
    snapshot: <Value>(read: () => Value): Value => database.transaction(read)(),

    /** One change in the name of the caller, announced to those who watch what it touched. */
    change<Value>(tool: string, call: Call, work: (change: Change) => Value): Value {
      const { value, changeId } = journal.record({ tool, caller: call.caller, nowMs: call.nowMs }, work);
      const touched = changeId === undefined ? [] : journal.touchedEntities(changeId);
      for (const uri of touched.length > 0 ? [graphUri, ...touched.map(entityUri)] : [])
        call.resourceUpdated(uri);
      return value;
    },

    [Symbol.dispose]: () => database.close(),
  };
}
