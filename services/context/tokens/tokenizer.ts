/** Counts and cuts texts by tokens, as OpenAI's tokenizers do, in time that grows with the text and not with its square. */
import type { Steps } from '#runtime/turns.ts';

import { bytesPerTurn } from '../limits.ts';
import { pace } from '../pace.ts';
import { mergeLong, mergeShort, shortPiece } from './merge.ts';
import { splits } from './split.ts';
import { loadVocabulary, noRank, type Vocabulary, type VocabularyName } from './vocabulary.ts';

/**
 * No tokenizer of Claude 3 or later is public. Published counts of its newest one lie up to 1.63 times above o200k_base for
 * English and code and 1.77 times for Chinese, Japanese and Korean; the factor is above both, so that a budget holds.
 */
const claudeFactor = 1.8;

const encodings = {
  o200k_base: { vocabulary: 'o200k_base', split: splits.o200k, factor: 1 },
  cl100k_base: { vocabulary: 'cl100k_base', split: splits.cl100k, factor: 1 },
  p50k_base: { vocabulary: 'p50k_base', split: splits.r50k, factor: 1 },
  r50k_base: { vocabulary: 'r50k_base', split: splits.r50k, factor: 1 },
  claude: { vocabulary: 'o200k_base', split: splits.o200k, factor: claudeFactor },
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

/** Loads a vocabulary when it is first asked for. */
export function openTokenizers() {
  const vocabularies = new Map<VocabularyName, Promise<Vocabulary>>();
  const tokenizers = new Map<EncodingName, Promise<Tokenizer>>();

  const ready = new Map<EncodingName, Tokenizer>();

  const vocabularyOf = (name: VocabularyName) => remember(vocabularies, name, () => loadVocabulary(name));
  const open = async (encoding: EncodingName): Promise<Tokenizer> =>
    remember(tokenizers, encoding, async () => {
      const tokenizer = tokenizerOf(encoding, await vocabularyOf(encodings[encoding].vocabulary));
      ready.set(encoding, tokenizer);
      return tokenizer;
    });
  /** The one that is loaded already; `undefined` before that. */
  return Object.assign(open, { ready: (encoding: EncodingName) => ready.get(encoding) });
}

export type Tokenizers = ReturnType<typeof openTokenizers>;

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

/** For pieces that are handled at once: no call is interrupted while it uses these. */
const shortBytes = new Uint8Array(shortPiece);
const shortEnds = new Int32Array(shortPiece);

function tokenizerOf(encoding: EncodingName, vocabulary: Vocabulary): Tokenizer {
  const { split, factor } = encodings[encoding];
  const isTurnOver = pace(bytesPerTurn);

  /** How many tokens a piece has; `undefined` for one that is too long to be counted at once. */
  function tokensAtOnce(text: string, start: number, end: number): number | undefined {
    const size = writeUtf8(text, start, end, shortBytes);
    if (size === undefined) return undefined;
    if (vocabulary.rankOf(shortBytes, 0, size) !== noRank) return 1;
    return mergeShort(shortBytes, size, vocabulary, shortEnds);
  }

  /** Where each token of a piece ends, in bytes. Whatever goes through the whole of a long piece is a step of its own. */
  function* endsOf(piece: string): Steps<Int32Array> {
    if (piece.length > shortPiece) yield;
    const bytes = Buffer.from(piece);
    if (vocabulary.rankOf(bytes, 0, bytes.length) !== noRank) return Int32Array.of(bytes.length);
    if (bytes.length > shortPiece) {
      yield;
      const ends = yield* mergeLong(bytes, vocabulary);
      yield;
      return ends;
    }
    return shortEnds.slice(0, mergeShort(bytes, bytes.length, vocabulary, shortEnds));
  }

  function* count(text: string): Steps<number> {
    let tokens = 0;
    for (let start = 0; start < text.length;) {
      const end = split(text, start);
      tokens += tokensAtOnce(text, start, end) ?? (yield* endsOf(text.slice(start, end))).length;
      if (isTurnOver(end - start)) yield;
      start = end;
    }
    return Math.ceil(tokens * factor);
  }

  /** Where to cut, and how far the piece reaches that the cut is in. */
  function* headOf(text: string, most: number): Steps<{ cut: number; reach: number }> {
    // A beginning can split otherwise than the whole does, so it is counted again.
    for (let target = Math.floor(most / factor); target > 0;) {
      let left = target;
      let cut = 0;
      let reach = 0;
      for (let start = 0; start < text.length && left > 0; start = reach) {
        reach = split(text, start);
        let ends: Int32Array | undefined;
        let tokens = tokensAtOnce(text, start, reach);
        if (tokens === undefined || tokens > left) {
          ends = yield* endsOf(text.slice(start, reach));
          tokens = ends.length;
        }
        cut =
          tokens <= left ? reach : start + characterAt(text.slice(start, reach), ends?.[left - 1] ?? 0, -1);
        left -= tokens;
        if (isTurnOver(reach - start)) yield;
      }
      const excess = (yield* count(text.slice(0, cut))) - most;
      if (excess <= 0) return { cut, reach };
      target -= excess;
    }
    return { cut: 0, reach: 0 };
  }

  function* tailOf(text: string, most: number): Steps<{ cut: number; reach: number }> {
    const starts: number[] = [];
    const sizes: number[] = [];
    for (let start = 0; start < text.length;) {
      const end = split(text, start);
      starts.push(start);
      sizes.push(tokensAtOnce(text, start, end) ?? (yield* endsOf(text.slice(start, end))).length);
      if (isTurnOver(end - start)) yield;
      start = end;
    }
    for (let target = Math.floor(most / factor); target > 0;) {
      let left = target;
      let cut = text.length;
      let reach = cut;
      for (let at = starts.length - 1; at >= 0 && left > 0; at -= 1) {
        const start = starts[at] as number;
        const size = sizes[at] as number;
        cut = start;
        if (size > left) {
          const piece = text.slice(start, reach);
          cut += characterAt(piece, (yield* endsOf(piece))[size - left - 1] ?? 0, 1);
        }
        reach = start;
        left -= size;
        if (isTurnOver(1)) yield;
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
        if (reach + lookAhead < window) return cut;
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
/** So many characters behind a piece can belong to it: `'ll` does, `'l` does not. */
const lookAhead = 3;

const windowFor = (tokens: number) => Math.max(1, tokens) * usualToken;
/** Characters of a token in scripts without spaces; in others the window grows. */
const usualToken = 2;

/** The character that begins at this byte, or the next one that begins in the direction. */
function characterAt(text: string, byteOffset: number, direction: 1 | -1): number {
  const bytes = Buffer.from(text);
  let at = byteOffset;
  while (((bytes[at] ?? 0) & 0xc0) === 0x80) at += direction;
  return bytes.toString('utf8', 0, at).length;
}

const replacement = 0xff_fd;

/** Writes a part of a text as UTF-8, as `Buffer.from` does. @returns how many bytes, or `undefined` when there is no room. */
function writeUtf8(text: string, start: number, end: number, into: Uint8Array): number | undefined {
  if (end - start > into.length) return undefined;
  let size = 0;
  for (let at = start; at < end; at += 1) {
    let code = text.charCodeAt(at);
    if (code >= 0xd8_00 && code < 0xe0_00) {
      const whole = at + 1 < end ? (text.codePointAt(at) as number) : 0;
      if (whole > 0xff_ff) at += 1;
      code = whole > 0xff_ff ? whole : replacement;
    }
    const length = code < 0x80 ? 1 : code < 0x8_00 ? 2 : code < 0x1_00_00 ? 3 : 4;
    if (size + length > into.length) return undefined;
    if (length === 1) into[size] = code;
    else {
      into[size] = (leadingBits[length] as number) | (code >> (6 * (length - 1)));
      for (let byte = 1; byte < length; byte += 1)
        into[size + byte] = 0x80 | ((code >> (6 * (length - 1 - byte))) & 0x3f);
    }
    size += length;
  }
  return size;
}

/** Of the first byte of a character that has so many. */
const leadingBits = [0, 0, 0xc0, 0xe0, 0xf0];
