/** Figures of models: success rates, quantiles and means, from sums. */
import { z } from 'zod';

import { toldBriefly } from '#runtime/fields.ts';
import { tOf, zOf } from '#statistics/distributions.ts';
import { figure, type Figure, type State } from '#statistics/figure.ts';
import { clopperPearson, jeffreys, wilson } from '#statistics/rates.ts';

import { unit, type Judged, type Spread } from './store/cell.ts';
import { bucketsOf, sketchError, valueAt } from './store/sketch.ts';
import { sources, type Source } from './vocabulary.ts';

/** Definitions tell of its value; the rest is seen in every answer. */
export const figureOut = toldBriefly(
  z.object({
    value: z.number().nullable().describe('With ci95, n, method and what to know of it.'),
    ci95: z.array(z.number()).nullable().describe('95 % interval, lower bound first.'),
    n: z.int().describe('Decisions behind it.'),
    method: z.string().describe('How value and interval were made.'),
    source_mix: z.record(z.string(), z.int()).describe('Who judged how many.'),
    as_of: z.string().describe('When it was read.'),
    snapshot_id: z.string().describe('The last change that is in it.'),
    warnings: z.array(z.string()).describe('What to know before relying on it.'),
  }),
  'value',
);

export const snapshotOf = (change: number, nowMs: number): State => ({
  as_of: new Date(nowMs).toISOString(),
  snapshot_id: `change:${change}`,
});

export const intervalNames = ['wilson', 'jeffreys', 'clopper_pearson'] as const;
export type IntervalName = (typeof intervalNames)[number];
export const rateIntervals = { wilson, jeffreys, clopper_pearson: clopperPearson } as const;

/** Which outcomes a figure is made of: those of one source, or of all, which has to be asked for. */
export const sourceChoices = [...sources, 'pooled'] as const;
export type SourceChoice = (typeof sourceChoices)[number];

export const mixOf = (
  judged: readonly (Judged | undefined)[],
  of: (one: Judged) => number = ({ n }) => n,
): Record<string, number> =>
  Object.fromEntries(
    sources.flatMap((name, at) => (judged[at] && of(judged[at]) > 0 ? [[name, of(judged[at])]] : [])),
  );

/** The strongest source that has judged something. */
export const strongest = (
  judged: readonly (Judged | undefined)[],
  of: (one: Judged) => number = ({ n }) => n,
): Source | undefined => sources.find((_, at) => judged[at] && of(judged[at]) > 0);

export const pooledWarning = 'Sources are pooled: a judge and a check do not measure the same.';

export function successRate(
  snapshot: State,
  judged: readonly (Judged | undefined)[],
  choice: SourceChoice,
  interval: IntervalName,
  clustered: number,
): Figure {
  const chosen =
    choice === 'pooled'
      ? judged.filter((one) => one !== undefined)
      : [judged[sources.indexOf(choice)]].filter((one) => one !== undefined);
  const sum = (of: (one: Judged) => number) => chosen.reduce((total, one) => total + of(one), 0);
  const n = sum((one) => one.n);
  const successes = Math.min(n, sum((one) => one.sumOutcome) / unit);
  const partial = n - sum((one) => one.successes + one.failures);
  const mix = mixOf(judged);
  return figure(snapshot, {
    value: n === 0 ? undefined : successes / n,
    interval: n === 0 ? undefined : rateIntervals[interval](successes, n),
    n,
    method: `mean outcome, ${interval} interval`,
    mix: choice === 'pooled' ? mix : n === 0 ? {} : { [choice]: n },
    warnings: [
      ...(n === 0 ? ['No outcome of this source is known yet.'] : []),
      ...(choice === 'pooled' && Object.keys(mix).length > 1 ? [pooledWarning] : []),
      ...(partial > 0
        ? [`${partial} of ${n} outcomes lie between 0 and 1: the interval is wider than it need be.`]
        : []),
      ...(clustered > 0
        ? [
            `${clustered} decisions belong to clusters: the interval takes them for independent, and may be too narrow.`,
          ]
        : []),
    ],
  });
}

/** A quantile of latencies or prices, and between which values it lies: by the ranks that a binomial gives. */
export function quantileFigure(
  snapshot: State,
  { n, sketch }: Spread,
  share: number,
  unitsPerValue: number,
): Figure {
  const at = (rank: number) => valueAt(sketch, Math.min(n - 1, Math.max(0, rank))) / unitsPerValue;
  const half = zOf(0.95) * Math.sqrt(n * share * (1 - share));
  const [low, high] = [Math.floor(n * share - half) - 1, Math.ceil(n * share + half)];
  const isOpen = low < 0 || high > n - 1;
  return figure(snapshot, {
    value: n === 0 ? undefined : at(Math.ceil(n * share) - 1),
    interval: n === 0 || isOpen ? undefined : [at(low), at(high)],
    n,
    method: `quantile of a DDSketch, within ${sketchError * 100} % of the value; interval by order statistics`,
    warnings: n > 0 && isOpen ? ['Too few values for an interval of this quantile.'] : [],
  });
}

/** Mean of prices or times; its spread is taken from the sketch. */
export function meanFigure(snapshot: State, { n, sum, sketch }: Spread, unitsPerValue: number): Figure {
  if (n === 0) return figure(snapshot, { value: undefined, n, method: 'mean' });
  const mean = sum / n;
  let squares = 0;
  for (const [units, count] of bucketsOf(sketch)) squares += count * (units - mean) ** 2;
  return meanWith(snapshot, {
    mean: mean / unitsPerValue,
    deviation: Math.sqrt(squares / Math.max(1, n - 1)) / unitsPerValue,
    n,
    method: 'mean, t interval',
  });
}

/** Fewer than this are too few for an interval that leans on the normal distribution. */
const fewForNormal = 300;

export function meanWith(
  snapshot: State,
  {
    mean,
    deviation,
    n,
    method,
    mix = {},
  }: {
    readonly mean: number;
    readonly deviation: number;
    readonly n: number;
    readonly method: string;
    readonly mix?: Readonly<Record<string, number>>;
  },
): Figure {
  const half = n > 1 ? (tOf(0.95, n - 1) * deviation) / Math.sqrt(n) : undefined;
  return figure(snapshot, {
    value: mean,
    interval: half === undefined ? undefined : [mean - half, mean + half],
    n,
    method,
    mix,
    warnings:
      n < fewForNormal ? [`With fewer than ${fewForNormal} values, a t interval can be too narrow.`] : [],
  });
}
