/** Many tests at once: p-values adjusted so that they can be compared with the level as they are. Each function keeps the order. */
import { within } from './distributions.ts';

export type Adjustment = 'benjamini-hochberg' | 'holm' | 'bonferroni';

/** Adjusted p-values, in the order of those given, none above 1. */
export function adjusted(pValues: readonly number[], method: Adjustment): number[] {
  const count = pValues.length;
  const order = pValues
    .map((p, place) => ({ p: within('A p-value', p, 0, 1), place }))
    .toSorted((one, other) => one.p - other.p);
  const result = Array.from({ length: count }, () => 1);
  switch (method) {
    // Bonferroni: m·p.
    case 'bonferroni':
      for (const { p, place } of order) result[place] = Math.min(1, count * p);
      break;
    // Holm 1979: (m−i+1)·p₍ᵢ₎, never below the one before. Holds the chance of any false rejection.
    case 'holm': {
      let floor = 0;
      for (const [index, { p, place }] of order.entries()) {
        floor = Math.max(floor, Math.min(1, (count - index) * p));
        result[place] = floor;
      }
      break;
    }
    // Benjamini and Hochberg 1995: m·p₍ᵢ₎/i, never above the next. Holds the expected share of false rejections.
    case 'benjamini-hochberg': {
      let ceiling = 1;
      for (const [index, { p, place }] of [...order.entries()].toReversed()) {
        ceiling = Math.min(ceiling, (count * p) / (index + 1));
        result[place] = ceiling;
      }
      break;
    }
  }
  return result;
}
