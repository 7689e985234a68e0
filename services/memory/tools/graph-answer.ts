/** What the tools that read the graph have in common: arguments, and answers page by page. */
import { z } from 'zod';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { limitField } from '#runtime/fields.ts';
import type { Steps } from '#runtime/turns.ts';

import {
  firstPage,
  graphPage,
  pagePosition,
  type EntitySource,
  type LinkSource,
} from '../graph/graph-page.ts';
import type { graphOutput } from '../graph/graph-schema.ts';
import type { GraphStore } from '../graph/graph-store.ts';
import { bytesPerToken, maxEntitiesPerAnswer, maxItemsPerCall, maxNameLength } from '../limits.ts';

export const entityLimit = limitField(maxEntitiesPerAnswer, maxEntitiesPerAnswer);
export const observationLimit = z
  .int()
  .min(0)
  .max(maxEntitiesPerAnswer)
  .optional()
  .describe('Most observations per entity; 0 for none.');
export const entityTypes = z
  .array(z.string().max(maxNameLength))
  .max(maxItemsPerCall)
  .optional()
  .describe('Only these types.');

interface Paging {
  readonly cursor?: string | undefined;
  readonly limit: number;
  readonly token_budget: number;
  readonly observationLimit?: number | undefined;
  readonly observationOffset?: number | undefined;
}

/** One page, with the cursor of the next; the cursor holds for the same tool and arguments only. */
export function* graphAnswer(
  graph: GraphStore,
  tool: string,
  { cursor, ...args }: Paging,
  source: EntitySource,
  links: LinkSource,
): Steps<z.input<typeof graphOutput>> {
  const position = decodeCursor(tool, args, cursor, pagePosition, firstPage);
  const limits = { ...args, bytes: args.token_budget * bytesPerToken };
  const { entities, relations, next, isCut } = yield* graphPage(graph, source, links, position, limits);
  return {
    entities,
    relations,
    ...((next || isCut) && { truncated: true as const }),
    ...(next && { next_cursor: encodeCursor(tool, args, next) }),
  };
}
