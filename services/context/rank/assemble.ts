/** Packs the passages of sources that say most about a query into a budget, with where each comes from. */
import type { Steps } from '#runtime/turns.ts';

import { pace } from '../pace.ts';
import { chunksOf, type Chunk } from '../tokens/chunk.ts';
import { scores } from './ranking.ts';
import { duplicatesOf } from './similarity.ts';
import { sorted } from './sorted.ts';
import type { Tokenizer } from '../tokens/tokenizer.ts';

interface Source {
  readonly id: string;
  readonly text: string;
}

interface Passage {
  readonly source: number;
  readonly start: number;
  readonly end: number;
  readonly text: string;
  readonly tokens: number;
  readonly score: number;
}

interface Assembled {
  readonly context: string;
  readonly tokens: number;
  readonly passages: readonly Passage[];
  readonly considered: number;
}

const separator = '\n\n';
const sameText = 0.9;
/** Of a text, so many places are shown at most: each takes a heading, and a line in the answer. */
const mostPlaces = 1_000;

const headingOf = (sources: readonly Source[], { source, start }: Pick<Passage, 'source' | 'start'>) =>
  `[${sources[source]?.id} ${start}-]\n`;

export function* assemble(
  tokenizer: Tokenizer,
  sources: readonly Source[],
  query: string,
  budget: number,
  passageTokens: number,
): Steps<Assembled> {
  const isTurnOver = pace();
  const ranked = yield* rank(tokenizer, sources, query, passageTokens);
  const chosen: Passage[] = [];
  // An estimate of what a heading adds; the whole is counted below.
  let estimate = 0;
  for (const passage of ranked) {
    if (isTurnOver()) yield;
    if (estimate + passage.tokens > budget) continue;
    const heading = yield* tokenizer.count(separator + headingOf(sources, passage));
    if (estimate + passage.tokens + heading > budget) continue;
    estimate += passage.tokens + heading;
    chosen.push(passage);
  }
  for (;;) {
    const places = yield* joined(yield* sorted(chosen, (a, b) => a.source - b.source || a.start - b.start));
    if (places.length > mostPlaces) {
      chosen.length -= Math.max(places.length - mostPlaces, chosen.length >> 6);
      continue;
    }
    const context = places.map((place) => headingOf(sources, place) + place.text).join(separator);
    const tokens = yield* tokenizer.count(context);
    if (tokens <= budget) return { context, tokens, passages: places, considered: ranked.length };
    // The last chosen say least.
    for (let excess = tokens - budget; excess > 0; excess -= chosen.pop()?.tokens ?? excess);
  }
}

/** Passages in their order, those that follow each other as one. */
function* joined(passages: readonly Passage[]): Steps<Passage[]> {
  const isTurnOver = pace();
  const places: Passage[] = [];
  for (const passage of passages) {
    const before = places.at(-1);
    if (before?.source === passage.source && before.end === passage.start) {
      places[places.length - 1] = {
        ...before,
        end: passage.end,
        text: before.text + passage.text,
        tokens: before.tokens + passage.tokens,
        score: Math.max(before.score, passage.score),
      };
    } else places.push(passage);
    if (isTurnOver()) yield;
  }
  return places;
}

/** All passages that are about the query, the best first; without a query all, in their order. None comes twice. */
function* rank(
  tokenizer: Tokenizer,
  sources: readonly Source[],
  query: string,
  passageTokens: number,
): Steps<Passage[]> {
  const isTurnOver = pace();
  const passages: Chunk[] = [];
  const origins: number[] = [];
  for (const [source, { text }] of sources.entries()) {
    for (const chunk of yield* chunksOf(tokenizer, text, passageTokens)) {
      passages.push(chunk);
      origins.push(source);
    }
  }
  const texts = passages.map(({ text }) => text);
  const points = query === '' ? undefined : yield* scores(query, texts);
  const repeated = new Set((yield* duplicatesOf(texts, sameText)).map(({ index }) => index));
  const found: Passage[] = [];
  for (const [at, passage] of passages.entries()) {
    if (isTurnOver()) yield;
    const score = points?.[at] ?? 0;
    if (repeated.has(at) || (points && score === 0)) continue;
    found.push({ ...passage, source: origins[at] ?? 0, score });
  }
  return points ? yield* sorted(found, (a, b) => b.score - a.score) : found;
}
