import { setTimeout as sleep } from 'node:timers/promises';

import type { Workload } from '#runtime/workload.ts';

import { localPair, whyNoLocalPair } from './local.fixture.ts';
import { inOneGo } from './sql/pool.ts';

const rows = 100_000;

const tables = `
CREATE TABLE sale (id int PRIMARY KEY, name text, amount numeric, note text);
INSERT INTO sale SELECT n, 'customer ' || n, (n % 1000) / 4.0, 'a note about ' || n FROM generate_series(0, ${rows - 1}) n;
CREATE TABLE added (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
ANALYZE;
`;

export const workload: Workload<void> = {
  missing: whyNoLocalPair,
  /** The pair ends with the bench. */
  async settings() {
    const pair = await localPair();
    await inOneGo(pair.ownerUrl, tables);
    return {
      FLOTILLA_SUPABASE_MODE: 'write',
      FLOTILLA_SUPABASE_URL: pair.url,
      FLOTILLA_SUPABASE_KEY: pair.serviceKey,
      FLOTILLA_SUPABASE_DATABASE_URL: pair.ownerUrl,
    };
  },
  async seed({ call }) {
    // PostgREST sees the new tables when it has looked at the schema again.
    const isSeen = async () =>
      call('select_rows', { table: 'added' }).then(
        () => true,
        () => false,
      );
    while (!(await isSeen())) await sleep(50);
  },
  // Two programs of others stand behind each call: nothing of it is held to an echo.
  calls: [
    {
      title: 'execute_sql, one row',
      tool: 'execute_sql',
      kind: 'large',
      arguments: (number) => ({
        query: 'SELECT * FROM sale WHERE id = $1',
        params: [(number * 7_919) % rows],
      }),
    },
    {
      title: 'select_rows, one row',
      tool: 'select_rows',
      kind: 'large',
      arguments: (number) => ({
        table: 'sale',
        filters: [{ column: 'id', operator: 'eq', value: (number * 7_919) % rows }],
      }),
    },
    {
      title: 'insert_rows, one row',
      tool: 'insert_rows',
      kind: 'large',
      arguments: (number) => ({ table: 'added', rows: [{ name: `name ${number}` }], returning: false }),
    },
    {
      title: 'execute_sql, 200 rows of 100,000 in order',
      tool: 'execute_sql',
      kind: 'large',
      arguments: (number) => ({
        query: 'SELECT * FROM sale ORDER BY amount, id LIMIT 200 OFFSET $1',
        params: [number % 100],
        max_rows: 200,
      }),
    },
    {
      title: 'list_tables, verbose',
      tool: 'list_tables',
      kind: 'large',
      arguments: () => ({ verbose: true }),
    },
    {
      title: 'sqlToRest',
      tool: 'sqlToRest',
      kind: 'large',
      arguments: (number) => ({
        sql: `SELECT id, name FROM sale WHERE id = ${number} ORDER BY name LIMIT 5`,
      }),
    },
  ],
  heavy: [
    {
      tool: 'execute_sql',
      arguments: () => ({
        query: 'SELECT count(*) FROM sale a JOIN sale b ON a.amount < b.amount',
        timeout_ms: 2_000,
      }),
    },
    { tool: 'select_rows', arguments: () => ({ table: 'sale', limit: 1_000 }) },
    { tool: 'execute_sql', arguments: () => ({ query: 'SELECT * FROM sale', max_rows: 1_000 }) },
  ],
};
