import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { toldBriefly } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { metrics } from '../analysis/findings.ts';
import { freshened, type Comparing } from '../comparing.ts';
import {
  figureBriefly,
  figureOut,
  judgedByField,
  lineOf,
  mainKeys,
  marginField,
  modelField,
  placesOf,
  seedField,
  sourceField,
  taskTypeField,
} from '../fields.ts';

/** Looking so often at one comparison makes a single p-value misleading. */
const manyLooks = 3;

export const compareModels = defineTool({
  name: 'compare_models',
  title: 'Compare Models',
  description:
    'Is a better than b? Difference a − b with interval and verdict (better, worse, equivalent, inconclusive; if inconclusive, how many are needed in all). Pairs items that both did.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    a: modelField('Key of a model, or client:NAME.'),
    b: modelField('The other, of the same kind.'),
    source: sourceField,
    metric: z
      .enum(metrics)
      .default('success')
      .describe('brier is (confidence − outcome)². Of cost_usd, latency_ms and brier, lower is better.'),
    paired: z.enum(['auto', 'yes', 'no']).default('auto').describe('By items that both did.'),
    margin: marginField,
    task_type: taskTypeField,
    judged_by: judgedByField,
    seed: seedField,
  }),
  output: toldBriefly(
    figureOut.extend({
      a: figureBriefly('Of a alone.'),
      b: figureBriefly('Of b alone.'),
      p_value: z.number().nullable().describe('Two-sided; for one look.'),
      e_value: z.number().nullable().describe('For repeated looks: 20 or more is significant whenever seen.'),
    }),
    ...mainKeys,
    'p_value',
    'e_value',
  ),
  text: (answer) => [lineOf(answer, 'a − b'), JSON.stringify(answer)],
  async handler(
    { a, b, source, metric, paired, margin, task_type: taskType, judged_by: judgedBy, seed },
    deps: Comparing,
    call,
  ) {
    const warnings = await freshened(deps, source, call);
    const request = { from: source, metric, paired, margin, taskType, sources: placesOf(judgedBy), seed };
    const {
      keys,
      variance: _,
      ...found
    } = await deps.store.analyse('compare', { a, b, ...request, nowMs: call.nowMs }, call);
    const looks = await deps.store
      .write(
        'keepComparison',
        [call.caller, ...keys, JSON.stringify(request), found.snapshot_id, JSON.stringify(found), call.nowMs],
        call,
      )
      .catch((error: unknown) => {
        if (!(error instanceof ToolError)) throw error;
        return 0;
      });
    return {
      ...found,
      warnings: [
        ...warnings,
        ...found.warnings,
        ...(looks >= manyLooks
          ? [`Looked at in ${looks} states of the data: p_value holds for one look, e_value for all.`]
          : []),
      ],
    };
  },
});
