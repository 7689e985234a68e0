/** Arguments and results that several tools share. */
import { z } from 'zod';

import { storable, storedText } from '#runtime/fields.ts';

import { levelNames, levels, maxNameLength, maxTextLength, maxTokens } from './limits.ts';
import { encodingNames, type Tokenizer } from './tokens/tokenizer.ts';

export const encodingField = z
  .enum(encodingNames)
  .default('o200k_base')
  .describe('Tokenizer: o200k_base for GPT-4o and later; claude estimates.');

export const counted = {
  encoding: z.enum(encodingNames).describe('Tokenizer that counted.'),
  exact: z.boolean().describe('false: an estimate from above.'),
};
export const countedBy = ({ encoding, exact }: Tokenizer) => ({ encoding, exact });

export const tokenField = (description: string) => z.int().min(1).max(maxTokens).describe(description);
export const tokensOut = (description = 'Its tokens.') => z.int().describe(description);

/** The length is checked by the handler, for all texts of a call together. */
export const textField = (description: string) => storedText(maxTextLength, description);

export const nameField = (description: string) =>
  storable(z.string().min(1).max(maxNameLength)).describe(description);

export const sessionField = nameField('Groups what belongs to one conversation or task.').optional();
export const levelField = z.enum(levelNames);

export const keepFields = {
  level: levelField
    .default('session')
    .describe('How long what is left out is kept by default; ephemeral: in memory only, for an hour.'),
  session_id: sessionField,
};

export const ttlField = z
  .int()
  .min(1)
  .max(levels.project.maxTtl)
  .optional()
  .describe("Seconds to keep it instead of the level's default; ephemeral: a day at most.");

export const handleField = z
  .string()
  .regex(/^out_[0-9a-f]{24}$/, 'must be a handle like out_ and 24 hexadecimal digits')
  .describe('Handle that another tool returned.');

/** Where everything stands that an answer left out. */
export const handleOut = z
  .string()
  .optional()
  .describe('read_output reads the original here; absent when nothing was left out.');

/** Where a list goes on, newest first, and where it begins: after every time. */
export const listPosition = z.tuple([z.string(), z.string()]);
export const listStart: [string, string] = ['~', '~'];
