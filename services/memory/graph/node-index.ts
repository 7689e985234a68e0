/** Finds entities by what is said of them. The only SQL on `node_words` and `node_substrings`. */
import type { Database } from '#runtime/database.ts';

import type { RowIndexes } from '../journal.ts';
import { maxMatchesPerWord, maxRowsPerTurn } from '../limits.ts';
import { parseQuery, terms } from '../search/text.ts';
import type { Steps } from '#runtime/turns.ts';

/** A word in a name says more than in a type, and there more than in an observation. */
const weights = '5.0, 2.0, 1.0';
/** What a match of the whole query counts beside words, whose scores lie between 0 and about 15. */
const substringScore = 4;
const exactNameScore = 100;

/** What is found by its words: an observation, or the name and type of an entity. */
interface Entry {
  readonly rowid: number;
  readonly name: string;
  readonly type: string;
  readonly text: string;
  readonly entityId: number;
}

interface Part {
  readonly part: string;
  readonly after: number;
}

export function openNodeIndex(database: Database) {
  const tables = [
    { table: 'node_words', form: split },
    { table: 'node_substrings', form: (text: string) => text.toLowerCase() },
  ].map(({ table, form }) => ({
    form,
    insert: database.prepare(
      `INSERT INTO ${table} (rowid, name, type, text, entity_id) VALUES (?, ?, ?, ?, ?)`,
    ),
    remove: database.prepare<[number]>(`DELETE FROM ${table} WHERE rowid = ?`),
  }));
  // Materialized, because bm25 cannot be computed inside an aggregate.
  const byWord = database.prepare<[string], { entity_id: number; score: number }>(
    `WITH hit AS MATERIALIZED (
       SELECT CAST(entity_id AS INTEGER) AS entity_id, -bm25(node_words, ${weights}) AS score
       FROM node_words WHERE node_words MATCH ? ORDER BY rowid DESC LIMIT ${maxMatchesPerWord})
     SELECT entity_id, max(score) AS score FROM hit GROUP BY entity_id`,
  );
  const byTrigrams = database.prepare<[Part], { rowid: number; entity_id: number | null }>(
    `SELECT rowid, entity_id FROM node_substrings
     WHERE node_substrings MATCH :part AND rowid > :after ORDER BY rowid LIMIT ${maxRowsPerTurn}`,
  );
  // Shorter than a trigram, so that only reading everything finds it.
  const byScan = database.prepare<[Part], { rowid: number; entity_id: number | null }>(
    `SELECT rowid, iif(instr(text, :part) OR instr(name, :part) OR instr(type, :part), entity_id, NULL) AS entity_id
     FROM node_substrings WHERE rowid > :after ORDER BY rowid LIMIT ${maxRowsPerTurn}`,
  );

  /** Table by table and by ascending rowid, as the indexes are written fastest. What it costs is in the cost of the rows. */
  const update = (removed: readonly number[], added: readonly Entry[]) => ({
    cost: 0,
    write() {
      for (const { form, insert, remove } of tables) {
        for (const rowid of removed) remove.run(rowid);
        for (const { rowid, name, type, text, entityId } of added)
          insert.run(rowid, form(name), form(type), form(text), entityId);
      }
    },
  });

  function* containing(query: string): Steps<Set<number>> {
    const lower = query.toLowerCase();
    const [statement, part] = Array.from(lower).length < 3 ? [byScan, lower] : [byTrigrams, quoted(lower)];
    const found = new Set<number>();
    for (let after = Number.MIN_SAFE_INTEGER; ;) {
      const rows = statement.all({ part, after });
      for (const { rowid, entity_id: id } of rows) {
        after = rowid;
        if (id !== null) found.add(id);
      }
      if (rows.length < maxRowsPerTurn) return found;
      yield;
    }
  }

  return {
    indexes: {
      entity: {
        prepare: (removed, added) =>
          update(
            removed.map(({ id }) => -id).toReversed(),
            added
              .map(({ id, name, type, entity_id: entityId }) => ({
                rowid: -id,
                name,
                type,
                text: '',
                entityId,
              }))
              .toReversed(),
          ),
      },
      observation: {
        prepare: (removed, added) =>
          update(
            removed.map(({ id }) => id),
            added.map(({ id, text, entity_id: entityId }) => ({
              rowid: id,
              name: '',
              type: '',
              text,
              entityId,
            })),
          ),
      },
    } satisfies RowIndexes,

    /** The official server's match: the whole query, in any case, inside a name, type or observation. */
    *substring(query: string): Steps<number[]> {
      return [...(yield* containing(query))].toSorted((a, b) => a - b);
    },

    /**
     * All of `substring`, and what has any word of the query, best first. Of the places where an entity has a word only the
     * best counts, so that many observations which repeat it do not outweigh a name.
     */
    *ranked(query: string, exactId: number | undefined): Steps<number[]> {
      const scores = new Map<number, number>();
      const add = (id: number, score: number) => scores.set(id, (scores.get(id) ?? 0) + score);
      for (const id of yield* containing(query)) add(id, substringScore);
      for (const term of parseQuery(query).words.keys()) {
        const hits = byWord.all(quoted(term));
        for (const { entity_id: id, score } of hits) add(id, score);
        if (hits.length > 0) yield;
      }
      if (exactId !== undefined) add(exactId, exactNameScore);
      return [...scores].toSorted(([a, scoreA], [b, scoreB]) => scoreB - scoreA || a - b).map(([id]) => id);
    },
  };
}

const split = (text: string) => terms(text).join(' ');
const quoted = (term: string) => `"${term.replaceAll('"', '""')}"`;
