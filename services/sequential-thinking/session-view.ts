/** How sessions look in answers. */
import { z } from 'zod';

import { toldBriefly } from '#runtime/fields.ts';
import { pageBytes } from '#runtime/page.ts';

import type { Session } from './sessions.ts';
import type { ThoughtRow } from './thoughts.ts';

const session = z.object({
  session_id: z.string().describe('Handle.'),
  title: z.string().optional(),
  thoughts: z.int(),
  totalThoughts: z.int(),
  finished: z.boolean(),
  created_at: z.string(),
  updated_at: z.string(),
});
export const listedSession = toldBriefly(session.extend({ first: z.string().optional() }), 'session_id');
export const sessionOut = toldBriefly(session, 'session_id').describe(
  'Also title, thoughts (how many), totalThoughts, finished, created_at and updated_at.',
);

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
  rowsAfter: (position: number, most: number) => readonly ThoughtRow[],
  after: number,
  limit: number,
): { taken: ThoughtRow[]; hasMore: boolean } {
  const taken: ThoughtRow[] = [];
  let bytes = 0;
  for (;;) {
    const most = Math.min(limit - taken.length + 1, mostAtOnce);
    const rows = rowsAfter(taken.at(-1)?.position ?? after, most);
    for (const row of rows) {
      bytes += Buffer.byteLength(row.text) + bytesAround;
      if (taken.length === limit || (taken.length > 0 && bytes > pageBytes)) return { taken, hasMore: true };
      taken.push(row);
    }
    if (rows.length < most) return { taken, hasMore: false };
  }
}

/** Texts may be long: not many more are read than fit. */
const mostAtOnce = 20;
/** What an answer says of a thought beside its text. */
const bytesAround = 200;
