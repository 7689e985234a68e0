/** Replaces parts of a text and leaves the rest, with its line ends, as it is. */
import { ToolError } from '#runtime/errors.ts';
import { indentOf, moved } from './indent.ts';
import { maxEditSteps, maxLooseLines, maxOccurrences, maxTextBytes } from './limits.ts';

export interface Edit {
  readonly oldText: string;
  readonly newText: string;
}

export interface EditRules {
  readonly replaceAll: boolean;
  readonly expectedOccurrences: number;
}

/** Of a text that an error repeats. */
const maxQuoted = 2_000;

/** A text with plain line ends, and what they were. */
interface Draft {
  readonly text: string;
  /** Whether each line end was that of Windows; `undefined` where all are alike. */
  readonly ends: readonly boolean[] | undefined;
  /** Of new lines: that of most. */
  readonly isWindows: boolean;
}

/**
 * Applies edits one after the other, each to what the one before left. Line ends are compared as if all were alike, and
 * new text gets those of the file.
 *
 * @param tell how many edits are made.
 * @throws ToolError `not_found`, `conflict` with the count when a text occurs more often than expected, or `too_large`.
 */
export function applyEdits(
  text: string,
  edits: readonly Edit[],
  rules: EditRules,
  tell: (done: number) => void = () => {},
): string {
  const work = { steps: 0 };
  let draft = draftOf(text);
  goOver(text.length, work);
  for (const [index, edit] of edits.entries()) {
    draft = applyEdit(draft, edit, rules, work);
    tell(index + 1);
  }
  return finished(draft);
}

/** Characters that were gone over. */
interface Work {
  steps: number;
}

function draftOf(text: string): Draft {
  const unix = unixLines(text);
  const windows = text.length - unix.length;
  const total = countLineEnds(unix);
  const ends: boolean[] = [];
  const isMixed = windows > 0 && windows < total;
  for (let at = isMixed ? text.indexOf('\n') : -1; at >= 0; at = text.indexOf('\n', at + 1))
    ends.push(text[at - 1] === '\r');
  return { text: unix, ends: isMixed ? ends : undefined, isWindows: windows * 2 > total };
}

function finished({ text, ends, isWindows }: Draft): string {
  if (!ends) return isWindows ? text.replaceAll('\n', '\r\n') : text;
  const pieces: string[] = [];
  let from = 0;
  let at = -1;
  for (const isWindows of ends) {
    at = text.indexOf('\n', at + 1);
    if (!isWindows) continue;
    pieces.push(text.slice(from, at));
    from = at + 1;
  }
  pieces.push(text.slice(from));
  return pieces.join('\r\n');
}

function countLineEnds(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count += 1;
  return count;
}

interface Span {
  readonly from: number;
  readonly to: number;
  readonly newText: string;
}

function applyEdit(
  draft: Draft,
  edit: Edit,
  { replaceAll, expectedOccurrences }: EditRules,
  work: Work,
): Draft {
  const { text } = draft;
  const oldText = unixLines(edit.oldText);
  const newText = unixLines(edit.newText);
  const quoted = edit.oldText.length > maxQuoted ? `${edit.oldText.slice(0, maxQuoted)}…` : edit.oldText;
  const exact = occurrences(text, oldText, work);
  const loose = exact.length > 0 ? undefined : looseOccurrences(text, oldText, work);
  const found = loose ? loose.starts.length : exact.length;
  if (found === 0) {
    throw new ToolError('not_found', `Could not find exact match for edit:\n${quoted}`, {
      hint: 'Read the file, and copy the text from it. Nothing was changed.',
    });
  }
  const [only] = exact;
  const count = exact.length === 1 && only !== undefined && overlapsItself(text, oldText, only) ? 2 : found;
  if (!replaceAll && count !== expectedOccurrences) {
    throw new ToolError(
      'conflict',
      `The text of an edit occurs ${count} times, not ${expectedOccurrences}:\n${quoted}`,
      {
        hint: 'Add lines around it until it is unique, or pass expectedOccurrences or replaceAll. Nothing was changed.',
      },
    );
  }
  const spans = loose
    ? looseSpans(loose, newText, quoted, work)
    : exact.map((from) => ({ from, to: from + oldText.length, newText }));
  return splice(draft, spans, work);
}

/** Counts what is gone over. @throws ToolError once it is too much for a call. */
function goOver(characters: number, work: Work): void {
  work.steps += characters;
  if (work.steps > maxEditSteps) {
    throw new ToolError('too_large', 'These are too many edits for a file of this size.', {
      hint: 'Make them in several calls. Nothing was changed.',
    });
  }
}

const unixLines = (text: string) => text.replaceAll('\r\n', '\n');

/** Whether the text is found again from within the one place where it is: then that place is not the only one. */
const overlapsItself = (text: string, wanted: string, at: number) =>
  text.slice(at + 1, at + 2 * wanted.length - 1).includes(wanted);

/** Where a text occurs, without overlaps but for what neighbours share. */
function occurrences(text: string, wanted: string, work: Work, shared = 0): number[] {
  const found: number[] = [];
  goOver(text.length, work);
  for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length - shared)) {
    found.push(at);
    if (found.length > maxOccurrences) {
      throw new ToolError('too_large', `The text of an edit occurs more than ${maxOccurrences} times.`, {
        hint: 'Add to it, so that it occurs less often. Nothing was changed.',
      });
    }
  }
  return found;
}

interface Loose {
  readonly lines: readonly string[];
  readonly oldLines: readonly string[];
  /** Whether the text to find ends with the end of a line: then that is part of what is replaced. */
  readonly isWhole: boolean;
  /** In the lines without the white space around each. */
  readonly starts: readonly number[];
}

/** Whole lines that are the same but for the white space around each. */
function looseOccurrences(text: string, oldText: string, work: Work): Loose {
  const lines = text.split('\n', maxLooseLines + 1);
  const isWhole = oldText.endsWith('\n');
  const oldLines = (isWhole ? oldText.slice(0, -1) : oldText).split('\n');
  if (lines.length > maxLooseLines || oldText.trim() === '') return { lines, oldLines, isWhole, starts: [] };
  const trimmed = `\n${lines.map((line) => line.trim()).join('\n')}\n`;
  const wanted = `\n${oldLines.map((line) => line.trim()).join('\n')}\n`;
  goOver(4 * text.length, work);
  // The line end between two matches belongs to both.
  return { lines, oldLines, isWhole, starts: occurrences(trimmed, wanted, work, 1) };
}

/** The new lines are moved as far as the lines found stand from where they were said to stand. */
function* looseSpans(
  { lines, oldLines, isWhole, starts }: Loose,
  newText: string,
  quoted: string,
  work: Work,
): Generator<Span, void> {
  const given = oldLines.map(indentOf);
  const byIndents = new Map<string, string>();
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
    const found = matched.map(indentOf);
    const key = found.join('\n');
    let indented = byIndents.get(key);
    if (indented === undefined) {
      const moves = given.flatMap((given, index) =>
        oldLines[index]?.trim() === '' ? [] : [{ given, found: found[index] ?? '' }],
      );
      indented = moved(newText, moves);
      if (indented === undefined) throw unclear(quoted, line + 1);
      byIndents.set(key, indented);
      work.steps += newText.length;
    }
    const isLast = line + oldLines.length >= lines.length;
    const end = offset + matched.join('\n').length;
    yield { from: offset, to: isWhole && !isLast ? end + 1 : end, newText: indented };
  }
}

const unclear = (quoted: string, line: number) =>
  new ToolError('not_found', `Could not find exact match for edit:\n${quoted}`, {
    hint: `The lines from ${line} on are the same but for their indentation, and how far to indent the new lines is not clear. Copy the old text from the file with its indentation, and indent the new text alike. Nothing was changed.`,
  });

/** Puts new text in place of spans. Stops before more is built than a file may have. */
function splice({ text, ends, isWindows }: Draft, spans: Iterable<Span>, work: Work): Draft {
  const pieces: string[] = [];
  const pieceEnds: (readonly boolean[])[] = [];
  let length = 0;
  let line = 0;
  let kept = 0;
  for (const { from, to, newText } of spans) {
    length += from - kept + newText.length;
    if (length > maxTextBytes) throw tooLong();
    goOver(newText.length + 20, work);
    const before = text.slice(kept, from);
    pieces.push(before, newText);
    if (ends) {
      const keptLines = countLineEnds(before);
      const newEnds = Array.from({ length: countLineEnds(newText) }, () => isWindows);
      pieceEnds.push(ends.slice(line, line + keptLines), newEnds);
      line += keptLines + countLineEnds(text.slice(from, to));
    }
    kept = to;
  }
  goOver(text.length, work);
  pieces.push(text.slice(kept));
  return { text: pieces.join(''), ends: ends && [...pieceEnds, ends.slice(line)].flat(), isWindows };
}

export const tooLong = () =>
  new ToolError('too_large', `The file would have more than ${maxTextBytes} bytes.`, {
    hint: 'Write less, or into several files. Nothing was changed.',
  });
