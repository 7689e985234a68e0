import { z } from 'zod';

import { defineTool } from '#runtime/tool.ts';

import { decodeCursor, encodeCursor } from '#runtime/cursor.ts';
import { reading, reshaping } from '#runtime/hints.ts';
import { continuation, cursorField, limitField, storedText } from '#runtime/fields.ts';
import { nameField } from '../limits.ts';
import { memoryId } from '../memory-schema.ts';
import type { Store } from '../store.ts';

const factsShown = 20;
const changeId = z.int().positive();
const position = z.tuple([changeId]);

const facts = (description: string) => z.array(z.string()).describe(description);

export const getHistory = defineTool({
  name: 'get_history',
  title: 'Get History',
  description:
    'See what was changed, when and by whom, newest first: everything, or one entity, memory or file. Shows deleted and former content. Use before undo.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    change_id: changeId.describe('Only this change.').optional(),
    entity: nameField('Only changes of this entity.').optional(),
    memory_id: memoryId.describe('Only changes of this memory.').optional(),
    path: storedText(512, 'Only changes of this file of the memory tool.').optional(),
    limit: limitField(200, 20),
    cursor: cursorField,
  }),
  output: z.object({
    changes: z
      .array(
        z.object({
          change_id: z.int().describe('Id for undo.'),
          at: z.string().describe('Time.'),
          caller: z.string().describe('Token that called.'),
          tool: z.string().describe('Tool that was called.'),
          undone: z.boolean().describe('Whether it is undone.'),
          undoes: z.int().optional().describe('The change that this undid or brought back.'),
          added: facts(`At most ${factsShown}, shortened.`),
          removed: facts(`At most ${factsShown}, shortened.`),
          more: z.literal(true).optional().describe('It added or removed more than is shown.'),
        }),
      )
      .describe('Newest first.'),
    ...continuation,
  }),

  handler({ cursor, ...args }, store: Store) {
    const [before] = decodeCursor('get_history', args, cursor, position, [Number.MAX_SAFE_INTEGER]);
    return store.snapshot(() => {
      const { limit, ...filter } = args;
      const found = store.history.entries(filter, before, limit + 1);
      const changes = found.slice(0, limit).map(({ id, at, caller, tool, undoes, undone }) => {
        const { added, removed } = store.history.facts(id, factsShown + 1);
        return {
          change_id: id,
          at,
          caller,
          tool,
          undone: undone === 1,
          ...(undoes !== null && { undoes }),
          added: added.slice(0, factsShown),
          removed: removed.slice(0, factsShown),
          ...((added.length > factsShown || removed.length > factsShown) && { more: true as const }),
        };
      });
      return {
        changes,
        ...(found.length > limit && {
          truncated: true as const,
          next_cursor: encodeCursor('get_history', args, [changes.at(-1)?.change_id ?? 0]),
        }),
      };
    });
  },
});

// It takes back what others may have built on, and a token that may not delete could delete with it: hence `destroy`.
export const undo = defineTool({
  name: 'undo',
  title: 'Undo',
  description:
    'Take back one change of graph, memories or files: your newest, or any by id. Fails if later changes built on it. Undo the undo to bring it back.',
  effect: 'destroy',
  hints: reshaping,
  input: z.object({ change_id: changeId.describe('From get_history; your newest if left out.').optional() }),
  output: z.object({ undone: z.int().describe('The change that was taken back.') }),

  handler: (args, store: Store, call) => store.change('undo', args.change_id, call),
});
