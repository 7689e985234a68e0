/** What was changed, when and by whom: the journal as `get_history` shows it. It reads and never writes. */
import type { Database } from '#runtime/database.ts';

import { filteredStatement } from './filtered-statement.ts';

export interface HistoryEntry {
  id: number;
  at: string;
  caller: string;
  tool: string;
  undoes: number | null;
  undone: number;
}

export interface HistoryFilter {
  readonly change_id?: number | undefined;
  readonly entity?: string | undefined;
  readonly memory_id?: number | undefined;
  readonly path?: string | undefined;
}

const changesOfFile = 'FROM file WHERE file_id IN (SELECT file_id FROM file WHERE path = :path)';
const conditions: { readonly [Filter in keyof HistoryFilter]-?: string } = {
  change_id: 'c.id = :change_id',
  entity: `c.id IN (SELECT change_id FROM entity_change
    WHERE entity_id IN (SELECT entity_id FROM entity WHERE name = :entity))`,
  memory_id: `c.id IN (SELECT valid_from FROM memory WHERE memory_id = :memory_id
    UNION ALL SELECT valid_to FROM memory WHERE memory_id = :memory_id)`,
  path: `c.id IN (SELECT valid_from ${changesOfFile} UNION ALL SELECT valid_to ${changesOfFile})`,
};

export function openHistory(database: Database) {
  const entries = filteredStatement<HistoryEntry, keyof HistoryFilter>(
    database,
    conditions,
    (where) =>
      `SELECT c.*, (SELECT count(*) FROM change AS u WHERE u.undoes = c.id) % 2 AS undone
       FROM change AS c WHERE c.id < :before ${where} ORDER BY c.id DESC LIMIT :limit`,
  );
  const fact = (column: 'valid_from' | 'valid_to') =>
    database
      .prepare<[number, number], string>(
        `SELECT kind || ' ' || substr(text, 1, 200) FROM fact WHERE ${column} = ? LIMIT ?`,
      )
      .pluck();
  const [added, removed] = [fact('valid_from'), fact('valid_to')];

  return {
    /** Newest first, below a change. */
    entries: (filter: HistoryFilter, before: number, limit: number): HistoryEntry[] =>
      entries(filter).all({ ...filter, before, limit }),
    facts: (changeId: number, limit: number) => ({
      added: added.all(changeId, limit),
      removed: removed.all(changeId, limit),
    }),
  };
}
