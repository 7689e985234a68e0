/** Kinds of tasks at which a model is better or worse than the others, and whether its confidence can be relied on. */
import { ToolError } from '#runtime/errors.ts';
import { clusteredMean, effectiveCount, type ClusterSums } from '#statistics/clustered.ts';
import { equalRatesP, newcombe } from '#statistics/differences.ts';
import { normalTwoSided } from '#statistics/distributions.ts';
import { adjusted } from '#statistics/multiplicity.ts';
import { mcnemar, tango } from '#statistics/paired.ts';
import { wilson, type Interval } from '#statistics/rates.ts';
import { finite } from '#statistics/figure.ts';

import { figure, neededFor, verdictOf, type Figure } from '../figure.ts';
import { maxRowsRead } from '../limits.ts';
import { chosenSources, type Reading, type Subject } from '../store/reading.ts';
import type { Scores } from '../store/clusters.ts';
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
  /** What of them is independent. */
  readonly units: number;
  /** Of one of them, as if they were independent. */
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
  const rows = tested.map(
    ({ taskType, value, interval, p, n, units, variance, method, mix }, index): TaskRow => {
      const adjustedP = pValues[index] ?? 1;
      const single = verdictOf(interval, units, { margin });
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
        p_value: finite(p) ?? 1,
        p_adjusted: finite(adjustedP) ?? 1,
      };
    },
  );
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

/** Outcomes that are not all independent count as fewer. */
function rateOf(sums: ClusterSums) {
  const rate = sums.sum / sums.n;
  const trials = effectiveCount(sums, rate * (1 - rate));
  return { rate, trials, successes: rate * trials };
}

/** What an interval was made of, where that are not all. */
const ofFewer = ({ units, n }: ClusterSums, effective: number) =>
  units < n ? ` of ${effective.toFixed(0)} independent ones, from ${units} items or clusters` : '';

function byDecisions(reading: Reading, subject: Subject, { sources: asked }: StrengthsRequest): Found {
  const { kind } = subject;
  const counts = reading.outcomes({ kind }).filter((row) => row.subject === subject.id);
  const { places, mix, warnings } = chosenSources(counts, asked);
  const which = { kind, sources: places };
  const { clusters } = reading;
  const total = clusters.outcomes(which, subject.id);
  if (!total || total.n === 0) {
    throw new ToolError('not_found', `${subject.key} has no decision with an outcome.`, {
      hint: 'resolve_outcome of model-profile says how decisions turned out; source: "battles" looks at battles.',
    });
  }
  const own = clusters.outcomesByType(which, subject.id);
  const others = new Map(clusters.othersByType(which, subject.id).map((row) => [row.task_type, row]));
  const tested = own.flatMap((sums): Tested[] => {
    const rest = others.get(sums.task_type);
    if (!rest) return [];
    const [one, other] = [rateOf(sums), rateOf(rest)];
    return [
      {
        taskType: sums.task_type,
        value: one.rate - other.rate,
        interval: newcombe(one, other),
        p: equalRatesP(one, other),
        n: sums.n,
        units: sums.units,
        variance:
          (one.rate * (1 - one.rate) * sums.n) / one.trials +
          (other.rate * (1 - other.rate) * rest.n) / other.trials,
        method: `success rate less that of the others (n ${rest.n}), Newcombe interval${ofFewer(sums, one.trials)}; p adjusted by Benjamini-Hochberg`,
        mix,
      },
    ];
  });
  const alone = own.length - tested.length;
  const overall = rateOf(total);
  return {
    tested,
    overall: {
      value: overall.rate,
      interval: wilson(overall.successes, overall.trials),
      n: total.n,
      method: `success rate, Wilson interval${ofFewer(total, overall.trials)}`,
      mix,
    },
    confidence: confidenceGap(clusters.confidenceGap(which, subject.id), mix),
    warnings: [
      ...warnings,
      ...(alone > 0 ? [`${alone} kinds of tasks are left out, which no other ${kind} has done.`] : []),
      'Others may have had other items: compare_models pairs the items that two share.',
    ],
  };
}

/** Confidence is judged by how often it is right, never by its height. */
function confidenceGap(
  sums: ClusterSums | undefined,
  mix: Record<string, number>,
): Parameters<typeof figure>[1] | undefined {
  if (!sums || sums.units < 2) return undefined;
  const { mean, interval } = clusteredMean(sums);
  const over = sums.units < sums.n ? ` over ${sums.units} items or clusters` : '';
  return {
    value: mean,
    interval,
    n: sums.n,
    method: `mean of confidence less outcome, t interval${over}: above 0 is over-confident; get_calibration of model-profile tells more`,
    mix,
  };
}

/** Win rate less loss rate. Battles about one item count as fewer. */
function scoreOf(scores: Scores) {
  const { wins, losses, n, units } = scores;
  const value = (wins - losses) / n;
  const spread = (wins + losses) / n - value * value;
  const effective = effectiveCount(scores, spread);
  const share = effective / n;
  const table = {
    both: 0,
    first: wins * share,
    second: losses * share,
    neither: (n - wins - losses) * share,
  };
  const differing = Math.sqrt(table.first + table.second);
  return {
    value,
    interval: tango(table),
    n,
    units,
    p:
      units === n
        ? mcnemar(wins, losses).midP
        : normalTwoSided(differing === 0 ? 0 : (table.first - table.second) / differing),
    variance: spread / share,
    method: `win rate less loss rate, score interval (Tango)${ofFewer(scores, effective)}`,
  };
}

/** Battles that are all taken for independent. */
const apart = ({ wins, losses, n }: { wins: number; losses: number; n: number }): Scores => ({
  wins,
  losses,
  n,
  units: n,
  sum: wins - losses,
  squares: wins + losses,
  cross: wins - losses,
  sizes: n,
});

function byBattles(reading: Reading, subject: Subject, { sources: asked }: StrengthsRequest): Found {
  const all = reading.pairsOf(subject);
  const counts = new Map<number, number>();
  let battles = 0;
  for (const { source, wa, wb, t, bb } of all) {
    const n = wa + wb + t + bb;
    counts.set(source, (counts.get(source) ?? 0) + n);
    battles += n;
  }
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
  const hasItems = reading.hasItems();
  const isItemwise = hasItems && battles <= maxRowsRead;
  const which = { kind: subject.kind, sources: places };
  const byType = isItemwise
    ? reading.clusters.scoresByType(which, subject.id)
    : [...sums].map(([type, sum]) => ({ ...apart(sum), task_type: type }));
  const total = isItemwise
    ? reading.clusters.scores(which, subject.id)
    : apart(
        [...sums.values()].reduce((sum, one) => ({
          wins: sum.wins + one.wins,
          losses: sum.losses + one.losses,
          n: sum.n + one.n,
        })),
      );
  return {
    tested: byType.map((scores) => {
      const { method, ...found } = scoreOf(scores);
      return {
        ...found,
        taskType: scores.task_type,
        method: `${method}; p by McNemar, adjusted by Benjamini-Hochberg`,
        mix,
      };
    }),
    overall: { ...scoreOf(total ?? apart({ wins: 0, losses: 0, n: 0 })), mix },
    warnings: [
      ...warnings,
      ...(hasItems && !isItemwise
        ? [`Of more than ${maxRowsRead} battles, intervals take each for independent, whatever its item.`]
        : []),
      'Against whom it stood is not taken into account: rank_models with task_type does that.',
    ],
  };
}
