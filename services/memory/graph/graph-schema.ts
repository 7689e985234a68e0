/** The official server's shapes of entities and relations, as arguments and as results. */
import { z } from 'zod';

import { continuation, storedText } from '#runtime/fields.ts';

import { maxItemsPerCall, maxObservationsPerCall, maxTextLength, nameField } from '../limits.ts';

export const observationsField = (description: string) =>
  z.array(storedText(maxTextLength, 'One fact.')).max(maxObservationsPerCall).describe(description);

export const entityNames = (description: string) =>
  z.array(nameField('Entity name.')).max(maxItemsPerCall).describe(description);

export const entityInput = z.strictObject({
  name: nameField('The name of the entity'),
  entityType: storedText(512, 'The type of the entity'),
  observations: observationsField('Facts about the entity, one each'),
});

export const relationsInput = z
  .array(
    z.strictObject({
      from: nameField('The name of the entity where the relation starts'),
      to: nameField('The name of the entity where the relation ends'),
      relationType: storedText(512, 'The type of the relation, in active voice'),
    }),
  )
  .max(maxItemsPerCall);

export const entityOutput = z.object({
  name: z.string().describe('Unique name.'),
  entityType: z.string().describe('Type.'),
  observations: z.array(z.string()).describe('Facts.'),
  observationsTotal: z
    .int()
    .optional()
    .describe(
      'Only when not all are shown: how many there are; open_nodes with observationOffset shows the others.',
    ),
});

export const relationOutput = z.object({
  from: z.string().describe('Start.'),
  to: z.string().describe('End.'),
  relationType: z.string().describe('Type.'),
});

export const graphOutput = z.object({
  entities: z.array(entityOutput).describe('Entities.'),
  relations: z.array(relationOutput).describe('Relations.'),
  ...continuation,
});
