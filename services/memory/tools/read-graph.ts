import { z } from 'zod';

import { defineTool } from '#runtime/tool.ts';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import {
  firstPage,
  graphPage,
  listed,
  pagePosition,
  type EntitySource,
  type LinkSource,
  type PageLimits,
} from '../graph/graph-page.ts';
import { entityNames, graphOutput } from '../graph/graph-schema.ts';
import type { EntityFilter } from '../graph/graph-store.ts';
import { walk } from '../graph/walk.ts';
import { reading } from '#runtime/hints.ts';
import {
  charactersPerToken,
  maxEntitiesPerAnswer,
  maxItemsPerCall,
  maxNameLength,
  maxRowsPerTurn,
  queryField,
  tokenBudgetField,
} from '../limits.ts';
import type { Store } from '../store.ts';
import { instantField, toUtc } from '#runtime/time.ts';
import type { Steps } from '#runtime/turns.ts';
import { cursorField, limitField } from '#runtime/fields.ts';

const limit = limitField(maxEntitiesPerAnswer, maxEntitiesPerAnswer);
const observationLimit = z
  .int()
  .min(0)
  .max(maxEntitiesPerAnswer)
  .optional()
  .describe('Most observations per entity; 0 for none.');
const entityTypes = z
  .array(z.string().max(maxNameLength))
  .max(maxItemsPerCall)
  .optional()
  .describe('Only these types.');

type Paging = PageLimits & { readonly cursor?: string | undefined };

/** One page, with the cursor of the next; the cursor holds for the same tool and arguments only. */
function page(
  store: Store,
  tool: string,
  { cursor, ...limits }: Paging,
  source: EntitySource,
  links: LinkSource,
) {
  const position = decodeCursor(tool, limits, cursor, pagePosition, firstPage);
  const { entities, relations, next, isCut } = store.snapshot(() =>
    graphPage(store.graph, source, links, position, limits),
  );
  return {
    entities,
    relations,
    ...((next || isCut) && { truncated: true as const }),
    ...(next && { next_cursor: encodeCursor(tool, limits, next) }),
  };
}

/** Those of the entities that match. */
function* matching(store: Store, ids: readonly number[], filter: EntityFilter): Steps<number[]> {
  const found: number[] = [];
  for (const [index, id] of ids.entries()) {
    if (index % maxRowsPerTurn === maxRowsPerTurn - 1) yield;
    if (store.graph.matches(id, filter)) found.push(id);
  }
  return found;
}

export const readGraph = defineTool({
  name: 'read_graph',
  title: 'Read Graph',
  description:
    'Read the whole knowledge graph, oldest entities first, each with the relations that start there. Large: prefer search_nodes, or pass a limit.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({
    limit,
    cursor: cursorField,
    entityTypes,
    includeObservations: z.boolean().default(true).describe('False for names and types only.'),
    observationLimit,
  }),
  output: graphOutput,

  handler({ includeObservations, ...args }, store: Store) {
    return page(
      store,
      'read_graph',
      { ...args, observationLimit: includeObservations ? args.observationLimit : 0 },
      (start) => store.graph.inOrder(start, args.entityTypes),
      store.graph.linksFrom,
    );
  },
});

export const searchNodes = defineTool({
  name: 'search_nodes',
  title: 'Search Nodes',
  description:
    'Find entities by words in their names, types and observations, best first, with all their relations. For notes and conversations use search_memories.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({
    query: queryField.describe('Words, or part of a name; any match counts. Empty: everything.'),
    limit,
    cursor: cursorField,
    mode: z
      .enum(['ranked', 'substring'])
      .default('ranked')
      .describe('substring: only entities that contain the whole query, oldest first.'),
    entityTypes,
    since: instantField('Only entities with a fact stated at or after this time (ISO 8601).').optional(),
    token_budget: tokenBudgetField,
  }),
  output: graphOutput,

  async handler({ token_budget: tokens, ...args }, store: Store, call) {
    const { query, mode, entityTypes: types } = args;
    const filter = { types, since: args.since && toUtc(args.since) };
    const found = await store.inTurns(
      call,
      mode === 'substring'
        ? store.nodes.substring(query)
        : store.nodes.ranked(query, store.graph.find(query)?.entity_id),
    );
    const ids = types || filter.since ? await store.inTurns(call, matching(store, found, filter)) : found;
    return page(
      store,
      'search_nodes',
      { ...args, characters: tokens && tokens * charactersPerToken },
      (start) => listed(store.graph, ids, start),
      store.graph.linksTouching,
    );
  },
});

export const openNodes = defineTool({
  name: 'open_nodes',
  title: 'Open Nodes',
  description: 'Read entities by exact name, with all their relations. Unknown names are left out.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({
    names: entityNames('The names of the entities to read'),
    cursor: cursorField,
    observationLimit,
    observationOffset: z.int().min(0).default(0).describe('Observations to skip in each entity.'),
    depth: z.int().min(0).max(3).default(0).describe('Also read entities this many relations away.'),
  }),
  output: graphOutput.extend({
    truncated: z
      .literal(true)
      .optional()
      .describe(
        'There is more: call again with next_cursor; without one, open entities further out by name.',
      ),
  }),

  async handler(args, store: Store, call) {
    const found = store.snapshot(() => args.names.flatMap((name) => store.graph.find(name)?.entity_id ?? []));
    const { reached, isCut } = await store.inTurns(
      call,
      walk(
        store.graph,
        [...new Set(found)].toSorted((a, b) => a - b),
        { depth: args.depth, maxEntities: maxEntitiesPerAnswer },
      ),
    );
    return {
      ...(isCut && { truncated: true as const }),
      ...page(
        store,
        'open_nodes',
        { ...args, limit: maxEntitiesPerAnswer },
        (start) => listed(store.graph, [...reached.keys()], start),
        store.graph.linksTouching,
      ),
    };
  },
});
