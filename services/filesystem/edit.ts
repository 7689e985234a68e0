/** Replaces parts of a text and leaves the rest, with its line ends, as it is. */
import { setImmediate } from 'node:timers/promises';

import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

import { maxLooseLines, maxOccurrences } from './limits.ts';

export interface Edit {
  readonly oldText: string;
  readonly newText: string;
}

export interface EditRules {
  readonly replaceAll: boolean;
  readonly expectedOccurrences: number;
}

/** Characters that are searched between two turns in which others are served. */
const charactersPerTurn = 128 * 1024;
/** Of a text that an error repeats. */
const maxQuoted = 2_000;

/**
 * Applies edits one after the other, each to what the one before left. Line ends are compared as if all were alike, and
 * new text gets those of the file.
 *
 * @throws ToolError `not_found`, or `conflict` with the count when a text occurs more often than expected.
 */
export async function applyEdits(
  text: string,
  edits: readonly Edit[],
  rules: EditRules,
  call: Pick<Call, 'signal'>,
): Promise<string> {
  let current = text;
  for (const edit of edits) current = await applyEdit(current, edit, rules, call);
  return current;
}

interface Span {
  readonly from: number;
  readonly to: number;
  readonly newText: string;
}

async function applyEdit(
  text: string,
  edit: Edit,
  { replaceAll, expectedOccurrences }: EditRules,
  call: Pick<Call, 'signal'>,
): Promise<string> {
  const unix = unixLines(text);
  const oldText = unixLines(edit.oldText);
  const newText = unixLines(edit.newText);
  const quoted = edit.oldText.length > maxQuoted ? `${edit.oldText.slice(0, maxQuoted)}…` : edit.oldText;
  const exact = await occurrences(unix, oldText, call);
  const spans =
    exact.length > 0
      ? exact.map((from) => ({ from, to: from + oldText.length, newText }))
      : await looseSpans(unix, oldText, newText, call);
  if (spans.length === 0) {
    throw new ToolError('not_found', `Could not find exact match for edit:\n${quoted}`, {
      hint: 'Read the file, and copy the text from it. Nothing was changed.',
    });
  }
  const [only] = exact;
  const count =
    exact.length === 1 && only !== undefined && overlapsItself(unix, oldText, only) ? 2 : spans.length;
  if (!replaceAll && count !== expectedOccurrences) {
    throw new ToolError(
      'conflict',
      `The text of an edit occurs ${count} times, not ${expectedOccurrences}:\n${quoted}`,
      {
        hint: 'Add lines around it until it is unique, or pass expectedOccurrences or replaceAll. Nothing was changed.',
      },
    );
  }
  return splice(text, unix, spans);
}

const unixLines = (text: string) => text.replaceAll('\r\n', '\n');

/** Whether the text is found again from within the one place where it is: then that place is not the only one. */
const overlapsItself = (text: string, wanted: string, at: number) =>
  text.slice(at + 1, at + 2 * wanted.length - 1).includes(wanted);

/** Where a text occurs, without overlaps but for what neighbours share. Searched in pieces: no pattern may hold the process. */
async function occurrences(
  text: string,
  wanted: string,
  { signal }: Pick<Call, 'signal'>,
  shared = 0,
): Promise<number[]> {
  const found: number[] = [];
  for (let from = 0; from + wanted.length <= text.length;) {
    const piece = text.slice(from, from + charactersPerTurn + wanted.length - 1);
    let next = from;
    for (let index = piece.indexOf(wanted); index >= 0; index = piece.indexOf(wanted, next - from)) {
      found.push(from + index);
      next = from + index + wanted.length - shared;
      if (found.length > maxOccurrences) {
        throw new ToolError('too_large', `The text of an edit occurs more than ${maxOccurrences} times.`, {
          hint: 'Add to it, so that it occurs less often. Nothing was changed.',
        });
      }
    }
    from = Math.max(next, from + charactersPerTurn);
    if (from + wanted.length <= text.length) {
      await setImmediate();
      signal.throwIfAborted();
    }
  }
  return found;
}

/** Whole lines that are the same but for the white space around each; the new lines keep the indentation found. */
async function looseSpans(
  text: string,
  oldText: string,
  newText: string,
  call: Pick<Call, 'signal'>,
): Promise<Span[]> {
  const lines = text.split('\n', maxLooseLines + 1);
  if (lines.length > maxLooseLines) return [];
  const trimmed = `\n${lines.map((line) => line.trim()).join('\n')}\n`;
  const oldLines = oldText.split('\n');
  const wanted = `\n${oldLines.map((line) => line.trim()).join('\n')}\n`;
  // The line end between two matches belongs to both.
  const starts = await occurrences(trimmed, wanted, call, 1);
  if (starts.length === 0) return [];
  const spans: Span[] = [];
  let line = 0;
  let offset = 0;
  let trimmedOffset = 0;
  for (const start of starts) {
    while (trimmedOffset < start) {
      trimmedOffset += (lines[line] ?? '').trim().length + 1;
      offset += (lines[line] ?? '').length + 1;
      line += 1;
    }
    const matched = lines.slice(line, line + oldLines.length);
    const length = matched.join('\n').length;
    spans.push({ from: offset, to: offset + length, newText: indented(newText, oldLines, matched[0] ?? '') });
  }
  return spans;
}

const indentOf = (line: string) => /^\s*/.exec(line)?.[0] ?? '';

function indented(newText: string, oldLines: readonly string[], firstMatched: string): string {
  const indent = indentOf(firstMatched);
  return newText
    .split('\n')
    .map((line, index) => {
      if (index === 0) return indent + line.trimStart();
      const before = indentOf(oldLines[index] ?? '');
      const after = indentOf(line);
      if (before === '' || after === '') return line;
      return indent + ' '.repeat(Math.max(0, after.length - before.length)) + line.trimStart();
    })
    .join('\n');
}

/** Puts new text in place of spans of `unix`, which is `text` with plain line ends. */
function splice(text: string, unix: string, spans: readonly Span[]): string {
  const isUnix = text.length === unix.length;
  const windows = text.length - unix.length;
  // New lines end as most lines of the file do.
  const lineEnd = windows * 2 > unix.split('\n').length - 1 ? '\r\n' : '\n';
  const pieces: string[] = [];
  let done = 0;
  let original = 0;
  const originalOf = (index: number) => {
    if (isUnix) return index;
    // Each plain line end that is passed was two characters where a return stood before it.
    while (done < index) {
      if (text[original] === '\r' && text[original + 1] === '\n') original += 1;
      original += 1;
      done += 1;
    }
    return original;
  };
  let kept = 0;
  for (const { from, to, newText } of spans) {
    pieces.push(text.slice(kept, originalOf(from)), newText.replaceAll('\n', lineEnd));
    kept = originalOf(to);
  }
  pieces.push(text.slice(kept));
  return pieces.join('');
}
