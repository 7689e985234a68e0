/**
 * Do stated chances come true as often as they say? Proper scores with their decomposition, calibration errors over bins, and how sure
 * they are. Forecasts and outcomes lie between 0 and 1; outcomes need not be 0 or 1.
 */
import { within } from './distributions.ts';
import type { Random } from './random.ts';
import type { Interval } from './rates.ts';

/** Forecasts that are the same, or stand so near each other that they count as one. */
export interface Group {
  readonly n: number;
  readonly sumForecast: number;
  readonly sumOutcome: number;
  /** Of squared outcomes: the same as `sumOutcome` where all are 0 or 1. */
  readonly sumSquare: number;
  /** How often each outcome came, where that is known and not all are 0 or 1. */
  readonly outcomes?: ReadonlyMap<number, number> | undefined;
}

/** To be filled decision by decision. */
export class GroupOfDecisions implements Group {
  n = 0;
  sumForecast = 0;
  sumOutcome = 0;
  sumSquare = 0;
  outcomes: Map<number, number> | undefined;

  add(forecast: number, outcome: number): void {
    // Of 0 and 1 the sums say how often each came.
    if (outcome !== 0 && outcome !== 1)
      this.outcomes ??= new Map([
        [0, this.n - this.sumOutcome],
        [1, this.sumOutcome],
      ]);
    this.outcomes?.set(outcome, (this.outcomes.get(outcome) ?? 0) + 1);
    this.n += 1;
    this.sumForecast += forecast;
    this.sumOutcome += outcome;
    this.sumSquare += outcome * outcome;
  }
}

/** One group for each distinct forecast, in their order. */
export function groupsOf(forecasts: readonly number[], outcomes: readonly number[]): Group[] {
  if (forecasts.length !== outcomes.length) throw new RangeError('Each forecast has one outcome.');
  const groups = new Map<number, GroupOfDecisions>();
  for (const [at, forecast] of forecasts.entries()) {
    within('A forecast', forecast, 0, 1);
    const outcome = within('An outcome', outcomes[at] as number, 0, 1);
    let group = groups.get(forecast);
    if (!group) groups.set(forecast, (group = new GroupOfDecisions()));
    group.add(forecast, outcome);
  }
  return [...groups].toSorted(([a], [b]) => a - b).map(([, group]) => group);
}

const countOf = (groups: readonly Group[]) => groups.reduce((n, group) => n + group.n, 0);

/** Brier 1950: mean of (p − y)², from groups of equal forecasts. */
export const brierScore = (groups: readonly Group[]): number =>
  groups.reduce(
    (sum, { n, sumForecast, sumOutcome, sumSquare }) =>
      sum + sumForecast ** 2 / n - (2 * sumForecast * sumOutcome) / n + sumSquare,
    0,
  ) / countOf(groups);

/** Mean of −y ln p − (1 − y) ln(1 − p), from groups of equal forecasts, which are kept so far from 0 and 1. */
export function logScore(groups: readonly Group[], least: number): number {
  let sum = 0;
  for (const { n, sumForecast, sumOutcome } of groups) {
    const chance = Math.min(Math.max(sumForecast / n, least), 1 - least);
    sum -= sumOutcome * Math.log(chance) + (n - sumOutcome) * Math.log1p(-chance);
  }
  return sum / countOf(groups);
}

export interface Decomposition {
  /** How far the forecasts are from the rates that go with them; 0 is best. */
  readonly reliability: number;
  /** How far these rates differ from the overall rate; more is better. */
  readonly resolution: number;
  /** Variance of the outcomes, which no forecast changes. */
  readonly uncertainty: number;
}

/** Murphy 1973, by group: the Brier score is reliability − resolution + uncertainty where forecasts within a group are the same. */
export function decomposed(groups: readonly Group[]): Decomposition {
  const total = countOf(groups);
  const overall = groups.reduce((sum, { sumOutcome }) => sum + sumOutcome, 0) / total;
  const squares = groups.reduce((sum, { sumSquare }) => sum + sumSquare, 0) / total;
  let [reliability, resolution] = [0, 0];
  for (const { n, sumForecast, sumOutcome } of groups) {
    reliability += (sumForecast - sumOutcome) ** 2 / n;
    resolution += n * (sumOutcome / n - overall) ** 2;
  }
  return {
    reliability: reliability / total,
    resolution: resolution / total,
    uncertainty: squares - overall ** 2,
  };
}

/** A bin of a reliability diagram. */
export interface Bin extends Group {
  /** Left-closed; the last one holds its upper bound as well. */
  readonly from: number;
  readonly to: number;
}

interface OpenBin {
  n: number;
  sumForecast: number;
  sumOutcome: number;
  sumSquare: number;
  from: number;
  to: number;
}

function addGroup(bin: OpenBin, group: Group): void {
  bin.n += group.n;
  bin.sumForecast += group.sumForecast;
  bin.sumOutcome += group.sumOutcome;
  bin.sumSquare += group.sumSquare;
}

const emptyBin = (from: number, to: number): OpenBin => ({
  n: 0,
  sumForecast: 0,
  sumOutcome: 0,
  sumSquare: 0,
  from,
  to,
});

/** Decimal numbers fall where decimal arithmetic puts them: 0.29 of 100 bins is in the bin from 0.29 on. */
const place = (forecast: number, bins: number) =>
  Math.min(bins - 1, Math.floor(Math.round(forecast * bins * 1e9) / 1e9));

/** Bins of equal width; those that nothing falls into are left out. */
export function equalWidthBins(groups: readonly Group[], bins: number): Bin[] {
  const all = Array.from({ length: bins }, (_, at) => emptyBin(at / bins, (at + 1) / bins));
  for (const group of groups) addGroup(all[place(group.sumForecast / group.n, bins)] as OpenBin, group);
  return all.filter(({ n }) => n > 0);
}

/** Bins that hold as many forecasts each as can be; equal forecasts stay together. Groups come in their order. */
export function equalMassBins(groups: readonly Group[], bins: number): Bin[] {
  const total = countOf(groups);
  const all: OpenBin[] = [];
  let [before, last] = [0, -1];
  for (const group of groups) {
    const at = Math.min(bins - 1, Math.floor(((before + (group.n - 1) / 2) * bins) / total));
    const forecast = group.sumForecast / group.n;
    if (at !== last) all.push(emptyBin(forecast, forecast));
    last = at;
    const bin = all.at(-1) as OpenBin;
    addGroup(bin, group);
    bin.to = forecast;
    before += group.n;
  }
  return all;
}

export interface CalibrationError {
  /** Expected: mean of |rate − forecast| over bins, weighted by what they hold (Guo et al. 2017). */
  readonly ece: number;
  readonly mce: number;
  /** Root of the mean square. */
  readonly rms: number;
}

export function calibrationError(bins: readonly Group[]): CalibrationError {
  const total = countOf(bins);
  let [ece, mce, squares] = [0, 0, 0];
  for (const { n, sumForecast, sumOutcome } of bins) {
    const gap = Math.abs(sumOutcome - sumForecast) / n;
    ece += (n / total) * gap;
    mce = Math.max(mce, gap);
    squares += (n / total) * gap * gap;
  }
  return { ece, mce, rms: Math.sqrt(squares) };
}

/** What a resampled set of decisions gives. */
export interface Resamples {
  readonly brier: Interval;
  readonly logScore: Interval;
  /** Reflected about the estimate (basic bootstrap), which takes back that the error is too high where bins hold little. */
  readonly ece: Interval;
  /** The estimate less what resampling adds to it, not below 0. */
  readonly eceWithoutBias: number;
  /** What the error would be if every stated chance were right: its mean, its 95th percentile, how often it is as large as here. */
  readonly ifCalibrated: { readonly mean: number; readonly upper: number; readonly p: number };
}

/**
 * Bootstrap over decisions, and resampling of outcomes from the forecasts (Bröcker and Smith 2007). Each step draws one set.
 *
 * @param groups outcomes within a group are drawn from its own where they are known, or else as 0, 1 or its mean, with its variance:
 *   among all that have both, this is the one whose score varies most, so that no interval is too narrow.
 * @param binned how groups are put into bins.
 */
export function* resampled(
  groups: readonly Group[],
  binned: (groups: readonly Group[]) => readonly Group[],
  {
    random,
    resamples,
    least,
  }: { readonly random: Random; readonly resamples: number; readonly least: number },
): Generator<void, Resamples> {
  const total = countOf(groups);
  const estimate = calibrationError(binned(groups)).ece;
  const [briers, logs, errors, nulls]: [number[], number[], number[], number[]] = [[], [], [], []];
  for (let round = 0; round < resamples; round += 1) {
    const sample = drawn(groups, total, random);
    briers.push(brierScore(sample));
    logs.push(logScore(sample, least));
    errors.push(calibrationError(binned(sample)).ece);
    nulls.push(calibrationError(binned(asForecast(groups, random))).ece);
    yield;
  }
  for (const list of [briers, logs, errors, nulls]) list.sort((a, b) => a - b);
  const asLarge = nulls.filter((value) => value >= estimate - 1e-12).length;
  return {
    brier: [quantile(briers, 0.025), quantile(briers, 0.975)],
    logScore: [quantile(logs, 0.025), quantile(logs, 0.975)],
    ece: [clip(2 * estimate - quantile(errors, 0.975)), clip(2 * estimate - quantile(errors, 0.025))],
    eceWithoutBias: clip(2 * estimate - mean(errors)),
    ifCalibrated: { mean: mean(nulls), upper: quantile(nulls, 0.95), p: (asLarge + 1) / (resamples + 1) },
  };
}

const mean = (list: readonly number[]) => list.reduce((sum, value) => sum + value, 0) / list.length;
const clip = (value: number) => Math.min(1, Math.max(0, value));

/** Of sorted values, between neighbours (type 7 of Hyndman and Fan). */
function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1);
  const low = sorted[Math.floor(at)] as number;
  return low + (at - Math.floor(at)) * ((sorted[Math.ceil(at)] as number) - low);
}

/** As many decisions, each drawn from all: a multinomial, one binomial after the other. */
function drawn(groups: readonly Group[], total: number, random: Random): Group[] {
  const sample: Group[] = [];
  let [left, leftOfAll] = [total, total];
  for (const group of groups) {
    const { n, sumForecast } = group;
    const count = n >= leftOfAll ? left : random.binomial(left, n / leftOfAll);
    leftOfAll -= n;
    left -= count;
    if (count === 0) continue;
    const sums = group.outcomes
      ? drawnFrom(group.outcomes, n, count, random)
      : drawnLike(group, count, random);
    sample.push({ n: count, sumForecast: (sumForecast / n) * count, ...sums });
  }
  return sample;
}

function drawnFrom(outcomes: ReadonlyMap<number, number>, n: number, count: number, random: Random) {
  let [left, leftOfAll, sumOutcome, sumSquare] = [count, n, 0, 0];
  for (const [outcome, times] of outcomes) {
    const here = times >= leftOfAll ? left : random.binomial(left, times / leftOfAll);
    leftOfAll -= times;
    left -= here;
    sumOutcome += here * outcome;
    sumSquare += here * outcome * outcome;
  }
  return { sumOutcome, sumSquare };
}

function drawnLike({ n, sumOutcome, sumSquare }: Group, count: number, random: Random) {
  const mean = sumOutcome / n;
  const most = mean * (1 - mean);
  const share = most > 0 ? (sumSquare / n - mean * mean) / most : 1;
  // What is left of rounding in sums of 0 and 1 is no variance that is missing.
  const coins = share > 1 - 1e-6 ? count : random.binomial(count, Math.max(0, share));
  const highs = random.binomial(coins, mean);
  return {
    sumOutcome: highs + (count - coins) * mean,
    sumSquare: highs + (count - coins) * mean * mean,
  };
}

/** The same forecasts, with outcomes as they say: 0 or 1, which is as much as outcomes with this mean can vary. */
const asForecast = (groups: readonly Group[], random: Random): Group[] =>
  groups.map(({ n, sumForecast }) => {
    const successes = random.binomial(n, sumForecast / n);
    return { n, sumForecast, sumOutcome: successes, sumSquare: successes };
  });
