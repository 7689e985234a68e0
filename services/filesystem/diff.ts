/** The only `diff` import: shows changes as unified diffs, and applies them. */
import { applyPatch, createTwoFilesPatch, parsePatch, type StructuredPatch } from 'diff';

import { ToolError } from '#runtime/errors.ts';

/** Texts that have little in common take long to compare, and their difference says nothing. */
const compareTimeoutMs = 200;
const maxShownLength = 1_000_000;
/** Lines of a file times lines of its hunks: what a patch that fits nowhere is compared, at worst. */
const maxComparisons = 100_000_000;

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

/** `undefined` when the text is not what the patch was made for. */
export function applyDiff(text: string, patch: FilePatch): string | undefined {
  const lines = patch.hunks.reduce((sum, hunk) => sum + hunk.lines.length, 0);
  if (lines * text.split('\n').length > maxComparisons) {
    throw new ToolError('too_large', 'The patch is too large for the size of the file.', {
      hint: 'Apply it in parts, or use edit_file.',
    });
  }
  const applied = applyPatch(text, patch, { fuzzFactor: 0, autoConvertLineEndings: true });
  return applied === false ? undefined : applied;
}
