/** Two independent rates: x₁ of n₁ against x₂ of n₂. The difference is p₁ − p₂, from −1 to 1. */
import { chiSquareUpper } from './distributions.ts';
import { wilson, type Interval } from './rates.ts';

export interface Rate {
  readonly successes: number;
  readonly trials: number;
}

/**
 * Newcombe 1998, method 10: the Wilson bounds l, u of both rates joined by square-and-add,
 * from d − √((p₁−l₁)² + (u₂−p₂)²) to d + √((u₁−p₁)² + (p₂−l₂)²).
 */
export function newcombe(one: Rate, other: Rate, level = 0.95): Interval {
  const [lower1, upper1] = wilson(one.successes, one.trials, level);
  const [lower2, upper2] = wilson(other.successes, other.trials, level);
  const rate1 = one.successes / one.trials;
  const rate2 = other.successes / other.trials;
  return [
    rate1 - rate2 - Math.hypot(rate1 - lower1, upper2 - rate2),
    rate1 - rate2 + Math.hypot(upper1 - rate1, rate2 - lower2),
  ];
}

/** The two-sided p-value of "the rates are equal": Pearson's chi-square with (N−1)/N in place of 1 (Campbell 2007). */
export function equalRatesP(one: Rate, other: Rate): number {
  wilson(one.successes, one.trials);
  wilson(other.successes, other.trials);
  const trials = one.trials + other.trials;
  const pooled = (one.successes + other.successes) / trials;
  if (pooled === 0 || pooled === 1) return 1;
  const difference = one.successes / one.trials - other.successes / other.trials;
  const variance = pooled * (1 - pooled) * (1 / one.trials + 1 / other.trials);
  return chiSquareUpper(((difference * difference) / variance) * ((trials - 1) / trials), 1);
}
