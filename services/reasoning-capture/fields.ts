/** Fields that several tools of the service have in common. */
import { z } from 'zod';

import { storable } from '#runtime/fields.ts';

import { maxAttrsLength, maxContentLength, maxNameLength, maxStepsPerChain } from './limits.ts';
import { provenances, types } from './steps/step.ts';

export const chainId = z
  .string()
  .regex(/^[0-9a-f]{32}$/, 'must be 32 hex digits, as start_chain answers')
  .describe('Of the chain.');

export const shortText = (description: string, most = maxNameLength) =>
  storable(z.string().min(1).max(most)).describe(description);

export const contentField = (description: string) =>
  storable(z.string().max(maxContentLength)).describe(description);

export const seqField = z.int().min(1).max(maxStepsPerChain);
export const typeField = z.enum(types);
export const confidence = z
  .number()
  .min(0)
  .max(1)
  .optional()
  .describe('As the model states it, from 0 to 1.');

export const attrs = z
  .record(z.string(), z.unknown())
  .refine(
    (given) => JSON.stringify(given).length <= maxAttrsLength,
    `at most ${maxAttrsLength} characters as JSON`,
  )
  .optional()
  .describe('Anything else to keep, as JSON.');

/** Of every tool that adds one step. */
export const stepFields = {
  chain_id: chainId,
  seq: seqField.optional().describe('Its number, to make trying again safe; the next unless given.'),
  parent_seq: seqField.optional().describe('The step it follows from, if not the one before.'),
  provenance: z.enum(provenances).default('self_report').describe('Where the text comes from.'),
  attrs,
};

export const stepOutput = z.object({
  chain_id: z.string().describe('The chain.'),
  seq: z.int().describe('The number of the step.'),
  duplicate: z.literal(true).optional().describe('It was there already.'),
  durable: z.literal(true).describe('It is on disk.'),
});

export const chainOutput = z.looseObject({
  chain_id: z.string().describe('Its id: the trace id.'),
  model: z.string().describe('Of the model; unknown where a trace did not say.'),
  status: z.string().describe('open, completed, failed or abandoned.'),
  started_at: z.string().describe('When it began.'),
  steps: z.int().describe('How many it has.'),
});
