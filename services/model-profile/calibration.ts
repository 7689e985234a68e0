/** Calibration of one model: read from its decisions where they can be read one by one, and from sums otherwise. */
import { z } from 'zod';

import { toldBriefly } from '#runtime/fields.ts';
import type { Steps } from '#runtime/turns.ts';
import {
  calibrationError,
  decomposed,
  equalMassBins,
  equalWidthBins,
  GroupOfDecisions,
  resampled,
  type Group,
} from '#statistics/calibration.ts';
import { seededRandom } from '#statistics/random.ts';
import { wilson } from '#statistics/rates.ts';
import { figure, rounded } from '#statistics/figure.ts';

import type { Window } from './fields.ts';
import {
  figureOut,
  meanWith,
  mixOf,
  pooledWarning,
  snapshotOf,
  strongest,
  type SourceChoice,
} from './figure.ts';
import { maxRowsRead } from './limits.ts';
import {
  emptyCell,
  emptyJudged,
  fineBins,
  leastChance,
  mergeCell,
  mergeJudged,
  unit,
  type Judged,
} from './store/cell.ts';
import { dayOf } from './store/day.ts';
import type { ModelRow, Reading } from './store/reading.ts';
import { sources } from './vocabulary.ts';

/** Counts whose bounds are bounds of the bins that sums are kept in. */
export const binCounts = Array.from({ length: fineBins }, (_, at) => at + 1).filter(
  (count) => count > 1 && count <= 60 && fineBins % count === 0,
);
/** More distinct forecasts, with their outcomes, are drawn in bins: the bounds move by less than the width of one. */
const mostGroupsDrawn = 300;
/** Resampling fewer than these shows too little of what could have come. */
const fewForBootstrap = 30;

const binOut = toldBriefly(
  z.object({
    from: z.number().describe('Confidence from here on.'),
    to: z.number().describe('Up to here.'),
    n: z.int().describe('Decisions in it.'),
    confidence: z.number().describe('Mean confidence.'),
    observed: z.number().describe('Mean outcome.'),
    ci95: z.array(z.number()).describe('Wilson interval of the mean outcome.'),
  }),
  'from',
  'n',
  'confidence',
  'observed',
  'ci95',
);

export const calibrationOut = z.object({
  model: z.string().describe('Its key.'),
  verdict: z
    .enum(['overconfident', 'underconfident', 'mixed', 'not_shown', 'no_data'])
    .describe('not_shown: chance explains what is off.'),
  overconfidence: figureOut.describe('Mean confidence less mean outcome.'),
  brier: figureOut.describe('Mean squared error; 0 is best.'),
  parts: z
    .object({
      reliability: z.number().describe('Brier is reliability'),
      resolution: z.number().describe('less resolution'),
      uncertainty: z.number().describe('plus uncertainty'),
      within_bins: z.number().describe('plus this, 0 where forecasts were read one by one.'),
    })
    .nullable()
    .describe('Murphy 1973.'),
  log_score: figureOut.describe('In nats; 0 is best.'),
  ece: figureOut.describe('Expected calibration error.'),
  ece_without_bias: z.number().nullable().describe('Less what small bins add.'),
  mce: z.number().nullable().describe('The largest error of a bin.'),
  if_calibrated: toldBriefly(
    z.object({
      mean: z.number().describe('On average.'),
      upper95: z.number().describe('Its 95th percentile.'),
      p: z.number().describe('How often it is as large as here.'),
    }),
    'p',
  )
    .nullable()
    .describe('ECE by chance alone, were every stated chance right.'),
  bins: z.array(binOut).describe('The reliability diagram.'),
  seed: z.int().describe('As given.'),
});

interface Question {
  readonly model: ModelRow;
  readonly window: Window;
  readonly taskType: number | undefined;
  readonly source?: SourceChoice | undefined;
  readonly bins: number;
  readonly method: 'equal_width' | 'equal_mass';
  readonly resamples: number;
  readonly seed: number;
  readonly nowMs: number;
}

export function* calibrationSteps(
  reader: Reading,
  question: Question,
): Steps<z.input<typeof calibrationOut>> {
  const { model, window, taskType, seed } = question;
  const snapshot = snapshotOf(reader.change(), question.nowMs);
  const cell = emptyCell();
  yield* reader.cells({ model: model.id, ...window, taskType }, (one) => mergeCell(cell, one));
  const source = question.source ?? strongest(cell.judged, ({ forecasts }) => forecasts) ?? 'ground_truth';
  const sums = emptyJudged();
  for (const [at, judged] of cell.judged.entries())
    if (judged && (source === 'pooled' || sources[at] === source)) mergeJudged(sums, judged);
  const n = sums.forecasts;
  const all = mixOf(cell.judged, ({ forecasts }) => forecasts);
  const mix = source === 'pooled' ? all : n > 0 ? { [source]: n } : {};
  const warnings = [
    ...(source === 'pooled' && Object.keys(all).length > 1 ? [pooledWarning] : []),
    ...(cell.clustered > 0
      ? ['Some decisions belong to clusters: the intervals take them for independent.']
      : []),
  ];
  const plain = { n, mix };
  if (n === 0) {
    const nothing = (method: string) =>
      figure(snapshot, {
        ...plain,
        value: undefined,
        method,
        warnings: ['No decision of this source has both a confidence and an outcome.'],
      });
    return {
      model: model.key,
      verdict: 'no_data',
      overconfidence: nothing('mean difference'),
      brier: nothing('Brier 1950'),
      parts: null,
      log_score: nothing('log score'),
      ece: nothing('ECE'),
      ece_without_bias: null,
      mce: null,
      if_calibrated: null,
      bins: [],
      seed,
    };
  }
  const read = yield* groupsFromRows(reader, question, source, n);
  const groups = read ?? groupsFromSums(sums);
  const origin = read ? 'decisions read one by one' : `sums in ${fineBins} bins`;
  const binned = (some: readonly Group[]) =>
    (question.method === 'equal_width' ? equalWidthBins : equalMassBins)(some, question.bins);
  const bins = binned(groups);
  const { ece, mce } = calibrationError(bins);
  const brier = sums.sumBrier / unit / n;
  const parts = decomposed(groups);
  const drawn = groups.reduce((sum, { outcomes }) => sum + (outcomes?.size ?? 1), 0);
  const drawnFrom = drawn > mostGroupsDrawn ? groupsFromSums(sums) : groups;
  const draws = yield* resampled(drawnFrom, binned, {
    random: seededRandom(seed),
    resamples: question.resamples,
    least: leastChance,
  });
  // One decision, however often it is drawn, says nothing of how far others lie from it.
  const interval = (bounds: readonly [number, number], value: number) =>
    n === 1 ? undefined : holding(bounds, value);
  const drawnWarnings = [
    ...warnings,
    ...(n < fewForBootstrap
      ? [`With fewer than ${fewForBootstrap} decisions, a bootstrap interval is too narrow.`]
      : []),
  ];
  const bootstrap = `bootstrap interval over decisions (${question.resamples} resamples, seed ${seed}; ${origin})`;
  let [forecast, outcome] = [0, 0];
  for (const group of groups) {
    forecast += group.sumForecast;
    outcome += group.sumOutcome;
  }
  const difference = (forecast - outcome) / n;
  const overconfidence = meanWith(snapshot, {
    ...plain,
    mean: difference,
    deviation: Math.sqrt(Math.max(0, (brier - difference * difference) * (n / Math.max(1, n - 1)))),
    method: 'mean of confidence less outcome, t interval',
  });
  const few = bins.some((bin) => bin.n < 15);
  return {
    model: model.key,
    verdict: verdictOf(draws.ifCalibrated.p, overconfidence.ci95),
    overconfidence,
    brier: figure(snapshot, {
      ...plain,
      value: brier,
      interval: interval(draws.brier, brier),
      method: `Brier 1950, ${bootstrap}`,
      warnings: drawnWarnings,
    }),
    parts: {
      reliability: rounded(parts.reliability),
      resolution: rounded(parts.resolution),
      uncertainty: rounded(parts.uncertainty),
      within_bins: rounded(read ? 0 : brier - (parts.reliability - parts.resolution + parts.uncertainty)),
    },
    log_score: figure(snapshot, {
      ...plain,
      value: sums.sumLog / unit / n,
      interval: interval(draws.logScore, sums.sumLog / unit / n),
      method: `log score, ${bootstrap}`,
      warnings: [
        ...drawnWarnings,
        ...(sums.clamped > 0
          ? [
              `${sums.clamped} forecasts of 0 or 1 count as ${leastChance} away from it: otherwise one failure makes the score infinite.`,
            ]
          : []),
      ],
    }),
    ece: figure(snapshot, {
      ...plain,
      value: ece,
      interval: interval(draws.ece, ece),
      method: `ECE over ${question.bins} bins of ${question.method === 'equal_width' ? 'equal width' : 'equal mass'}, reflected ${bootstrap}`,
      warnings: [
        ...drawnWarnings,
        ...(few
          ? [
              'Some bins hold fewer than 15 decisions: the error comes out too high; see ece_without_bias and if_calibrated.',
            ]
          : []),
        ...(!read && question.method === 'equal_mass'
          ? [
              `There are too many decisions to be read one by one: bounds of bins are multiples of 1/${fineBins}.`,
            ]
          : []),
      ],
    }),
    ece_without_bias: rounded(draws.eceWithoutBias),
    mce: rounded(mce),
    if_calibrated: {
      mean: rounded(draws.ifCalibrated.mean),
      upper95: rounded(draws.ifCalibrated.upper),
      p: rounded(draws.ifCalibrated.p),
    },
    bins: bins.map(({ from, to, n: held, sumForecast, sumOutcome }) => ({
      from: rounded(from),
      to: rounded(to),
      n: held,
      confidence: rounded(sumForecast / held),
      observed: rounded(sumOutcome / held),
      ci95: wilson(Math.min(held, sumOutcome), held).map(rounded),
    })),
    seed,
  };
}

/** A figure lies within its interval, also where few resamples say otherwise. */
const holding = ([low, high]: readonly [number, number], value: number): readonly [number, number] => [
  Math.min(low, value),
  Math.max(high, value),
];

/** An error that chance explains is none; one that it does not has a direction where the mean shows one. */
function verdictOf(
  p: number,
  interval: readonly number[] | null,
): 'overconfident' | 'underconfident' | 'mixed' | 'not_shown' {
  if (p > 0.05) return 'not_shown';
  if (interval?.[0] !== undefined && interval[0] > 0) return 'overconfident';
  return interval?.[1] !== undefined && interval[1] < 0 ? 'underconfident' : 'mixed';
}

function groupsFromSums({ bins }: Judged): Group[] {
  const groups: Group[] = [];
  for (let at = 0; at < bins.length; at += 4) {
    const [n = 0, sumForecast = 0, sumOutcome = 0, sumSquare = 0] = bins.subarray(at, at + 4);
    if (n > 0)
      groups.push({
        n,
        sumForecast: sumForecast / unit,
        sumOutcome: sumOutcome / unit,
        sumSquare: sumSquare / unit,
      });
  }
  return groups;
}

/** Every forecast for itself; `undefined` where not all of them are still kept, or there are too many. */
function* groupsFromRows(
  reader: Reading,
  { model, window, taskType }: Question,
  source: SourceChoice,
  expected: number,
): Steps<Group[] | undefined> {
  if (expected > maxRowsRead) return undefined;
  const groups = new Map<number, GroupOfDecisions>();
  const wanted = source === 'pooled' ? undefined : sources.indexOf(source);
  let [seen, found] = [0, 0];
  yield* reader.decisions(
    reader.newestOf(model),
    ({ confidence, outcome, source: judge, task_type: type, at_ms: atMs }) => {
      seen += 1;
      const day = dayOf(atMs);
      const fits =
        day >= window.fromDay &&
        day <= window.toDay &&
        (taskType === undefined || type === taskType) &&
        (wanted === undefined || judge === wanted);
      if (fits && confidence !== null && outcome !== null) {
        found += 1;
        let group = groups.get(confidence);
        if (!group) groups.set(confidence, (group = new GroupOfDecisions()));
        group.add(confidence, outcome);
      }
      return found < expected && seen < maxRowsRead;
    },
  );
  if (found < expected) return undefined;
  // Sorted as bare numbers: with a function that compares, it would hold the loop.
  const ordered: Group[] = [];
  for (const forecast of Float64Array.from(groups.keys()).toSorted()) {
    ordered.push(groups.get(forecast) as Group);
    if (ordered.length % 1_000 === 0) yield;
  }
  return ordered;
}
