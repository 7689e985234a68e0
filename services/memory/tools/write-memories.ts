import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { defineTool } from '#runtime/tool.ts';

import { adding, replacing } from '#runtime/hints.ts';
import { maxItemsPerCall, maxMemoriesPerCall } from '../limits.ts';
import { memoryFields, memoryId, memoryOutput } from '../memory-schema.ts';
import type { Store } from '../store.ts';
import { toUtc } from '#runtime/time.ts';

const messages = z
  .array(
    z.strictObject({
      role: memoryFields.speaker,
      content: memoryFields.text,
      occurred_at: memoryFields.occurred_at.optional(),
    }),
  )
  .min(1)
  .max(maxMemoriesPerCall);

export const addMemory = defineTool({
  name: 'add_memory',
  title: 'Add Memory',
  description:
    'Remember a note (text) or the turns of a conversation (messages, one memory each), to find again with search_memories. For facts about named things and how they relate use create_entities.',
  effect: 'write',
  hints: adding,
  input: z.object({
    text: memoryFields.text.optional(),
    messages: messages.optional().describe('Instead of text: turns in order.'),
    project: memoryFields.project.optional(),
    session: memoryFields.session.optional(),
    speaker: memoryFields.speaker.describe('Who said text; turns have their role.').optional(),
    tags: memoryFields.tags.optional(),
    occurred_at: memoryFields.occurred_at.optional(),
    ttl: memoryFields.ttl.optional(),
  }),
  output: z.object({ ids: z.array(z.int()).describe('Ids of the new memories, in order.') }),

  handler({ text, messages: turns, ...shared }, store: Store, call) {
    if ((text === undefined) === (turns === undefined)) {
      throw new ToolError('invalid_input', 'Give either text or messages.');
    }
    if (turns && shared.speaker !== undefined) {
      throw new ToolError('invalid_input', 'Each of messages has its own role: leave speaker out.');
    }
    const memories = turns
      ? turns.map(({ role, content, occurred_at: at = shared.occurred_at }) => ({
          ...shared,
          text: content,
          speaker: role,
          occurred_at: at && toUtc(at),
        }))
      : [{ ...shared, text: text ?? '', occurred_at: shared.occurred_at && toUtc(shared.occurred_at) }];
    return store.change('add_memory', memories, call);
  },
});

export const updateMemory = defineTool({
  name: 'update_memory',
  title: 'Update Memory',
  description:
    'Replace parts of one memory; what is left out stays. The former version stays in get_history.',
  effect: 'write',
  untrusted: 'bounded',
  hints: replacing,
  input: z.object({
    id: memoryId,
    text: memoryFields.text.optional(),
    project: memoryFields.project.optional(),
    session: memoryFields.session.optional(),
    speaker: memoryFields.speaker.optional(),
    tags: memoryFields.tags.optional(),
    occurred_at: memoryFields.occurred_at.describe('When it happened.').optional(),
    ttl: memoryFields.ttl.describe('Seconds from now until it is forgotten.').optional(),
  }),
  output: z.object({ memory: memoryOutput.describe('The memory as it is now.') }),

  handler({ id, ...values }, store: Store, call) {
    if (Object.keys(values).length === 0) {
      throw new ToolError('invalid_input', 'Nothing to update: give at least one of text, project, tags ...');
    }
    const given = { ...values, occurred_at: values.occurred_at && toUtc(values.occurred_at) };
    return store.change('update_memory', { id, values: given }, call);
  },
});

export const deleteMemories = defineTool({
  name: 'delete_memories',
  title: 'Delete Memories',
  description: 'Delete memories by id. Unknown ids are listed, not an error; undo restores.',
  effect: 'destroy',
  hints: replacing,
  input: z.object({ ids: z.array(memoryId).min(1).max(maxItemsPerCall).describe('Ids to delete.') }),
  output: z.object({
    deleted: z.array(z.int()).describe('Deleted now.'),
    unknown: z.array(z.int()).describe('Not there.'),
  }),

  handler: ({ ids }, store: Store, call) => store.change('delete_memories', ids, call),
});
