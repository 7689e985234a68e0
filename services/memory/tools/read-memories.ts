import { z } from 'zod';

import { defineTool } from '#runtime/tool.ts';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { reading } from '#runtime/hints.ts';
import { charactersPerToken, maxAnswerLength, maxRanked, queryField, tokenBudgetField } from '../limits.ts';
import { memoryFields, memoryFilter, memoryId, memoryOutput } from '../memory-schema.ts';
import type { Memory, MemoryFilter, MemoryPosition } from '../memory-store.ts';
import type { Store } from '../store.ts';
import { nowIso, toUtc } from '#runtime/time.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';

const limit = limitField(500, 20);
const searchPosition = z.tuple([z.int().min(0).max(maxRanked)]);
const listPosition = z.tuple([z.string(), z.int()]);

const inUtc = <Filter extends MemoryFilter>(filter: Filter): Filter => ({
  ...filter,
  ...(filter.since !== undefined && { since: toUtc(filter.since) }),
  ...(filter.until !== undefined && { until: toUtc(filter.until) }),
});

/** As many as fit, but always one, cut if need be: a cursor must not stand still. */
export function within<Found extends Memory>(memories: readonly Found[], characters: number): Found[] {
  const [first, ...others] = memories;
  if (first === undefined) return [];
  if (first.text.length > characters) {
    return [
      { ...first, text: first.text.slice(0, characters).toWellFormed(), text_length: first.text.length },
    ];
  }
  let used = first.text.length;
  const end = others.findIndex(({ text }) => (used += text.length) > characters);
  return [first, ...(end < 0 ? others : others.slice(0, end))];
}

export const searchMemories = defineTool({
  name: 'search_memories',
  title: 'Search Memories',
  description:
    'Find memories by what they say, who said it and when, best first. Any word counts, so ask in plain language. Use before answering from what earlier conversations may know.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    query: queryField.min(1).describe('A question or key words.'),
    ...memoryFilter,
    limit,
    cursor: cursorField,
    token_budget: tokenBudgetField,
  }),
  output: z.object({
    memories: z
      .array(memoryOutput.extend({ score: z.number().describe('Comparable within this answer only.') }))
      .describe('Best first.'),
    ...continuation,
  }),

  handler({ cursor, ...args }, store: Store, call) {
    const { limit: most, token_budget: tokens, ...filter } = args;
    const [offset] = decodeCursor('search_memories', args, cursor, searchPosition, [0]);
    const { found, hasMore } = store.snapshot(() =>
      store.memories.search(inUtc(filter), offset, most, nowIso(call)),
    );
    const memories = within(found, tokens === undefined ? maxAnswerLength : tokens * charactersPerToken);
    const next = offset + memories.length;
    return {
      memories,
      ...((hasMore || memories.length < found.length) && {
        truncated: true as const,
        ...(next <= maxRanked && { next_cursor: encodeCursor('search_memories', args, [next]) }),
      }),
    };
  },
});

export const getMemory = defineTool({
  name: 'get_memory',
  title: 'Get Memory',
  description: 'Read one memory by id.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ id: memoryId }),
  output: z.object({ memory: memoryOutput.describe('The memory.') }),

  handler: ({ id }, store: Store, call) => ({
    memory: store.memories.get(id, nowIso(call)),
  }),
});

export const listMemories = defineTool({
  name: 'list_memories',
  title: 'List Memories',
  description: 'List memories by time, newest first. To find something use search_memories.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    ...memoryFilter,
    session: memoryFields.session.describe('Only this conversation.').optional(),
    limit,
    cursor: cursorField,
  }),
  output: z.object({ memories: z.array(memoryOutput).describe('Newest first.'), ...continuation }),

  async handler({ cursor, ...args }, store: Store, call) {
    const { limit: most, ...filter } = args;
    // '~' follows every ISO time.
    const below = decodeCursor<MemoryPosition>('list_memories', args, cursor, listPosition, ['~', 0]);
    const found = await store.inTurns(
      call,
      store.memories.list(inUtc(filter), below, most + 1, nowIso(call)),
    );
    const memories = within(found.slice(0, most), maxAnswerLength);
    const last = memories.at(-1);
    return {
      memories,
      ...(last &&
        memories.length < found.length && {
          truncated: true as const,
          next_cursor: encodeCursor('list_memories', args, [last.occurred_at, last.id]),
        }),
    };
  },
});
