/** How far judges agree beyond what chance would do: 1 is always, 0 is as by chance, below 0 is less than that. */
import { bootstrapInterval, type Bootstrap } from './bootstrap.ts';
import type { Interval } from './rates.ts';

export interface Kappa {
  readonly kappa: number;
  /** The share of items with the same label. */
  readonly observed: number;
  /** The share that chance alone would give. */
  readonly expected: number;
  readonly n: number;
}

/**
 * Cohen 1960: κ = (pₒ−pₑ)/(1−pₑ), for two judges; `table[i][j]` counts items with label i by the first, j by the second. NaN where both
 * gave one and the same label throughout: then nothing can be told.
 */
export function cohenKappa(table: readonly (readonly number[])[]): Kappa {
  const size = table.length;
  if (!table.every((row) => row.length === size && row.every((count) => count >= 0 && count < Infinity))) {
    throw new RangeError('A table of labels is square, and holds counts.');
  }
  const rows = table.map((row) => row.reduce((sum, count) => sum + count, 0));
  const n = rows.reduce((sum, count) => sum + count, 0);
  if (n === 0) throw new RangeError('There is no item that both judges labelled.');
  let [observed, expected] = [0, 0];
  for (const [index, row] of table.entries()) {
    observed += (row[index] ?? 0) / n;
    const column = table.reduce((sum, other) => sum + (other[index] ?? 0), 0);
    expected += ((rows[index] ?? 0) * column) / (n * n);
  }
  return { kappa: (observed - expected) / (1 - expected), observed, expected, n };
}

/** κ's interval, by bootstrap over items. `pairs` holds the two labels of each item. */
export function kappaInterval(pairs: readonly (readonly [string, string])[], options: Bootstrap): Interval {
  const { labels, cells } = tableOf(pairs);
  return bootstrapInterval(
    pairs.length,
    (counts) => {
      const table = labels.map(() => labels.map(() => 0));
      for (const [index, [row, column]] of cells.entries()) {
        const line = table[row];
        if (line) line[column] = (line[column] ?? 0) + (counts[index] ?? 0);
      }
      return cohenKappa(table).kappa;
    },
    options,
  );
}

export function kappaOf(pairs: readonly (readonly [string, string])[]): Kappa {
  const { labels, cells } = tableOf(pairs);
  const table = labels.map(() => labels.map(() => 0));
  for (const [row, column] of cells) {
    const line = table[row];
    if (line) line[column] = (line[column] ?? 0) + 1;
  }
  return cohenKappa(table);
}

function tableOf(pairs: readonly (readonly [string, string])[]) {
  const labels = [...new Set(pairs.flat())];
  const places = new Map(labels.map((label, place) => [label, place]));
  const cells = pairs.map(([one, other]) => [places.get(one) ?? 0, places.get(other) ?? 0] as const);
  return { labels, cells };
}

/**
 * Krippendorff's α for nominal labels, any number of judges, with gaps: 1 − Dₒ/Dₑ over the coincidences of labels within units. A unit
 * with one label says nothing and is left out. NaN where only one label was ever given.
 *
 * @param units the labels that each unit got, without the gaps.
 */
export function krippendorffAlpha(units: readonly (readonly string[])[], counts?: ArrayLike<number>): number {
  const totals = new Map<string, number>();
  let disagreement = 0;
  let n = 0;
  for (const [index, labels] of units.entries()) {
    const times = counts?.[index] ?? 1;
    if (labels.length < 2 || times === 0) continue;
    n += times * labels.length;
    const own = new Map<string, number>();
    for (const label of labels) own.set(label, (own.get(label) ?? 0) + 1);
    for (const [label, count] of own) {
      totals.set(label, (totals.get(label) ?? 0) + times * count);
      disagreement += (times * count * (labels.length - count)) / (labels.length - 1);
    }
  }
  if (n === 0) return Number.NaN;
  let byChance = 0;
  for (const count of totals.values()) byChance += (count * (n - count)) / (n - 1);
  return 1 - disagreement / byChance;
}

/** α's interval, by bootstrap over units. */
export function alphaInterval(units: readonly (readonly string[])[], options: Bootstrap): Interval {
  const paired = units.filter((labels) => labels.length > 1);
  return bootstrapInterval(paired.length, (counts) => krippendorffAlpha(paired, counts), options);
}
