/** What changed between two texts, line by line, in the unified format. */
import { structuredPatch, type StructuredPatch } from 'diff';

import { linesIn } from '../lines.ts';

/** More edits than these are shown as one replacement: finding the fewest takes time that grows with their square. */
const maxEdits = 1_000;

export interface EntriesJob {
  /** Texts by their names; what changes from the first to the second is shown. */
  readonly before: ReadonlyMap<string, string>;
  readonly after: ReadonlyMap<string, string>;
  /** Unchanged lines to show around a change. */
  readonly context: number;
}

/** Compared at once: some milliseconds of work at most. */
const shortLines = 300;
const shortLength = 50_000;

export function isShortJob({ before, after }: EntriesJob): boolean {
  let [lines, length] = [0, 0];
  for (const text of [...before.values(), ...after.values()]) {
    length += text.length;
    if (length > shortLength) return false;
    lines += linesIn(text);
  }
  return lines <= shortLines;
}

export interface EntriesDiff {
  /** Those that differ, sorted by their names. */
  readonly changes: readonly {
    readonly key: string;
    readonly status: 'added' | 'removed' | 'changed';
    readonly added: number;
    readonly removed: number;
    readonly text: string;
  }[];
}

export function entriesDiff({ before, after, context }: EntriesJob): EntriesDiff {
  const keys = [...new Set([...before.keys(), ...after.keys()])].toSorted();
  const changes = keys.flatMap((key) => {
    const [old, fresh] = [before.get(key), after.get(key)];
    if (old === fresh) return [];
    const status = old === undefined ? 'added' : fresh === undefined ? 'removed' : 'changed';
    return [{ key, status, ...textDiff(key, old, fresh, context) } as const];
  });
  return { changes };
}

/** A text that is not there has no lines. */
function textDiff(key: string, old: string | undefined, fresh: string | undefined, context: number) {
  const { hunks } = patchOf(old ?? '', fresh ?? '', context);
  const lines = hunks.flatMap((hunk) => [
    `@@ -${range(hunk.oldStart, hunk.oldLines)} +${range(hunk.newStart, hunk.newLines)} @@`,
    ...hunk.lines,
  ]);
  const count = (sign: string) =>
    hunks.reduce((sum, hunk) => sum + hunk.lines.filter((line) => line.startsWith(sign)).length, 0);
  const name = (text: string | undefined) => (text === undefined ? '/dev/null' : key.replaceAll('\n', ' '));
  return {
    added: count('+'),
    removed: count('-'),
    text: [`--- ${name(old)}`, `+++ ${name(fresh)}`, ...lines, ''].join('\n'),
  };
}

const range = (start: number, lines: number) =>
  lines === 1 ? `${start}` : `${lines === 0 ? start - 1 : start},${lines}`;

function patchOf(old: string, fresh: string, context: number): Pick<StructuredPatch, 'hunks'> {
  const found = structuredPatch('', '', old, fresh, '', '', { context, maxEditLength: maxEdits });
  if (found) return found;
  const [before, after] = [linesOf(old), linesOf(fresh)];
  const lines = [...signed('-', old, before), ...signed('+', fresh, after)];
  return {
    hunks: [{ oldStart: 1, oldLines: before.length, newStart: 1, newLines: after.length, lines }],
  };
}

/** The end of the last line is no line. */
const linesOf = (text: string) => (text === '' ? [] : text.replace(/\n$/, '').split('\n'));

const signed = (sign: string, text: string, lines: readonly string[]) => [
  ...lines.map((line) => sign + line),
  ...(lines.length > 0 && !text.endsWith('\n') ? ['\\ No newline at end of file'] : []),
];
