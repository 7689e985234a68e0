/**
 * Intervals for one rate: x successes in n trials, both counts. Outcomes between 0 and 1 may be summed to an x that is no whole number.
 * Each function returns the bounds as rates from 0 to 1. Brown, Cai and DasGupta 2001 compare the three.
 */
import { betaQuantile, within, zOf } from './distributions.ts';

/** Bounds, lower first, in the unit of what they bound. */
export type Interval = readonly [lower: number, upper: number];

function checked(successes: number, trials: number): void {
  if (!(trials > 0 && trials < Infinity)) {
    throw new RangeError(`A rate needs at least one trial, not ${trials}.`);
  }
  within('Successes', successes, 0, trials);
}

/**
 * Wilson 1927, the score interval: centre (p + z²/2n)/(1 + z²/n), half-width z/(1 + z²/n)·√(p(1−p)/n + z²/4n²).
 * Good from the smallest n on; the one to use unless there is a reason for another.
 */
export function wilson(successes: number, trials: number, level = 0.95): Interval {
  checked(successes, trials);
  const z = zOf(level);
  const rate = successes / trials;
  const shrink = 1 + (z * z) / trials;
  const centre = (rate + (z * z) / (2 * trials)) / shrink;
  const half = (z / shrink) * Math.sqrt((rate * (1 - rate)) / trials + (z * z) / (4 * trials * trials));
  return [
    successes === 0 ? 0 : Math.max(0, centre - half),
    successes === trials ? 1 : Math.min(1, centre + half),
  ];
}

/** Jeffreys: quantiles of Beta(x+½, n−x+½); the lower bound is 0 for x = 0, the upper 1 for x = n. */
export function jeffreys(successes: number, trials: number, level = 0.95): Interval {
  checked(successes, trials);
  const tail = (1 - within('A confidence level', level, 0, 1)) / 2;
  const [a, b] = [successes + 0.5, trials - successes + 0.5];
  return [
    successes === 0 ? 0 : betaQuantile(tail, a, b),
    successes === trials ? 1 : betaQuantile(1 - tail, a, b),
  ];
}

/** Clopper and Pearson 1934, "exact": covers at least at its level for every rate, so it is wider than it need be. */
export function clopperPearson(successes: number, trials: number, level = 0.95): Interval {
  checked(successes, trials);
  const tail = (1 - within('A confidence level', level, 0, 1)) / 2;
  return [
    successes === 0 ? 0 : betaQuantile(tail, successes, trials - successes + 1),
    successes === trials ? 1 : betaQuantile(1 - tail, successes + 1, trials - successes),
  ];
}

/** The one-sided exact upper bound for a rate: what 0 failures in 30 trials still allow (0.0950 at 0.95). */
export function upperBound(successes: number, trials: number, level = 0.95): number {
  checked(successes, trials);
  return successes === trials ? 1 : betaQuantile(level, successes + 1, trials - successes);
}
