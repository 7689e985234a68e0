/** What is in a database. */
import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { continued, fitting, pageBytes, pageOf, withCursor } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import type { Databases } from '../databases.ts';
import { databaseField, limitField, nameField, way } from '../fields.ts';

const place = { database: way.database, transaction: way.transaction };
const position = z.tuple([z.int().min(0)]);

export const listTables = defineTool({
  name: 'list_tables',
  title: 'List Tables',
  description: 'List the tables and views of a database.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ cursor: cursorField, ...place }),
  output: z.object({
    tables: z
      .array(
        z.object({
          name: z.string().describe('Name.'),
          type: z
            .string()
            .describe('table, view, virtual, or shadow: what a virtual table keeps its contents in.'),
        }),
      )
      .describe('In the order in which they were made.'),
    ...continuation,
  }),
  text: ({ tables, next_cursor: cursor }) =>
    withCursor(`[${tables.map(({ name }) => JSON.stringify({ name })).join(', ')}]`, cursor),

  async handler({ cursor, ...way }, databases: Databases, call) {
    const [skip] = decodeCursor('list_tables', way, cursor, position, [0]);
    const { found, hasMore } = await databases.ask(call, 'tables', way, { skip });
    const tables = fitting(found);
    const isCut = hasMore || tables.length < found.length;
    return { tables, ...continued('list_tables', way, isCut ? [skip + tables.length] : undefined) };
  },
});

const column = z.object({
  cid: z.int().describe('Position.'),
  name: z.string().describe('Name.'),
  type: z.string().describe('As declared.'),
  notnull: z.int().describe('1 where NULL is refused.'),
  dflt_value: z.string().nullable().describe('Default, as SQL.'),
  pk: z.int().describe('Place in the primary key, or 0.'),
  hidden: z.int().describe('1 hidden, 2 or 3 generated.'),
});

export const describeTable = defineTool({
  name: 'describe_table',
  title: 'Describe Table',
  description: 'Show the columns, indexes and foreign keys of a table or view, and its SQL.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ table_name: nameField('Table or view.'), ...place }),
  output: z.object({
    name: z.string().describe('Name.'),
    type: z.string().describe('table, view, virtual or shadow.'),
    columns: z.array(column).describe('As PRAGMA table_xinfo tells them.'),
    indexes: z
      .array(
        z.object({
          name: z.string().describe('Name.'),
          columns: z.array(z.string()).describe('In order.'),
          unique: z.boolean().describe('Whether values differ.'),
          partial: z.boolean().describe('Whether it has a WHERE.'),
          origin: z.string().describe('c made, u UNIQUE, pk primary key.'),
        }),
      )
      .describe('Indexes.'),
    foreign_keys: z
      .array(
        z.object({
          column: z.string().describe('Here.'),
          references: z.string().describe('There.'),
          on_update: z.string().describe('Action.'),
          on_delete: z.string().describe('Action.'),
        }),
      )
      .describe('Foreign keys.'),
    sql: z.string().nullable().describe('What made it.'),
    problem: z.string().optional().describe('Why its columns cannot be told.'),
    truncated: z
      .literal(true)
      .optional()
      .describe('Some columns are left out: PRAGMA table_xinfo shows them all.'),
  }),

  async handler({ table_name: table, ...way }, databases: Databases, call) {
    const { problem, sql, columns, indexes, ...told } = await databases.ask(call, 'describe', way, { table });
    const fit = fitting(columns);
    const few = fitting(indexes);
    return {
      ...told,
      columns: fit,
      indexes: few,
      sql: sql === null ? null : pageOf(sql, 0, pageBytes / 4).text,
      ...(problem !== undefined && { problem }),
      ...((fit.length < columns.length || few.length < indexes.length) && { truncated: true as const }),
    };
  },
});

export const searchObjects = defineTool({
  name: 'search_objects',
  title: 'Search Objects',
  description: 'Find tables, views, indexes, triggers and columns by name.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    pattern: nameField('As in LIKE: % any text, _ one character.').default('%'),
    object_type: z.enum(['table', 'view', 'index', 'trigger', 'column']).optional().describe('Only these.'),
    table: nameField('Only what belongs to it.').optional(),
    detail_level: z.enum(['names', 'summary', 'full']).default('summary').describe('full adds the SQL.'),
    limit: limitField,
    cursor: cursorField,
    ...place,
  }),
  output: z.object({
    objects: z
      .array(
        z.object({
          name: z.string().describe('Name.'),
          type: z.string().describe('Kind.'),
          table: z.string().optional().describe('Where it belongs.'),
          details: z.string().optional().describe('Columns, or of a column its type.'),
          sql: z.string().optional().describe('What made it.'),
        }),
      )
      .describe('Found.'),
    ...continuation,
  }),

  async handler({ cursor, ...args }, databases: Databases, call) {
    const { pattern, object_type: type, table, detail_level: detail, limit, ...way } = args;
    const [skip] = decodeCursor('search_objects', args, cursor, position, [0]);
    const sought = { pattern, type, table, detail, skip, limit };
    const { found, hasMore } = await databases.ask(call, 'search', way, sought);
    const objects = fitting(found);
    const next = objects.length < found.length || hasMore ? [skip + objects.length] : undefined;
    return { objects, ...continued('search_objects', args, next) };
  },
});

export const exportSchema = defineTool({
  name: 'export_schema',
  title: 'Export Schema',
  description: 'Give the SQL that makes an empty database like this one.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    table: nameField('Only this, with its indexes and triggers.').optional(),
    cursor: cursorField,
    ...place,
  }),
  output: z.object({ sql: z.string().describe('Statements.'), ...continuation }),
  text: ({ sql, next_cursor: cursor }) => withCursor(sql, cursor),

  async handler({ cursor, ...args }, databases: Databases, call) {
    const { table, ...way } = args;
    const [start] = decodeCursor('export_schema', args, cursor, position, [0]);
    const { text, length } = await databases.ask(call, 'schema', way, { table, start });
    const page = pageOf(text, 0, pageBytes).text;
    const next = start + page.length;
    return { sql: page, ...continued('export_schema', args, next < length ? [next] : undefined) };
  },
});

const value = z.unknown().meta({ description: 'A value.' });

export const analyzeTable = defineTool({
  name: 'analyze_table',
  title: 'Analyze Table',
  description:
    'Profile the columns of a table: kinds of values, NULLs, distinct, least, greatest, mean and most frequent.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    table: nameField('Table or view.'),
    columns: z.array(nameField('Name.')).max(100).optional().describe('Only these.'),
    sample: z.int().min(1).max(10_000_000).default(100_000).describe('Most rows to look at, the first ones.'),
    ...way,
  }),
  output: z.object({
    rows: z.int().describe('Looked at.'),
    sampled: z.boolean().describe('Whether there are more.'),
    columns: z
      .array(
        z.object({
          name: z.string().describe('Name.'),
          declared: z.string().describe('Type.'),
          nulls: z.int().describe('How many.'),
          distinct: z.int().describe('How many.'),
          min: value,
          max: value,
          mean: z.number().optional().describe('Of the numbers.'),
          types: z.unknown().meta({ type: 'object', description: 'Rows by kind of value.' }),
          frequent: z.array(z.object({ value, count: z.int().describe('Rows.') })).describe('Most frequent.'),
        }),
      )
      .describe('Columns.'),
    truncated: z.literal(true).optional().describe('Some are left out: name them.'),
  }),

  async handler({ table, columns, sample, ...way }, databases: Databases, call) {
    const found = await databases.ask(call, 'profile', way, { table, columns, sample });
    const shown = fitting(found.columns);
    return {
      rows: found.rows,
      sampled: found.isSampled,
      columns: shown,
      ...(shown.length < found.columns.length && { truncated: true as const }),
    };
  },
});

export const databaseInfo = defineTool({
  name: 'database_info',
  title: 'Database Info',
  description: 'Tell size, journal mode, encoding, versions and counts of a database, and check it.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  timeoutMs: 120_000,
  input: z.object({
    database: databaseField,
    check: z
      .enum(['none', 'quick', 'full'])
      .default('none')
      .describe('Look for damage, all of it with full.'),
  }),
  output: z.object({
    path: z.string().describe('Where.'),
    exists: z.boolean().describe('False for the default database before its first table.'),
    size_bytes: z.int().describe('Of the file.'),
    wal_bytes: z.int().describe('Of the log beside it.'),
    page_size: z.int().describe('Bytes.'),
    page_count: z.int().describe('Pages.'),
    freelist_count: z.int().describe('Free pages.'),
    journal_mode: z.string().describe('wal, delete and others.'),
    encoding: z.string().describe('Of text.'),
    user_version: z.int().describe('The application’s number.'),
    application_id: z.int().describe('The application’s mark.'),
    counts: z.unknown().meta({ type: 'object', description: 'Objects by kind.' }),
    problems: z.array(z.string()).optional().describe('What the check found; empty when whole.'),
  }),

  async handler({ database, check }, databases: Databases, call) {
    const isLong = check !== 'none';
    const { problems, ...info } = await databases.ask(call, 'info', { database }, { check }, { isLong });
    return { ...info, ...(problems && { problems: fitting(problems) }) } as never;
  },
});
