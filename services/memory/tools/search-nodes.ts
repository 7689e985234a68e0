import { z } from 'zod';

import { cursorField } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { instantField, instantForm, toUtc } from '#runtime/time.ts';
import { defineTool } from '#runtime/tool.ts';
import type { Steps } from '#runtime/turns.ts';

import { listed, mostEntitiesIn, type EntitySource } from '../graph/graph-page.ts';
import { graphOutput } from '../graph/graph-schema.ts';
import type { Rows } from '../journal.ts';
import { bytesPerToken, maxRanked, queryField, rowsPerStep, tokenBudgetField } from '../limits.ts';
import { composed } from '../names.ts';
import type { Store } from '../store.ts';
import { entityLimit, entityTypes, graphAnswer } from './graph-answer.ts';

const input = z.object({
  query: queryField.describe('Words, or part of a name; any match counts. Empty: everything.'),
  limit: entityLimit,
  cursor: cursorField,
  mode: z
    .enum(['ranked', 'substring'])
    .default('ranked')
    .describe('substring: only entities that contain the whole query, oldest first.'),
  entityTypes,
  since: instantField(`Only entities with a fact stated then or later (${instantForm}).`).optional(),
  token_budget: tokenBudgetField,
});
type Args = z.output<typeof input>;

export const searchNodes = defineTool({
  name: 'search_nodes',
  title: 'Search Nodes',
  description:
    'Find entities by words in their names, types and observations, best first, with all their relations. For notes and conversations use search_memories.',
  effect: 'read',
  untrusted: 'as-is',
  hints: reading,
  input,
  output: graphOutput,
  handler: (args, store: Store, call) => store.inTurns(call, found(args, store)),
});

function* found(args: Args, store: Store): Steps<z.input<typeof graphOutput>> {
  const { graph } = store;
  const most = Math.min(args.limit, mostEntitiesIn(args.token_budget * bytesPerToken)) + 1;
  const isWanted = filterOf(args, store);
  let isAtEnd = false;
  const bestFirst: EntitySource = function* (start) {
    const exactId = graph.find(args.query)?.entity_id;
    const count = Math.min(start + most, maxRanked);
    const isAdmitted = isWanted && ((id: number) => isWanted(graph.byId(id)));
    const ids = yield* store.nodes.ranked(args.query, { exactId, count, isAdmitted });
    isAtEnd = ids.length === maxRanked;
    yield* listed(graph, ids, start);
  };
  const oldestFirst: EntitySource = (start) =>
    wanted(
      args.query === '' ? graph.entitiesAfter(start) : containing(store, args.query, start, most),
      isWanted,
    );

  const source = args.mode === 'ranked' && args.query !== '' ? bestFirst : oldestFirst;
  const answer = yield* graphAnswer(graph, 'search_nodes', args, source, graph.linksTouching);
  return isAtEnd && answer.next_cursor === undefined ? { ...answer, truncated: true } : answer;
}

type Filter = (row: Rows['entity'] | undefined) => boolean;

/** `undefined` where all are wanted. */
function filterOf({ entityTypes: types, since }: Args, { graph }: Store): Filter | undefined {
  if (!types && since === undefined) return undefined;
  const ofTypes = types && new Set(types.map(composed));
  const change = since === undefined ? undefined : graph.changeAt(toUtc(since));
  return (row) =>
    row !== undefined &&
    (!ofTypes || ofTypes.has(composed(row.type))) &&
    (change === undefined || graph.isStatedSince(row, change));
}

function* wanted(rows: Iterable<Rows['entity'] | void>, isWanted: Filter = () => true) {
  for (const row of rows) {
    if (!row) yield undefined;
    else if (isWanted(row)) yield [row, row.entity_id] as const;
  }
}

/** In order of creation. */
function* containing({ nodes, graph }: Store, query: string, start: number, most: number) {
  // What is filtered out makes it look again: each time for more.
  for (let after = start, count = most; ; count *= 4) {
    const ids = yield* nodes.substring(query, after, count);
    for (const [index, id] of ids.entries()) {
      yield graph.byId(id);
      if (index % rowsPerStep === rowsPerStep - 1) yield undefined;
    }
    if (ids.length < count) return;
    after = ids.at(-1) ?? after;
  }
}
