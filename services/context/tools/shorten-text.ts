import { z } from 'zod';

import { completing, reading } from '#runtime/hints.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { decodeCursor } from '#runtime/cursor.ts';
import { ToolError } from '#runtime/errors.ts';
import { defineTool } from '#runtime/tool.ts';

import { chunkAt, longestChunk, minChunkTokens, nextStart, type Chunk } from '../tokens/chunk.ts';
import {
  encodingField,
  exactOut,
  handleOut,
  keepFields,
  textField,
  tokenField,
  tokensOut,
} from '../fields.ts';
import { answerTokens, maxTextLength, maxTokens, requireAnswerable, requireAtMost } from '../limits.ts';
import { continued } from '#runtime/page.ts';
import { boundaries } from '../tokens/sentences.ts';
import type { Store } from '../store/store.ts';
import { strategies, truncate } from '../tokens/truncate.ts';

export const truncateToBudget = defineTool({
  name: 'truncate_to_budget',
  title: 'Truncate to Budget',
  description:
    'Cut a text to so many tokens, the mark of the cut included. The original is kept under a handle.',
  effect: 'write',
  untrusted: 'bounded',
  hints: completing,
  input: z.object({
    text: textField('The text.'),
    token_budget: tokenField('Most tokens of the result.'),
    strategy: z
      .enum(strategies)
      .default('head')
      .describe('What stays: head, tail, middle (both ends) or sentence (head, in whole sentences).'),
    encoding: encodingField,
    ...keepFields,
  }),
  output: z.object({
    text: z.string().describe('What is left.'),
    tokens: tokensOut(),
    original_tokens: tokensOut('Tokens before.'),
    handle: handleOut,
    exact: exactOut,
  }),
  text: ({ text }) => text,

  async handler({ text, token_budget: budget, strategy, encoding, ...keep }, store: Store, call) {
    requireAtMost(text.length, maxTextLength, 'Characters of text');
    const tokenizer = await store.tokenizer(encoding);
    const originalTokens = await store.count(encoding, text, call);
    const common = { original_tokens: originalTokens, exact: tokenizer.exact };
    if (originalTokens <= budget) {
      requireAnswerable(text.length);
      return { text, tokens: originalTokens, ...common };
    }
    const handle = await store.handleFor(text, keep, call);
    const mark = `\n[cut: read_output ${handle}]\n`;
    const cut = await store.inTurns(call, text.length, truncate(tokenizer, text, budget, strategy, mark));
    requireAnswerable(cut.text.length);
    await store.keep([text], keep, call);
    return { ...cut, handle, ...common };
  },
});

const chunkPosition = z.tuple([z.int().min(0), z.int().min(0), z.int().min(0)]);

export const chunkText = defineTool({
  name: 'chunk_text',
  title: 'Chunk Text',
  description:
    'Cut a text into chunks of at most so many tokens. Without overlap the chunks joined are the text.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    text: textField('The text.'),
    chunk_tokens: z.int().min(minChunkTokens).max(maxTokens).default(500).describe('Most tokens of a chunk.'),
    overlap_tokens: z
      .int()
      .min(0)
      .max(maxTokens)
      .default(0)
      .describe('Most tokens that a chunk repeats of the one before, up to half.'),
    boundary: z
      .enum(boundaries)
      .default('paragraph')
      .describe('Where to cut if possible, else at the next finer.'),
    encoding: encodingField,
    limit: limitField(1_000, 50),
    cursor: cursorField,
  }),
  output: z.object({
    chunks: z
      .array(
        z.object({
          index: z.int().describe('From 0.'),
          start: z.int().describe('In UTF-16 units.'),
          end: z.int().describe('The same.'),
          tokens: tokensOut(),
          text: z.string().describe('The chunk.'),
        }),
      )
      .describe('In order.'),
    exact: exactOut,
    ...continuation,
  }),

  async handler({ cursor, ...args }, store: Store, call) {
    const { text, chunk_tokens: most, overlap_tokens: overlap, boundary } = args;
    requireAtMost(text.length, maxTextLength, 'Characters of text');
    const [first, firstIndex, before] = decodeCursor('chunk_text', args, cursor, chunkPosition, [0, 0, 0]);
    if (Math.max(first, before) >= text.length && before > 0)
      throw new ToolError('invalid_input', 'The cursor lies behind the text.');
    const tokenizer = await store.tokenizer(args.encoding);
    const { chunks, next, reached } = await store.inTurns(
      call,
      text.length,
      (function* () {
        const found: (Chunk & { index: number })[] = [];
        let at = first;
        let reached = before;
        for (let [tokens, length] = [0, 0]; at < text.length && found.length < args.limit;) {
          if (tokens >= answerTokens || length >= longestChunk) break;
          const chunk = yield* chunkAt(tokenizer, text, at, reached, most, boundary);
          found.push({ index: firstIndex + found.length, ...chunk });
          tokens += chunk.tokens;
          length += chunk.text.length;
          reached = chunk.end;
          at = chunk.end === text.length ? text.length : yield* nextStart(tokenizer, chunk, overlap);
          yield;
        }
        return { chunks: found, next: at < text.length ? at : undefined, reached };
      })(),
    );
    const position = next === undefined ? undefined : [next, firstIndex + chunks.length, reached];
    return { chunks, exact: tokenizer.exact, ...continued('chunk_text', args, position) };
  },
});
