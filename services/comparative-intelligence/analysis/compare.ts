/** Is one better than the other? By items that both did, by rates of each, or by the battles between them. */
import { ToolError } from '#runtime/errors.ts';
import { clusterSums, effectiveCount } from '#statistics/clustered.ts';
import { evidenceAgainstEven } from '#statistics/evalues.ts';
import { finite } from '#statistics/figure.ts';
import { mcnemar, meanDifference, tango } from '#statistics/paired.ts';
import { wilson } from '#statistics/rates.ts';

import { figure, neededFor, verdictOf, type Figure, type Snapshot } from '../figure.ts';
import { minItems } from '../limits.ts';
import {
  chosenSources,
  requireOneKind,
  type DecisionRead,
  type Reading,
  type Subject,
} from '../store/reading.ts';
import { sources as sourceNames } from '../vocabulary.ts';
import {
  areBinary,
  clustersOf,
  ofDifferences,
  pairedFinding,
  sharedItems,
  unpairedFinding,
  type Finding,
  type Metric,
  type Value,
} from './findings.ts';

export interface CompareRequest {
  readonly a: string;
  readonly b: string;
  /** Decisions where both have some, unless given. */
  readonly from: 'decisions' | 'battles' | undefined;
  readonly metric: Metric;
  readonly paired: 'auto' | 'yes' | 'no';
  readonly margin: number | undefined;
  readonly taskType: string | undefined;
  readonly sources: readonly number[] | undefined;
  readonly seed: number;
  readonly nowMs: number;
}

export interface Comparison extends Figure {
  readonly a: Figure;
  readonly b: Figure;
  /** Two-sided, of "no difference". */
  readonly p_value: number | null;
  /** Of wins against losses: may be looked at again and again. */
  readonly e_value: number | null;
  /** Of one difference. */
  readonly variance: number;
  readonly keys: readonly [string, string];
}

export function compare(reading: Reading, request: CompareRequest): Comparison {
  const { a, b, metric, margin, nowMs } = request;
  const kind = requireOneKind([a, b]);
  const one = reading.subject(a);
  const other = reading.subject(b);
  if (one.id === other.id) throw new ToolError('invalid_input', 'a and b are the same: name two.');
  const from =
    request.from ?? ([one, other].every((each) => reading.hasDecisions(each)) ? 'decisions' : 'battles');
  if (from === 'battles' && metric !== 'success') {
    throw new ToolError('invalid_input', `Battles know no ${metric}.`, { hint: 'Use source: "decisions".' });
  }
  const snapshot = reading.snapshot(nowMs);
  const taskType = reading.taskType(request.taskType);
  const which = { kind, taskType };
  const { finding, rates, mix, warnings } =
    from === 'battles'
      ? byBattles(reading, one, other, which, request, snapshot)
      : byDecisions(reading, one, other, which, request, snapshot);
  const { value, interval, n, variance, method, p, wins, losses } = finding;
  const units = finding.units ?? n;
  const verdict = verdictOf(interval, units, {
    // An interval without width shows no equality: no spread was seen, which is not that there is none.
    margin: finding.isFlat ? undefined : margin,
    isLowerBetter: from === 'decisions' && metric !== 'success',
  });
  const needed = verdict === 'inconclusive' ? neededFor(value, variance, n, margin) : undefined;
  const evidence = wins === undefined || losses === undefined ? undefined : evidenceAgainstEven(wins, losses);
  return {
    ...figure(snapshot, {
      value,
      interval,
      n,
      method,
      mix,
      verdict,
      neededN: needed,
      warnings: [
        ...warnings,
        ...(finding.warnings ?? []),
        ...(units < minItems
          ? [`With ${units} independent items there is no verdict: ${minItems} are needed at least.`]
          : []),
        ...(verdict === 'inconclusive' && needed === undefined && value === 0
          ? ['No difference was seen: give a margin to ask whether they are equivalent.']
          : []),
        ...(evidence !== undefined && p < 0.05 && evidence < 20
          ? ['Significant for one look only: if you look again and again, wait for an e-value of 20.']
          : []),
      ],
    }),
    a: rates[0],
    b: rates[1],
    p_value: finite(p),
    e_value: evidence === undefined ? null : (finite(evidence) ?? Number.MAX_VALUE),
    variance,
    keys: [one.key, other.key],
  };
}

interface Found {
  readonly finding: Finding;
  readonly rates: readonly [Figure, Figure];
  readonly mix: Record<string, number>;
  readonly warnings: readonly string[];
}

type WhichOne = { readonly kind: Subject['kind']; readonly taskType: number | undefined };

function byBattles(
  reading: Reading,
  one: Subject,
  other: Subject,
  which: WhichOne,
  { sources: asked, seed }: CompareRequest,
  snapshot: Snapshot,
): Found {
  const counts = reading.battleMix(which, one, other).map(({ source, battles }) => ({ source, n: battles }));
  const { places, mix, warnings } = chosenSources(counts, asked);
  const battles = reading.battlesBetween(one, other, { ...which, sources: places });
  if (battles.length === 0) {
    const judged = counts.map(({ source }) => sourceNames[source]).join(', ');
    if (judged !== '') {
      throw new ToolError('not_found', `None of those judged a battle between ${one.key} and ${other.key}.`, {
        hint: `There are battles judged by ${judged}: name these in judged_by, or leave it out.`,
      });
    }
    throw new ToolError('not_found', `There is no battle between ${one.key} and ${other.key}.`, {
      hint: 'rank_models compares them through others; source: "decisions" compares what each did.',
    });
  }
  const scores = battles.map((battle) => (battle.a === one.id ? 1 : -1) * (2 * battle.outcome - 1));
  const items = battles.map(({ item }, index) => item ?? `battle ${index}`);
  const wins = scores.filter((score) => score > 0).length;
  const losses = scores.filter((score) => score < 0).length;
  const n = scores.length;
  const table = { both: 0, first: wins, second: losses, neither: n - wins - losses };
  const value = (wins - losses) / n;
  const variance = (wins + losses) / n - value * value;
  const isClustered = new Set(items).size < n;
  const finding = isClustered
    ? ofDifferences(scores, items, seed, 'win rate less loss rate; items judged more than once are clusters')
    : {
        value,
        interval: tango(table),
        p: mcnemar(wins, losses).midP,
        variance,
        n,
        method: 'win rate less loss rate, score interval (Tango); p by McNemar, mid-p',
      };
  const rate = (won: (score: number) => boolean) =>
    rateFigure(
      scores.map((score) => Number(won(score))),
      items,
      'share of battles won',
      mix,
      snapshot,
    );
  // Battles on one item are no series of independent games.
  return {
    finding: isClustered ? finding : { ...finding, wins, losses },
    rates: [rate((score) => score > 0), rate((score) => score < 0)],
    mix,
    warnings,
  };
}

function byDecisions(
  reading: Reading,
  one: Subject,
  other: Subject,
  which: WhichOne,
  request: CompareRequest,
  snapshot: Snapshot,
): Found {
  const { metric, sources: asked } = request;
  const rows = [one, other].map((subject) => reading.decisions(subject, which));
  const isJudged = metric === 'success' || metric === 'brier';
  const { places, mix, warnings } = isJudged
    ? sourcesOfBoth(rows, asked)
    : { places: [], mix: {}, warnings: [] };
  const values = rows.map((list) =>
    list.flatMap((row): Value[] => {
      if (isJudged && !places.includes(row.source ?? -1)) return [];
      const value = valuesOf[metric](row);
      return value === null ? [] : [{ item: row.item, cluster: row.cluster, value }];
    }),
  ) as [Value[], Value[]];
  for (const [index, list] of values.entries()) {
    if (list.length > 0) continue;
    const key = index === 0 ? one.key : other.key;
    throw new ToolError('not_found', `${key} has no decision with ${wantedOf(metric)}.`, {
      hint: 'record_decisions of model-profile records them; source: "battles" compares battles.',
    });
  }
  const shared = sharedItems(...values);
  const sizes = values.map((list) => new Set(list.map(({ item }) => item ?? '')).size);
  const isPaired =
    request.paired === 'yes' ||
    (request.paired === 'auto' && shared.length >= minItems && 2 * shared.length >= Math.min(...sizes));
  if (isPaired && shared.length === 0) {
    throw new ToolError('conflict', 'They share no item, so that nothing can be paired.', {
      hint: 'Give decisions of both models the same item_id, or use paired: "no".',
    });
  }
  const finding = isPaired ? pairedFinding(shared, metric, request.seed) : unpairedFinding(...values, metric);
  const isBinary = metric === 'success' && areBinary(values.flat());
  const rates = values.map((list) => rateOf(list, isBinary, mix, snapshot)) as [Figure, Figure];
  return {
    finding,
    rates,
    mix,
    warnings: [
      ...warnings,
      ...(isPaired && Math.max(...sizes) > shared.length
        ? ['Items that only one of them did are left out of the difference.']
        : []),
      ...(!isPaired && shared.length > 0
        ? ['Not paired, though some items are shared: with more of them, a paired comparison needs fewer.']
        : []),
    ],
  };
}

const wantedOf = (metric: Metric) =>
  ({
    success: 'an outcome of a source that both have',
    brier: 'a confidence and an outcome of a source that both have',
    cost_usd: 'a cost',
    latency_ms: 'a latency',
  })[metric];

const valuesOf: Readonly<Record<Metric, (row: DecisionRead) => number | null>> = {
  success: ({ outcome }) => outcome,
  brier: ({ outcome, confidence }) =>
    outcome === null || confidence === null ? null : (confidence - outcome) ** 2,
  cost_usd: ({ cost_usd: cost }) => cost,
  latency_ms: ({ latency_ms: latency }) => latency,
};

/** The strongest source that judged both, unless sources were named. */
function sourcesOfBoth(rows: readonly (readonly DecisionRead[])[], asked: readonly number[] | undefined) {
  const counts = rows.map((list) => {
    const count = new Map<number, number>();
    for (const { outcome, source } of list) {
      if (outcome !== null && source !== null) count.set(source, (count.get(source) ?? 0) + 1);
    }
    return count;
  });
  const all = [...new Set(counts.flatMap((count) => [...count.keys()]))];
  const common = all.filter((source) => counts.every((count) => count.has(source)));
  const total = (list: readonly number[]) =>
    list.map((source) => ({ source, n: counts.reduce((sum, count) => sum + (count.get(source) ?? 0), 0) }));
  const strongest = common.length > 0 ? [Math.min(...common)] : undefined;
  const { places, mix, warnings } = chosenSources(total(all), asked ?? strongest);
  const left = all.filter((source) => !places.includes(source));
  return {
    places,
    mix,
    warnings:
      asked === undefined && left.length > 0 && strongest
        ? [...warnings, 'Outcomes of weaker or one-sided sources are left out.']
        : warnings,
  };
}

function rateOf(
  values: readonly Value[],
  isBinary: boolean,
  mix: Record<string, number>,
  snapshot: Snapshot,
): Figure {
  const n = values.length;
  const clusters = clustersOf(values);
  if (isBinary) {
    return rateFigure(
      values.map(({ value }) => value),
      clusters,
      'success rate',
      mix,
      snapshot,
    );
  }
  const isClustered = new Set(clusters).size < n;
  const { mean, interval } = meanDifference(
    values.map(({ value }) => value),
    isClustered ? clusters : undefined,
  );
  return figure(snapshot, {
    value: mean,
    interval,
    n,
    method: `mean, t interval${isClustered ? ' over clusters' : ''}`,
    mix,
  });
}

/** A rate of 0s and 1s, some of which may be of one cluster: then Wilson's interval is that of as many independent ones as tell as much. */
function rateFigure(
  values: readonly number[],
  clusters: readonly string[],
  what: string,
  mix: Record<string, number>,
  snapshot: Snapshot,
): Figure {
  const sums = clusterSums(values, clusters);
  const { n, units } = sums;
  const mean = sums.sum / n;
  const effective = effectiveCount(sums, mean * (1 - mean));
  return figure(snapshot, {
    value: mean,
    interval: wilson(mean * effective, effective),
    n,
    method: `${what}, Wilson interval${units < n ? ` of ${effective.toFixed(0)} independent ones, from ${units} clusters` : ''}`,
    mix,
  });
}
