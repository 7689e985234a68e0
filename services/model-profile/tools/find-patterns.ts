/** Where a model is better or worse than it is on the whole, and what goes wrong when it fails. */
import { z } from 'zod';

import { toldBriefly } from '#runtime/fields.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';
import { inTurns, type Steps } from '#runtime/turns.ts';
import { equalRatesP, newcombe, type Rate } from '#statistics/differences.ts';
import { adjusted } from '#statistics/multiplicity.ts';
import { wilson } from '#statistics/rates.ts';
import { figure, rounded } from '#statistics/figure.ts';

import { modelField, sourceField, taskTypeField, windowFields, windowOf, type Window } from '../fields.ts';
import {
  figureOut,
  mixOf,
  pooledWarning,
  snapshotOf,
  strongest,
  successRate,
  type SourceChoice,
} from '../figure.ts';
import { emptyCell, fineBins, mergeCell, unit, type Cell, type Judged } from '../store/cell.ts';
import type { ModelRow, Reading } from '../store/reading.ts';
import type { Store } from '../store/store.ts';
import { errorKinds, sources } from '../vocabulary.ts';

const dimensions = ['task_type', 'weekday', 'confidence'] as const;
type Dimension = (typeof dimensions)[number];
const weekdays = ['Thursday', 'Friday', 'Saturday', 'Sunday', 'Monday', 'Tuesday', 'Wednesday'];
const bands = 10;
/** A pattern is named when it has so many decisions; fewer show nothing after adjusting. */
const leastInGroup = 5;
const mostShown = 30;

const patternOut = toldBriefly(
  z.object({
    dimension: z.enum([...dimensions, 'error_kind']).describe('In what it differs.'),
    group: z.string().describe('Of which decisions.'),
    direction: z.enum(['above', 'below']).describe('Than those of the model outside the group.'),
    rate: figureOut.describe('In the group.'),
    rest: z.number().describe('Rate outside.'),
    difference: figureOut.describe('Group less rest.'),
    p_adjusted: z.number().describe('Adjusted for all that was tried.'),
  }),
  'dimension',
  'group',
  'direction',
  'rate',
  'rest',
  'difference',
  'p_adjusted',
);

const failureOut = toldBriefly(
  z.object({
    error_kind: z.string().describe('What went wrong.'),
    share: figureOut.describe('Of all failures whose kind was named.'),
  }),
  'error_kind',
  'share',
);

const answerOut = z.object({
  model: z.string().describe('Its key.'),
  base: figureOut.describe('Success of all decisions in the window.'),
  patterns: z.array(patternOut).describe('The smallest p first.'),
  tried: z.int().describe('How many groups were tried.'),
  failures: z.array(failureOut).describe('Kinds of failure, the most frequent first.'),
  failures_without_kind: z.int().describe('Outcome 0, and nobody said what went wrong.'),
});

export const findPatterns = defineTool({
  name: 'find_patterns',
  title: 'Find Patterns',
  description:
    "Task types, weekdays and levels of confidence in which a model's success differs from its other decisions, and task types in which it fails in its own way; p-values are adjusted for all that was tried (Benjamini-Hochberg). With the kinds of its failures.",
  effect: 'read',
  hints: reading,
  untrusted: 'bounded',
  input: z.object({
    model: modelField,
    task_type: taskTypeField,
    ...windowFields,
    source: sourceField,
    alpha: z
      .number()
      .min(0.001)
      .max(0.5)
      .default(0.05)
      .describe('Share of false patterns that may be among those found.'),
  }),
  output: answerOut,
  async handler(args, { reading: reader }: Store, call) {
    const model = reader.model(args.model);
    const window = windowOf(args, call.nowMs);
    const taskType = args.task_type === undefined ? undefined : reader.taskType(args.task_type);
    return inTurns(
      reader.read,
      call,
      patternSteps(reader, { ...args, model, window, taskType, nowMs: call.nowMs }),
    );
  },
});

interface Question {
  readonly model: ModelRow;
  readonly window: Window;
  readonly taskType: number | undefined;
  readonly source?: SourceChoice | undefined;
  readonly alpha: number;
  readonly nowMs: number;
}

interface Candidate {
  readonly dimension: Dimension | 'error_kind';
  readonly group: string;
  readonly inside: Rate;
  readonly outside: Rate;
}

const chosenOf = (cell: Cell, choice: SourceChoice): Judged[] =>
  cell.judged.filter(
    (judged, at): judged is Judged => judged !== undefined && (choice === 'pooled' || sources[at] === choice),
  );

function rateOf(cell: Cell, choice: SourceChoice): Rate {
  let [successes, trials] = [0, 0];
  for (const { n, sumOutcome } of chosenOf(cell, choice)) {
    successes += sumOutcome / unit;
    trials += n;
  }
  return { successes: Math.min(successes, trials), trials };
}

const without = (all: Rate, part: Rate): Rate => {
  const trials = all.trials - part.trials;
  return { successes: Math.min(trials, Math.max(0, all.successes - part.successes)), trials };
};

function addCell(into: Map<number, Cell>, key: number, cell: Cell): void {
  let there = into.get(key);
  if (!there) into.set(key, (there = emptyCell()));
  mergeCell(there, cell);
}

const sumOf = (counts: Float64Array) => counts.reduce((total, count) => total + count, 0);

function* patternSteps(
  reader: Reading,
  { model, window, taskType, source, alpha, nowMs }: Question,
): Steps<z.input<typeof answerOut>> {
  const snapshot = snapshotOf(reader.change(), nowMs);
  const all = emptyCell();
  const groups = { task_type: new Map<number, Cell>(), weekday: new Map<number, Cell>() };
  yield* reader.cells({ model: model.id, ...window, taskType }, (cell, day, type) => {
    mergeCell(all, cell);
    addCell(groups.task_type, type, cell);
    addCell(groups.weekday, day % 7, cell);
  });
  const names = reader.taskTypeNames();
  const choice = source ?? strongest(all.judged) ?? 'ground_truth';
  const base = rateOf(all, choice);
  const candidates: Candidate[] = [];
  for (const [dimension, nameOf] of [
    ['task_type', (key: number) => names.get(key) ?? ''],
    ['weekday', (key: number) => weekdays[key] ?? ''],
  ] as const) {
    for (const [key, cell] of groups[dimension]) {
      const inside = rateOf(cell, choice);
      candidates.push({ dimension, group: nameOf(key), inside, outside: without(base, inside) });
      yield;
    }
  }
  candidates.push(...byConfidence(all, choice), ...byError(groups.task_type, all, names));
  const tried = candidates.filter(
    ({ inside, outside }) => inside.trials >= leastInGroup && outside.trials >= leastInGroup,
  );
  const pValues: number[] = [];
  for (const { inside, outside } of tried) {
    pValues.push(equalRatesP(inside, outside));
    if (pValues.length % 64 === 0) yield;
  }
  const adjustedP = adjusted(pValues, 'benjamini-hochberg');
  const found = tried
    .map((candidate, at) => ({ ...candidate, p: adjustedP[at] ?? 1 }))
    .filter(({ p }) => p <= alpha)
    .toSorted((a, b) => a.p - b.p)
    .slice(0, mostShown);
  const mix = choice === 'pooled' ? mixOf(all.judged) : base.trials > 0 ? { [choice]: base.trials } : {};
  const warnings = choice === 'pooled' && Object.keys(mix).length > 1 ? [pooledWarning] : [];
  const named = sumOf(all.errors);
  const failed = chosenOf(all, 'pooled').reduce((sum, { failures }) => sum + failures, 0);
  return {
    model: model.key,
    base: successRate(snapshot, all.judged, choice, 'wilson', all.clustered),
    patterns: found.map(({ dimension, group, inside, outside, p }) => {
      const [rate, rest] = [inside.successes / inside.trials, outside.successes / outside.trials];
      return {
        dimension,
        group,
        direction: rate > rest ? ('above' as const) : ('below' as const),
        rate: figure(snapshot, {
          value: rate,
          interval: wilson(inside.successes, inside.trials),
          n: inside.trials,
          method: 'rate, wilson interval',
          mix: dimension === 'error_kind' ? {} : choice === 'pooled' ? mix : { [choice]: inside.trials },
          warnings,
        }),
        rest: rounded(rest),
        difference: figure(snapshot, {
          value: rate - rest,
          interval: newcombe(inside, outside),
          n: inside.trials + outside.trials,
          method: 'difference of rates, Newcombe interval (method 10); the interval is not adjusted',
          mix: dimension === 'error_kind' ? {} : mix,
          warnings,
        }),
        p_adjusted: rounded(p),
      };
    }),
    tried: tried.length,
    failures: [...all.errors.entries()]
      .filter(([, count]) => count > 0)
      .toSorted(([, a], [, b]) => b - a)
      .map(([kind, count]) => ({
        error_kind: errorKinds[kind] ?? 'other',
        share: figure(snapshot, {
          value: count / named,
          interval: wilson(count, named),
          n: named,
          method: 'share of failures that were named, whoever judged them, wilson interval',
        }),
      })),
    failures_without_kind: Math.max(0, failed - named),
  };
}

function byConfidence(all: Cell, choice: SourceChoice): Candidate[] {
  const rates = Array.from({ length: bands }, () => ({ successes: 0, trials: 0 }));
  for (const { bins } of chosenOf(all, choice)) {
    for (let bin = 0; bin < fineBins; bin += 1) {
      const rate = rates[Math.floor((bin * bands) / fineBins)] as { successes: number; trials: number };
      rate.trials += bins[bin * 4] as number;
      rate.successes += (bins[bin * 4 + 2] as number) / unit;
    }
  }
  const total = rates.reduce((sum, rate) => ({
    successes: sum.successes + rate.successes,
    trials: sum.trials + rate.trials,
  }));
  return rates.map((rate, band) => ({
    dimension: 'confidence' as const,
    group: `${band / bands} to ${(band + 1) / bands}`,
    inside: { ...rate, successes: Math.min(rate.successes, rate.trials) },
    outside: without(total, rate),
  }));
}

/** Of the failures of a task type, how many are of this kind, beside those of the other task types. */
function byError(
  groups: ReadonlyMap<number, Cell>,
  all: Cell,
  names: ReadonlyMap<number, string>,
): Candidate[] {
  if (groups.size < 2) return [];
  const total = sumOf(all.errors);
  return [...groups].flatMap(([type, { errors }]) => {
    const trials = sumOf(errors);
    return [...errors.entries()]
      .filter(([kind]) => (all.errors[kind] ?? 0) > 0)
      .map(([kind, successes]) => {
        const inside = { successes, trials };
        return {
          dimension: 'error_kind' as const,
          group: `${errorKinds[kind] ?? ''} among failures of ${names.get(type) ?? ''}`,
          inside,
          outside: without({ successes: all.errors[kind] ?? 0, trials: total }, inside),
        };
      });
  });
}
