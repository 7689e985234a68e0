import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { completing, reading } from '#runtime/hints.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { defineTool } from '#runtime/tool.ts';

import { assemble } from '../rank/assemble.ts';
import { minChunkTokens } from '../tokens/chunk.ts';
import {
  counted,
  countedBy,
  encodingField,
  handleField,
  keepFields,
  nameField,
  textField,
  tokenField,
  tokensOut,
} from '../fields.ts';
import { maxItemsPerCall, maxTextLength, requireAtMost } from '../limits.ts';
import { scores } from '../rank/ranking.ts';
import { duplicatesOf } from '../rank/similarity.ts';
import type { Store } from '../store/store.ts';

const lengthOf = (texts: readonly string[]) => texts.reduce((sum, text) => sum + text.length, 0);

const passages = z.array(textField('A passage.')).min(1).max(maxItemsPerCall);
const queryField = textField('What it is about, in words.');
const maxQueryLength = 10_000;

export const rankPassages = defineTool({
  name: 'rank_passages',
  title: 'Rank Passages',
  description:
    'Order passages by how much they say about a query (BM25 over words, no model). Use assemble_context to pack the best into a budget.',
  effect: 'read',
  hints: reading,
  input: z.object({
    query: queryField,
    passages: passages.describe('The passages.'),
    limit: limitField(maxItemsPerCall, 10),
    cursor: cursorField,
  }),
  output: z.object({
    ranking: z
      .array(
        z.object({
          index: z.int().describe('Which passage, from 0.'),
          score: z.number().describe('Higher says more; comparable within this answer.'),
        }),
      )
      .describe('Best first, without those that have no word of the query.'),
    matched: z.int().describe('How many have a word of the query.'),
    ...continuation,
  }),

  async handler({ cursor, ...args }, store: Store, call) {
    requireAtMost(args.query.length, maxQueryLength, 'Characters of the query');
    requireAtMost(lengthOf(args.passages), maxTextLength, 'Characters of passages');
    const [start] = decodeCursor('rank_passages', args, cursor, z.tuple([z.int().min(0)]), [0]);
    const points = await store.inTurns(call, scores(args.query, args.passages));
    const ranking = points
      .map((score, index) => ({ index, score }))
      .filter(({ score }) => score > 0)
      .toSorted((a, b) => b.score - a.score || a.index - b.index);
    const end = start + args.limit;
    return {
      ranking: ranking.slice(start, end),
      matched: ranking.length,
      ...(end < ranking.length && {
        truncated: true as const,
        next_cursor: encodeCursor('rank_passages', args, [end]),
      }),
    };
  },
});

export const dedupe = defineTool({
  name: 'dedupe',
  title: 'Remove Duplicates',
  description:
    'Find texts that repeat an earlier one, word for word or nearly. Near duplicates are kept and can be read by their handles.',
  effect: 'write',
  hints: completing,
  input: z.object({
    texts: passages.describe('The texts; of those alike the first stays.'),
    threshold: z
      .number()
      .min(0.1)
      .max(1)
      .default(0.8)
      .describe('How alike: the share of runs of three words that both have.'),
    ...keepFields,
  }),
  output: z.object({
    kept: z.array(z.int()).describe('Which texts stay, from 0.'),
    duplicates: z
      .array(
        z.object({
          index: z.int().describe('Which text repeats.'),
          of: z.int().describe('Which text that stays.'),
          similarity: z.number().describe('1 for the same words.'),
          handle: z.string().describe('read_output reads it here.'),
        }),
      )
      .describe('Which texts go.'),
  }),

  async handler({ texts, threshold, ...keep }, store: Store, call) {
    requireAtMost(lengthOf(texts), maxTextLength, 'Characters of texts');
    const duplicates = await store.inTurns(call, duplicatesOf(texts, threshold));
    const gone = new Set(duplicates.map(({ index }) => index));
    const handles = store.keep(
      duplicates.map(({ index }) => texts[index] ?? ''),
      keep,
      call,
    );
    return {
      kept: texts.flatMap((_, index) => (gone.has(index) ? [] : [index])),
      duplicates: duplicates.map((duplicate, at) => ({ ...duplicate, handle: handles[at] ?? '' })),
    };
  },
});

const source = z.strictObject({
  id: nameField('Name of the source, shown before its passages.').regex(
    /^[^\p{Cc}\u2028\u2029]*$/u,
    'must be one line: it becomes a heading',
  ),
  text: textField('Its text.').optional(),
  handle: handleField.optional(),
});

export const assembleContext = defineTool({
  name: 'assemble_context',
  title: 'Assemble Context',
  description:
    'Pack the passages of several sources that say most about a query into a token budget, headings included, without repetitions and with where each comes from.',
  effect: 'write',
  untrusted: 'bounded',
  hints: completing,
  input: z.object({
    sources: z
      .array(source)
      .min(1)
      .max(maxItemsPerCall)
      .describe('Sources, each with text or the handle of an output.'),
    query: queryField.default('').describe('What it is about; without it passages come in their order.'),
    token_budget: tokenField('Most tokens of the result.'),
    passage_tokens: z
      .int()
      .min(minChunkTokens)
      .max(10_000)
      .default(200)
      .describe('Most tokens of one passage: smaller ones pick more closely.'),
    encoding: encodingField,
    ...keepFields,
  }),
  output: z.object({
    context: z
      .string()
      .describe('The passages in the order of the sources, each under its source and place.'),
    tokens: tokensOut(),
    passages: z
      .array(
        z.object({
          source: z.string().describe('Id of its source.'),
          start: z.int().describe('Where it begins there, in UTF-16 units.'),
          end: z.int().describe('Where it ends.'),
          tokens: tokensOut(),
          score: z.number().describe('How much it says about the query.'),
        }),
      )
      .describe('What the context holds, in its order.'),
    considered: z.int().describe('How many passages there were to choose from.'),
    sources: z
      .array(
        z.object({
          id: z.string().describe('Id.'),
          included: z.number().describe('The share of its text that is in the context.'),
          handle: z.string().describe('read_output reads all of it here.'),
        }),
      )
      .describe('Sources of which something was left out.'),
    ...counted,
  }),

  async handler(args, store: Store, call) {
    const { sources, query, token_budget: budget, passage_tokens: passageTokens, encoding, ...keep } = args;
    requireAtMost(query.length, maxQueryLength, 'Characters of the query');
    const twice = sources.find(({ id }, at) => sources.findIndex((other) => other.id === id) < at);
    if (twice) throw new ToolError('invalid_input', `Two sources have the id ${twice.id}.`);
    const texts = sources.map(({ id, text, handle }) => {
      if ((text === undefined) === (handle === undefined)) {
        throw new ToolError('invalid_input', `Give either text or handle for source ${id}.`);
      }
      return { id, handle, text: text ?? store.output(handle ?? '', call).text };
    });
    requireAtMost(lengthOf(texts.map(({ text }) => text)), maxTextLength, 'Characters of sources');
    const tokenizer = await store.tokenizer(encoding);
    const found = await store.inTurns(call, assemble(tokenizer, texts, query, budget, passageTokens));
    const included = texts.map(() => 0);
    for (const { source: at, start, end } of found.passages) included[at] = (included[at] ?? 0) + end - start;
    const cut = texts.flatMap((each, at) => (included[at] === each.text.length ? [] : [{ ...each, at }]));
    const unkept = cut.filter(({ handle }) => handle === undefined);
    const handles = store.keep(
      unkept.map(({ text }) => text),
      keep,
      call,
    );
    return {
      context: found.context,
      tokens: found.tokens,
      passages: found.passages.map(({ source: at, start, end, tokens, score }) => ({
        source: texts[at]?.id ?? '',
        start,
        end,
        tokens,
        score,
      })),
      considered: found.considered,
      sources: cut.map((each) => ({
        id: each.id,
        included: (included[each.at] ?? 0) / each.text.length,
        handle: each.handle ?? handles[unkept.indexOf(each)] ?? '',
      })),
      ...countedBy(tokenizer),
    };
  },
});
