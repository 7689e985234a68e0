/** Success rates as Beta distributions: a prior, and what was seen. Used to choose among models, with the chance that the choice is wrong. */
import { betaCdf, betaQuantile, logBeta, within } from './distributions.ts';
import type { Random } from './random.ts';

export interface Beta {
  readonly a: number;
  readonly b: number;
}

const uniform: Beta = { a: 1, b: 1 };

/** Beta(1, 1) and 7 successes, 3 failures is Beta(8, 4), whose mean is 8/12. */
export function posterior(successes: number, failures: number, prior: Beta = uniform): Beta {
  within('Successes', successes, 0, 1e12);
  within('Failures', failures, 0, 1e12);
  return { a: prior.a + successes, b: prior.b + failures };
}

export const meanOf = ({ a, b }: Beta): number => a / (a + b);

/** So many terms are summed; beyond it, the integral is computed. */
const mostTerms = 5_000;

/**
 * Pr(B > A) for independent rates. With whole α_B the sum Σ_{i<α_B} B(α_A+i, β_A+β_B)/((β_B+i)·B(1+i, β_B)·B(α_A, β_A)); else, and
 * for large ones, ∫ F_A f_B by tanh-sinh quadrature.
 */
export function chanceOfMore(one: Beta, other: Beta): number {
  if (!Number.isInteger(other.a) || other.a > mostTerms) return integrated(one, other);
  let sum = 0;
  for (let i = 0; i < other.a; i += 1) {
    sum += Math.exp(
      logBeta(one.a + i, one.b + other.b) -
        Math.log(other.b + i) -
        logBeta(1 + i, other.b) -
        logBeta(one.a, one.b),
    );
  }
  return Math.min(1, sum);
}

function integrated(one: Beta, other: Beta): number {
  // Where all but 1e-13 of B lies.
  const from = betaQuantile(1e-13, other.a, other.b);
  const to = betaQuantile(1 - 1e-13, other.a, other.b);
  const step = 1 / 64;
  let sum = 0;
  for (let k = -260; k <= 260; k += 1) {
    const t = k * step;
    const u = (Math.PI / 2) * Math.sinh(t);
    const share = 1 / (1 + Math.exp(-2 * u));
    const x = from + (to - from) * share;
    if (x <= 0 || x >= 1) continue;
    const weight = ((to - from) * (Math.PI / 4) * step * Math.cosh(t)) / Math.cosh(u) ** 2;
    const density = Math.exp(
      (other.a - 1) * Math.log(x) + (other.b - 1) * Math.log1p(-x) - logBeta(other.a, other.b),
    );
    if (weight > 0 && density < Infinity) sum += weight * density * betaCdf(x, one.a, one.b);
  }
  return Math.min(1, sum);
}

/** What choosing `chosen` costs on average, as a rate, where `other` would have been better: E[max(θ_other − θ_chosen, 0)]. */
export function expectedLoss(chosen: Beta, other: Beta): number {
  const moreOf = (beta: Beta) => ({ a: beta.a + 1, b: beta.b });
  const loss =
    meanOf(other) * chanceOfMore(chosen, moreOf(other)) -
    meanOf(chosen) * (1 - chanceOfMore(other, moreOf(chosen)));
  return Math.max(0, loss);
}

export interface Standing {
  /** Pr(this one is the best of all). */
  readonly best: number;
  /** Mean of (the best of all − this one), in the unit of the values. */
  readonly loss: number;
}

/**
 * How good each of several choices is, by simulation: in each draw every choice gets a value from its distribution. For rates alone, the
 * values are draws of Beta distributions (Thompson 1933); weights for cost and time may be part of them.
 */
export function standings(
  draws: readonly ((random: Random) => number)[],
  random: Random,
  rounds = 10_000,
): Standing[] {
  if (draws.length === 0) throw new RangeError('There is nothing to choose from.');
  const wins = new Float64Array(draws.length);
  const losses = new Float64Array(draws.length);
  const values = new Float64Array(draws.length);
  for (let round = 0; round < rounds; round += 1) {
    let best = 0;
    for (const [index, draw] of draws.entries()) {
      const value = draw(random);
      values[index] = value;
      if (value > (values[best] ?? 0)) best = index;
    }
    const top = values[best] ?? 0;
    // What is equal to the best shares the win, so that the order of the choices does not matter.
    const equal = values.reduce((count, value) => count + (value === top ? 1 : 0), 0);
    for (const [index, value] of values.entries()) {
      if (value === top) wins[index] = (wins[index] ?? 0) + 1 / equal;
      losses[index] = (losses[index] ?? 0) + top - value;
    }
  }
  return draws.map((_, index) => ({
    best: (wins[index] ?? 0) / rounds,
    loss: (losses[index] ?? 0) / rounds,
  }));
}
