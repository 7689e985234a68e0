/** How sessions look in answers. */
import { z } from 'zod';

import type { Session } from './sessions.ts';
import type { ThoughtRow } from './thoughts.ts';

export const sessionFields = {
  session_id: z.string().describe('Handle.'),
  title: z.string().optional().describe('What it is about.'),
  thoughts: z.int().describe('How many.'),
  totalThoughts: z.int().describe('How many were last expected.'),
  finished: z.boolean().describe('Whether the last thought needs no other.'),
  created_at: z.string().describe('When it began.'),
  updated_at: z.string().describe('When it last grew.'),
};

export const sessionOf = (session: Session) => ({
  session_id: session.handle,
  ...(session.title !== null && { title: session.title }),
  thoughts: session.thoughts,
  totalThoughts: session.last_total,
  finished: session.is_open === 0,
  created_at: session.created_at,
  updated_at: session.updated_at,
});

export const excerpt = (text: string, length: number) =>
  text.length > length ? `${text.slice(0, length).toWellFormed()}…` : text;

/** As many as fit into both limits, but always one: a cursor must not stand still. */
export function take(
  rows: Iterable<ThoughtRow>,
  limit: number,
  characters: number,
): { taken: ThoughtRow[]; hasMore: boolean } {
  const taken: ThoughtRow[] = [];
  let used = 0;
  for (const row of rows) {
    used += row.text.length;
    if (taken.length === limit || (taken.length > 0 && used > characters)) return { taken, hasMore: true };
    taken.push(row);
  }
  return { taken, hasMore: false };
}
