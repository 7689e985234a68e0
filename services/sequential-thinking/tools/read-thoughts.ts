import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField, storable, toldBriefly } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { continued, pageBytes, pageOf } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import { maxQueryLength, maxQueryWords, maxRowsPerSearch } from '../limits.ts';
import { sessionOut, sessionOf, take } from '../session-view.ts';
import type { Store } from '../store.ts';
import { lineName, sessionId, thoughtOutput } from '../thought-schema.ts';
import { thoughtOf } from '../thoughts.ts';

const position = z.tuple([z.int().min(0)]);
/** Of the thought before, and where in the text of the next one. */
const place = z.tuple([z.int().min(0), z.int().min(0)]);
/** Thoughts between two words to the client on how far a search has come. */
const rowsPerProgress = 20_000;
const wordsOf = (query: string) => [...new Set(query.toLowerCase().match(/\S+/g))];

export const getSession = defineTool({
  name: 'get_session',
  title: 'Get Session',
  description: 'Read the thoughts of a session in order, all or those of one branch. get_summary is shorter.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    session_id: sessionId,
    branch: lineName.describe('Only this branch; an empty text is the main line.').optional(),
    from: z.int().min(1).default(1).describe('Position to begin at.'),
    limit: limitField(500, 50),
    cursor: cursorField,
  }),
  output: z.object({
    session: sessionOut,
    thoughts: z.array(thoughtOutput).describe('In order, each as it was said, and at, its time.'),
    ...continuation,
  }),

  handler({ cursor, ...args }, store: Store) {
    const [after, offset] = decodeCursor('get_session', args, cursor, place, [args.from - 1, 0]);
    return store.snapshot(() => {
      const session = store.sessions.get(args.session_id);
      const line = args.branch === undefined ? undefined : store.thoughts.lineOf(session, args.branch);
      const { taken, hasMore } = take(
        (position, most) => store.thoughts.after(session, position, most, line),
        after,
        args.limit,
      );
      const [first] = taken;
      const page = first && pageOf(first.text, offset, pageBytes);
      if (first && page && (offset > 0 || page.next !== undefined)) {
        const goesOn = taken.length > 1 || hasMore ? [first.position, 0] : undefined;
        return {
          session: sessionOf(session),
          thoughts: [{ ...thoughtOf(first), thought: page.text, offset }],
          ...continued('get_session', args, page.next === undefined ? goesOn : [after, page.next]),
        };
      }
      return {
        session: sessionOf(session),
        thoughts: taken.map(thoughtOf),
        ...continued('get_session', args, hasMore ? [taken.at(-1)?.position ?? after, 0] : undefined),
      };
    });
  },
});

const foundOut = z.object({
  session_id: z.string().describe('Session.'),
  title: z.string().optional(),
  position: z.int(),
  thoughtNumber: z.int(),
  branchId: z.string().optional(),
  excerpt: z.string().describe('Around the first word.'),
  at: z.string(),
});

export const searchThoughts = defineTool({
  name: 'search_thoughts',
  title: 'Search Thoughts',
  description:
    'Find thoughts that contain all words of a query, in any case, newest first: in one session, or in all that you began.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    query: storable(z.string().max(maxQueryLength))
      .refine((query) => query.trim() !== '', 'must not be blank')
      .refine((query) => wordsOf(query).length <= maxQueryWords, `must have at most ${maxQueryWords} words`)
      .describe('Words, or parts of words.'),
    session_id: sessionId.describe('Only this session.').optional(),
    limit: limitField(100, 20),
    cursor: cursorField,
  }),
  output: z.object({
    found: z
      .array(toldBriefly(foundOut, 'session_id', 'excerpt'))
      .describe('Newest first, with title of the session, position, thoughtNumber, branchId and at.'),
    ...continuation,
  }),

  async handler({ cursor, ...args }, store: Store, call) {
    const [before] = decodeCursor('search_thoughts', args, cursor, position, [Number.MAX_SAFE_INTEGER]);
    const where =
      args.session_id === undefined
        ? { caller: call.caller }
        : { sessionId: store.sessions.get(args.session_id).id };
    let toldAt = 0;
    const told = (seen: number) => {
      if (seen < toldAt + rowsPerProgress) return;
      toldAt = seen;
      call.progress(seen, maxRowsPerSearch, `${seen} thoughts looked at`);
    };
    const { rows, next } = await store.inTurns(
      call,
      store.search.search(where, wordsOf(args.query), before, args.limit, told),
    );
    return {
      found: rows.map((row) => ({
        session_id: row.handle ?? '',
        ...(row.title !== null && { title: row.title }),
        position: row.position,
        thoughtNumber: row.number,
        ...(row.branch_id !== null && { branchId: row.branch_id }),
        excerpt: row.excerpt,
        at: row.at,
      })),
      ...continued('search_thoughts', args, next === undefined ? undefined : [next]),
    };
  },
});
