/** Finds entities by what is said of them. The only SQL on `node_words` and `node_substrings`. */
import type { Database } from '#runtime/database.ts';

import type { RowIndexes } from './journal.ts';
import { parseQuery, terms } from './text.ts';

/** A word in a name says more than in a type, and there more than in an observation. */
const weights = '5.0, 2.0, 1.0';
/** What a match of the whole query counts beside words, whose scores lie between 0 and about 15. */
const substringScore = 4;
const exactNameScore = 100;

export function openNodeIndex(database: Database) {
  const insert = ['node_words', 'node_substrings'].map((table) =>
    database.prepare(`INSERT INTO ${table} (rowid, name, type, text, entity_id) VALUES (?, ?, ?, ?, ?)`),
  );
  const remove = ['node_words', 'node_substrings'].map((table) =>
    database.prepare<[number]>(`DELETE FROM ${table} WHERE rowid = ?`),
  );
  // Materialized, because bm25 cannot be computed inside an aggregate.
  const byWord = database.prepare<[string], { entity_id: number; score: number }>(
    `WITH hit AS MATERIALIZED (
       SELECT CAST(entity_id AS INTEGER) AS entity_id, -bm25(node_words, ${weights}) AS score
       FROM node_words WHERE node_words MATCH ?)
     SELECT entity_id, max(score) AS score FROM hit GROUP BY entity_id`,
  );
  const byTrigrams = database
    .prepare<[string], number>('SELECT DISTINCT entity_id FROM node_substrings WHERE node_substrings MATCH ?')
    .pluck();
  // Shorter than a trigram, so that only reading everything finds it.
  const byScan = database
    .prepare<[{ part: string }], number>(
      `SELECT DISTINCT entity_id FROM node_substrings
       WHERE instr(text, :part) OR instr(name, :part) OR instr(type, :part)`,
    )
    .pluck();

  function put(rowid: number, name: string, type: string, text: string, entityId: number): void {
    insert[0]?.run(rowid, split(name), split(type), split(text), entityId);
    insert[1]?.run(rowid, name.toLowerCase(), type.toLowerCase(), text.toLowerCase(), entityId);
  }
  const drop = (rowid: number) => remove.forEach((statement) => statement.run(rowid));

  function substring(query: string): number[] {
    const part = query.toLowerCase();
    return Array.from(part).length < 3 ? byScan.all({ part }) : byTrigrams.all(quoted(part));
  }

  return {
    indexes: {
      entity: {
        add: (row) => put(-row.id, row.name, row.type, '', row.entity_id),
        remove: (row) => drop(-row.id),
      },
      observation: {
        add: (row) => put(row.id, '', '', row.text, row.entity_id),
        remove: (row) => drop(row.id),
      },
    } satisfies RowIndexes,

    /** The official server's match: the whole query, in any case, inside a name, type or observation. */
    substring: (query: string) => substring(query).toSorted((a, b) => a - b),

    /** All of `substring`, and what has any word of the query; each word counts once, where it counts most. */
    ranked(query: string, exactId: number | undefined): number[] {
      const scores = new Map<number, number>();
      const add = (id: number, score: number) => scores.set(id, (scores.get(id) ?? 0) + score);
      for (const id of substring(query)) add(id, substringScore);
      for (const term of parseQuery(query).words.keys()) {
        for (const { entity_id: id, score } of byWord.iterate(quoted(term))) add(id, score);
      }
      if (exactId !== undefined) add(exactId, exactNameScore);
      return [...scores].toSorted(([a, scoreA], [b, scoreB]) => scoreB - scoreA || a - b).map(([id]) => id);
    },
  };
}

const split = (text: string) => terms(text).join(' ');
const quoted = (term: string) => `"${term.replaceAll('"', '""')}"`;
