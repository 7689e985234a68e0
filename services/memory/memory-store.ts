/** Memories: texts with project, session, speaker and time. The only SQL that reads them, except for the search. */
import type { Database, Statement } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';

import type { Change, Journal, Rows } from './journal.ts';
import { answerTokens, bytesOf, bytesPerToken, firstBytes, rowsPerStep } from './limits.ts';
import { composed } from './names.ts';
import type { MemorySearch } from './search/memory-search.ts';
import type { Scored } from './search/score-table.ts';
import { nowIso } from '#runtime/time.ts';
import type { Steps } from '#runtime/turns.ts';

export interface Memory {
  id: number;
  text: string;
  /** Only where an answer had no room for all of the text. */
  text_length?: number;
  project?: string;
  session?: string;
  speaker?: string;
  tags: string[];
  occurred_at: string;
  created_at: string;
  expires_at?: string;
}

export interface NewMemory {
  readonly text: string;
  readonly project?: string | undefined;
  readonly session?: string | undefined;
  readonly speaker?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly occurred_at?: string | undefined;
  /** Seconds from now. */
  readonly ttl?: number | undefined;
}

export type MemoryUpdate = { readonly [Field in keyof NewMemory]?: NewMemory[Field] | undefined };

export interface MemoryFilter {
  readonly project?: string | undefined;
  readonly session?: string | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly since?: string | undefined;
  readonly until?: string | undefined;
}

const listConditions: { readonly [Name in Exclude<keyof MemoryFilter, 'tags'>]-?: string } = {
  project: 'project = :project',
  session: 'session = :session',
  since: 'occurred_at >= :since',
  until: 'occurred_at < :until',
};

interface ListedRow {
  id: number;
  memory_id: number;
  occurred_at: string;
  is_wanted: number;
}

/** What an answer has room for. */
interface SearchPage {
  readonly offset: number;
  readonly limit: number;
  readonly bytes: number;
  readonly now: string;
}

/** A turn beside one that was found. */
export type Neighbour = Pick<Memory, 'id' | 'text' | 'speaker'>;
export type Found = Memory & { readonly score: number; readonly neighbours?: Neighbour[] };

/** Where a list goes on: the time and the id of the last memory of the answer before. */
export type MemoryPosition = readonly [occurredAt: string, id: number];

export type MemoryStore = ReturnType<typeof openMemoryStore>;

export function openMemoryStore(
  database: Database,
  journal: Journal,
  { searchMemories, around }: MemorySearch,
) {
  const prepared = new Map<string, Statement<ListedRow>>();
  /** With those conditions alone that are asked for, so that an index can answer it. Each combination is prepared once. */
  function listed(filter: MemoryFilter): Statement<ListedRow> {
    const where = Object.entries(listConditions)
      .filter(([name]) => filter[name as keyof MemoryFilter] !== undefined)
      .map(([, condition]) => `AND ${condition}`)
      .join(' ');
    const statement =
      prepared.get(where) ??
      database.prepare<unknown[], ListedRow>(
        `SELECT id, memory_id, occurred_at, (expires_at IS NULL OR expires_at > :nowIso) AND NOT EXISTS (
         SELECT 1 FROM json_each(:tags) AS wanted
         WHERE wanted.value NOT IN (SELECT value FROM json_each(memory.tags))) AS is_wanted
       FROM memory WHERE valid_to IS NULL AND (occurred_at, memory_id) < (:occurredAt, :id) ${where}
       ORDER BY occurred_at DESC, memory_id DESC LIMIT :most`,
      );
    prepared.set(where, statement);
    return statement;
  }
  const version = database.prepare<[number], Rows['memory']>('SELECT * FROM memory WHERE id = ?');

  function row(id: number, now: string): Rows['memory'] {
    const found = journal.live('memory', id);
    if (!found || (found.expires_at !== null && found.expires_at <= now)) {
      throw new ToolError('not_found', `There is no memory ${id}.`, { hint: 'Call search_memories.' });
    }
    return found;
  }

  return {
    add(change: Change, { text, project, session, speaker, tags, occurred_at: at, ttl }: NewMemory): Memory {
      const now = nowIso(change.author);
      return memoryOf(
        change.insert('memory', {
          text,
          project: label(project) ?? null,
          session: label(session) ?? null,
          speaker: label(speaker) ?? null,
          tags: JSON.stringify((tags ?? []).map(composed)),
          occurred_at: at ?? now,
          created_at: now,
          expires_at: expiry(change, ttl) ?? null,
        }),
      );
    },

    /** @throws ToolError not_found. */
    update(
      change: Change,
      id: number,
      { tags, ttl, project, session, speaker, ...more }: MemoryUpdate,
    ): Memory {
      const found = row(id, nowIso(change.author));
      const given = {
        ...more,
        project: label(project),
        session: label(session),
        speaker: label(speaker),
        tags: tags && JSON.stringify(tags.map(composed)),
        expires_at: expiry(change, ttl),
      };
      const values = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
      return memoryWithin(
        change.replace('memory', found, values),
        answerTokens * bytesPerToken,
        true,
      ) as Memory;
    },

    remove(change: Change, id: number): boolean {
      const found = journal.live('memory', id);
      if (found) change.end('memory', found);
      return found !== undefined;
    },

    /** As much of its text as fits. @throws ToolError not_found. */
    get: (id: number, now: string, bytes = Infinity): Memory =>
      memoryWithin(row(id, now), bytes, true) as Memory,

    /** Newest first, below the position, as far as they fit. What is expired or lacks a tag is passed over, but looked at. */
    *list(
      filter: MemoryFilter,
      below: MemoryPosition,
      { limit, bytes, now }: Omit<SearchPage, 'offset'>,
    ): Steps<{ found: Memory[]; hasMore: boolean }> {
      const found: Memory[] = [];
      let left = bytes;
      const statement = listed(filter);
      const wanted = labelled(filter);
      const asked = { ...wanted, tags: JSON.stringify(wanted.tags ?? []), nowIso: now };
      let most = Math.min(rowsPerStep, limit + 1);
      for (let [occurredAt, id] = below; ;) {
        const rows = statement.all({ ...asked, occurredAt, id, most });
        for (const each of rows) {
          const row = each.is_wanted ? version.get(each.id) : undefined;
          const memory = row && memoryWithin(row, left, found.length === 0);
          if (row && (!memory || found.length === limit)) return { found, hasMore: true };
          if (memory) {
            found.push(memory);
            left -= memorySize(memory);
          }
          [occurredAt, id] = [each.occurred_at, each.memory_id];
        }
        if (rows.length < most) return { found, hasMore: false };
        // Few of them are wanted: more at once.
        most = rowsPerStep;
        yield;
      }
    },

    /**
     * Best first, so many from a place in the ranking on, as far as they fit; what room is left goes to so many turns before
     * and after each in its session.
     */
    *search(
      filter: MemoryFilter & { readonly query: string },
      { offset, limit, bytes, now }: SearchPage,
      {
        neighbours = 0,
        near,
      }: { readonly neighbours?: number; readonly near?: readonly Scored[] | undefined } = {},
    ): Steps<{ found: Found[]; hasMore: boolean }> {
      const asked = { ...labelled(filter), offset, limit, nowIso: now, near };
      const { hits, hasMore } = yield* searchMemories(asked);
      const rows: Rows['memory'][] = [];
      const memories: (Memory & { score: number })[] = [];
      let left = bytes;
      for (const { id, score } of hits) {
        const hit = version.get(id);
        const memory = hit && memoryWithin(hit, left, memories.length === 0);
        if (!memory) break;
        rows.push(hit);
        memories.push({ ...memory, score });
        left -= memorySize(memory);
      }
      const isAll = !hasMore && memories.length === hits.length;
      if (neighbours === 0) return { found: memories, hasMore: !isAll };

      const shown = new Set(rows.map(({ id }) => id));
      const found: Found[] = [];
      for (const [index, memory] of memories.entries()) {
        const beside = rows[index] ? besides(rows[index], { most: neighbours, bytes: left, now, shown }) : [];
        for (const neighbour of beside) left -= neighbourSize(neighbour);
        found.push(beside.length > 0 ? { ...memory, neighbours: beside } : memory);
        yield;
      }
      return { found, hasMore: !isAll };
    },
  };

  /** The turns around one, in order, that are not shown yet and have room; the nearest come first to it. */
  function besides(
    hit: Rows['memory'],
    { most, bytes, now, shown }: { most: number; bytes: number; now: string; shown: Set<number> },
  ): Neighbour[] {
    const { before, after } = around(hit, most);
    const nearest = Array.from({ length: most }, (_, i) => [after[i], before[i]]).flat();
    const beside: Neighbour[] = [];
    let left = bytes;
    for (const id of nearest) {
      const row = id === undefined || shown.has(id) ? undefined : version.get(id);
      if (!row || (row.expires_at !== null && row.expires_at <= now)) continue;
      const { memory_id, text, speaker } = row;
      const neighbour = { id: memory_id, ...(speaker !== null && { speaker }), text };
      const size = neighbourSize(neighbour);
      if (size > left) continue;
      left -= size;
      shown.add(row.id);
      beside.push(neighbour);
    }
    return beside.toSorted((one, other) => one.id - other.id);
  }
}

/** Projects, sessions, speakers and tags are kept and looked up in NFC. */
const label = (text: string | undefined) => (text === undefined ? undefined : composed(text));
const labelled = <Filter extends MemoryFilter>(filter: Filter): Filter => ({
  ...filter,
  ...(filter.project !== undefined && { project: composed(filter.project) }),
  ...(filter.session !== undefined && { session: composed(filter.session) }),
  ...(filter.tags && { tags: filter.tags.map(composed) }),
});

function expiry(change: Change, ttl: number | undefined): string | undefined {
  return ttl === undefined ? undefined : nowIso({ nowMs: change.author.nowMs + ttl * 1_000 });
}

export const tagsOf = (row: Rows['memory']) => JSON.parse(row.tags) as string[];

function memoryOf(row: Rows['memory']): Memory {
  return {
    id: row.memory_id,
    text: row.text,
    ...(row.project !== null && { project: row.project }),
    ...(row.session !== null && { session: row.session }),
    ...(row.speaker !== null && { speaker: row.speaker }),
    tags: tagsOf(row),
    occurred_at: row.occurred_at,
    created_at: row.created_at,
    ...(row.expires_at !== null && { expires_at: row.expires_at }),
  };
}

// What JSON takes beside the texts, indented as in the text of an answer.
const memoryBytes = 250;
const leastTextBytes = 40;
export const memorySize = ({ text, project = '', session = '', speaker = '', tags }: Memory) =>
  memoryBytes + bytesOf(text, project, session, speaker, ...tags);

const neighbourBytes = 80;
const neighbourSize = ({ text, speaker = '' }: Neighbour) => neighbourBytes + bytesOf(text, speaker);

/** `undefined` where it does not fit; the first is cut if need be, because a cursor must not stand still. */
function memoryWithin(row: Rows['memory'], bytes: number, isFirst: boolean): Memory | undefined {
  const memory = memoryOf(row);
  const excess = memorySize(memory) - bytes;
  if (excess <= 0) return memory;
  if (!isFirst) return undefined;
  const text = firstBytes(memory.text, Math.max(bytesOf(memory.text) - excess, leastTextBytes));
  return { ...memory, text, text_length: memory.text.length };
}
