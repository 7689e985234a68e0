import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { continued, fitting } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import { sessionId } from '../fields.ts';
import { afterTimeoutMs, listTimeoutMs, maxListed, startTimeoutMs } from '../limits.ts';
import type { Python } from '../python.ts';

const timeoutMs = startTimeoutMs + listTimeoutMs + afterTimeoutMs;
const place = z.tuple([z.number()]);

const variable = z.object({
  name: z.string().describe('As in the code.'),
  type: z.string().describe('Name of its class.'),
  value: z.string().describe('Its repr, cut.'),
  size: z.string().optional().describe('Its length or shape, where it has one.'),
});

export const getPythonVariables = defineTool({
  name: 'get_python_variables',
  title: 'Get Python variables',
  description: 'Variables of a session, with types and values. Names that begin with _ are left out.',
  effect: 'read',
  hints: reading,
  untrusted: 'bounded',
  timeoutMs,
  input: z.object({ session_id: sessionId, limit: limitField(maxListed, 100), cursor: cursorField }),
  output: z.object({ variables: z.array(variable).describe('By name.'), ...continuation }),
  async handler(args, python: Python, call) {
    const { session_id: handle, cursor } = args;
    const [start] = decodeCursor('get_python_variables', { handle }, cursor, place, [0]);
    const session = python.store.get(handle, call);
    const { rows, total } = await python.variablesOf(session, { start, limit: args.limit }, call);
    const shown = fitting(rows.flatMap((row) => variable.safeParse(row).data ?? []));
    const end = start + shown.length;
    return {
      variables: shown,
      ...continued('get_python_variables', { handle }, end < total && shown.length > 0 ? [end] : undefined),
    };
  },
});

const named = z.object({
  name: z.string().describe('As it is installed.'),
  version: z.string().describe('Installed.'),
});

export const listPythonPackages = defineTool({
  name: 'list_python_packages',
  title: 'List Python packages',
  description:
    'Version of Python, and the packages of the host that code can import besides the standard library. No others can be installed.',
  effect: 'read',
  hints: reading,
  untrusted: 'bounded',
  timeoutMs,
  input: z.object({ limit: limitField(maxListed, 200), cursor: cursorField }),
  output: z.object({
    python: z.string().describe('Its version.'),
    packages: z.array(named).describe('By name.'),
    ...continuation,
  }),
  async handler(args, python: Python, call) {
    const [start] = decodeCursor('list_python_packages', {}, args.cursor, place, [0]);
    const { rows, total } = await python.packages({ start, limit: args.limit }, call);
    const shown = fitting(rows.flatMap((row) => named.safeParse(row).data ?? []));
    const end = start + shown.length;
    return {
      python: await python.version(),
      packages: shown,
      ...continued('list_python_packages', {}, end < total && shown.length > 0 ? [end] : undefined),
    };
  },
});
