import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Workload } from '#runtime/workload.ts';

const rows = 100_000;
const csvRows = 10_000;

const lineOf = (number: number) =>
  `${number},customer ${number},${(number % 1_000) / 4},"a ""note"" about ${number}"\r\n`;

export const workload: Workload<void> = {
  settings: (folder) => ({ FLOTILLA_ROOTS: folder }),
  async seed({ folder, call }) {
    const header = 'id,name,amount,note\r\n';
    writeFileSync(
      join(folder, 'sales.csv'),
      header + Array.from({ length: rows }, (_, at) => lineOf(at)).join(''),
    );
    writeFileSync(
      join(folder, 'some.csv'),
      header + Array.from({ length: csvRows }, (_, at) => lineOf(at)).join(''),
    );
    await call('create_table', {
      query: 'CREATE TABLE sale (id INTEGER PRIMARY KEY, name TEXT, amount REAL, note TEXT)',
    });
    await call('import_csv', { path: 'sales.csv', table: 'sale' });
    await call('execute_sql', { sql: 'CREATE TABLE added (id INTEGER PRIMARY KEY, name TEXT)' });
  },
  calls: [
    {
      title: 'read_query of one row',
      tool: 'read_query',
      kind: 'small-read',
      arguments: (number) => ({
        query: 'SELECT * FROM sale WHERE id = ?',
        params: [(number * 7_919) % rows],
      }),
    },
    {
      title: 'write_query, one row',
      tool: 'write_query',
      kind: 'small-write',
      arguments: (number) => ({ query: 'INSERT INTO added (name) VALUES (?)', params: [`name ${number}`] }),
    },
    {
      title: 'bulk_insert, 100 rows',
      tool: 'bulk_insert',
      kind: 'large',
      arguments: (number) => ({
        table: 'added',
        columns: ['name'],
        rows: Array.from({ length: 100 }, (_, at) => [`name ${number} ${at}`]),
      }),
    },
    {
      title: 'read_query, 200 rows of 100,000 in order',
      tool: 'read_query',
      kind: 'large',
      arguments: (number) => ({
        query: 'SELECT * FROM sale ORDER BY amount, id LIMIT 200 OFFSET ?',
        params: [number % 100],
      }),
    },
    {
      title: 'import_csv, 10,000 rows',
      tool: 'import_csv',
      kind: 'large',
      arguments: () => ({ path: 'some.csv', table: 'sale', on_conflict: 'replace' }),
    },
    {
      title: 'export_csv, 100,000 rows',
      tool: 'export_csv',
      kind: 'large',
      arguments: (number) => ({ table: 'sale', path: `out-${number % 8}.csv`, overwrite: true }),
    },
  ],
  heavy: [
    {
      tool: 'read_query',
      arguments: () => ({
        query: 'SELECT count(*) FROM sale a, sale b WHERE a.amount < b.amount',
        timeout_ms: 2_000,
      }),
    },
    { tool: 'analyze_table', arguments: () => ({ table: 'sale' }) },
    { tool: 'import_csv', arguments: () => ({ path: 'sales.csv', table: 'sale', on_conflict: 'replace' }) },
    {
      tool: 'export_csv',
      arguments: (number) => ({ table: 'sale', path: `heavy-${number % 8}.csv`, overwrite: true }),
    },
  ],
};
