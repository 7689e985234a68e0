import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Contract } from '#runtime/testing.ts';

import { maxBulkRows, maxInsightLength } from './limits.ts';

export const contract: Contract = {
  listTokens: 8_000,
  settings: (folder) => ({ FLOTILLA_ROOTS: folder }),
  keep: (number) => ({ tool: 'append_insight', args: { insight: `Finding ${number}.` } }),
  async prepare({ folder, foreign, call }) {
    await call('create_table', {
      query: `CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT DEFAULT '${foreign}')`,
    });
    await call('write_query', { query: 'INSERT INTO note (text) VALUES (?)', params: [foreign] });
    writeFileSync(join(folder, 'notes.csv'), `id,text\r\n10,${foreign}\r\n`);
    const { transaction } = await call('begin_transaction', {});
    const select = { query: 'SELECT * FROM note WHERE id > ?', params: [0] };
    const limits = { limit: 5, timeout_ms: 10_000 };
    return {
      read_query: { ...select, ...limits },
      write_query: {
        query: 'INSERT INTO note (text) VALUES (?) RETURNING *',
        params: ['more'],
        timeout_ms: 10_000,
      },
      create_table: { query: 'CREATE TABLE made (a)', timeout_ms: 10_000 },
      list_tables: {},
      describe_table: { table_name: 'note' },
      append_insight: { insight: 'Notes grow.' },
      execute_sql: { sql: 'DELETE FROM note WHERE id = ?; SELECT * FROM note', params: [5], ...limits },
      execute_batch: { statements: [{ sql: 'UPDATE note SET text = ?', params: ['new'] }], ...limits },
      search_objects: { pattern: '%', object_type: 'table', table: 'note', detail_level: 'full', limit: 5 },
      explain_sql: { sql: 'SELECT * FROM note' },
      begin_transaction: { mode: 'deferred', database: 'flotilla.db', timeout_ms: 10_000 },
      commit_transaction: { transaction, timeout_ms: 10_000 },
      rollback_transaction: { transaction, timeout_ms: 10_000 },
      bulk_insert: {
        table: 'note',
        rows: [['one'], ['two']],
        columns: ['text'],
        on_conflict: 'abort',
        timeout_ms: 10_000,
      },
      import_csv: {
        path: 'notes.csv',
        table: 'note',
        columns: ['id', 'text'],
        header: true,
        delimiter: ',',
        null_text: 'NULL',
        on_conflict: 'replace',
      },
      export_csv: { path: 'out.csv', ...select, header: true, delimiter: ';', overwrite: true },
      export_schema: { table: 'note' },
      backup_database: { path: 'copy.db', database: 'flotilla.db' },
      database_info: { database: 'flotilla.db', check: 'quick' },
      list_databases: { limit: 5 },
      open_database: { path: 'new.db', create: true },
      analyze_table: { table: 'note', columns: ['text'], sample: 100, timeout_ms: 10_000 },
      vacuum_database: { database: 'flotilla.db' },
      create_fts_index: { table: 'note', columns: ['text'], name: 'found', tokenizer: 'words' },
    };
  },
  largest: (foreign) => ({
    write_query: { query: `INSERT INTO note (text) VALUES ('${'x'.repeat(900_000)}')` },
    bulk_insert: {
      table: 'note',
      columns: ['text'],
      rows: Array.from({ length: maxBulkRows }, (_, index) => [`${foreign} ${index}`]),
    },
    read_query: {
      query: `SELECT '${foreign}' || hex(zeroblob(1000)) FROM note, (VALUES ${'(1),'.repeat(999)}(1))`,
      limit: 1_000,
    },
    append_insight: { insight: 'é'.repeat(maxInsightLength) },
  }),
};
