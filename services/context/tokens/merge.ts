/** Byte-pair merging: of two neighbours whose bytes together are a token, those of the lowest rank first, of equal ones the leftmost. */
import type { Steps } from '#runtime/turns.ts';

import { pace } from '../pace.ts';
import { longestToken, noRank, type Vocabulary } from './vocabulary.ts';

/** Pieces up to this many bytes are merged at once, in arrays that are there: nearly all that ever come. */
export const shortPiece = 128;
const starts = new Int32Array(shortPiece + 1);
const pairRanks = new Int32Array(shortPiece + 1);
const never = 2 ** 31 - 1;

/** Looks for the lowest rank among all pairs each time. @returns how many tokens there are; `ends` gets where each ends. */
export function mergeShort(
  bytes: Uint8Array,
  size: number,
  { rankOf }: Vocabulary,
  ends: Int32Array,
): number {
  let parts = size;
  const rate = (part: number) => {
    if (part < 0 || part + 2 > parts) return;
    const rank = rankOf(bytes, starts[part] as number, starts[part + 2] as number);
    pairRanks[part] = rank === noRank ? never : rank;
  };
  for (let at = 0; at <= size; at += 1) starts[at] = at;
  for (let part = 0; part < parts - 1; part += 1) rate(part);
  for (;;) {
    let [best, lowest] = [0, never];
    for (let part = 0; part < parts - 1; part += 1) {
      const rank = pairRanks[part] as number;
      if (rank < lowest) [best, lowest] = [part, rank];
    }
    if (lowest === never) break;
    starts.copyWithin(best + 1, best + 2, parts + 1);
    pairRanks.copyWithin(best + 1, best + 2, parts);
    parts -= 1;
    rate(best);
    rate(best - 1);
  }
  for (let part = 0; part < parts; part += 1) ends[part] = starts[part + 1] as number;
  return parts;
}

/** A pair in the heap: its rank, then where it begins. No text has more bytes than this. */
const positions = 2 ** 24;

/** With a heap, because one piece can be as long as the text. @returns where each token ends. */
export function* mergeLong(bytes: Uint8Array, { rankOf }: Vocabulary): Steps<Int32Array> {
  const size = bytes.length;
  // Memory is cleared when it is taken, which takes its time as well.
  const next = new Int32Array(size + 1);
  const previous = new Int32Array(size + 1);
  yield;
  const rankAt = new Int32Array(size);
  const heap = new Heap();
  yield;

  function rate(start: number): void {
    const middle = next[start] as number;
    const end = middle < size ? (next[middle] as number) : Infinity;
    const rank = end - start <= longestToken ? rankOf(bytes, start, end) : noRank;
    rankAt[start] = rank;
    if (rank !== noRank) heap.push(rank * positions + start);
  }

  const isTurnOver = pace();
  for (let at = 0; at <= size; at += 1) {
    next[at] = at + 1;
    previous[at] = at - 1;
    if (isTurnOver()) yield;
  }
  for (let start = 0; start < size; start += 1) {
    rate(start);
    if (isTurnOver()) yield;
  }
  let tokens = size;
  for (let key = heap.pop(); key !== undefined; key = heap.pop()) {
    if (isTurnOver()) yield;
    const start = key % positions;
    if (rankAt[start] !== (key - start) / positions) continue;
    const middle = next[start] as number;
    const end = next[middle] as number;
    next[start] = end;
    previous[end] = start;
    rankAt[middle] = noRank;
    tokens -= 1;
    rate(start);
    if (start > 0) rate(previous[start] as number);
  }

  const ends = new Int32Array(tokens);
  for (let at = 0, token = 0; at < size; token += 1) {
    at = next[at] as number;
    ends[token] = at;
    if (isTurnOver()) yield;
  }
  return ends;
}

/** A block of memory is taken when it is needed: all at once would be 29 MB for the longest text, and clearing that holds the loop. */
const blockBits = 15;
const blockMask = 2 ** blockBits - 1;

/** The smallest key first. */
class Heap {
  readonly #blocks: Float64Array[] = [];
  #size = 0;

  push(key: number): void {
    let at = this.#size;
    if ((at & blockMask) === 0 && this.#blocks.length === at >> blockBits)
      this.#blocks.push(new Float64Array(blockMask + 1));
    this.#size += 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = this.#at(parent);
      if (above <= key) break;
      this.#put(at, above);
      at = parent;
    }
    this.#put(at, key);
  }

  pop(): number | undefined {
    if (this.#size === 0) return undefined;
    const top = this.#at(0);
    this.#size -= 1;
    const key = this.#at(this.#size);
    let at = 0;
    for (let child = 1; child < this.#size; child = 2 * at + 1) {
      if (child + 1 < this.#size && this.#at(child + 1) < this.#at(child)) child += 1;
      const below = this.#at(child);
      if (below >= key) break;
      this.#put(at, below);
      at = child;
    }
    this.#put(at, key);
    return top;
  }

  #at(index: number): number {
    return (this.#blocks[index >> blockBits] as Float64Array)[index & blockMask] as number;
  }

  #put(index: number, key: number): void {
    (this.#blocks[index >> blockBits] as Float64Array)[index & blockMask] = key;
  }
}
