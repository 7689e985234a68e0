import { z } from 'zod';

import { toldBriefly } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { freshened, type Comparing } from '../comparing.ts';
import {
  figureBriefly,
  figureMain,
  figureOut,
  judgedByField,
  kindField,
  lineOf,
  marginField,
  modelField,
  nameField,
  placesOf,
  taskTypeField,
} from '../fields.ts';
import { maxListed } from '../limits.ts';

const chance = (description: string) => z.number().min(0).max(1).describe(description);

export const evaluatePolicy = defineTool({
  name: 'evaluate_policy',
  title: 'Evaluate Policy',
  description:
    'What another way to choose models would have earned, from decisions whose propensity was recorded: before it is tried. Doubly robust, self-normalised and inverse propensity, against what was earned.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    policy: z
      .array(
        z.strictObject({
          model: modelField('Key.'),
          probability: chance('With which it is chosen; they sum to 1.'),
          task_type: nameField('For this kind alone.').optional(),
        }),
      )
      .min(1)
      .max(1_000)
      .describe('The way to choose.'),
    log: z
      .array(
        z.strictObject({
          model: modelField('Chosen then.'),
          propensity: z.number().min(1e-9).max(1).describe('With this chance.'),
          reward: z.number().min(-1e9).max(1e9).describe('What it earned.'),
          task_type: nameField('Kind of task.').optional(),
        }),
      )
      .min(1)
      .max(maxListed)
      .optional()
      .describe('In place of the decisions of model-profile.'),
    kind: kindField,
    task_type: taskTypeField,
    judged_by: judgedByField,
    margin: marginField,
  }),
  output: z.object({
    value: figureMain('Mean reward, doubly robust.'),
    self_normalised: figureBriefly('The same, self-normalised.'),
    inverse_propensity: figureBriefly('The same, by inverse propensity.'),
    logged: figureBriefly('What was earned.'),
    difference: toldBriefly(figureOut, 'value', 'verdict').describe('Value less logged.'),
    effective_n: z.number().describe('So many decisions of its own would tell as much.'),
  }),
  text: (answer) => [
    `${lineOf(answer.value, 'Value')} ${lineOf(answer.difference, 'Against the logged policy')}`,
    JSON.stringify(answer),
  ],
  async handler(
    { policy, log, kind, task_type: taskType, judged_by: judgedBy, margin },
    deps: Comparing,
    call,
  ) {
    const warnings = log ? [] : await freshened(deps, 'decisions', call);
    const found = await deps.store.analyse(
      'policy',
      { kind, policy, taskType, sources: placesOf(judgedBy), margin, log, nowMs: call.nowMs },
      call,
    );
    return { ...found, value: { ...found.value, warnings: [...warnings, ...found.value.warnings] } };
  },
});
