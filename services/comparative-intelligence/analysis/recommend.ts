/** Which model to take for a kind of task, with the chance that it is the best, what a wrong choice costs, and how it was chosen. */
import { ToolError } from '#runtime/errors.ts';
import { meanOf, posterior, standings, type Beta } from '#statistics/bayes.ts';
import { clusteredMean, effectiveCount, type ClusterSums } from '#statistics/clustered.ts';
import { betaQuantile } from '#statistics/distributions.ts';
import { seededRandom, type Random } from '#statistics/random.ts';
import type { Interval } from '#statistics/rates.ts';
import { finite } from '#statistics/figure.ts';

import { figure, snapshotId, type Figure } from '../figure.ts';
import { maxRowsRead, minOutcomes } from '../limits.ts';
import { chosenSources, type PairRow, type Reading } from '../store/reading.ts';
import type { Kind } from '../subject.ts';

export interface RecommendRequest {
  /** Decisions where there are some, unless given. */
  readonly from: 'decisions' | 'battles' | undefined;
  readonly kind: Kind;
  readonly taskType: string;
  readonly models: readonly string[] | undefined;
  readonly sources: readonly number[] | undefined;
  readonly weights: { readonly quality: number; readonly cost: number; readonly latency: number };
  /** Most that a decision may cost on average, in USD. */
  readonly budget: number | undefined;
  readonly explore: boolean;
  readonly seed: number;
  readonly nowMs: number;
}

export interface Candidate {
  readonly model: string;
  readonly p_best: number;
  readonly expected_loss: number;
  readonly quality: Figure;
  readonly mean_cost_usd: number | null;
  readonly mean_latency_ms: number | null;
}

export interface Recommendation {
  readonly chosen: string | null;
  readonly p_best: number;
  readonly expected_loss: number;
  readonly propensity: number;
  readonly reason: string;
  readonly needed_n?: number;
  readonly candidates: Candidate[];
  readonly excluded: { readonly model: string; readonly reason: string }[];
  readonly method: string;
  readonly as_of: string;
  readonly snapshot_id: string;
  readonly source_mix: Record<string, number>;
  readonly warnings: string[];
}

const rounds = 10_000;

/** What is known of one candidate. */
interface Known {
  readonly model: string;
  /** Outcomes, how many of them are independent, and how many independent ones tell as much. */
  readonly n: number;
  readonly units: number;
  readonly effective: number;
  /** Of the effective ones. */
  readonly successes: number;
  readonly cost: Mean | undefined;
  readonly latency: Mean | undefined;
}

interface Mean {
  readonly mean: number;
  readonly error: number;
}

export function recommend(reading: Reading, request: RecommendRequest): Recommendation {
  const { kind, models, weights, budget, explore, seed, nowMs } = request;
  const subjects = models ? models.map((name) => reading.subject(name)) : reading.subjects(kind);
  const foreign = subjects.find((subject) => subject.kind !== kind);
  if (foreign)
    throw new ToolError('invalid_input', `${foreign.key} is no ${kind}: kinds are never compared.`);
  const snapshot = reading.snapshot(nowMs);
  const keys = new Map(subjects.map(({ id, key }) => [id, key]));
  const decided = request.from === 'battles' ? undefined : fromDecisions(reading, request, keys);
  // Decisions of another kind of task are no reason to overlook battles about this one.
  const hasDecided = decided?.known.some(({ n }) => n > 0) ?? false;
  const from = request.from ?? (hasDecided ? 'decisions' : 'battles');
  const { known, mix, warnings } =
    decided && from === 'decisions' ? decided : fromBattles(reading, request, keys);
  const excluded: { model: string; reason: string }[] = [];
  // Who has too few outcomes is left out, unless nobody has enough: then all are told, and none is chosen.
  const isKnown = explore || known.some(({ units }) => units >= minOutcomes);
  const candidates = known.filter(({ model, n, units, cost, latency }) => {
    const reason =
      n === 0
        ? 'No outcome for this kind of task.'
        : isKnown && !explore && units < minOutcomes
          ? `It has ${n} outcomes${units < n ? ` on ${units} items` : ''}, and ${minOutcomes} independent ones are needed; explore: true tries it.`
          : budget !== undefined && cost === undefined
            ? 'Its cost is not known, and there is a budget.'
            : budget !== undefined && cost !== undefined && cost.mean > budget
              ? `It costs ${cost.mean.toPrecision(3)} USD on average, above the budget.`
              : weights.cost > 0 && cost === undefined
                ? 'Its cost is not known, and has a weight.'
                : weights.latency > 0 && latency === undefined
                  ? 'Its latency is not known, and has a weight.'
                  : undefined;
    if (reason !== undefined) excluded.push({ model, reason });
    return reason === undefined;
  });
  if (candidates.length === 0) {
    throw new ToolError('not_found', 'There is no candidate for this kind of task.', {
      hint:
        excluded.length > 0
          ? `Excluded: ${excluded
              .slice(0, 5)
              .map(({ model, reason }) => `${model} (${reason})`)
              .join('; ')}`
          : 'Record decisions with outcomes in model-profile, or battles here.',
    });
  }
  const scale = (of: (one: Known) => Mean | undefined) =>
    Math.max(...candidates.map((one) => of(one)?.mean ?? 0)) || 1;
  const [costScale, latencyScale] = [scale(({ cost }) => cost), scale(({ latency }) => latency)];
  const draws = candidates.map(({ successes, effective, cost, latency }) => {
    const { a, b } = posterior(successes, effective - successes);
    return (random: Random) =>
      weights.quality * random.beta(a, b) -
      (weights.cost > 0 ? weights.cost * drawn(cost, costScale, random) : 0) -
      (weights.latency > 0 ? weights.latency * drawn(latency, latencyScale, random) : 0);
  });
  const random = seededRandom(seed);
  const found = standings(draws, random, rounds);
  const best = found.reduce(
    (top, { best: chance }, index) => (chance > (found[top]?.best ?? 0) ? index : top),
    0,
  );
  const picked = explore
    ? pickedBy(
        found.map(({ best: chance }) => chance),
        random,
      )
    : best;
  const { best: pBest, loss } = found[picked] ?? { best: 0, loss: 0 };
  const chosen = candidates[picked];
  const most = Math.max(...candidates.map(({ units }) => units));
  return {
    chosen: isKnown ? (chosen?.model ?? null) : null,
    p_best: pBest,
    expected_loss: finite(loss) ?? 0,
    propensity: isKnown ? (explore ? pBest : 1) : 0,
    reason: reasonOf({ isKnown, explore, chosen: chosen?.model ?? '', pBest, loss, most }),
    ...(!isKnown && { needed_n: minOutcomes }),
    candidates: candidates
      .map(({ model, successes, n, units, effective, cost, latency }, index) => ({
        model,
        p_best: found[index]?.best ?? 0,
        expected_loss: finite(found[index]?.loss ?? 0) ?? 0,
        quality: figure(snapshot, {
          value: meanOf(posterior(successes, effective - successes)),
          interval: credible(posterior(successes, effective - successes)),
          n,
          method: `${from === 'battles' ? 'share of battles won, ties half' : 'success rate'}, Beta(1,1) prior${units < n ? `, as of ${effective.toFixed(0)} independent ones from ${units} items or clusters` : ''}`,
          mix,
        }),
        mean_cost_usd: cost ? finite(cost.mean) : null,
        mean_latency_ms: latency ? finite(latency.mean) : null,
      }))
      .toSorted((one, other) => other.p_best - one.p_best),
    excluded,
    method: `${explore ? 'Thompson sampling' : 'largest chance to be best'} from ${rounds} draws, seed ${seed}; utility = ${weights.quality}·quality − ${weights.cost}·cost/dearest − ${weights.latency}·latency/slowest`,
    as_of: new Date(snapshot.atMs).toISOString(),
    snapshot_id: snapshotId(snapshot),
    source_mix: mix,
    warnings: [
      ...warnings,
      ...(candidates.length === 1 ? ['There is one candidate: it is the best of one.'] : []),
      ...(pBest < 0.9 && isKnown ? ['The best is not certain: more outcomes would tell.'] : []),
    ],
  };
}

const credible = ({ a, b }: Beta): Interval => [betaQuantile(0.025, a, b), betaQuantile(0.975, a, b)];

const drawn = (mean: Mean | undefined, unit: number, random: Random) =>
  mean ? Math.max(0, mean.mean + mean.error * random.normal()) / unit : 0;

function pickedBy(chances: readonly number[], random: Random): number {
  let left = random.uniform();
  for (const [index, chance] of chances.entries()) {
    left -= chance;
    if (left < 0) return index;
  }
  return Math.max(
    0,
    chances.findLastIndex((chance) => chance > 0),
  );
}

function reasonOf(about: {
  readonly isKnown: boolean;
  readonly explore: boolean;
  readonly chosen: string;
  readonly pBest: number;
  readonly loss: number;
  readonly most: number;
}): string {
  const { isKnown, explore, chosen, pBest, loss, most } = about;
  if (!isKnown) {
    return `No recommendation: of no candidate are there more than ${most} independent outcomes, and ${minOutcomes} are needed. explore: true chooses all the same, and learns.`;
  }
  const chance = `${(100 * pBest).toFixed(1)} % to be best`;
  return explore
    ? `${chosen} was drawn with its chance of ${chance}.`
    : `${chosen} has the largest chance, ${chance}; taken wrongly it costs ${loss.toPrecision(2)} of utility on average.`;
}

/** Outcomes that are not all independent count as fewer. */
function qualityOf(sums: ClusterSums | undefined): Pick<Known, 'n' | 'units' | 'effective' | 'successes'> {
  if (!sums) return { n: 0, units: 0, effective: 0, successes: 0 };
  const { n, units, sum } = sums;
  const rate = sum / n;
  const effective = effectiveCount(sums, rate * (1 - rate));
  return { n, units, effective, successes: rate * effective };
}

/** A single value may be anything: its error is as large as itself. */
function expenseOf(sums: ClusterSums): Mean {
  const { mean, standardError } = clusteredMean(sums);
  return { mean, error: sums.units > 1 ? standardError : mean };
}

const bySubject = (rows: readonly (ClusterSums & { readonly subject: number })[]) =>
  new Map(rows.map((row) => [row.subject, row]));

function fromDecisions(
  reading: Reading,
  { kind, taskType, sources: asked }: RecommendRequest,
  keys: ReadonlyMap<number, string>,
) {
  const which = { kind, taskType: reading.taskType(taskType) };
  const counts = reading.outcomes(which).filter(({ subject }) => keys.has(subject));
  const { places, mix, warnings } = chosenSources(counts, asked);
  const { clusters } = reading;
  const qualities = bySubject(clusters.qualities({ ...which, sources: places }));
  const [costs, latencies] = [bySubject(clusters.costs(which)), bySubject(clusters.latencies(which))];
  const known = [...new Set([...counts.map(({ subject }) => subject), ...costs.keys()])]
    .filter((subject) => keys.has(subject))
    .map((subject): Known => {
      const [cost, latency] = [costs.get(subject), latencies.get(subject)];
      return {
        model: keys.get(subject) ?? '',
        ...qualityOf(qualities.get(subject)),
        cost: cost && expenseOf(cost),
        latency: latency && expenseOf(latency),
      };
    });
  return { known, mix, warnings };
}

function fromBattles(
  reading: Reading,
  { kind, taskType, sources: asked, weights, budget }: RecommendRequest,
  keys: ReadonlyMap<number, string>,
) {
  if (weights.cost > 0 || weights.latency > 0 || budget !== undefined) {
    throw new ToolError('invalid_input', 'Battles know no cost and no latency.', {
      hint: 'Use source: "decisions", or leave budget and the weights of cost and latency out.',
    });
  }
  const which = { kind, taskType: reading.taskType(taskType) };
  const counts = reading.battleMix(which).map(({ source, battles }) => ({ source, n: battles }));
  const { places, mix, warnings } = chosenSources(counts, asked);
  const chosen = { ...which, sources: places };
  const hasItems = reading.hasItems();
  const isItemwise = hasItems && counts.reduce((sum, { n }) => sum + n, 0) <= maxRowsRead;
  const known = (
    isItemwise
      ? reading.clusters.shares(chosen, [...keys.keys()])
      : sharesOfPairs(reading.pairs(chosen), keys)
  ).map((sums): Known => ({
    model: keys.get(sums.subject) ?? '',
    ...qualityOf(sums),
    cost: undefined,
    latency: undefined,
  }));
  return {
    known,
    mix,
    warnings: [
      ...warnings,
      ...(hasItems && !isItemwise
        ? [`Of more than ${maxRowsRead} battles, each is taken for independent, whatever its item.`]
        : []),
      'Against whom each stood is not taken into account: rank_models does that.',
    ],
  };
}

/** As if each battle were independent. */
function sharesOfPairs(
  pairs: readonly PairRow[],
  keys: ReadonlyMap<number, string>,
): (ClusterSums & { readonly subject: number })[] {
  const sums = new Map<number, { sum: number; n: number }>();
  const add = (id: number, share: number, n: number) => {
    const sum = sums.get(id) ?? { sum: 0, n: 0 };
    sum.sum += share;
    sum.n += n;
    sums.set(id, sum);
  };
  for (const { a, b, wa, wb, t, bb } of pairs) {
    if (!keys.has(a) || !keys.has(b)) continue;
    const n = wa + wb + t + bb;
    add(a, wa + (t + bb) / 2, n);
    add(b, wb + (t + bb) / 2, n);
  }
  return [...sums].map(([subject, { sum, n }]) => ({
    subject,
    n,
    units: n,
    sum,
    // Nothing asks for these where all are independent.
    squares: sum,
    cross: sum,
    sizes: n,
  }));
}
