import { z } from 'zod';

import { defineTool } from '#runtime/tool.ts';

import { firstPage, graphPage, listed } from '../graph/graph-page.ts';
import { graphOutput } from '../graph/graph-schema.ts';
import { walk } from '../graph/walk.ts';
import { reading } from '#runtime/hints.ts';
import { charactersPerToken, maxEntitiesPerAnswer } from '../limits.ts';
import { memoryFilter, memoryOutput } from '../memory-schema.ts';
import type { Store } from '../store.ts';
import { nowIso } from '#runtime/time.ts';
import { storedText } from '#runtime/fields.ts';
import { within } from './read-memories.ts';

/** The entities to start from and the memories to choose from: the budget cuts below these anyway. */
const candidates = 20;

export const buildContext = defineTool({
  name: 'build_context',
  title: 'Build Context',
  description:
    'Gather what is known about a topic, entities with their neighbours and memories, within a token budget. Use when a task or conversation begins.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    topic: storedText(4_000, 'What it is about, in words.').min(1),
    depth: z.int().min(0).max(3).default(1).describe('Relations to follow from each entity found.'),
    token_budget: z
      .int()
      .min(50)
      .max(100_000)
      .default(2_000)
      .describe('Most tokens of stored text, counted as characters / 4; half of them for memories.'),
    project: memoryFilter.project,
  }),
  output: z.object({
    entities: graphOutput.shape.entities,
    relations: graphOutput.shape.relations,
    memories: z.array(memoryOutput).describe('Best first.'),
    truncated: z.literal(true).optional().describe('Not all fits: raise token_budget or narrow the topic.'),
  }),

  async handler({ topic, depth, token_budget: tokens, project }, store: Store, call) {
    const characters = tokens * charactersPerToken;
    const { found } = store.snapshot(() =>
      store.memories.search({ query: topic, project }, 0, candidates, nowIso(call)),
    );
    const memories = within(found, Math.floor(characters / 2));
    const used = memories.reduce((sum, { text }) => sum + text.length, 0);
    const ranked = await store.inTurns(call, store.nodes.ranked(topic, store.graph.find(topic)?.entity_id));
    const { reached, isCut: isWalkCut } = await store.inTurns(
      call,
      walk(store.graph, ranked.slice(0, candidates), { depth, maxEntities: maxEntitiesPerAnswer }),
    );
    const { entities, relations, next } = store.snapshot(() =>
      graphPage(
        store.graph,
        (start) => listed(store.graph, [...reached.keys()], start),
        store.graph.linksTouching,
        firstPage,
        { limit: 500, characters: characters - used },
      ),
    );
    const isCut = isWalkCut || next !== undefined || memories.length < found.length;
    return { entities, relations, memories, ...(isCut && { truncated: true as const }) };
  },
});
