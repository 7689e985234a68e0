/** Every limit of the service, with the reason where the number is not arbitrary. */
import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { storable, storedText } from '#runtime/fields.ts';
import { tokensIn } from '#runtime/tokens-in.ts';

export const maxNameLength = 512;
/** 64 KiB of UTF-16: some thirty pages, far above a fact; more belongs into a file of the filesystem service. */
export const maxTextLength = 65_536;
export const maxFileLength = 262_144;
export const maxItemsPerCall = 1_000;
export const maxObservationsPerCall = 10_000;
export const maxMemoriesPerCall = 500;
/** What an answer holds unless more is asked for: clients cut what is longer. Counted as in `bytesOf`. */
export const answerTokens = 20_000;
export const maxAnswerTokens = 100_000;
export const maxEntitiesPerAnswer = 5_000;
export const maxImportLength = 2_000_000;
/** With so many bad lines it is no file of ours. */
export const maxBadLines = 1_000;
/** How far a search can be read on: page by page it costs more, and nobody reads so many. */
export const maxRanked = 10_000;

/**
 * What one change may do. It is one transaction, and other changes wait for it: about half a second at most. The unit is what
 * the row of a relation costs, some 20 microseconds.
 */
export const maxChangeCost = 25_000;
/** A change that costs more is made by a thread: this much may hold up all other calls of the process, some 6 ms. */
export const maxChangeCostHere = 300;
/** Longer arguments go to the thread at once, without an attempt. */
export const maxArgumentsLengthHere = 16_000;
/** What of its text costs as much as a row. Of memories it is their words that cost, which the index counts. */
const charactersPerCost = { entity: 100, observation: 100, relation: 250, memory: 2_000, file: 20_000 };
/** In scripts without spaces a word ends at every character. */
const unspacedWeight = 17;
export const lookUpCost = 0.15;
/** To read a line of an import, before anything of it is looked up. */
export const lineCost = 0.5;
/** To write the list of one word of the memories that a change adds or takes away. */
export const wordCost = 0.33;

/** What a read looks at before others may be served: well under a millisecond. */
export const rowsPerStep = 200;
/** The same, of rows that an index holds. */
export const keysPerStep = 1_000;
/** Relations that are looked at for one answer. */
export const maxLinksPerAnswer = 10_000;
/** Where a walk through the graph gives up. */
export const maxLinksVisited = 200_000;
/** A word that is in more rows of the graph than this says little: the newest of them count. */
export const maxMatchesPerWord = 30_000;

/** The longest text of each column. */
const maxLengths = {
  entity: { name: maxNameLength, type: maxNameLength },
  observation: { text: maxTextLength },
  relation: { type: maxNameLength },
  memory: {
    text: maxTextLength,
    project: maxNameLength,
    session: maxNameLength,
    speaker: maxNameLength,
    tags: maxTextLength,
  },
  file: { path: maxNameLength, text: maxFileLength },
};
type Kind = keyof typeof maxLengths;

const textOf = (values: object, column: string): string => {
  const value: unknown = (values as Readonly<Record<string, unknown>>)[column];
  return typeof value === 'string' ? value : '';
};

/** @throws ToolError too_large. */
export function checkLengths(kind: Kind, values: object): void {
  for (const [column, maxLength] of Object.entries<number>(maxLengths[kind])) {
    const { length } = textOf(values, column);
    if (length > maxLength) {
      throw new ToolError(
        'too_large',
        `The ${column} of this ${kind} has ${length} characters; at most ${maxLength} are kept.`,
        { hint: 'Shorten it, or split it into several.' },
      );
    }
  }
}

/** What a row takes on the disk with its indexes, about: by itself, and for each byte of its text. Measured. */
const diskBytes = {
  entity: { row: 220, text: 4, columns: ['name', 'type'] },
  observation: { row: 180, text: 2.5, columns: ['text'] },
  relation: { row: 120, text: 1, columns: ['type'] },
  memory: { row: 320, text: 1.7, columns: ['text'] },
  file: { row: 300, text: 1.05, columns: ['path', 'text'] },
} as const;
/** Words without spaces between them have longer indexes. */
const unspacedBytes = { entity: 20, observation: 24, relation: 0, memory: 24, file: 0 };

const unspacedLetters = /[\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\ud7ff]/g;
const weighed = (text: string) =>
  text.length + (unspacedWeight - 1) * (text.match(unspacedLetters)?.length ?? 0);

/** The same for a row that begins and one that ends, so that what a change did can be undone by one. */
export function costOf(kind: Kind, values: object): number {
  const columns = Object.keys(maxLengths[kind]);
  const length = columns.reduce((sum, column) => sum + weighed(textOf(values, column)), 0);
  return 1 + length / charactersPerCost[kind];
}

/** What a row counts for in the quota of the token that stored it. */
export function bytesKept(kind: Kind, values: object): number {
  const { row, text, columns } = diskBytes[kind];
  let bytes = row;
  for (const column of columns) {
    const value = textOf(values, column);
    bytes += text * Buffer.byteLength(value);
    if (unspacedBytes[kind] > 0) bytes += unspacedBytes[kind] * (value.match(unspacedLetters)?.length ?? 0);
  }
  return bytes;
}

/** Tokens are estimated, and counted in fourths: as many as English has bytes. */
export const bytesPerToken = 4;

/** What texts take in an answer, as JSON: about a byte of English each. */
export function bytesOf(...texts: readonly string[]): number {
  let tokens = 0;
  for (const text of texts) tokens += tokensIn(text);
  return Math.ceil(tokens * bytesPerToken);
}

/** As much of a text as takes so many of them. */
export function firstBytes(text: string, bytes: number): string {
  let [fits, tooMany] = [0, Math.min(text.length, bytes)];
  while (fits < tooMany) {
    const length = Math.ceil((fits + tooMany) / 2);
    if (bytesOf(text.slice(0, length)) <= bytes) fits = length;
    else tooMany = length - 1;
  }
  const end = fits > 0 && isHighSurrogate(text.charCodeAt(fits - 1)) ? fits - 1 : fits;
  return text.slice(0, end);
}

const isHighSurrogate = (unit: number) => unit >= 0xd800 && unit < 0xdc00;

export const queryField = storable(z.string().max(4_000));

export const nameField = (description: string) =>
  storedText(maxNameLength, description).refine((name) => name !== '', 'must not be empty');

export const tokenBudgetField = z
  .int()
  .min(1)
  .max(maxAnswerTokens)
  .default(answerTokens)
  .describe('Most tokens to return (bytes / 4).');
