/**
 * Retrieval without a model, in three steps:
 *  1. every memory that has a word of the query is scored by BM25;
 *  2. the best hits lend part of their score to the memories around them in the same session, because an answer often
 *     follows the question that has its words (what several lend adds up, as the root of the sum of squares);
 *  3. what the query says about speaker and date multiplies the score, and a question for a time prefers what tells one.
 * A time in the query is a word too: the memories of that time have it.
 * The weights are round numbers from flat optima; the bench suite `retrieval` measures them.
 */
import type { Database } from '#runtime/database.ts';
import type { Steps } from '#runtime/turns.ts';

import type { Rows } from '../journal.ts';
import { keysPerStep, rowsPerStep } from '../limits.ts';
import type { MemoryIndex, Scope } from './memory-index.ts';
import { decoded, type PostingList } from './postings.ts';
import { byScore, scoreTable, type Scored } from './score-table.ts';
import type { Period } from './dates.ts';
import { parseQuery, tellsTime, type Query } from './text.ts';

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
  /** Those nearest in meaning, the best first, from a scale of their own. */
  near?: readonly Scored[] | undefined;
}

export interface SearchResult {
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
const lenders = 30;
// A borrowed word counts less where the memory has the word itself.
const repeatedWord = 0.5;

// A speaker's name asks for what they said, and less for memories that mention them.
const speakerBoost = 2;
const nameWeight = 0.25;
const dayBoost = 3;
const periodBoost = 2;
// What being of that time adds, beside a word that is as rare.
const timeWeight = 0.25;
const tellsTimeBoost = 1.5;
// Meaning is one more word of the query, of this share of what its words are worth together.
const meaningWeight = 0.2;
// A question has the words of its answer, seldom the answer.
const questionWeight = 0.8;

// Rare words decide: beyond this size of posting lists, more than a million postings, common words are left out.
const mostPostingBytes = 4_000_000;
// A time filter is applied while walking down the ranking. In a large scope, where the walk to the few memories
// of a time could be long, their ids are read first.
const largeScope = 10_000;
const narrowTime = 100_000;
// A time of more memories brings none of its own; it still counts for those that words find.
const mostInPeriods = 2_000;
// "In May" is that of each of the last years that have memories.
const mostYears = 5;
// A text that tells when something was does so early.
const readForTime = 1_000;

/** The memories that have one word of the query, and what the word alone is worth to each. */
interface Match {
  readonly ids: Float64Array;
  readonly scores: Float64Array;
}

/** Where a memory stands in its session. */
type Place = Pick<Rows['memory'], 'memory_id' | 'project' | 'session'>;

interface Row extends Place {
  id: number;
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
  tellsTime: boolean;
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
  readonly speakers: ReadonlyMap<string, readonly Float64Array[]>;
  /** By word of the query, each in parts. */
  readonly matches: readonly Match[][];
  filter: RowFilter;
}

export type MemorySearch = ReturnType<typeof openMemorySearch>;

export function openMemorySearch(database: Database, { scopeOf, postings }: MemoryIndex) {
  const rowsOf = database.prepare<[RowFilter & { ids: string }], Row>(
    `SELECT memory.id, memory_id, project, session, occurred_at, substr(rtrim(text), -1) IN ('?', '？') AS asks
     FROM json_each(@ids) AS candidate CROSS JOIN memory ON memory.id = candidate.value
     WHERE valid_to IS NULL AND (expires_at IS NULL OR expires_at > @nowIso)
       AND (@since IS NULL OR occurred_at >= @since) AND (@until IS NULL OR occurred_at < @until)
       AND NOT EXISTS (SELECT 1 FROM json_each(@tags) AS wanted
                       WHERE wanted.value NOT IN (SELECT value FROM json_each(memory.tags)))`,
  );
  const inTime = database.prepare<
    [{ since: string; until: string; at: string; id: number; limit: number }],
    { id: number; occurred_at: string }
  >(
    `SELECT id, occurred_at FROM memory
     WHERE occurred_at >= :since AND occurred_at < :until AND (occurred_at, id) > (:at, :id)
     ORDER BY occurred_at, id LIMIT :limit`,
  );
  const ofTime = database
    .prepare<[string, string, number], number>(
      'SELECT id FROM memory WHERE valid_to IS NULL AND occurred_at >= ? AND occurred_at < ? LIMIT ?',
    )
    .pluck();
  const ofProjectAndTime = database
    .prepare<[string, string, string, number], number>(
      `SELECT id FROM memory
       WHERE valid_to IS NULL AND project = ? AND occurred_at >= ? AND occurred_at < ? LIMIT ?`,
    )
    .pluck();
  const lastTime = database
    .prepare<[string], string>(
      'SELECT max(occurred_at) FROM memory WHERE valid_to IS NULL AND occurred_at < ?',
    )
    .pluck();
  const textsOf = database.prepare<[{ ids: string }], { id: number; text: string }>(
    `SELECT memory.id, substr(text, 1, ${readForTime}) AS text
     FROM json_each(@ids) AS candidate CROSS JOIN memory ON memory.id = candidate.value`,
  );
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

  function* searchMemories(request: SearchRequest): Steps<SearchResult> {
    const { project, tags = [], since = null, until = null, limit, offset = 0, nowIso } = request;
    const scope = scopeOf(project);
    if (scope.memories === 0) return { hits: [], hasMore: false };
    const filter = { nowIso, since, until, tags: JSON.stringify(tags) };
    const query = parseQuery(request.query, { nowIso, years: lastYears });
    const speakers = yield* speakersIn(query, scope);
    const matches = yield* matchesOf(query, speakers, scope);
    if (query.periods.length > 0) matches.push(yield* matchesInTime(query.periods, project, scope));
    if (request.near && request.near.length > 0) matches.push([yield* matchInMeaning(request.near, matches)]);
    const asked = { query, speakers, matches, filter };

    const end = offset + limit;
    const admitted = yield* admittedBy(tags, filter, scope);
    const hits = yield* hitsOf(asked, admitted, Math.max(lenders, end + 1));
    const leading = yield* inContext(hits.slice(0, lenders), asked);
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

  function* idsOf(term: string, { from, to }: Scope): Steps<Float64Array[]> {
    const list = yield* postings.read(term, from, to);
    const parts: Float64Array[] = [];
    for (const { ids } of decoded(list)) {
      parts.push(ids);
      yield;
    }
    return parts;
  }

  function* speakersIn(query: Query, scope: Scope): Steps<Map<string, Float64Array[]>> {
    const speakers = new Map<string, Float64Array[]>();
    const keys = [...query.words.values()].map((word) => `@${word}`);
    const present = new Set(postings.present(keys, scope.from, scope.to));
    for (const [term, word] of query.words) {
      if (present.has(`@${word}`)) speakers.set(term, yield* idsOf(`@${word}`, scope));
    }
    return speakers;
  }

  function* matchesOf(query: Query, speakers: ReadonlyMap<string, unknown>, scope: Scope): Steps<Match[][]> {
    // Nothing but names asks for all that these speakers said.
    const isAllNames = speakers.size === query.words.size;
    const keys = isAllNames ? [...query.words.values()].map((word) => `@${word}`) : [];
    const lists: { readonly term: string; readonly list: PostingList }[] = [];
    let tooLong: string | undefined;
    for (const term of [...query.words.keys(), ...keys]) {
      const list = yield* postings.read(term, scope.from, scope.to, mostPostingBytes);
      if (!list) tooLong ??= term;
      else if (list.bytes > 0) lists.push({ term, list });
    }
    if (lists.length === 0 && tooLong !== undefined) {
      const list = yield* postings.read(tooLong, scope.from, scope.to);
      if (list) lists.push({ term: tooLong, list });
    }
    const averageLength = scope.terms / scope.memories;

    const matches: Match[][] = [];
    let bytes = 0;
    for (const { term, list } of lists.toSorted((x, y) => x.list.bytes - y.list.bytes)) {
      bytes += list.bytes;
      if (bytes > mostPostingBytes && matches.length > 0) break;
      matches.push(yield* matchOf(list, scope.memories, averageLength, speakers.has(term) ? nameWeight : 1));
    }
    return matches;
  }

  function lastYears(): number[] {
    const years: number[] = [];
    for (let end = '~'; years.length < mostYears;) {
      const last = lastTime.get(end);
      if (!last) break;
      end = last.slice(0, 4);
      years.push(Number(end));
    }
    return years;
  }

  /** The memories of some times, as of one more word of the query. */
  function* matchesInTime(
    periods: readonly Period[],
    project: string | undefined,
    { memories }: Scope,
  ): Steps<Match[]> {
    const found = new Set<number>();
    for (const { from, until } of periods) {
      const most = mostInPeriods - found.size + 1;
      const ids =
        project === undefined
          ? ofTime.all(from, until, most)
          : ofProjectAndTime.all(project, from, until, most);
      for (const id of ids) found.add(id);
      if (found.size > mostInPeriods) return [];
      yield;
    }
    const ids = Float64Array.from(found).toSorted();
    const score = Math.log(1 + (memories - ids.length + 0.5) / (ids.length + 0.5)) * timeWeight;
    return [{ ids, scores: new Float64Array(ids.length).fill(score) }];
  }

  /** The best memories by their own words, in order. */
  function* hitsOf(
    { matches, speakers, filter }: Asked,
    isAdmitted: ((id: number) => boolean) | undefined,
    wanted: number,
  ): Steps<Hit[]> {
    const table = scoreTable();
    for (const { ids, scores } of matches.flat()) {
      ids.forEach((id, i) => table.add(id, scores[i] ?? 0));
      yield;
    }
    for (const ids of [...speakers.values()].flat()) {
      ids.forEach((id) => table.multiply(id, speakerBoost));
      yield;
    }

    for (let depth = wanted; ; depth *= 4) {
      const best = yield* table.highest({ count: depth, isAdmitted });
      const rows = yield* rowsById(
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

  /** Whether an id passes each filter selective enough to be worth its list; `undefined` where all may. */
  function* admittedBy(
    tags: readonly string[],
    filter: RowFilter,
    scope: Scope,
  ): Steps<((id: number) => boolean) | undefined> {
    const sets: Set<number>[] = [];
    for (const tag of tags) {
      const tagged = new Set<number>();
      for (const ids of yield* idsOf(`#${tag}`, scope)) {
        ids.forEach((id) => tagged.add(id));
        yield;
      }
      sets.push(tagged);
    }
    const inTime = yield* idsInTime(filter, scope);
    if (inTime) sets.push(inTime);
    return sets.length === 0 ? undefined : (id) => sets.every((ids) => ids.has(id));
  }

  function* idsInTime({ since, until }: RowFilter, { memories }: Scope): Steps<Set<number> | undefined> {
    if ((since === null && until === null) || memories < largeScope) return undefined;
    const ids = new Set<number>();
    const period = { since: since ?? '', until: until ?? '~', limit: keysPerStep };
    for (let at = '', id = 0; ;) {
      const some = inTime.all({ ...period, at, id });
      for (const row of some) ids.add(row.id);
      if (ids.size >= narrowTime) return undefined;
      const last = some.at(-1);
      if (!last || some.length < keysPerStep) return ids;
      [at, id] = [last.occurred_at, last.id];
      yield;
    }
  }

  function* rowsById(ids: readonly number[], filter: RowFilter): Steps<Map<number, Row>> {
    const rows = new Map<number, Row>();
    for (let at = 0; at < ids.length; at += rowsPerStep) {
      if (at > 0) yield;
      for (const row of rowsOf.all({ ...filter, ids: JSON.stringify(ids.slice(at, at + rowsPerStep)) }))
        rows.set(row.id, row);
    }
    return rows;
  }

  /** The hits and their neighbours, ranked by their own words, those of their neighbours, speaker and date. */
  function* inContext(hits: Hit[], { matches, speakers, query, filter }: Asked): Steps<Scored[]> {
    const loans: ReturnType<typeof loansOf> = [];
    for (const { row } of hits) {
      loans.push(...loansOf(row));
      yield;
    }
    const known = new Map(hits.map(({ row }) => [row.id, row]));
    const others = new Set(loans.map(({ to }) => to).filter((id) => !known.has(id)));
    const neighbours = yield* rowsById([...others], filter);
    const rows = [...known.values(), ...neighbours.values()];

    const candidates = new Map<number, Candidate>(
      rows.map((row) => [
        row.id,
        {
          row,
          own: matches.map(() => 0),
          borrowed: matches.map(() => 0),
          isNamedSpeaker: false,
          tellsTime: false,
        },
      ]),
    );
    for (const [word, parts] of matches.entries()) {
      for (const { ids, scores } of parts) {
        ids.forEach((id, i) => {
          const candidate = candidates.get(id);
          if (candidate) candidate.own[word] = scores[i] ?? 0;
        });
        yield;
      }
    }
    for (const ids of [...speakers.values()].flat()) {
      ids.forEach((id) => {
        const candidate = candidates.get(id);
        if (candidate) candidate.isNamedSpeaker = true;
      });
      yield;
    }
    if (query.asksWhen) {
      for (const { id, text } of textsOf.all({ ids: JSON.stringify([...candidates.keys()]) })) {
        const candidate = candidates.get(id);
        if (candidate) candidate.tellsTime = tellsTime(text);
      }
      yield;
    }
    for (const { from, to, share } of loans) {
      const borrower = candidates.get(to);
      const lent = candidates.get(from)?.own.map((score) => score * share);
      if (borrower && lent)
        borrower.borrowed = borrower.borrowed.map((score, word) => Math.hypot(score, lent[word] ?? 0));
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
    const forward = asks ? lentByQuestion : lentForward;
    const { before, after } = around({ project, session, memory_id: place }, lentBackward.length);
    return [
      ...after.map((to, i) => ({ from: id, to, share: forward[i] ?? 0 })),
      ...before.map((to, i) => ({ from: id, to, share: lentBackward[i] ?? 0 })),
    ];
  }

  /** Ids of the rows before and after a memory in its session, the nearest first. */
  function around({ project, session, memory_id: place }: Place, most: number) {
    if (session === null) return { before: [], after: [] };
    return {
      before: idsBefore.all(project, session, place, most),
      after: idsAfter.all(project, session, place, most),
    };
  }

  return { searchMemories, around };
}

/** A list with the scores of its postings, in parts. */
function* matchOf(list: PostingList, memories: number, averageLength: number, share: number): Steps<Match[]> {
  const parts = [];
  let frequency = 0;
  for (const part of decoded(list)) {
    parts.push(part);
    frequency += part.ids.length;
    yield;
  }
  const rarity = Math.log(1 + (memories - frequency + 0.5) / (frequency + 0.5));
  const weight = rarity * (k1 + 1) * share;
  const matches: Match[] = [];
  for (const { ids, counts, lengths } of parts) {
    const scores = new Float64Array(ids.length);
    counts.forEach((count, i) => {
      const relativeLength = (lengths[i] ?? 0) / averageLength;
      scores[i] = (weight * count) / (count + k1 * (1 - b + b * relativeLength));
    });
    matches.push({ ids, scores });
    yield;
  }
  return matches;
}

/** Whatever the scale of a model, the nearest gets all of the weight, and the last nothing. */
function* matchInMeaning(near: readonly Scored[], matches: readonly Match[][]): Steps<Match> {
  let worth = 0;
  for (const parts of matches) {
    let most = 0;
    for (const { scores } of parts) {
      for (const score of scores) most = Math.max(most, score);
      yield;
    }
    worth += most;
  }
  const best = near[0]?.score ?? 0;
  const least = near.at(-1)?.score ?? 0;
  const weight = (worth || 1) * meaningWeight;
  return {
    ids: Float64Array.from(near, ({ id }) => id),
    scores: Float64Array.from(near, ({ score }) =>
      best > least ? (weight * (score - least)) / (best - least) : weight,
    ),
  };
}

function scoreOf({ row, own, borrowed, isNamedSpeaker, tellsTime }: Candidate, query: Query): number {
  let score = 0;
  own.forEach((ownScore, word) => {
    score += ownScore + (borrowed[word] ?? 0) * (ownScore > 0 ? repeatedWord : 1);
  });
  return (
    score *
    (isNamedSpeaker ? speakerBoost : 1) *
    boostOfTime(row.occurred_at, query.periods) *
    (tellsTime ? tellsTimeBoost : 1) *
    (row.asks ? questionWeight : 1)
  );
}

function boostOfTime(at: string, periods: readonly Period[]): number {
  const within = periods.filter(({ from, until }) => at >= from && at < until);
  if (within.length === 0) return 1;
  return within.some(({ isDay }) => isDay) ? dayBoost : periodBoost;
}
