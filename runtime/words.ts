/** What a text and a question are made of: words, and the terms by which an index finds them. */
import { stem } from './stem.ts';

/** Raised whenever texts are split into other terms than before: indexes are then built anew. */
export const analyzerVersion = 2;

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
export const longestQuery = 4_000;
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

/** The terms to look for, each with a word it came from. Drops stop words, unless nothing else is left. */
export function queryWords(text: string): Map<string, string> {
  const all = words(text.slice(0, longestQuery));
  const telling = all.filter((word) => !stopWords.has(word));
  const byTerm = new Map((telling.length > 0 ? telling : all).map((word) => [term(word), word]));
  return new Map([...byTerm].slice(0, mostQueryTerms));
}

function term(word: string): string {
  if (!/^[a-z]+$/.test(word)) return word;
  const known = stems.get(word);
  if (known !== undefined) return known;
  const found = stem(word);
  if (word.length <= longestKept) {
    if (stems.size >= mostStems) stems.clear();
    stems.set(word, found);
  }
  return found;
}

/** Texts have the same words again and again, and the stem costs more than all else that is done for a word. */
const stems = new Map<string, string>();
const mostStems = 10_000;
/** V8 keeps a longer one as a part of its text, which would stay in memory with it. */
const longestKept = 12;

// Single characters find a query of one character, pairs bring order into longer ones
// (J.-Y. Nie et al., "On the use of words and n-grams for Chinese information retrieval", IRAL 2000).
function splitRun(run: string): string[] {
  if (!unspaced.test(run)) return run === '' ? [] : [run.slice(0, longestWord)];
  const characters = Array.from(run);
  return characters.flatMap((character, i) =>
    i > 0 ? [`${characters[i - 1]}${character}`, character] : character,
  );
}
