/** Of a table, the newest rows of each owner are kept: whoever adds many pushes out their own alone. */
import type { Database } from '#runtime/database.ts';

/** @param column says whose a row is; there is an index on it and `id`. Rows are numbered as they come. */
export function newestOf(
  database: Database,
  { table, column, most }: { readonly table: string; readonly column: string; readonly most: number },
) {
  const count = database
    .prepare<[string | number], number>(`SELECT count(*) FROM ${table} WHERE ${column} = ?`)
    .pluck();
  const dropOldest = database.prepare<[string | number, number]>(
    `DELETE FROM ${table} WHERE id IN (SELECT id FROM ${table} WHERE ${column} = ? ORDER BY id LIMIT ?)`,
  );
  /** Counted once: to count them with each row would take longer the more there are. */
  const counts = new Map<string | number, number>();
  return {
    /** A row of the owner has been added; in the transaction. */
    added(owner: string | number): void {
      const held = counts.get(owner);
      const now = held === undefined ? (count.get(owner) ?? 0) : held + 1;
      if (now > most) dropOldest.run(owner, now - most);
      counts.set(owner, Math.min(now, most));
    },
    /** What was counted may not be what is on disk. */
    forget: () => counts.clear(),
  };
}
