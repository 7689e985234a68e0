/** Ratings with intervals and ranks, from fitted strengths. A rating is 1000 + 400/ln 10·β, the scale of Elo. */
import { quantileOf } from './bootstrap.ts';
import {
  fallbackRidge,
  fitStrengths,
  Fitting,
  playedOf,
  type Fit,
  type FitOptions,
} from './bradley-terry.ts';
import { zOf } from './distributions.ts';
import { isStronglyConnected, type Match } from './games.ts';
import { seededRandom, type Random } from './random.ts';
import { logistic } from './tie-models.ts';

/** Elo's scale: a player with 400 points more wins 10 of 11 games. */
export const pointsPerStrength = 400 / Math.LN10;

export const ratingOf = (strength: number): number => 1000 + pointsPerStrength * strength;

/** Variance of the difference of two parameters: of a player's strength to another's, or with one place alone, of its own. */
export function varianceOf(covariances: Float64Array, size: number, place: number, other?: number): number {
  const at = (row: number, column: number) => covariances[row * size + column] ?? 0;
  if (other === undefined) return at(place, place);
  return at(place, place) + at(other, other) - 2 * at(place, other);
}

/** Pr(a beats b) in a game that one of them wins, without covariates. */
export function chanceOfWin({ strengths }: Fit, a: number, b: number): number {
  return logistic((strengths[a] ?? 0) - (strengths[b] ?? 0));
}

/**
 * Variance of the difference of two strengths, or of one: the sandwich's. That sees only how outcomes vary. Where they never do, as when all
 * games are ties, or hardly, as when a ridge keeps one who never lost finite, the curvature counts if it leaves more open.
 */
export function strengthVariance(fit: Fit, place: number, other?: number): number {
  const robust = Math.max(0, varianceOf(fit.sandwich, fit.size, place, other));
  // As if each cluster were one game.
  const curved = Math.max(0, varianceOf(fit.information, fit.size, place, other)) * (fit.games / fit.units);
  return fit.ridge > 0 || robust < 1e-9 * curved ? Math.max(robust, curved) : robust;
}

export interface Rating {
  readonly rating: number;
  readonly lower: number;
  readonly upper: number;
}

/** Ratings with an interval each. */
export function ratingsOf(fit: Fit, level = 0.95): Rating[] {
  const z = zOf(level);
  return Array.from(fit.strengths, (strength, place) => {
    const half = pointsPerStrength * z * Math.sqrt(strengthVariance(fit, place));
    const rating = ratingOf(strength);
    return { rating, lower: rating - half, upper: rating + half };
  });
}

/**
 * Ratings whose intervals come from resampling: the games are drawn anew, as multinomial counts over all outcomes of all matches, and
 * fitted again. A sample that leaves the graph without a finite maximum is fitted with the same ridge as any other such graph.
 */
export function bootstrapRatings(
  players: number,
  matches: readonly Match[],
  options: FitOptions & { readonly seed: number; readonly resamples?: number; readonly level?: number },
): { readonly ratings: Rating[]; readonly ridged: number } {
  const { seed, resamples = 200, level = 0.95, ...fitting } = options;
  const whole = fitStrengths(players, matches, fitting);
  const random = seededRandom(seed);
  const draw = matches.some(({ cluster }) => cluster !== undefined)
    ? clusterSampler(matches, random)
    : gameSampler(matches, random, fitting.ties === 'drop');
  const samples = Array.from({ length: players }, () => new Float64Array(resamples));
  let ridged = 0;
  for (let resample = 0; resample < resamples; resample += 1) {
    const sample = draw();
    const isLoose = !isStronglyConnected(players, sample, fitting.ties);
    if (isLoose) ridged += 1;
    const played = playedOf(players, sample, fitting);
    const again = new Fitting(
      played,
      players,
      { ...fitting, ridge: whole.ridge || (isLoose ? fallbackRidge : 0) },
      whole,
    );
    again.maximise();
    const strengths = again.strengths();
    for (const [player, strength] of strengths.entries()) {
      const own = samples[player];
      if (own) own[resample] = ratingOf(strength);
    }
  }
  const tail = (1 - level) / 2;
  const ratings = ratingsOf(whole, level).map(({ rating, lower, upper }, player) => {
    const sorted = (samples[player] ?? new Float64Array(0)).toSorted();
    const drawn = { rating, lower: quantileOf(sorted, tail), upper: quantileOf(sorted, 1 - tail) };
    // Games that never vary are the same in every sample.
    const isBlind = whole.ridge > 0 || drawn.lower === drawn.upper;
    return isBlind
      ? { rating, lower: Math.min(drawn.lower, lower), upper: Math.max(drawn.upper, upper) }
      : drawn;
  });
  return { ratings, ridged };
}

/** Draws as many games as there are, from all outcomes of all matches. */
function gameSampler(matches: readonly Match[], random: Random, dropsTies: boolean): () => Match[] {
  const cells = matches.flatMap(({ aWins, bWins, ties }) => [aWins, bWins, dropsTies ? 0 : ties]);
  const games = cells.reduce((sum, count) => sum + count, 0);
  return () => {
    let left = games;
    let weight = games;
    const drawn = cells.map((count) => {
      const some = weight > 0 ? random.binomial(left, Math.min(1, count / weight)) : 0;
      left -= some;
      weight -= count;
      return some;
    });
    return matches.map((match, index) => ({
      ...match,
      aWins: drawn[3 * index] ?? 0,
      bWins: drawn[3 * index + 1] ?? 0,
      ties: drawn[3 * index + 2] ?? 0,
    }));
  };
}

/** Draws as many clusters as there are, each with all of its games. */
function clusterSampler(matches: readonly Match[], random: Random): () => Match[] {
  const clusters = [...new Set(matches.map(({ cluster }) => cluster))];
  const places = new Map(clusters.map((cluster, place) => [cluster, place]));
  return () => {
    const counts = new Uint32Array(clusters.length);
    for (let draw = 0; draw < clusters.length; draw += 1) {
      const place = random.below(clusters.length);
      counts[place] = (counts[place] ?? 0) + 1;
    }
    return matches.map((match) => {
      const count = counts[places.get(match.cluster) ?? 0] ?? 0;
      return { ...match, aWins: count * match.aWins, bWins: count * match.bWins, ties: count * match.ties };
    });
  };
}

/** 1 + how many have a lower bound above this one's upper bound: ranks that the intervals bear out. */
export function ranksByUpperBound(ratings: readonly Rating[]): number[] {
  return ratings.map(({ upper }) => 1 + ratings.filter(({ lower }) => lower > upper).length);
}

/** The worst rank that the intervals allow: 1 + how many others reach up to this one's lower bound. */
export function worstRanks(ratings: readonly Rating[]): number[] {
  return ratings.map(({ lower }) => ratings.filter(({ upper }) => upper >= lower).length);
}
