/** Cuts a text to a number of tokens, which the result never exceeds, marks of what was cut included. */
import type { Steps } from '#runtime/turns.ts';

import { lastBoundary } from './sentences.ts';
import type { Tokenizer } from './tokenizer.ts';

export const strategies = ['head', 'tail', 'middle', 'sentence'] as const;
type Strategy = (typeof strategies)[number];

interface Truncated {
  readonly text: string;
  readonly tokens: number;
}

/**
 * The text that is longer than the budget, cut by the strategy. The mark stands where something was cut; where not even
 * it fits, it is left out.
 */
export function* truncate(
  tokenizer: Tokenizer,
  text: string,
  budget: number,
  strategy: Strategy,
  mark: string,
): Steps<Truncated> {
  const room = budget - (yield* tokenizer.count(mark));
  for (let target = room; target > 0;) {
    const cut = yield* cuts[strategy](tokenizer, text, target, mark);
    const tokens = yield* tokenizer.count(cut);
    if (tokens <= budget) return { text: cut, tokens };
    // Where parts join, tokens can be more than those of the parts.
    target -= tokens - budget;
  }
  for (let target = budget; target > 0; target -= 1) {
    const bare = yield* cuts[strategy](tokenizer, text, target, '');
    const tokens = yield* tokenizer.count(bare);
    if (tokens <= budget) return { text: bare, tokens };
  }
  return { text: '', tokens: 0 };
}

const cuts: Readonly<
  Record<Strategy, (tokenizer: Tokenizer, text: string, most: number, mark: string) => Steps<string>>
> = {
  *head(tokenizer, text, most, mark) {
    return text.slice(0, yield* tokenizer.head(text, most)) + mark;
  },

  *tail(tokenizer, text, most, mark) {
    return mark + text.slice(yield* tokenizer.tail(text, most));
  },

  *middle(tokenizer, text, most, mark) {
    const end = yield* tokenizer.head(text, Math.ceil(most / 2));
    const rest = text.slice(end);
    const start = yield* tokenizer.tail(rest, Math.floor(most / 2));
    return text.slice(0, end) + mark + rest.slice(start);
  },

  *sentence(tokenizer, text, most, mark) {
    const end = yield* tokenizer.head(text, most);
    const boundary = lastBoundary(text, end, 0, 'sentence') ?? end;
    return text.slice(0, boundary) + mark;
  },
};
