import { z } from 'zod';

import { defineTool } from '#runtime/tool.ts';
import type { Steps } from '#runtime/turns.ts';

import { reading } from '#runtime/hints.ts';
import type { Store } from '../store.ts';
import { nowIso } from '#runtime/time.ts';

const groupsShown = 20;

const input = z.object({});
const output = z.object({
  entities: z.int().describe('Entities.'),
  observations: z.int().describe('Observations.'),
  relations: z.int().describe('Relations.'),
  memories: z.int().describe('Memories.'),
  files: z.int().describe('Files of the memory tool.'),
  changes: z.int().describe('Changes in the history.'),
  size_bytes: z.int().describe('Size of the database.'),
  entity_types: z
    .array(z.object({ entityType: z.string().describe('Type.'), count: z.int().describe('Entities.') }))
    .describe(`The ${groupsShown} most frequent.`),
  projects: z
    .array(z.object({ project: z.string().describe('Project.'), count: z.int().describe('Memories.') }))
    .describe(`The ${groupsShown} with most memories.`),
  meaning: z
    .object({
      model: z.string().describe('Model.'),
      embedded: z.int().describe('Memories with a vector.'),
      waiting: z.int().describe('Memories that will get one; counted to 10,000.'),
      refused: z.int().describe('Memories that the endpoint did not take.'),
      problem: z.string().optional().describe('Why it does not work now.'),
    })
    .optional()
    .describe('Search by meaning, if it is set up.'),
});

export const memoryStats = defineTool({
  name: 'memory_stats',
  title: 'Memory Stats',
  description:
    'Count what is stored, by entity type and project, and its size on disk. Use to decide what to read.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input,
  output,

  handler: (_args, store: Store, call) => store.inTurns(call, counted(store, nowIso(call))),
});

function* counted(
  { graph, memoryIndex, notes, journal, meaning, sizeBytes }: Store,
  now: string,
): Steps<z.input<typeof output>> {
  const entities = yield* graph.counts();
  const types = yield* graph.typeCounts(groupsShown);
  const counts = yield* memoryIndex.counts(now, groupsShown);
  return {
    ...entities,
    memories: counts.memories,
    files: yield* notes.count(),
    changes: journal.count(),
    size_bytes: sizeBytes(),
    entity_types: types,
    projects: counts.projects,
    ...(meaning && { meaning: meaning.status(now) }),
  };
}
