/** `flotilla slo`: how much of each error budget is left, and how fast it burns. */
import { z } from 'zod';

import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

import { askHealth } from '../ask-health.ts';
import { table } from '../table.ts';

const figure = z.number().nullable();
const answerSchema = z.looseObject({
  objectives: z.array(
    z.looseObject({
      id: z.string(),
      target: z.number(),
      events: z.string(),
      state: z.enum(['ok', 'burning', 'spent', 'unknown']),
      budget: z.looseObject({ remaining: figure, known: z.number() }),
      windows: z.record(z.string(), z.looseObject({ errorRatio: figure, burnRate: figure })),
    }),
  ),
  troubles: z.array(z.string()),
});

export async function slo(options: { readonly json?: boolean }, environment: Environment): Promise<void> {
  const answer = await askHealth(parseHostSettings(environment), '/slo', answerSchema);
  if (options.json) {
    process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`);
    return;
  }
  const rows = answer.objectives
    .toSorted((one, other) => (one.budget.remaining ?? 2) - (other.budget.remaining ?? 2))
    .map(({ id, target, events, state, budget, windows }) => [
      id,
      `${percent(target)} ${events}`,
      state,
      budget.remaining === null ? 'unknown' : percent(budget.remaining),
      rate(windows['1h']?.burnRate),
      rate(windows['6h']?.burnRate),
      rate(windows['3d']?.burnRate),
      percent(budget.known),
    ]);
  process.stdout.write(
    table(['objective', 'target', 'is', 'budget left', 'burns 1h', '6h', '3d', 'of 30 d known'], rows),
  );
  for (const trouble of answer.troubles) process.stdout.write(`! ${trouble}\n`);
}

/** Up to three places after the point, and no zeros there that say nothing. */
const percent = (share: number) => `${Number((100 * share).toFixed(3))} %`;
const rate = (value: number | null | undefined) =>
  value === null || value === undefined ? '' : value.toFixed(1);
