/**
 * Evidence that may be looked at again and again: an e-value of 1/α or more rejects at level α whenever one looks
 * (Ville's inequality), where a p-value that is looked at repeatedly rejects far too often.
 */
import { logBeta, within } from './distributions.ts';
import type { Interval } from './rates.ts';

function counts(wins: number, losses: number): void {
  within('Wins', wins, 0, 1e12);
  within('Losses', losses, 0, 1e12);
}

/** `count` times a logarithm, where 0 times −∞ is 0. */
const times = (count: number, chance: number) => (count === 0 ? 0 : count * Math.log(chance));

/** log of the e-value against "wins with probability `rate`", with a uniform prior: B(1+b, 1+c) / (rate^b (1−rate)^c). */
function logEvidence(wins: number, losses: number, rate: number): number {
  return logBeta(1 + wins, 1 + losses) - times(wins, rate) - times(losses, 1 - rate);
}

/** e = B(1+b, 1+c)·2^(b+c) against even odds; ties do not count. May be Infinity, and still be right. */
export function evidenceAgainstEven(wins: number, losses: number): number {
  counts(wins, losses);
  return Math.exp(logEvidence(wins, losses, 0.5));
}

/** The e-value against any probability of winning strictly between 0 and 1. */
export function evidenceAgainst(wins: number, losses: number, rate: number): number {
  counts(wins, losses);
  within('A rate', rate, Number.MIN_VALUE, 1 - Number.EPSILON / 2);
  return Math.exp(logEvidence(wins, losses, rate));
}

/** The rates whose e-value stays below 1/α: covers the true one at all looks together, so it is wider than `wilson`. */
export function anytimeInterval(wins: number, losses: number, level = 0.95): Interval {
  counts(wins, losses);
  const most = -Math.log(1 - within('A confidence level', level, 0, 1 - Number.EPSILON));
  if (wins + losses === 0) return [0, 1];
  const rate = wins / (wins + losses);
  const edge = (outside: number) => {
    let [out, inside] = [outside, rate];
    for (let step = 0; step < 200 && Math.abs(out - inside) > 1e-15; step += 1) {
      const middle = (out + inside) / 2;
      if (logEvidence(wins, losses, middle) < most) inside = middle;
      else out = middle;
    }
    return inside;
  };
  return [wins === 0 ? 0 : edge(0), losses === 0 ? 1 : edge(1)];
}

/** A p-value that holds at every look: 1/e, at most 1. */
export const anytimeP = (evidence: number): number =>
  Math.min(1, 1 / within('An e-value', evidence, 0, Infinity));
