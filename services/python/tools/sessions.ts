import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField, storedText, toldBriefly } from '#runtime/fields.ts';
import { adding, completing, reading, replacing } from '#runtime/hints.ts';
import { continued } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import { sessionId } from '../fields.ts';
import { maxListed, maxSessionNameLength } from '../limits.ts';
import type { Python } from '../python.ts';
import type { CountedSession } from '../store.ts';

const row = z.object({
  session_id: z.string().describe('For run_python_code.'),
  name: z.string().optional().describe('What it was called.'),
  runs: z.int().describe('Runs so far.'),
  files: z.int().describe('Files in its folder.'),
  bytes: z.int().describe('Of these files.'),
  state: z
    .enum(['idle', 'running', 'asleep'])
    .describe('asleep: its files are there, its variables are not.'),
  created_at: z.string().describe('ISO time.'),
  used_at: z.string().describe('ISO time.'),
});

const rowOf = (session: CountedSession, python: Python): z.output<typeof row> => ({
  session_id: session.handle,
  ...(session.name !== null && { name: session.name }),
  runs: session.runs,
  files: session.files,
  bytes: session.bytes,
  state: python.isBusy(session) ? 'running' : python.isAwake(session) ? 'idle' : 'asleep',
  created_at: session.created_at,
  used_at: session.used_at,
});

export const createPythonSession = defineTool({
  name: 'create_python_session',
  title: 'Create Python session',
  description:
    'Makes a session in which run_python_code keeps variables and files. It belongs to the calling token.',
  effect: 'write',
  hints: adding,
  input: z.object({
    name: storedText(maxSessionNameLength, 'What it is for.').max(maxSessionNameLength).optional(),
  }),
  output: z.object({ session_id: z.string().describe('For run_python_code.') }),
  handler: ({ name }, python: Python, call) => ({ session_id: python.store.create(name, call).handle }),
});

const place = z.tuple([z.string(), z.number()]);

export const listPythonSessions = defineTool({
  name: 'list_python_sessions',
  title: 'List Python sessions',
  description: 'Sessions of the calling token, last used first.',
  effect: 'read',
  hints: reading,
  untrusted: 'bounded',
  input: z.object({ limit: limitField(maxListed, 50), cursor: cursorField }),
  output: z.object({
    sessions: z.array(toldBriefly(row, 'session_id', 'state')).describe('Last used first.'),
    ...continuation,
  }),
  handler(args, python: Python, call) {
    const [usedAt, id] = decodeCursor('list_python_sessions', {}, args.cursor, place, ['~', 0]);
    const found = python.store.list(call, [usedAt, id], args.limit);
    const shown = found.slice(0, args.limit);
    const last = found.length > args.limit ? shown.at(-1) : undefined;
    const next = last && [last.used_at, last.id];
    return {
      sessions: shown.map((session) => rowOf(session, python)),
      ...continued('list_python_sessions', {}, next),
    };
  },
});

export const resetPythonSession = defineTool({
  name: 'reset_python_session',
  title: 'Reset Python session',
  description:
    'Ends what runs in a session and forgets its variables. Its files stay, unless keep_files is false.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({
    session_id: sessionId,
    keep_files: z.boolean().default(true).describe('false removes the files too.'),
  }),
  output: z.object({ removed_files: z.int().describe('How many are gone.') }),
  async handler({ session_id: handle, keep_files: keepsFiles }, python: Python, call) {
    return { removed_files: await python.reset(python.store.get(handle, call), keepsFiles) };
  },
});

export const closePythonSession = defineTool({
  name: 'close_python_session',
  title: 'Close Python session',
  description: 'Ends what runs in a session, and removes it with its variables and files, for good.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({ session_id: sessionId }),
  output: z.object({ closed: z.literal(true).describe('It is gone.') }),
  async handler({ session_id: handle }, python: Python, call) {
    await python.close(python.store.get(handle, call));
    return { closed: true as const };
  },
});

export const interruptPython = defineTool({
  name: 'interrupt_python',
  title: 'Interrupt Python',
  description: 'Interrupts what runs in a session, like Ctrl-C: KeyboardInterrupt. Variables stay.',
  effect: 'write',
  hints: completing,
  input: z.object({ session_id: sessionId }),
  output: z.object({ was_running: z.boolean().describe('Whether something ran.') }),
  handler: ({ session_id: handle }, python: Python, call) => ({
    was_running: python.interrupt(python.store.get(handle, call)),
  }),
});
