/** Memories: texts with project, session, speaker and time. The only SQL that reads them, except for search.ts. */
import type { Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';

import type { Change, Journal, Rows } from './journal.ts';
import type { MemorySearch } from './search.ts';

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

const listConditions: { readonly [Name in keyof MemoryFilter]-?: string } = {
  project: 'project = :project',
  session: 'session = :session',
  tags: `NOT EXISTS (SELECT 1 FROM json_each(:tags) AS wanted
    WHERE wanted.value NOT IN (SELECT value FROM json_each(memory.tags)))`,
  since: 'occurred_at >= :since',
  until: 'occurred_at < :until',
};

export function openMemoryTable(database: Database, journal: Journal, index: MemorySearch) {
  const version = database.prepare<[number], Rows['memory']>('SELECT * FROM memory WHERE id = ?');
  const count = database
    .prepare<[string], number>(
      'SELECT count(*) FROM memory WHERE valid_to IS NULL AND (expires_at IS NULL OR expires_at > ?)',
    )
    .pluck();
  const projects = database.prepare<[string, number], { project: string; count: number }>(
    `SELECT project, count(*) AS count FROM memory
     WHERE valid_to IS NULL AND project IS NOT NULL AND (expires_at IS NULL OR expires_at > ?)
     GROUP BY project ORDER BY count DESC, project LIMIT ?`,
  );

  function row(id: number, nowIso: string): Rows['memory'] {
    const found = journal.live('memory', id);
    if (!found || (found.expires_at !== null && found.expires_at <= nowIso)) {
      throw new ToolError('not_found', `There is no memory ${id}.`, { hint: 'Call search_memories.' });
    }
    return found;
  }

  return {
    add(change: Change, { text, project, session, speaker, tags, occurred_at: at, ttl }: NewMemory): Memory {
      const now = new Date(change.author.nowMs).toISOString();
      return memoryOf(
        change.insert('memory', {
          text,
          project: project ?? null,
          session: session ?? null,
          speaker: speaker ?? null,
          tags: JSON.stringify(tags ?? []),
          occurred_at: at ?? now,
          created_at: now,
          expires_at: expiry(change, ttl) ?? null,
        }),
      );
    },

    /** @throws ToolError not_found. */
    update(change: Change, id: number, { tags, ttl, ...texts }: MemoryUpdate): Memory {
      const found = row(id, new Date(change.author.nowMs).toISOString());
      const given = { ...texts, tags: tags && JSON.stringify(tags), expires_at: expiry(change, ttl) };
      const values = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
      return memoryOf(change.replace('memory', found, values));
    },

    remove(change: Change, id: number): boolean {
      const found = journal.live('memory', id);
      if (found) change.end('memory', found);
      return found !== undefined;
    },

    /** @throws ToolError not_found. */
    get: (id: number, nowIso: string): Memory => memoryOf(row(id, nowIso)),

    /** Newest first, below the position. */
    list(
      filter: MemoryFilter,
      [occurredAt, id]: readonly [string, number],
      limit: number,
      nowIso: string,
    ): Memory[] {
      // Only what is asked for stands in the query, so that an index can answer it.
      const conditions = Object.entries(listConditions)
        .filter(([name]) => filter[name as keyof MemoryFilter] !== undefined)
        .map(([, condition]) => `AND ${condition}`);
      return database
        .prepare<[object], Rows['memory']>(
          `SELECT * FROM memory
           WHERE valid_to IS NULL AND (expires_at IS NULL OR expires_at > :nowIso)
             AND (occurred_at, memory_id) < (:occurredAt, :id) ${conditions.join(' ')}
           ORDER BY occurred_at DESC, memory_id DESC LIMIT :limit`,
        )
        .all({ ...filter, tags: JSON.stringify(filter.tags ?? []), nowIso, occurredAt, id, limit })
        .map(memoryOf);
    },

    search(filter: MemoryFilter & { readonly query: string }, offset: number, limit: number, nowIso: string) {
      const { hits, hasMore } = index.searchMemories({ ...filter, offset, limit, nowIso });
      const found = hits.flatMap(({ id, score }) => {
        const hit = version.get(id);
        return hit ? [{ ...memoryOf(hit), score }] : [];
      });
      return { found, hasMore };
    },

    count: (nowIso: string) => count.get(nowIso) ?? 0,
    projects: (nowIso: string, limit: number) => projects.all(nowIso, limit),
  };
}

function expiry(change: Change, ttl: number | undefined): string | undefined {
  return ttl === undefined ? undefined : new Date(change.author.nowMs + ttl * 1_000).toISOString();
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
