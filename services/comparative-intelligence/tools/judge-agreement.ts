import { z } from 'zod';

import { toldBriefly } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import type { Comparing } from '../comparing.ts';
import { figureMain, figureOut, kindField, lineOf, nameField, seedField, taskTypeField } from '../fields.ts';
import { maxListed, maxResamples } from '../limits.ts';

export const judgeAgreement = defineTool({
  name: 'judge_agreement',
  title: 'Judge Agreement',
  description:
    "Whether judges of the same battles agree (Krippendorff's α, Cohen's κ of each two), and with themselves when the answers change places. Or of any labels that are given.",
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    judges: z.array(nameField('Name.')).min(1).max(50).optional().describe('Only these; all unless given.'),
    labels: z
      .array(
        z.strictObject({
          item: nameField('What was judged.'),
          judge: nameField('By whom.'),
          label: nameField('How.'),
        }),
      )
      .max(maxListed)
      .optional()
      .describe('In place of battles.'),
    kind: kindField,
    task_type: taskTypeField,
    resamples: z.int().min(50).max(maxResamples).default(1_000).describe('Samples of the bootstrap.'),
    seed: seedField,
  }),
  output: z.object({
    alpha: figureMain("Krippendorff's α over all."),
    pairs: z
      .array(
        toldBriefly(
          figureOut.extend({
            judges: z.array(z.string()).describe('The two.'),
            observed: z.number().describe('Share of the same labels.'),
          }),
          'judges',
          'value',
        ),
      )
      .describe("Cohen's κ, most common items first."),
    swaps: z
      .array(
        toldBriefly(
          figureOut.extend({
            judge: z.string().describe('Whose.'),
            first_wins_p: z.number().describe('p of "the order does not matter".'),
          }),
          'judge',
          'value',
        ),
      )
      .describe('Share judged the same in both orders.'),
  }),
  text: (answer) => [lineOf(answer.alpha, "Krippendorff's α"), JSON.stringify(answer)],
  async handler({ judges, labels, kind, task_type: taskType, resamples, seed }, { store }: Comparing, call) {
    const found = await store.analyse(
      'agreement',
      { kind, taskType, judges, labels, seed, resamples, nowMs: call.nowMs },
      call,
    );
    return found;
  },
});
