/**
 * Random numbers that a seed decides: the same seed gives the same figures on every host and in every release. Not for secrets.
 * xoshiro128** (Blackman and Vigna 2021), its state filled by splitmix32.
 */
import { logGamma } from './distributions.ts';

export interface Random {
  /** From 0 to below 1, in steps of 2⁻⁵³. */
  readonly uniform: () => number;
  /** A whole number from 0 to below `below`. */
  readonly below: (below: number) => number;
  readonly normal: () => number;
  /** Shape above 0, scale 1. */
  readonly gamma: (shape: number) => number;
  readonly beta: (a: number, b: number) => number;
  readonly binomial: (trials: number, probability: number) => number;
}

const rotated = (value: number, bits: number) => (value << bits) | (value >>> (32 - bits));

/** A seed is a whole number from 0 to 2⁵³ − 1. */
export function seededRandom(seed: number): Random {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new RangeError(`A seed is a whole number from 0 to 2^53 − 1, not ${seed}.`);
  }
  let mixed = (seed >>> 0) ^ Math.imul(Math.floor(seed / 2 ** 32), 0x9e3779b1);
  const splitmix = () => {
    mixed = (mixed + 0x9e3779b9) | 0;
    let hash = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    hash = Math.imul(hash ^ (hash >>> 15), 0x735a2d97);
    return hash ^ (hash >>> 15);
  };
  let [a, b, c, d] = [splitmix(), splitmix(), splitmix(), splitmix()];

  function bits(): number {
    const result = Math.imul(rotated(Math.imul(b, 5), 7), 9) >>> 0;
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotated(d, 11);
    return result;
  }

  const uniform = () => (bits() * 2 ** 21 + (bits() >>> 11)) * 2 ** -53;
  // Never 0, for logarithms.
  const positive = () => 1 - uniform();
  const below = (count: number) => Math.floor(uniform() * count);
  const normal = () => Math.sqrt(-2 * Math.log(positive())) * Math.cos(2 * Math.PI * uniform());

  /** Marsaglia and Tsang 2000; a shape below 1 by way of shape + 1. */
  function gamma(shape: number): number {
    if (shape < 1) return gamma(shape + 1) * positive() ** (1 / shape);
    const d = shape - 1 / 3;
    const c = 1 / Math.sqrt(9 * d);
    for (;;) {
      const x = normal();
      const v = (1 + c * x) ** 3;
      if (v > 0 && Math.log(positive()) < (x * x) / 2 + d - d * v + d * Math.log(v)) return d * v;
    }
  }

  function beta(a: number, b: number): number {
    const x = gamma(a);
    return x / (x + gamma(b));
  }

  function binomial(trials: number, probability: number): number {
    if (probability <= 0 || trials <= 0) return 0;
    if (probability >= 1) return trials;
    if (probability > 0.5) return trials - binomial(trials, 1 - probability);
    return trials * probability < 10
      ? binomialByInversion(trials, probability)
      : binomialByRejection(trials, probability);
  }

  /** Walks up from 0 through the probabilities. */
  function binomialByInversion(trials: number, probability: number): number {
    const odds = probability / (1 - probability);
    let chance = Math.exp(trials * Math.log1p(-probability));
    let left = uniform();
    let count = 0;
    while (left > chance && count < trials) {
      left -= chance;
      count += 1;
      chance *= ((trials - count + 1) / count) * odds;
    }
    return count;
  }

  /** Hörmann 1993, transformed rejection (BTRS): in constant time, whatever the number of trials. */
  function binomialByRejection(trials: number, probability: number): number {
    const spread = Math.sqrt(trials * probability * (1 - probability));
    const b = 1.15 + 2.53 * spread;
    const a = -0.0873 + 0.0248 * b + 0.01 * probability;
    const centre = trials * probability + 0.5;
    const squeeze = 0.92 - 4.2 / b;
    const alpha = (2.83 + 5.1 / b) * spread;
    const logOdds = Math.log(probability / (1 - probability));
    const mode = Math.floor((trials + 1) * probability);
    const logWays = (k: number) => -logGamma(k + 1) - logGamma(trials - k + 1);
    const atMode = logWays(mode);
    for (;;) {
      const u = uniform() - 0.5;
      const v = positive();
      const us = 0.5 - Math.abs(u);
      const k = Math.floor(((2 * a) / us + b) * u + centre);
      if (k < 0 || k > trials) continue;
      if (us >= 0.07 && v <= squeeze) return k;
      const height = Math.log((v * alpha) / (a / (us * us) + b));
      const bound = logWays(k) - atMode + (k - mode) * logOdds;
      if (height <= bound) return k;
    }
  }

  return { uniform, below, normal, gamma, beta, binomial };
}
