import { z } from 'zod';

import { defineTool } from '#runtime/tool.ts';

import { firstPage, graphPage, listed } from '../graph/graph-page.ts';
import { graphOutput } from '../graph/graph-schema.ts';
import { walk } from '../graph/walk.ts';
import { reading } from '#runtime/hints.ts';
import { bytesPerToken, maxAnswerTokens, maxEntitiesPerAnswer } from '../limits.ts';
import { memoryFilter, memoryOutput } from '../memory-schema.ts';
import { memorySize } from '../memory-store.ts';
import { wordsOnly, type QueryMeaning } from '../meaning/meaning.ts';
import type { Store } from '../store.ts';
import { nowIso } from '#runtime/time.ts';
import type { Steps } from '#runtime/turns.ts';
import { storedText } from '#runtime/fields.ts';

/** The entities to start from and the memories to choose from: the budget cuts below these anyway. */
const candidates = 20;
const mostEntities = 500;

const input = z.object({
  topic: storedText(4_000, 'What it is about, in words.').min(1),
  depth: z.int().min(0).max(3).default(1).describe('Relations to follow from each entity found.'),
  token_budget: z
    .int()
    .min(50)
    .max(maxAnswerTokens)
    .default(2_000)
    .describe('Most tokens to return (bytes / 4), half of them of memories.'),
  project: memoryFilter.project,
});
const output = z.object({
  entities: graphOutput.shape.entities,
  relations: graphOutput.shape.relations,
  memories: z.array(memoryOutput).describe('Best first.'),
  words_only: wordsOnly,
  truncated: z.literal(true).optional().describe('Not all fits: raise token_budget or narrow the topic.'),
});

export const buildContext = defineTool({
  name: 'build_context',
  title: 'Build Context',
  description:
    'Gather what is known about a topic, entities with their neighbours and memories, within a token budget. Use when a task or conversation begins.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input,
  output,

  handler(args, store: Store, call) {
    const now = nowIso(call);
    if (!store.meaning) return store.inTurns(call, gathered(args, store, now));
    return store.meaning
      .ofQuery(args.topic, call.signal)
      .then(async (meaning) => store.inTurns(call, gathered(args, store, now, meaning)));
  },
});

function* gathered(
  { topic, depth, token_budget: tokens, project }: z.output<typeof input>,
  { graph, nodes, memories: stored, meaning: meanings }: Store,
  now: string,
  meaning?: QueryMeaning,
): Steps<z.input<typeof output>> {
  const bytes = tokens * bytesPerToken;
  const half = { offset: 0, limit: candidates, bytes: Math.floor(bytes / 2), now };
  const near = meanings && meaning && (yield* meanings.nearest(meaning, project));
  const { found: memories, hasMore } = yield* stored.search({ query: topic, project }, half, { near });
  const used = memories.reduce((sum, memory) => sum + memorySize(memory), 0);
  const start = yield* nodes.ranked(topic, { exactId: graph.find(topic)?.entity_id, count: candidates });
  const { reached, isCut } = yield* walk(graph, start, { depth, maxEntities: maxEntitiesPerAnswer });
  const ids = [...reached.keys()];
  const { entities, relations, next } = yield* graphPage(
    graph,
    (from) => listed(graph, ids, from),
    graph.linksTouching,
    firstPage,
    { limit: mostEntities, bytes: Math.max(bytes - used, 0) },
  );
  const isAll = !isCut && next === undefined && (!hasMore || memories.length === candidates);
  return {
    entities,
    relations,
    memories,
    ...(meaning && 'problem' in meaning && { words_only: meaning.problem }),
    ...(!isAll && { truncated: true as const }),
  };
}
