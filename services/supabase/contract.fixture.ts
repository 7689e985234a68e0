import { setTimeout as sleep } from 'node:timers/promises';

import type { Contract } from '#runtime/testing.ts';

import { maxInsertRows } from './limits.ts';
import { localPair, whyNoLocalPair } from './local.fixture.ts';
import { standIn, userId } from './project.fixture.ts';
import { inOneGo } from './sql/pool.ts';

// The pair is there once for all trials. It ends with this process.
const pair = whyNoLocalPair === undefined ? await localPair() : undefined;
const project = await standIn(pair?.url);
if (whyNoLocalPair !== undefined) {
  process.stderr.write(`NOT TRIED: the supabase service without its database. ${whyNoLocalPair}\n`);
}

/** Done once: PostgREST looks at the schema again after each change of it, and takes its time. */
const tables = (foreign: string) => `
CREATE TABLE IF NOT EXISTS note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key int UNIQUE, text text);
CREATE OR REPLACE FUNCTION shout(words text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT upper(words) $$;
CREATE POLICY everyone ON note FOR UPDATE TO anon USING (text <> '${foreign}');
COMMENT ON FUNCTION shout IS '${foreign}';
COMMENT ON TABLE note IS '${foreign}';
`;
let areTablesThere = false;

export const contract: Contract = {
  listTokens: 6_000,
  settings: () => ({
    FLOTILLA_SUPABASE_MODE: 'write',
    FLOTILLA_SUPABASE_URL: project.url,
    FLOTILLA_SUPABASE_KEY: pair?.serviceKey ?? 'a-key-for-nothing',
    ...(pair && { FLOTILLA_SUPABASE_DATABASE_URL: pair.ownerUrl }),
  }),
  async prepare({ foreign, call }) {
    project.text = foreign;
    project.files.clear();
    project.files.set('papers/a/note.txt', { bytes: Buffer.from(foreign), type: 'text/plain' });
    if (pair && !areTablesThere) {
      await inOneGo(pair.ownerUrl, tables(foreign));
      // PostgREST sees them when it has looked at the schema again.
      const isSeen = async () =>
        call('call_rpc', { name: 'shout', arguments: { words: 'x' } }).then(
          () => true,
          () => false,
        );
      while (!(await isSeen())) await sleep(50);
      areTablesThere = true;
    }
    if (pair) {
      const rows = `INSERT INTO note (key, text) VALUES (1, '${foreign}'), (2, '${foreign}')`;
      await inOneGo(pair.ownerUrl, `TRUNCATE note RESTART IDENTITY; ${rows}`);
    }
    const filters = [{ column: 'key', operator: 'eq', value: 1 }];
    const object = { bucket: 'papers', path: 'a/note.txt' };
    return {
      select_rows: {
        table: 'note',
        columns: 'id,text',
        filters: [...filters, { column: 'text', operator: 'is', value: 'null', not: true }],
        order: [{ column: 'id', descending: true, nulls_first: false }],
        count: 'exact',
        schema: 'public',
        limit: 5,
      },
      insert_rows: { table: 'note', rows: [{ text: 'more' }], returning: true, schema: 'public' },
      upsert_rows: {
        table: 'note',
        rows: [{ key: 1, text: 'new' }],
        on_conflict: 'key',
        ignore_duplicates: false,
        returning: true,
        schema: 'public',
      },
      update_rows: { table: 'note', values: { key: 3 }, filters, returning: true, schema: 'public' },
      delete_rows: { table: 'note', filters, returning: true, schema: 'public' },
      call_rpc: { name: 'shout', arguments: { words: 'x' }, schema: 'public', limit: 5, read_only: true },
      postgrestRequest: { method: 'GET', path: '/note?select=*' },
      sqlToRest: { sql: 'SELECT * FROM note WHERE id = 1' },
      list_buckets: {},
      list_storage_objects: { bucket: 'papers', path: 'a', search: 'note', limit: 5 },
      download_storage_object: object,
      create_signed_url: { ...object, expires_in_seconds: 60 },
      upload_storage_object: { bucket: 'papers', path: 'b.txt', text: 'words', mime_type: 'text/plain' },
      remove_storage_objects: { bucket: 'papers', paths: ['a/note.txt', 'nope.txt'] },
      list_auth_users: { page: 1, per_page: 5 },
      get_auth_user: { id: userId },
      call_edge_function: { name: 'hello', method: 'POST', body: { a: 1 } },
      execute_sql: { query: 'SELECT * FROM note WHERE id > $1', params: [0], max_rows: 5, timeout_ms: 5_000 },
      explain_sql: {
        query: 'SELECT * FROM note WHERE id > $1',
        params: [0],
        analyze: true,
        timeout_ms: 5_000,
      },
      apply_migration: {
        name: 'make',
        query: 'CREATE TABLE made (a int)',
        dry_run: false,
        timeout_ms: 5_000,
      },
      list_tables: { schemas: ['public'], verbose: true, limit: 5 },
      list_functions: { schemas: ['public'], limit: 5 },
      list_extensions: { installed: true, limit: 5 },
      list_migrations: { limit: 5 },
      list_policies: { schemas: ['public'], table: 'note', limit: 5 },
      rls_check: { schemas: ['public'], limit: 5 },
    };
  },
  largest: (foreign) => ({
    insert_rows: {
      table: 'note',
      rows: Array.from({ length: maxInsertRows }, (_, index) => ({ text: `${foreign} ${index}`.repeat(20) })),
    },
    ...(pair && {
      execute_sql: [
        { query: `SELECT repeat('${foreign}', 300) AS a FROM generate_series(1, 1000)`, max_rows: 1_000 },
        { query: `SELECT repeat('x', 12000000) AS a` },
        { query: `SELECT '${'x'.repeat(400_000)}' AS a` },
      ],
      select_rows: { table: 'note', limit: 1_000 },
      sqlToRest: { sql: `SELECT * FROM note WHERE id IN (${'1,'.repeat(4_000)}1)` },
    }),
  }),
};
