/** Fields that the tools of several services have in common. */
import { z } from 'zod';

// NUL ends a text inside SQLite's full-text search, and half a surrogate pair cannot be stored as UTF-8.
const isStorable = (text: string) => text.isWellFormed() && !text.includes('\0');

/** Refuses what a database could not give back as it came. */
export const storable = (field: z.ZodString): z.ZodString =>
  field.refine(isStorable, 'must be well-formed Unicode without NUL');

/**
 * A text that is stored. Its length is advertised here and has to be enforced by the store, which all writes pass: a text
 * that is too long is `too_large`, not `invalid_input`, whichever way it came.
 */
export const storedText = (maxLength: number, description: string): z.ZodString =>
  storable(z.string()).meta({ maxLength, description });

/**
 * Checked whole, told in part: definitions of tools cost tokens in every conversation, and what rows of an answer hold is
 * seen in the answer. What is not told here should be named in a description.
 */
export function toldBriefly<Row extends z.ZodObject>(
  row: Row,
  ...keys: (keyof Row['shape'] & string)[]
): Row {
  const mask = Object.fromEntries(keys.map((key) => [key, true]));
  const { properties, required } = z.toJSONSchema(row.pick(mask as never), { io: 'output' });
  return row.meta({ properties, required });
}

export const limitField = (max: number, initial: number) =>
  z.int().min(1).max(max).default(initial).describe('Most results to return.');

/** Holds a position in a walk over files, whose path has up to 4,096 characters, each of which may be six in JSON. */
const maxCursorLength = 40_000;

export const cursorField = z
  .string()
  .max(maxCursorLength)
  .optional()
  .describe('next_cursor of the previous answer; repeat the other arguments.');

/** Added to what is cut: both keys are absent from a complete answer, as they are from the official ones. */
export const continuation = {
  truncated: z.literal(true).optional().describe('There is more.'),
  next_cursor: z.string().optional().describe('Pass as cursor to go on.'),
};
