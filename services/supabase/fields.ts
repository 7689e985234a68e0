/** Fields of the tools. A client reads them with every conversation: they are as short as they can be understood. */
import { z } from 'zod';

import {
  defaultRows,
  defaultTimeoutMs,
  maxNameLength,
  maxParameters,
  maxRows,
  maxSqlLength,
  maxTimeoutMs,
} from './limits.ts';

const isText = (text: string) => text !== '' && text.isWellFormed() && !text.includes('\0');
const noText = 'must be well-formed, without NUL, and not empty';

export const textField = (maxLength: number, description: string) =>
  z.string().max(maxLength).refine(isText, noText).describe(description);

/** Of a table, function, bucket: one segment of a path. */
export const nameField = (description: string) =>
  textField(maxNameLength, description).refine(
    (name) => !/[/\\?#%&\p{Cc}]/u.test(name) && name !== '.' && name !== '..',
    'must be a name, without / \\ ? # % & and control characters',
  );

export const sqlField = (description: string) => textField(maxSqlLength, description);

const isWellFormed = (value: unknown) => {
  const json = JSON.stringify(value) as string | undefined;
  return json !== undefined && !/\\ud[89a-f][0-9a-f]{2}/i.test(json) && !json.includes('\\u0000');
};

/** Told as a text, which a model that is held to the schema can always write; any value of JSON is taken. */
export const valueField = z
  .unknown()
  .refine(isWellFormed, 'must be a value of JSON, well-formed and without NUL')
  .meta({ type: 'string', description: 'A value.' });

/** A row to write: values by column. */
export const rowField = z
  .record(z.string().max(maxNameLength), z.unknown())
  .refine(isWellFormed, 'must be well-formed and without NUL')
  .meta({ type: 'object', description: 'Values by column.' });

export const schemaField = nameField('Schema; the one of the settings unless given.').optional();
export const limitField = z.int().min(1).max(maxRows).default(defaultRows).describe('Most rows.');

export const timeoutField = z
  .int()
  .min(1)
  .max(maxTimeoutMs)
  .default(defaultTimeoutMs)
  .describe('Stops it after so many milliseconds.');

export const paramsField = z.array(valueField).max(maxParameters).optional().describe('Values for $1, $2 …');

export const rowsField = z
  .array(z.unknown().meta({ type: 'object', description: 'Values by column.' }))
  .describe('Numbers that JavaScript cannot hold are texts.');

export const cutField = z.array(z.string()).optional().describe('Columns with values not shown whole.');
