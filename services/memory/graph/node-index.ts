/**
 * Finds entities by what is said of them. The only SQL on `node_words`, which ranks by words, and `node_trigrams`, which knows
 * where the letters of a text may be. Both have a row for each observation, under its id, and for the name and type of each
 * entity, under the negative of its id. While they are built anew, what they do not have yet is read instead.
 */
import type { Database, Statement } from '#runtime/database.ts';
import type { Steps } from '#runtime/turns.ts';
import { analyzerVersion, queryWords, terms } from '#runtime/words.ts';

import type { RowIndexes, Rows } from '../journal.ts';
import { keysPerStep, maxMatchesPerWord, rowsPerStep } from '../limits.ts';
import { composed } from '../names.ts';
import { scoreTable, type Scored, type Selection } from '../search/score-table.ts';

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
/** FTS5's own bound. */
const leastRarity = 1e-6;

/** Of so many trigrams of a query the rows are looked up; whether they have the whole query is seen by reading them. */
const mostTrigrams = 8;
/** Rows that one step looks for trigrams among. */
const idsPerStep = 20_000;
/** What one step of building writes, in a transaction of its own: characters, and rows. */
const rebuiltCharacters = 100_000;
const rebuiltRows = 1_000;

interface Texts {
  readonly name: string;
  readonly type: string;
  readonly text: string;
}

/** A row of the indexes. */
interface Entry extends Texts {
  readonly rowid: number;
}

interface Range {
  readonly before: number;
  readonly floor: number;
}
const entities: Range = { before: 0, floor: Number.MIN_SAFE_INTEGER };
const facts: Range = { before: Number.MAX_SAFE_INTEGER, floor: 0 };

interface Found {
  readonly rowid: number;
}

/** How far the indexes are: built by this version of the code, up to these rows or, where that is `null`, altogether. */
interface State {
  readonly analyzer: number;
  readonly entity: number | null;
  readonly observation: number | null;
}

interface Ranking extends Pick<Selection, 'count' | 'isAdmitted'> {
  /** The entity whose name is the query. */
  readonly exactId?: number | undefined;
}

export function openNodeIndex(database: Database) {
  const words = {
    insert: database.prepare<[number, string, string, string]>(
      'INSERT INTO node_words (rowid, name, type, text) VALUES (?, ?, ?, ?)',
    ),
    remove: database.prepare<[number]>('DELETE FROM node_words WHERE rowid = ?'),
    clear: database.prepare("INSERT INTO node_words (node_words) VALUES ('delete-all')"),
  };
  const trigrams = {
    insert: database.prepare<[number, string]>('INSERT INTO node_trigrams (rowid, text) VALUES (?, ?)'),
    remove: database.prepare<[number]>('DELETE FROM node_trigrams WHERE rowid = ?'),
    clear: database.prepare("INSERT INTO node_trigrams (node_trigrams) VALUES ('delete-all')"),
  };
  // FTS5 goes by integers alone, and numbers come as floating point.
  const inRange = 'rowid < CAST(:before AS INTEGER) AND rowid > CAST(:floor AS INTEGER) ORDER BY rowid DESC';
  const countUpTo = database
    .prepare<[string, number], number>(
      'SELECT count(*) FROM (SELECT 1 FROM node_words WHERE node_words MATCH ? LIMIT ?)',
    )
    .pluck();
  const byWord = database.prepare<[Range & { part: string; limit: number }], Found>(
    `SELECT rowid FROM node_words WHERE node_words MATCH :part AND ${inRange} LIMIT :limit`,
  );
  const byRareWord = database.prepare<
    [Range & { part: string; limit: number }],
    Found & { readonly score: number }
  >(
    `SELECT rowid, -bm25(node_words, ${weights}) AS score
     FROM node_words WHERE node_words MATCH :part AND ${inRange} LIMIT :limit`,
  );
  const byTrigrams = database
    .prepare<[Range & { part: string }], number>(
      `SELECT rowid FROM node_trigrams WHERE node_trigrams MATCH :part AND ${inRange}`,
    )
    .pluck();
  const entity = database.prepare<[number], Rows['entity']>('SELECT * FROM entity WHERE id = ?');
  const observation = database.prepare<[number], Rows['observation']>(
    'SELECT * FROM observation WHERE id = ?',
  );
  const entityIdOf = (table: string) =>
    database
      .prepare<[number], number>(`SELECT entity_id FROM ${table} WHERE id = ? AND valid_to IS NULL`)
      .pluck();
  const [entityId, observationEntity] = [entityIdOf('entity'), entityIdOf('observation')];
  const entitiesBetween = database.prepare<[number, number], Rows['entity']>(liveBetween('entity'));
  const observationsBetween = database.prepare<[number, number], Rows['observation']>(
    liveBetween('observation'),
  );
  const compose = database.prepare<[string, number]>('UPDATE entity SET composed = ? WHERE id = ?');
  const newest = database.prepare<[], { entity: number; observation: number }>(
    `SELECT (SELECT coalesce(max(id), 0) FROM entity) AS entity,
            (SELECT coalesce(max(id), 0) FROM observation) AS observation`,
  );
  const state = database.prepare<[], State>('SELECT analyzer, entity, observation FROM node_index');
  const setState = database.prepare<[State]>(
    'UPDATE node_index SET analyzer = :analyzer, entity = :entity, observation = :observation',
  );

  const stateOf = (): State => state.get() ?? { analyzer: 0, entity: 0, observation: 0 };
  const newestOf = () => newest.get() ?? { entity: 0, observation: 0 };

  /** Index by index and by ascending rowid, as they are written fastest. What it costs is in the cost of the rows. */
  const prepare = (removed: readonly number[], added: readonly Entry[]) => ({
    cost: 0,
    write() {
      for (const rowid of removed) words.remove.run(rowid);
      for (const { rowid, name, type, text } of added)
        words.insert.run(rowid, split(name), split(type), split(text));
      for (const rowid of removed) trigrams.remove.run(rowid);
      for (const { rowid, ...texts } of added) trigrams.insert.run(rowid, lettersOf(texts));
    },
  });

  /** The entity that a row speaks of, where it lives and says what is asked for. */
  function entityOf(rowid: number, says?: (text: string) => boolean): number | undefined {
    if (!says) return rowid < 0 ? entityId.get(-rowid) : observationEntity.get(rowid);
    const row = rowid < 0 ? entity.get(-rowid) : observation.get(rowid);
    return row?.valid_to === null && textsOf(row).some(says) ? row.entity_id : undefined;
  }

  /** The rows of a word, newest first, in steps; `most` of them at most. @returns how many. */
  function* rowsOf<Row extends Found>(
    statement: Statement<Row>,
    part: string,
    { before, floor }: Range,
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

  /**
   * Calls `act` with each entity that contains the whole query in any case, more than once where several places do. `most` ends
   * it early, for entities and for observations each.
   */
  function* containing(query: string, act: (id: number) => void, most = Infinity): Steps<void> {
    const forms = formsOf(query);
    const { analyzer, ...reached } = stateOf();
    const isIndexed = forms.every((form) => lettersIn(form).length >= 3) && analyzer === analyzerVersion;
    const last = newestOf();
    for (const kind of ['entity', 'observation'] as const) {
      const end = isIndexed ? (reached[kind] ?? last[kind]) : 0;
      let seen = 0;
      for (const id of inAll(
        readUp(kind, end, last[kind], forms),
        ...forms.map((form) => lookedUp(kind, end, form, forms)),
      )) {
        if (id === undefined) {
          yield;
          continue;
        }
        act(id);
        seen += 1;
        if (seen === most) break;
      }
    }
  }

  /** Entities by reading all rows of a range, newest first; nothing in place of one where others may be served. */
  function* readUp(
    kind: 'entity' | 'observation',
    from: number,
    to: number,
    forms: readonly string[],
  ): Iterable<number | void> {
    const between = kind === 'entity' ? entitiesBetween : observationsBetween;
    for (let high = to; high > from; high -= rowsPerStep) {
      for (const row of between.all(Math.max(high - rowsPerStep, from), high))
        if (textsOf(row).some((text) => contains(text, forms))) yield row.entity_id;
      yield;
    }
  }

  /** The same by trigrams, of the rows up to one. */
  function* lookedUp(
    kind: 'entity' | 'observation',
    to: number,
    form: string,
    forms: readonly string[],
  ): Iterable<number | void> {
    const letters = lettersIn(form);
    const part = trigramsOf(letters);
    // Where the query is one trigram, each observation that has it has the query, unless it lies over a seam.
    const isEnough = kind === 'observation' && letters.length === 3 && !letters.includes(' ');
    const says = isEnough ? undefined : (text: string) => contains(text, forms);
    const sign = kind === 'entity' ? -1 : 1;
    for (let high = to; high > 0; high -= idsPerStep) {
      const ends = [sign * Math.max(high - idsPerStep, 0), sign * (high + 1)];
      const rowids = byTrigrams.all({ part, before: Math.max(...ends), floor: Math.min(...ends) });
      for (const [index, rowid] of rowids.entries()) {
        const id = entityOf(rowid, says);
        if (id !== undefined) yield id;
        if (index % rowsPerStep === rowsPerStep - 1) yield;
      }
      yield;
    }
  }

  /**
   * What one word is worth to each entity that has it: of the places where it is only the best counts, so that many
   * observations which repeat it do not outweigh a name.
   */
  function* scoresOf(term: string): Steps<ReadonlyMap<number, number>> {
    const word = quoted(term);
    const count = countUpTo.get(word, maxMatchesPerWord + 1) ?? 0;
    const hits: Hit[] = [];
    if (count > maxMatchesPerWord) yield* commonHits(word, hits);
    else if (count > 0) {
      for (const range of [entities, facts])
        yield* rowsOf(byRareWord, word, range, (row) => void hits.push(row));
    }
    const best = new Map<number, number>();
    for (const [index, { rowid, score }] of hits.entries()) {
      const id = entityOf(rowid);
      if (id !== undefined && score > (best.get(id) ?? 0)) best.set(id, score);
      if (index % rowsPerStep === rowsPerStep - 1) yield;
    }
    return best;
  }

  /** BM25 reads all places of a word with every step: what is common is scored by an estimate of how common it is. */
  function* commonHits(word: string, hits: Hit[]): Steps<void> {
    const last = newestOf();
    let frequency = 0;
    for (const { column, weight, isEntity } of places) {
      const part = `${column} : ${word}`;
      const add = ({ rowid }: Found) => void hits.push({ rowid, score: weight });
      const seen = yield* rowsOf(byWord, part, isEntity ? entities : facts, add, maxMatchesPerWord);
      const rowid = hits.at(-1)?.rowid ?? 0;
      const [rows, read] = isEntity
        ? [last.entity, -rowid]
        : [last.observation, last.observation - rowid + 1];
      frequency += seen < maxMatchesPerWord ? seen : (seen * rows) / read;
    }
    const others = last.entity + last.observation - frequency;
    const rarity = Math.max(Math.log((others + 0.5) / (frequency + 0.5)), leastRarity);
    for (const hit of hits) hit.score *= rarity;
  }

  /** One step of building the indexes of a table. */
  function build(kind: 'entity' | 'observation', { analyzer, ...reached }: State): void {
    const from = reached[kind] ?? 0;
    const last = newestOf()[kind];
    const entries: Entry[] = [];
    let characters = 0;
    let to = from;
    while (to < last && entries.length < rebuiltRows && characters < rebuiltCharacters) {
      const next = Math.min(to + rowsPerStep, last);
      for (const row of (kind === 'entity' ? entitiesBetween : observationsBetween).all(to, next)) {
        const entry = entryOf(row);
        const name = composed(entry.name);
        if (name !== entry.name) compose.run(name, row.id);
        entries.push(entry);
        characters += entry.name.length + entry.type.length + entry.text.length;
      }
      to = next;
    }
    prepare(
      [],
      entries.toSorted((one, other) => one.rowid - other.rowid),
    ).write();
    setState.run({ analyzer, ...reached, [kind]: to === last ? null : to });
  }

  return {
    indexes: {
      entity: {
        prepare: (removed, added) => {
          const isIn = reachedBy(stateOf().entity);
          const gone = removed.filter(isIn).map(({ id }) => -id);
          return prepare(gone.toReversed(), added.filter(isIn).map(entryOf).toReversed());
        },
      },
      observation: {
        prepare: (removed, added) => {
          const isIn = reachedBy(stateOf().observation);
          return prepare(
            removed.filter(isIn).map(({ id }) => id),
            added.filter(isIn).map(entryOf),
          );
        },
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

    /** The entities that contain the whole query, or any of its words; the best match first. */
    *ranked(query: string, { exactId, ...selection }: Ranking): Steps<number[]> {
      const scores = scoreTable();
      const contain = (id: number) => {
        if (scores.get(id) === 0) scores.add(id, substringScore);
      };
      yield* containing(query, contain, maxMatchesPerWord);
      for (const term of queryWords(query).keys()) {
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

    /** The share that is built, from 0 to 1; `undefined` when all is. */
    rebuilding(): number | undefined {
      const { analyzer, entity, observation } = stateOf();
      if (analyzer === analyzerVersion && entity === null && observation === null) return undefined;
      const last = newestOf();
      const done = (entity ?? last.entity) + (observation ?? last.observation);
      return analyzer === analyzerVersion ? done / Math.max(1, last.entity + last.observation) : 0;
    },

    /** One step towards that, in a transaction of its own. */
    rebuildStep(): void {
      const now = stateOf();
      if (now.analyzer !== analyzerVersion) {
        words.clear.run();
        trigrams.clear.run();
        setState.run({ analyzer: analyzerVersion, entity: 0, observation: 0 });
      } else if (now.entity !== null) build('entity', now);
      else if (now.observation !== null) build('observation', now);
    },
  };
}

const liveBetween = (table: string) =>
  `SELECT * FROM ${table} WHERE id > ? AND id <= ? AND valid_to IS NULL ORDER BY id`;

/** What is being built has only the rows up to one; it will find the others by itself. */
const reachedBy = (reached: number | null) => (row: { readonly id: number }) =>
  reached === null || row.id <= reached;

function* inAll<Item>(...all: readonly Iterable<Item>[]): Iterable<Item> {
  for (const items of all) yield* items;
}

interface Hit {
  readonly rowid: number;
  score: number;
}

/** Of equal scores. */
const olderFirst = (x: Scored, y: Scored) => y.score - x.score || x.id - y.id;

type Node = Rows['entity'] | Rows['observation'];

const textsOf = (row: Node) => ('name' in row ? [row.name, row.type] : [row.text]);
const entryOf = (row: Node): Entry =>
  'name' in row
    ? { rowid: -row.id, name: row.name, type: row.type, text: '' }
    : { rowid: row.id, name: '', type: '', text: row.text };

const split = (text: string) => terms(text).join(' ');
/** Lower-cased as it is written, and composed (NFC) where that is another text. */
function formsOf(text: string): string[] {
  const lower = text.toLowerCase();
  const other = composed(lower);
  return other === lower ? [lower] : [lower, other];
}
const lettersIn = (text: string) => Array.from(text);
const contains = (text: string, forms: readonly string[]) =>
  formsOf(text).some((own) => forms.some((form) => own.includes(form)));
/** Trigrams over the seams between texts do no harm: what has them is read before it counts. */
const lettersOf = ({ name, type, text }: Texts) =>
  formsOf([name, type, text].filter(Boolean).join(' ')).join(' ');

/** Some of the trigrams of a query, all of which a row must have. */
function trigramsOf(letters: readonly string[]): string {
  const last = letters.length - 3;
  const step = Math.max(1, last / (mostTrigrams - 1));
  const parts: string[] = [];
  for (let at = 0; at <= last + 0.5; at += step) {
    const start = Math.min(Math.round(at), last);
    parts.push(quoted(letters.slice(start, start + 3).join('')));
  }
  return parts.join(' AND ');
}

const quoted = (term: string) => `"${term.replaceAll('"', '""')}"`;
