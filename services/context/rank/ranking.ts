/** Which passages a query is about: Okapi BM25 over words, without a model. */
import type { Steps } from '#runtime/turns.ts';

import { pace } from '../pace.ts';
import { wordEndAt } from '../tokens/split.ts';

const k1 = 1.2;
const b = 0.75;

/** A longer run of letters is looked at in parts: finding its end would be one long step. */
const longestRun = 4_096;
const unspaced = /[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ud7ff]/u;
/** A word that is longer is data; its beginning stands for it. */
const longestWord = 100;
const camelCase = /(?<=\p{Ll})(?=\p{Lu})/u;

/**
 * Words in lower case; also the parts of names in camelCase, and pairs of characters where no spaces part words.
 *
 * @returns how many there are.
 */
export function* visitTerms(text: string, visit: (term: string) => void): Steps<number> {
  const isTurnOver = pace();
  let count = 0;
  const tell = (term: string) => {
    count += 1;
    visit(term);
  };
  let end = -1;
  for (let at = 0; at < text.length;) {
    const start = at;
    at = wordEndAt(text, start, start + longestRun);
    if (at === start) {
      at += 1;
      if (isTurnOver(1 / 16)) yield;
      continue;
    }
    const isContinued = start === end;
    end = at;
    const found = text.slice(start, end);
    if (unspaced.test(found)) {
      const first = isContinued ? start - 1 : start;
      for (let each = first; each === first || each < end - 1; each += 1) {
        tell(text.slice(each, Math.min(each + 2, end)).toLowerCase());
        if (isTurnOver()) yield;
      }
    } else if (!isContinued) {
      const short = found.slice(0, longestWord);
      const lower = short.toLowerCase();
      tell(lower);
      const parts = lower === short ? [] : short.split(camelCase);
      if (parts.length > 1) for (const part of parts) tell(part.toLowerCase());
    }
    if (isTurnOver(1 + found.length / 16)) yield;
  }
  return count;
}

/** A score per passage, in order; 0 where no word of the query occurs. */
export function* scores(query: string, passages: readonly string[]): Steps<number[]> {
  const isTurnOver = pace();
  const asked = new Set<string>();
  yield* visitTerms(query, (term) => asked.add(term));
  const containing = new Map<string, number>();
  const counted: { counts: Map<string, number>; length: number }[] = [];
  for (const passage of passages) {
    const counts = new Map<string, number>();
    const length = yield* visitTerms(passage, (term) => {
      if (asked.has(term)) counts.set(term, (counts.get(term) ?? 0) + 1);
    });
    for (const term of counts.keys()) containing.set(term, (containing.get(term) ?? 0) + 1);
    counted.push({ counts, length });
    if (isTurnOver(1 + counts.size)) yield;
  }
  const points: number[] = [];
  const meanLength = counted.reduce((sum, { length }) => sum + length, 0) / counted.length || 1;
  for (const { counts, length } of counted) {
    let score = 0;
    for (const [term, count] of counts) {
      const holders = containing.get(term) ?? 0;
      const rarity = Math.log(1 + (counted.length - holders + 0.5) / (holders + 0.5));
      score += (rarity * count * (k1 + 1)) / (count + k1 * (1 - b + (b * length) / meanLength));
    }
    points.push(score);
    if (isTurnOver(1 + counts.size)) yield;
  }
  return points;
}
