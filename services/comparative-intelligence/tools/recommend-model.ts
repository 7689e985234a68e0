import { randomInt } from 'node:crypto';

import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { toldBriefly } from '#runtime/fields.ts';
import { adding } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { freshened, type Comparing } from '../comparing.ts';
import {
  figureOut,
  figureShape,
  judgedByField,
  kindField,
  modelsField,
  nameField,
  placesOf,
  sourceField,
} from '../fields.ts';
import { minOutcomes } from '../limits.ts';

const mostCandidates = 50;
const weight = (initial: number, description: string) =>
  z.number().min(0).max(1e6).default(initial).describe(description);

const candidateOut = toldBriefly(
  z.object({
    model: z.string().describe('Its key.'),
    p_best: z.number().describe('Chance to be best.'),
    expected_loss: z.number().describe('Mean utility lost if another is best.'),
    quality: figureOut.describe('Success rate.'),
    mean_cost_usd: z.number().nullable().describe('Mean cost.'),
    mean_latency_ms: z.number().nullable().describe('Mean latency.'),
  }),
  'model',
  'p_best',
  'expected_loss',
);

export const recommendModel = defineTool({
  name: 'recommend_model',
  title: 'Recommend Model',
  description:
    'Which model to take for a kind of task, weighing quality, cost and latency. The choice is logged with its propensity: record that with the decision, and evaluate_policy can judge other ways to choose.',
  effect: 'write',
  untrusted: 'bounded',
  hints: adding,
  input: z.object({
    task_type: nameField('Kind of task.'),
    kind: kindField,
    models: modelsField,
    weights: z
      .strictObject({
        quality: weight(1, 'Of the success rate.'),
        cost: weight(0, 'Of mean cost over that of the dearest.'),
        latency: weight(0, 'Of mean latency over that of the slowest.'),
      })
      .default({ quality: 1, cost: 0, latency: 0 })
      .describe('What matters how much.'),
    budget_usd: z.number().min(0).max(1e6).optional().describe('Most that a decision may cost on average.'),
    explore: z
      .boolean()
      .default(false)
      .describe('Draws by chance to be best (Thompson), so that the others are tried as well.'),
    source: sourceField,
    judged_by: judgedByField,
    seed: z
      .int()
      .min(0)
      .max(Number.MAX_SAFE_INTEGER)
      .optional()
      .describe('Repeats a choice; any unless given.'),
  }),
  output: toldBriefly(
    z.object({
      recommendation_id: z.int().optional().describe('Under which it is logged.'),
      chosen: z.string().nullable().describe(`null: none has ${minOutcomes} outcomes.`),
      p_best: z.number().describe('Chance that it is the best.'),
      expected_loss: z.number().describe('Mean utility lost if it is not.'),
      propensity: z.number().describe('Chance with which it was chosen.'),
      reason: z.string().describe('Why.'),
      needed_n: z.int().optional().describe('Outcomes needed of one at least.'),
      candidates: z.array(candidateOut).describe('Best first.'),
      excluded: z
        .array(z.object({ model: z.string().describe('Its key.'), reason: z.string().describe('Why.') }))
        .describe('Not candidates.'),
      seed: z.int().describe('Of the draws.'),
      method: figureShape.method,
      source_mix: figureShape.source_mix,
      as_of: figureShape.as_of,
      snapshot_id: figureShape.snapshot_id,
      warnings: figureShape.warnings,
    }),
    'chosen',
    'p_best',
    'expected_loss',
    'propensity',
    'reason',
    'needed_n',
    'candidates',
    'warnings',
  ),
  text: (answer) => [answer.reason, JSON.stringify(answer)],
  async handler(args, deps: Comparing, call) {
    const { task_type: taskType, weights, kind, models, explore } = args;
    if (weights.quality + weights.cost + weights.latency === 0) {
      throw new ToolError('invalid_input', 'All weights are 0: nothing matters.');
    }
    const warnings = await freshened(deps, args.source, call);
    const seed = args.seed ?? randomInt(2 ** 47);
    const found = await deps.store.analyse(
      'recommend',
      {
        from: args.source,
        kind,
        taskType,
        models,
        sources: placesOf(args.judged_by),
        weights,
        budget: args.budget_usd,
        explore,
        seed,
        nowMs: call.nowMs,
      },
      call,
    );
    const { chosen, p_best: best, expected_loss: loss, propensity, reason, snapshot_id: snapshot } = found;
    const id =
      chosen === null
        ? undefined
        : await deps.store.write(
            'keepRecommendation',
            {
              owner: call.caller,
              taskType,
              chosen,
              best,
              loss,
              propensity,
              reason,
              params: JSON.stringify({ weights, kind, models, explore, budget: args.budget_usd }),
              seed,
              snapshot,
              atMs: call.nowMs,
            },
            call,
          );
    return {
      ...(id !== undefined && { recommendation_id: id }),
      ...found,
      candidates: found.candidates.slice(0, mostCandidates),
      excluded: found.excluded.slice(0, mostCandidates),
      seed,
      warnings: [...warnings, ...found.warnings],
    };
  },
});
