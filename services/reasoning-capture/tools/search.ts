import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { continued } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import { chainId, typeField } from '../fields.ts';
import { maxQueryLength } from '../limits.ts';
import type { Store } from '../store/store.ts';
import { isoOf } from '../steps/view.ts';

export const searchReasoning = defineTool({
  name: 'search_reasoning',
  title: 'Search Reasoning',
  description:
    'Find steps by words, in the newest chains first. All words must be there; "a phrase", begin* and -without work.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    query: z.string().min(1).max(maxQueryLength).describe('Words.'),
    chain_id: chainId.optional().describe('Only in this chain.'),
    type: typeField.optional().describe('Only steps of this type.'),
    limit: limitField(100, 20).describe('Most steps.'),
    cursor: cursorField,
  }),
  output: z.object({
    steps: z
      .array(
        z.looseObject({
          chain_id: z.string().describe('Its chain.'),
          seq: z.int().describe('Its number there.'),
          excerpt: z.string().describe('Around the first word.'),
        }),
      )
      .describe('What was found.'),
    not_indexed: z.int().optional().describe('Newest steps that cannot be found by words yet.'),
    ...continuation,
  }),
  async handler({ cursor, ...args }, store: Store, call) {
    const [before] = decodeCursor('search_reasoning', args, cursor, position, [Number.MAX_SAFE_INTEGER]);
    const { query, chain_id: chain, type, limit } = args;
    const { hits, next, notIndexed } = await store.search(
      { owner: call.caller, query, chain, type, limit, before },
      call,
    );
    return {
      steps: hits.map(({ at_us: at, ...hit }) => ({ ...hit, ts: isoOf(at) })),
      ...(notIndexed > 0 && { not_indexed: notIndexed }),
      ...continued('search_reasoning', args, next === undefined ? undefined : [next]),
    };
  },
});

const position = z.tuple([z.int().min(0)]);
