/** Callers' own SQL, over the connection to the database. */
import { randomBytes } from 'node:crypto';

import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { continuation, cursorField } from '#runtime/fields.ts';
import { pageBytes, withCursor } from '#runtime/page.ts';
import { defineTool, type Call } from '#runtime/tool.ts';

import { cutField, paramsField, sqlField, timeoutField } from '../fields.ts';
import { defaultRows, endingMs, maxRows } from '../limits.ts';
import type { Access, Outcome } from '../sql/pool.ts';
import type { Supabase } from '../supabase.ts';
import { cutText, destroyingOutside, linesOf, readingOutside } from './rows.ts';

const position = z.tuple([z.int().min(0)]);

const executeInput = z.object({
  query: sqlField('One statement.'),
  params: paramsField,
  max_rows: z.int().min(1).max(maxRows).default(defaultRows).describe('Most rows.'),
  timeout_ms: timeoutField,
  cursor: cursorField,
});

const executeOutput = z.object({
  result: z.string().describe('The rows, as JSON.'),
  columns: z.array(z.string()).describe('Names.'),
  row_count: z.int().describe('Of this page.'),
  command: z.string().optional().describe('What Postgres did.'),
  affected_rows: z.int().optional().describe('Rows written or removed.'),
  cut: cutField,
  ...continuation,
});

const executeText = ({
  result,
  cut,
  command,
  affected_rows: affected,
  truncated,
  next_cursor: cursor,
}: z.output<typeof executeOutput>) =>
  withCursor(
    [
      `${result}${cutText(cut)}`,
      ...(affected === undefined ? [] : [`[${command ?? 'Changed'}: ${affected} rows]`]),
      ...(truncated && cursor === undefined
        ? ['[truncated: all of the change was made, and only these of its rows are shown]']
        : []),
    ].join('\n'),
    cursor,
  );

/** A page after the first runs the statement again: in a transaction that only reads, so that it is never done twice. */
async function execute(
  { cursor, ...args }: z.output<typeof executeInput>,
  supabase: Supabase,
  call: Call,
  access: Access,
): Promise<z.input<typeof executeOutput>> {
  const { query, params = [], max_rows: mostRows, timeout_ms: timeoutMs } = args;
  const [skip] = decodeCursor('execute_sql', args, cursor, position, [0]);
  const { outcome, hasWritten } = await supabase
    .database()
    .run(call, { access: skip > 0 ? 'read' : access, timeoutMs }, async (session) => {
      const outcome = await session.page(query, params, { skip, rows: mostRows, bytes: pageBytes });
      if (access === 'read' || !outcome.isCut) return { outcome, hasWritten: false };
      const [state] = await session.all<{ written: boolean }>(
        'SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS written',
      );
      return { outcome, hasWritten: state?.written ?? true };
    });
  return {
    result: linesOf(outcome.rows),
    columns: [...outcome.columns],
    row_count: outcome.rows.length,
    ...(outcome.command !== undefined && { command: outcome.command }),
    ...changedBy(outcome),
    ...(outcome.cut.length > 0 && { cut: [...outcome.cut] }),
    ...(outcome.isCut && {
      truncated: true as const,
      ...(!hasWritten && { next_cursor: encodeCursor('execute_sql', args, [skip + outcome.rows.length]) }),
    }),
  };
}

function changedBy({ command, affected }: Outcome): { affected_rows?: number } {
  const isChange = command !== undefined && ['INSERT', 'UPDATE', 'DELETE', 'MERGE'].includes(command);
  return isChange && affected !== undefined ? { affected_rows: affected } : {};
}

const executeTitle = 'Execute SQL';

export const executeSqlReading = defineTool({
  name: 'execute_sql',
  title: executeTitle,
  description:
    'Run one statement of SQL that reads, in a transaction of Postgres that refuses changes. Values go into params, for $1 and so on.',
  effect: 'read',
  untrusted: 'bounded',
  hints: readingOutside,
  input: executeInput,
  output: executeOutput,
  text: executeText,
  handler: async (args, supabase: Supabase, call) => execute(args, supabase, call, 'read'),
});

export const executeSql = defineTool({
  name: 'execute_sql',
  title: executeTitle,
  description:
    'Run one statement of SQL, in a transaction of its own. Values go into params, for $1 and so on. For changes of the schema use apply_migration.',
  effect: 'destroy',
  endingMs,
  untrusted: 'bounded',
  hints: destroyingOutside,
  input: executeInput,
  output: executeOutput,
  text: executeText,
  handler: async (args, supabase: Supabase, call) => execute(args, supabase, call, 'write'),
});

export const explainSql = defineTool({
  name: 'explain_sql',
  title: 'Explain SQL',
  description:
    "Show Postgres' plan for one statement. With analyze it is run, in a transaction that refuses changes, and shows real times.",
  effect: 'read',
  untrusted: 'bounded',
  hints: readingOutside,
  input: z.object({
    query: sqlField('One statement.'),
    params: paramsField,
    analyze: z.boolean().default(false).describe('Run it.'),
    timeout_ms: timeoutField,
  }),
  output: z.object({
    plan: z.string().describe('A line for each step.'),
    truncated: z.literal(true).optional().describe('It has more lines.'),
  }),
  text: ({ plan }) => plan,

  async handler({ query, params = [], analyze, timeout_ms: timeoutMs }, supabase: Supabase, call) {
    const options = analyze ? 'ANALYZE, BUFFERS, VERBOSE FALSE' : 'VERBOSE FALSE';
    const { rows, isCut } = await supabase
      .database()
      .run(call, { access: 'read', timeoutMs }, async (session) =>
        session.page(`EXPLAIN (${options}) ${query}`, params, { skip: 0, rows: maxRows, bytes: pageBytes }),
      );
    const plan = rows.map((row) => String(row['QUERY PLAN'])).join('\n');
    return { plan, ...(isCut && { truncated: true as const }) };
  },
});

const migrationNames = /^\w{1,200}$/;

export const applyMigration = defineTool({
  name: 'apply_migration',
  title: 'Apply Migration',
  description:
    'Run a script of SQL that changes the schema, all or nothing, and write it into the list of migrations. With dry_run everything is undone again.',
  effect: 'destroy',
  untrusted: 'bounded',
  hints: destroyingOutside,
  timeoutMs: 60_000,
  endingMs,
  input: z.object({
    name: z.string().regex(migrationNames, 'must be letters, digits and _').describe('In snake_case.'),
    query: sqlField('The script. COMMIT and ROLLBACK do not belong in it.'),
    dry_run: z.boolean().default(false).describe('Try it, and undo it.'),
    timeout_ms: z.int().min(1).max(50_000).default(30_000).describe('Stops it after so many milliseconds.'),
  }),
  output: z.object({
    success: z.literal(true).describe('It ran to its end.'),
    version: z.string().optional().describe('Under which it stands in the list.'),
    dry_run: z.literal(true).optional().describe('All of it was undone.'),
  }),

  async handler({ name, query, dry_run: isTrial, timeout_ms: timeoutMs }, supabase: Supabase, call) {
    // Within a function Postgres refuses COMMIT and its like, so that nothing can step out of the transaction.
    const mark = randomBytes(8).toString('hex');
    const script = `DO $block_${mark}$ BEGIN EXECUTE $script_${mark}$${query}$script_${mark}$; END $block_${mark}$`;
    const options = { access: 'write', timeoutMs, willKeep: !isTrial } as const;
    const version = await supabase.database().run(call, options, async (session) => {
      for (const statement of migrationTable) await session.all(statement);
      const [known] = await session.all<{ is_known: boolean; newest: string | null }>(
        'SELECT coalesce(bool_or(name = $1), false) AS is_known, max(version) AS newest FROM supabase_migrations.schema_migrations',
        [name],
      );
      if (known?.is_known) {
        throw new ToolError('conflict', `There is a migration of the name ${name} already.`, {
          hint: 'list_migrations shows what was applied: choose another name.',
        });
      }
      await session.page(script, [], { skip: 0, rows: 1, bytes: pageBytes });
      // Otherwise only COMMIT looks at what was deferred, and a trial has none.
      await session.all('SET CONSTRAINTS ALL IMMEDIATE');
      const own = versionAfter(known?.newest ?? '', call.nowMs);
      await session.all(
        'INSERT INTO supabase_migrations.schema_migrations (version, name, statements) VALUES ($1, $2, $3)',
        [own, name, [query]],
      );
      // PostgREST looks at the schema again when it is told.
      await session.all("NOTIFY pgrst, 'reload schema'");
      return own;
    });
    return { success: true as const, ...(isTrial ? { dry_run: true as const } : { version }) };
  },
});

const numberOf = (ms: number) => new Date(ms).toISOString().replace(/\D/g, '').slice(0, 14);

/** The second in which it was made, as Supabase numbers migrations; a later one when that is taken, so that their order holds. */
function versionAfter(newest: string, nowMs: number): string {
  let atMs = nowMs;
  while (numberOf(atMs) <= newest && atMs < nowMs + maxAheadMs) atMs += 1_000;
  return numberOf(atMs);
}

/** A newest one that is further ahead than this was not numbered by time. */
const maxAheadMs = 3_600_000;

/** As Supabase's own command line makes it. */
const migrationTable = [
  'CREATE SCHEMA IF NOT EXISTS supabase_migrations',
  'CREATE TABLE IF NOT EXISTS supabase_migrations.schema_migrations (version text PRIMARY KEY, statements text[], name text)',
];
