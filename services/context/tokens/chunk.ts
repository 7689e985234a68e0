/** Cuts a text into chunks of at most so many tokens, at the best places to cut. */
import type { Steps } from '#runtime/turns.ts';

import { longestToken } from './vocabulary.ts';
import { cutAt } from '#runtime/page.ts';
import { boundaries, lastBoundary, type Boundary } from './sentences.ts';
import type { Tokenizer } from './tokenizer.ts';

export interface Chunk {
  /** Where it begins and ends in the text, in UTF-16 units. */
  readonly start: number;
  readonly end: number;
  readonly text: string;
  readonly tokens: number;
}

/** The least budget in which every character fits in every encoding: four tokens, by the factor for Claude. */
export const minChunkTokens = 16;

/** In characters, however many fit into the budget: what an answer holds. */
export const longestChunk = 250_000;

/** The chunk that begins here and reaches further than the one before, whose end it repeats as far as there is room. */
export function* chunkAt(
  tokenizer: Tokenizer,
  text: string,
  start: number,
  reached: number,
  most: number,
  boundary: Boundary,
): Steps<Chunk> {
  const last = cutAt(text, start + Math.min(most * longestToken, longestChunk));
  const rest = text.slice(start, last);
  for (let target = most; ; target -= 1) {
    const fits = yield* tokenizer.head(rest, target);
    if (start + fits <= reached) return yield* chunkAt(tokenizer, text, reached, reached, most, boundary);
    const earliest = Math.max(Math.floor(fits / 2), reached - start);
    const end = start + fits === text.length ? fits : cutBefore(rest, fits, earliest, boundary);
    const tokens = yield* tokenizer.count(rest.slice(0, end));
    if (tokens <= most) return { start, end: start + end, text: rest.slice(0, end), tokens };
  }
}

/** After the earliest place, or at the last character that fits. */
function cutBefore(text: string, end: number, earliest: number, boundary: Boundary): number {
  for (const kind of boundaries.slice(boundaries.indexOf(boundary))) {
    const at = lastBoundary(text, end, earliest, kind);
    if (at !== undefined) return at;
  }
  return end;
}

/** Where the next chunk begins: later than this one, with no more of it than the overlap, and never more than half. */
export function* nextStart(tokenizer: Tokenizer, chunk: Chunk, overlap: number): Steps<number> {
  if (overlap === 0) return chunk.end;
  return chunk.start + (yield* tokenizer.tail(chunk.text, Math.min(overlap, Math.floor(chunk.tokens / 2))));
}

export function* chunksOf(tokenizer: Tokenizer, text: string, most: number): Steps<Chunk[]> {
  const chunks: Chunk[] = [];
  for (let start = 0; start < text.length;) {
    const chunk = yield* chunkAt(tokenizer, text, start, start, most, 'paragraph');
    chunks.push(chunk);
    start = chunk.end;
    yield;
  }
  return chunks;
}
