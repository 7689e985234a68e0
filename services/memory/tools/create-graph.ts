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

export const createEntities = defineTool({
  name: 'create_entities',
  title: 'Create Entities',
  description:
    'Create entities in the knowledge graph. A name that exists is left unchanged: use add_observations for it.',
  effect: 'write',
  hints: adding,
  input: z.object({
    entities: z.array(entityInput).max(maxItemsPerCall).describe('The entities to create'),
  }),
  output: z.object({ entities: z.array(entityOutput).describe('The new ones.') }),
  text: ({ entities }) => JSON.stringify(entities, null, 2),

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
  output: z.object({ relations: z.array(relationOutput).describe('The new ones.') }),
  text: ({ relations }) => JSON.stringify(relations, null, 2),

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
        }),
      )
      .describe('By entity.'),
  }),
  text: ({ results }) => JSON.stringify(results, null, 2),

  handler: ({ observations }, store: Store, call) => store.change('add_observations', observations, call),
});
