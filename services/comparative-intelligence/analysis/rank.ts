/** All models of one kind beside each other, by Bradley and Terry. */
import { ToolError } from '#runtime/errors.ts';
import { fitStrengths, type Fit } from '#statistics/bradley-terry.ts';
import { normalTwoSided, zOf } from '#statistics/distributions.ts';
import { finite } from '#statistics/figure.ts';
import type { Ties } from '#statistics/games.ts';
import { adjusted } from '#statistics/multiplicity.ts';
import {
  bootstrapRatings,
  pointsPerStrength,
  ranksByUpperBound,
  ratingsOf,
  strengthVariance,
  varianceOf,
  worstRanks,
  type Rating,
} from '#statistics/ratings.ts';

import { figure, verdictOf, type Figure, type Snapshot } from '../figure.ts';
import { maxBootstrapMatches, maxBootstrapWork } from '../limits.ts';
import type { Reading } from '../store/reading.ts';
import type { Verdict } from '../vocabulary.ts';
import { asClusters, rankedGames, type Games, type RankRequest } from './games.ts';

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
