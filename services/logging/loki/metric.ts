/** Metric queries: lines become numbers over time, and these are added up, compared and calculated with. */
import { ToolError } from '#runtime/errors.ts';

import type { Line } from '../store/line.ts';
import { keyOf, labelOf, labelOfLine, streamOf, type Entry } from './labels.ts';
import { calculate, isComparison } from './parse.ts';
import { pipelineOf, type Cut, type Pipeline } from './pipeline.ts';
import { leavesOf, type Grouping, type Metric, type RangeAggregation, type VectorFunction } from './query.ts';

/** Rows that one query may have before they are added up: each takes 16 bytes for each of its times. */
export const maxSeries = 1_000;
/** Times of one range query. */
export const maxTimes = 1_000;

/** The times at which a metric is asked for: one for an instant query. */
export interface Times {
  readonly startMs: number;
  readonly stepMs: number;
  readonly count: number;
}

export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  /** One for each of the times; NaN where there is none. */
  readonly values: Float64Array;
}

type Vector = ReadonlyMap<string, Series>;

/** Takes lines in any order, then gives the rows. */
export class Evaluation {
  private readonly leaves: readonly Leaf[];
  private readonly metric: Metric;
  private readonly times: Times;
  readonly cut: Cut = { lines: 0 };

  constructor(metric: Metric, times: Times) {
    this.metric = metric;
    this.times = times;
    const named = labelsGroupedBy(metric);
    this.leaves = leavesOf(metric).map((aggregation) => new Leaf(aggregation, times, named, this.cut));
  }

  /** From when to when lines count: after the first and up to the second. */
  get window(): { afterMs: number; untilMs: number } {
    const { startMs, stepMs, count } = this.times;
    const lastMs = startMs + stepMs * (count - 1);
    return {
      afterMs: Math.min(...this.leaves.map(({ of }) => startMs - of.offsetMs - of.rangeMs)),
      untilMs: Math.max(...this.leaves.map(({ of }) => lastMs - of.offsetMs)),
    };
  }

  /** @throws ToolError too_large when there are too many rows. */
  add(line: Line): void {
    for (const leaf of this.leaves) leaf.add(line);
  }

  /** What went wrong in lines that were counted all the same, and how often. */
  get errors(): ReadonlyMap<string, number> {
    const all = new Map<string, number>();
    for (const { errors } of this.leaves)
      for (const [error, count] of errors) all.set(error, (all.get(error) ?? 0) + count);
    return all;
  }

  /** In short steps. @returns the rows that have a value. */
  *series(): Generator<void, Series[]> {
    const vectors = new Map<RangeAggregation, Vector>();
    for (const leaf of this.leaves) vectors.set(leaf.of, yield* leaf.vector());
    const vector = yield* evaluate(this.metric, vectors, this.times.count);
    if (typeof vector === 'number') return [];
    return [...vector.values()].filter(({ values }) => values.some((value) => Number.isFinite(value)));
  }
}

/** Fields are labels of a row when something groups by them: with all of them, each line would be a row. */
function labelsGroupedBy(metric: Metric | number): ReadonlySet<string> {
  if (typeof metric === 'number') return new Set();
  if (metric.kind === 'binary') return labelsGroupedBy(metric.left).union(labelsGroupedBy(metric.right));
  const own = metric.grouping?.mode === 'by' ? metric.grouping.labels : [];
  return new Set([...own, ...(metric.kind === 'vector' ? labelsGroupedBy(metric.of) : [])]);
}

interface Sums {
  readonly labels: Readonly<Record<string, string>>;
  /** How the number of lines and the sum change from one time to the next. */
  readonly count: Float64Array;
  readonly sum: Float64Array;
  /** The smallest or largest of each time, where that is asked for. */
  readonly extreme: Float64Array | undefined;
}

class Leaf {
  readonly of: RangeAggregation;
  readonly errors = new Map<string, number>();
  private readonly pipeline: Pipeline;
  private readonly times: Times;
  private readonly named: ReadonlySet<string>;
  private readonly rows = new Map<string, Sums>();

  constructor(of: RangeAggregation, times: Times, named: ReadonlySet<string>, cut: Cut) {
    this.of = of;
    this.times = times;
    this.named = named;
    this.pipeline = pipelineOf(of.log, cut);
  }

  add(line: Line): void {
    // A line counts at the times from its own on, for as long as the range is.
    const { startMs, stepMs, count } = this.times;
    const sinceMs = line.atMs + this.of.offsetMs - startMs;
    const first = Math.max(0, Math.ceil(sinceMs / stepMs));
    const end = Math.min(count, Math.ceil((sinceMs + this.of.rangeMs) / stepMs));
    if (first >= end) return;
    const entry = this.pipeline(line);
    if (!entry) return;
    const value = this.valueOf(entry);
    if (entry.error !== '') this.errors.set(entry.error, (this.errors.get(entry.error) ?? 0) + 1);
    if (value === undefined) return;
    const row = this.rowOf(entry);
    row.count[first] = (row.count[first] ?? 0) + 1;
    row.sum[first] = (row.sum[first] ?? 0) + value;
    if (end < count) {
      row.count[end] = (row.count[end] ?? 0) - 1;
      row.sum[end] = (row.sum[end] ?? 0) - value;
    }
    if (!row.extreme) return;
    const isBetter = this.of.function === 'min_over_time' ? isLess : isMore;
    for (let at = first; at < end; at += 1) {
      if (!isBetter(row.extreme[at] as number, value)) row.extreme[at] = value;
    }
  }

  /** What the line adds; `undefined` when it has not the number that is asked for. */
  private valueOf(entry: Entry): number | undefined {
    const { unwrap, function: name } = this.of;
    if (!unwrap) return name.startsWith('bytes') ? Buffer.byteLength(entry.text) : 0;
    const text = labelOf(entry, unwrap.label);
    if (text === '') return undefined;
    const value = unwrap.read(text);
    if (value === undefined || !Number.isFinite(value)) {
      if (entry.error === '') entry.error = 'SampleExtractionErr';
      return undefined;
    }
    return value;
  }

  private rowOf(entry: Entry): Sums {
    const labels = grouped(this.labelsOf(entry), this.of.grouping);
    const key = keyOf(labels);
    const known = this.rows.get(key);
    if (known) return known;
    if (this.rows.size >= maxSeries) {
      throw new ToolError(
        'too_large',
        `The query has more than ${maxSeries} rows before they are added up.`,
        {
          hint: 'Group by labels that have few values, take fewer labels out with | json name or | logfmt name, or narrow the selector.',
        },
      );
    }
    const { count } = this.times;
    const { function: name } = this.of;
    const hasExtreme = name === 'min_over_time' || name === 'max_over_time';
    const row: Sums = {
      labels,
      count: new Float64Array(count),
      sum: new Float64Array(count),
      extreme: hasExtreme ? new Float64Array(count).fill(Number.NaN) : undefined,
    };
    this.rows.set(key, row);
    return row;
  }

  private labelsOf(entry: Entry): Record<string, string> {
    const labels: Record<string, string> = streamOf(entry.line);
    for (const name of this.named) {
      const value = labelOfLine(entry.line, name);
      if (value !== undefined && value !== '') labels[name] = value;
    }
    if (entry.parsed) for (const [name, value] of entry.parsed) if (value !== '') labels[name] = value;
    if (entry.error !== '') labels['__error__'] = entry.error;
    const unwrapped = this.of.unwrap?.label;
    if (unwrapped !== undefined) delete labels[unwrapped];
    return labels;
  }

  *vector(): Generator<void, Vector> {
    const vector = new Map<string, Series>();
    for (const [key, row] of this.rows) {
      vector.set(key, { labels: row.labels, values: this.valuesOf(row) });
      yield;
    }
    return vector;
  }

  private valuesOf({ count, sum, extreme }: Sums): Float64Array {
    const { function: name, rangeMs, unwrap } = this.of;
    const seconds = rangeMs / 1_000;
    let lines = 0;
    let total = 0;
    return count.map((more, at) => {
      lines += more;
      total += sum[at] as number;
      if (lines === 0) return Number.NaN;
      if (extreme) return extreme[at] as number;
      if (name === 'avg_over_time') return total / lines;
      const amount = name === 'count_over_time' || (name === 'rate' && !unwrap) ? lines : total;
      return name === 'rate' || name === 'bytes_rate' ? amount / seconds : amount;
    });
  }
}

const isLess = (one: number, other: number) => one <= other;
const isMore = (one: number, other: number) => one >= other;

function grouped(
  labels: Readonly<Record<string, string>>,
  grouping: Grouping | undefined,
): Record<string, string> {
  if (!grouping) return { ...labels };
  const isNamed = (name: string) => grouping.labels.includes(name);
  return Object.fromEntries(
    Object.entries(labels).filter(([name]) => isNamed(name) === (grouping.mode === 'by')),
  );
}

function* evaluate(
  metric: Metric | number,
  vectors: ReadonlyMap<RangeAggregation, Vector>,
  count: number,
): Generator<void, Vector | number> {
  if (typeof metric === 'number') return metric;
  if (metric.kind === 'range') return vectors.get(metric) as Vector;
  if (metric.kind === 'binary') {
    const left = yield* evaluate(metric.left, vectors, count);
    const right = yield* evaluate(metric.right, vectors, count);
    return yield* combined(metric.operator, left, right);
  }
  const of = yield* evaluate(metric.of, vectors, count);
  if (typeof of === 'number') return of;
  return metric.function === 'topk' || metric.function === 'bottomk'
    ? yield* picked(of, metric.grouping, metric.k, metric.function === 'topk' ? -1 : 1, count)
    : yield* aggregated(of, metric.grouping, metric.function, count);
}

function groupsOf(
  of: Vector,
  grouping: Grouping | undefined,
): Map<string, { labels: Record<string, string>; rows: Series[] }> {
  const groups = new Map<string, { labels: Record<string, string>; rows: Series[] }>();
  for (const row of of.values()) {
    const labels = grouped(row.labels, grouping ?? { mode: 'by', labels: [] });
    const key = keyOf(labels);
    const group = groups.get(key);
    if (group) group.rows.push(row);
    else groups.set(key, { labels, rows: [row] });
  }
  return groups;
}

function* aggregated(
  of: Vector,
  grouping: Grouping | undefined,
  name: Exclude<VectorFunction, 'topk' | 'bottomk'>,
  count: number,
): Generator<void, Vector> {
  const vector = new Map<string, Series>();
  for (const [key, { labels, rows }] of groupsOf(of, grouping)) {
    const values = new Float64Array(count).fill(Number.NaN);
    const seen = new Float64Array(count);
    for (const row of rows) {
      for (let at = 0; at < count; at += 1) {
        const value = row.values[at] as number;
        if (Number.isNaN(value)) continue;
        const before = values[at] as number;
        seen[at] = (seen[at] as number) + 1;
        if (Number.isNaN(before)) values[at] = value;
        else if (name === 'min') values[at] = Math.min(before, value);
        else if (name === 'max') values[at] = Math.max(before, value);
        else values[at] = before + value;
      }
      yield;
    }
    if (name === 'avg')
      for (let at = 0; at < count; at += 1) values[at] = (values[at] as number) / (seen[at] as number);
    if (name === 'count')
      for (let at = 0; at < count; at += 1) values[at] = (seen[at] as number) || Number.NaN;
    vector.set(key, { labels, values });
  }
  return vector;
}

/** The rows with the largest or smallest values, for each of the times; they keep their labels. */
function* picked(
  of: Vector,
  grouping: Grouping | undefined,
  k: number,
  direction: 1 | -1,
  count: number,
): Generator<void, Vector> {
  const vector = new Map<string, Series>();
  for (const { rows } of groupsOf(of, grouping).values()) {
    const chosen = rows.map(({ labels }) => ({ labels, values: new Float64Array(count).fill(Number.NaN) }));
    for (let at = 0; at < count; at += 1) {
      const present = rows.flatMap(({ values }, index) =>
        Number.isNaN(values[at]) ? [] : [{ index, value: values[at] as number }],
      );
      present.sort((a, b) => direction * (a.value - b.value) || a.index - b.index);
      for (const { index, value } of present.slice(0, k)) (chosen[index] as Series).values[at] = value;
      yield;
    }
    for (const row of chosen) vector.set(keyOf(row.labels), row);
  }
  return vector;
}

/** With a number on one side for each row; with rows on both, for those that have the same labels. */
function* combined(
  operator: Parameters<typeof calculate>[0],
  left: Vector | number,
  right: Vector | number,
): Generator<void, Vector | number> {
  if (typeof left === 'number' && typeof right === 'number') return calculate(operator, left, right);
  const vector = new Map<string, Series>();
  for (const [key, { labels, values }] of typeof left === 'number' ? (right as Vector) : left) {
    const other = typeof right === 'number' || typeof left === 'number' ? undefined : right.get(key)?.values;
    if (typeof left !== 'number' && typeof right !== 'number' && !other) continue;
    const result = values.map((value, at) => {
      const one = typeof left === 'number' ? left : value;
      const two =
        typeof left === 'number' ? value : typeof right === 'number' ? right : (other?.[at] ?? Number.NaN);
      const outcome = Number.isNaN(one) || Number.isNaN(two) ? Number.NaN : calculate(operator, one, two);
      // Of `10 < rows` the rows are kept, not the number.
      return isComparison(operator) && typeof left === 'number' && !Number.isNaN(outcome) ? value : outcome;
    });
    vector.set(key, { labels, values: result });
    yield;
  }
  return vector;
}
