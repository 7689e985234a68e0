/** What was changed, when and by whom: the journal as `get_history` shows it. It reads and never writes. */
import type { Database } from '#runtime/database.ts';
import type { Steps } from '#runtime/turns.ts';

import { rowsPerStep } from './limits.ts';
import { composed } from './names.ts';

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

/** When a row began and ended, by change. */
interface Span {
  readonly id: number;
  readonly valid_from: number;
  readonly valid_to: number | null;
}

export function openHistory(database: Database) {
  const before = database
    .prepare<[number, number], number>('SELECT id FROM change WHERE id < ? ORDER BY id DESC LIMIT ?')
    .pluck();
  const entry = database.prepare<[number], HistoryEntry>(
    'SELECT c.*, (SELECT count(*) FROM change AS u WHERE u.undoes = c.id) % 2 AS undone FROM change AS c WHERE id = ?',
  );
  const keysOf = {
    entity: database
      .prepare<[{ name: string; key: string }], number>(
        `SELECT entity_id FROM entity WHERE name = :name UNION SELECT entity_id FROM entity WHERE name = :key
         UNION SELECT entity_id FROM entity WHERE composed = :key`,
      )
      .pluck(),
    path: database.prepare<[string], number>('SELECT DISTINCT file_id FROM file WHERE path = ?').pluck(),
  };
  const spans = (table: string, column: string) =>
    database.prepare<[number, number, number], Span>(
      `SELECT id, valid_from, valid_to FROM ${table} WHERE ${column} = ? AND id > ? ORDER BY id LIMIT ?`,
    );
  const spansOf = {
    // The plus keeps the planner from the index that has them in another order.
    entity: [
      spans('entity', 'entity_id'),
      spans('observation', 'entity_id'),
      spans('relation', 'from_id'),
      spans('relation', 'to_id'),
    ],
    memory_id: [spans('memory', 'memory_id')],
    path: [spans('file', 'file_id')],
  };
  const fact = (column: 'valid_from' | 'valid_to') =>
    database
      .prepare<[number, number], string>(
        `SELECT kind || ' ' || substr(text, 1, 200) FROM fact WHERE ${column} = ? LIMIT ?`,
      )
      .pluck();
  const [added, removed] = [fact('valid_from'), fact('valid_to')];

  /** The newest changes below one that touched any row of these things, newest first. */
  function* changesOf(
    kind: keyof typeof spansOf,
    keys: readonly number[],
    below: number,
    limit: number,
  ): Steps<number[]> {
    let newest = new Set<number>();
    const keepNewest = () => {
      newest = new Set([...newest].toSorted((x, y) => y - x).slice(0, limit));
    };
    const note = (change: number | null) => {
      if (change !== null && change < below) newest.add(change);
    };
    for (const key of keys) {
      for (const statement of spansOf[kind]) {
        for (let after = 0; ;) {
          const rows = statement.all(key, after, rowsPerStep);
          for (const { id, valid_from: from, valid_to: to } of rows) {
            note(from);
            note(to);
            after = id;
          }
          keepNewest();
          if (rows.length < rowsPerStep) break;
          yield;
        }
      }
    }
    return [...newest];
  }

  /** Each filter as the list of changes that pass it. */
  function* idsOf(
    { change_id: changeId, entity, memory_id: memoryId, path }: HistoryFilter,
    below: number,
    limit: number,
  ): Steps<number[]> {
    const lists: number[][] = [];
    const isOne = [changeId, entity, memoryId, path].filter((value) => value !== undefined).length === 1;
    // Of two that have to be true at once, any of the changes of one may be among those of the other.
    const most = isOne ? limit : Infinity;
    if (changeId !== undefined) lists.push(changeId < below ? [changeId] : []);
    if (entity !== undefined)
      lists.push(
        yield* changesOf('entity', keysOf.entity.all({ name: entity, key: composed(entity) }), below, most),
      );
    if (memoryId !== undefined) lists.push(yield* changesOf('memory_id', [memoryId], below, most));
    if (path !== undefined)
      lists.push(yield* changesOf('path', keysOf.path.all(composed(path)), below, most));
    const [first, ...others] = lists;
    if (!first) return before.all(below, limit);
    return first.filter((id) => others.every((list) => list.includes(id))).slice(0, limit);
  }

  return {
    /** Newest first, below a change. */
    *entries(filter: HistoryFilter, below: number, limit: number): Steps<HistoryEntry[]> {
      const ids = yield* idsOf(filter, below, limit);
      return ids.flatMap((id) => entry.get(id) ?? []);
    },
    facts: (changeId: number, limit: number) => ({
      added: added.all(changeId, limit),
      removed: removed.all(changeId, limit),
    }),
  };
}
