import { z } from 'zod';

import { defineTool } from '#runtime/tool.ts';

import {
  entityInput,
  entityOutput,
  observationsField,
  relationOutput,
  relationsInput,
} from '../graph/graph-schema.ts';
import { adding } from '#runtime/hints.ts';
import { maxItemsPerCall, nameField } from '../limits.ts';
import type { Store } from '../store.ts';

const total = { total: z.int().optional().describe('How many there are, where not all are shown.') };
const addInstead = 'Use add_observations to add facts to them.';

const mostNamed = 20;
const someOf = (names: readonly string[]) =>
  names.length > mostNamed ? `${names.slice(0, mostNamed).join(', ')} and others` : names.join(', ');

/** The official server's text, and in a block of its own what it would not say. */
function told(list: readonly unknown[], total: number | undefined, note?: string | 0): string[] {
  const more = total !== undefined && `${total} in all; the first ${list.length} are shown.`;
  return [JSON.stringify(list, null, 2), ...[more, note].filter((text) => typeof text === 'string')];
}

export const createEntities = defineTool({
  name: 'create_entities',
  title: 'Create Entities',
  description:
    'Create entities in the knowledge graph. One that exists is left unchanged and named in the answer: use add_observations for it.',
  effect: 'write',
  hints: adding,
  input: z.object({
    entities: z.array(entityInput).max(maxItemsPerCall).describe('The entities to create'),
  }),
  output: z.object({
    entities: z.array(entityOutput).describe('The new ones.'),
    existing: z.array(z.string()).optional().describe('Names that existed and were left unchanged.'),
    ...total,
  }),
  text: ({ entities, existing, total }) =>
    told(entities, total, existing && `Left unchanged, as they exist: ${someOf(existing)}. ${addInstead}`),

  handler: ({ entities }, store: Store, call) => store.change('create_entities', entities, call),
});

export const createRelations = defineTool({
  name: 'create_relations',
  title: 'Create Relations',
  description:
    'Create relations between existing entities, in active voice. Fails if an entity does not exist.',
  effect: 'write',
  hints: adding,
  input: z.object({ relations: relationsInput.describe('The relations to create') }),
  output: z.object({
    relations: z.array(relationOutput).describe('The new ones.'),
    existing: z.int().optional().describe('How many existed before.'),
    ...total,
  }),
  text: ({ relations, existing, total }) =>
    told(relations, total, existing && `${existing} of these relations existed before.`),

  handler: ({ relations }, store: Store, call) => store.change('create_relations', relations, call),
});

export const addObservations = defineTool({
  name: 'add_observations',
  title: 'Add Observations',
  description: 'Add facts to existing entities. Known facts are skipped; fails if an entity does not exist.',
  effect: 'write',
  hints: adding,
  input: z.object({
    observations: z
      .array(
        z.strictObject({
          entityName: nameField('The name of the entity to add the observations to'),
          contents: observationsField('The facts to add, one each'),
        }),
      )
      .max(maxItemsPerCall)
      .describe('What to add, by entity'),
  }),
  output: z.object({
    results: z
      .array(
        z.object({
          entityName: z.string().describe('The entity.'),
          addedObservations: z.array(z.string()).describe('The new ones.'),
          addedTotal: z.int().optional().describe('How many, where not all are shown.'),
        }),
      )
      .describe('By entity.'),
    ...total,
  }),
  text: ({ results, total }) => told(results, total),

  handler: ({ observations }, store: Store, call) => store.change('add_observations', observations, call),
});
