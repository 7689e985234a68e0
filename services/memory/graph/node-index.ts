/** Finds entities by what is said of them. The only SQL on `node_words` and `node_substrings`. */
import type { Database, Statement } from '#runtime/database.ts';

import type { RowIndexes } from '../journal.ts';
import { keysPerStep, maxMatchesPerWord } from '../limits.ts';
import { scoreTable, type Scored, type Selection } from '../search/score-table.ts';
import { parseQuery, terms } from '../search/text.ts';
import type { Steps } from '#runtime/turns.ts';

/** Where a word can be, and what it says there: in a name more than in a type, and there more than in an observation. */
const places = [
  { column: 'name', weight: 5, isEntity: true },
  { column: 'type', weight: 2, isEntity: true },
  { column: 'text', weight: 1, isEntity: false },
] as const;
const weights = places.map(({ weight }) => weight.toFixed(1)).join(', ');
/** What a match of the whole query counts beside words, whose scores lie between 0 and about 15. */
const substringScore = 4;
const exactNameScore = 100;

/** What is found by its words: an observation, or the name and type of an entity under the negative of its id. */
interface Entry {
  readonly rowid: number;
  readonly name: string;
  readonly type: string;
  readonly text: string;
  readonly entityId: number;
}

interface Part {
  readonly part: string;
  /** Rows below this one, down to above that one. */
  readonly before: number;
  readonly floor: number;
  readonly limit: number;
}

interface Match {
  readonly rowid: number;
  /** Of the entity; `null` where the row does not match. */
  readonly id: number | null;
}

const everything = { before: Number.MAX_SAFE_INTEGER, floor: Number.MIN_SAFE_INTEGER };
const entities = { before: 0, floor: Number.MIN_SAFE_INTEGER };
const facts = { before: Number.MAX_SAFE_INTEGER, floor: 0 };

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
  const inRange = 'rowid < :before AND rowid > :floor ORDER BY rowid DESC LIMIT :limit';
  const countUpTo = database
    .prepare<[string, number], number>(
      'SELECT count(*) FROM (SELECT 1 FROM node_words WHERE node_words MATCH ? LIMIT ?)',
    )
    .pluck();
  const byWord = database.prepare<[Part], Match>(
    `SELECT rowid, CAST(entity_id AS INTEGER) AS id FROM node_words WHERE node_words MATCH :part AND ${inRange}`,
  );
  const byRareWord = database.prepare<[Part], Match & { readonly score: number }>(
    `SELECT rowid, CAST(entity_id AS INTEGER) AS id, -bm25(node_words, ${weights}) AS score
     FROM node_words WHERE node_words MATCH :part AND ${inRange}`,
  );
  const byTrigrams = database.prepare<[Part], Match>(
    `SELECT rowid, entity_id AS id FROM node_substrings WHERE node_substrings MATCH :part AND ${inRange}`,
  );
  // Shorter than a trigram, so that only reading everything finds it.
  const byScan = database.prepare<[Part], Match>(
    `SELECT rowid, iif(instr(text, :part) OR instr(name, :part) OR instr(type, :part), entity_id, NULL) AS id
     FROM node_substrings WHERE ${inRange}`,
  );
  const newestFact = database.prepare<[], number>('SELECT coalesce(max(id), 0) FROM observation').pluck();
  const newestEntity = database.prepare<[], number>('SELECT coalesce(max(id), 0) FROM entity').pluck();

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

  /** The rows of a statement, newest first, in steps; `most` of them at most. */
  function* rowsOf<Row extends Match>(
    statement: Statement<Row>,
    part: string,
    { before, floor }: Pick<Part, 'before' | 'floor'>,
    act: (row: Row) => void,
    most = Infinity,
  ): Steps<number> {
    let seen = 0;
    for (let below = before; seen < most;) {
      const limit = Math.min(keysPerStep, most - seen);
      const rows = statement.all({ part, before: below, floor, limit });
      for (const row of rows) {
        act(row);
        below = row.rowid;
      }
      seen += rows.length;
      if (rows.length < limit) break;
      yield;
    }
    return seen;
  }

  /** Calls `act` with each entity that contains the whole query in any case, more than once where several places do. */
  function* containing(query: string, act: (id: number) => void, most?: number): Steps<void> {
    const lower = query.toLowerCase();
    const isShort = Array.from(lower).length < 3;
    const [statement, part] = isShort ? [byScan, lower] : [byTrigrams, quoted(lower)];
    const found = ({ id }: Match) => {
      if (id !== null) act(id);
    };
    if (isShort || most === undefined) {
      yield* rowsOf(statement, part, everything, found);
      return;
    }
    yield* rowsOf(statement, part, entities, found, most);
    yield* rowsOf(statement, part, facts, found, most);
  }

  /**
   * What one word is worth to each entity that has it: of the places where it is only the best counts, so that many
   * observations which repeat it do not outweigh a name.
   */
  function* scoresOf(term: string): Steps<ReadonlyMap<number, number>> {
    const best = new Map<number, number>();
    const keep = ({ id }: Match, score: number) => {
      if (id !== null && score > (best.get(id) ?? 0)) best.set(id, score);
    };
    const word = quoted(term);
    const count = countUpTo.get(word, maxMatchesPerWord + 1) ?? 0;
    if (count > maxMatchesPerWord) yield* commonScoresOf(word, keep);
    else if (count > 0) {
      for (const range of [entities, facts])
        yield* rowsOf(byRareWord, word, range, (row) => keep(row, row.score));
    }
    return best;
  }

  /** BM25 reads all places of a word with every step: what is common is scored by an estimate of how common it is. */
  function* commonScoresOf(word: string, keep: (row: Match, score: number) => void): Steps<void> {
    const newest = { entities: newestEntity.get() ?? 0, facts: newestFact.get() ?? 0 };
    const hits: (Match & { readonly weight: number })[] = [];
    let frequency = 0;
    for (const { column, weight, isEntity } of places) {
      const part = `${column} : ${word}`;
      const add = (row: Match) => void hits.push({ ...row, weight });
      const seen = yield* rowsOf(byWord, part, isEntity ? entities : facts, add, maxMatchesPerWord);
      const last = hits.at(-1)?.rowid ?? 0;
      const [rows, read] = isEntity ? [newest.entities, -last] : [newest.facts, newest.facts - last + 1];
      frequency += seen < maxMatchesPerWord ? seen : (seen * rows) / read;
    }
    const others = newest.entities + newest.facts - frequency;
    const rarity = Math.max(Math.log((others + 0.5) / (frequency + 0.5)), leastRarity);
    for (const [index, hit] of hits.entries()) {
      keep(hit, hit.weight * rarity);
      if (index % keysPerStep === keysPerStep - 1) yield;
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

    /**
     * The official server's match: the whole query, in any case, inside a name, type or observation. In order of creation, so
     * many after one of them.
     */
    *substring(query: string, after: number, count: number): Steps<number[]> {
      let first: number[] = [];
      let bound = Infinity;
      const keepFirst = () => {
        first = [...new Set(first)].toSorted((a, b) => a - b).slice(0, count);
        if (first.length === count) bound = first.at(-1) ?? Infinity;
      };
      yield* containing(query, (id) => {
        if (id <= after || id >= bound) return;
        first.push(id);
        if (first.length >= 2 * count + keysPerStep) keepFirst();
      });
      keepFirst();
      return first;
    },

    /** What contains the query or has any word of it, best first. */
    *ranked(query: string, { exactId, ...selection }: Ranking): Steps<number[]> {
      const scores = scoreTable();
      const contain = (id: number) => {
        if (scores.get(id) === 0) scores.add(id, substringScore);
      };
      yield* containing(query, contain, maxMatchesPerWord);
      for (const term of parseQuery(query).words.keys()) {
        let added = 0;
        for (const [id, score] of yield* scoresOf(term)) {
          scores.add(id, score);
          added += 1;
          if (added % keysPerStep === 0) yield;
        }
      }
      if (exactId !== undefined) scores.add(exactId, exactNameScore);
      const best = yield* scores.highest({ ...selection, order: olderFirst });
      return best.map(({ id }) => id);
    },
  };
}

interface Ranking extends Pick<Selection, 'count' | 'isAdmitted'> {
  /** The entity whose name is the query. */
  readonly exactId?: number | undefined;
}

/** FTS5's own bound. */
const leastRarity = 1e-6;

/** Of equal scores. */
const olderFirst = (x: Scored, y: Scored) => y.score - x.score || x.id - y.id;

const split = (text: string) => terms(text).join(' ');
const quoted = (term: string) => `"${term.replaceAll('"', '""')}"`;
