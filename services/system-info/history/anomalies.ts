/**
 * What is unusual for this host, measured by its own past: medians of minutes against the same hour of earlier days, or against
 * the last day where there are too few. A short blip is none, and neither is what comes every night at the same time. Pure.
 */
import type { Steps } from '#runtime/turns.ts';

import { medianDeviation, median, quantile, sorted } from './statistics.ts';
import type { Metric } from './metrics.ts';
import type { Coarse, Point } from './store.ts';

export interface Anomaly {
  readonly startSeconds: number;
  readonly endSeconds: number;
  readonly minutes: number;
  readonly direction: 'high' | 'low';
  /** The middle of the values meanwhile, and the one that is farthest out. */
  readonly value: number;
  readonly extreme: number;
  readonly usual: number;
  readonly usualLow: number;
  readonly usualHigh: number;
  /** How many times the usual spread it is away from the usual. */
  readonly score: number;
  readonly basis: 'same hour of earlier days' | 'last day';
}

/** So many spreads away, for so many minutes in a row, is no chance. */
const mostSpreads = 5;
const leastMinutes = 3;
/** So much of the usual range beyond its end. */
const beyondShare = 0.2;
const minuteSeconds = 60;
const hourSeconds = 3_600;
const daySeconds = 86_400;
/** What is usual is taken anew after so long. */
const slotSeconds = hourSeconds / 4;
/** Days of which the same hour is known, before that hour is what counts. */
const leastDays = 3;
const mostDays = 21;
/** Half an hour of the past, at the least. */
export const leastPast = 6;

interface Usual {
  readonly middle: number;
  readonly spread: number;
  readonly low: number;
  readonly high: number;
  readonly basis: Anomaly['basis'];
}

/** On a scale on which equal steps are equally remarkable: factors for rates, points for the rest. */
interface Scale {
  readonly to: (value: number) => number;
  readonly from: (value: number) => number;
  readonly grain: (middle: number) => number;
}

const same = (value: number) => value;

function scaleOf({ kind, grain, floor = 1 }: Metric): Scale {
  if (kind === 'rate') {
    return {
      to: (value) => Math.log(value + floor),
      from: (value) => Math.exp(value) - floor,
      grain: () => grain,
    };
  }
  return { to: same, from: same, grain: (middle) => (kind === 'level' ? grain * Math.abs(middle) : grain) };
}

/** Oldest first, in steps of a quarter of an hour. @param past five minutes each, from before what is looked at. */
export function* anomaliesIn(
  samples: readonly Point[],
  past: readonly Coarse[],
  metric: Metric,
): Steps<Anomaly[]> {
  const scale = scaleOf(metric);
  const known = past.map(({ atSeconds, mean }) => ({ atSeconds, value: scale.to(mean) }));
  const usualAt = usualByHour(known, scale);
  const found: Anomaly[] = [];
  let run: Unusual[] = [];
  const end = () => {
    const anomaly = anomalyOf(run, scale);
    if (anomaly) found.push(anomaly);
    run = [];
  };
  for (const { atSeconds, value } of minutesOf(samples)) {
    if (atSeconds % slotSeconds < minuteSeconds) yield;
    const scaled = scale.to(value);
    const usual = usualAt(atSeconds);
    const score = usual ? (scaled - usual.middle) / usual.spread : 0;
    const isOut = usual && Math.abs(score) >= mostSpreads && isBeyond(scaled, usual, scale);
    const last = run.at(-1);
    const isFarOff = last && atSeconds - last.atSeconds > 2 * minuteSeconds;
    if (last && (isFarOff || (isOut && last.score > 0 !== score > 0))) end();
    if (isOut) run.push({ atSeconds, scaled, score, usual });
  }
  end();
  return found;
}

/**
 * Clearly outside what was seen: where a job runs for a part of the time, values lie at both ends of the range, and a little
 * beyond one is no news.
 */
function isBeyond(scaled: number, { low, high, middle }: Usual, { grain }: Scale): boolean {
  const margin = Math.max(beyondShare * (high - low), grain(middle));
  return scaled > high + margin || scaled < low - margin;
}

interface Unusual {
  readonly atSeconds: number;
  readonly scaled: number;
  readonly score: number;
  readonly usual: Usual;
}

function anomalyOf(run: readonly Unusual[], scale: Scale): Anomaly | undefined {
  const [first, last] = [run[0], run.at(-1)];
  if (!first || !last || run.length < leastMinutes) return undefined;
  const farthest = run.reduce((one, other) => (Math.abs(other.score) > Math.abs(one.score) ? other : one));
  const { usual } = farthest;
  return {
    startSeconds: first.atSeconds,
    endSeconds: last.atSeconds + minuteSeconds,
    minutes: run.length,
    direction: farthest.score > 0 ? 'high' : 'low',
    value: scale.from(median(run.map(({ scaled }) => scaled))),
    extreme: scale.from(farthest.scaled),
    usual: scale.from(usual.middle),
    usualLow: scale.from(usual.low),
    usualHigh: scale.from(usual.high),
    score: Math.abs(farthest.score),
    basis: usual.basis,
  };
}

/** The middle of each minute: single samples do not move it. */
function minutesOf(samples: readonly Point[]): Point[] {
  const minutes = new Map<number, number[]>();
  for (const { atSeconds, value } of samples) {
    const start = atSeconds - (atSeconds % minuteSeconds);
    const values = minutes.get(start);
    if (values) values.push(value);
    else minutes.set(start, [value]);
  }
  // A minute of which little is known says little.
  return [...minutes]
    .filter(([, values]) => values.length >= 3)
    .map(([atSeconds, values]) => ({ atSeconds, value: median(values) }));
}

function usualByHour(past: readonly Point[], scale: Scale): (atSeconds: number) => Usual | undefined {
  const kept = new Map<number, Usual | undefined>();
  const lastDay = once(() => {
    const from = (past.at(-1)?.atSeconds ?? 0) - daySeconds;
    const recent = past.filter(({ atSeconds }) => atSeconds > from).map(({ value }) => value);
    return recent.length < leastPast ? undefined : usualOf(recent, 'last day', scale);
  });
  return (atSeconds) => {
    const slot = Math.floor(atSeconds / slotSeconds);
    if (!kept.has(slot)) kept.set(slot, sameHour(past, atSeconds, scale) ?? lastDay());
    return kept.get(slot);
  };
}

/** From forty minutes before that time of day to forty minutes after it, on each of the days before. */
function sameHour(past: readonly Point[], atSeconds: number, scale: Scale): Usual | undefined {
  const days = new Set<number>();
  const values: number[] = [];
  for (const point of past) {
    const ago = atSeconds - point.atSeconds;
    const day = Math.round(ago / daySeconds);
    if (day < 1 || day > mostDays || Math.abs(ago - day * daySeconds) > (2 * hourSeconds) / 3) continue;
    days.add(day);
    values.push(point.value);
  }
  return days.size < leastDays ? undefined : usualOf(values, 'same hour of earlier days', scale);
}

function usualOf(values: readonly number[], basis: Usual['basis'], scale: Scale): Usual {
  const ordered = sorted(values);
  const middle = quantile(ordered, 0.5);
  const [low, high] = [quantile(ordered, 0.01), quantile(ordered, 0.99)];
  // Where most values are alike, the few that are not tell more of the spread than the middle does.
  const spread = Math.max(medianDeviation(ordered, middle), (high - low) / 8, scale.grain(middle), 1e-9);
  return { middle, spread, low, high, basis };
}

function once<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | undefined;
  return () => (made ??= { value: make() }).value;
}
