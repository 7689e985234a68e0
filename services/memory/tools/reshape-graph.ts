import { z } from 'zod';

import { defineTool } from '#runtime/tool.ts';

import { entityNames } from '../graph/graph-schema.ts';
import { adding, reshaping } from '#runtime/hints.ts';
import { nameField } from '../limits.ts';
import type { Store } from '../store.ts';

export const renameEntity = defineTool({
  name: 'rename_entity',
  title: 'Rename Entity',
  description: 'Give an entity another name; it keeps its observations and relations.',
  effect: 'write',
  hints: adding,
  input: z.object({ name: nameField('The present name.'), new_name: nameField('A name that is not taken.') }),
  output: z.object({ name: z.string().describe('The name now.') }),

  handler: ({ name, new_name: newName }, store: Store, call) =>
    store.change('rename_entity', { name, newName }, call),
});

// The sources are gone afterwards: hence `destroy`, although undo restores them.
export const mergeEntities = defineTool({
  name: 'merge_entities',
  title: 'Merge Entities',
  description:
    'Make one entity of several that mean the same: their observations and relations move, they go.',
  effect: 'destroy',
  hints: reshaping,
  input: z.object({
    names: entityNames('The entities to dissolve.').min(1),
    into: nameField('The entity that stays.'),
  }),
  output: z.object({
    observations: z.int().describe('How many moved; the entity that stays had the others.'),
    relations: z.int().describe('How many moved.'),
  }),

  handler: (args, store: Store, call) => store.change('merge_entities', args, call),
});
