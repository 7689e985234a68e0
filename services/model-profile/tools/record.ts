/** What comes in: models, decisions, outcomes. */
import { z } from 'zod';

import { ToolError, type ErrorCode } from '#runtime/errors.ts';
import { storable } from '#runtime/fields.ts';
import { completing } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { decisionProperties } from '../decision.ts';
import { kindField, nameField } from '../fields.ts';
import { maxBatch, maxJsonlLength, maxTextLength } from '../limits.ts';
import type { Refused } from '../store/ledger.ts';
import type { Store } from '../store/store.ts';
import { errorKinds, sources } from '../vocabulary.ts';

const changeOut = z.int().describe('Number of the last change on disk.');

export const registerModel = defineTool({
  name: 'register_model',
  title: 'Register Model',
  description:
    'Make a model known before its decisions are recorded. Name, version, effort and prompt hash together are one model. The same again changes only the note.',
  effect: 'write',
  hints: completing,
  input: z.object({
    kind: kindField.default('model'),
    name: nameField('Like openai/gpt-5.'),
    version: nameField('Its version or date.').optional(),
    effort: nameField('Its reasoning effort.').optional(),
    prompt_hash: nameField('Hash of the prompt it works under.').optional(),
    note: nameField('For people.', maxTextLength).optional(),
  }),
  output: z.object({
    model: z.string().describe('Its key, for all other tools.'),
    created: z.boolean().describe('false: it was there.'),
  }),
  async handler({ note, ...identity }, store: Store, { caller, nowMs }) {
    const { key, isNew } = await store.register({ ...identity, owner: caller, nowMs, note: note ?? null });
    return { model: key, created: isNew };
  },
});

/** The fields of one decision, from the one list of them. */
function fieldOf(property: (typeof decisionProperties)[keyof typeof decisionProperties]): z.ZodType {
  const { description } = property;
  if ('enum' in property) return z.enum(property.enum).describe(description);
  if ('maximum' in property) {
    const number = property.type === 'integer' ? z.int() : z.number();
    return number.min(0).max(property.maximum).describe(description);
  }
  if ('maxLength' in property) return nameField(description, property.maxLength);
  return storable(z.string()).describe(description);
}

const decisionShape = Object.fromEntries(
  Object.entries(decisionProperties).map(([name, property]) => {
    const field = fieldOf(property);
    return [name, name === 'uid' || name === 'model' ? field : field.optional()];
  }),
);

export const recordDecision = defineTool({
  name: 'record_decision',
  title: 'Record Decision',
  description:
    'Record one decision of a model, with its outcome where it is known; resolve_outcome adds or revises that later. On disk when it is answered. The same again stores nothing.',
  effect: 'write',
  hints: completing,
  input: z.object(decisionShape),
  output: z.object({
    recorded: z.boolean().describe('false: it was there.'),
    change: changeOut,
  }),
  async handler(decision, store: Store, { caller, nowMs }) {
    const { accepted, refused, change } = await store.record(
      { owner: caller, nowMs, decisions: [decision] },
      1,
    );
    const [refusal] = refused;
    if (refusal) throw errorOf(refusal, String(decision['model']), store);
    return { recorded: accepted === 1, change };
  },
});

const codes = {
  invalid: 'invalid_input',
  unknown_model: 'not_found',
  conflict: 'conflict',
  over_quota: 'too_large',
  too_many_task_types: 'too_large',
} as const satisfies Readonly<Record<Refused['reason'], ErrorCode>>;

/** @throws ToolError not_found that names models that are alike. */
function errorOf({ reason, message }: Refused, model: string, store: Store): ToolError {
  if (reason === 'unknown_model') store.reading.model(model);
  const hint = reason === 'over_quota' ? quotaHint : 'Nothing was changed.';
  return new ToolError(codes[reason], message, { hint });
}

const quotaHint = 'Nothing was stored. Older decisions go by themselves; or ask the operator for more room.';

export const recordDecisions = defineTool({
  name: 'record_decisions',
  title: 'Record Decisions',
  description: `Record up to ${maxBatch} decisions at once, as objects or as lines of JSON. Each is taken or refused for itself; what is taken is on disk when this is answered. The same again stores nothing.`,
  effect: 'write',
  hints: completing,
  input: z.object({
    decisions: z
      .array(
        z.unknown().meta({
          type: 'object',
          properties: decisionProperties,
          required: ['uid', 'model'],
          additionalProperties: false,
        }),
      )
      .refine((list) => list.length <= maxBatch, `must be at most ${maxBatch}`)
      .optional()
      .describe('Fields as of record_decision.'),
    decisions_jsonl: z
      .string()
      .refine(
        (text) => text.length <= maxJsonlLength && text.isWellFormed(),
        `must be well-formed, of at most ${maxJsonlLength} characters`,
      )
      .optional()
      .describe('Instead: one decision as JSON in each line.'),
  }),
  output: z.object({
    accepted: z.int().describe('New, and on disk.'),
    duplicates: z.int().describe('There already.'),
    rejected_count: z.int().describe('Refused.'),
    rejected: z
      .array(
        z.object({
          index: z.int().describe('Place in the list.'),
          uid: z.string().optional().describe('As given.'),
          reason: z
            .enum(['invalid', 'unknown_model', 'conflict', 'over_quota', 'too_many_task_types'])
            .describe('Why.'),
          message: z.string().describe('The same in words.'),
        }),
      )
      .describe('The first of those that were refused.'),
    durable: z.literal(true).describe('What was accepted survives a power cut.'),
    change: changeOut,
  }),
  async handler({ decisions, decisions_jsonl: lines }, store: Store, { caller, nowMs }) {
    if ((decisions === undefined) === (lines === undefined)) {
      throw new ToolError('invalid_input', 'Give either decisions or decisions_jsonl.');
    }
    const given = decisions ?? lines ?? '';
    const size = typeof given === 'string' ? linesIn(given) : given.length;
    if (size === 0) throw new ToolError('invalid_input', 'There is no decision in it.');
    const { accepted, duplicates, rejected, refused, change } = await store.record(
      { owner: caller, nowMs, decisions: given },
      size,
    );
    if (rejected === size && refused.every(({ reason }) => reason === 'over_quota')) {
      throw new ToolError('too_large', refused[0]?.message ?? '', { hint: quotaHint });
    }
    return {
      accepted,
      duplicates,
      rejected_count: rejected,
      rejected: refused.map(({ uid, ...rest }) => ({ ...rest, ...(uid !== undefined && { uid }) })),
      durable: true as const,
      change,
    };
  },
});

/** @throws ToolError too_large. */
function linesIn(text: string): number {
  let lines = 0;
  for (let at = 0; at >= 0 && at < text.length; lines += 1) {
    const newline = text.indexOf('\n', at);
    at = newline < 0 ? text.length : newline + 1;
  }
  if (lines > maxBatch)
    throw new ToolError('too_large', `There are ${lines} lines, at most ${maxBatch} are taken.`, {
      hint: 'Nothing was stored: send fewer at once.',
    });
  return lines;
}

export const resolveOutcome = defineTool({
  name: 'resolve_outcome',
  title: 'Resolve Outcome',
  description:
    'Say how a recorded decision turned out, or say it anew: all sums follow, and every earlier outcome is kept. The word of a stronger source stands: ground_truth, then code_check, human, llm_judge.',
  // Nothing is lost: every outcome is kept, with what was known before.
  effect: 'write',
  hints: completing,
  input: z.object({
    decision: nameField('Its uid.'),
    outcome: z.number().min(0).max(1).describe('0 failed, 1 succeeded, or between.'),
    source: z.enum(sources).describe('Who judged it.'),
    evaluator: nameField('Name of the judge or check.').optional(),
    error_kind: z.enum(errorKinds).optional().describe('What went wrong.'),
  }),
  output: z.object({
    effect: z
      .enum(['first', 'revised', 'kept_beside', 'unchanged'])
      .describe('kept_beside: a stronger source stands. unchanged: this was known.'),
    outcome: z.number().describe('What counts now.'),
    source: z.enum(sources).describe('Whose it is.'),
    change: changeOut,
  }),
  async handler({ decision, outcome, source, evaluator, error_kind: kind }, store: Store, { caller, nowMs }) {
    if (outcome === 1 && kind !== undefined) {
      throw new ToolError('invalid_input', 'error_kind is given, and the outcome is a success.');
    }
    const resolved = await store.resolve({
      owner: caller,
      nowMs,
      uid: decision,
      outcome: outcome + 0,
      source: sources.indexOf(source),
      errorKind: kind === undefined ? null : errorKinds.indexOf(kind),
      evaluator: evaluator ?? null,
    });
    return { ...resolved, source: sources[resolved.source] ?? source };
  },
});
