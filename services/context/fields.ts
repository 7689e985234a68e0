import { pageBytes } from '#runtime/page.ts';
/** Arguments and results that several tools share. */
import { z } from 'zod';

import { storable, storedText } from '#runtime/fields.ts';

import { levelNames, levels, maxNameLength, maxPageBytes, maxTextLength, maxTokens } from './limits.ts';

/** Of models that are in use; count_tokens has all. */
export const encodingField = z
  .enum(['o200k_base', 'cl100k_base', 'claude'])
  .default('o200k_base')
  .describe('Tokenizer.');

export const exactOut = z.boolean().describe('false: estimated from above.');

export const tokenField = (description: string) => z.int().min(1).max(maxTokens).describe(description);
export const tokensOut = (description = 'Its tokens.') => z.int().describe(description);

/** The length is checked by the handler, for all texts of a call together. */
export const textField = (description: string) => storedText(maxTextLength, description);

export const nameField = (description: string) =>
  storable(z.string().min(1).max(maxNameLength)).describe(description);

export const sessionField = nameField('Conversation or task.').optional();
export const levelField = z.enum(levelNames);

export const keepFields = {
  level: levelField.default('session').describe('How long the original is kept.'),
  session_id: sessionField,
};

export const ttlField = z
  .int()
  .min(1)
  .max(levels.project.maxTtl)
  .optional()
  .describe("Seconds to keep it, instead of the level's time.");

export const handleField = z
  .string()
  .regex(/^out_[0-9a-f]{24}$/, 'must be a handle like out_ and 24 hexadecimal digits')
  .describe('Handle of an output.');

export const pageField = z
  .int()
  .min(100)
  .max(maxPageBytes)
  .default(pageBytes)
  .describe('Most bytes of text.');

/** Where everything stands that an answer left out. */
export const handleOut = z
  .string()
  .optional()
  .describe('Of the original, for read_output; absent when nothing was left out.');

export const deletedOut = z.int().describe('How many.');
export const notFoundOut = z.array(z.string()).describe('Not there.');
export const notDeletedOut = z.array(z.string()).describe('Not there, or of another token.');

/** Where a list goes on, newest first, and where it begins: after every time. */
export const listPosition = z.tuple([z.string(), z.string()]);
export const listStart: [string, string] = ['~', '~'];

/** Where a page begins. */
export const startPosition = z.tuple([z.int().min(0)]);

/** Where a list goes on of which so many rows were shown; nothing where that is all. */
export function placeAfter(
  rows: readonly { readonly created_at: string; readonly id: string }[],
  shown: number,
): [string, string] | undefined {
  const last = rows[shown - 1];
  return last && shown < rows.length ? [last.created_at, last.id] : undefined;
}
