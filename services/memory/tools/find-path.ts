import { z } from 'zod';

import { defineTool } from '#runtime/tool.ts';

import { relationOutput } from '../graph-schema.ts';
import type { GraphStore, LinkRow } from '../graph-store.ts';
import { nameField } from '../limits.ts';
import type { Store } from '../store.ts';

/** Entities looked at before the search gives up: about a second. */
const maxVisited = 50_000;

export const findPath = defineTool({
  name: 'find_path',
  title: 'Find Path',
  description:
    'Find the shortest chain of relations between two entities, in whichever direction they point.',
  effect: 'read',
  untrusted: 'bounded',
  hints: { readOnly: true, destructive: false, idempotent: true, openWorld: false },
  input: z.object({
    from: nameField('Entity to start from.'),
    to: nameField('Entity to reach.'),
    max_depth: z.int().min(1).max(12).default(6).describe('Most relations in the chain.'),
  }),
  output: z.object({
    found: z.boolean().describe('Whether there is one.'),
    path: z.array(z.string()).describe('Entity names from start to end; empty if none.'),
    relations: z.array(relationOutput).describe('The relations along it.'),
    truncated: z.literal(true).optional().describe('Gave up: too many entities in between. Lower max_depth.'),
  }),

  handler: ({ from, to, max_depth: depth }, store: Store) =>
    store.snapshot(() => shortestPath(store.graph, from, to, depth)),
});

function shortestPath(graph: GraphStore, from: string, to: string, depth: number) {
  const start = graph.entity(from).entity_id;
  const goal = graph.entity(to).entity_id;
  const cameBy = new Map<number, LinkRow | undefined>([[start, undefined]]);
  let frontier = new Set([start]);
  for (let step = 0; step < depth && frontier.size > 0 && !cameBy.has(goal); step += 1) {
    const reached = new Set<number>();
    for (const link of graph.linksTouching([...frontier], 0)) {
      for (const [here, there] of [
        [link.from_id, link.to_id],
        [link.to_id, link.from_id],
      ] as const) {
        if (!frontier.has(here) || cameBy.has(there)) continue;
        cameBy.set(there, link);
        reached.add(there);
      }
      if (cameBy.size > maxVisited)
        return { found: false, path: [], relations: [], truncated: true as const };
    }
    frontier = reached;
  }
  return cameBy.has(goal) ? trace(cameBy, goal, to) : { found: false, path: [], relations: [] };
}

/** Back from the goal by the relations that reached each entity first. */
function trace(cameBy: ReadonlyMap<number, LinkRow | undefined>, goal: number, name: string) {
  const path = [name];
  const relations: { from: string; to: string; relationType: string }[] = [];
  let here = goal;
  for (let link = cameBy.get(here); link; link = cameBy.get(here)) {
    const forward = link.to_id === here;
    here = forward ? link.from_id : link.to_id;
    path.unshift(forward ? link.from : link.to);
    relations.unshift({ from: link.from, to: link.to, relationType: link.relationType });
  }
  return { found: true, path, relations };
}
