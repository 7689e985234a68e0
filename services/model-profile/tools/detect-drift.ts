/** Whether a model has changed. */
import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { reading } from '#runtime/hints.ts';
import { toldBriefly } from '#runtime/fields.ts';
import { defineTool } from '#runtime/tool.ts';
import { inTurns, telling, type Steps } from '#runtime/turns.ts';
import {
  cusumStep,
  falseAlarmEvery,
  monitoring,
  monitorLength,
  monitorState,
  PairedEvidence,
} from '#statistics/drift.ts';
import { wilson } from '#statistics/rates.ts';
import { figure, rounded, type Figure, type State } from '#statistics/figure.ts';

import { modelField, sourceField, taskTypeField, windowFields, windowOf, type Window } from '../fields.ts';
import { figureOut, meanWith, snapshotOf, type SourceChoice } from '../figure.ts';
import { maxRowsRead } from '../limits.ts';
import { dayOf } from '../store/day.ts';
import { metrics } from '../store/metrics.ts';
import type { ModelRow, Reading, StoredDecision } from '../store/reading.ts';
import type { Store } from '../store/store.ts';
import { sources } from '../vocabulary.ts';

type Metric = (typeof metrics)[number];

const alarmOut = toldBriefly(
  z.object({
    direction: z.enum(['up', 'down']).describe('Which way.'),
    change: z.int().describe('Number of the decision.'),
    time: z.string().describe('When it was made.'),
    decision: z.string().optional().describe('Its uid.'),
    index: z.int().optional().describe('Its place among those that were looked at.'),
  }),
  'direction',
  'change',
  'time',
);

/** Alarms that one answer names. */
const mostAlarms = 20;
/** Fewer after the baseline show nothing. */
const leastAfter = 10;
/** At which an e-value rejects at 5 %. */
const enough = 20;

const answerOut = z.object({
  model: z.string().describe('Its key.'),
  verdict: z.enum(['drift', 'no_drift_shown', 'inconclusive']).describe('inconclusive: see needed_n.'),
  needed_n: z.int().optional().describe('Decisions that are missing.'),
  baseline: figureOut.describe('What is usual.'),
  since: figureOut.describe('The same of what came after.'),
  alarms: z.array(alarmOut).describe('Where cusum alarmed, the first ones; it begins anew after each.'),
  alarm_count: z.int().describe('All of them.'),
  chart: toldBriefly(
    z.object({
      target: z.number().describe('Usual value.'),
      slack: z.number().describe('K.'),
      threshold: z.number().describe('H.'),
      high: z.number().describe('s_H now.'),
      low: z.number().describe('s_L now.'),
      false_alarm_every: z.number().nullable().describe('Decisions between false alarms, on average.'),
    }),
    'false_alarm_every',
  )
    .optional()
    .describe('Of cusum: target, slack, threshold, sums.'),
  evidence: z
    .object({
      e_value: z.number().describe('Highest so far; 20 rejects at 5 %.'),
      pairs: z.int().describe('Of one decision before and one after.'),
    })
    .optional()
    .describe('Of evalue.'),
  monitor: toldBriefly(
    z.object({
      seen: z.int().describe('Values since the model was registered.'),
      alarms: z.int().describe('How often it alarmed.'),
      last: z.array(alarmOut).describe('The last ones, newest first.'),
    }),
    'seen',
    'alarms',
  ).describe('The chart that runs along as decisions come, over all kinds of tasks and sources.'),
});

export const detectDrift = defineTool({
  name: 'detect_drift',
  title: 'Detect Drift',
  description:
    "Whether a model's success, Brier score, latency or cost has changed since a baseline, its first decisions in the window. cusum finds small lasting shifts and gives false alarms at a known rate; evalue may be asked again and again and still errs in at most 5 % of cases.",
  effect: 'read',
  hints: reading,
  untrusted: 'bounded',
  input: z.object({
    model: modelField,
    metric: z.enum(metrics).default('success').describe('latency and cost by their logarithm.'),
    method: z.enum(['cusum', 'evalue']).default('cusum').describe('How.'),
    task_type: taskTypeField,
    ...windowFields,
    source: sourceField,
    baseline: z.int().min(10).max(50_000).default(100).describe('How many decisions say what is usual.'),
    target: z.number().optional().describe('For cusum: what is usual, instead of the baseline.'),
    slack: z
      .number()
      .positive()
      .max(1e12)
      .optional()
      .describe('K of cusum: half of the shift to find; half a standard deviation unless given.'),
    threshold: z
      .number()
      .positive()
      .max(1e12)
      .optional()
      .describe('H of cusum; 8 standard deviations unless given.'),
  }),
  output: answerOut,
  async handler(args, { reading: reader }: Store, call) {
    if (args.method === 'evalue' && (args.target ?? args.slack ?? args.threshold) !== undefined) {
      throw new ToolError(
        'invalid_input',
        'target, slack and threshold are for cusum; evalue needs none of them.',
      );
    }
    const model = reader.model(args.model);
    const window = windowOf(args, call.nowMs);
    const taskType = args.task_type === undefined ? undefined : reader.taskType(args.task_type);
    return inTurns(
      reader.read,
      call,
      telling(call, driftSteps(reader, { ...args, model, window, taskType, nowMs: call.nowMs })),
    );
  },
});

interface Question {
  readonly model: ModelRow;
  readonly metric: Metric;
  readonly method: 'cusum' | 'evalue';
  readonly window: Window;
  readonly taskType: number | undefined;
  readonly source?: SourceChoice | undefined;
  readonly baseline: number;
  readonly target?: number | undefined;
  readonly slack?: number | undefined;
  readonly threshold?: number | undefined;
  readonly nowMs: number;
}

interface Point {
  readonly value: number;
  readonly id: number;
  readonly uid: string;
  readonly atMs: number;
  readonly source: number | null;
}

function valueOf(row: StoredDecision, metric: Metric): number | null {
  const { outcome, confidence, latency_ms: latencyMs, cost_usd: costUsd } = row;
  if (metric === 'latency') return latencyMs === null ? null : Math.log(latencyMs + 1e-3);
  if (metric === 'cost') return costUsd === null ? null : Math.log(costUsd + 1e-9);
  if (metric === 'success' || outcome === null) return outcome;
  return confidence === null ? null : (confidence - outcome) ** 2;
}

const isJudged = (metric: Metric) => metric === 'success' || metric === 'brier';

/** In the order in which they were recorded, the newest that are read. */
function* pointsOf(
  reader: Reading,
  { model, metric, window, taskType, source }: Question,
): Steps<{ points: Point[]; source: SourceChoice | undefined; left: readonly string[] }> {
  const points: Point[] = [];
  let seen = 0;
  const rest = yield* reader.decisions(reader.newestOf(model), (row) => {
    seen += 1;
    const day = dayOf(row.at_ms);
    const value = valueOf(row, metric);
    if (
      value !== null &&
      day >= window.fromDay &&
      day <= window.toDay &&
      (taskType === undefined || row.task_type === taskType)
    ) {
      points.push({ value, id: row.id, uid: row.uid, atMs: row.at_ms, source: row.source });
    }
    return seen < maxRowsRead;
  });
  points.reverse();
  const isCut = rest.length > 0;
  const gone = isCut ? 0 : model.decisions - seen;
  const left = [
    ...(isCut ? [`Only the newest ${maxRowsRead} decisions were read.`] : []),
    ...(gone > 0 ? [`${gone} older decisions are no longer kept one by one, and are not in it.`] : []),
  ];
  if (!isJudged(metric) || source === 'pooled') return { points, source, left };
  const chosen = source ?? sources.find((_, at) => points.some((point) => point.source === at));
  return {
    points: points.filter((point) => chosen !== undefined && point.source === sources.indexOf(chosen)),
    source: chosen,
    left,
  };
}

function* driftSteps(reader: Reading, question: Question): Steps<z.input<typeof answerOut>> {
  const { model, metric, method } = question;
  const snapshot = snapshotOf(reader.change(), question.nowMs);
  const { points, source, left } = yield* pointsOf(reader, question);
  const count = question.target === undefined ? Math.min(question.baseline, points.length) : 0;
  const before = points.slice(0, count);
  const after = points.slice(count);
  const missing = (question.target === undefined ? question.baseline : 0) + leastAfter - points.length;
  const about = { metric, source, snapshot, left };
  const common = {
    model: model.key,
    baseline: summary(before, about),
    since: summary(after, about),
    monitor: monitorOf(reader, model, metric),
  };
  if (missing > 0)
    return { ...common, verdict: 'inconclusive', needed_n: missing, alarms: [], alarm_count: 0 };
  if (method === 'evalue') {
    const evidence = yield* evidenceOf(metric, before, after);
    const isDrift = evidence.highestLog >= Math.log(enough);
    return {
      ...common,
      verdict: isDrift ? 'drift' : 'no_drift_shown',
      alarms: [],
      alarm_count: 0,
      evidence: {
        e_value: rounded(Math.min(Math.exp(evidence.highestLog), Number.MAX_VALUE)),
        pairs: evidence.pairs,
      },
    };
  }
  const { chart, alarms, alarmCount } = yield* charted(question, before, after);
  return {
    ...common,
    verdict: alarmCount > 0 ? 'drift' : 'no_drift_shown',
    alarms,
    alarm_count: alarmCount,
    chart,
  };
}

const pointsPerStep = 1_000;

function* charted(
  { target: given, slack: givenSlack, threshold: givenThreshold }: Question,
  before: readonly Point[],
  after: readonly Point[],
) {
  // Where a target is given, the deviation is that of all values.
  const { mean, deviation: found } = momentsOf(before.length > 0 ? before : after);
  // Values that are all the same: any other one is a change.
  const deviation = found > 0 ? found : Math.max(1e-9, 0.05 * Math.abs(mean));
  const plan = {
    target: given ?? mean,
    slack: givenSlack ?? deviation / 2,
    limit: givenThreshold ?? monitoring.limit * deviation,
  };
  const state = { high: 0, low: 0 };
  const alarms: z.input<typeof alarmOut>[] = [];
  let alarmCount = 0;
  for (const [index, { value, id, uid, atMs }] of after.entries()) {
    const direction = cusumStep(state, value, plan);
    if (direction) {
      alarmCount += 1;
      if (alarms.length < mostAlarms)
        alarms.push({ direction, change: id, time: new Date(atMs).toISOString(), decision: uid, index });
      Object.assign(state, { high: 0, low: 0 });
    }
    if (index % pointsPerStep === 0) yield;
  }
  const every = falseAlarmEvery(plan.slack / deviation, plan.limit / deviation);
  const chart = {
    target: rounded(plan.target),
    slack: rounded(plan.slack),
    threshold: rounded(plan.limit),
    high: rounded(state.high),
    low: rounded(state.low),
    false_alarm_every: Number.isFinite(every) ? Math.round(every) : null,
  };
  return { chart, alarms, alarmCount };
}

/** Times and prices count as outcomes by whether they are above the middle of the first half of the baseline. */
function* evidenceOf(metric: Metric, before: readonly Point[], after: readonly Point[]) {
  const half = isJudged(metric) ? 0 : before.length >> 1;
  const middle =
    before
      .slice(0, half)
      .map(({ value }) => value)
      .toSorted((a, b) => a - b)[half >> 1] ?? 0;
  const outcomeOf = ({ value }: Point) => (isJudged(metric) ? value : value > middle ? 1 : 0);
  const usual = before.slice(half);
  const evidence = new PairedEvidence();
  for (const [at, point] of after.slice(0, usual.length).entries()) {
    evidence.add(outcomeOf(usual[at] as Point), outcomeOf(point));
    if (at % pointsPerStep === 0) yield;
  }
  return evidence;
}

function momentsOf(points: readonly Point[]) {
  const n = points.length;
  const mean = points.reduce((sum, { value }) => sum + value, 0) / n;
  const squares = points.reduce((sum, { value }) => sum + (value - mean) ** 2, 0);
  return { n, mean, deviation: n > 1 ? Math.sqrt(squares / (n - 1)) : 0 };
}

function summary(
  points: readonly Point[],
  {
    metric,
    source,
    snapshot,
    left,
  }: {
    metric: Metric;
    source: SourceChoice | undefined;
    snapshot: State;
    /** What is not in it. */
    left: readonly string[];
  },
): Figure {
  const { n, mean, deviation } = momentsOf(points);
  const mix: Record<string, number> = {};
  if (isJudged(metric))
    for (const { source: judge } of points)
      if (judge !== null) mix[sources[judge] ?? ''] = (mix[sources[judge] ?? ''] ?? 0) + 1;
  const warnings = [
    ...left,
    ...(source === 'pooled' && Object.keys(mix).length > 1
      ? ['Sources are pooled: a change of who judges looks like drift.']
      : []),
  ];
  if (n === 0)
    return figure(snapshot, {
      value: undefined,
      n,
      method: 'mean',
      warnings: [...warnings, 'There is no value.'],
    });
  if (metric === 'success') {
    return figure(snapshot, {
      value: mean,
      interval: wilson(Math.min(n, mean * n), n),
      n,
      mix,
      method: 'mean outcome, wilson interval',
      warnings,
    });
  }
  const made = meanWith(snapshot, { mean, deviation, n, mix, method: 'mean, t interval' });
  const all = { ...made, warnings: [...warnings, ...made.warnings] };
  if (metric === 'brier') return all;
  const back = (log: number) => rounded(Math.max(0, Math.exp(log) - (metric === 'latency' ? 1e-3 : 1e-9)));
  return {
    ...all,
    value: all.value === null ? null : back(all.value),
    ci95: all.ci95?.map(back) ?? null,
    method: `geometric mean in ${metric === 'latency' ? 'ms' : 'USD'}, t interval of logarithms`,
  };
}

function monitorOf(reader: Reading, model: ModelRow, metric: Metric) {
  const at = metrics.indexOf(metric);
  const { buffer, byteOffset, byteLength } = model.monitors;
  const numbers = new Float64Array(buffer.slice(byteOffset, byteOffset + byteLength));
  const { seen, alarms } = monitorState(numbers, at * monitorLength);
  return {
    seen,
    alarms,
    last: reader.drift(model.id, at).map(({ direction, change, at_ms: atMs }) => ({
      direction,
      change,
      time: new Date(atMs).toISOString(),
    })),
  };
}
