/**
 * What a router would have earned, from the log of another one. Each record has the propensity μ with which the logged action was
 * chosen, and the chance π with which the new router would choose that action: its weight is w = π/μ.
 */
import { within, zOf } from './distributions.ts';
import type { Interval } from './rates.ts';

export interface Logged {
  /** Probability of the logged action at the time: above 0. */
  readonly propensity: number;
  /** Probability that the new policy gives the logged action. */
  readonly target: number;
  readonly reward: number;
  /** What a model of rewards expects of the logged action, and on average of the new policy's: for `doublyRobust`. */
  readonly expectedLogged?: number;
  readonly expectedTarget?: number;
}

export interface PolicyValue {
  /** The mean reward per decision. */
  readonly value: number;
  readonly standardError: number;
  readonly interval: Interval;
  readonly n: number;
  /** (Σw)²/Σw²: so many decisions of the new policy's own would tell as much. */
  readonly effectiveN: number;
}

function weightsOf(log: readonly Logged[]): Float64Array {
  if (log.length === 0) throw new RangeError('There is no logged decision.');
  return Float64Array.from(log, ({ propensity, target, reward }) => {
    within('A propensity', propensity, Number.MIN_VALUE, 1);
    within('A reward', reward, -Number.MAX_VALUE, Number.MAX_VALUE);
    return within('The probability of an action', target, 0, 1) / propensity;
  });
}

/** Inverse propensity scoring: mean(w·r). Unbiased; wild where weights are large. */
export function inversePropensity(log: readonly Logged[], level = 0.95): PolicyValue {
  const weights = weightsOf(log);
  return ofTerms(
    log.map(({ reward }, index) => (weights[index] ?? 0) * reward),
    weights,
    level,
  );
}

/** Self-normalised: Σwr/Σw, with the standard error √Σw²(r−v)²/Σw. A little biased, much calmer. NaN where all weights are 0. */
export function selfNormalised(log: readonly Logged[], level = 0.95): PolicyValue {
  const weights = weightsOf(log);
  let [sum, weighted] = [0, 0];
  for (const [index, weight] of weights.entries()) {
    sum += weight;
    weighted += weight * (log[index]?.reward ?? 0);
  }
  const value = weighted / sum;
  const squares = weights.reduce(
    (total, weight, index) => total + (weight * ((log[index]?.reward ?? 0) - value)) ** 2,
    0,
  );
  return valueOf(value, Math.sqrt(squares) / sum, weights, level);
}

/** Doubly robust: mean(r̂(x,π) + w(r − r̂(x,a))). Right if either the propensities or the model of rewards is. */
export function doublyRobust(log: readonly Logged[], level = 0.95): PolicyValue {
  const weights = weightsOf(log);
  const terms = log.map(({ reward, expectedLogged, expectedTarget }, index) => {
    if (expectedLogged === undefined || expectedTarget === undefined) {
      throw new RangeError('Doubly robust needs the expected rewards of every record.');
    }
    return expectedTarget + (weights[index] ?? 0) * (reward - expectedLogged);
  });
  return ofTerms(terms, weights, level);
}

function ofTerms(terms: readonly number[], weights: Float64Array, level: number): PolicyValue {
  const n = terms.length;
  const mean = terms.reduce((sum, term) => sum + term, 0) / n;
  const squares = terms.reduce((sum, term) => sum + (term - mean) ** 2, 0);
  return valueOf(mean, n > 1 ? Math.sqrt(squares / (n - 1) / n) : Number.NaN, weights, level);
}

function valueOf(value: number, standardError: number, weights: Float64Array, level: number): PolicyValue {
  let [sum, squares] = [0, 0];
  for (const weight of weights) {
    sum += weight;
    squares += weight * weight;
  }
  const half = zOf(level) * standardError;
  return {
    value,
    standardError,
    interval: [value - half, value + half],
    n: weights.length,
    effectiveN: squares === 0 ? 0 : (sum * sum) / squares,
  };
}
