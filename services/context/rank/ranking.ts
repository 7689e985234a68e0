/** Which passages a query is about: Okapi BM25 over words, without a model. */
import type { Steps } from '#runtime/turns.ts';

import { stepsPerTurn } from '../limits.ts';

const k1 = 1.2;
const b = 0.75;

const word = /[\p{L}\p{M}\p{N}]+/gu;
const unspaced = /[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ud7ff]/u;
/** A word that is longer is data; its beginning stands for it. */
const longestWord = 100;
const passagesPerTurn = 50;

/** Words in lower case; also the parts of names in camelCase, and pairs of characters where no spaces part words. */
export function* termsOf(text: string): Steps<string[]> {
  const terms: string[] = [];
  for (const [found] of text.matchAll(word)) {
    if (!unspaced.test(found)) {
      const short = found.slice(0, longestWord);
      const parts = short.split(/(?<=\p{Ll})(?=\p{Lu})/u);
      terms.push(short.toLowerCase());
      if (parts.length > 1) terms.push(...parts.map((part) => part.toLowerCase()));
      if (terms.length % stepsPerTurn === 0) yield;
      continue;
    }
    for (let at = 0; at === 0 || at < found.length - 1; at += 1) {
      terms.push(found.slice(at, at + 2).toLowerCase());
      if (terms.length % stepsPerTurn === 0) yield;
    }
  }
  return terms;
}

/** A score per passage, in order; 0 where no word of the query occurs. */
export function* scores(query: string, passages: readonly string[]): Steps<number[]> {
  const asked = new Set(yield* termsOf(query));
  const containing = new Map<string, number>();
  const counted: { counts: Map<string, number>; length: number }[] = [];
  for (const passage of passages) {
    const terms = yield* termsOf(passage);
    const counts = new Map<string, number>();
    for (const term of terms) if (asked.has(term)) counts.set(term, (counts.get(term) ?? 0) + 1);
    for (const term of counts.keys()) containing.set(term, (containing.get(term) ?? 0) + 1);
    counted.push({ counts, length: terms.length });
    if (counted.length % passagesPerTurn === 0) yield;
  }
  const meanLength = counted.reduce((sum, { length }) => sum + length, 0) / counted.length || 1;
  return counted.map(({ counts, length }) => {
    let score = 0;
    for (const [term, count] of counts) {
      const holders = containing.get(term) ?? 0;
      const rarity = Math.log(1 + (counted.length - holders + 0.5) / (holders + 0.5));
      score += (rarity * count * (k1 + 1)) / (count + k1 * (1 - b + (b * length) / meanLength));
    }
    return score;
  });
}
