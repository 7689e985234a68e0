import { z } from 'zod';

import { cursorField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';
import type { Steps } from '#runtime/turns.ts';

import { listed } from '../graph/graph-page.ts';
import { entityNames, graphOutput } from '../graph/graph-schema.ts';
import { walk } from '../graph/walk.ts';
import { maxEntitiesPerAnswer, rowsPerStep, tokenBudgetField } from '../limits.ts';
import { composed } from '../names.ts';
import type { Store } from '../store.ts';
import { entityLimit, entityTypes, graphAnswer, observationLimit } from './graph-answer.ts';

export const readGraph = defineTool({
  name: 'read_graph',
  title: 'Read Graph',
  description:
    'Read the whole knowledge graph, oldest entities first, each with the relations that start there. Large: prefer search_nodes, or pass a limit.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: z.object({
    limit: entityLimit,
    cursor: cursorField,
    entityTypes,
    includeObservations: z.boolean().default(true).describe('False for names and types only.'),
    observationLimit,
    token_budget: tokenBudgetField,
  }),
  output: graphOutput,

  handler({ includeObservations, ...args }, store: Store, call) {
    const { graph } = store;
    const types = args.entityTypes && new Set(args.entityTypes.map(composed));
    const limits = includeObservations ? args : { ...args, observationLimit: 0 };
    return store.inTurns(
      call,
      graphAnswer(graph, 'read_graph', limits, (start) => graph.inOrder(start, types), graph.linksFrom),
    );
  },
});

const openInput = z.object({
  names: entityNames('The names of the entities to read'),
  cursor: cursorField,
  observationLimit,
  observationOffset: z.int().min(0).default(0).describe('Observations to skip in each entity.'),
  depth: z.int().min(0).max(3).default(0).describe('Also read entities this many relations away.'),
  token_budget: tokenBudgetField,
});
const openOutput = graphOutput.extend({
  truncated: z
    .literal(true)
    .optional()
    .describe('There is more: call again with next_cursor; without one, open entities further out by name.'),
});

export const openNodes = defineTool({
  name: 'open_nodes',
  title: 'Open Nodes',
  description: 'Read entities by exact name, with all their relations. Unknown names are left out.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input: openInput,
  output: openOutput,

  handler: (args, store: Store, call) => store.inTurns(call, opened(args, store)),
});

function* opened(args: z.output<typeof openInput>, store: Store): Steps<z.input<typeof graphOutput>> {
  const { graph } = store;
  const start = new Set<number>();
  for (const [index, name] of args.names.entries()) {
    const id = graph.find(name)?.entity_id;
    if (id !== undefined) start.add(id);
    if (index % rowsPerStep === rowsPerStep - 1) yield;
  }
  const ids = [...start].toSorted((a, b) => a - b);
  const { reached, isCut } = yield* walk(graph, ids, {
    depth: args.depth,
    maxEntities: maxEntitiesPerAnswer,
  });
  const all = [...reached.keys()];
  const paging = { ...args, limit: maxEntitiesPerAnswer };
  return {
    ...(isCut && { truncated: true as const }),
    ...(yield* graphAnswer(
      graph,
      'open_nodes',
      paging,
      (from) => listed(graph, all, from),
      graph.linksTouching,
    )),
  };
}
