/** Near duplicates: how many runs of three words two texts share, by Jaccard's measure. */
import type { Steps } from '#runtime/turns.ts';

import { pace } from '../pace.ts';
import { visitTerms } from './ranking.ts';

interface Duplicate {
  readonly index: number;
  /** The first text that it repeats, which is kept. */
  readonly of: number;
  readonly similarity: number;
}

interface Kept {
  readonly index: number;
  readonly shingles: readonly number[];
}

/**
 * Compares each text with those that were kept before it. Texts without words are alike only when they are equal.
 *
 * Two texts that share so large a part of their shingles share one of the few that are rarest (Chaudhuri, Ganti and Kaushik,
 * 2006), so only those that have one of these are looked at.
 */
export function* duplicatesOf(texts: readonly string[], threshold: number): Steps<Duplicate[]> {
  const isTurnOver = pace();
  const duplicates: Duplicate[] = [];
  const kept: Kept[] = [];
  const same = new Map<string, number>();
  const table = new Shingles();
  const comparedWith = new Int32Array(texts.length);

  for (const [index, text] of texts.entries()) {
    const twin = same.get(text);
    if (twin !== undefined) {
      duplicates.push({ index, of: twin, similarity: 1 });
      continue;
    }
    const shingles = yield* table.of(text, index);
    let best: Duplicate | undefined;
    const rarest = shingles.length - Math.ceil(threshold * shingles.length) + 1;
    for (const shingle of yield* table.rarest(shingles, rarest)) {
      for (const holder of table.holders(shingle)) {
        if (isTurnOver()) yield;
        const other = kept[holder];
        if (!other || comparedWith[holder] === index + 1) continue;
        comparedWith[holder] = index + 1;
        const shared = yield* table.countIn(other.shingles, index);
        const similarity = shared / (shingles.length + other.shingles.length - shared);
        if (similarity > (best?.similarity ?? 0)) best = { index, of: other.index, similarity };
      }
    }
    if (best && best.similarity >= threshold) {
      duplicates.push(best);
      continue;
    }
    same.set(text, index);
    for (const shingle of shingles) {
      table.hold(shingle, kept.length);
      if (isTurnOver()) yield;
    }
    kept.push({ index, shingles });
    yield;
  }
  return duplicates;
}

/**
 * Runs of three words by their number, and which of the kept texts have them. The table grows step by step: a map of millions
 * of entries holds the process for a tenth of a second each time it does. A run is known by 52 bits of a hash.
 */
class Shingles {
  /** The number of each run, from 1, where its hash points; 0 for none. */
  #slots = new Int32Array(1_024);
  readonly #keys: number[] = [0];
  /** The text, from 1, in which each run was found last, so that none is counted twice in it. */
  readonly #seenIn: number[] = [0];
  /** Where the list of its holders begins, 0 for none, and how many are in it. */
  readonly #lists: number[] = [0];
  readonly #counts: number[] = [0];
  readonly #holders: number[] = [-1];
  readonly #next: number[] = [0];

  /** Those of a text, each once; of a text of one or two words these alone. */
  *of(text: string, index: number): Steps<number[]> {
    yield* this.#makeRoom(text.length);
    const found: number[] = [];
    let words = 0;
    let [a, b, c] = [0, 0, 0];
    let [d, e, f] = [0, 0, 0];
    const add = () => {
      const shingle = this.#numberOf(mixed(a, b, c, 31), mixed(d, e, f, 37));
      if (this.#seenIn[shingle] === index + 1) return;
      this.#seenIn[shingle] = index + 1;
      found.push(shingle);
    };
    yield* visitTerms(text, (term) => {
      [a, b, c] = [b, c, hashOf(term, 0x01_00_01_93)];
      [d, e, f] = [e, f, hashOf(term, 0x01_00_0b_3d)];
      words += 1;
      if (words >= 3) add();
    });
    if (words === 1 || words === 2) add();
    return found;
  }

  /** For so many more; a text has no more runs than characters. */
  *#makeRoom(more: number): Steps<void> {
    const needed = 2 * (this.#keys.length + more);
    if (needed <= this.#slots.length) return;
    const isTurnOver = pace();
    const slots = new Int32Array(2 ** Math.ceil(Math.log2(needed)));
    for (let number = 1; number < this.#keys.length; number += 1) {
      slots[slotIn(slots, this.#keys, this.#keys[number] as number)] = number;
      if (isTurnOver()) yield;
    }
    this.#slots = slots;
  }

  #numberOf(low: number, high: number): number {
    const key = (low >>> 6) * 2 ** 26 + (high >>> 6);
    const slot = slotIn(this.#slots, this.#keys, key);
    const known = this.#slots[slot] as number;
    if (known !== 0) return known;
    const number = this.#keys.push(key) - 1;
    this.#seenIn.push(0);
    this.#lists.push(0);
    this.#counts.push(0);
    this.#slots[slot] = number;
    return number;
  }

  /** So many of the given that the fewest texts have. */
  *rarest(shingles: readonly number[], most: number): Steps<number[]> {
    const isTurnOver = pace();
    const byCount: number[] = [];
    for (const shingle of shingles) {
      const count = this.#counts[shingle] as number;
      byCount[count] = (byCount[count] ?? 0) + 1;
      if (isTurnOver()) yield;
    }
    let [limit, room] = [0, most];
    for (; limit <= mostHolders && room > (byCount[limit] ?? 0); limit += 1) room -= byCount[limit] ?? 0;
    const found: number[] = [];
    for (const shingle of shingles) {
      const count = this.#counts[shingle] as number;
      if (count < limit || (count === limit && (room -= 1) >= 0)) found.push(shingle);
      if (isTurnOver()) yield;
    }
    return found;
  }

  /** How many of the given the text has whose shingles were asked for last. */
  *countIn(shingles: readonly number[], index: number): Steps<number> {
    const isTurnOver = pace();
    let count = 0;
    for (const shingle of shingles) {
      if (this.#seenIn[shingle] === index + 1) count += 1;
      if (isTurnOver()) yield;
    }
    return count;
  }

  hold(shingle: number, holder: number): void {
    if ((this.#counts[shingle] as number) >= mostHolders) return;
    this.#counts[shingle] = (this.#counts[shingle] as number) + 1;
    this.#next.push(this.#lists[shingle] as number);
    this.#lists[shingle] = this.#holders.push(holder) - 1;
  }

  *holders(shingle: number): Generator<number, void> {
    for (let place = this.#lists[shingle] as number; place !== 0; place = this.#next[place] as number)
      yield this.#holders[place] as number;
  }
}

/** A run of words that more texts have tells nothing. */
const mostHolders = 1_000;

/** Where a key stands, or where it would. */
function slotIn(slots: Int32Array, keys: readonly number[], key: number): number {
  const last = slots.length - 1;
  for (let slot = (key ^ (key / 2 ** 21)) & last; ; slot = (slot + 1) & last) {
    const number = slots[slot] as number;
    if (number === 0 || keys[number] === key) return slot;
  }
}

const mixed = (first: number, second: number, third: number, factor: number) =>
  Math.imul(Math.imul(first, factor) + second, factor) + third;

function hashOf(text: string, prime: number): number {
  let hash = 0x81_1c_9d_c5;
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), prime);
  return hash ^ (hash >>> 15);
}
