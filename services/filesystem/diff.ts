/** The only `diff` import: shows changes as unified diffs, and applies them. */
import { applyPatch, createTwoFilesPatch, parsePatch, type StructuredPatch } from 'diff';

import { ToolError } from '#runtime/errors.ts';

/** Texts that have little in common take long to compare, and their difference says nothing. */
const compareTimeoutMs = 100;
const maxShownLength = 1_000_000;
/** Of lines, while the place of a hunk is looked for: far more than any patch needs that fits somewhere. */
const maxComparisons = 5_000_000;

export type FilePatch = StructuredPatch;

/** A fenced diff, as the official server shows it. */
export function showDiff(path: string, before: string, after: string): string {
  const compared = createTwoFilesPatch(
    path,
    path,
    unixLines(before),
    unixLines(after),
    'original',
    'modified',
    {
      timeout: compareTimeoutMs,
    },
  );
  const isShown = compared !== undefined && compared.length <= maxShownLength;
  const diff = isShown
    ? compared
    : `--- ${path}\toriginal\n+++ ${path}\tmodified\n(too many differences to show)\n`;
  let fence = '```';
  while (diff.includes(fence)) fence += '`';
  return `${fence}diff\n${diff}${fence}\n\n`;
}

const unixLines = (text: string) => text.replaceAll('\r\n', '\n');

export function parseDiff(text: string): FilePatch[] {
  try {
    return parsePatch(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.slice(0, 300) : '';
    throw new ToolError('invalid_input', `The patch cannot be read: ${reason}`, {
      hint: 'Pass a unified diff as git diff or diff -u make it.',
      cause,
    });
  }
}

/** What looking for the places of a patch has taken so far, over all of its files. */
export interface Search {
  comparisons: number;
}

/** `undefined` when the text is not what the patch was made for. */
export function applyDiff(text: string, patch: FilePatch, search: Search): string | undefined {
  const compareLine = (_number: number, line: string, _operation: string, wanted: string) => {
    search.comparisons += 1;
    if (search.comparisons > maxComparisons) {
      throw new ToolError('too_large', 'The place of the patch in the file takes too long to find.', {
        hint: 'Make the patch for what is in the file now, or use edit_file.',
      });
    }
    return line === wanted;
  };
  const applied = applyPatch(text, patch, { fuzzFactor: 0, autoConvertLineEndings: true, compareLine });
  return applied === false ? undefined : applied;
}
