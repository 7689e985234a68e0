/** How many items a comparison needs, and what a number of items can show. Rates and differences are from 0 to 1. */
import { normalCdf, normalQuantile, within, zOf } from './distributions.ts';

export interface Aim {
  /** The chance of a false alarm, two-sided. */
  readonly alpha?: number;
  /** The chance to see the difference if it is there. */
  readonly power?: number;
}

function factorOf({ alpha = 0.05, power = 0.8 }: Aim): number {
  within('Power', power, 0.01, 1 - 1e-9);
  return zOf(1 - within('alpha', alpha, 1e-12, 0.5)) + normalQuantile(power);
}

const smallest = 1e-6;

/** Items for a paired comparison: (z_{α/2}+z_β)²·ω²/δ², with ω² the variance of the paired differences (Miller 2024). Not rounded. */
export function pairedItems(delta: number, variance: number, aim: Aim = {}): number {
  within('The difference', Math.abs(delta), smallest, Number.MAX_VALUE);
  within('A variance', variance, 0, Number.MAX_VALUE);
  return (factorOf(aim) ** 2 * variance) / delta ** 2;
}

/** Items for each of two models that do not share any: (z_{α/2}+z_β)²(p₁q₁+p₂q₂)/δ². Not rounded. */
export function unpairedItems(rate1: number, rate2: number, aim: Aim = {}): number {
  within('A rate', rate1, 0, 1);
  within('A rate', rate2, 0, 1);
  return pairedItems(rate1 - rate2, rate1 * (1 - rate1) + rate2 * (1 - rate2), aim);
}

/** The smallest difference that `items` show with this power: (z_{α/2}+z_β)·√(variance/n). */
export function detectable(items: number, variance: number, aim: Aim = {}): number {
  within('A number of items', items, 1, Number.MAX_VALUE);
  within('A variance', variance, 0, Number.MAX_VALUE);
  return factorOf(aim) * Math.sqrt(variance / items);
}

/** The chance to see a difference with so many items. */
export function powerOf(items: number, delta: number, variance: number, alpha = 0.05): number {
  within('A number of items', items, 1, Number.MAX_VALUE);
  within('A variance', variance, 0, Number.MAX_VALUE);
  if (variance === 0) return delta === 0 ? alpha : 1;
  const shift = Math.abs(delta) / Math.sqrt(variance / items);
  const z = zOf(1 - within('alpha', alpha, 1e-12, 0.5));
  return normalCdf(shift - z) + normalCdf(-shift - z);
}

/**
 * Items that show two models to be equivalent within ±margin with this power, if they differ by `delta`: two one-sided tests at α/2,
 * which is what a whole interval inside of the margin means. Infinity where |δ| ≥ margin.
 */
export function equivalenceItems(margin: number, delta: number, variance: number, aim: Aim = {}): number {
  const room = within('A margin', margin, smallest, Number.MAX_VALUE) - Math.abs(delta);
  if (room <= 0) return Infinity;
  const { alpha = 0.05, power = 0.8 } = aim;
  const factor = zOf(1 - alpha) + normalQuantile(delta === 0 ? (1 + power) / 2 : power);
  return (factor ** 2 * within('A variance', variance, 0, Number.MAX_VALUE)) / room ** 2;
}
