/** Deletes versions for good: what has ended, and memories that have expired. The only SQL that deletes rows. */
import type { Database } from '#runtime/database.ts';
import { nowIso } from '#runtime/time.ts';

import { kinds, type Change, type Journal, type Kind, type Rows } from './journal.ts';
import { bytesKept, rowsPerStep } from './limits.ts';

/** What one call deletes at most. */
const mostRows = 10_000;

interface Purged {
  readonly purged: number;
  readonly bytes: number;
  /** Whether there is more. */
  readonly more: boolean;
}

export type Purge = ReturnType<typeof openPurge>;

export function openPurge(
  database: Database,
  journal: Journal,
  unindex: (rows: readonly Rows['memory'][]) => void,
) {
  // The newest row of a table stays, because the next one gets the number after it, as a thing of its own.
  const rowsOf = <K extends Kind>(kind: K) =>
    database.prepare<[{ caller: string; before: string; limit: number }], Rows[K]>(
      `SELECT v.* FROM ${kind} AS v
       JOIN change AS began ON began.id = v.valid_from AND began.caller = :caller
       JOIN change AS ended ON ended.id = v.valid_to AND ended.at < :before
       WHERE v.valid_to IS NOT NULL AND v.id < (SELECT max(id) FROM ${kind}) LIMIT :limit`,
    );
  const ended = Object.fromEntries(kinds.map((kind) => [kind, rowsOf(kind)])) as unknown as {
    [K in Kind]: ReturnType<typeof rowsOf<K>>;
  };
  const expired = database.prepare<[{ caller: string; before: string; limit: number }], Rows['memory']>(
    `SELECT v.* FROM memory AS v JOIN change AS began ON began.id = v.valid_from AND began.caller = :caller
     WHERE v.valid_to IS NULL AND v.expires_at < :before AND v.id < (SELECT max(id) FROM memory) LIMIT :limit`,
  );
  const remove = Object.fromEntries(
    kinds.map((kind) => [kind, database.prepare<[number]>(`DELETE FROM ${kind} WHERE id = ?`)]),
  ) as unknown as { [K in Kind]: ReturnType<typeof database.prepare<[number]>> };
  const mark = database.prepare<[number]>('INSERT OR IGNORE INTO purged (change_id) VALUES (?)');

  /** What the author of the change stored, and what had ended or expired before an instant. */
  return (change: Change, before: string | undefined): Purged => {
    const { caller } = change.author;
    const wanted = { caller, before: before ?? nowIso({ nowMs: change.author.nowMs + 1 }) };
    let left = mostRows;
    let bytes = 0;
    const changes = new Set<number>();
    /** Some rows at a time, because they may be large. */
    const take = <K extends Kind>(kind: K, some: (limit: number) => Rows[K][]) => {
      while (left > 0) {
        const rows = some(Math.min(rowsPerStep, left));
        if (rows.length === 0) return;
        change.spend(rows.length);
        for (const row of rows) {
          bytes += bytesKept(kind, row);
          for (const id of [row.valid_from, row.valid_to]) if (id !== null) changes.add(id);
          remove[kind].run(row.id);
        }
        left -= rows.length;
      }
    };
    for (const kind of kinds) take(kind, (limit) => ended[kind].all({ ...wanted, limit }));
    take('memory', (limit) => {
      const rows = expired.all({ ...wanted, limit });
      unindex(rows.filter((row) => row.is_indexed));
      return rows;
    });
    for (const id of changes) mark.run(id);
    const purged = mostRows - left;
    journal.release(caller, purged, bytes);
    return { purged, bytes: Math.round(bytes), more: left === 0 };
  };
}
