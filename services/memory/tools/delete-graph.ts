import { z } from 'zod';

import { defineTool } from '#runtime/tool.ts';

import { entityNames, observationsField, relationOutput, relationsInput } from '../graph/graph-schema.ts';
import { replacing } from '#runtime/hints.ts';
import { maxItemsPerCall, nameField } from '../limits.ts';
import type { Store } from '../store.ts';

/** The official server's two keys, and what was found and what was not. */
const outputOf = <Missing extends z.ZodType>(missing: Missing) =>
  z.object({
    success: z.boolean().describe('False when nothing was found.'),
    message: z.string().describe('What was done.'),
    deleted: z.int().describe('How many.'),
    not_found: z.array(missing).optional().describe('What was not there.'),
    not_found_total: z.int().optional().describe('How many, where not all are shown.'),
  });

interface Deletion {
  readonly message: string;
  readonly deleted: number;
  readonly not_found?: readonly unknown[] | undefined;
  readonly not_found_total?: number | undefined;
}

/** The official server's text, and in a block of its own what was not there. */
function text({ message, deleted, not_found: missing, not_found_total: total }: Deletion): string[] {
  if (!missing) return [message];
  const count = total === undefined ? '' : ` ${total} in all, of which the first`;
  return [message, `Deleted: ${deleted}. Not found:${count} ${JSON.stringify(missing)}`];
}

export const deleteEntities = defineTool({
  name: 'delete_entities',
  title: 'Delete Entities',
  description:
    'Delete entities with their observations and relations. Names that are not found are listed; undo restores.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({ entityNames: entityNames('The names of the entities to delete') }),
  output: outputOf(z.string()),
  text,

  handler: (args, store: Store, call) => store.change('delete_entities', args.entityNames, call),
});

export const deleteObservations = defineTool({
  name: 'delete_observations',
  title: 'Delete Observations',
  description:
    'Delete facts, given word for word, from entities. What is not found is listed; undo restores.',
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
  output: outputOf(
    z.object({
      entityName: z.string().describe('Entity.'),
      observations: z.array(z.string()).describe('Facts that it does not have.'),
    }),
  ),
  text,

  handler: ({ deletions }, store: Store, call) => store.change('delete_observations', deletions, call),
});

export const deleteRelations = defineTool({
  name: 'delete_relations',
  title: 'Delete Relations',
  description: 'Delete relations from the knowledge graph. What is not found is listed; undo restores.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({ relations: relationsInput.describe('The relations to delete') }),
  output: outputOf(relationOutput),
  text,

  handler: ({ relations }, store: Store, call) => store.change('delete_relations', relations, call),
});
