/**
 * Strengths from wins, losses and ties between pairs: Bradley and Terry 1952, by Newton's method on the log strengths β. The chance that
 * a beats b is 1/(1 + exp(−(β_a − β_b + γ·x))), where x are covariates of the game, such as +1 when a plays at home and −1 when b does,
 * or how much longer a's answer is. Strengths are centred at 0.
 */
import { Factor } from './cholesky.ts';
import { logGamma } from './distributions.ts';
import {
  connectedGroups,
  gamesOf,
  isStronglyConnected,
  requireSound,
  type Match,
  type Ties,
} from './games.ts';
import { davidson, halfWins, raoKupper, times, type Model, type Terms } from './tie-models.ts';

export interface FitOptions {
  readonly ties?: Ties;
  /** How many numbers `covariates` of each match has. */
  readonly covariates?: number;
  /** Weight of the penalty λ/2·Σβ²; chosen by itself, and only where needed, unless given. */
  readonly ridge?: number;
}

export interface Fit {
  /** Log strengths, with mean 0. */
  readonly strengths: Float64Array;
  /** γ. */
  readonly coefficients: Float64Array;
  /** log ν of Davidson, log θ of Rao and Kupper; absent for the other ways. */
  readonly tieParameter: number | undefined;
  /** The penalty that was used: 0 where the maximum is finite without. */
  readonly ridge: number;
  readonly iterations: number;
  /** Log-likelihood of single games; `aggregated` with the number of orders in which each match can have come about. */
  readonly logLikelihood: number;
  readonly aggregatedLogLikelihood: number;
  /** 2·(the log-likelihood of a model with a rate for each match − this one), and what it has left of freedom. */
  readonly deviance: number;
  readonly freedom: number;
  /** Akaike's criterion, from the aggregated log-likelihood. */
  readonly aic: number;
  readonly games: number;
  /** Covariances of (strengths, coefficients, tie parameter), from the expected information; row after row. */
  readonly information: Float64Array;
  /** The sandwich I⁺MI⁺ (Huber 1967, White 1982): right even where the model is not quite. Of G clusters, M has the factor G/(G−1). */
  readonly sandwich: Float64Array;
  /** Rows of the two matrices. */
  readonly size: number;
  /** What is independent: clusters, or games without any. */
  readonly units: number;
}

/** Where no finite maximum exists: a prior of standard deviation 2 on strengths, which is 347 points. */
export const fallbackRidge = 0.25;

const mostIterations = 100;

/** The strengths that make the games most likely. @throws RangeError for games that cannot be, and for players without a way between them. */
export function fitStrengths(players: number, matches: readonly Match[], options: FitOptions = {}): Fit {
  const played = playedOf(players, matches, options);
  if (connectedGroups(players, played).length > 1) {
    throw new RangeError('Some players have no game that connects them with the others.');
  }
  const ridge = options.ridge ?? (isStronglyConnected(players, played, options.ties) ? 0 : fallbackRidge);
  const fitting = new Fitting(played, players, { ...options, ridge });
  return fitting.result(fitting.maximise());
}

/** The games that count. */
export function playedOf(
  players: number,
  matches: readonly Match[],
  { ties, covariates = 0 }: FitOptions,
): readonly Match[] {
  requireSound(players, matches, covariates);
  return ties === 'drop' ? matches.map((match) => ({ ...match, ties: 0 })) : matches;
}

export class Fitting {
  readonly #matches: readonly Match[];
  readonly #players: number;
  readonly #covariates: number;
  readonly #hasTie: boolean;
  readonly #model: Model;
  readonly #ridge: number;
  readonly #size: number;
  readonly #games: number;
  readonly #parameters: Float64Array;
  readonly #terms: Terms = {
    logLikelihood: 0,
    slope: 0,
    tieSlope: 0,
    curve: 0,
    cross: 0,
    tieCurve: 0,
    square: 0,
    squareCross: 0,
    tieSquare: 0,
  };

  constructor(
    matches: readonly Match[],
    players: number,
    { ties, covariates = 0, ridge = 0 }: FitOptions,
    start?: { readonly strengths: Float64Array; readonly coefficients: Float64Array },
  ) {
    this.#matches = matches;
    this.#players = players;
    this.#covariates = covariates;
    this.#ridge = ridge;
    this.#games = matches.reduce((sum, match) => sum + gamesOf(match), 0);
    const tied = matches.reduce((sum, match) => sum + match.ties, 0);
    // Without any tie, or with nothing else, the tie parameter has no finite maximum: then it is left out.
    this.#hasTie = (ties === 'davidson' || ties === 'rao-kupper') && tied > 0 && tied < this.#games;
    this.#model = this.#hasTie ? (ties === 'davidson' ? davidson : raoKupper) : halfWins;
    this.#size = players + covariates + (this.#hasTie ? 1 : 0);
    this.#parameters = new Float64Array(this.#size);
    if (start) {
      this.#parameters.set(start.strengths);
      this.#parameters.set(start.coefficients, players);
    }
    if (this.#hasTie) {
      const odds = tied / (this.#games - tied);
      this.#parameters[this.#size - 1] = ties === 'davidson' ? Math.log(2 * odds) : Math.log1p(2 * odds);
    }
  }

  /** The strengths as they stand. */
  strengths(): Float64Array {
    return centred(this.#parameters.slice(0, this.#players));
  }

  /** The terms of a match at these parameters. */
  #at(match: Match, parameters: Float64Array): Terms {
    let d = (parameters[match.a] ?? 0) - (parameters[match.b] ?? 0);
    for (let index = 0; index < this.#covariates; index += 1) {
      d += (parameters[this.#players + index] ?? 0) * (match.covariates?.[index] ?? 0);
    }
    const tie = this.#hasTie ? (parameters[this.#size - 1] ?? 0) : 0;
    this.#model(d, tie, match.aWins, match.bWins, match.ties, this.#terms);
    return this.#terms;
  }

  #penalised(parameters: Float64Array): number {
    let sum = 0;
    for (const match of this.#matches) sum += this.#at(match, parameters).logLikelihood;
    for (let player = 0; player < this.#players; player += 1)
      sum -= (this.#ridge / 2) * (parameters[player] ?? 0) ** 2;
    return sum;
  }

  /** Adds `value`·z·zᵀ, and its cross terms with the tie parameter, where z has 1 at a, −1 at b, and the covariates. */
  #addOuter(matrix: Float64Array, match: Match, value: number, cross: number, tieValue: number): void {
    const size = this.#size;
    const { a, b } = match;
    const add = (row: number, column: number, amount: number) => {
      matrix[row * size + column] = (matrix[row * size + column] ?? 0) + amount;
    };
    add(a, a, value);
    add(b, b, value);
    add(a, b, -value);
    add(b, a, -value);
    for (let index = 0; index < this.#covariates; index += 1) {
      const x = match.covariates?.[index] ?? 0;
      if (x === 0) continue;
      const row = this.#players + index;
      for (const [player, sign] of [
        [a, x],
        [b, -x],
      ] as const) {
        add(row, player, value * sign);
        add(player, row, value * sign);
      }
      for (let other = 0; other < this.#covariates; other += 1) {
        add(row, this.#players + other, value * x * (match.covariates?.[other] ?? 0));
      }
      if (this.#hasTie) {
        add(row, size - 1, cross * x);
        add(size - 1, row, cross * x);
      }
    }
    if (!this.#hasTie) return;
    for (const [player, sign] of [
      [a, cross],
      [b, -cross],
    ] as const) {
      add(player, size - 1, sign);
      add(size - 1, player, sign);
    }
    add(size - 1, size - 1, tieValue);
  }

  /** The slope and the expected information at these parameters; the information is made regular along the strengths' common level. */
  #slopeAndInformation(parameters: Float64Array): { slope: Float64Array; information: Float64Array } {
    const size = this.#size;
    const slope = new Float64Array(size);
    const information = new Float64Array(size * size);
    for (const match of this.#matches) {
      if (gamesOf(match) === 0) continue;
      const terms = this.#at(match, parameters);
      slope[match.a] = (slope[match.a] ?? 0) + terms.slope;
      slope[match.b] = (slope[match.b] ?? 0) - terms.slope;
      for (let index = 0; index < this.#covariates; index += 1) {
        const row = this.#players + index;
        slope[row] = (slope[row] ?? 0) + terms.slope * (match.covariates?.[index] ?? 0);
      }
      if (this.#hasTie) slope[size - 1] = (slope[size - 1] ?? 0) + terms.tieSlope;
      this.#addOuter(information, match, terms.curve, terms.cross, terms.tieCurve);
    }
    const level = 1 / this.#players;
    for (let row = 0; row < this.#players; row += 1) {
      slope[row] = (slope[row] ?? 0) - this.#ridge * (parameters[row] ?? 0);
      information[row * size + row] = (information[row * size + row] ?? 0) + this.#ridge;
      for (let column = 0; column < this.#players; column += 1) {
        information[row * size + column] = (information[row * size + column] ?? 0) + level;
      }
    }
    return { slope, information };
  }

  /** Newton's steps, each halved until it is one upwards. @returns how many. */
  maximise(): number {
    const parameters = this.#parameters;
    let height = this.#penalised(parameters);
    for (let iteration = 1; iteration <= mostIterations; iteration += 1) {
      const { slope, information } = this.#slopeAndInformation(parameters);
      const step = new Factor(information, this.#size).solve(slope);
      const longest = step.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      let share = Math.min(1, 4 / longest);
      const next = new Float64Array(this.#size);
      for (;;) {
        for (const [index, value] of parameters.entries()) next[index] = value + share * (step[index] ?? 0);
        const reached =
          this.#hasTie && this.#model === raoKupper && (next.at(-1) ?? 0) <= 0
            ? -Infinity
            : this.#penalised(next);
        if (reached >= height - 1e-12 * Math.abs(height) || share * longest < 1e-14) {
          height = reached;
          break;
        }
        share /= 2;
      }
      parameters.set(next);
      if (share * longest < 1e-10) return iteration;
    }
    return mostIterations;
  }

  /**
   * The sum of the outer products of the clusters' slopes, times G/(G−1): with few clusters the sum alone is too small, and this is what
   * Stata takes for models that are not linear (Cameron and Miller 2015, section II.B).
   */
  #clusteredMeat(): Float64Array {
    const size = this.#size;
    const slopes = new Map<number, Map<number, number>>();
    for (const match of this.#matches) {
      const terms = this.#at(match, this.#parameters);
      const own = slopes.get(match.cluster ?? -1) ?? new Map<number, number>();
      slopes.set(match.cluster ?? -1, own);
      const add = (place: number, amount: number) => own.set(place, (own.get(place) ?? 0) + amount);
      add(match.a, terms.slope);
      add(match.b, -terms.slope);
      for (const [index, x] of (match.covariates ?? []).entries())
        add(this.#players + index, terms.slope * x);
      if (this.#hasTie) add(size - 1, terms.tieSlope);
    }
    const meat = new Float64Array(size * size);
    const forFew = slopes.size > 1 ? slopes.size / (slopes.size - 1) : 1;
    for (const own of slopes.values()) {
      for (const [row, one] of own) {
        for (const [column, other] of own)
          meat[row * size + column] = (meat[row * size + column] ?? 0) + forFew * one * other;
      }
    }
    return meat;
  }

  result(iterations: number): Fit {
    const size = this.#size;
    const parameters = this.#parameters;
    const { information } = this.#slopeAndInformation(parameters);
    const inverse = new Factor(information, size).inverse();
    // What was added along the common level of the strengths is taken away again: that leaves the pseudo-inverse.
    const level = 1 / this.#players / (1 + this.#ridge);
    for (let row = 0; row < this.#players; row += 1) {
      for (let column = 0; column < this.#players; column += 1) {
        inverse[row * size + column] = (inverse[row * size + column] ?? 0) - level;
      }
    }
    const byCluster = this.#matches.some(({ cluster }) => cluster !== undefined);
    const meat = byCluster ? this.#clusteredMeat() : new Float64Array(size * size);
    let [logLikelihood, orders, saturated, free] = [0, 0, 0, 0];
    for (const match of this.#matches) {
      const n = gamesOf(match);
      if (n === 0) continue;
      const terms = this.#at(match, parameters);
      if (!byCluster) this.#addOuter(meat, match, terms.square, terms.squareCross, terms.tieSquare);
      logLikelihood += terms.logLikelihood;
      const outcomes = this.#hasTie
        ? [match.aWins, match.bWins, match.ties]
        : [match.aWins + match.ties / 2, match.bWins + match.ties / 2];
      orders += logGamma(n + 1);
      free += outcomes.length - 1;
      for (const count of outcomes) {
        orders -= logGamma(count + 1);
        saturated += times(count, Math.log(count / n));
      }
    }
    const fitted = size - 1;
    return {
      strengths: this.strengths(),
      coefficients: parameters.slice(this.#players, this.#players + this.#covariates),
      tieParameter: this.#hasTie ? parameters.at(-1) : undefined,
      ridge: this.#ridge,
      iterations,
      logLikelihood,
      aggregatedLogLikelihood: logLikelihood + orders,
      deviance: 2 * (saturated - logLikelihood),
      freedom: free - fitted,
      aic: -2 * (logLikelihood + orders) + 2 * fitted,
      games: this.#games,
      information: inverse,
      sandwich: sandwiched(inverse, meat, size),
      size,
      units: byCluster ? new Set(this.#matches.map(({ cluster }) => cluster)).size : this.#games,
    };
  }
}

function centred(strengths: Float64Array): Float64Array {
  const mean = strengths.reduce((sum, strength) => sum + strength, 0) / strengths.length;
  return strengths.map((strength) => strength - mean);
}

/** bread · meat · bread, both symmetric. */
function sandwiched(bread: Float64Array, meat: Float64Array, size: number): Float64Array {
  return product(product(bread, meat, size), bread, size);
}

function product(one: Float64Array, other: Float64Array, size: number): Float64Array {
  const result = new Float64Array(size * size);
  for (let row = 0; row < size; row += 1) {
    for (let inner = 0; inner < size; inner += 1) {
      const value = one[row * size + inner] ?? 0;
      if (value === 0) continue;
      for (let column = 0; column < size; column += 1) {
        result[row * size + column] =
          (result[row * size + column] ?? 0) + value * (other[inner * size + column] ?? 0);
      }
    }
  }
  return result;
}
