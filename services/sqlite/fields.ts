/** Fields of the tools. A client reads them with every conversation: they are as short as they can be understood. */
import { z } from 'zod';

import type { Row } from './engine/statements.ts';
import { whyNoValue, type Given } from './engine/values.ts';
import {
  defaultRows,
  defaultTimeoutMs,
  maxNameLength,
  maxParameters,
  maxPathLength,
  maxRows,
  maxSqlLength,
  maxTimeoutMs,
} from './limits.ts';

const isName = (text: string) => text !== '' && text.isWellFormed() && !text.includes('\0');
const nameless = 'must be well-formed, without NUL, and not empty';

export const nameField = (description: string) =>
  z.string().max(maxNameLength).refine(isName, nameless).describe(description);

export const pathField = (description: string) =>
  z.string().max(maxPathLength).refine(isName, nameless).describe(description);

export const sqlField = (description: string) =>
  z.string().max(maxSqlLength).refine(isName, nameless).describe(description);

export const databaseField = pathField('Path of the database; the default one unless given.').optional();

export const transactionField = z
  .string()
  .max(100)
  .refine(isName, nameless)
  .optional()
  .describe('Handle of begin_transaction.');

export const timeoutField = z
  .int()
  .min(1)
  .max(maxTimeoutMs)
  .default(defaultTimeoutMs)
  .describe('Stops it after so many milliseconds.');

export const way = { database: databaseField, transaction: transactionField, timeout_ms: timeoutField };

/** Told as a text, which a model that is held to the schema can always write; any value of SQLite is taken. */
export const valueField = z
  .unknown()
  .superRefine((value, context) => {
    const why = whyNoValue(value);
    if (why !== undefined) context.addIssue({ code: 'custom', message: why });
  })
  .meta({ type: 'string', description: 'A value.' }) as unknown as z.ZodType<Given>;

export const paramsField = z
  .union([
    z
      .array(valueField)
      .refine((values) => values.length <= maxParameters, `must be at most ${maxParameters}`),
    z
      .record(z.string().describe('Name.'), valueField)
      .refine((values) => Object.keys(values).length <= maxParameters, `must be at most ${maxParameters}`),
  ])
  .optional()
  .describe('Values for ?, or by name. Also {"int64": "…"}, {"base64": "…"}, {"real": "Infinity"}.');

export const limitField = z.int().min(1).max(maxRows).default(defaultRows).describe('Most rows.');

export const rowsField = z
  .array(z.unknown().meta({ type: 'object', description: 'Values by column.' }) as unknown as z.ZodType<Row>)
  .describe('By column name.');

export const resultOutput = {
  columns: z.array(z.string()).describe('Names.'),
  rows: rowsField,
  cut: z.array(z.string()).optional().describe('Values not shown whole: use substr().'),
};
