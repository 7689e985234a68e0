/**
 * Ratings from wins, losses and ties between pairs: Bradley and Terry 1952, by Newton's method on the log strengths β. The chance that
 * a beats b is 1/(1 + exp(−(β_a − β_b + γ·x))), where x are covariates of the game, such as +1 when a plays at home and −1 when b does,
 * or how much longer a's answer is. Strengths are centred at 0. A rating is 1000 + 400/ln 10·β, the scale of Elo.
 */
import { quantileOf } from './bootstrap.ts';
import { Factor } from './cholesky.ts';
import { logGamma, zOf } from './distributions.ts';
import { seededRandom, type Random } from './random.ts';

/**
 * What a tie is: `half` a win for each; by Davidson 1970, with a chance that grows with √(π_a π_b); by Rao and Kupper 1967, what is too
 * near to be told apart; or it is dropped. Ratings of one method are not comparable with those of another.
 */
export type Ties = 'half' | 'davidson' | 'rao-kupper' | 'drop';

/** Games of one pair with the same covariates. */
export interface Match {
  /** Numbers of the two players, from 0. */
  readonly a: number;
  readonly b: number;
  readonly aWins: number;
  readonly bWins: number;
  readonly ties: number;
  readonly covariates?: readonly number[];
  /** Games of one cluster, such as those on one item, are not independent: the sandwich then counts clusters. All matches have one, or none. */
  readonly cluster?: number;
}

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

/** Elo's scale: a player with 400 points more wins 10 of 11 games. */
export const pointsPerStrength = 400 / Math.LN10;
export const ratingOf = (strength: number): number => 1000 + pointsPerStrength * strength;

/** Where no finite maximum exists: a prior of standard deviation 2 on strengths, which is 347 points. */
const fallbackRidge = 0.25;
const mostIterations = 100;

/** Players who reach each other through games, whoever won; each group sorted, the largest first. */
export function connectedGroups(players: number, matches: readonly Match[]): number[][] {
  return componentsOf(
    players,
    matches,
    (match) => gamesOf(match) > 0,
    () => true,
  );
}

/**
 * Whether every player can be reached from every other along wins, ties counting both ways: then and only then the maximum is finite
 * (Ford 1957).
 */
export function isStronglyConnected(
  players: number,
  matches: readonly Match[],
  ties: Ties = 'half',
): boolean {
  const tied = (match: Match) => ties !== 'drop' && match.ties > 0;
  const forth = reachable(
    players,
    matches,
    (match) => match.aWins > 0 || tied(match),
    (match) => match.bWins > 0 || tied(match),
  );
  const back = reachable(
    players,
    matches,
    (match) => match.bWins > 0 || tied(match),
    (match) => match.aWins > 0 || tied(match),
  );
  return forth === players && back === players;
}

function gamesOf({ aWins, bWins, ties }: Match): number {
  return aWins + bWins + ties;
}

type Leads = (match: Match) => boolean;

function neighboursOf(
  players: number,
  matches: readonly Match[],
  leadsForth: Leads,
  leadsBack: Leads,
): number[][] {
  const neighbours: number[][] = Array.from({ length: players }, () => []);
  for (const match of matches) {
    if (leadsForth(match)) neighbours[match.a]?.push(match.b);
    if (leadsBack(match)) neighbours[match.b]?.push(match.a);
  }
  return neighbours;
}

function reachable(players: number, matches: readonly Match[], leadsForth: Leads, leadsBack: Leads): number {
  return walked(0, neighboursOf(players, matches, leadsForth, leadsBack), new Uint8Array(players)).length;
}

function componentsOf(players: number, matches: readonly Match[], counts: Leads, back: Leads): number[][] {
  const neighbours = neighboursOf(players, matches, counts, (match) => counts(match) && back(match));
  const seen = new Uint8Array(players);
  const groups: number[][] = [];
  for (let player = 0; player < players; player += 1) {
    if (seen[player] === 0)
      groups.push(walked(player, neighbours, seen).toSorted((one, other) => one - other));
  }
  return groups.toSorted((one, other) => other.length - one.length);
}

function walked(from: number, neighbours: readonly (readonly number[])[], seen: Uint8Array): number[] {
  const found = [from];
  seen[from] = 1;
  for (const player of found) {
    for (const next of neighbours[player] ?? []) {
      if (seen[next] === 1) continue;
      seen[next] = 1;
      found.push(next);
    }
  }
  return found;
}

/** What one match adds: to the likelihood, its slope, its expected curvature, and the squares of the slopes of single games. */
interface Terms {
  logLikelihood: number;
  /** Slope along d = β_a − β_b + γ·x, and along the tie parameter. */
  slope: number;
  tieSlope: number;
  curve: number;
  cross: number;
  tieCurve: number;
  square: number;
  squareCross: number;
  tieSquare: number;
}

const logistic = (d: number) => (d >= 0 ? 1 / (1 + Math.exp(-d)) : Math.exp(d) / (1 + Math.exp(d)));
/** log(1/(1+e^−d)), exact far out. */
const logLogistic = (d: number) => -(Math.max(0, -d) + Math.log1p(Math.exp(-Math.abs(d))));
/** `count` times a logarithm, where 0 times −∞ is 0. */
const times = (count: number, log: number) => (count === 0 ? 0 : count * log);

type Model = (d: number, tie: number, aWins: number, bWins: number, ties: number, terms: Terms) => void;

/** A tie is half a win for each. */
const halfWins: Model = (d, _tie, aWins, bWins, ties, terms) => {
  const p = logistic(d);
  const q = logistic(-d);
  terms.logLikelihood = times(aWins + ties / 2, logLogistic(d)) + times(bWins + ties / 2, logLogistic(-d));
  terms.slope = (aWins + ties / 2) * q - (bWins + ties / 2) * p;
  terms.curve = (aWins + bWins + ties) * p * q;
  terms.square = aWins * q * q + bWins * p * p + ties * (0.5 - p) ** 2;
};

/** Chances e^{d/2} : e^{−d/2} : ν, with log ν the tie parameter. */
const davidson: Model = (d, tie, aWins, bWins, ties, terms) => {
  const top = Math.max(d / 2, -d / 2, tie);
  const logSum = top + Math.log(Math.exp(d / 2 - top) + Math.exp(-d / 2 - top) + Math.exp(tie - top));
  const win = Math.exp(d / 2 - logSum);
  const loss = Math.exp(-d / 2 - logSum);
  const draw = Math.exp(tie - logSum);
  const n = aWins + bWins + ties;
  const mean = (win - loss) / 2;
  terms.logLikelihood =
    times(aWins, d / 2 - logSum) + times(bWins, -d / 2 - logSum) + times(ties, tie - logSum);
  terms.slope = (aWins - bWins) / 2 - n * mean;
  terms.tieSlope = ties - n * draw;
  terms.curve = n * ((win + loss) / 4 - mean * mean);
  terms.cross = -n * mean * draw;
  terms.tieCurve = n * draw * (1 - draw);
  terms.square = aWins * (0.5 - mean) ** 2 + bWins * (0.5 + mean) ** 2 + ties * mean * mean;
  terms.squareCross =
    aWins * (0.5 - mean) * -draw + bWins * (-0.5 - mean) * -draw + ties * -mean * (1 - draw);
  terms.tieSquare = (aWins + bWins) * draw * draw + ties * (1 - draw) ** 2;
};

/** A win needs a lead of the threshold log θ, the tie parameter: Pr(a wins) = 1/(1+e^{−(d−tie)}). */
const raoKupper: Model = (d, tie, aWins, bWins, ties, terms) => {
  const win = logistic(d - tie);
  const loss = logistic(-d - tie);
  // (θ² − 1)·win·loss, without the subtraction 1 − win − loss.
  const draw = Math.expm1(2 * tie) * win * loss;
  const n = aWins + bWins + ties;
  const [winSlope, lossSlope] = [1 - win, 1 - loss];
  const drawTie = (win * winSlope + loss * lossSlope) / draw;
  const drawSlope = loss - win;
  terms.logLikelihood =
    times(aWins, Math.log(win)) + times(bWins, Math.log(loss)) + times(ties, Math.log(draw));
  terms.slope = aWins * winSlope - bWins * lossSlope + ties * drawSlope;
  terms.tieSlope = ties * drawTie - aWins * winSlope - bWins * lossSlope;
  terms.curve = n * (win * winSlope ** 2 + loss * lossSlope ** 2 + draw * drawSlope ** 2);
  terms.cross = n * (loss * lossSlope ** 2 - win * winSlope ** 2 + draw * drawSlope * drawTie);
  terms.tieCurve = n * (win * winSlope ** 2 + loss * lossSlope ** 2 + draw * drawTie ** 2);
  terms.square = aWins * winSlope ** 2 + bWins * lossSlope ** 2 + ties * drawSlope ** 2;
  terms.squareCross = bWins * lossSlope ** 2 - aWins * winSlope ** 2 + ties * drawSlope * drawTie;
  terms.tieSquare = aWins * winSlope ** 2 + bWins * lossSlope ** 2 + ties * drawTie ** 2;
};

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
function playedOf(
  players: number,
  matches: readonly Match[],
  { ties, covariates = 0 }: FitOptions,
): readonly Match[] {
  requireSound(players, matches, covariates);
  return ties === 'drop' ? matches.map((match) => ({ ...match, ties: 0 })) : matches;
}

const isCount = (count: number) => count >= 0 && count < Infinity;

function requireSound(players: number, matches: readonly Match[], covariates: number): void {
  if (!Number.isInteger(players) || players < 2) {
    throw new RangeError(`A ranking needs at least two players, not ${players}.`);
  }
  const isPlayer = (place: number) => Number.isInteger(place) && place >= 0 && place < players;
  for (const { a, b, aWins, bWins, ties, covariates: given = [] } of matches) {
    if (!isPlayer(a) || !isPlayer(b) || a === b)
      throw new RangeError(`No game can be between ${a} and ${b}.`);
    if (!isCount(aWins) || !isCount(bWins) || !isCount(ties)) {
      throw new RangeError(`Wins, losses and ties are counts, not ${aWins}, ${bWins}, ${ties}.`);
    }
    if (given.length !== covariates || !given.every((value) => Number.isFinite(value))) {
      throw new RangeError(`Each match needs ${covariates} covariates, all finite numbers.`);
    }
  }
}

class Fitting {
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
