/** What there is in the database, and whom its row policies let in. */
import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { fitting } from '#runtime/page.ts';
import { defineTool, type Call } from '#runtime/tool.ts';

import { nameField } from '../fields.ts';
import { defaultTimeoutMs } from '../limits.ts';
import type { Supabase } from '../supabase.ts';
import { readingOutside } from './rows.ts';

const schemasField = z.array(nameField('Name.')).max(50).default(['public']).describe('In these.');
const position = z.tuple([z.int().min(0)]);
const page = { limit: limitField(500, 100), cursor: cursorField };

/** Our own query, with names as values and never as SQL. */
async function asked<Found extends object>(
  supabase: Supabase,
  call: Call,
  sql: string,
  values: readonly unknown[],
): Promise<Found[]> {
  return supabase
    .database()
    .run(call, { access: 'read', timeoutMs: defaultTimeoutMs }, async (session) =>
      session.all<Found>(sql, values),
    );
}

/** The page of a list that the query has cut to one more than fits. */
function paged<Found>(tool: string, args: { limit: number }, skip: number, found: readonly Found[]) {
  const items = fitting(found.slice(0, args.limit));
  return {
    items,
    more: items.length < found.length && {
      truncated: true as const,
      next_cursor: encodeCursor(tool, args, [skip + items.length]),
    },
  };
}

const column = z.object({
  name: z.string().describe('Name.'),
  data_type: z.string().describe('Type.'),
  nullable: z.boolean().describe('Takes NULL.'),
  default_value: z.string().optional().describe('SQL.'),
  is_generated: z.literal(true).optional().describe('Computed.'),
  comment: z.string().optional().describe('What is said of it.'),
});

const table = z.object({
  name: z.string().describe('With its schema.'),
  kind: z.string().describe('table, view, materialized view, foreign table or partitioned table.'),
  rls_enabled: z.boolean().describe('Whether row policies hold.'),
  rows: z.int().nullable().describe('As estimated.'),
  comment: z.string().optional().describe('What is said of it.'),
  columns: z.array(column).optional().describe('With verbose.'),
  primary_keys: z.array(z.string()).optional().describe('With verbose.'),
  foreign_key_constraints: z
    .array(
      z.object({
        name: z.string().describe('Name.'),
        source: z.string().describe('table.columns'),
        target: z.string().describe('table.columns'),
      }),
    )
    .optional()
    .describe('With verbose.'),
});

const tablesSql = `
SELECT format('%I.%I', n.nspname, c.relname) AS name,
  CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table'
    WHEN 'p' THEN 'partitioned table' ELSE 'table' END AS kind,
  c.relrowsecurity AS rls_enabled,
  CASE WHEN c.relkind IN ('v', 'f') OR c.reltuples < 0 THEN NULL ELSE to_json(c.reltuples::bigint) END AS rows,
  left(obj_description(c.oid, 'pg_class'), 500) AS comment,
  CASE WHEN $2 THEN (
    SELECT coalesce(json_agg(json_strip_nulls(json_build_object(
      'name', a.attname, 'data_type', format_type(a.atttypid, a.atttypmod), 'nullable', NOT a.attnotnull,
      'default_value', CASE WHEN a.attgenerated = '' THEN left(pg_get_expr(d.adbin, d.adrelid), 500) END,
      'is_generated', CASE WHEN a.attgenerated <> '' THEN true END,
      'comment', left(col_description(c.oid, a.attnum), 500))) ORDER BY a.attnum), '[]')
    FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) END AS columns,
  CASE WHEN $2 THEN (
    SELECT coalesce(json_agg(a.attname ORDER BY k.place), '[]')
    FROM pg_index i CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
    WHERE i.indrelid = c.oid AND i.indisprimary) END AS primary_keys,
  CASE WHEN $2 THEN (
    SELECT coalesce(json_agg(json_build_object('name', k.conname,
      'source', format('%s.(%s)', k.conrelid::regclass, (SELECT string_agg(a.attname, ', ') FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey))),
      'target', format('%s.(%s)', k.confrelid::regclass, (SELECT string_agg(a.attname, ', ') FROM pg_attribute a WHERE a.attrelid = k.confrelid AND a.attnum = ANY (k.confkey)))) ORDER BY k.conname), '[]')
    FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = c.oid) END AS foreign_key_constraints
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
ORDER BY n.nspname, c.relname
LIMIT $3 OFFSET $4`;

/** NULL is no key of an answer. */
const withoutNulls = (found: object) =>
  Object.fromEntries(Object.entries(found).filter(([key, value]) => value !== null || key === 'rows'));

export const listTables = defineTool({
  name: 'list_tables',
  title: 'List Tables',
  description:
    'List tables and views of one or more schemas; with verbose also columns, primary keys and foreign keys.',
  effect: 'read',
  untrusted: 'bounded',
  hints: readingOutside,
  input: z.object({
    schemas: schemasField,
    verbose: z.boolean().default(false).describe('With columns and keys.'),
    ...page,
  }),
  output: z.object({ tables: z.array(table).describe('What there is.'), ...continuation }),

  async handler({ cursor, ...args }, supabase: Supabase, call) {
    const { schemas, verbose, limit } = args;
    const [skip] = decodeCursor('list_tables', args, cursor, position, [0]);
    const found = await asked(supabase, call, tablesSql, [schemas, verbose, limit + 1, skip]);
    const { items, more } = paged('list_tables', args, skip, found.map(withoutNulls));
    return { tables: items as z.input<typeof table>[], ...more };
  },
});

const functionRow = z.object({
  name: z.string().describe('With its schema.'),
  arguments: z.string().describe('As they are declared.'),
  returns: z.string().describe('Type.'),
  volatility: z.enum(['immutable', 'stable', 'volatile']).describe('volatile may change things.'),
  security_definer: z.boolean().describe('Runs with the rights of its owner.'),
  comment: z.string().optional().describe('What is said of it.'),
});

export const listFunctions = defineTool({
  name: 'list_functions',
  title: 'List Functions',
  description: 'List functions of one or more schemas, with their arguments, for call_rpc.',
  effect: 'read',
  untrusted: 'bounded',
  hints: readingOutside,
  input: z.object({ schemas: schemasField, ...page }),
  output: z.object({ functions: z.array(functionRow).describe('What there is.'), ...continuation }),

  async handler({ cursor, ...args }, supabase: Supabase, call) {
    const { schemas, limit } = args;
    const [skip] = decodeCursor('list_functions', args, cursor, position, [0]);
    const found = await asked(
      supabase,
      call,
      `SELECT format('%I.%I', n.nspname, p.proname) AS name, pg_get_function_arguments(p.oid) AS arguments,
         coalesce(pg_get_function_result(p.oid), 'nothing') AS returns,
         CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END AS volatility,
         p.prosecdef AS security_definer, left(obj_description(p.oid, 'pg_proc'), 500) AS comment
       FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
       WHERE n.nspname = ANY ($1) AND p.prokind IN ('f', 'p')
       ORDER BY n.nspname, p.proname, p.oid LIMIT $2 OFFSET $3`,
      [schemas, limit + 1, skip],
    );
    const { items, more } = paged('list_functions', args, skip, found.map(withoutNulls));
    return { functions: items as z.input<typeof functionRow>[], ...more };
  },
});

const extension = z.object({
  name: z.string().describe('Name.'),
  schema: z.string().nullable().describe('Where it is installed; null where it is not.'),
  default_version: z.string().nullable().describe('What would be installed.'),
  installed_version: z.string().nullable().describe('What is installed.'),
  comment: z.string().nullable().describe('What it is for.'),
});

export const listExtensions = defineTool({
  name: 'list_extensions',
  title: 'List Extensions',
  description: 'List extensions of Postgres, those that are installed first.',
  effect: 'read',
  untrusted: 'bounded',
  hints: readingOutside,
  input: z.object({
    installed: z.boolean().optional().describe('Only those that are installed.'),
    ...page,
  }),
  output: z.object({ extensions: z.array(extension).describe('What there is.'), ...continuation }),

  async handler({ cursor, ...args }, supabase: Supabase, call) {
    const { installed = false, limit } = args;
    const [skip] = decodeCursor('list_extensions', args, cursor, position, [0]);
    const found = await asked<z.input<typeof extension>>(
      supabase,
      call,
      `SELECT a.name, n.nspname AS schema, a.default_version, a.installed_version, a.comment
       FROM pg_available_extensions a LEFT JOIN pg_extension e ON e.extname = a.name
       LEFT JOIN pg_namespace n ON n.oid = e.extnamespace
       WHERE NOT $1 OR e.oid IS NOT NULL
       ORDER BY e.oid IS NULL, a.name LIMIT $2 OFFSET $3`,
      [installed, limit + 1, skip],
    );
    const { items, more } = paged('list_extensions', args, skip, found);
    return { extensions: items, ...more };
  },
});

const migration = z.object({
  version: z.string().describe('When it was made.'),
  name: z.string().optional().describe('Name.'),
});

export const listMigrations = defineTool({
  name: 'list_migrations',
  title: 'List Migrations',
  description: 'List the migrations that were applied, the newest first.',
  effect: 'read',
  untrusted: 'bounded',
  hints: readingOutside,
  input: z.object(page),
  output: z.object({ migrations: z.array(migration).describe('What was applied.'), ...continuation }),

  async handler({ cursor, ...args }, supabase: Supabase, call) {
    const { limit } = args;
    const [skip] = decodeCursor('list_migrations', args, cursor, position, [0]);
    const found = await supabase
      .database()
      .run(call, { access: 'read', timeoutMs: defaultTimeoutMs }, async (session) => {
        const [there] = await session.all<{ is_there: boolean }>(
          "SELECT to_regclass('supabase_migrations.schema_migrations') IS NOT NULL AS is_there",
        );
        if (!there?.is_there) return [];
        return session.all<{ version: string; name: string | null }>(
          'SELECT version, name FROM supabase_migrations.schema_migrations ORDER BY version DESC LIMIT $1 OFFSET $2',
          [limit + 1, skip],
        );
      });
    const { items, more } = paged('list_migrations', args, skip, found.map(withoutNulls));
    return { migrations: items as z.input<typeof migration>[], ...more };
  },
});

const policy = z.object({
  table: z.string().describe('With its schema.'),
  name: z.string().describe('Name.'),
  command: z.string().describe('SELECT, INSERT, UPDATE, DELETE or ALL.'),
  permissive: z.boolean().describe('One such is enough; of the others all must hold.'),
  roles: z.array(z.string()).describe('For whom.'),
  using: z.string().optional().describe('Which rows are seen.'),
  with_check: z.string().optional().describe('Which rows may be written.'),
});

export const listPolicies = defineTool({
  name: 'list_policies',
  title: 'List Policies',
  description: 'List row policies (RLS) of one or more schemas.',
  effect: 'read',
  untrusted: 'bounded',
  hints: readingOutside,
  input: z.object({ schemas: schemasField, table: nameField('Of this table alone.').optional(), ...page }),
  output: z.object({ policies: z.array(policy).describe('What there is.'), ...continuation }),

  async handler({ cursor, ...args }, supabase: Supabase, call) {
    const { schemas, table: name = null, limit } = args;
    const [skip] = decodeCursor('list_policies', args, cursor, position, [0]);
    const found = await asked(
      supabase,
      call,
      `SELECT format('%I.%I', schemaname, tablename) AS table, policyname::text AS name, cmd AS command,
         permissive = 'PERMISSIVE' AS permissive, to_json(roles::text[]) AS roles,
         left(qual, 2000) AS using, left(with_check, 2000) AS with_check
       FROM pg_policies WHERE schemaname = ANY ($1) AND ($2::text IS NULL OR tablename = $2)
       ORDER BY 1, 2 LIMIT $3 OFFSET $4`,
      [schemas, name, limit + 1, skip],
    );
    const { items, more } = paged('list_policies', args, skip, found.map(withoutNulls));
    return { policies: items as z.input<typeof policy>[], ...more };
  },
});

const finding = z.object({
  object: z.string().describe('Table, view or function.'),
  level: z.enum(['error', 'warning']).describe('How bad it is.'),
  problem: z.string().describe('What is wrong.'),
  remedy: z.string().describe('SQL that mends it, to be looked at first.'),
});

/** The roles that a project's public keys stand for; a database that has neither is judged by PUBLIC. */
const rlsSql = `
WITH open_roles AS (
  SELECT oid, rolname FROM pg_roles WHERE rolname IN ('anon', 'authenticated')
), tables AS (
  SELECT c.oid, c.relkind, c.relrowsecurity, c.reloptions, format('%I.%I', n.nspname, c.relname) AS object,
    EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid) AS has_policies,
    (SELECT string_agg(r.rolname, ', ' ORDER BY r.rolname) FROM open_roles r
      WHERE has_schema_privilege(r.oid, n.oid, 'USAGE')
        AND has_table_privilege(r.oid, c.oid, 'SELECT, INSERT, UPDATE, DELETE')) AS open_to
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'p', 'v', 'm')
), findings AS (
  SELECT object, 'error' AS level, format('row policies are off, and it is open to %s', open_to) AS problem,
    format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY;', object) AS remedy
  FROM tables WHERE relkind IN ('r', 'p') AND NOT relrowsecurity AND open_to IS NOT NULL
  UNION ALL
  SELECT object, 'error', 'it has row policies, and they are off', format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY;', object)
  FROM tables WHERE relkind IN ('r', 'p') AND NOT relrowsecurity AND has_policies AND open_to IS NULL
  UNION ALL
  SELECT object, 'warning', 'row policies are on, and there is none: nobody but the owner sees a row',
    format('CREATE POLICY name ON %s FOR SELECT TO authenticated USING (…);', object)
  FROM tables WHERE relkind IN ('r', 'p') AND relrowsecurity AND NOT has_policies
  UNION ALL
  SELECT t.object, 'error', format('the policy %I lets everyone write', p.polname), format('ALTER POLICY %I ON %s USING (…);', p.polname, t.object)
  FROM tables t JOIN pg_policy p ON p.polrelid = t.oid
  WHERE p.polpermissive AND p.polcmd <> 'r' AND (p.polroles = '{0}' OR p.polroles && ARRAY(SELECT oid FROM open_roles))
    AND coalesce(pg_get_expr(p.polwithcheck, p.polrelid), pg_get_expr(p.polqual, p.polrelid)) = 'true'
  UNION ALL
  SELECT object, 'error', format('the view passes over the row policies of its tables, and is open to %s', open_to),
    format('ALTER VIEW %s SET (security_invoker = on);', object)
  FROM tables WHERE relkind = 'v' AND open_to IS NOT NULL
    AND NOT coalesce(reloptions && ARRAY['security_invoker=on', 'security_invoker=true', 'security_invoker=1'], false)
  UNION ALL
  SELECT object, 'warning', format('a materialized view has no row policies, and it is open to %s', open_to),
    format('REVOKE ALL ON %s FROM anon, authenticated;', object)
  FROM tables WHERE relkind = 'm' AND open_to IS NOT NULL
  UNION ALL
  SELECT format('%s', p.oid::regprocedure), 'warning', 'it runs with the rights of its owner, and finds tables by the search_path of its caller',
    format('ALTER FUNCTION %s SET search_path = '''';', p.oid::regprocedure)
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
  WHERE n.nspname = ANY ($1) AND p.prosecdef
    AND NOT coalesce(EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE c LIKE 'search_path=%'), false)
)
SELECT object, level, problem, remedy FROM findings ORDER BY level, object, problem LIMIT $2 OFFSET $3`;

export const rlsCheck = defineTool({
  name: 'rls_check',
  title: 'RLS Check',
  description:
    'Look for tables, views, policies and functions that let in whoever has a public key, and for row policies that do nothing.',
  effect: 'read',
  untrusted: 'bounded',
  hints: readingOutside,
  input: z.object({ schemas: schemasField, ...page }),
  output: z.object({ findings: z.array(finding).describe('Worst first; none is well.'), ...continuation }),

  async handler({ cursor, ...args }, supabase: Supabase, call) {
    const { schemas, limit } = args;
    const [skip] = decodeCursor('rls_check', args, cursor, position, [0]);
    const found = await asked<z.input<typeof finding>>(supabase, call, rlsSql, [schemas, limit + 1, skip]);
    const { items, more } = paged('rls_check', args, skip, found);
    return { findings: items, ...more };
  },
});
