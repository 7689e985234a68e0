import { z } from 'zod';

import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';
import type { Steps } from '#runtime/turns.ts';

import { figure, gaps, maybe, maybeText, rowsOf, text } from '../fields.ts';
import { Gaps, round } from '../host.ts';
import { anomaliesIn, leastPast, type Anomaly } from '../history/anomalies.ts';
import { metricNames, metricOf, type MetricName } from '../history/metrics.ts';
import { mean, quantile, slope, sorted } from '../history/statistics.ts';
import type { Store } from '../history/store.ts';
import { coarseSeconds, fineSeconds, keptCoarseSeconds, keptFineSeconds } from '../limits.ts';
import { isoOf, walk, type Watch } from '../watch.ts';

const units: Readonly<Record<string, number>> = { m: 60, h: 3_600, d: 86_400 };

const windowField = (initial: string, mostSeconds: number, most: string) =>
  z
    .string()
    .max(6)
    .refine((text) => {
      const seconds = secondsOf(text);
      return seconds >= 60 && seconds <= mostSeconds;
    }, `must be minutes, hours or days up to ${most}, such as 15m, 6h or 7d`)
    .default(initial)
    .meta({ description: `How far back, such as 15m, 6h or 7d; at most ${most}.` });

function secondsOf(text: string): number {
  const [, count, unit = ''] = /^(\d{1,5})([mhd])$/.exec(text) ?? [];
  return count === undefined ? Number.NaN : Number(count) * (units[unit] ?? Number.NaN);
}

const digits = 3;
const rounded = (value: number) => round(value, digits);
const mostPoints = 300;

export const getMetricsHistory = defineTool({
  name: 'get_metrics_history',
  title: 'Metrics History',
  description:
    'One measure of the host over time, with minimum, mean, percentiles and trend. Every 10 seconds for a day, every 5 minutes for 31 days; restarts are survived.',
  effect: 'read',
  hints: reading,
  input: z.object({
    metric: z.enum(metricNames).describe('What was measured.'),
    window: windowField('1h', keptCoarseSeconds, '31d'),
    points: z
      .int()
      .min(1)
      .max(mostPoints)
      .default(60)
      .describe('Most points to return; each is the mean of its time.'),
  }),
  output: z.object({
    metric: text.describe('Its name.'),
    unit: text.describe('Of all values.'),
    from: text.describe('ISO 8601.'),
    to: text.describe('ISO 8601.'),
    resolutionSeconds: figure.describe('Of what the statistics are taken from: 10, or means of 300.'),
    samples: figure.describe('How many there are.'),
    coveragePercent: figure.describe('Of the window.'),
    latest: maybe.describe('The last.'),
    min: maybe.describe('Least.'),
    mean: maybe.describe('Mean.'),
    max: maybe.describe('Most.'),
    p50: maybe.describe('Median.'),
    p90: maybe.describe('90th percentile.'),
    p95: maybe.describe('95th percentile.'),
    p99: maybe.describe('99th percentile.'),
    trendPerHour: maybe.describe('Change in an hour, by the median of slopes.'),
    points: rowsOf(
      z.object({ time: text, value: figure, max: figure }),
      'With time, value (mean) and max.',
    ).optional(),
    ...gaps,
  }),
  handler({ metric, window, points }, { store }: Watch, { nowMs }) {
    const missing = new Gaps();
    const seconds = secondsOf(window);
    const to = Math.floor(nowMs / 1_000) + 1;
    const from = to - seconds;
    const isFine = seconds <= keptFineSeconds;
    const rows = isFine
      ? store
          .samples(metric, from, to)
          .map(({ atSeconds, value }) => ({ atSeconds, value, least: value, most: value }))
      : store.sums(metric, from, to).map(({ mean: value, ...rest }) => ({ ...rest, value }));
    const resolutionSeconds = isFine ? fineSeconds : coarseSeconds;
    const about = {
      metric,
      unit: metricOf(metric).unit,
      from: isoOf(from),
      to: isoOf(to),
      resolutionSeconds,
    };
    const last = rows.at(-1);
    if (!last) {
      missing.add(
        metric,
        whyNone(store, metric),
        'Ask for another window, or later: it is measured while this service runs.',
      );
      return { ...about, samples: 0, coveragePercent: 0, ...missing.said };
    }
    const values = rows.map(({ value }) => value);
    const ordered = sorted(values);
    const at = (share: number) => rounded(quantile(ordered, share));
    return {
      ...about,
      samples: rows.length,
      coveragePercent: Math.min(100, round((100 * rows.length * resolutionSeconds) / seconds, 1)),
      latest: rounded(last.value),
      min: rounded(Math.min(...rows.map(({ least }) => least))),
      mean: rounded(mean(values)),
      max: rounded(Math.max(...rows.map(({ most }) => most))),
      p50: at(0.5),
      p90: at(0.9),
      p95: at(0.95),
      p99: at(0.99),
      trendPerHour: rounded((slope(values) * 3_600) / resolutionSeconds),
      points: pointsOf(rows, from, seconds, points),
      ...missing.said,
    };
  },
});

function whyNone(store: Store, metric: MetricName): string {
  const { first, last } = store.reach();
  if (last === undefined) return 'nothing was measured yet';
  return store.samples(metric, last - keptFineSeconds, last + 1).length === 0
    ? 'this host does not tell it (get_pressure, get_sensors and the like say why)'
    : `nothing was measured in this time; samples begin at ${isoOf(first)}`;
}

interface Row {
  readonly atSeconds: number;
  readonly value: number;
  readonly most: number;
}

function pointsOf(rows: readonly Row[], from: number, seconds: number, count: number) {
  const width = seconds / count;
  const buckets = Map.groupBy(rows, ({ atSeconds }) => Math.floor((atSeconds - from) / width));
  return [...buckets].map(([index, all]) => ({
    time: isoOf(from + index * width),
    value: rounded(mean(all.map(({ value }) => value))),
    max: rounded(Math.max(...all.map(({ most }) => most))),
  }));
}

/** A part of the time each step. */
function* readSlowly<Row>(
  read: (start: number, end: number) => readonly Row[],
  from: number,
  to: number,
  width: number,
): Steps<Row[]> {
  const rows: Row[] = [];
  for (let start = from; start < to; start += width) {
    rows.push(...read(start, Math.min(start + width, to)));
    yield;
  }
  return rows;
}

interface Found extends Anomaly {
  readonly metric: MetricName;
}

/** One measure after the other. */
function* search(
  store: Store,
  wanted: readonly MetricName[],
  from: number,
  to: number,
  missing: Gaps,
): Steps<{ readonly found: Found[]; readonly checked: number }> {
  const found: Found[] = [];
  let checked = 0;
  for (const metric of wanted) {
    yield;
    const samples = yield* readSlowly((start, end) => store.samples(metric, start, end), from, to, 7_200);
    if (samples.length === 0) {
      if (wanted.length === 1) missing.add(metric, whyNone(store, metric));
      continue;
    }
    const earliest = from - keptCoarseSeconds;
    const past = yield* readSlowly(
      (start, end) => store.sums(metric, start, end),
      earliest,
      from,
      2 * 86_400,
    );
    if (past.length < leastPast) {
      const has = Math.round((past.length * coarseSeconds) / 60);
      missing.add(
        metric,
        `only ${has} minutes are known from before that time, and ${(leastPast * coarseSeconds) / 60} are needed`,
      );
      continue;
    }
    checked += 1;
    for (const anomaly of yield* anomaliesIn(samples, past, metricOf(metric)))
      found.push({ ...anomaly, metric });
  }
  return { found, checked };
}

/** Of all measures, worst first. */
export async function findIn(
  watch: Watch,
  seconds: number,
  call: Parameters<typeof walk>[0],
  missing: Gaps,
  metric?: MetricName,
) {
  const to = Math.floor(call.nowMs / 1_000) + 1;
  const wanted = metric === undefined ? metricNames : [metric];
  const { found, checked } = await walk(call, search(watch.store, wanted, to - seconds, to, missing));
  return { checked, found: found.toSorted((one, other) => other.score - one.score) };
}

export const inShort = ({ metric, startSeconds, endSeconds, ...anomaly }: Found) => ({
  metric,
  unit: metricOf(metric).unit,
  start: isoOf(startSeconds),
  end: isoOf(endSeconds),
  minutes: anomaly.minutes,
  direction: anomaly.direction,
  value: rounded(anomaly.value),
  extreme: rounded(anomaly.extreme),
  usual: rounded(anomaly.usual),
  usualLow: rounded(anomaly.usualLow),
  usualHigh: rounded(anomaly.usualHigh),
  score: round(anomaly.score, 1),
  basis: anomaly.basis,
});

const mostAnomalies = 50;

export const findAnomalies = defineTool({
  name: 'find_anomalies',
  title: 'Find Anomalies',
  description:
    'What is unusual for this host, by its own past: minutes far outside what the same hour of earlier days (or the last day) showed, for at least three minutes. Not a threshold: a host that is always busy is not unusual.',
  effect: 'read',
  hints: reading,
  input: z.object({
    window: windowField('1h', keptFineSeconds, '24h'),
    metric: z.enum(metricNames).optional().describe('Only this one.'),
  }),
  output: z.object({
    anomalies: rowsOf(
      z.object({
        metric: text,
        unit: text,
        start: text,
        end: text,
        minutes: figure,
        direction: text,
        value: figure,
        extreme: figure,
        usual: figure,
        usualLow: figure,
        usualHigh: figure,
        score: figure,
        basis: text,
      }),
      'Worst first, with metric, unit, start, end, minutes, direction, value, usual, usualLow, usualHigh, score (in spreads) and basis.',
    ),
    checked: figure.describe('Measures that were looked at.'),
    truncated: z.literal(true).optional().describe('There are more: ask for less time, or one metric.'),
    note: maybeText.describe('What an empty list means here.'),
    ...gaps,
  }),
  async handler({ window, metric }, watch: Watch, call) {
    const missing = new Gaps();
    const { found, checked } = await findIn(watch, secondsOf(window), call, missing, metric);
    return {
      anomalies: found.slice(0, mostAnomalies).map(inShort),
      checked,
      ...(found.length > mostAnomalies && { truncated: true as const }),
      note: checked === 0 ? 'Nothing could be looked at: too little is known of the past.' : undefined,
      ...missing.said,
    };
  },
});
