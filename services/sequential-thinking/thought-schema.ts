/** The fields of a thought, as arguments and as results. */
import { z } from 'zod';

import { storable, storedText, toldBriefly } from '#runtime/fields.ts';

import { maxBranchIdLength, maxThoughtLength } from './limits.ts';

const counting = z.int().min(1);
/** Advertised as the integer that it is meant to be; a text of digits is taken too, as the official server does. */
const count = (description: string) =>
  z
    .unknown()
    .meta({ type: 'integer', minimum: 1, description })
    .transform((value) => (typeof value === 'string' && /^\s*\d+\s*$/.test(value) ? Number(value) : value))
    .pipe(counting);

const flag = (description: string) =>
  z.union([z.boolean(), z.stringbool({ truthy: ['true'], falsy: ['false'] })]).describe(description);

const branchId = storedText(maxBranchIdLength, 'Name of the branch.');

/** The official tool's arguments. */
export const saidFields = {
  thought: storedText(maxThoughtLength, 'Your current thinking step.'),
  nextThoughtNeeded: flag('Whether another thought is needed; false only when you have an answer.'),
  thoughtNumber: count('Number of this thought, from 1.'),
  totalThoughts: count('How many you expect to need; change it at any time.'),
  isRevision: flag('Whether this reconsiders an earlier thought.').optional(),
  revisesThought: count('Number of the thought that is reconsidered.').optional(),
  branchFromThought: count('Number of the thought that a branch leaves from.').optional(),
  branchId: branchId.optional(),
  needsMoreThoughts: flag('Whether you found that more are needed than expected.').optional(),
};

export type Said = z.output<z.ZodObject<typeof saidFields>>;

export const sessionId = storable(z.string().min(1).max(64)).describe('Session.');

/** A branch where one is asked for by name: every text is the name of one, but for the empty one. */
export const lineName = storable(z.string().max(maxBranchIdLength));

/** A thought as it is read back: the arguments, where in the session, and when. */
const thought = z.object({
  position: z.int().describe('Place in the session, from 1.'),
  thoughtNumber: z.int(),
  totalThoughts: z.int(),
  nextThoughtNeeded: z.boolean(),
  isRevision: z.boolean().optional(),
  revisesThought: z.int().optional(),
  branchFromThought: z.int().optional(),
  branchId: z.string().optional(),
  needsMoreThoughts: z.boolean().optional(),
  thought: z.string().describe('Text.'),
  offset: z.int().optional().describe('Where this part of a long text begins: join parts.'),
  at: z.string(),
});
export const thoughtOutput = toldBriefly(thought, 'position', 'thought', 'offset');

export type SaidThought = Omit<Thought, 'position' | 'offset'>;
export type Thought = z.output<typeof thought>;
