import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { completing, reading } from '#runtime/hints.ts';
import { continuation, cursorField, limitField, toldBriefly } from '#runtime/fields.ts';
import { decodeCursor } from '#runtime/cursor.ts';
import { defineTool, type Call } from '#runtime/tool.ts';

import { assemble } from '../rank/assemble.ts';
import { minChunkTokens } from '../tokens/chunk.ts';
import {
  encodingField,
  exactOut,
  handleField,
  keepFields,
  nameField,
  startPosition,
  textField,
  tokenField,
  tokensOut,
} from '../fields.ts';
import { maxItemsPerCall, maxTextLength, requireAnswerable, requireAtMost } from '../limits.ts';
import { continued } from '#runtime/page.ts';
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
    'Order passages by how much they say about a query (BM25, no model). assemble_context packs the best into a budget.',
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
          score: z.number().describe('Higher says more.'),
        }),
      )
      .describe('Best first, without those that have no word of it.'),
    matched: z.int().describe('How many have a word of it.'),
    ...continuation,
  }),

  async handler({ cursor, ...args }, store: Store, call) {
    requireAtMost(args.query.length, maxQueryLength, 'Characters of the query');
    const size = lengthOf(args.passages);
    requireAtMost(size, maxTextLength, 'Characters of passages');
    const [start] = decodeCursor('rank_passages', args, cursor, startPosition, [0]);
    const points = await store.inTurns(call, size, scores(args.query, args.passages));
    const ranking = points
      .map((score, index) => ({ index, score }))
      .filter(({ score }) => score > 0)
      .toSorted((a, b) => b.score - a.score || a.index - b.index);
    const end = start + args.limit;
    return {
      ranking: ranking.slice(start, end),
      matched: ranking.length,
      ...continued('rank_passages', args, end < ranking.length ? [end] : undefined),
    };
  },
});

const duplicateOut = z.object({
  index: z.int().describe('Which repeats.'),
  of: z.int(),
  similarity: z.number(),
  handle: z.string(),
});

export const dedupe = defineTool({
  name: 'dedupe',
  title: 'Remove Duplicates',
  description:
    'Find texts that repeat an earlier one, word for word or nearly. Those are kept under handles.',
  effect: 'write',
  hints: completing,
  input: z.object({
    texts: passages.describe('The texts; of those alike the first stays.'),
    threshold: z
      .number()
      .min(0.1)
      .max(1)
      .default(0.8)
      .describe('How alike: the share of three-word runs that both have.'),
    ...keepFields,
    limit: limitField(maxItemsPerCall, 200),
    cursor: cursorField,
  }),
  output: z.object({
    kept: z.array(z.int()).describe('Texts that stay, from 0.'),
    duplicates: z
      .array(toldBriefly(duplicateOut, 'index'))
      .describe('Texts that go, with of (which stays), similarity and the handle that read_output takes.'),
    ...continuation,
  }),

  async handler({ cursor, ...args }, store: Store, call) {
    const { texts, threshold, limit, ...keep } = args;
    const size = lengthOf(texts);
    requireAtMost(size, maxTextLength, 'Characters of texts');
    const [start] = decodeCursor('dedupe', args, cursor, startPosition, [0]);
    const duplicates = await store.inTurns(call, size, duplicatesOf(texts, threshold));
    const gone = new Set(duplicates.map(({ index }) => index));
    const kept = await store.keep(
      duplicates.map(({ index }) => texts[index] ?? ''),
      keep,
      call,
    );
    const end = start + limit;
    return {
      kept: texts.flatMap((_, index) => (gone.has(index) ? [] : [index])),
      duplicates: duplicates
        .map((duplicate, at) => ({ ...duplicate, handle: kept[at]?.handle ?? '' }))
        .slice(start, end),
      ...continued('dedupe', args, end < duplicates.length ? [end] : undefined),
    };
  },
});

const source = z.strictObject({
  id: nameField('Name, shown before its passages.').regex(
    /^[^\p{Cc}\u2028\u2029]*$/u,
    'must be one line: it becomes a heading',
  ),
  text: textField('Text.').optional(),
  handle: handleField.optional(),
});

const passageOut = z.object({
  source: z.string().describe('Id.'),
  start: z.int(),
  end: z.int(),
  tokens: z.int(),
  score: z.number(),
});

const cutOut = z.object({
  id: z.string().describe('Id.'),
  included: z.number(),
  handle: z.string(),
});

export const assembleContext = defineTool({
  name: 'assemble_context',
  title: 'Assemble Context',
  description:
    'Pack the passages of several sources that say most about a query into a token budget, without repetitions and with where each comes from.',
  effect: 'write',
  untrusted: 'bounded',
  hints: completing,
  input: z.object({
    sources: z
      .array(source)
      .min(1)
      .max(maxItemsPerCall)
      .describe('Sources, each with text or the handle of an output.'),
    query: queryField.default('').describe('What it is about; without it passages come in order.'),
    token_budget: tokenField('Most tokens of the result.'),
    passage_tokens: z
      .int()
      .min(minChunkTokens)
      .max(10_000)
      .default(200)
      .describe('Most tokens of one passage.'),
    encoding: encodingField,
    ...keepFields,
    limit: limitField(maxItemsPerCall, 100).describe('Most passages and sources to list.'),
  }),
  output: z.object({
    context: z.string().describe('Passages in the order of the sources, each under its source and place.'),
    tokens: tokensOut(),
    passages: z
      .array(toldBriefly(passageOut, 'source'))
      .describe('In order, with start and end there in UTF-16 units, tokens and score.'),
    considered: z.int().describe('Passages to choose from.'),
    sources: z
      .array(toldBriefly(cutOut, 'id'))
      .describe(
        'Those of which something was left out, with included (the share) and the handle that read_output takes.',
      ),
    exact: exactOut,
    truncated: z.literal(true).optional().describe('Lists are cut: call again with a higher limit.'),
  }),

  async handler({ limit, ...args }, store: Store, call) {
    const { sources, query, token_budget: budget, passage_tokens: passageTokens, encoding, ...keep } = args;
    requireAtMost(query.length, maxQueryLength, 'Characters of the query');
    const texts = await textsOf(sources, store, call);
    const size = lengthOf(texts.map(({ text }) => text));
    const tokenizer = await store.tokenizer(encoding);
    const found = await store.inTurns(call, size, assemble(tokenizer, texts, query, budget, passageTokens));
    requireAnswerable(found.context.length);
    const included = texts.map(() => 0);
    for (const { source: at, start, end } of found.passages) included[at] = (included[at] ?? 0) + end - start;
    const cut = texts.flatMap((each, at) => (included[at] === each.text.length ? [] : [{ ...each, at }]));
    const unkept = cut.filter(({ handle }) => handle === undefined);
    const kept = await store.keep(
      unkept.map(({ text }) => text),
      keep,
      call,
    );
    const handleOf = new Map(unkept.map((each, at) => [each, kept[at]?.handle ?? '']));
    const isCut = found.passages.length > limit || cut.length > limit;
    return {
      context: found.context,
      tokens: found.tokens,
      passages: found.passages.slice(0, limit).map(({ source: at, start, end, tokens, score }) => ({
        source: texts[at]?.id ?? '',
        start,
        end,
        tokens,
        score,
      })),
      considered: found.considered,
      sources: cut.slice(0, limit).map((each) => ({
        id: each.id,
        included: (included[each.at] ?? 0) / each.text.length,
        handle: each.handle ?? handleOf.get(each) ?? '',
      })),
      exact: tokenizer.exact,
      ...(isCut && { truncated: true as const }),
    };
  },
});

/** @throws ToolError for sources that are none, twice there, or too long together. */
async function textsOf(sources: readonly z.output<typeof source>[], store: Store, call: Call) {
  const ids = new Set<string>();
  for (const { id, text, handle } of sources) {
    if (ids.has(id)) throw new ToolError('invalid_input', `Two sources have the id ${id}.`);
    if ((text === undefined) === (handle === undefined)) {
      throw new ToolError('invalid_input', `Give either text or handle for source ${id}.`);
    }
    ids.add(id);
  }
  const kept = sources.map(({ id, text, handle }) => {
    const output = handle === undefined ? undefined : store.output(handle, call);
    return { id, text, handle, output, length: output?.row.length ?? text?.length ?? 0 };
  });
  const length = kept.reduce((sum, each) => sum + each.length, 0);
  requireAtMost(length, maxTextLength, 'Characters of sources');
  const texts = [];
  for (const { id, text, handle, output } of kept)
    texts.push({ id, handle, text: text ?? (await output?.all()) ?? '' });
  return texts;
}
