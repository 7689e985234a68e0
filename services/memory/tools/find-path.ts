import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { defineTool } from '#runtime/tool.ts';
import type { Steps } from '#runtime/turns.ts';

import { relationOutput } from '../graph/graph-schema.ts';
import type { GraphStore, Relation } from '../graph/graph-store.ts';
import { walk, type Walk } from '../graph/walk.ts';
import { reading } from '#runtime/hints.ts';
import { nameField } from '../limits.ts';
import type { Store } from '../store.ts';

/** Entities looked at before the search gives up. */
const maxVisited = 50_000;

const input = z.object({
  from: nameField('Entity to start from.'),
  to: nameField('Entity to reach.'),
  max_depth: z.int().min(1).max(12).default(6).describe('Most relations in the chain.'),
});
const output = z.object({
  found: z.boolean().describe('Whether there is one.'),
  path: z.array(z.string()).describe('Entity names from start to end; empty if none.'),
  relations: z.array(relationOutput).describe('The relations along it.'),
  truncated: z
    .literal(true)
    .optional()
    .describe('Gave up: too many entities or relations in between. Lower max_depth.'),
});

export const findPath = defineTool({
  name: 'find_path',
  title: 'Find Path',
  description:
    'Find the shortest chain of relations between two entities, in whichever direction they point.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input,
  output,

  handler: (args, store: Store, call) => store.inTurns(call, found(args, store)),
});

function* found(
  { from, to, max_depth: depth }: z.output<typeof input>,
  { graph }: Store,
): Steps<z.input<typeof output>> {
  const start = graph.entity(from).entity_id;
  const goal = graph.entity(to).entity_id;
  const { reached, isCut } = yield* walk(graph, [start], { depth, maxEntities: maxVisited, goal });
  if (reached.has(goal)) return pathTo(graph, reached, goal, to);
  return { found: false, path: [], relations: [], ...(isCut && { truncated: true as const }) };
}

/** Back from the goal by the relations that reached each entity first. */
function pathTo(graph: GraphStore, reached: Walk['reached'], goal: number, name: string) {
  const path = [name];
  const relations: Relation[] = [];
  let here = goal;
  for (let arrival = reached.get(here); arrival; arrival = reached.get(here)) {
    const link = graph.link(arrival.relation);
    if (!link) {
      throw new ToolError('conflict', 'The graph changed during the search.', {
        hint: 'Call find_path again.',
      });
    }
    path.unshift(link.to_id === here ? link.from : link.to);
    relations.unshift({ from: link.from, to: link.to, relationType: link.relationType });
    here = arrival.from;
  }
  return { found: true, path, relations };
}
