/** All models of one kind beside each other, by Bradley and Terry. */
import { ToolError } from '#runtime/errors.ts';
import {
  bootstrapRatings,
  connectedGroups,
  fitStrengths,
  pointsPerStrength,
  ranksByUpperBound,
  ratingsOf,
  strengthVariance,
  varianceOf,
  worstRanks,
  type Fit,
  type Match,
  type Rating,
  type Ties,
} from '#statistics/bradley-terry.ts';
import { normalTwoSided, zOf } from '#statistics/distributions.ts';
import { adjusted } from '#statistics/multiplicity.ts';
import { finite } from '#statistics/figure.ts';

import { figure, verdictOf, type Figure, type Snapshot } from '../figure.ts';
import { maxBootstrapMatches, maxBootstrapWork, maxClustered, maxRanked, maxSharedGames } from '../limits.ts';
import { chosenSources, type BattleRead, type Reading, type SummedBattles } from '../store/reading.ts';
import type { Which } from '../store/which.ts';
import type { Kind } from '../subject.ts';
import type { Verdict } from '../vocabulary.ts';

export const covariateNames = ['position', 'length'] as const;
export type Covariate = (typeof covariateNames)[number];

export interface RankRequest {
  readonly from: 'battles' | 'decisions';
  readonly kind: Kind;
  readonly models: readonly string[] | undefined;
  readonly taskType: string | undefined;
  readonly sources: readonly number[] | undefined;
  readonly ties: Ties;
  readonly covariates: readonly Covariate[];
  readonly ci: 'sandwich' | 'bootstrap';
  readonly resamples: number;
  readonly seed: number;
  /** As of this battle; the newest unless given. */
  readonly upTo: number | undefined;
  readonly nowMs: number;
}

export interface RankedRow {
  readonly model: string;
  readonly rank: number;
  readonly worst_rank: number;
  readonly rating: number;
  readonly ci95: number[];
  readonly n: number;
  readonly wins: number;
  readonly losses: number;
  readonly ties: number;
  /** Against the next one below. */
  readonly vs_next?: {
    readonly difference: number;
    readonly ci95: number[];
    readonly p_adjusted: number;
    readonly verdict: Verdict;
  };
}

export interface Ranking extends Omit<Figure, 'value' | 'ci95' | 'verdict' | 'needed_n'> {
  readonly rows: RankedRow[];
  readonly unranked: { readonly model: string; readonly reason: string }[];
  readonly effects: Record<string, Figure>;
}

/** Games of numbered players, and who they are. */
interface Games {
  readonly ids: readonly number[];
  readonly matches: readonly Match[];
  readonly mix: Record<string, number>;
  readonly warnings: readonly string[];
}

export function rank(reading: Reading, request: RankRequest): Ranking {
  const { ties, covariates, ci, resamples, seed, from } = request;
  const { ranking, all, keys, snapshot } = rankedGames(reading, request);
  const options = { ties, covariates: covariates.length };
  const { fit, players } = fitted(ranking, options);
  const most = Math.floor(
    Math.min(maxBootstrapWork / players.length ** 3, maxBootstrapMatches / ranking.matches.length),
  );
  if (ci === 'bootstrap' && resamples > most) {
    const games = `${players.length} models in ${ranking.matches.length} matches`;
    throw new ToolError('too_large', `${games} allow ${most} samples of a bootstrap, not ${resamples}.`, {
      hint: 'Ask for fewer resamples, name fewer models or one task_type, or use ci: "sandwich".',
    });
  }
  const bootstrapped =
    ci === 'bootstrap'
      ? bootstrapRatings(players.length, ranking.matches, { ...options, seed, resamples })
      : undefined;
  const ratings = bootstrapped?.ratings ?? ratingsOf(fit);
  const rows = rowsOf(ranking, fit, ratings, keys, request);
  const left = all.ids.filter((id) => !ranking.ids.includes(id));
  return {
    n: fit.games,
    method: methodOf(request, fit),
    source_mix: all.mix,
    ...pick(figure(snapshot, { value: undefined, n: 0, method: '' })),
    warnings: [
      ...all.warnings,
      ...(fit.ridge > 0
        ? [
            'Someone never won or never lost against the rest, so that no finite rating exists: all are drawn to the mean a little (ridge 0.25). Intervals hold what this prior leaves open.',
          ]
        : []),
      ...(bootstrapped && bootstrapped.ridged > 0 && fit.ridge === 0
        ? [
            `${bootstrapped.ridged} of ${resamples} samples needed a ridge: intervals of extreme ratings are too narrow.`,
          ]
        : []),
      ...(from === 'decisions' ? [asClusters] : []),
      ...(left.length > 0 ? [`${left.length} are not ranked: no game connects them with the others.`] : []),
    ],
    rows,
    unranked: left.map((id) => ({
      model: keys.get(id) ?? '',
      reason: 'No game connects it with those that are ranked.',
    })),
    effects: effectsOf(fit, request, snapshot, all.mix),
  };
}

const pick = ({ as_of, snapshot_id }: Figure) => ({ as_of, snapshot_id });

/** The games of the largest group that games connect. */
export function rankedGames(reading: Reading, request: RankRequest) {
  const { kind, models, from, upTo, nowMs } = request;
  const subjects = models ? models.map((name) => reading.subject(name)) : reading.subjects(kind);
  const foreign = subjects.find((subject) => subject.kind !== kind);
  if (foreign)
    throw new ToolError('invalid_input', `${foreign.key} is no ${kind}: kinds are never ranked together.`);
  if (new Set(subjects.map(({ id }) => id)).size < 2) {
    throw new ToolError(
      'conflict',
      `A ranking needs at least two of kind ${kind}; there is ${subjects.length}.`,
      {
        hint: 'record_battles records battles between two.',
      },
    );
  }
  const keys = new Map(subjects.map(({ id, key }) => [id, key]));
  const now = reading.snapshot(nowMs);
  if (upTo !== undefined && (from === 'decisions' || upTo > now.battles)) {
    throw new ToolError(
      'conflict',
      'This state cannot be read again: only rankings from battles can be repeated as of an earlier one.',
      {
        hint: 'Leave snapshot_id out to use the newest.',
      },
    );
  }
  const which = { kind, taskType: reading.taskType(request.taskType), upTo };
  const all =
    from === 'battles'
      ? battleGames(reading, which, request, keys)
      : decisionGames(reading, which, request, keys);
  if (all.matches.length === 0) {
    throw new ToolError('not_found', 'There is no game between any two of them.', {
      hint:
        from === 'battles'
          ? 'record_battles records battles. Look at kind, task_type and judged_by.'
          : 'Give decisions of several models the same item_id.',
    });
  }
  const [group = []] = connectedGroups(all.ids.length, all.matches);
  if (group.length > maxRanked) {
    throw new ToolError(
      'too_large',
      `There are ${group.length} to rank, and at most ${maxRanked} are ranked at once.`,
      {
        hint: 'Name those that matter in models.',
      },
    );
  }
  const places = new Map(group.map((place, index) => [place, index]));
  const ranking: Games = {
    ...all,
    ids: group.map((place) => all.ids[place] ?? 0),
    matches: all.matches.flatMap((match) => {
      const [a, b] = [places.get(match.a), places.get(match.b)];
      return a === undefined || b === undefined ? [] : [{ ...match, a, b }];
    }),
  };
  const snapshot: Snapshot = { ...now, battles: upTo ?? now.battles };
  return { ranking, all, keys, snapshot };
}

/** @throws ToolError conflict for what cannot be told from the games. */
function fitted(
  { ids, matches }: Games,
  options: { readonly ties: Ties; readonly covariates: number },
): { fit: Fit; players: readonly number[] } {
  const decided = options.ties === 'drop' ? matches.some(({ aWins, bWins }) => aWins + bWins > 0) : true;
  if (!decided)
    throw new ToolError('conflict', 'All games are ties, and ties are dropped: nothing is left.', {
      hint: 'Use ties: "half".',
    });
  try {
    return { fit: fitStrengths(ids.length, matches, options), players: ids };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new ToolError('conflict', `These games cannot be fitted: ${error.message}`, {
      hint: 'A covariate that never varies cannot be told; with ties dropped, games may no longer connect all.',
    });
  }
}

function battleGames(
  reading: Reading,
  which: Which,
  request: RankRequest,
  keys: ReadonlyMap<number, string>,
): Games {
  const counts = reading.battleMix(which).map(({ source, battles }) => ({ source, n: battles }));
  const { places, mix, warnings } = chosenSources(counts, request.sources);
  const chosen = { ...which, sources: places };
  const isIn = ({ a, b }: { readonly a: number; readonly b: number }) => keys.has(a) && keys.has(b);
  const hasItems = reading.hasItems();
  const isItemwise = hasItems && counts.reduce((sum, { n }) => sum + n, 0) <= maxClustered;
  const all = [
    ...warnings,
    ...(hasItems && !isItemwise
      ? [`Of more than ${maxClustered} battles, intervals take each for independent, whatever its item.`]
      : []),
  ];
  if (!isItemwise && request.covariates.length === 0 && request.upTo === undefined) {
    const rows = reading.pairs(chosen).filter(isIn);
    return {
      ...numbered(rows, ({ wa, wb, t, bb }) => ({ aWins: wa, bWins: wb, ties: t + bb })),
      mix,
      warnings: all,
    };
  }
  const position = request.covariates.includes('position');
  const rows: (SummedBattles | BattleRead)[] =
    isItemwise || request.covariates.includes('length')
      ? reading.battles(chosen)
      : reading.summedBattles(chosen, position);
  const battles = rows.filter(isIn);
  const usable = battles.filter((battle) =>
    request.covariates.every((name) => covariateOf(battle, name) !== undefined),
  );
  const countOf = (list: typeof battles) => list.reduce((sum, row) => sum + gamesOf(row), 0);
  if (usable.length === 0 && battles.length > 0) {
    throw new ToolError('conflict', `No battle says what ${request.covariates.join(' and ')} needs.`, {
      hint: 'position needs swapped, length needs len_a and len_b, of every battle that counts.',
    });
  }
  const unusable = countOf(battles) - countOf(usable);
  const clusterOf = itemClusters(isItemwise ? usable : []);
  const games = numbered(
    aggregated(usable, standardised(usable, request.covariates), clusterOf),
    (row) => row,
  );
  return {
    ...games,
    mix,
    warnings: [
      ...all,
      ...(clusterOf ? [asClusters] : []),
      ...(unusable > 0
        ? [`${unusable} battles are left out, which do not say what the covariates need.`]
        : []),
    ],
  };
}

const asClusters = 'Games on one item are not independent: intervals count items as clusters.';

/** Numbers of the items, where one of them was judged more than once; a battle without an item is one of its own. */
function itemClusters(
  battles: readonly (SummedBattles | BattleRead)[],
): ((battle: SummedBattles | BattleRead, index: number) => number) | undefined {
  const numbers = new Map<string, number>();
  let hasRepeated = false;
  for (const battle of battles) {
    const item = 'item' in battle ? battle.item : null;
    if (item === null) continue;
    if (numbers.has(item)) hasRepeated = true;
    else numbers.set(item, numbers.size);
  }
  if (!hasRepeated) return undefined;
  return (battle, index) =>
    ('item' in battle && battle.item !== null ? numbers.get(battle.item) : undefined) ?? numbers.size + index;
}

const winsOf = (row: SummedBattles | BattleRead): readonly [aWins: number, bWins: number, ties: number] =>
  'aWins' in row
    ? [row.aWins, row.bWins, row.ties]
    : [Number(row.outcome === 1), Number(row.outcome === 0), Number(row.outcome === 0.5)];
const gamesOf = (row: SummedBattles | BattleRead) => winsOf(row).reduce((sum, count) => sum + count, 0);

type Summed = {
  readonly a: number;
  readonly b: number;
  aWins: number;
  bWins: number;
  ties: number;
  readonly covariates: readonly number[];
  readonly cluster?: number;
};

/** Battles with the same pair, covariates and cluster become one match. */
function aggregated(
  battles: readonly (SummedBattles | BattleRead)[],
  covariates: (battle: SummedBattles | BattleRead) => readonly number[],
  clusterOf: ReturnType<typeof itemClusters>,
): Summed[] {
  const sums = new Map<string, Summed>();
  for (const [index, battle] of battles.entries()) {
    const own = covariates(battle);
    const cluster = clusterOf?.(battle, index);
    const key = `${battle.a} ${battle.b} ${cluster} ${own.join(' ')}`;
    let sum = sums.get(key);
    if (!sum) {
      const { a, b } = battle;
      sum = { a, b, aWins: 0, bWins: 0, ties: 0, covariates: own, ...(cluster !== undefined && { cluster }) };
      sums.set(key, sum);
    }
    const [aWins, bWins, ties] = winsOf(battle);
    sum.aWins += aWins;
    sum.bWins += bWins;
    sum.ties += ties;
  }
  return [...sums.values()];
}

function covariateOf(battle: SummedBattles | BattleRead, name: Covariate): number | undefined {
  if (name === 'position') return battle.swapped === null ? undefined : battle.swapped === 1 ? -1 : 1;
  const { len_a: a, len_b: b } = battle as Partial<BattleRead>;
  return typeof a === 'number' && typeof b === 'number' ? (a + b === 0 ? 0 : (a - b) / (a + b)) : undefined;
}

/** Position is ±1; length is (a − b)/(a + b), in standard deviations. */
function standardised(
  battles: readonly (SummedBattles | BattleRead)[],
  names: readonly Covariate[],
): (battle: SummedBattles | BattleRead) => readonly number[] {
  const scales = names.map((name) => {
    if (name === 'position') return 1;
    const squares = battles.reduce((sum, battle) => sum + (covariateOf(battle, name) ?? 0) ** 2, 0);
    return Math.sqrt(squares / battles.length) || 1;
  });
  return (battle) => names.map((name, index) => (covariateOf(battle, name) ?? 0) / (scales[index] ?? 1));
}

/** Two models on one item: who did better won. */
function decisionGames(
  reading: Reading,
  which: Which,
  request: RankRequest,
  keys: ReadonlyMap<number, string>,
): Games {
  const rows = reading.decisionsOnItems(which).filter(({ subject }) => keys.has(subject));
  const counts = new Map<number, number>();
  for (const { source } of rows) counts.set(source ?? -1, (counts.get(source ?? -1) ?? 0) + 1);
  const { places, mix, warnings } = chosenSources(
    [...counts].map(([source, n]) => ({ source, n })),
    request.sources,
  );
  const items = new Map<string, Map<number, { sum: number; n: number; cluster: string }>>();
  for (const { item, subject, outcome, source, cluster } of rows) {
    if (item === null || outcome === null || !places.includes(source ?? -1)) continue;
    const models = items.get(item) ?? new Map<number, { sum: number; n: number; cluster: string }>();
    items.set(item, models);
    const own = models.get(subject) ?? { sum: 0, n: 0, cluster: cluster ?? `item ${item}` };
    own.sum += outcome;
    own.n += 1;
    models.set(subject, own);
  }
  const games: (Summed & { readonly cluster: number })[] = [];
  const clusters = new Map<string, number>();
  for (const models of items.values()) {
    const scores = [...models].map(([subject, { sum, n, cluster }]) => ({
      subject,
      score: sum / n,
      cluster,
    }));
    for (const [index, one] of scores.entries()) {
      for (const other of scores.slice(index + 1)) {
        if (games.length >= maxSharedGames) {
          throw new ToolError('too_large', `There are more than ${maxSharedGames} pairs on shared items.`, {
            hint: 'Name fewer models, or one task_type.',
          });
        }
        const cluster = clusters.get(one.cluster) ?? clusters.size;
        clusters.set(one.cluster, cluster);
        games.push({
          a: one.subject,
          b: other.subject,
          aWins: one.score > other.score ? 1 : 0,
          bWins: one.score < other.score ? 1 : 0,
          ties: one.score === other.score ? 1 : 0,
          covariates: [],
          cluster,
        });
      }
    }
  }
  return { ...numbered(games, (row) => row), mix, warnings };
}

/** Players numbered from 0, in the order of their numbers in the store. */
function numbered<Row extends { readonly a: number; readonly b: number }>(
  rows: readonly Row[],
  sumsOf: (row: Row) => Omit<Match, 'a' | 'b'>,
): Pick<Games, 'ids' | 'matches'> {
  const ids = [...new Set(rows.flatMap(({ a, b }) => [a, b]))].toSorted((one, other) => one - other);
  const places = new Map(ids.map((id, place) => [id, place]));
  return {
    ids,
    matches: rows.map((row) => ({ ...sumsOf(row), a: places.get(row.a) ?? 0, b: places.get(row.b) ?? 0 })),
  };
}

function rowsOf(
  { ids, matches }: Games,
  fit: Fit,
  ratings: readonly Rating[],
  keys: ReadonlyMap<number, string>,
  { ties }: RankRequest,
): RankedRow[] {
  const tallies = ids.map(() => ({ wins: 0, losses: 0, ties: 0 }));
  for (const { a, b, aWins, bWins, ties: drawn } of matches) {
    const [one, other] = [tallies[a], tallies[b]];
    if (!one || !other) continue;
    one.wins += aWins;
    one.losses += bWins;
    one.ties += drawn;
    other.wins += bWins;
    other.losses += aWins;
    other.ties += drawn;
  }
  const ranks = ranksByUpperBound(ratings);
  const worst = worstRanks(ratings);
  const order = ids
    .map((_, place) => place)
    .toSorted((one, other) => (ratings[other]?.rating ?? 0) - (ratings[one]?.rating ?? 0) || one - other);
  const neighbours = order.slice(0, -1).map((place, index) => {
    const next = order[index + 1] ?? 0;
    const difference = (fit.strengths[place] ?? 0) - (fit.strengths[next] ?? 0);
    const error = Math.sqrt(strengthVariance(fit, place, next));
    return {
      difference,
      error,
      p: error > 0 ? normalTwoSided(difference / error) : difference === 0 ? 1 : 0,
    };
  });
  const pValues = adjusted(
    neighbours.map(({ p }) => p),
    'holm',
  );
  return order.map((place, index) => {
    const { rating, lower, upper } = ratings[place] ?? { rating: 0, lower: 0, upper: 0 };
    const tally = tallies[place] ?? { wins: 0, losses: 0, ties: 0 };
    const n = tally.wins + tally.losses + (ties === 'drop' ? 0 : tally.ties);
    const neighbour = neighbours[index];
    const p = pValues[index] ?? 1;
    return {
      model: keys.get(ids[place] ?? 0) ?? '',
      rank: ranks[place] ?? 0,
      worst_rank: worst[place] ?? 0,
      rating: Number(rating.toFixed(2)),
      ci95: [Number(lower.toFixed(2)), Number(upper.toFixed(2))],
      n,
      ...tally,
      ...(neighbour && { vs_next: againstNext(neighbour, p, Math.min(n, fit.units)) }),
    };
  });
}

function againstNext(
  { difference, error }: { readonly difference: number; readonly error: number },
  p: number,
  units: number,
) {
  const points = pointsPerStrength * difference;
  const half = pointsPerStrength * zOf(0.95) * error;
  const interval = [points - half, points + half] as const;
  const verdict = p <= 0.05 ? verdictOf(interval, units, {}) : 'inconclusive';
  return {
    difference: Number(points.toFixed(2)),
    ci95: interval.map((bound) => Number(bound.toFixed(2))),
    p_adjusted: finite(p) ?? 1,
    verdict,
  };
}

function methodOf(
  { ties, covariates, ci, resamples, seed }: RankRequest,
  { ridge, iterations, units, games }: Fit,
): string {
  const parts = [
    'Bradley-Terry by Newton',
    `ties: ${ties}`,
    ...(covariates.length > 0 ? [`covariates: ${covariates.join(', ')}`] : []),
    ci === 'bootstrap'
      ? `bootstrap of ${resamples} samples, seed ${seed}`
      : `sandwich intervals${units < games ? ' over items' : ''}`,
    'rating 1000 + 400/ln 10 per unit of log strength',
    ...(ridge > 0 ? [`ridge ${ridge}`] : []),
    `${iterations} iterations`,
  ];
  return parts.join('; ');
}

/** What playing first, or being longer, is worth: in points. */
function effectsOf(
  fit: Fit,
  { covariates }: RankRequest,
  snapshot: Snapshot,
  mix: Record<string, number>,
): Record<string, Figure> {
  return Object.fromEntries(
    covariates.map((name, index) => {
      const place = fit.strengths.length + index;
      const points = pointsPerStrength * (fit.coefficients[index] ?? 0);
      const half = pointsPerStrength * zOf(0.95) * Math.sqrt(varianceOf(fit.sandwich, fit.size, place));
      return [
        name,
        figure(snapshot, {
          value: points,
          interval: [points - half, points + half],
          n: fit.games,
          method:
            name === 'position'
              ? 'rating points for being shown first'
              : 'rating points for each standard deviation of relative length',
          mix,
        }),
      ];
    }),
  );
}
