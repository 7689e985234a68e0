/** One step at a time: a tool for each type. */
import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { storable } from '#runtime/fields.ts';
import { adding } from '#runtime/hints.ts';
import { defineTool, type Call } from '#runtime/tool.ts';

import { confidence, contentField, seqField, shortText, stepFields, stepOutput } from '../fields.ts';
import { maxContentLength, maxDetailLength, maxOptions, maxPremises } from '../limits.ts';
import { notEarlier } from '../steps/check.ts';
import {
  aliases,
  detailText,
  faultOfDetail,
  provNumber,
  typeNumber,
  types,
  type Detail,
  type Provenance,
  type StepType,
} from '../steps/step.ts';
import type { Store } from '../store/store.ts';

interface Given {
  readonly chain_id: string;
  readonly seq?: number | undefined;
  readonly parent_seq?: number | undefined;
  readonly provenance: Provenance;
  readonly attrs?: Readonly<Record<string, unknown>> | undefined;
}

async function captured(
  store: Store,
  call: Call,
  given: Given,
  type: StepType,
  content: string,
  more: Detail & { readonly confidence?: number | undefined; readonly subtype?: string | undefined } = {},
) {
  const { confidence: stated, subtype, ...detail } = more;
  const { chain_id: chain, seq, parent_seq: parent, provenance, attrs } = given;
  const fault =
    faultOfDetail(detail) ??
    (seq !== undefined && parent !== undefined && parent >= seq ? notEarlier : undefined);
  if (fault !== undefined) throw new ToolError('invalid_input', `${fault}.`);
  const text = detailText({ ...detail, attrs });
  if (text !== undefined && text.length > maxDetailLength)
    throw new ToolError(
      'too_large',
      `What belongs to the step has ${text.length} characters; at most ${maxDetailLength} are kept.`,
      {
        hint: 'Shorten it, or split it into several steps.',
      },
    );
  const { seq: number, isDuplicate } = await store.step(call, {
    chain,
    seq,
    type: typeNumber(type),
    subtype,
    atUs: call.nowMs * 1_000,
    parent,
    confidence: stated,
    prov: provNumber(provenance),
    content,
    detail: text,
  });
  return {
    chain_id: chain,
    seq: number,
    durable: true as const,
    ...(isDuplicate && { duplicate: true as const }),
  };
}

export const captureReasoningStep = defineTool({
  name: 'capture_reasoning_step',
  title: 'Capture Reasoning Step',
  description:
    'Keep one step that a model stated. For options use capture_decision_point, for conclusions capture_inference, for many steps capture_batch.',
  effect: 'write',
  hints: adding,
  needsNoPlace: true,
  input: z.object({
    ...stepFields,
    content: contentField('What was stated.'),
    type: z
      .enum([...types, ...aliases])
      .default('analysis')
      .describe('plan, observation and action are kept as kinds of analysis.'),
    confidence,
  }),
  output: stepOutput,
  async handler({ content, type, confidence: stated, ...given }, store: Store, call) {
    const own = types.find((name) => name === type);
    const more = { confidence: stated, ...(own === undefined && { subtype: type }) };
    return captured(store, call, given, own ?? 'analysis', content, more);
  },
});

export const captureDecisionPoint = defineTool({
  name: 'capture_decision_point',
  title: 'Capture Decision Point',
  description: 'Keep a choice among named options.',
  effect: 'write',
  hints: adding,
  needsNoPlace: true,
  input: z.object({
    ...stepFields,
    question: contentField('What was to be decided.'),
    options: z
      .array(
        z.strictObject({
          label: storable(z.string().min(1).max(maxContentLength)).describe('Names the option.'),
          score: z.number().optional().describe('How it was rated.'),
        }),
      )
      .min(1)
      .max(maxOptions)
      .describe('What there was to choose from.'),
    chosen: storable(z.string().min(1).max(maxContentLength)).describe('Label of the chosen one.'),
    reasoning: contentField('Why, as stated.').optional(),
    confidence,
  }),
  output: stepOutput,
  async handler({ question, options, chosen, reasoning, confidence: stated, ...given }, store: Store, call) {
    return captured(store, call, given, 'decision', question, {
      options,
      chosen,
      reasoning,
      confidence: stated,
    });
  },
});

export const captureInference = defineTool({
  name: 'capture_inference',
  title: 'Capture Inference',
  description: 'Keep a conclusion with its premises.',
  effect: 'write',
  hints: adding,
  needsNoPlace: true,
  input: z.object({
    ...stepFields,
    premises: z
      .array(shortText('A premise.', maxContentLength))
      .min(1)
      .max(maxPremises)
      .describe('What it rests on.'),
    conclusion: contentField('What was inferred.'),
    confidence,
  }),
  output: stepOutput,
  async handler({ premises, conclusion, confidence: stated, ...given }, store: Store, call) {
    return captured(store, call, given, 'inference', conclusion, { premises, confidence: stated });
  },
});

const { parent_seq: _, ...reflectionFields } = stepFields;

export const captureReflection = defineTool({
  name: 'capture_reflection',
  title: 'Capture Reflection',
  description: 'Keep a statement of the model about its own reasoning.',
  effect: 'write',
  hints: adding,
  needsNoPlace: true,
  input: z.object({
    ...reflectionFields,
    reflection: contentField('What was stated.'),
    about_seq: seqField.optional().describe('The earlier step that it is about.'),
  }),
  output: stepOutput,
  async handler({ reflection, about_seq: about, ...given }, store: Store, call) {
    return captured(store, call, { ...given, parent_seq: about }, 'reflection', reflection);
  },
});
