/** Every limit of the service, with the reason where the number is not arbitrary. */
import { ToolError } from '#runtime/errors.ts';

/** 64 KiB of UTF-16: some thirty pages, far above a step of thought. */
export const maxThoughtLength = 65_536;
export const maxTitleLength = 512;
export const maxBranchIdLength = 128;
/** Every answer to a thought names all branches: 32 KiB at most. */
export const maxBranches = 256;
/** Of branches of branches of branches, where a number is looked for. */
export const maxLinesLookedAt = 8;
export const maxThoughtsPerSession = 100_000;
/** Of an exported document: escaped once more in the arguments of an import, it still fits into a request. */
export const maxExportLength = 1_000_000;
export const maxImportLength = 2_000_000;
/** Into a session that is there they go in one transaction, which holds the process: some milliseconds, also where each refers to others. */
export const maxThoughtsPerImport = 1_000;
/** Keys and values of a document: three times what the thoughts of one can have. */
export const maxImportParts = 40_000;
/** Mermaid itself draws no diagram of more than 500 edges or 50,000 characters. */
export const maxDiagramThoughts = 200;
export const maxDiagramLength = 45_000;
export const diagramLabelLength = 60;
export const excerptLength = 200;

/** How long a session without a name waits for its next thought. */
export const defaultIdleMs = 3_600_000;

// What a search looks at in one step, a fraction of a millisecond, and in one call.
export const maxRowsPerStep = 50;
export const maxCharactersPerStep = 20_000;
export const maxRowsPerSearch = 200_000;
export const maxCharactersPerSearch = 100_000_000;
/** How long a text is searched for a word can grow with the word. */
export const maxQueryLength = 256;
export const maxQueryWords = 16;

/** Thoughts that an import adds in one step, some 2 ms: each piece is a transaction of its own, which writes the same pages again. */
export const addedPerStep = 250;
/** Thoughts that are deleted in one step. */
export const removedPerStep = 10;
/** Of the revisions of a session, the newest that a summary looks at. */
export const maxRevisionsRead = 2_000;

/** @throws ToolError too_large. */
export function checkLength(what: string, text: string, maxLength: number): void {
  if (text.length > maxLength) {
    throw new ToolError(
      'too_large',
      `The ${what} has ${text.length} characters; at most ${maxLength} are kept.`,
      { hint: 'Shorten it, or split it into several.' },
    );
  }
}
