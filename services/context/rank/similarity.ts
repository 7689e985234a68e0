/** Near duplicates: how many runs of three words two texts share, by Jaccard's measure. */
import type { Steps } from '#runtime/turns.ts';

import { stepsPerTurn } from '../limits.ts';
import { termsOf } from './ranking.ts';

interface Duplicate {
  readonly index: number;
  /** The first text that it repeats, which is kept. */
  readonly of: number;
  readonly similarity: number;
}

const wordsPerShingle = 3;

function* shinglesOf(text: string): Steps<ReadonlySet<string>> {
  const terms = yield* termsOf(text);
  const shingles = new Set([terms.slice(0, wordsPerShingle).join(' ')]);
  for (let at = 1; at + wordsPerShingle <= terms.length; at += 1) {
    shingles.add(terms.slice(at, at + wordsPerShingle).join(' '));
    if (at % stepsPerTurn === 0) yield;
  }
  return shingles;
}

/** Compares each text with those that were kept before it. Texts without words are alike only when they are equal. */
export function* duplicatesOf(texts: readonly string[], threshold: number): Steps<Duplicate[]> {
  const duplicates: Duplicate[] = [];
  const kept: { index: number; size: number }[] = [];
  const same = new Map<string, number>();
  /** Which of the kept texts have a shingle. */
  const holders = new Map<string, number[]>();
  let work = 0;

  for (const [index, text] of texts.entries()) {
    const twin = same.get(text);
    if (twin !== undefined) {
      duplicates.push({ index, of: twin, similarity: 1 });
      continue;
    }
    const shingles = yield* shinglesOf(text);
    const shared = new Map<number, number>();
    for (const shingle of shingles) {
      if (shingle === '') continue;
      for (const holder of holders.get(shingle) ?? []) {
        shared.set(holder, (shared.get(holder) ?? 0) + 1);
        if ((work += 1) % stepsPerTurn === 0) yield;
      }
    }
    const best = bestOf(shared, kept, shingles.size);
    if (best && best.similarity >= threshold) {
      duplicates.push({ index, ...best });
      continue;
    }
    same.set(text, index);
    for (const shingle of shingles) {
      const list = holders.get(shingle);
      if (list) list.push(kept.length);
      else holders.set(shingle, [kept.length]);
      if ((work += 1) % stepsPerTurn === 0) yield;
    }
    kept.push({ index, size: shingles.size });
    yield;
  }
  return duplicates;
}

function bestOf(
  shared: ReadonlyMap<number, number>,
  kept: readonly { index: number; size: number }[],
  size: number,
) {
  let best: { of: number; similarity: number } | undefined;
  for (const [holder, count] of shared) {
    const other = kept[holder];
    if (!other) continue;
    const similarity = count / (size + other.size - count);
    if (!best || similarity > best.similarity) best = { of: other.index, similarity };
  }
  return best;
}
