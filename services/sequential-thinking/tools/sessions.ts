import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField, storedText } from '#runtime/fields.ts';
import { adding, reading, replacing } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { excerptLength, maxTitleLength } from '../limits.ts';
import { excerpt, listedSession, sessionOf } from '../session-view.ts';
import type { SessionPosition } from '../sessions.ts';
import { sessionUri, type Store } from '../store.ts';
import { sessionId } from '../thought-schema.ts';

const position = z.tuple([z.string(), z.int()]);

export const startSession = defineTool({
  name: 'start_session',
  title: 'Start Session',
  description:
    'Begin a session of thoughts with a title. Optional: thought 1 of sequentialthinking begins one too.',
  effect: 'write',
  hints: adding,
  input: z.object({ title: storedText(maxTitleLength, 'What it is about.').optional() }),
  output: z.object({
    session_id: z.string().describe('Pass to sequentialthinking.'),
    created_at: z.string().describe('When.'),
  }),

  handler({ title }, store: Store, call) {
    const session = store.add(call, () => store.sessions.begin(call, title, false));
    return { session_id: session.handle, created_at: session.created_at };
  },
});

export const listSessions = defineTool({
  name: 'list_sessions',
  title: 'List Sessions',
  description: 'List the sessions that you began, last used first.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ limit: limitField(200, 20), cursor: cursorField }),
  output: z.object({
    sessions: z
      .array(listedSession)
      .describe(
        'Last used first, with title, thoughts (how many), totalThoughts, finished, created_at, updated_at and first, how it begins.',
      ),
    ...continuation,
  }),

  handler({ cursor, ...args }, store: Store, call) {
    // '~' follows every ISO time.
    const below = decodeCursor<SessionPosition>('list_sessions', args, cursor, position, ['~', 0]);
    return store.snapshot(() => {
      const found = store.sessions.list(call.caller, below, args.limit + 1);
      const sessions = found.slice(0, args.limit);
      const last = sessions.at(-1);
      return {
        sessions: sessions.map((session) => ({
          ...sessionOf(session),
          ...(session.first !== null && { first: excerpt(session.first, excerptLength) }),
        })),
        ...(last &&
          sessions.length < found.length && {
            truncated: true as const,
            next_cursor: encodeCursor('list_sessions', args, [last.updated_at, last.id]),
          }),
      };
    });
  },
});

export const deleteSession = defineTool({
  name: 'delete_session',
  title: 'Delete Session',
  description: 'Delete a session and all its thoughts for good.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({ session_id: sessionId }),
  output: z.object({
    session_id: z.string().describe('The session that is gone.'),
    thoughts: z.int().describe('How many thoughts it had.'),
  }),

  async handler({ session_id: handle }, store: Store, call) {
    const thoughts = await store.remove(call, handle);
    call.resourceUpdated(sessionUri(handle));
    return { session_id: handle, thoughts };
  },
});
