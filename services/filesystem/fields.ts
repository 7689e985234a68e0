/**
 * Fields of the tools. A client reads them with every conversation: they are as short as they can be understood. What all paths
 * have in common stands in the instructions of the service, and bounds are told when they are passed.
 */
import { z } from 'zod';

import { answerBytes, maxAskedBytes, maxEntriesPerAnswer, maxPathLength } from './limits.ts';

const isName = (text: string) => text !== '' && text.isWellFormed() && !text.includes('\0');
const nameless = 'must be well-formed, without NUL, and not empty';

export const pathField = (description: string) =>
  z.string().max(maxPathLength).refine(isName, nameless).describe(description);

/** Half a surrogate pair would be written as another character. */
export const wellFormed = z.string().refine((text) => text.isWellFormed(), 'must be well-formed Unicode');

export const patternField = z.string().max(1_000).refine(isName, nameless);

export const listField = <Item extends z.ZodType>(item: Item, most: number) =>
  z.array(item).refine((items) => items.length <= most, `must be at most ${most}`);

export const excludeField = listField(patternField, 100).default([]).describe('Globs to leave out.');

export const gitignoreField = z
  .boolean()
  .default(false)
  .describe('Leave out what .gitignore names, and .git.');

export const createParentsField = z.boolean().default(false).describe('Make missing folders.');

export const countField = (least: number, most: number) =>
  z.int().refine((count) => count >= least && count <= most, `must be from ${least} to ${most}`);

export const maxBytesField = countField(1_000, maxAskedBytes)
  .default(answerBytes)
  .describe('Most bytes to return.');

/** Of entries. */
export const limitField = countField(1, maxEntriesPerAnswer)
  .optional()
  .describe('Most entries; what fits unless given.');

/** How much of an answer there may be, and whether it is asked for by a count. */
export const mostOf = (limit: number | undefined) =>
  limit === undefined
    ? { entries: maxEntriesPerAnswer, bytes: answerBytes }
    : { entries: limit, bytes: maxAskedBytes };

/** Holds a position in a walk, whose path has up to 4,096 characters, each of which may be six in JSON. */
const maxCursorLength = 40_000;

export const cursorField = z
  .string()
  .max(maxCursorLength)
  .optional()
  .describe('next_cursor, with the same arguments.');

export const ifMatchField = z.string().max(100).optional().describe('Only if this is still its etag.');
export const etagField = z.string().describe('For ifMatch.');

/** Every official tool answers with one text. */
export const contentOutput = z.object({ content: z.string().describe('The text.') });

/** Absent from a complete answer, as they are from the official ones. */
export const continuation = {
  truncated: z.literal(true).optional().describe('There is more.'),
  next_cursor: z.string().optional().describe('Pass as cursor.'),
};
export const pagedOutput = contentOutput.extend(continuation);

/** What a walk could not look at. */
export const unseenOutput = {
  left_out: z.array(z.string()).optional().describe('What was not looked at, and why.'),
};
export const walkedOutput = pagedOutput.extend(unseenOutput);

/** Clients that show the text alone have to learn that there is more. */
export const contentText = ({ content, ...rest }: z.output<typeof walkedOutput>) =>
  [content, ...remarks(rest)].join('\n\n');

export function remarks({
  truncated,
  next_cursor: cursor,
  left_out: leftOut,
}: Omit<z.output<typeof walkedOutput>, 'content'>): string[] {
  return [
    ...(leftOut === undefined ? [] : [`[left out: ${leftOut.join(', ')}]`]),
    ...(truncated ? [`[truncated${cursor === undefined ? '' : `: call again with cursor ${cursor}`}]`] : []),
  ];
}
