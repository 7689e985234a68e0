/** What is left of an error budget. Pure. */
import { badOf, burnRate, period, windowsMs, type Counts, type WindowCounts } from './burn.ts';

export interface Budget {
  /** Share of events that may fail: 1 - target, above 0 and below 1. */
  readonly ratio: number;
  /** The same as time of the whole period, in milliseconds: 43 min 12 s for 99.9 % of 30 days. */
  readonly allowedMs: number;
  /** Events that may fail among those that are known, and those that did; parts of events where only sums are kept. */
  readonly allowedEvents: number;
  readonly badEvents: number;
  /** Share of the budget that is left, 1 when nothing is spent, below 0 when more is; `null` where too little is known. */
  readonly remaining: number | null;
  /** How much of the period is known, from 0 to 1: the figures above are of this part. */
  readonly known: number;
}

/** Of less than this, three lost polls would be a budget spent many times over. */
export const leastKnownMs = windowsMs['1h'];

/**
 * The budget of one period. `counts` are of the period; `target` is the share that must go well, above 0 and below 1.
 *
 * Remaining = 1 - bad / (total x (1 - target)), which is 1 - burn rate of the period. Sources: The Site Reliability Workbook,
 * chapter 2, "Error budget"; Sloth's `slo:period_error_budget_remaining:ratio` is the same.
 */
export function budgetOf(counts: WindowCounts, target: number): Budget {
  const ratio = 1 - target;
  const burnt = burnRate(counts, target);
  return {
    ratio,
    allowedMs: allowedMs(target),
    allowedEvents: counts.total * ratio,
    badEvents: badOf(counts),
    remaining: burnt === null || counts.knownMs < leastKnownMs ? null : 1 - burnt,
    known: Math.min(1, counts.knownMs / windowsMs[period]),
  };
}

/** Milliseconds of the period that may fail: (1 - target) x period. */
export function allowedMs(target: number): number {
  return (1 - target) * windowsMs[period];
}

/** Counts of several sources as those of one. `knownMs` is that of the source that is known best: somebody looked. */
export function together(parts: readonly WindowCounts[]): WindowCounts {
  return {
    ...parts.reduce<Counts>((sum, { good, total }) => ({ good: sum.good + good, total: sum.total + total }), {
      good: 0,
      total: 0,
    }),
    knownMs: Math.max(0, ...parts.map(({ knownMs }) => knownMs)),
  };
}
