import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField, storable } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { maxAnswerLength, maxQueryLength, maxQueryWords } from '../limits.ts';
import { sessionFields, sessionOf, take } from '../session-view.ts';
import type { Store } from '../store.ts';
import { lineName, sessionId, thoughtOutput } from '../thought-schema.ts';
import { thoughtOf } from '../thoughts.ts';

const position = z.tuple([z.int().min(0)]);
const wordsOf = (query: string) => [...new Set(query.toLowerCase().match(/\S+/g))];

export const getSession = defineTool({
  name: 'get_session',
  title: 'Get Session',
  description:
    'Read the thoughts of a session in order: all, or those of one branch. For an overview use get_summary.',
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
    session: z.object(sessionFields).describe('The session.'),
    thoughts: z.array(thoughtOutput).describe('In order.'),
    ...continuation,
  }),

  handler({ cursor, ...args }, store: Store) {
    const [after] = decodeCursor('get_session', args, cursor, position, [args.from - 1]);
    return store.snapshot(() => {
      const session = store.sessions.get(args.session_id);
      const line = args.branch === undefined ? undefined : store.thoughts.lineOf(session, args.branch);
      const rows = store.thoughts.after(session, after, line);
      const { taken, hasMore } = take(rows, args.limit, maxAnswerLength);
      return {
        session: sessionOf(session),
        thoughts: taken.map(thoughtOf),
        ...(hasMore && {
          truncated: true as const,
          next_cursor: encodeCursor('get_session', args, [taken.at(-1)?.position ?? after]),
        }),
      };
    });
  },
});

export const searchThoughts = defineTool({
  name: 'search_thoughts',
  title: 'Search Thoughts',
  description:
    'Find thoughts that contain all words of a query, in any case and order, newest first: in one session, or in all that you began.',
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
      .array(
        z.object({
          session_id: z.string().describe('Handle.'),
          title: z.string().optional().describe('What the session is about.'),
          position: z.int().describe('Place in the session; get_session reads on from there.'),
          thoughtNumber: z.int().describe('Number.'),
          branchId: z.string().optional().describe('Branch.'),
          excerpt: z.string().describe('The part around the first word.'),
          at: z.string().describe('When.'),
        }),
      )
      .describe('Newest first.'),
    ...continuation,
  }),

  async handler({ cursor, ...args }, store: Store, call) {
    const [before] = decodeCursor('search_thoughts', args, cursor, position, [Number.MAX_SAFE_INTEGER]);
    const where =
      args.session_id === undefined
        ? { caller: call.caller }
        : { sessionId: store.sessions.get(args.session_id).id };
    const { rows, next } = await store.inTurns(
      call,
      store.search.search(where, wordsOf(args.query), before, args.limit),
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
      ...(next !== undefined && {
        truncated: true as const,
        next_cursor: encodeCursor('search_thoughts', args, [next]),
      }),
    };
  },
});
