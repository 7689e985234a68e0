import { z } from 'zod';

import { defineTool } from '#runtime/tool.ts';

import { entityNames, observationsField, relationsInput } from '../graph/graph-schema.ts';
import { replacing } from '#runtime/hints.ts';
import { maxItemsPerCall, nameField } from '../limits.ts';
import type { Store } from '../store.ts';

const output = z.object({
  success: z.boolean().describe('Always true: a failure is an error.'),
  message: z.string().describe('What was done.'),
});
const text = ({ message }: z.output<typeof output>) => message;

export const deleteEntities = defineTool({
  name: 'delete_entities',
  title: 'Delete Entities',
  description:
    'Delete entities with their observations and relations. Unknown names are ignored; undo restores.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({ entityNames: entityNames('The names of the entities to delete') }),
  output,
  text,

  handler: (args, store: Store, call) => store.change('delete_entities', args.entityNames, call),
});

export const deleteObservations = defineTool({
  name: 'delete_observations',
  title: 'Delete Observations',
  description: 'Delete facts, given word for word, from entities. Unknown ones are ignored; undo restores.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({
    deletions: z
      .array(
        z.strictObject({
          entityName: nameField('The name of the entity that has the observations'),
          observations: observationsField('The facts to delete, word for word'),
        }),
      )
      .max(maxItemsPerCall)
      .describe('What to delete, by entity'),
  }),
  output,
  text,

  handler: ({ deletions }, store: Store, call) => store.change('delete_observations', deletions, call),
});

export const deleteRelations = defineTool({
  name: 'delete_relations',
  title: 'Delete Relations',
  description: 'Delete relations from the knowledge graph. Unknown ones are ignored; undo restores.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({ relations: relationsInput.describe('The relations to delete') }),
  output,
  text,

  handler: ({ relations }, store: Store, call) => store.change('delete_relations', relations, call),
});
