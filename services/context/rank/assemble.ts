/** Packs the passages of sources that say most about a query into a budget, with where each comes from. */
import type { Steps } from '#runtime/turns.ts';

import { chunksOf } from '../tokens/chunk.ts';
import { scores } from './ranking.ts';
import { duplicatesOf } from './similarity.ts';
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

/** Passages in the order of the sources, under a heading wherever something was left out before. */
function render(sources: readonly Source[], passages: readonly Passage[]): string {
  const parts: string[] = [];
  let before: Passage | undefined;
  for (const passage of passages) {
    const { id } = sources[passage.source] ?? { id: '' };
    const goesOn = before?.source === passage.source && before.end === passage.start;
    parts.push(
      goesOn
        ? passage.text
        : `${parts.length > 0 ? separator : ''}[${id} ${passage.start}-]\n${passage.text}`,
    );
    before = passage;
  }
  return parts.join('');
}

export function* assemble(
  tokenizer: Tokenizer,
  sources: readonly Source[],
  query: string,
  budget: number,
  passageTokens: number,
): Steps<Assembled> {
  const ranked = yield* rank(tokenizer, sources, query, passageTokens);
  const chosen: Passage[] = [];
  // An estimate of what a heading adds; the whole is counted below.
  let estimate = 0;
  for (const passage of ranked) {
    const heading = yield* tokenizer.count(
      `${separator}[${sources[passage.source]?.id} ${passage.start}-]\n`,
    );
    if (estimate + passage.tokens + heading > budget) continue;
    estimate += passage.tokens + heading;
    chosen.push(passage);
  }
  for (;;) {
    const passages = chosen.toSorted((a, b) => a.source - b.source || a.start - b.start);
    const context = render(sources, passages);
    const tokens = yield* tokenizer.count(context);
    if (tokens <= budget) return { context, tokens, passages, considered: ranked.length };
    // The last chosen say least.
    for (let excess = tokens - budget; excess > 0; excess -= chosen.pop()?.tokens ?? excess);
  }
}

/** All passages that are about the query, the best first; without a query all, in their order. None comes twice. */
function* rank(
  tokenizer: Tokenizer,
  sources: readonly Source[],
  query: string,
  passageTokens: number,
): Steps<Passage[]> {
  const passages: Omit<Passage, 'score'>[] = [];
  for (const [source, { text }] of sources.entries()) {
    for (const chunk of yield* chunksOf(tokenizer, text, passageTokens)) passages.push({ source, ...chunk });
  }
  const texts = passages.map(({ text }) => text);
  const points = query === '' ? texts.map(() => 0) : yield* scores(query, texts);
  const repeated = new Set((yield* duplicatesOf(texts, sameText)).map(({ index }) => index));
  return passages
    .map((passage, at) => ({ ...passage, score: points[at] ?? 0 }))
    .filter(({ score }, at) => !repeated.has(at) && (query === '' || score > 0))
    .toSorted((a, b) => b.score - a.score);
}
