/** Whether judges agree with each other, and with themselves when the answers are shown in the other order. */
import { ToolError } from '#runtime/errors.ts';
import { alphaInterval, kappaInterval, kappaOf, krippendorffAlpha } from '#statistics/agreement.ts';
import { mcnemar } from '#statistics/paired.ts';
import { wilson } from '#statistics/rates.ts';
import { finite } from '#statistics/figure.ts';

import { figure, type Figure, type Snapshot } from '../figure.ts';
import { minItems } from '../limits.ts';
import type { BattleRead, Reading } from '../store/reading.ts';
import type { Kind } from '../subject.ts';
import { sources } from '../vocabulary.ts';

export interface Label {
  readonly item: string;
  readonly judge: string;
  readonly label: string;
}

export interface AgreementRequest {
  readonly kind: Kind;
  readonly taskType: string | undefined;
  /** Two or more; all unless given. */
  readonly judges: readonly string[] | undefined;
  /** In place of battles. */
  readonly labels: readonly Label[] | undefined;
  readonly seed: number;
  readonly resamples: number;
  readonly nowMs: number;
}

export interface Agreement {
  /** Krippendorff's α over all judges. */
  readonly alpha: Figure;
  /** Cohen's κ of each two, those with the most common items first. */
  readonly pairs: (Figure & { readonly judges: [string, string]; readonly observed: number })[];
  /** Of each judge who saw the same in both orders. */
  readonly swaps: (Figure & { readonly judge: string; readonly first_wins_p: number })[];
}

const isFew = (items: number) => items < minItems;
const tooFew = `Below ${minItems} items there is no interval: drawn again and again, they differ too little.`;

/** Pairs of judges, of which each costs a bootstrap. */
const mostPairs = 20;

export function agreement(reading: Reading, request: AgreementRequest): Agreement {
  const { judges: wanted, seed, resamples, nowMs } = request;
  const snapshot = reading.snapshot(nowMs);
  const battles = request.labels
    ? []
    : reading.judgedBattles({ kind: request.kind, taskType: reading.taskType(request.taskType) });
  const names = reading.judges();
  const nameOf = (judge: number) => {
    const { name = '', source = 0 } = names.get(judge) ?? {};
    return name === '' ? (sources[source] ?? '') : name;
  };
  const labels = (request.labels ?? battles.map((battle) => labelOf(battle, nameOf(battle.judge)))).filter(
    ({ judge }) => !wanted || wanted.includes(judge),
  );
  const unknown = wanted?.find((judge) => !labels.some((label) => label.judge === judge));
  if (unknown !== undefined) {
    throw new ToolError(
      'not_found',
      `There is no label of the judge ${JSON.stringify(unknown.slice(0, 100))}.`,
      {
        hint: `Judges with labels: ${[...new Set(labels.map(({ judge }) => judge))].slice(0, 10).join(', ') || 'none'}.`,
      },
    );
  }
  const units = unitsOf(labels);
  const judged = [...units.values()].map((byJudge) => [...byJudge.values()]);
  const paired = judged.filter((list) => list.length > 1);
  if (paired.length < 2) {
    throw new ToolError(
      'conflict',
      `${paired.length} items have labels of two judges; two items are needed at least.`,
      {
        hint: 'Record battles with the same item_id and different judges, or give labels.',
      },
    );
  }
  const mix = mixOf(battles, names, wanted, nameOf);
  const bootstrap = { seed, resamples, method: 'percentile' as const };
  const alpha = krippendorffAlpha(judged);
  return {
    alpha: figure(snapshot, {
      value: alpha,
      interval: Number.isNaN(alpha) || isFew(paired.length) ? undefined : alphaInterval(judged, bootstrap),
      n: paired.length,
      method: `Krippendorff's α, nominal; bootstrap over items, ${resamples} samples, seed ${seed}`,
      mix,
      warnings: [
        ...(Number.isNaN(alpha) ? ['Only one label was ever given: agreement cannot be told.'] : []),
        ...(isFew(paired.length) ? [tooFew] : []),
        ...(alpha < 0.667
          ? ['Below 0.667: too little agreement to rely on one of these judges (Krippendorff).']
          : []),
      ],
    }),
    pairs: pairsOf(units, snapshot, mix, bootstrap),
    swaps: request.labels ? [] : swapsOf(battles, nameOf, wanted, snapshot),
  };
}

/** The winner by name, so that the order of the two does not matter. */
function labelOf(
  { item, a, b, outcome, both_bad: bothBad, task_type: type }: BattleRead,
  judge: string,
): Label {
  const [low, high] = a < b ? [a, b] : [b, a];
  const label = bothBad === 1 ? 'both bad' : outcome === 0.5 ? 'tie' : String(outcome === 1 ? a : b);
  return { item: `${item} ${type} ${low} ${high}`, judge, label };
}

/** The last label of each judge of each item. */
function unitsOf(labels: readonly Label[]): Map<string, Map<string, string>> {
  const units = new Map<string, Map<string, string>>();
  for (const { item, judge, label } of labels) {
    const unit = units.get(item) ?? new Map<string, string>();
    unit.set(judge, label);
    units.set(item, unit);
  }
  return units;
}

function mixOf(
  battles: readonly BattleRead[],
  names: ReturnType<Reading['judges']>,
  wanted: readonly string[] | undefined,
  nameOf: (judge: number) => string,
): Record<string, number> {
  const mix: Record<string, number> = {};
  for (const { judge } of battles) {
    if (wanted && !wanted.includes(nameOf(judge))) continue;
    const source = sources[names.get(judge)?.source ?? 0] ?? '';
    mix[source] = (mix[source] ?? 0) + 1;
  }
  return mix;
}

function pairsOf(
  units: ReadonlyMap<string, ReadonlyMap<string, string>>,
  snapshot: Snapshot,
  mix: Record<string, number>,
  bootstrap: { readonly seed: number; readonly resamples: number; readonly method: 'percentile' },
): Agreement['pairs'] {
  const common = new Map<string, { judges: [string, string]; labels: [string, string][] }>();
  for (const unit of units.values()) {
    const judges = [...unit].toSorted(([one], [other]) => (one < other ? -1 : 1));
    for (const [index, [one, label]] of judges.entries()) {
      for (const [other, also] of judges.slice(index + 1)) {
        const key = JSON.stringify([one, other]);
        const entry = common.get(key) ?? { judges: [one, other], labels: [] };
        entry.labels.push([label, also]);
        common.set(key, entry);
      }
    }
  }
  return [...common.values()]
    .filter(({ labels }) => labels.length > 1)
    .toSorted((one, other) => other.labels.length - one.labels.length)
    .slice(0, mostPairs)
    .map(({ judges, labels }) => {
      const { kappa, observed, n } = kappaOf(labels);
      return {
        judges,
        observed: finite(observed) ?? 0,
        ...figure(snapshot, {
          value: kappa,
          interval: Number.isNaN(kappa) || isFew(n) ? undefined : kappaInterval(labels, bootstrap),
          n,
          method: `Cohen's κ; bootstrap over items, ${bootstrap.resamples} samples, seed ${bootstrap.seed}`,
          mix,
          warnings: [
            ...(Number.isNaN(kappa)
              ? ['Both gave one and the same label throughout: κ cannot be told.']
              : []),
            ...(isFew(n) ? [tooFew] : []),
          ],
        }),
      };
    });
}

/** How often a judge says the same when the answers change places, and whether the first one wins too often. */
function swapsOf(
  battles: readonly BattleRead[],
  nameOf: (judge: number) => string,
  wanted: readonly string[] | undefined,
  snapshot: Snapshot,
): Agreement['swaps'] {
  const seen = new Map<string, { judge: string; straight?: string; swapped?: string }>();
  const first = new Map<string, { wins: number; losses: number }>();
  for (const battle of battles) {
    const judge = nameOf(battle.judge);
    if (battle.swapped === null || (wanted && !wanted.includes(judge))) continue;
    const { item, label } = labelOf(battle, judge);
    const entry = seen.get(`${judge} ${item}`) ?? { judge };
    // By whoever has the lower number: was that one shown first?
    if ((battle.swapped === 1) === battle.a < battle.b) entry.swapped = label;
    else entry.straight = label;
    seen.set(`${judge} ${item}`, entry);
    const tally = first.get(judge) ?? { wins: 0, losses: 0 };
    if (battle.outcome !== 0.5) {
      if ((battle.outcome === 1) === (battle.swapped === 0)) tally.wins += 1;
      else tally.losses += 1;
    }
    first.set(judge, tally);
  }
  const counts = new Map<string, { same: number; n: number }>();
  for (const { judge, straight, swapped } of seen.values()) {
    if (straight === undefined || swapped === undefined) continue;
    const count = counts.get(judge) ?? { same: 0, n: 0 };
    count.n += 1;
    if (straight === swapped) count.same += 1;
    counts.set(judge, count);
  }
  return [...counts].map(([judge, { same, n }]) => {
    const { wins, losses } = first.get(judge) ?? { wins: 0, losses: 0 };
    const p = mcnemar(wins, losses).midP;
    return {
      judge,
      ...figure(snapshot, {
        value: same / n,
        interval: wilson(same, n),
        n,
        method: 'share of pairs judged the same in both orders, Wilson interval',
        warnings:
          p < 0.05
            ? [`The answer shown first wins ${wins} of ${wins + losses}: the order weighs with this judge.`]
            : [],
      }),
      first_wins_p: finite(p) ?? 1,
    };
  });
}
