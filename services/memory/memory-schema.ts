/** The fields that memories have as arguments and as results. */
import { z } from 'zod';

import { maxNameLength, maxTextLength } from './limits.ts';
import { instantField, instantForm } from '#runtime/time.ts';
import { storedText } from '#runtime/fields.ts';

export const memoryFields = {
  text: storedText(maxTextLength, 'What to remember.').refine(
    (text) => text.trim() !== '',
    'must not be blank',
  ),
  project: storedText(maxNameLength, 'Project it belongs to.'),
  session: storedText(maxNameLength, 'Conversation it is part of; search uses its neighbours there.'),
  speaker: storedText(maxNameLength, 'Who said it.'),
  tags: z.array(storedText(maxNameLength, 'Tag.')).max(32).describe('Tags.'),
  occurred_at: instantField(`When it happened; now if left out (${instantForm}).`),
  ttl: z.int().min(1).max(315_360_000).describe('Seconds until it is forgotten; never if left out.'),
};

export const memoryId = z.int().positive().describe('The id that search_memories returned.');

export const memoryFilter = {
  project: memoryFields.project.describe('Only this project.').optional(),
  tags: memoryFields.tags.describe('Only memories with all these tags.').optional(),
  since: instantField(`Only what happened then or later (${instantForm}).`).optional(),
  until: instantField('Only what happened before this time.').optional(),
};

export const memoryOutput = z.object({
  id: z.int().describe('Stable id.'),
  text: z.string().describe('Text.'),
  text_length: z.int().optional().describe('Only when text is cut: its length; get_memory returns all.'),
  project: z.string().optional().describe('Project.'),
  session: z.string().optional().describe('Conversation.'),
  speaker: z.string().optional().describe('Who said it.'),
  tags: z.array(z.string()).describe('Tags.'),
  occurred_at: z.string().describe('When it happened.'),
  created_at: z.string().describe('When it was stored.'),
  expires_at: z.string().optional().describe('When it is forgotten.'),
});
