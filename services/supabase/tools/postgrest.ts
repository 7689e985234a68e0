/** The two tools of Supabase's PostgREST server, with its names and arguments. */
import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { defineTool, type Call } from '#runtime/tool.ts';

import { sqlField, textField } from '../fields.ts';
import { Door } from '../rest/door.ts';
import { inHeader, restPath } from '../rest/place.ts';
import { shownRows, type Row } from '../rest/rows.ts';
import type { Supabase } from '../supabase.ts';
import { destroyingOutside, readingOutside } from './rows.ts';

const pathField = textField(8_000, 'With its query: /todos?select=id&limit=10.');

const output = z.object({
  result: z.unknown().meta({ type: 'string', description: 'What PostgREST answers.' }),
  truncated: z.literal(true).optional().describe('Not all of it is shown: add limit and offset to the path.'),
});

async function request(
  { method, path, body }: { method: string; path: string; body?: unknown },
  supabase: Supabase,
  call: Pick<Call, 'signal'>,
): Promise<z.input<typeof output>> {
  const { endpoint, schema } = supabase.project();
  const below = restPath(path);
  const door = new Door(endpoint, { signal: call.signal });
  const isRead = method === 'GET';
  const response = await door.fetch(new URL(`rest/v1${below}`, endpoint.base), {
    method,
    headers: {
      apikey: endpoint.key,
      authorization: `Bearer ${endpoint.key}`,
      prefer: 'return=representation',
      [isRead ? 'accept-profile' : 'content-profile']: inHeader(schema),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const result = text === '' ? null : parsed(text);
  if (!Array.isArray(result)) {
    const [one] = shownRows([{ result }]).rows;
    const isWhole = one?.['result'] === result;
    return { result: one?.['result'] ?? null, ...(!isWhole && { truncated: true as const }) };
  }
  const { rows, cut } = shownRows(result as Row[]);
  return {
    result: rows,
    ...((cut.length > 0 || rows.length < result.length) && { truncated: true as const }),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // CSV, where the path asked for it.
    return text;
  }
}

const title = 'PostgREST Request';

export const postgrestRequestReading = defineTool({
  name: 'postgrestRequest',
  title,
  description:
    'Send a GET request to PostgREST, for what select_rows does not do. It runs in a transaction that refuses changes.',
  effect: 'read',
  untrusted: 'bounded',
  hints: readingOutside,
  input: z.object({
    method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']).describe('GET; the others change things.'),
    path: pathField,
  }),
  output,

  async handler({ method, path }, supabase: Supabase, call) {
    if (method !== 'GET') {
      throw new ToolError('forbidden', `${method} changes things, and only reading is allowed.`, {
        hint: 'To allow changes, the operator sets FLOTILLA_SUPABASE_MODE=write.',
      });
    }
    return request({ method, path }, supabase, call);
  },
});

export const postgrestRequest = defineTool({
  name: 'postgrestRequest',
  title,
  description:
    'Send a request to PostgREST, for what the other tools do not do. A PATCH or DELETE without a filter is refused.',
  effect: 'destroy',
  untrusted: 'bounded',
  hints: destroyingOutside,
  input: z.object({
    method: z.enum(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']).describe('Of HTTP.'),
    path: pathField,
    body: z
      .union([z.record(z.string(), z.unknown()), z.array(z.record(z.string(), z.unknown()))])
      .optional()
      .describe('A row, or rows.'),
  }),
  output,

  async handler({ method, path, body }, supabase: Supabase, call) {
    if (body !== undefined && method === 'GET')
      throw new ToolError('invalid_input', 'body: a GET has none.', { hint: 'Leave body out.' });
    if ((method === 'PATCH' || method === 'DELETE') && !hasFilter(path)) {
      throw new ToolError('invalid_input', `path: a ${method} without a filter would meet every row.`, {
        hint: 'Add a filter such as ?id=eq.1; id=not.is.null meets all rows.',
      });
    }
    return request({ method, path, body }, supabase, call);
  },
});

const noFilters = /^(?:select|order|limit|offset|columns|on_conflict)$/;

function hasFilter(path: string): boolean {
  const [, query = ''] = path.split(/\?(.*)/s);
  return [...new URLSearchParams(query).keys()].some((name) => !noFilters.test(name));
}

export const sqlToRest = defineTool({
  name: 'sqlToRest',
  title: 'SQL to REST',
  description:
    'Turn one SELECT into the method and path of a PostgREST request, for postgrestRequest. It does not run it.',
  effect: 'read',
  hints: { ...readingOutside, openWorld: false },
  input: z.object({ sql: sqlField('SELECT.').max(20_000) }),
  output: z.object({ method: z.string().describe('Of HTTP.'), path: z.string().describe('With its query.') }),
  handler: async ({ sql }, { translator }: Supabase, { signal }) => translator.translate(sql, signal),
});
