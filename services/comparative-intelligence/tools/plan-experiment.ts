import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { toldBriefly } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';
import { detectable, equivalenceItems, pairedItems, powerOf } from '#statistics/power.ts';

import { freshened, type Comparing } from '../comparing.ts';
import { figureOut, lineOf, modelField, taskTypeField } from '../fields.ts';
import { figure } from '../figure.ts';

const smallestDelta = 1e-5;

export const planExperiment = defineTool({
  name: 'plan_experiment',
  title: 'Plan Experiment',
  description:
    'How many items a comparison needs to show a difference delta, or what a number of items can show. With a and b, the spread is taken from what is known of them.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    delta: z
      .number()
      .min(1e-4)
      .max(1e6)
      .optional()
      .describe('Difference to be seen, such as 0.03. Or give items.'),
    items: z.int().min(2).max(1_000_000_000).optional().describe('Items there are.'),
    power: z.number().min(0.01).max(0.999).default(0.8).describe('Chance to see it.'),
    alpha: z.number().min(1e-6).max(0.5).default(0.05).describe('Chance of a false alarm, two-sided.'),
    paired: z.boolean().default(true).describe('Both models do the same items.'),
    rate: z.number().min(0).max(1).default(0.5).describe('Success rate of the one there is.'),
    variance: z
      .number()
      .min(0)
      .max(1e12)
      .optional()
      .describe('Of paired differences, or the sum of both variances.'),
    comparisons: z.int().min(1).max(10_000).default(1).describe('So many at once: alpha is divided by it.'),
    equivalence: z.boolean().default(false).describe('To show that they differ by less than delta.'),
    a: modelField('Takes the spread from data, with b.').optional(),
    b: modelField('The other.').optional(),
    task_type: taskTypeField,
  }),
  output: toldBriefly(
    figureOut.extend({
      delta: z.number().describe('Difference that is seen.'),
      power: z.number().describe('With this chance.'),
      alpha_each: z.number().describe('alpha of each comparison.'),
      variance: z.number().describe('That it was reckoned with.'),
    }),
    'value',
    'delta',
    'power',
    'warnings',
  ),
  text: (answer) => [lineOf(answer, 'Items needed'), JSON.stringify(answer)],
  async handler(args, deps: Comparing, call) {
    const { delta, items, power, paired, rate, a, b, equivalence } = args;
    if (delta === undefined && items === undefined)
      throw new ToolError('invalid_input', 'Give delta or items.');
    if ((a === undefined) !== (b === undefined))
      throw new ToolError('invalid_input', 'Give both a and b, or neither.');
    const { spread, warnings, mix, n } =
      a === undefined || b === undefined ? assumed(args) : await observed({ ...args, a, b }, deps, call);
    const alpha = args.alpha / args.comparisons;
    const aim = { alpha, power };
    const seen = delta ?? detectable(items ?? 2, spread, aim);
    const toSee = (variance: number) => {
      if (variance === 0) return 2;
      return equivalence ? equivalenceItems(seen, 0, variance, aim) : pairedItems(seen, variance, aim);
    };
    // A difference of nearly nothing has no number of items that anybody could have.
    const needed = seen > smallestDelta ? Math.max(2, Math.ceil(toSee(spread))) : Infinity;
    const given =
      delta === undefined ? power : items === undefined ? power : powerOf(items, seen, spread, alpha);
    const isKnown = Number.isFinite(needed);
    return {
      ...figure(deps.store.reading.snapshot(call.nowMs), {
        value: isKnown ? needed : undefined,
        n,
        method: `${equivalence ? '(z₁₋α + z)²·variance/delta², two one-sided tests' : '(z_{α/2} + z_β)²·variance/delta²'}, ${paired ? 'items that both do' : 'items of each model'}`,
        mix,
        warnings: [
          ...warnings,
          ...(isKnown && needed < 30
            ? ['So few items make intervals that lean on the normal distribution: plan for 30.']
            : []),
          ...(!paired && rate + seen > 1 && a === undefined
            ? ['rate + delta is above 1: the rate of the other is taken as 1.']
            : []),
        ],
      }),
      delta: seen,
      power: Number(given.toPrecision(6)),
      alpha_each: alpha,
      variance: spread,
    };
  },
});

interface Spread {
  readonly spread: number;
  readonly warnings: string[];
  readonly mix: Record<string, number>;
  readonly n: number;
}

/** Of two independent rates; paired ones differ by less, unless they go against each other. */
function assumed({
  variance,
  rate,
  delta = 0,
  paired,
}: {
  variance?: number | undefined;
  rate: number;
  delta?: number | undefined;
  paired: boolean;
}): Spread {
  const none = { mix: {}, n: 0 };
  if (variance !== undefined) return { ...none, spread: variance, warnings: [] };
  const other = Math.min(1, rate + delta);
  return {
    ...none,
    spread: rate * (1 - rate) + other * (1 - other),
    warnings: paired
      ? [
          'The spread is that of independent outcomes: models that mostly agree need fewer items. Give variance, or a and b.',
        ]
      : [],
  };
}

async function observed(
  {
    a,
    b,
    paired,
    task_type: taskType,
  }: { a: string; b: string; paired: boolean; task_type?: string | undefined },
  deps: Comparing,
  call: Parameters<typeof freshened>[2] & { caller: string },
): Promise<Spread> {
  const warnings = await freshened(deps, undefined, call);
  const found = await deps.store.analyse(
    'compare',
    {
      a,
      b,
      from: undefined,
      metric: 'success',
      paired: paired ? 'auto' : 'no',
      margin: undefined,
      taskType,
      sources: undefined,
      seed: 1,
      nowMs: call.nowMs,
    },
    call,
  );
  return {
    spread: found.variance,
    n: found.n,
    mix: found.source_mix,
    warnings: [...warnings, `The spread is that of ${found.n} outcomes: ${found.method}.`],
  };
}
