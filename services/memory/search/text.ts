/** What a text and a query are made of: words, index terms and dates. */
import { stem } from './stem.ts';

/** Raised whenever texts are split into other terms than before: indexes are then built anew. */
export const analyzerVersion = 1;

const stopWords = new Set(
  `a about above after again against all also am an and any are aren as at be because been before being below both but by
  can cannot could couldn d did didn do does doesn doing don down during each either else ever every few for from further
  get gets getting got had hadn has hasn have haven having he her here hers herself him himself his how however i if in into
  is isn it its itself just let like likely ll m many may me might more most much must my myself neither no nor not now of
  off on once one only or other our ours ourselves out over own re s same shall she should shouldn so some such t than that
  the their theirs them themselves then there these they this those through to too under until up upon us ve very was wasn
  we were weren what when where whether which while who whom whose why will with won would wouldn you your yours yourself
  yourselves`.split(/\s+/),
);

// Scripts written without spaces, and Korean, whose words carry their particles with them.
const unspaced =
  /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}]+/u;
const unspacedRuns = new RegExp(`(${unspaced.source})`, 'u');
const wordPattern = /[\p{L}\p{N}\p{M}]+|\p{Extended_Pictographic}/gu;

// Longer words are keys, hashes or encoded data; their beginning identifies them.
const longestWord = 64;
// A question has a few dozen words; what is longer is pasted text, whose first words stand for the rest.
const longestQuery = 4_000;
const mostQueryTerms = 64;

/** The words of a text in order: lower case, without accents and possessive endings. */
export function words(text: string): string[] {
  const folded = text
    .normalize('NFKD')
    .replace(/[\u0300-\u036f\ufe0f]/g, '')
    .normalize('NFC')
    .toLowerCase()
    .replace(/['’]s(?![\p{L}\p{N}])/gu, '');
  return (folded.match(wordPattern) ?? []).flatMap((word) =>
    unspaced.test(word) ? word.split(unspacedRuns).flatMap(splitRun) : word.slice(0, longestWord),
  );
}

/** The index terms of a text, repeated as often as they occur. */
export function terms(text: string): string[] {
  return words(text).map(term);
}

export interface Query {
  /** The terms to look for, each with a word it came from. */
  words: Map<string, string>;
  /** Times the query speaks of. */
  periods: Period[];
}

/** Drops stop words, unless nothing else is left. */
export function parseQuery(text: string): Query {
  const head = text.slice(0, longestQuery);
  const all = words(head);
  const telling = all.filter((word) => !stopWords.has(word));
  const byTerm = new Map((telling.length > 0 ? telling : all).map((word) => [term(word), word]));
  return { words: new Map([...byTerm].slice(0, mostQueryTerms)), periods: periods(head) };
}

/** First instant and the one after the last, as ISO texts that compare with `occurred_at`. */
interface Period {
  from: string;
  until: string;
}

const monthNames =
  'january february march april may june july august september october november december'.split(' ');
const month = `(?<month>${monthNames.join('|')})`;
const day = String.raw`(?<day>\d{1,2})(?:st|nd|rd|th)?`;
const year = String.raw`(?<year>\d{4})`;
const datePatterns = [
  String.raw`(?<year>\d{4})-(?<number>\d\d)(?:-(?<day>\d\d))?`,
  String.raw`(?:${day}(?: of)? )?${month},? ${year}`,
  String.raw`${month} ${day},? ${year}`,
].map((pattern) => new RegExp(String.raw`\b${pattern}\b`, 'gi'));

function periods(text: string): Period[] {
  return datePatterns
    .flatMap((pattern) => [...text.matchAll(pattern)])
    .map(({ groups = {} }) => {
      const y = Number(groups['year']);
      const m = groups['number']
        ? Number(groups['number']) - 1
        : monthNames.indexOf(groups['month']?.toLowerCase() ?? '');
      const d = groups['day'] && Number(groups['day']);
      // One day more: people often tell what happened on the day after.
      return d
        ? period(Date.UTC(y, m, d), Date.UTC(y, m, d + 2))
        : period(Date.UTC(y, m, 1), Date.UTC(y, m + 1, 2));
    });
}

function period(from: number, until: number): Period {
  return { from: new Date(from).toISOString(), until: new Date(until).toISOString() };
}

function term(word: string): string {
  return /^[a-z]+$/.test(word) ? stem(word) : word;
}

// Single characters find a query of one character, pairs bring order into longer ones
// (J.-Y. Nie et al., "On the use of words and n-grams for Chinese information retrieval", IRAL 2000).
function splitRun(run: string): string[] {
  if (!unspaced.test(run)) return run === '' ? [] : [run.slice(0, longestWord)];
  const characters = Array.from(run);
  return characters.flatMap((character, i) =>
    i > 0 ? [`${characters[i - 1]}${character}`, character] : character,
  );
}
