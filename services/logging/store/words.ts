/** How lines are indexed, and how a query becomes an expression over that index. */
import type { Level } from './line.ts';
import { levels } from './line.ts';

/** Private characters that no indexed text holds mark what is no word of a line: its level, and its stream. */
const levelMark = '\u{e000}';
const streamMark = '\u{e001}';
const marks = /[\u{e000}\u{e001}]/gu;

const levelTag = (level: number) => `${levelMark}${level}`;
const streamTag = (stream: number) => `${streamMark}${stream.toString(36)}`;

/** What is indexed of a line. */
export function indexed(text: string, level: number, stream: number): string {
  const clean = text.includes(levelMark) || text.includes(streamMark) ? text.replace(marks, ' ') : text;
  return `${clean} ${levelTag(level)} ${streamTag(stream)}`;
}

/** What is searched of a line: the index, and what is looked for within the text, see the same. */
export function searchable(message: string, traceId: string | null, fieldsJson: string | null): string {
  if (fieldsJson === null && traceId === null) return message;
  return `${message} ${traceId ?? ''} ${fieldsJson === null ? '' : Object.values(JSON.parse(fieldsJson) as object).join(' ')}`;
}

/** As the tokenizer splits: runs of letters and digits. */
const runs = /[\p{L}\p{M}\p{N}\p{Co}]+/gu;
const quoted = (word: string) => `"${word.replaceAll('"', '""')}"`;

export interface Term {
  readonly text: string;
  readonly isExcluded: boolean;
  /** `time*`: the beginning of a word. */
  readonly isPrefix: boolean;
}

/** Words that must all be there, `"as they stand"` in quotes, `begin*`, and `-without`. */
export function termsOf(query: string): readonly Term[] {
  const terms: Term[] = [];
  for (const [, minus = '', phrase, word = ''] of query
    .replace(marks, ' ')
    .matchAll(/(-?)(?:"([^"]*)"?|([^\s"]+))/g)) {
    const isPrefix = phrase === undefined && /[\p{L}\p{N}]\*$/u.test(word);
    const text = (phrase ?? (isPrefix ? word.slice(0, -1) : word)).trim();
    if (text !== '') terms.push({ text, isExcluded: minus === '-', isPrefix });
  }
  return terms;
}

export interface Compiled {
  /** Over the index; `undefined` for every line. */
  readonly match: string | undefined;
  /** What the index cannot tell of a line that it found; `undefined` where it tells all. */
  readonly verify: ((text: string) => boolean) | undefined;
}

/** So many words may begin with what a query gives. */
export const mostBeginnings = 200;

export interface Wanted {
  readonly terms: readonly Term[];
  /** `undefined` for any. */
  readonly levels: readonly Level[] | undefined;
  /** Numbers of streams within the segment; `undefined` for any. */
  readonly streams: readonly number[] | undefined;
}

/** What a query is not to have, where lines are looked at one by one. */
export function withoutExcluded(terms: readonly Term[]): ((text: string) => boolean) | undefined {
  const excluded = terms.filter(({ isExcluded }) => isExcluded);
  if (excluded.length === 0) return undefined;
  return (text) => {
    const clean = folded(text);
    return excluded.every((term) => !holds(clean, folded(term.text), term.isPrefix));
  };
}

/** @param beginningWith the words of the index with that beginning, at most one more than `mostBeginnings`. */
export function compile(
  { terms, levels: wantedLevels, streams }: Wanted,
  beginningWith: (beginning: string) => readonly string[],
): Compiled {
  const all: string[] = [];
  const none: string[] = [];
  const checks: ((lower: string) => boolean)[] = [];
  for (const { text, isExcluded, isPrefix } of terms) {
    const parts = text.match(runs) ?? [];
    const [only] = parts;
    if (parts.length === 1 && only === text) {
      const words = isPrefix ? beginningWith(folded(only)) : [only];
      // A word that no line has is quoted all the same: the index then finds nothing.
      const expression = words.length === 0 ? quoted(only) : `(${words.map(quoted).join(' OR ')})`;
      (isExcluded ? none : all).push(expression);
      continue;
    }
    checks.push((lower) => holds(lower, text.toLowerCase(), isPrefix) !== isExcluded);
    if (!isExcluded) all.push(...mostTelling(isPrefix ? parts.slice(0, -1) : parts).map(quoted));
  }
  if (wantedLevels) all.push(anyOf(wantedLevels.map((level) => levelTag(levels.indexOf(level)))));
  if (streams) all.push(anyOf(streams.map(streamTag)));
  if (all.length === 0 && none.length > 0) all.push(anyOf(levels.map((_, level) => levelTag(level))));
  const without = none.map((expression) => ` NOT ${expression}`).join('');
  return {
    match: all.length === 0 ? undefined : `(${all.join(' AND ')})${without}`,
    verify:
      checks.length === 0
        ? undefined
        : (text) => {
            const lower = text.toLowerCase();
            return checks.every((check) => check(lower));
          },
  };
}

/**
 * Of words in order, those for the index: lists of lines that have a common word are long, and the text of what is found is
 * looked at anyway. Long words and numbers are in fewer lines, and of an address the last part.
 */
const mostTelling = (words: readonly string[]): string[] =>
  words.toSorted((one, other) => telling(one) - telling(other)).slice(-wordsOfPhrase);

const telling = (word: string) => word.length + (/\d/.test(word) ? 3 : 0);
const wordsOfPhrase = 2;

/** As the tokenizer writes words. */
const folded = (word: string) => word.normalize('NFD').replaceAll(/\p{M}/gu, '').toLowerCase();

/** Whether a text has these words, as they stand, and not within longer ones. */
function holds(text: string, wanted: string, isPrefix: boolean): boolean {
  for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + 1)) {
    const end = at + wanted.length;
    if (isEdge(text, at) && (isPrefix || isEdge(text, end))) return true;
  }
  return false;
}

const ofWord = /[\p{L}\p{M}\p{N}]/u;
const isEdge = (text: string, at: number) =>
  at === 0 || at >= text.length || !ofWord.test(text[at - 1] ?? '') || !ofWord.test(text[at] ?? '');

const anyOf = (tags: readonly string[]) =>
  tags.length === 0 ? quoted(`${streamMark}none`) : `(${tags.map(quoted).join(' OR ')})`;
