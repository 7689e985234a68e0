/** Kinds of tasks at which a model is better or worse than the others, and whether its confidence can be relied on. */
import { ToolError } from '#runtime/errors.ts';
import { equalRatesP, newcombe } from '#statistics/differences.ts';
import { tOf } from '#statistics/distributions.ts';
import { adjusted } from '#statistics/multiplicity.ts';
import { mcnemar, tango } from '#statistics/paired.ts';
import { wilson, type Interval } from '#statistics/rates.ts';

import { figure, neededFor, rounded, verdictOf, type Figure } from '../figure.ts';
import { chosenSources, type Reading, type Subject, type Sums } from '../store/reading.ts';
import type { Verdict } from '../vocabulary.ts';

export interface StrengthsRequest {
  readonly model: string;
  /** Decisions where there are some, unless given. */
  readonly from: 'decisions' | 'battles' | undefined;
  readonly sources: readonly number[] | undefined;
  readonly alpha: number;
  readonly margin: number | undefined;
  readonly nowMs: number;
}

export interface TaskRow extends Figure {
  readonly task_type: string;
  readonly p_value: number;
  /** By Benjamini and Hochberg, over all kinds of tasks. */
  readonly p_adjusted: number;
}

export interface Strengths {
  readonly key: string;
  /** In all kinds of tasks together. */
  readonly overall: Figure;
  readonly strengths: TaskRow[];
  readonly weaknesses: TaskRow[];
  readonly others: TaskRow[];
  /** Mean confidence less success rate: above 0 is over-confident. */
  readonly confidence_gap?: Figure;
}

interface Tested {
  readonly taskType: number;
  readonly value: number;
  readonly interval: Interval;
  readonly p: number;
  readonly n: number;
  readonly variance: number;
  readonly method: string;
  readonly mix: Record<string, number>;
}

export function strengths(reading: Reading, request: StrengthsRequest): Strengths {
  const { alpha, margin, nowMs } = request;
  const subject = reading.subject(request.model);
  const from = request.from ?? (reading.hasDecisions(subject) ? 'decisions' : 'battles');
  const snapshot = reading.snapshot(nowMs);
  const names = reading.taskTypes();
  const found =
    from === 'battles' ? byBattles(reading, subject, request) : byDecisions(reading, subject, request);
  const { tested, warnings } = found;
  const pValues = adjusted(
    tested.map(({ p }) => p),
    'benjamini-hochberg',
  );
  const rows = tested.map(({ taskType, value, interval, p, n, variance, method, mix }, index): TaskRow => {
    const adjustedP = pValues[index] ?? 1;
    const single = verdictOf(interval, n, { margin });
    // Of several, only what survives the adjustment is told.
    const verdict: Verdict = single === 'equivalent' || adjustedP <= alpha ? single : 'inconclusive';
    return {
      task_type: names.get(taskType) ?? '',
      ...figure(snapshot, {
        value,
        interval,
        n,
        method,
        mix,
        verdict,
        neededN: verdict === 'inconclusive' ? neededFor(value, variance, n, margin) : undefined,
      }),
      p_value: rounded(p) ?? 1,
      p_adjusted: rounded(adjustedP) ?? 1,
    };
  });
  const having = (verdict: Verdict) => rows.filter((row) => row.verdict === verdict);
  return {
    key: subject.key,
    overall: figure(snapshot, { ...found.overall, warnings }),
    strengths: byValue(having('better')),
    weaknesses: byValue(having('worse')),
    others: rows
      .filter(({ verdict }) => verdict !== 'better' && verdict !== 'worse')
      .toSorted((one, other) => other.n - one.n),
    ...(found.confidence && { confidence_gap: figure(snapshot, found.confidence) }),
  };
}

const byValue = (list: TaskRow[]) =>
  list.toSorted((one, other) => Math.abs(other.value ?? 0) - Math.abs(one.value ?? 0));

type Overall = Omit<Parameters<typeof figure>[1], 'warnings'>;

interface Found {
  readonly tested: readonly Tested[];
  readonly overall: Overall;
  readonly confidence?: Parameters<typeof figure>[1] | undefined;
  readonly warnings: readonly string[];
}

interface Sum {
  successes: number;
  n: number;
}

function byDecisions(reading: Reading, subject: Subject, { sources: asked }: StrengthsRequest): Found {
  const rows = reading.outcomes({ kind: subject.kind });
  const { places, mix, warnings } = chosenSources(
    rows.filter((row) => row.subject === subject.id),
    asked,
  );
  const [own, others] = [new Map<number, Sum>(), new Map<number, Sum>()];
  for (const { subject: id, task_type: type, source, successes, n } of rows) {
    if (!places.includes(source)) continue;
    const sums = id === subject.id ? own : others;
    const sum = sums.get(type) ?? { successes: 0, n: 0 };
    sum.successes += successes;
    sum.n += n;
    sums.set(type, sum);
  }
  if (own.size === 0) {
    throw new ToolError('not_found', `${subject.key} has no decision with an outcome.`, {
      hint: 'resolve_outcome of model-profile says how decisions turned out; source: "battles" looks at battles.',
    });
  }
  const tested = [...own].flatMap(([taskType, { successes, n }]): Tested[] => {
    const rest = others.get(taskType);
    if (!rest) return [];
    const one = { successes, trials: n };
    const other = { successes: rest.successes, trials: rest.n };
    const [p1, p2] = [successes / n, rest.successes / rest.n];
    return [
      {
        taskType,
        value: p1 - p2,
        interval: newcombe(one, other),
        p: equalRatesP(one, other),
        n,
        variance: p1 * (1 - p1) + p2 * (1 - p2),
        method: `success rate less that of the others (n ${rest.n}), Newcombe interval; p adjusted by Benjamini-Hochberg`,
        mix,
      },
    ];
  });
  const alone = [...own.keys()].filter((type) => !others.has(type)).length;
  const total = [...own.values()].reduce(
    (sum, one) => ({ successes: sum.successes + one.successes, n: sum.n + one.n }),
    {
      successes: 0,
      n: 0,
    },
  );
  return {
    tested,
    overall: {
      value: total.successes / total.n,
      interval: wilson(total.successes, total.n),
      n: total.n,
      method: 'success rate, Wilson interval',
      mix,
    },
    confidence: confidenceGap(reading.confidenceGap(subject, places), mix),
    warnings: [
      ...warnings,
      ...(alone > 0
        ? [`${alone} kinds of tasks are left out, which no other ${subject.kind} has done.`]
        : []),
      'Others may have had other items: compare_models pairs the items that two share.',
    ],
  };
}

/** Confidence is judged by how often it is right, never by its height. */
function confidenceGap(
  sums: Sums | undefined,
  mix: Record<string, number>,
): Parameters<typeof figure>[1] | undefined {
  const { n, sum, squares } = sums ?? { n: 0, sum: 0, squares: 0 };
  if (n < 2) return undefined;
  const mean = sum / n;
  const half = tOf(0.95, n - 1) * Math.sqrt(Math.max(0, squares - n * mean * mean) / (n - 1) / n);
  return {
    value: mean,
    interval: [mean - half, mean + half],
    n,
    method:
      'mean of confidence less outcome, t interval: above 0 is over-confident; get_calibration of model-profile tells more',
    mix,
  };
}

const tableOf = ({ wins, losses, n }: { wins: number; losses: number; n: number }) => ({
  both: 0,
  first: wins,
  second: losses,
  neither: n - wins - losses,
});

function byBattles(reading: Reading, subject: Subject, { sources: asked }: StrengthsRequest): Found {
  const all = reading.pairsOf(subject);
  const counts = new Map<number, number>();
  for (const { source, wa, wb, t, bb } of all)
    counts.set(source, (counts.get(source) ?? 0) + wa + wb + t + bb);
  const { places, mix, warnings } = chosenSources(
    [...counts].map(([source, n]) => ({ source, n })),
    asked,
  );
  const sums = new Map<number, { wins: number; losses: number; n: number }>();
  for (const { a, task_type: type, source, wa, wb, t, bb } of all) {
    if (!places.includes(source)) continue;
    const sum = sums.get(type) ?? { wins: 0, losses: 0, n: 0 };
    sum.wins += a === subject.id ? wa : wb;
    sum.losses += a === subject.id ? wb : wa;
    sum.n += wa + wb + t + bb;
    sums.set(type, sum);
  }
  if (sums.size === 0) {
    throw new ToolError('not_found', `${subject.key} has no battle of these sources.`, {
      hint: 'record_battles records battles; source: "decisions" looks at decisions.',
    });
  }
  const total = [...sums.values()].reduce(
    (sum, one) => ({ wins: sum.wins + one.wins, losses: sum.losses + one.losses, n: sum.n + one.n }),
    { wins: 0, losses: 0, n: 0 },
  );
  return {
    tested: [...sums].map(([taskType, sum]) => {
      const value = (sum.wins - sum.losses) / sum.n;
      return {
        taskType,
        value,
        interval: tango(tableOf(sum)),
        p: mcnemar(sum.wins, sum.losses).midP,
        n: sum.n,
        variance: (sum.wins + sum.losses) / sum.n - value * value,
        method:
          'win rate less loss rate, score interval (Tango); p by McNemar, mid-p, adjusted by Benjamini-Hochberg',
        mix,
      };
    }),
    overall: {
      value: (total.wins - total.losses) / total.n,
      interval: tango(tableOf(total)),
      n: total.n,
      method: 'win rate less loss rate, score interval (Tango)',
      mix,
    },
    warnings: [
      ...warnings,
      'Against whom it stood is not taken into account: rank_models with task_type does that.',
    ],
  };
}
