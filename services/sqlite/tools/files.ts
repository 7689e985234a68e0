/** Databases as files, and CSV. */
import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField } from '#runtime/fields.ts';
import { adding, completing, reading, replacing, reshaping } from '#runtime/hints.ts';
import { continued, fitting } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import type { Databases } from '../databases.ts';
import { delimiters } from '../engine/csv.ts';
import {
  databaseField,
  limitField,
  nameField,
  paramsField,
  pathField,
  sqlField,
  transactionField,
} from '../fields.ts';
import { longEndingMs, longTimeoutMs, maxColumns, maxTimeoutMs } from '../limits.ts';

const position = z.tuple([z.int().min(0)]);

export const listDatabases = defineTool({
  name: 'list_databases',
  title: 'List Databases',
  description: 'List the SQLite databases below the allowed directories, whatever their names end with.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ limit: limitField, cursor: cursorField }),
  output: z.object({
    databases: z
      .array(
        z.object({
          path: z.string().describe('Pass as database.'),
          size_bytes: z.int().describe('Of the file.'),
          modified: z.string().describe('When.'),
        }),
      )
      .describe('Found.'),
    default_database: z.string().describe('Meant where none is named; made by the first write.'),
    incomplete: z.literal(true).optional().describe('There were too many files to look at all.'),
    ...continuation,
  }),

  async handler({ cursor, ...args }, databases: Databases, call) {
    const [skip] = decodeCursor('list_databases', args, cursor, position, [0]);
    const { path } = databases.named(undefined);
    const asked = { skip, limit: args.limit };
    const listed = await databases.ask(call, 'databases', { timeout_ms: maxTimeoutMs }, asked, {
      listens: true,
    });
    const found = fitting(listed.found);
    const next = found.length < listed.found.length || listed.hasMore ? [skip + found.length] : undefined;
    return {
      databases: found,
      default_database: path,
      ...(listed.isCut && { incomplete: true as const }),
      ...continued('list_databases', args, next),
    };
  },
});

export const openDatabase = defineTool({
  name: 'open_database',
  title: 'Open Database',
  description:
    'Check that a file is a database that can be opened, or make an empty one. Pass its path as database from then on.',
  effect: 'write',
  hints: completing,
  input: z.object({
    path: pathField('Path; a new one ends with .db, .sqlite or .sqlite3.'),
    create: z.boolean().default(false).describe('Make it where it is missing.'),
  }),
  output: z.object({
    database: z.string().describe('Pass as database.'),
    created: z.boolean().describe('Whether it was missing.'),
    tables: z.int().describe('How many.'),
    journal_mode: z.string().describe('wal, delete and others.'),
    size_bytes: z.int().describe('Of the file.'),
  }),

  async handler({ path, create }, databases: Databases, call) {
    const opened = await databases.ask(
      call,
      'openDatabase',
      { database: path },
      { creates: create },
      { changes: create },
    );
    const { path: database, ...told } = opened;
    return { database, ...told, created: create && told.created };
  },
});

const isWellFormed = (text: string) => text.isWellFormed();

const delimiterField = z.enum(delimiters).default(',').describe('Between fields.');

export const importCsv = defineTool({
  name: 'import_csv',
  title: 'Import CSV',
  description:
    'Add the rows of a CSV file (UTF-8, or UTF-16 with a mark) to a table, all or none. A table that is missing is made, with types that fit all values. An empty field is NULL, "" an empty text.',
  effect: 'write',
  hints: reshaping,
  task: 'optional',
  timeoutMs: longTimeoutMs,
  endingMs: longEndingMs,
  input: z.object({
    path: pathField('CSV file.'),
    table: nameField('Table.'),
    columns: z
      .array(nameField('Name.'))
      .min(1)
      .refine((names) => names.length <= maxColumns, `must be at most ${maxColumns}`)
      .optional()
      .describe('One for each field, in place of the header.'),
    header: z.boolean().default(true).describe('Whether the first line has names.'),
    delimiter: delimiterField,
    null_text: z
      .string()
      .max(100)
      .refine(isWellFormed, 'must be well-formed')
      .optional()
      .describe('An unquoted field that means NULL too.'),
    on_conflict: z
      .enum(['abort', 'ignore', 'replace'])
      .default('abort')
      .describe('Where a key is there already.'),
    database: databaseField,
    transaction: transactionField,
  }),
  output: z.object({
    rows: z.int().describe('In the file.'),
    inserted: z.int().describe('Of them.'),
    created: z.boolean().describe('Whether the table was made.'),
  }),

  async handler(
    { path, table, columns, header, delimiter, null_text: nullText, on_conflict: onConflict, ...way },
    databases: Databases,
    call,
  ) {
    const form = { delimiter, nullText };
    const job = { path: databases.pathOf(path), table, columns, form, hasHeader: header, onConflict };
    const { read, inserted, created } = await databases.importCsv(call, way, job);
    return { rows: read, inserted, created };
  },
});

export const exportCsv = defineTool({
  name: 'export_csv',
  title: 'Export CSV',
  description:
    'Write a table, or what a query returns, to a CSV file (UTF-8). NULL becomes an empty field, an empty text "", a blob base64.',
  effect: 'write',
  hints: replacing,
  task: 'optional',
  timeoutMs: longTimeoutMs,
  endingMs: longEndingMs,
  input: z.object({
    path: pathField('File to make; ends with .csv, .tsv or .txt.'),
    table: nameField('Table or view; or give query.').optional(),
    query: sqlField('SELECT; or give table.').optional(),
    params: paramsField,
    header: z.boolean().default(true).describe('Names in the first line.'),
    delimiter: delimiterField,
    overwrite: z.boolean().default(false).describe('Replace a file of this name.'),
    database: databaseField,
    transaction: transactionField,
  }),
  output: z.object({
    path: z.string().describe('The file.'),
    rows: z.int().describe('Written.'),
    size_bytes: z.int().describe('Of the file.'),
  }),

  async handler(
    { path, table, query, params, header, delimiter, overwrite, ...way },
    databases: Databases,
    call,
  ) {
    databases.requireWritable();
    const job = {
      path: databases.pathOf(path),
      table: query === undefined ? table : undefined,
      query: query === undefined ? undefined : { sql: query, params },
      delimiter,
      hasHeader: header,
      overwrites: overwrite,
    };
    if ((table === undefined) === (query === undefined)) {
      throw new ToolError('invalid_input', 'Give either table or query.');
    }
    const done = await databases.writing(job.path, async (temporary) =>
      databases.ask(call, 'exportCsv', way, { ...job, temporary }, { isLong: true, listens: true }),
    );
    return { path: done.path, rows: done.rows, size_bytes: done.bytes };
  },
});

export const backupDatabase = defineTool({
  name: 'backup_database',
  title: 'Backup Database',
  description:
    'Copy a database as it is at one moment, while others use it. A file that is there is never written over.',
  effect: 'write',
  hints: adding,
  task: 'optional',
  timeoutMs: longTimeoutMs,
  endingMs: longEndingMs,
  input: z.object({
    path: pathField('File to make; ends with .db, .sqlite or .sqlite3.'),
    database: databaseField,
  }),
  output: z.object({ path: z.string().describe('The copy.'), size_bytes: z.int().describe('Of it.') }),

  async handler({ path, database }, databases: Databases, call) {
    databases.requireWritable();
    const to = databases.pathOf(path);
    const done = await databases.writing(to, async (temporary) =>
      databases.ask(call, 'backup', { database }, { path: to, temporary }, { isLong: true, listens: true }),
    );
    return { path: done.path, size_bytes: done.bytes };
  },
});

export const vacuumDatabase = defineTool({
  name: 'vacuum_database',
  title: 'Vacuum Database',
  description:
    'Write a database anew without its free pages. Needs as much free disk again, and nobody else writing.',
  effect: 'write',
  hints: completing,
  task: 'optional',
  timeoutMs: longTimeoutMs,
  endingMs: longEndingMs,
  input: z.object({ database: databaseField }),
  output: z.object({
    before_bytes: z.int().describe('Size of the file.'),
    after_bytes: z.int().describe('Size now.'),
  }),

  handler: async ({ database }, databases: Databases, call) => {
    const done = await databases.ask(call, 'vacuum', { database }, {}, { changes: true, isLong: true });
    return { ...done };
  },
});

export const createFtsIndex = defineTool({
  name: 'create_fts_index',
  title: 'Create FTS Index',
  description:
    'Make a full-text index (FTS5) over columns of a table, which triggers keep up to date. Search: SELECT … FROM table WHERE rowid IN (SELECT rowid FROM index WHERE index MATCH ?).',
  effect: 'write',
  hints: adding,
  task: 'optional',
  timeoutMs: longTimeoutMs,
  endingMs: longEndingMs,
  input: z.object({
    table: nameField('Table.'),
    columns: z.array(nameField('Name.')).min(1).max(100).describe('With text.'),
    name: nameField('Of the index; the table with _fts unless given.').optional(),
    tokenizer: z
      .enum(['words', 'stems', 'trigrams'])
      .default('words')
      .describe('stems: English; trigrams: parts of words, any language.'),
    database: databaseField,
    transaction: transactionField,
  }),
  output: z.object({
    index: z.string().describe('Name.'),
    table: z.string().describe('Table.'),
    rows: z.int().describe('Indexed.'),
  }),

  async handler({ table, columns, name = `${table}_fts`, tokenizer, ...way }, databases: Databases, call) {
    const job = { table, columns, name, tokenizer };
    const done = await databases.ask(call, 'createFts', way, job, { changes: true, isLong: true });
    return { index: name, ...done };
  },
});
