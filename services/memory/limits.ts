/** Every limit of the service, with the reason where the number is not arbitrary. */
import { z } from 'zod';

export const maxNameLength = 512;
/** 64 KiB of UTF-16: some thirty pages, far above a fact; more belongs into a file of the filesystem service. */
export const maxTextLength = 65_536;
export const maxFileLength = 262_144;
export const maxItemsPerCall = 1_000;
export const maxObservationsPerCall = 10_000;
export const maxMemoriesPerCall = 500;
/** What an answer holds of stored text: about 250,000 tokens, the most that any client could take. */
export const maxAnswerLength = 1_000_000;
/** Entities in an answer that names no limit: the official answer, up to here. */
export const maxEntitiesPerAnswer = 5_000;
export const maxRelationsPerAnswer = 10_000;
export const maxImportLength = 2_000_000;

/** Tokens are counted as characters by four, which needs no tokenizer and errs by a third at most for English. */
export const charactersPerToken = 4;

// NUL ends a text inside SQLite's full-text search, and half a surrogate pair cannot be stored as UTF-8.
export const storable = (text: string) => text.isWellFormed() && !text.includes('\0');

/**
 * A text that is stored. Its length is advertised here and enforced by the journal, which all writes pass: a text that
 * is too long is `too_large`, not `invalid_input`, whichever way it came.
 */
export const storedText = (maxLength: number, description: string) =>
  z.string().refine(storable, 'must be well-formed Unicode without NUL').meta({ maxLength, description });

export const nameField = (description: string) =>
  storedText(maxNameLength, description).refine((name) => name !== '', 'must not be empty');

export const limitField = (max: number, initial: number) =>
  z.int().min(1).max(max).default(initial).describe('Most results to return.');

export const cursorField = z
  .string()
  .max(2_000)
  .optional()
  .describe('next_cursor of the previous answer; repeat the other arguments.');

export const tokenBudgetField = z
  .int()
  .min(1)
  .max(maxAnswerLength / charactersPerToken)
  .optional()
  .describe('Most tokens of stored text to return, counted as characters / 4.');

const instant = z.iso.datetime({ offset: true });

/** An instant, kept as the ISO 8601 text in UTC that SQLite compares. Not advertised as the pattern of zod, which is long. */
export const instantField = (description: string) =>
  z
    .string()
    .refine((text) => instant.safeParse(text).success, 'must be an ISO 8601 time with Z or an offset')
    .meta({ format: 'date-time', description });

export const toUtc = (text: string) => new Date(text).toISOString();

/** Added to what is cut: both keys are absent from a complete answer, as they are from the official ones. */
export const continuation = {
  truncated: z.literal(true).optional().describe('There is more: call again with next_cursor.'),
  next_cursor: z.string().optional().describe('Pass as cursor to go on.'),
};
