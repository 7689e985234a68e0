/** Rows of tables and views, and functions, by the REST side: row policies hold for the key of the settings. */
import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField } from '#runtime/fields.ts';
import { withCursor } from '#runtime/page.ts';
import { defineTool, type Call, type Hints } from '#runtime/tool.ts';

import {
  cutField,
  limitField,
  nameField,
  rowField,
  rowsField,
  schemaField,
  textField,
  valueField,
} from '../fields.ts';
import { maxFilters, maxInsertRows, maxNameLength } from '../limits.ts';
import { ask, type Answered, type Client } from '../rest/client.ts';
import { shownRows, type Row } from '../rest/rows.ts';
import type { Supabase } from '../supabase.ts';

/** Everything here reaches a database that others reach as well. */
export const readingOutside: Hints = {
  readOnly: true,
  destructive: false,
  idempotent: true,
  openWorld: true,
};
export const changingOutside: Hints = {
  readOnly: false,
  destructive: false,
  idempotent: false,
  openWorld: true,
};
export const destroyingOutside: Hints = {
  readOnly: false,
  destructive: true,
  idempotent: false,
  openWorld: true,
};

const operators = [
  'eq',
  'neq',
  'gt',
  'gte',
  'lt',
  'lte',
  'like',
  'ilike',
  'match',
  'imatch',
  'in',
  'is',
  'cs',
  'cd',
  'ov',
  'fts',
  'plfts',
  'phfts',
  'wfts',
] as const;

/** Words of PostgREST's own: a filter on such a column would be no filter at all. */
const reserved =
  /^(?:select|order|limit|offset|columns|on_conflict|and|or|not)$|\.(?:order|limit|offset|and|or)$|^not\./;

const columnField = textField(
  maxNameLength,
  'Name, or path into JSON (data->>key), or of an embedded table.',
).refine(
  (name) => !reserved.test(name) && !/[&=?#\s]/.test(name),
  'must be a column, and no word of PostgREST such as select, order or limit',
);

const filtersField = z
  .array(
    z.object({
      column: columnField,
      operator: z
        .enum(operators)
        .describe('As PostgREST names them; in takes a list, is takes null, true or false.'),
      value: valueField,
      not: z.boolean().optional().describe('Turn it round.'),
    }),
  )
  .max(maxFilters)
  .describe('All must hold.');

type Filter = z.output<typeof filtersField>[number];

interface Filterable {
  filter(column: string, operator: string, value: unknown): this;
}

function filtered<Query extends Filterable>(query: Query, filters: readonly Filter[]): Query {
  for (const { column, operator, value, not } of filters) {
    query = query.filter(column, `${not ? 'not.' : ''}${operator}`, textOf(operator, value));
  }
  return query;
}

function textOf(operator: Filter['operator'], value: unknown): string {
  if (operator === 'in') {
    if (!Array.isArray(value)) throw badFilter('in takes a list of values.');
    return `(${value.map((one) => quoted(one)).join(',')})`;
  }
  if (operator === 'is') {
    const word = String(value);
    if (['null', 'true', 'false', 'unknown', 'not_null'].includes(word)) return word;
    throw badFilter('is takes null, true, false or unknown.');
  }
  if (value === null) throw badFilter('null is compared with the operator is.');
  if (Array.isArray(value)) return `{${value.map((one) => quoted(one)).join(',')}}`;
  return textIn(value);
}

const textIn = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));

const quoted = (value: unknown) => {
  return `"${textIn(value).replace(/["\\]/g, '\\$&')}"`;
};

const badFilter = (what: string) =>
  new ToolError('invalid_input', `filters: ${what}`, { hint: 'See the operators in the schema of filters.' });

const position = z.tuple([z.int().min(0)]);

export const selectRows = defineTool({
  name: 'select_rows',
  title: 'Select Rows',
  description:
    'Read rows of a table or view. columns may embed tables by their foreign keys: "id,title,author(name)". Give order, so that pages fit together.',
  effect: 'read',
  untrusted: 'bounded',
  hints: readingOutside,
  input: z.object({
    table: nameField('Table or view.'),
    columns: textField(2_000, 'As in PostgREST.')
      .refine((columns) => !/[&#?]/.test(columns), 'must be columns, without & # and ?')
      .default('*'),
    filters: filtersField.optional(),
    order: z
      .array(
        z.object({
          column: columnField,
          descending: z.boolean().optional().describe('Largest first.'),
          nulls_first: z.boolean().optional().describe('NULL before all.'),
        }),
      )
      .max(maxFilters)
      .optional()
      .describe('By these.'),
    count: z.enum(['exact', 'planned', 'estimated']).optional().describe('Also count all rows that fit.'),
    schema: schemaField,
    limit: limitField,
    cursor: cursorField,
  }),
  output: z.object({
    rows: rowsField,
    row_count: z.int().describe('Of this page.'),
    total: z.int().optional().describe('Of all rows that fit.'),
    cut: cutField,
    ...continuation,
  }),
  text: ({ rows, next_cursor: cursor, cut, total }) =>
    withCursor(linesOf(rows) + cutText(cut) + (total === undefined ? '' : `\n[${total} rows fit]`), cursor),

  async handler({ cursor, ...args }, supabase: Supabase, call) {
    const { table, columns, filters = [], order = [], count, schema, limit } = args;
    const [skip] = decodeCursor('select_rows', args, cursor, position, [0]);
    const answer = await ask(
      supabase.project(),
      call,
      (client) => {
        let query = filtered(client.from(table).select(columns, count && { count }), filters);
        for (const { column, descending = false, nulls_first: nullsFirst } of order) {
          query = query.order(column, {
            ascending: !descending,
            ...(nullsFirst !== undefined && { nullsFirst }),
          });
        }
        return query.range(skip, skip + limit);
      },
      { schema },
    );
    return pageOf(answer.data as unknown as Row[], {
      limit,
      total: answer.count,
      next: (shown) => encodeCursor('select_rows', args, [skip + shown]),
    });
  },
});

/** As many of the rows as one answer holds. */
function pageOf(
  found: readonly Row[],
  { limit, total, next }: { limit: number; total?: number | null; next: (shown: number) => string },
) {
  const { rows, cut } = shownRows(found.slice(0, limit));
  return {
    rows: [...rows],
    row_count: rows.length,
    ...(typeof total === 'number' && { total }),
    ...(cut.length > 0 && { cut: [...cut] }),
    ...(rows.length < found.length && { truncated: true as const, next_cursor: next(rows.length) }),
  };
}

export const linesOf = (rows: readonly unknown[]) =>
  rows.length === 0 ? '[]' : `[${rows.map((row) => JSON.stringify(row)).join(',\n')}]`;
export const cutText = (cut: readonly string[] | undefined) =>
  cut ? `\n[not whole: ${cut.join(', ')}]` : '';

const returningField = z.boolean().default(true).describe('Give the rows back.');
const changedOutput = z.object({
  affected_rows: z.int().describe('Rows written or removed.'),
  rows: rowsField.optional(),
  cut: cutField,
  truncated: z.literal(true).optional().describe('More rows were written than are shown.'),
});
const changedText = ({ affected_rows: affected, rows, cut }: z.output<typeof changedOutput>) =>
  `[{"affected_rows": ${affected}}]${rows ? `\n${linesOf(rows)}` : ''}${cutText(cut)}`;

type Changing = PromiseLike<Answered<unknown> & { readonly count: number | null }> & { select(): unknown };

/** Sends a change, and gives back what of its rows fits. */
async function change(
  supabase: Supabase,
  call: Call,
  { returning, schema }: { readonly returning: boolean; readonly schema: string | undefined },
  queryOf: (client: Client) => Changing,
) {
  const { data, count } = await ask(
    supabase.project(),
    call,
    (client) => {
      const query = queryOf(client);
      return (returning ? query.select() : query) as Changing;
    },
    { schema },
  );
  const found = Array.isArray(data) ? (data as Row[]) : [];
  const { rows, cut } = shownRows(found);
  return {
    affected_rows: count ?? found.length,
    ...(returning && { rows: [...rows] }),
    ...(cut.length > 0 && { cut: [...cut] }),
    ...(rows.length < found.length && { truncated: true as const }),
  };
}

/** PostgREST is told the columns in a list, where a quote would end a name early: the rest of it, and its value, would be lost. */
const toWriteField = z
  .array(
    rowField.refine(
      (row) => Object.keys(row).every((name) => !/["\\]/.test(name)),
      'names of columns must be without " and \\',
    ),
  )
  .min(1)
  .max(maxInsertRows)
  .describe('All or none is written.');

export const insertRows = defineTool({
  name: 'insert_rows',
  title: 'Insert Rows',
  description: 'Add rows to a table, all or none.',
  effect: 'write',
  untrusted: 'bounded',
  hints: changingOutside,
  input: z.object({
    table: nameField('Table.'),
    rows: toWriteField,
    returning: returningField,
    schema: schemaField,
  }),
  output: changedOutput,
  text: changedText,

  async handler({ table, rows, returning, schema }, supabase: Supabase, call) {
    return change(supabase, call, { returning, schema }, (client) =>
      client.from(table).insert(rows, { count: 'exact' }),
    );
  },
});

export const upsertRows = defineTool({
  name: 'upsert_rows',
  title: 'Upsert Rows',
  description: 'Add rows, or change those that have the same key, all or none.',
  effect: 'destroy',
  untrusted: 'bounded',
  hints: { ...destroyingOutside, idempotent: true },
  input: z.object({
    table: nameField('Table.'),
    rows: toWriteField,
    on_conflict: textField(1_000, 'Columns of the key, with commas between; the primary key unless given.')
      // PostgREST reads as far as it understands, and says nothing of the rest.
      .refine((names) => /^[\p{L}\p{M}\p{N}_$ ,-]+$/u.test(names), 'must be columns, with commas between')
      .optional(),
    ignore_duplicates: z.boolean().default(false).describe('Leave rows as they are that have the key.'),
    returning: returningField,
    schema: schemaField,
  }),
  output: changedOutput,
  text: changedText,

  async handler(args, supabase: Supabase, call) {
    const {
      table,
      rows,
      on_conflict: onConflict,
      ignore_duplicates: ignoreDuplicates,
      returning,
      schema,
    } = args;
    return change(supabase, call, { returning, schema }, (client) =>
      client.from(table).upsert(rows, {
        count: 'exact',
        ignoreDuplicates,
        ...(onConflict !== undefined && { onConflict }),
      }),
    );
  },
});

const neededFilters = filtersField.min(1);

export const updateRows = defineTool({
  name: 'update_rows',
  title: 'Update Rows',
  description: 'Change the rows that fit the filters. At least one filter is needed.',
  effect: 'destroy',
  untrusted: 'bounded',
  hints: { ...destroyingOutside, idempotent: true },
  input: z.object({
    table: nameField('Table.'),
    values: rowField,
    filters: neededFilters,
    returning: returningField,
    schema: schemaField,
  }),
  output: changedOutput,
  text: changedText,

  async handler({ table, values, filters, returning, schema }, supabase: Supabase, call) {
    return change(supabase, call, { returning, schema }, (client) =>
      filtered(client.from(table).update(values, { count: 'exact' }), filters),
    );
  },
});

export const deleteRows = defineTool({
  name: 'delete_rows',
  title: 'Delete Rows',
  description: 'Delete the rows that fit the filters. At least one filter is needed.',
  effect: 'destroy',
  untrusted: 'bounded',
  hints: { ...destroyingOutside, idempotent: true },
  input: z.object({
    table: nameField('Table.'),
    filters: neededFilters,
    returning: returningField,
    schema: schemaField,
  }),
  output: changedOutput,
  text: changedText,

  async handler({ table, filters, returning, schema }, supabase: Supabase, call) {
    return change(supabase, call, { returning, schema }, (client) =>
      filtered(client.from(table).delete({ count: 'exact' }), filters),
    );
  },
});

const callInput = {
  name: nameField('Function.'),
  arguments: rowField.optional().describe('By name.'),
  schema: schemaField,
  limit: limitField,
};

const callOutput = z.object({
  result: z.unknown().meta({ type: 'string', description: 'What it returns: a value, a row, or rows.' }),
  cut: cutField,
  truncated: z.literal(true).optional().describe('There are more rows, or it is not whole.'),
});

async function callFunction(
  { name, arguments: given = {}, schema, limit }: z.output<z.ZodObject<typeof callInput>>,
  supabase: Supabase,
  call: Parameters<typeof ask>[1],
  isReading: boolean,
) {
  const { data } = await ask(
    supabase.project(),
    call,
    (client) => client.rpc(name, isReading ? inAddress(given) : given, { get: isReading }),
    { schema },
  );
  if (!Array.isArray(data)) {
    const [one] = shownRows([{ result: data }]).rows;
    const isWhole = JSON.stringify(one?.['result'] ?? null) === JSON.stringify(data ?? null);
    return { result: one?.['result'] ?? null, ...(!isWhole && { truncated: true as const }) };
  }
  const { rows, cut } = shownRows((data as Row[]).slice(0, limit));
  return {
    result: [...rows],
    ...(cut.length > 0 && { cut: [...cut] }),
    ...(rows.length < data.length && { truncated: true as const }),
  };
}

const isPlain = (value: unknown) => typeof value !== 'object';

/** A GET has its arguments in the address, where PostgREST has no way to write NULL or an object. */
function inAddress(given: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(given).map(([name, value]) => {
      if (!isPlain(value) && !(Array.isArray(value) && value.every(isPlain))) {
        throw new ToolError(
          'invalid_input',
          `arguments: ${name} has to be a text, a number, true, false or a list of such in a call that only reads.`,
          { hint: 'Leave null out, so that the default holds. execute_sql takes all: SELECT name($1).' },
        );
      }
      if (reserved.test(name)) {
        throw new ToolError(
          'invalid_input',
          `arguments: ${name} is a word of PostgREST's own, and would not reach the function in a call that only reads.`,
          { hint: 'Use execute_sql: SELECT name($1).' },
        );
      }
      return [name, textOf('eq', value)];
    }),
  );
}

export const callRpcReading = defineTool({
  name: 'call_rpc',
  title: 'Call Function',
  description:
    'Call a function of the database that only reads. It runs in a transaction that refuses changes. list_functions shows what there is.',
  effect: 'read',
  untrusted: 'bounded',
  hints: readingOutside,
  input: z.object(callInput),
  output: callOutput,
  handler: async (args, supabase: Supabase, call) => callFunction(args, supabase, call, true),
});

export const callRpc = defineTool({
  name: 'call_rpc',
  title: 'Call Function',
  description:
    'Call a function of the database, which may change things. list_functions shows what there is.',
  effect: 'destroy',
  untrusted: 'bounded',
  hints: destroyingOutside,
  input: z.object({
    ...callInput,
    read_only: z.boolean().default(false).describe('In a transaction that refuses changes.'),
  }),
  output: callOutput,
  handler: async ({ read_only: isReading, ...args }, supabase: Supabase, call) =>
    callFunction(args, supabase, call, isReading),
});
