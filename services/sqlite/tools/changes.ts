/** Many rows at once, and transactions over several calls. */
import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { adding, reshaping } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import type { Databases } from '../databases.ts';
import { whyNoValue, type Given } from '../engine/values.ts';
import { databaseField, nameField, timeoutField, way } from '../fields.ts';
import { maxBulkRows, transactionLifeMs } from '../limits.ts';

type Row = readonly Given[] | Readonly<Record<string, Given>>;

/** Looked at in one go: there may be tens of thousands of values. */
const rowField = z
  .unknown()
  .superRefine((row, context) => {
    const isRow = typeof row === 'object' && row !== null;
    const values: unknown[] = isRow ? Object.values(row) : [];
    const why = isRow
      ? values.map(whyNoValue).find((reason) => reason !== undefined)
      : 'must be a list of values, or an object by column';
    if (why !== undefined) context.addIssue({ code: 'custom', message: why });
  })
  .meta({
    type: 'array',
    items: { type: 'string', description: 'A value.' },
    description: 'Values in the order of columns, or an object by column.',
  }) as unknown as z.ZodType<Row>;

export const bulkInsert = defineTool({
  name: 'bulk_insert',
  title: 'Bulk Insert',
  description: 'Add many rows to a table as one change: all or none.',
  effect: 'write',
  hints: reshaping,
  input: z.object({
    table: nameField('Table.'),
    rows: z
      .array(rowField)
      .min(1)
      .refine((rows) => rows.length <= maxBulkRows, `must be at most ${maxBulkRows}`)
      .describe('Rows.'),
    columns: z
      .array(nameField('Name.'))
      .min(1)
      .max(2_000)
      .optional()
      .describe('Of rows that are lists; all unless given.'),
    on_conflict: z
      .enum(['abort', 'ignore', 'replace'])
      .default('abort')
      .describe('Where a key is there already.'),
    ...way,
  }),
  output: z.object({
    inserted: z.int().describe('Rows.'),
    ignored: z.int().describe('Rows that were there already.'),
  }),

  async handler({ table, rows, columns, on_conflict: onConflict, ...way }, databases: Databases, call) {
    const listed = listsOf(rows, columns);
    const job = { table, onConflict, ...listed };
    const { inserted, ignored } = await databases.ask(call, 'bulkInsert', way, job, { changes: true });
    return { inserted, ignored };
  },
});

/** Every row as a list. @throws ToolError where objects differ in their columns. */
function listsOf(rows: readonly Row[], columns: readonly string[] | undefined) {
  const [first] = rows;
  const names = columns ?? (Array.isArray(first) ? undefined : Object.keys(first ?? {}));
  const lists = rows.map((row, index): readonly Given[] => {
    if (Array.isArray(row)) return row as readonly Given[];
    const object = row as Readonly<Record<string, Given>>;
    const unknown = Object.keys(object).find((name) => !names?.includes(name));
    if (names === undefined || unknown !== undefined) {
      throw new ToolError(
        'invalid_input',
        `Row ${index + 1} has the column ${unknown ?? '?'}, which the first has not.`,
        {
          hint: 'Give all rows the same columns, with null where there is no value.',
        },
      );
    }
    const missing = names.find((name) => !Object.hasOwn(object, name));
    if (missing !== undefined) {
      throw new ToolError('invalid_input', `Row ${index + 1} has no column ${missing}.`, {
        hint: 'Give all rows the same columns, with null where there is no value.',
      });
    }
    return names.map((name) => object[name] as Given);
  });
  return { rows: lists, columns: names };
}

export const beginTransaction = defineTool({
  name: 'begin_transaction',
  title: 'Begin Transaction',
  description:
    'Begin a transaction; pass its handle to other tools, then to commit_transaction. It is rolled back when it is idle too long. For changes that are known at once, execute_batch is better.',
  effect: 'write',
  hints: adding,
  input: z.object({
    database: databaseField,
    mode: z
      .enum(['deferred', 'immediate'])
      .default('deferred')
      .describe('immediate keeps other writers waiting from the start.'),
    timeout_ms: timeoutField,
  }),
  output: z.object({
    transaction: z.string().describe('Handle.'),
    database: z.string().describe('Path.'),
    idle_seconds: z.number().describe('After so long without a call it is rolled back.'),
    expires_at: z.string().describe('When it is rolled back in any case.'),
  }),

  async handler({ mode, ...way }, databases: Databases, call) {
    const { id, path } = await databases.begin(call, way, mode === 'immediate');
    return {
      transaction: id,
      database: path,
      idle_seconds: databases.transactionIdleMs / 1_000,
      expires_at: new Date(call.nowMs + transactionLifeMs).toISOString(),
    };
  },
});

const handleField = z.string().min(1).max(100).describe('Handle.');
const ended = z.object({
  transaction: z.string().describe('Handle.'),
  state: z.string().describe('committed or rolled back.'),
});

export const commitTransaction = defineTool({
  name: 'commit_transaction',
  title: 'Commit Transaction',
  description: 'Keep all changes of a transaction: they are on disk when this returns.',
  effect: 'write',
  hints: reshaping,
  input: z.object({ transaction: handleField, timeout_ms: timeoutField }),
  output: ended,

  async handler({ transaction, timeout_ms: timeoutMs }, databases: Databases, call) {
    await databases.transactions.end(call, transaction, true, timeoutMs);
    return { transaction, state: 'committed' };
  },
});

export const rollbackTransaction = defineTool({
  name: 'rollback_transaction',
  title: 'Roll Back Transaction',
  description: 'Undo all changes of a transaction.',
  effect: 'write',
  hints: reshaping,
  input: z.object({ transaction: handleField, timeout_ms: timeoutField }),
  output: ended,

  async handler({ transaction, timeout_ms: timeoutMs }, databases: Databases, call) {
    await databases.transactions.end(call, transaction, false, timeoutMs);
    return { transaction, state: 'rolled back' };
  },
});
