/**
 * Retrieval without a model, in three steps:
 *  1. every memory that has a word of the query is scored by BM25;
 *  2. the best hits lend part of their score to the memories around them in the same session, because an answer often
 *     follows the question that has its words;
 *  3. what the query says about speaker and date multiplies the score.
 * The weights are round numbers from flat optima; the bench suite `retrieval` measures them.
 */
import type { Database } from '#runtime/database.ts';

import { openPostingLists, type Posting } from './postings.ts';
import { wordCost } from '../limits.ts';
import { byScore, scoreTable, type Scored } from './score-table.ts';
import { parseQuery, terms, words, type Query } from './text.ts';

export interface IndexedMemory {
  id: number;
  text: string;
  project: string | null;
  speaker: string | null;
  tags: readonly string[];
}

export interface SearchRequest {
  query: string;
  project?: string | undefined;
  /** A memory has to carry all of them. */
  tags?: readonly string[] | undefined;
  /** since <= occurred_at < until */
  since?: string | undefined;
  until?: string | undefined;
  limit: number;
  offset?: number | undefined;
  nowIso: string;
}

/** What a change does to the index of a project. */
interface ScopeUpdate {
  memories: number;
  terms: number;
  readonly lists: Map<string, { readonly removed: number[]; readonly added: Posting[] }>;
}

function listOf({ lists }: ScopeUpdate, term: string) {
  let list = lists.get(term);
  if (!list) lists.set(term, (list = { removed: [], added: [] }));
  return list;
}

interface ProjectCount {
  /** Empty for the memories without one. */
  project: string;
  count: number;
}

interface SearchResult {
  hits: Scored[];
  hasMore: boolean;
}

// BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with the
// parameters that the search toolkit Anserini has as defaults.
const k1 = 0.9;
const b = 0.4;

// The share of a word's score that reaches the first, second and third memory around the one that has it:
// more to those after it than to those before, and all of it to the reply to a question.
const lentByQuestion = [1, 0.8, 0.64];
const lentForward = [0.8, 0.64, 0.51];
const lentBackward = [0.7, 0.49, 0.34];
const lenders = 50;
// A borrowed word counts less where the memory has the word itself.
const repeatedWord = 0.5;

// A speaker's name asks for what they said, and less for memories that mention them.
const speakerBoost = 2;
const nameWeight = 0.25;
const periodBoost = 2;
// A question has the words of its answer, seldom the answer.
const questionWeight = 0.8;

// Rare words decide: beyond this size of posting lists, more than a million postings, common words are left out.
const mostPostingBytes = 4_000_000;
// A time filter is applied while walking down the ranking. In a large scope, where the walk to the few memories
// of a time could be long, their ids are read first.
const largeScope = 10_000;
const narrowTime = 100_000;

const expiredPerChange = 20;
const expiredCharactersPerChange = 2_000;

/** The scope of a search: one project, or all. Word statistics are those of the scope. */
interface Scope {
  id: number | null;
  memories: number;
  terms: number;
}

/** The memories that have one word of the query, and what the word alone is worth to each. */
interface Match {
  ids: Float64Array;
  scores: Float64Array;
}

interface Row {
  id: number;
  memory_id: number;
  project: string | null;
  session: string | null;
  occurred_at: string;
  asks: number;
}

interface Hit {
  row: Row;
  score: number;
}

interface Candidate {
  row: Row;
  /** By word of the query, as in the list of matches. */
  own: number[];
  borrowed: number[];
  isNamedSpeaker: boolean;
}

interface RowFilter {
  nowIso: string;
  since: string | null;
  until: string | null;
  tags: string;
}

interface Asked {
  query: Query;
  /** The memories of each speaker that the query names, by the term their name became. */
  speakers: Map<string, Float64Array>;
  matches: Match[];
  filter: RowFilter;
}

export type MemorySearch = ReturnType<typeof openMemorySearch>;

export function openMemorySearch(database: Database) {
  const postings = openPostingLists(database);
  const countIn = database
    .prepare<[{ project: string; memories: number; terms: number }], number>(
      `INSERT INTO memory_scope (project, memories, terms) VALUES (:project, :memories, :terms)
       ON CONFLICT (project) DO UPDATE SET memories = memories + :memories, terms = terms + :terms RETURNING id`,
    )
    .pluck();
  const scopeOf = database.prepare<[string], Scope>(
    'SELECT id, memories, terms FROM memory_scope WHERE project = ?',
  );
  const allScopes = database.prepare<[], Scope>(
    'SELECT NULL AS id, total(memories) AS memories, total(terms) AS terms FROM memory_scope',
  );
  const rowsOf = database.prepare<[RowFilter & { ids: string }], Row>(
    `SELECT memory.id, memory_id, project, session, occurred_at, substr(rtrim(text), -1) IN ('?', '？') AS asks
     FROM json_each(@ids) AS candidate CROSS JOIN memory ON memory.id = candidate.value
     WHERE valid_to IS NULL AND (expires_at IS NULL OR expires_at > @nowIso)
       AND (@since IS NULL OR occurred_at >= @since) AND (@until IS NULL OR occurred_at < @until)
       AND NOT EXISTS (SELECT 1 FROM json_each(@tags) AS wanted
                       WHERE wanted.value NOT IN (SELECT value FROM json_each(memory.tags)))`,
  );
  const idsInTime = database
    .prepare<[RowFilter], number>(
      `SELECT id FROM memory
       WHERE occurred_at >= coalesce(@since, '') AND occurred_at < coalesce(@until, '~') LIMIT ${narrowTime}`,
    )
    .pluck();
  const neighbours = 'SELECT id FROM memory WHERE project IS ? AND session = ? AND valid_to IS NULL';
  const idsBefore = database
    .prepare<[string | null, string, number, number], number>(
      `${neighbours} AND memory_id < ? ORDER BY memory_id DESC LIMIT ?`,
    )
    .pluck();
  const idsAfter = database
    .prepare<[string | null, string, number, number], number>(
      `${neighbours} AND memory_id > ? ORDER BY memory_id LIMIT ?`,
    )
    .pluck();

  const expired = database.prepare<[string, number], Omit<IndexedMemory, 'tags'> & { tags: string }>(
    `SELECT id, text, project, speaker, tags FROM memory
     WHERE valid_to IS NULL AND expires_at IS NOT NULL AND is_indexed = 1 AND expires_at <= ?
     ORDER BY expires_at LIMIT ?`,
  );
  const unmark = database.prepare<[number]>('UPDATE memory SET is_indexed = 0 WHERE id = ?');

  // What the lists count, without reading the memories.
  const counts = database.prepare<[string], ProjectCount>(
    `WITH expired AS (
       SELECT coalesce(project, '') AS project, count(*) AS count FROM memory
       WHERE valid_to IS NULL AND expires_at IS NOT NULL AND is_indexed = 1 AND expires_at <= ? GROUP BY 1)
     SELECT project, memories - coalesce(expired.count, 0) AS count
     FROM memory_scope LEFT JOIN expired USING (project)
     WHERE memories > coalesce(expired.count, 0) ORDER BY count DESC, project`,
  );
  const countsByProject = (nowIso: string) => counts.all(nowIso);

  /**
   * What is to be written, in the transaction of the rows, for those that ended, as they were indexed, and those that began.
   * Both by ascending id.
   */
  function prepareIndex(removed: readonly IndexedMemory[], added: readonly IndexedMemory[]) {
    const scopes = new Map<string, ScopeUpdate>();
    const scopeOf = ({ project }: IndexedMemory) => {
      const name = project ?? '';
      let scope = scopes.get(name);
      if (!scope) scopes.set(name, (scope = { memories: 0, terms: 0, lists: new Map() }));
      return scope;
    };
    for (const memory of removed) {
      const { counts, length } = countTerms(memory);
      const scope = scopeOf(memory);
      scope.memories -= 1;
      scope.terms -= length;
      for (const term of counts.keys()) listOf(scope, term).removed.push(memory.id);
    }
    for (const memory of added) {
      const { counts, length } = countTerms(memory);
      const scope = scopeOf(memory);
      scope.memories += 1;
      scope.terms += length;
      for (const [term, count] of counts) listOf(scope, term).added.push({ id: memory.id, count, length });
    }
    return {
      cost: scopes.values().reduce((sum, { lists }) => sum + lists.size, 0) * wordCost,
      write() {
        for (const [project, { memories, terms, lists }] of scopes) {
          const id = countIn.get({ project, memories, terms }) ?? 0;
          // In the order of the table, so that one page is written after the other.
          for (const [term, list] of [...lists].toSorted(byTerm)) postings.update(term, id, list);
        }
      },
    };
  }

  /**
   * Takes some of what has expired by now out of the lists, oldest first: few enough that no write is held up, and
   * more than one write adds.
   */
  function unindexExpired(nowIso: string): void {
    const rows = expired.all(nowIso, expiredPerChange);
    let characters = 0;
    const end = rows.findIndex(({ text }) => (characters += text.length) > expiredCharactersPerChange);
    const due = rows.slice(0, end < 0 ? rows.length : end + 1).toSorted((one, other) => one.id - other.id);
    if (due.length === 0) return;
    prepareIndex(
      due.map((row) => ({ ...row, tags: JSON.parse(row.tags) as string[] })),
      [],
    ).write();
    for (const { id } of due) unmark.run(id);
  }

  function searchMemories(request: SearchRequest): SearchResult {
    const { project, tags = [], since = null, until = null, limit, offset = 0, nowIso } = request;
    const scope = project === undefined ? allScopes.get() : scopeOf.get(project);
    if (!scope) return { hits: [], hasMore: false };
    const filter = { nowIso, since, until, tags: JSON.stringify(tags) };
    const query = parseQuery(request.query);
    const speakers = speakersIn(query, scope);
    const matches = matchesOf(query, speakers, scope);

    const asked = { query, speakers, matches, filter };

    const end = offset + limit;
    const hits = hitsOf(asked, admittedBy(tags, filter, scope), Math.max(lenders, end + 1));
    const leading = inContext(hits.slice(0, lenders), asked);
    // Hits too weak to lend follow in their own order, capped so that scores descend.
    const seen = new Set(leading.map(({ id }) => id));
    const cap = leading.at(-1)?.score ?? 0;
    const following = hits
      .slice(lenders)
      .filter(({ row }) => !seen.has(row.id))
      .map(({ row, score }) => ({ id: row.id, score: Math.min(score, cap) }));

    const ranked = [...leading, ...following];
    return { hits: ranked.slice(offset, end), hasMore: ranked.length > end };
  }

  function speakersIn(query: Query, scope: Scope): Map<string, Float64Array> {
    const named = [...query.words].map(
      ([term, word]) => [term, postings.read(`@${word}`, scope.id).decode().ids] as const,
    );
    return new Map(named.filter(([, ids]) => ids.length > 0));
  }

  function matchesOf(query: Query, speakers: Map<string, Float64Array>, scope: Scope): Match[] {
    // Nothing but names asks for all that these speakers said.
    const isAllNames = speakers.size === query.words.size;
    const keys = isAllNames ? [...query.words.values()].map((word) => `@${word}`) : [];
    const lists = [...query.words.keys(), ...keys]
      .map((term) => ({ term, list: postings.read(term, scope.id) }))
      .filter(({ list }) => list.bytes > 0)
      .toSorted((x, y) => x.list.bytes - y.list.bytes);
    const averageLength = scope.terms / scope.memories;

    let bytes = 0;
    return lists
      .filter(({ list }, i) => (bytes += list.bytes) <= mostPostingBytes || i === 0)
      .map(({ term, list }) => {
        const { ids, counts, lengths } = list.decode();
        const rarity = Math.log(1 + (scope.memories - ids.length + 0.5) / (ids.length + 0.5));
        const weight = rarity * (k1 + 1) * (speakers.has(term) ? nameWeight : 1);
        const scores = new Float64Array(ids.length);
        counts.forEach((count, i) => {
          const relativeLength = (lengths[i] ?? 0) / averageLength;
          scores[i] = (weight * count) / (count + k1 * (1 - b + b * relativeLength));
        });
        return { ids, scores };
      });
  }

  /** The ids that pass each filter selective enough to be worth its list. */
  function admittedBy(tags: readonly string[], filter: RowFilter, scope: Scope): Set<number>[] {
    const tagged = tags.map((tag) => new Set(postings.read(`#${tag}`, scope.id).decode().ids));
    if ((filter.since === null && filter.until === null) || scope.memories < largeScope) return tagged;
    const inTime = idsInTime.all(filter);
    return inTime.length < narrowTime ? [...tagged, new Set(inTime)] : tagged;
  }

  /** The best memories by their own words, in order. */
  function hitsOf({ matches, speakers, filter }: Asked, admitted: Set<number>[], wanted: number): Hit[] {
    const table = scoreTable();
    for (const { ids, scores } of matches) ids.forEach((id, i) => table.add(id, scores[i] ?? 0));
    for (const ids of speakers.values()) ids.forEach((id) => table.multiply(id, speakerBoost));

    for (let depth = wanted; ; depth *= 4) {
      const best = table.highest(depth, admitted);
      const rows = rowsById(
        best.map(({ id }) => id),
        filter,
      );
      if (rows.size >= wanted || best.length < depth) {
        return best
          .flatMap(({ id, score }) => {
            const row = rows.get(id);
            return row ? [{ row, score }] : [];
          })
          .slice(0, wanted);
      }
    }
  }

  function rowsById(ids: number[], filter: RowFilter): Map<number, Row> {
    const rows = rowsOf.all({ ...filter, ids: JSON.stringify(ids) });
    return new Map(rows.map((row) => [row.id, row]));
  }

  /** The hits and their neighbours, ranked by their own words, those of their neighbours, speaker and date. */
  function inContext(hits: Hit[], { matches, speakers, query, filter }: Asked): Scored[] {
    const loans = hits.flatMap(({ row }) => loansOf(row));
    const known = new Map(hits.map(({ row }) => [row.id, row]));
    const others = new Set(loans.map(({ to }) => to).filter((id) => !known.has(id)));
    const rows = [...known.values(), ...rowsById([...others], filter).values()];

    const candidates = new Map<number, Candidate>(
      rows.map((row) => [
        row.id,
        { row, own: matches.map(() => 0), borrowed: matches.map(() => 0), isNamedSpeaker: false },
      ]),
    );
    for (const [word, { ids, scores }] of matches.entries()) {
      ids.forEach((id, i) => {
        const candidate = candidates.get(id);
        if (candidate) candidate.own[word] = scores[i] ?? 0;
      });
    }
    for (const ids of speakers.values()) {
      ids.forEach((id) => {
        const candidate = candidates.get(id);
        if (candidate) candidate.isNamedSpeaker = true;
      });
    }
    for (const { from, to, share } of loans) {
      const borrower = candidates.get(to);
      const lent = candidates.get(from)?.own.map((score) => score * share);
      if (borrower && lent)
        borrower.borrowed = borrower.borrowed.map((score, word) => Math.max(score, lent[word] ?? 0));
    }
    return [...candidates.values()]
      .map((candidate) => ({ id: candidate.row.id, score: scoreOf(candidate, query) }))
      .toSorted(byScore);
  }

  function loansOf({
    id,
    memory_id: place,
    project,
    session,
    asks,
  }: Row): { from: number; to: number; share: number }[] {
    if (session === null) return [];
    const forward = asks ? lentByQuestion : lentForward;
    const after = idsAfter.all(project, session, place, forward.length);
    const before = idsBefore.all(project, session, place, lentBackward.length);
    return [
      ...after.map((to, i) => ({ from: id, to, share: forward[i] ?? 0 })),
      ...before.map((to, i) => ({ from: id, to, share: lentBackward[i] ?? 0 })),
    ];
  }

  return { prepareIndex, unindexExpired, searchMemories, countsByProject };
}

function scoreOf({ row, own, borrowed, isNamedSpeaker }: Candidate, query: Query): number {
  let score = 0;
  own.forEach((ownScore, word) => {
    score += ownScore + (borrowed[word] ?? 0) * (ownScore > 0 ? repeatedWord : 1);
  });
  const isInPeriod = query.periods.some(
    ({ from, until }) => row.occurred_at >= from && row.occurred_at < until,
  );
  return (
    score *
    (isNamedSpeaker ? speakerBoost : 1) *
    (isInPeriod ? periodBoost : 1) *
    (row.asks ? questionWeight : 1)
  );
}

function byTerm([x]: readonly [string, unknown], [y]: readonly [string, unknown]): number {
  return x < y ? -1 : Number(x > y);
}

/** What a memory is found by; only the words of its text make its length. */
export function countTerms({ text, speaker, tags }: IndexedMemory): {
  counts: Map<string, number>;
  length: number;
} {
  const inText = terms(text);
  const counts = new Map<string, number>();
  for (const term of inText) counts.set(term, (counts.get(term) ?? 0) + 1);
  for (const key of [...words(speaker ?? '').map((word) => `@${word}`), ...tags.map((tag) => `#${tag}`)])
    counts.set(key, 1);
  return { counts, length: inText.length };
}
