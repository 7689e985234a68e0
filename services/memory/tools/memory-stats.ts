import { z } from 'zod';

import { defineTool } from '#runtime/tool.ts';

import { reading } from '#runtime/hints.ts';
import type { Store } from '../store.ts';
import { nowIso } from '#runtime/time.ts';

const groupsShown = 50;

export const memoryStats = defineTool({
  name: 'memory_stats',
  title: 'Memory Stats',
  description:
    'Count what is stored, by entity type and project, and its size on disk. Use to decide what to read.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({}),
  output: z.object({
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
  }),

  handler: (_args, store: Store, call) =>
    store.snapshot(() => {
      const counts = store.memories.counts(nowIso(call));
      return {
        ...store.graph.counts(),
        memories: counts.reduce((sum, { count }) => sum + count, 0),
        files: store.notes.count(),
        changes: store.journal.count(),
        size_bytes: store.sizeBytes(),
        entity_types: store.graph.typeCounts(groupsShown),
        projects: counts.filter(({ project }) => project !== '').slice(0, groupsShown),
      };
    }),
});
