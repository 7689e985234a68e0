import type { Database } from '#runtime/database.ts';
import type { Steps } from '#runtime/turns.ts';

/** Of an index, while they are only counted. */
const keysPerCount = 20_000;

/** Counts the live rows of a table by ranges of keys, because to count all at once could take long. */
export function liveCounter(
  database: Database,
  table: 'entity' | 'observation' | 'relation' | 'file',
): () => Steps<number> {
  const last = database
    .prepare<[], number>(`SELECT coalesce(max(${table}_id), 0) FROM ${table} WHERE valid_to IS NULL`)
    .pluck();
  const between = database
    .prepare<[number, number], number>(
      `SELECT count(*) FROM ${table} WHERE valid_to IS NULL AND ${table}_id > ? AND ${table}_id <= ?`,
    )
    .pluck();
  return function* () {
    let count = 0;
    for (let at = 0, end = last.get() ?? 0; at < end; at += keysPerCount) {
      count += between.get(at, at + keysPerCount) ?? 0;
      yield;
    }
    return count;
  };
}
