/** Callers' own SQL. */
import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField } from '#runtime/fields.ts';
import { adding, reading, reshaping } from '#runtime/hints.ts';
import { pageBytes, withCursor } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import type { Databases } from '../databases.ts';
import type { Outcome } from '../engine/statements.ts';
import { limitField, paramsField, resultOutput, sqlField, way } from '../fields.ts';
import { maxRows, maxStatements } from '../limits.ts';

const position = z.tuple([z.int().min(0)]);

const linesOf = (rows: readonly object[]) =>
  rows.length === 0 ? '[]' : `[${rows.map((row) => JSON.stringify(row)).join(',\n')}]`;

const cutOf = ({ cut }: Outcome) => (cut.length === 0 ? {} : { cut: [...cut] });
const cutText = (cut: readonly string[] | undefined) =>
  cut ? `\n[cut, use substr() to read on: ${cut.join('; ')}]` : '';

export const readQuery = defineTool({
  name: 'read_query',
  title: 'Read Query',
  description:
    'Run one statement that only reads: SELECT, WITH, VALUES, EXPLAIN or a PRAGMA that tells something. Values go into params, for ? or :name.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    query: sqlField('SQL.'),
    params: paramsField,
    limit: limitField,
    cursor: cursorField,
    ...way,
  }),
  output: z.object({
    ...resultOutput,
    row_count: z.int().describe('Of this page.'),
    ...continuation,
  }),
  text: ({ rows, next_cursor: cursor, cut }) => withCursor(linesOf(rows) + cutText(cut), cursor),

  async handler({ cursor, ...args }, databases: Databases, call) {
    const { query, params, limit, ...way } = args;
    const [skip] = decodeCursor('read_query', args, cursor, position, [0]);
    const bounds = { rows: limit, skip, bytes: pageBytes };
    const outcome = await databases.ask(call, 'query', way, { sql: query, params, bounds });
    return {
      columns: [...outcome.columns],
      rows: [...outcome.rows],
      row_count: outcome.rows.length,
      ...cutOf(outcome),
      ...(outcome.isCut && {
        truncated: true as const,
        next_cursor: encodeCursor('read_query', args, [skip + outcome.rows.length]),
      }),
    };
  },
});

const changed = {
  affected_rows: z.int().describe('Rows inserted, changed or deleted.'),
  last_insert_rowid: z.unknown().optional().describe('Of the last row inserted.'),
};

const changedOf = (outcome: Outcome) => ({
  affected_rows: outcome.affected,
  ...(outcome.lastRowid !== undefined && { last_insert_rowid: outcome.lastRowid }),
});

const returned = {
  rows: resultOutput.rows.optional(),
  cut: resultOutput.cut,
  truncated: z.literal(true).optional().describe('There are more rows.'),
};

const returnedOf = (outcome: Outcome) => ({
  ...(outcome.columns.length > 0 && { rows: [...outcome.rows] }),
  ...cutOf(outcome),
  ...(outcome.isCut && { truncated: true as const }),
});

export const writeQuery = defineTool({
  name: 'write_query',
  title: 'Write Query',
  description:
    'Run one INSERT, UPDATE, DELETE or REPLACE, with RETURNING too, or CREATE or ALTER. It is on disk when this returns. For DROP use execute_sql.',
  effect: 'write',
  untrusted: 'bounded',
  hints: reshaping,
  input: z.object({ query: sqlField('SQL.'), params: paramsField, ...way }),
  output: z.object({ ...changed, ...returned }),
  text: ({ affected_rows: affected, rows, cut }) =>
    `[{"affected_rows": ${affected}}]${rows ? `\n${linesOf(rows)}` : ''}${cutText(cut)}`,

  async handler({ query, params, ...way }, databases: Databases, call) {
    const bounds = { rows: maxRows, skip: 0, bytes: pageBytes };
    const outcome = await databases.ask(
      call,
      'change',
      way,
      { sql: query, params, bounds },
      { changes: true },
    );
    return { ...changedOf(outcome), ...returnedOf(outcome) };
  },
});

export const createTable = defineTool({
  name: 'create_table',
  title: 'Create Table',
  description: 'Run one CREATE TABLE, also IF NOT EXISTS, AS SELECT or VIRTUAL (fts5, rtree).',
  effect: 'write',
  hints: adding,
  input: z.object({ query: sqlField('SQL.'), ...way }),
  output: z.object({ message: z.string().describe('What was done.') }),
  text: ({ message }) => message,

  async handler({ query, ...way }, databases: Databases, call) {
    const bounds = { rows: 1, skip: 0, bytes: pageBytes };
    await databases.ask(
      call,
      'createTable',
      way,
      { sql: query, params: undefined, bounds },
      { changes: true },
    );
    return { message: 'Table created successfully' };
  },
});

const statementsOutput = z.object({
  statements: z
    .array(z.object({ ...changed, ...returned, count: z.int().describe('Of the rows shown.') }))
    .describe('What each did.'),
});

const statementsOf = (outcomes: readonly Outcome[]) => ({
  statements: outcomes.map((outcome) => ({
    ...changedOf(outcome),
    ...returnedOf(outcome),
    count: outcome.rows.length,
  })),
});

const statementsText = ({ statements }: z.output<typeof statementsOutput>) =>
  statements
    .map(({ rows, affected_rows: affected, truncated, cut }, index) => {
      const said = rows ? linesOf(rows) : `${affected} rows affected`;
      return `${index + 1}: ${said}${truncated ? '\n[truncated]' : ''}${cutText(cut)}`;
    })
    .join('\n');

export const executeSql = defineTool({
  name: 'execute_sql',
  title: 'Execute SQL',
  description:
    'Run any statements, DROP and ALTER too. Several are one change: all or nothing. ATTACH, VACUUM and BEGIN are closed.',
  effect: 'destroy',
  untrusted: 'bounded',
  hints: reshaping,
  input: z.object({
    sql: sqlField('Statements with ; between.'),
    params: paramsField,
    limit: limitField,
    ...way,
  }),
  output: statementsOutput,
  text: statementsText,

  async handler({ sql, params, limit, ...way }, databases: Databases, call) {
    const bounds = { rows: limit, skip: 0, bytes: pageBytes };
    return statementsOf(
      await databases.ask(call, 'executeAll', way, { sql, params, bounds }, { changes: true }),
    );
  },
});

export const executeBatch = defineTool({
  name: 'execute_batch',
  title: 'Execute Batch',
  description: 'Run statements with params of their own as one change: all or nothing.',
  effect: 'destroy',
  untrusted: 'bounded',
  hints: reshaping,
  input: z.object({
    statements: z
      .array(z.object({ sql: sqlField('One statement.'), params: paramsField }).strict())
      .min(1)
      .refine((list) => list.length <= maxStatements, `must be at most ${maxStatements}`)
      .describe('In order.'),
    limit: limitField,
    ...way,
  }),
  output: statementsOutput,
  text: statementsText,

  async handler({ statements, limit, ...way }, databases: Databases, call) {
    const bounds = { rows: limit, skip: 0, bytes: pageBytes };
    return statementsOf(await databases.ask(call, 'batch', way, { statements, bounds }, { changes: true }));
  },
});

export const explainSql = defineTool({
  name: 'explain_sql',
  title: 'Explain SQL',
  description:
    'Show how SQLite would run a statement, without running it: which indexes it uses, what it scans.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ sql: sqlField('One statement.'), database: way.database, transaction: way.transaction }),
  output: z.object({
    steps: z
      .array(
        z.object({
          id: z.int().describe('Number.'),
          parent: z.int().describe('The step it belongs to.'),
          detail: z.string().describe('What is done.'),
        }),
      )
      .describe('In order.'),
    changes: z.boolean().describe('Whether it would change something.'),
  }),
  text: ({ steps }) => steps.map(({ detail }) => detail).join('\n'),

  handler: async ({ sql, ...way }, databases: Databases, call) => {
    const { steps, changes } = await databases.ask(call, 'explain', way, { sql });
    return { steps, changes };
  },
});
