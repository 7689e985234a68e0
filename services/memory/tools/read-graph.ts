import { z } from 'zod';

import { defineTool } from '#runtime/tool.ts';

import { decodeCursor, encodeCursor } from '../cursor.ts';
import {
  firstPage,
  graphPage,
  listed,
  type EntitySource,
  type LinkSource,
  type PageLimits,
  type PagePosition,
} from '../graph-page.ts';
import { entityNames, graphOutput } from '../graph-schema.ts';
import {
  charactersPerToken,
  cursorField,
  instantField,
  limitField,
  maxEntitiesPerAnswer,
  maxItemsPerCall,
  maxNameLength,
  storable,
  tokenBudgetField,
  toUtc,
} from '../limits.ts';
import type { Store } from '../store.ts';

const hints = { readOnly: true, destructive: false, idempotent: true, openWorld: false };

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
  const position: PagePosition = decodeCursor(tool, limits, cursor, firstPage);
  const { entities, relations, next } = store.snapshot(() =>
    graphPage(store.graph, source, links, position, limits),
  );
  return {
    entities,
    relations,
    ...(next && { truncated: true as const, next_cursor: encodeCursor(tool, limits, next) }),
  };
}

export const readGraph = defineTool({
  name: 'read_graph',
  title: 'Read Graph',
  description:
    'Read the whole knowledge graph, oldest entities first, each with the relations that start there. Large: prefer search_nodes, or pass a limit.',
  effect: 'read',
  untrusted: 'as-is',
  hints,
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
  hints,
  input: z.object({
    query: z
      .string()
      .max(4_000)
      .refine(storable, 'must be well-formed Unicode without NUL')
      .describe('Words, or part of a name; any match counts. Empty: everything.'),
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

  handler({ token_budget: tokens, ...args }, store: Store) {
    const { query, mode, entityTypes: types } = args;
    const since = args.since && toUtc(args.since);
    return page(
      store,
      'search_nodes',
      { ...args, characters: tokens && tokens * charactersPerToken },
      (start) => {
        const ids =
          mode === 'substring'
            ? store.nodes.substring(query)
            : store.nodes.ranked(query, store.graph.find(query)?.entity_id);
        const allowed = types || since ? new Set(store.graph.matching({ types, since })) : undefined;
        return listed(store.graph, allowed ? ids.filter((id) => allowed.has(id)) : ids, start);
      },
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
  hints,
  input: z.object({
    names: entityNames('The names of the entities to read'),
    cursor: cursorField,
    observationLimit,
    observationOffset: z.int().min(0).default(0).describe('Observations to skip in each entity.'),
    depth: z.int().min(0).max(3).default(0).describe('Also read entities this many relations away.'),
  }),
  output: graphOutput,

  handler(args, store: Store) {
    return page(
      store,
      'open_nodes',
      { ...args, limit: maxEntitiesPerAnswer },
      (start) => {
        const found = args.names.flatMap((name) => store.graph.find(name)?.entity_id ?? []);
        const named = [...new Set(found)].toSorted((a, b) => a - b);
        return listed(store.graph, store.graph.around(named, args.depth), start);
      },
      store.graph.linksTouching,
    );
  },
});
