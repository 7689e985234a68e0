/** The only `diff` import: shows changes as unified diffs, and applies them. */
import {
  applyPatch,
  createTwoFilesPatch,
  formatPatch,
  parsePatch,
  type StructuredPatch,
  type StructuredPatchHunk,
} from 'diff';

import { ToolError } from '#runtime/errors.ts';

import { answerBytes } from './limits.ts';

/** Texts that have little in common take long to compare, and their difference says nothing. */
const compareTimeoutMs = 500;
/** Of lines, while the place of a hunk is looked for: far more than any patch needs that fits somewhere. */
const maxComparisons = 5_000_000;

export type FilePatch = StructuredPatch;

/** A fenced diff, as the official server shows it, up to what an answer holds. */
export function showDiff(path: string, before: string, after: string): string {
  const compared = createTwoFilesPatch(
    path,
    path,
    unixLines(before),
    unixLines(after),
    'original',
    'modified',
    { timeout: compareTimeoutMs },
  );
  const shown = compared ?? lineByLine(path, unixLines(before), unixLines(after));
  const diff = shown
    ? beginningOf(shown)
    : `--- ${path}\toriginal\n+++ ${path}\tmodified\n(too many differences to show)\n`;
  let fence = '```';
  while (diff.includes(fence)) fence += '`';
  return `${fence}diff\n${diff}${fence}\n\n`;
}

/** Where as many lines are left and many of them changed, each is compared with the one in its place. */
function lineByLine(path: string, before: string, after: string): string | undefined {
  const oldLines = before.split('\n');
  const newLines = after.split('\n');
  if (oldLines.length !== newLines.length) return undefined;
  const hunks: StructuredPatchHunk[] = [];
  let bytes = 0;
  for (let start = 0; start < oldLines.length && bytes <= answerBytes; start += 1) {
    if (oldLines[start] === newLines[start]) continue;
    let end = start + 1;
    while (end < oldLines.length && end - start < linesPerHunk && oldLines[end] !== newLines[end]) end += 1;
    const removed = oldLines.slice(start, end).map((line) => `-${line}`);
    const added = newLines.slice(start, end).map((line) => `+${line}`);
    const lines = [...removed, ...added];
    const count = end - start;
    hunks.push({ oldStart: start + 1, oldLines: count, newStart: start + 1, newLines: count, lines });
    bytes += lines.reduce((sum, line) => sum + line.length, 0);
    start = end - 1;
  }
  const file = { oldFileName: path, newFileName: path, oldHeader: 'original', newHeader: 'modified' };
  return formatPatch({ ...file, hunks });
}

const linesPerHunk = 100;

function beginningOf(diff: string): string {
  if (Buffer.byteLength(diff) <= answerBytes) return diff;
  const shown = Buffer.from(diff).toString('utf8', 0, answerBytes);
  const end = shown.lastIndexOf('\n') + 1;
  return `${shown.slice(0, end)}(more differences than an answer holds)\n`;
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
