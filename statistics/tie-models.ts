/** What one match adds to a likelihood, its slopes and its curvature, by what a tie is. */

/** What one match adds: to the likelihood, its slope, its expected curvature, and the squares of the slopes of single games. */
export interface Terms {
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

export const logistic = (d: number) => (d >= 0 ? 1 / (1 + Math.exp(-d)) : Math.exp(d) / (1 + Math.exp(d)));

/** log(1/(1+e^−d)), exact far out. */
const logLogistic = (d: number) => -(Math.max(0, -d) + Math.log1p(Math.exp(-Math.abs(d))));

/** `count` times a logarithm, where 0 times −∞ is 0. */
export const times = (count: number, log: number) => (count === 0 ? 0 : count * log);

export type Model = (
  d: number,
  tie: number,
  aWins: number,
  bWins: number,
  ties: number,
  terms: Terms,
) => void;

/** A tie is half a win for each. */
export const halfWins: Model = (d, _tie, aWins, bWins, ties, terms) => {
  const p = logistic(d);
  const q = logistic(-d);
  terms.logLikelihood = times(aWins + ties / 2, logLogistic(d)) + times(bWins + ties / 2, logLogistic(-d));
  terms.slope = (aWins + ties / 2) * q - (bWins + ties / 2) * p;
  terms.curve = (aWins + bWins + ties) * p * q;
  terms.square = aWins * q * q + bWins * p * p + ties * (0.5 - p) ** 2;
};

/** Chances e^{d/2} : e^{−d/2} : ν, with log ν the tie parameter. */
export const davidson: Model = (d, tie, aWins, bWins, ties, terms) => {
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
export const raoKupper: Model = (d, tie, aWins, bWins, ties, terms) => {
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
