/** The only gpt-tokenizer import: its vocabularies and split patterns. The merging is ours, because it has to be linear. */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import {
  CL100K_TOKEN_SPLIT_REGEX,
  O200K_TOKEN_SPLIT_REGEX,
  R50K_TOKEN_SPLIT_REGEX,
} from 'gpt-tokenizer/encodingParams/constants';

import { inTurns, type Steps } from '#runtime/turns.ts';

import { bytesPerTurn, stepsPerTurn } from '../limits.ts';

/**
 * No tokenizer of Claude 3 or later is public. Published counts of its newest one lie up to 1.63 times above o200k_base for
 * English and code and 1.77 times for Chinese, Japanese and Korean; the factor is above both, so that a budget holds.
 */
const claudeFactor = 1.8;

const encodings = {
  o200k_base: { vocabulary: 'o200k_base', split: O200K_TOKEN_SPLIT_REGEX, factor: 1 },
  cl100k_base: { vocabulary: 'cl100k_base', split: CL100K_TOKEN_SPLIT_REGEX, factor: 1 },
  p50k_base: { vocabulary: 'p50k_base', split: R50K_TOKEN_SPLIT_REGEX, factor: 1 },
  r50k_base: { vocabulary: 'r50k_base', split: R50K_TOKEN_SPLIT_REGEX, factor: 1 },
  claude: { vocabulary: 'o200k_base', split: O200K_TOKEN_SPLIT_REGEX, factor: claudeFactor },
} as const;
export type EncodingName = keyof typeof encodings;
export const encodingNames = Object.keys(encodings) as [EncodingName, ...EncodingName[]];

export interface Tokenizer {
  readonly encoding: EncodingName;
  /** Whether counts are those of the model's own tokenizer; otherwise they are estimates from above. */
  readonly exact: boolean;
  count(text: string): Steps<number>;
  /** Where the longest beginning ends that takes no more tokens than these. */
  head(text: string, most: number): Steps<number>;
  /** Where the longest ending begins that takes no more tokens than these. */
  tail(text: string, most: number): Steps<number>;
}

/** Bytes as characters of one byte each, to their rank. */
type Ranks = ReadonlyMap<string, number>;

/** Loads a vocabulary when it is first asked for: each takes some 30 MB and a fifth of a second. */
export function openTokenizers() {
  const vocabularies = new Map<string, Promise<Ranks>>();
  const tokenizers = new Map<EncodingName, Promise<Tokenizer>>();

  const ranksOf = (vocabulary: string) => remember(vocabularies, vocabulary, () => loadRanks(vocabulary));
  return async (encoding: EncodingName): Promise<Tokenizer> =>
    remember(tokenizers, encoding, async () =>
      tokenizerOf(encoding, await ranksOf(encodings[encoding].vocabulary)),
    );
}

/** What failed is tried again by the next who asks. */
async function remember<Key, Value>(
  known: Map<Key, Promise<Value>>,
  key: Key,
  load: () => Promise<Value>,
): Promise<Value> {
  const loading = known.get(key) ?? load();
  known.set(key, loading);
  loading.catch(() => known.delete(key));
  return loading;
}

async function loadRanks(vocabulary: string): Promise<Ranks> {
  const file = fileURLToPath(import.meta.resolve(`gpt-tokenizer/data/${vocabulary}.tiktoken`));
  const lines = await readFile(file, 'latin1');
  // Others may wait for the same load, so the end of one call does not stop it.
  return inTurns(
    (read) => read(),
    { signal: new AbortController().signal, caller: '', operation: 'parse_ranks' },
    parseRanks(lines),
  );
}

function* parseRanks(lines: string): Steps<Ranks> {
  const ranks = new Map<string, number>();
  for (let at = 0; at < lines.length;) {
    const space = lines.indexOf(' ', at);
    const end = lines.indexOf('\n', space) >>> 0;
    ranks.set(
      Buffer.from(lines.slice(at, space), 'base64').toString('latin1'),
      Number(lines.slice(space + 1, end)),
    );
    at = end + 1;
    if (ranks.size % stepsPerTurn === 0) yield;
  }
  return ranks;
}

function tokenizerOf(encoding: EncodingName, ranks: Ranks): Tokenizer {
  const { split, factor } = encodings[encoding];
  let work = 0;
  // Words come again; what is kept stays small, however long the process runs.
  const known = new Map<string, readonly number[]>();

  function* endsOf(bytes: string): Steps<readonly number[]> {
    if (ranks.has(bytes)) return [bytes.length];
    const before = known.get(bytes);
    if (before) return before;
    const ends = yield* merged(bytes, ranks);
    if (known.size >= maxKnown) known.clear();
    if (bytes.length <= longestKnown) known.set(bytes, ends);
    return ends;
  }

  /** Gives each piece of the text with the ends of its tokens, counted in bytes, until the visitor has had enough. */
  function* walk(
    text: string,
    visit: (start: number, end: number, ends: readonly number[]) => boolean,
  ): Steps<void> {
    const pattern = new RegExp(split);
    for (let start = 0; pattern.test(text); start = pattern.lastIndex) {
      const end = pattern.lastIndex;
      const bytes = bytesOf(text.slice(start, end));
      work += bytes.length;
      if (work >= bytesPerTurn) {
        work = 0;
        yield;
      }
      if (!visit(start, end, yield* endsOf(bytes))) return;
    }
  }

  function* count(text: string): Steps<number> {
    let tokens = 0;
    yield* walk(text, (_start, _end, ends) => {
      tokens += ends.length;
      return true;
    });
    return Math.ceil(tokens * factor);
  }

  /** Where to cut, and how far the piece reaches that the cut is in. */
  function* headOf(text: string, most: number): Steps<{ cut: number; reach: number }> {
    // A beginning can split otherwise than the whole does, so it is counted again.
    for (let target = Math.floor(most / factor); target > 0;) {
      let left = target;
      let cut = 0;
      let reach = 0;
      yield* walk(text, (start, end, ends) => {
        reach = end;
        cut =
          ends.length <= left ? end : start + characterAt(text.slice(start, end), ends[left - 1] ?? 0, -1);
        left -= ends.length;
        return left > 0;
      });
      const excess = (yield* count(text.slice(0, cut))) - most;
      if (excess <= 0) return { cut, reach };
      target -= excess;
    }
    return { cut: 0, reach: 0 };
  }

  function* tailOf(text: string, most: number): Steps<{ cut: number; reach: number }> {
    const starts: number[] = [];
    const sizes: number[] = [];
    yield* walk(text, (start, _end, ends) => {
      starts.push(start);
      sizes.push(ends.length);
      return true;
    });
    for (let target = Math.floor(most / factor); target > 0;) {
      let left = target;
      let cut = text.length;
      let reach = cut;
      for (let at = starts.length - 1; at >= 0 && left > 0; at -= 1) {
        const start = starts[at] ?? 0;
        const size = sizes[at] ?? 0;
        reach = start;
        if (size <= left) cut = start;
        else {
          const piece = text.slice(start, cut);
          const ends = yield* endsOf(bytesOf(piece));
          cut = start + characterAt(piece, ends[size - left - 1] ?? 0, 1);
        }
        left -= size;
      }
      const excess = (yield* count(text.slice(cut))) - most;
      if (excess <= 0) return { cut, reach };
      target -= excess;
    }
    return { cut: text.length, reach: text.length };
  }

  return {
    encoding,
    exact: factor === 1,
    count,

    // Of a long text no more is looked at than may fit. A piece that the window cuts can take more tokens than it does whole.
    *head(text, most) {
      for (let window = windowFor(most); window < text.length; window *= 4) {
        const { cut, reach } = yield* headOf(text.slice(0, window), most);
        if (reach < window) return cut;
      }
      return (yield* headOf(text, most)).cut;
    },

    *tail(text, most) {
      for (let window = windowFor(most); window < text.length; window *= 4) {
        const { cut, reach } = yield* tailOf(text.slice(-window), most);
        if (reach > 0) return text.length - window + cut;
      }
      return (yield* tailOf(text, most)).cut;
    },
  };
}

/** How much of a long text is looked at first for so many tokens. */
const windowFor = (tokens: number) => Math.max(1, tokens) * usualToken;
/** Characters of a token in scripts without spaces; in others the window grows. */
const usualToken = 2;
const maxKnown = 20_000;
const longestKnown = 64;

// oxlint-disable-next-line no-control-regex -- ASCII is exactly this range
const ascii = /^[\x00-\x7f]*$/;

const bytesOf = (text: string) => (ascii.test(text) ? text : Buffer.from(text).toString('latin1'));

/** The character that begins at this byte, or the next one that begins in the direction. */
function characterAt(text: string, byteOffset: number, direction: 1 | -1): number {
  const bytes = Buffer.from(text);
  let at = byteOffset;
  while (((bytes[at] ?? 0) & 0xc0) === 0x80) at += direction;
  return bytes.toString('utf8', 0, at).length;
}

/** A pair in the heap: its rank, then where it begins. No text has more bytes than this. */
const positions = 2 ** 24;
const longestToken = 128;
const noRank = -1;

/**
 * Byte-pair merging: the pair of the lowest rank first, of equal ones the leftmost. With a heap, because scanning for it
 * takes quadratic time and one piece can be as long as the text.
 *
 * @returns where each token ends.
 */
function* merged(bytes: string, ranks: Ranks): Steps<number[]> {
  const size = bytes.length;
  const next = new Int32Array(size + 1);
  const previous = new Int32Array(size + 1);
  const rankAt = new Int32Array(size).fill(noRank);
  const heap: number[] = [];

  function rate(start: number): void {
    const middle = next[start] ?? size;
    const end = middle < size ? (next[middle] ?? size) : Infinity;
    const rank = end - start <= longestToken ? (ranks.get(bytes.slice(start, end)) ?? noRank) : noRank;
    rankAt[start] = rank;
    if (rank !== noRank) push(heap, rank * positions + start);
  }

  for (let at = 0; at <= size; at += 1) {
    next[at] = at + 1;
    previous[at] = at - 1;
  }
  for (let start = 0; start < size; start += 1) {
    rate(start);
    if (start % stepsPerTurn === stepsPerTurn - 1) yield;
  }
  for (let steps = 1, key = pop(heap); key !== undefined; key = pop(heap), steps += 1) {
    if (steps % stepsPerTurn === 0) yield;
    const start = key % positions;
    if (rankAt[start] !== (key - start) / positions) continue;
    const middle = next[start] ?? size;
    const end = next[middle] ?? size;
    next[start] = end;
    previous[end] = start;
    rankAt[middle] = noRank;
    rate(start);
    if (start > 0) rate(previous[start] ?? 0);
  }

  const ends: number[] = [];
  for (let at = 0; at < size;) ends.push((at = next[at] ?? size));
  return ends;
}

function push(heap: number[], key: number): void {
  let at = heap.push(key) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent] ?? 0;
    if (above <= key) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = key;
}

function pop(heap: number[]): number | undefined {
  const [top] = heap;
  const key = heap.pop();
  if (key === undefined || heap.length === 0) return top;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    const left = heap[child] ?? Infinity;
    const right = heap[child + 1] ?? Infinity;
    if (right < left) child += 1;
    const least = Math.min(left, right);
    if (least >= key) break;
    heap[at] = least;
    at = child;
  }
  heap[at] = key;
  return top;
}
