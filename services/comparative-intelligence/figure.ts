/** Figures that say what they mean, and how many items would say it. */
import type { Interval } from '#statistics/rates.ts';
import { zOf } from '#statistics/distributions.ts';
import { figure as made, type About, type Figure as Made } from '#statistics/figure.ts';
import { equivalenceItems, pairedItems } from '#statistics/power.ts';

import { minItems } from './limits.ts';
import type { Verdict } from './vocabulary.ts';

export interface Figure extends Made {
  readonly verdict?: Verdict;
  readonly needed_n?: number;
}

/** Which state of the data something was read from. */
export interface Snapshot {
  /** The last battle, and the last change of model-profile, that are in it. */
  readonly battles: number;
  readonly change: number;
  readonly atMs: number;
}

export const snapshotId = ({ battles, change }: Pick<Snapshot, 'battles' | 'change'>): string =>
  `battle:${battles},change:${change}`;

export function figure(
  snapshot: Snapshot,
  {
    verdict,
    neededN,
    ...about
  }: About & { readonly verdict?: Verdict | undefined; readonly neededN?: number | undefined },
): Figure {
  const state = { as_of: new Date(snapshot.atMs).toISOString(), snapshot_id: snapshotId(snapshot) };
  return {
    ...made(state, about),
    ...(verdict !== undefined && { verdict }),
    ...(neededN !== undefined && { needed_n: neededN }),
  };
}

/**
 * Equivalent only if the whole interval lies within ±margin; better or worse if it excludes 0; otherwise nothing is decided. With fewer than
 * the smallest number of items nothing is, whatever the interval says.
 */
export function verdictOf(
  [lower, upper]: Interval,
  n: number,
  {
    margin,
    isLowerBetter = false,
  }: { readonly margin?: number | undefined; readonly isLowerBetter?: boolean },
): Verdict {
  if (n < minItems || Number.isNaN(lower) || Number.isNaN(upper)) return 'inconclusive';
  if (margin !== undefined && lower > -margin && upper < margin) return 'equivalent';
  if (lower > 0) return isLowerBetter ? 'worse' : 'better';
  if (upper < 0) return isLowerBetter ? 'better' : 'worse';
  return 'inconclusive';
}

/**
 * How many items would decide, with 80 % power: to show the difference that was seen, or to show it to be within the margin, whichever is
 * fewer. `undefined` where nothing seen so far tells.
 */
export function neededFor(
  delta: number,
  variance: number,
  n: number,
  margin: number | undefined,
): number | undefined {
  if (!Number.isFinite(variance)) return n < minItems ? minItems : undefined;
  const toDiffer = Math.abs(delta) > 1e-6 ? pairedItems(delta, variance) : Infinity;
  const z = zOf(0.95);
  const toAgree =
    margin === undefined
      ? Infinity
      : variance > 0
        ? equivalenceItems(margin, delta, variance)
        : // Outcomes that never differ: what the score interval leaves is z²/(n + z²).
          margin < 1
          ? z * z * (1 / margin - 1)
          : minItems;
  const needed = Math.ceil(Math.min(toDiffer, toAgree));
  if (!Number.isFinite(needed)) return n < minItems ? minItems : undefined;
  return Math.max(needed, minItems, n + 1);
}
