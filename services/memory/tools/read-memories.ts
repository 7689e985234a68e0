import { z } from 'zod';

import { defineTool } from '#runtime/tool.ts';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { reading } from '#runtime/hints.ts';
import { bytesPerToken, maxRanked, queryField, tokenBudgetField } from '../limits.ts';
import { memoryFields, memoryFilter, memoryId, memoryOutput } from '../memory-schema.ts';
import type { MemoryFilter, MemoryPosition } from '../memory-store.ts';
import { wordsOnly, type QueryMeaning } from '../meaning/meaning.ts';
import type { Store } from '../store.ts';
import { nowIso, toUtc } from '#runtime/time.ts';
import type { Steps } from '#runtime/turns.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';

const limit = limitField(500, 20);
const mostNeighbours = 5;
const searchPosition = z.tuple([z.int().min(0).max(maxRanked)]);
const listPosition = z.tuple([z.string(), z.int()]);

const inUtc = <Filter extends MemoryFilter>(filter: Filter): Filter => ({
  ...filter,
  ...(filter.since !== undefined && { since: toUtc(filter.since) }),
  ...(filter.until !== undefined && { until: toUtc(filter.until) }),
});

const searchInput = z.object({
  query: queryField.min(1).describe('A question or key words.'),
  ...memoryFilter,
  neighbours: z
    .int()
    .min(0)
    .max(mostNeighbours)
    .default(0)
    .describe('Turns to add before and after each hit, from its session; 2 helps with conversations.'),
  limit,
  cursor: cursorField,
  token_budget: tokenBudgetField,
});
const foundMemory = memoryOutput.extend({
  score: z.number().describe('Comparable within this answer only.'),
  neighbours: z
    .array(memoryOutput.pick({ id: true, speaker: true, text: true }))
    .optional()
    .describe('Turns around it by id, without those shown already.'),
});
const searchOutput = z.object({
  memories: z.array(foundMemory).describe('Best first.'),
  words_only: wordsOnly,
  ...continuation,
});

export const searchMemories = defineTool({
  name: 'search_memories',
  title: 'Search Memories',
  description:
    'Find memories by what they say, who said it and when, best first. Any word counts, so ask in plain language. Use before answering from what earlier conversations may know.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: searchInput,
  output: searchOutput,

  handler(args, store: Store, call) {
    const now = nowIso(call);
    if (!store.meaning) return store.inTurns(call, found(args, store, now));
    return store.meaning
      .ofQuery(args.query, call.signal)
      .then(async (meaning) => store.inTurns(call, found(args, store, now, meaning)));
  },
});

function* found(
  { cursor, ...args }: z.output<typeof searchInput>,
  { memories: stored, meaning: meanings }: Store,
  now: string,
  meaning?: QueryMeaning,
): Steps<z.input<typeof searchOutput>> {
  const { limit: most, token_budget: tokens, neighbours, ...filter } = args;
  const [offset] = decodeCursor('search_memories', args, cursor, searchPosition, [0]);
  const page = { offset, limit: most, bytes: tokens * bytesPerToken, now };
  const near = meanings && meaning && (yield* meanings.nearest(meaning, args.project));
  const { found: memories, hasMore } = yield* stored.search(inUtc(filter), page, { neighbours, near });
  const next = offset + memories.length;
  return {
    memories,
    ...(meaning && 'problem' in meaning && { words_only: meaning.problem }),
    ...(hasMore && {
      truncated: true as const,
      ...(next <= maxRanked && { next_cursor: encodeCursor('search_memories', args, [next]) }),
    }),
  };
}

export const getMemory = defineTool({
  name: 'get_memory',
  title: 'Get Memory',
  description: 'Read one memory by id.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ id: memoryId, token_budget: tokenBudgetField }),
  output: z.object({ memory: memoryOutput.describe('The memory.') }),

  handler: ({ id, token_budget: tokens }, store: Store, call) => ({
    memory: store.memories.get(id, nowIso(call), tokens * bytesPerToken),
  }),
});

const listInput = z.object({
  ...memoryFilter,
  session: memoryFields.session.describe('Only this conversation.').optional(),
  limit,
  cursor: cursorField,
  token_budget: tokenBudgetField,
});
const listOutput = z.object({ memories: z.array(memoryOutput).describe('Newest first.'), ...continuation });

export const listMemories = defineTool({
  name: 'list_memories',
  title: 'List Memories',
  description: 'List memories by time, newest first. To find something use search_memories.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: listInput,
  output: listOutput,

  handler: (args, store: Store, call) => store.inTurns(call, listed(args, store, nowIso(call))),
});

function* listed(
  { cursor, ...args }: z.output<typeof listInput>,
  { memories: stored }: Store,
  now: string,
): Steps<z.input<typeof listOutput>> {
  const { limit: most, token_budget: tokens, ...filter } = args;
  // '~' follows every ISO time.
  const below = decodeCursor<MemoryPosition>('list_memories', args, cursor, listPosition, ['~', 0]);
  const page = { limit: most, bytes: tokens * bytesPerToken, now };
  const { found: memories, hasMore } = yield* stored.list(inUtc(filter), below, page);
  const last = memories.at(-1);
  return {
    memories,
    ...(hasMore && { truncated: true as const }),
    ...(hasMore && last && { next_cursor: encodeCursor('list_memories', args, [last.occurred_at, last.id]) }),
  };
}
