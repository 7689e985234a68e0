/**
 * The distributions that the other files use, to about 13 digits: normal, beta, binomial, chi-square and Student's t.
 * All of them rest on two functions, the regularised incomplete beta and gamma functions.
 *
 * Arguments outside a function's domain, and NaN, are `RangeError`s: a figure is never computed from nonsense.
 */

/** Refuses NaN and what lies outside of [from, to]. */
export function within(name: string, value: number, from: number, to: number): number {
  if (!(value >= from && value <= to)) {
    throw new RangeError(`${name} must be a number from ${from} to ${to}, not ${value}.`);
  }
  return value;
}

const probability = (value: number) => within('A probability', value, 0, 1);

/** What Stirling's formula leaves of log Γ(x), for x of 10 and more: Σ B₂ₖ / (2k (2k−1) x²ᵏ⁻¹). */
function stirlingRest(x: number): number {
  const s = 1 / (x * x);
  return (
    (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s * (1 / 1188 - (s * 691) / 360_360))))) / x
  );
}

/** log Γ(x) for x > 0: Stirling's series, after the recurrence has lifted small x to 10. */
export function logGamma(x: number): number {
  if (!(x > 0)) throw new RangeError(`log Γ is asked for numbers above 0, not ${x}.`);
  let product = 1;
  let lifted = x;
  while (lifted < 10) {
    product *= lifted;
    lifted += 1;
  }
  return (
    (lifted - 0.5) * Math.log(lifted) -
    lifted +
    0.5 * Math.log(2 * Math.PI) +
    stirlingRest(lifted) -
    Math.log(product)
  );
}

/** log B(a, b) = log Γ(a) + log Γ(b) − log Γ(a+b); large arguments do not cost digits. */
export function logBeta(a: number, b: number): number {
  if (a < 10 || b < 10) {
    const [small, large] = a < b ? [a, b] : [b, a];
    if (large < 10) return logGamma(a) + logGamma(b) - logGamma(a + b);
    // log Γ(large) − log Γ(large + small), from the two Stirling series.
    const ratio =
      -(large - 0.5) * Math.log1p(small / large) -
      small * Math.log(large + small) +
      small +
      stirlingRest(large) -
      stirlingRest(large + small);
    return logGamma(small) + ratio;
  }
  return (
    0.5 * Math.log((2 * Math.PI * (a + b)) / (a * b)) +
    a * Math.log(a / (a + b)) +
    b * Math.log(b / (a + b)) +
    stirlingRest(a) +
    stirlingRest(b) -
    stirlingRest(a + b)
  );
}

/** log of x^a (1−x)^b / B(a, b). Near the mean the two powers almost cancel: there it is computed from the distance to it. */
function logBetaPower(x: number, a: number, b: number): number {
  if (a < 10 || b < 10) return a * Math.log(x) + b * Math.log1p(-x) - logBeta(a, b);
  const mean = a / (a + b);
  const distance = x - mean;
  return (
    a * Math.log1p(distance / mean) +
    b * Math.log1p((-distance * (a + b)) / b) +
    0.5 * Math.log((a * b) / (2 * Math.PI * (a + b))) +
    stirlingRest(a + b) -
    stirlingRest(a) -
    stirlingRest(b)
  );
}

const tiny = 1e-300;
const mostSteps = 500_000;

/** A continued fraction b₀ + a₁/(b₁ + a₂/(b₂ + …)), by the method of Lentz as Thompson and Barnett changed it. */
function continuedFraction(first: number, term: (step: number) => readonly [a: number, b: number]): number {
  let value = first || tiny;
  let upper = value;
  let lower = 0;
  for (let step = 1; step < mostSteps; step += 1) {
    const [a, b] = term(step);
    lower = 1 / (b + a * lower || tiny);
    upper = b + a / upper || tiny;
    const factor = upper * lower;
    value *= factor;
    if (Math.abs(factor - 1) < 1e-16) return value;
  }
  return value;
}

/** The regularised incomplete beta function I_x(a, b): what a Beta(a, b) variable is at most x with. DLMF 8.17.22. */
export function betaCdf(x: number, a: number, b: number): number {
  within('a of a beta distribution', a, Number.MIN_VALUE, 1e12);
  within('b of a beta distribution', b, Number.MIN_VALUE, 1e12);
  if (probability(x) === 0 || x === 1) return x;
  // The fraction converges fast below the mean; above it, the other tail is computed.
  if (x > (a + 1) / (a + b + 2)) return 1 - betaBelow(1 - x, b, a);
  return betaBelow(x, a, b);
}

/** The upper tail 1 − I_x(a, b), without the loss of digits of the subtraction. */
function betaUpper(x: number, a: number, b: number): number {
  return betaCdf(1 - x, b, a);
}

function betaBelow(x: number, a: number, b: number): number {
  const fraction = continuedFraction(1, (step) => {
    const half = Math.floor(step / 2);
    const d =
      step % 2 === 0
        ? (half * (b - half) * x) / ((a + step - 1) * (a + step))
        : (-(a + half) * (a + b + half) * x) / ((a + step - 1) * (a + step));
    return [d, 1];
  });
  return Math.min(1, Math.exp(logBetaPower(x, a, b)) / a / fraction);
}

/** x at which a rising function reaches a target, between two bounds: Newton's steps, and halving where they lead outside. */
function solve(
  target: number,
  from: number,
  to: number,
  start: number,
  value: (x: number) => number,
  slope: (x: number) => number,
): number {
  let low = from;
  let high = to;
  let x = start;
  for (let step = 0; step < 400; step += 1) {
    const error = value(x) - target;
    if (error === 0) return x;
    if (error > 0) high = x;
    else low = x;
    const newton = x - error / slope(x);
    // Halving by ratio finds a solution that lies very near to 0.
    const halved = low > 0 && high / low > 4 ? Math.sqrt(low * high) : (low + high) / 2;
    const next = newton > low && newton < high ? newton : halved;
    if (Math.abs(next - x) <= 4e-16 * Math.abs(next) || next === low || next === high) return next;
    x = next;
  }
  return x;
}

/** The x that a Beta(a, b) variable does not exceed with probability p. */
export function betaQuantile(p: number, a: number, b: number): number {
  if (probability(p) === 0 || p === 1) return p;
  const mean = a / (a + b);
  // Solved in the tail where the answer is small, so that it keeps its digits next to 1 as well.
  if (betaCdf(mean, a, b) < p && mean > 0.5) return 1 - solveBeta(1 - p, b, a);
  return solveBeta(p, a, b);
}

function solveBeta(p: number, a: number, b: number): number {
  return solve(
    p,
    1e-300,
    1,
    a / (a + b),
    (x) => betaCdf(x, a, b),
    (x) => Math.exp(logBetaPower(x, a, b)) / (x * (1 - x)),
  );
}

/** The regularised upper incomplete gamma function Q(a, x): by its series below a + 1 (DLMF 8.7.1), else by its fraction (8.9.2). */
function gammaUpper(a: number, x: number): number {
  if (x === 0) return 1;
  if (x === Infinity) return 0;
  const power = Math.exp(a * Math.log(x) - x - logGamma(a));
  if (x < a + 1) {
    let term = 1 / a;
    let sum = term;
    for (let step = 1; step < mostSteps && term > sum * 1e-17; step += 1) {
      term *= x / (a + step);
      sum += term;
    }
    return Math.max(0, 1 - power * sum);
  }
  return power / continuedFraction(x + 1 - a, (step) => [step * (a - step), x + 2 * step + 1 - a]);
}

/** Pr(X > x) for X chi-square with `freedom` degrees of freedom: the p-value of a chi-square statistic. */
export function chiSquareUpper(x: number, freedom: number): number {
  within('A chi-square statistic', x, 0, Infinity);
  within('Degrees of freedom', freedom, Number.MIN_VALUE, 1e12);
  return gammaUpper(freedom / 2, x / 2);
}

/** Pr(Z > z) for a standard normal Z; exact far out, where 1 − Φ(z) would be 0. */
export function normalUpper(z: number): number {
  within('A normal deviate', z, -Infinity, Infinity);
  const tail = gammaUpper(0.5, (z * z) / 2) / 2;
  return z >= 0 ? tail : 1 - tail;
}

/** Φ(z) = Pr(Z ≤ z). */
export const normalCdf = (z: number): number => normalUpper(-z);

export const normalDensity = (z: number): number => Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);

/** The two-sided p-value of a standard normal statistic. */
export const normalTwoSided = (z: number): number => Math.min(1, 2 * normalUpper(Math.abs(z)));

/** z with Φ(z) = p; −∞ at 0 and ∞ at 1. */
export function normalQuantile(p: number): number {
  if (probability(p) === 0) return -Infinity;
  if (p === 1) return Infinity;
  if (p === 0.5) return 0;
  if (p > 0.5) return -normalQuantile(1 - p);
  return -solve(
    -p,
    0,
    40,
    Math.sqrt(-2 * Math.log(2 * p)) / 1.2,
    (z) => -normalUpper(z),
    (z) => normalDensity(z),
  );
}

/** z of a two-sided interval of this level: 1.959964 for 0.95. */
export function zOf(level: number): number {
  within('A confidence level', level, Number.MIN_VALUE, 1 - Number.EPSILON);
  return level === 0.95 ? 1.959963984540054 : normalQuantile(0.5 + level / 2);
}

/** The two-sided p-value of Student's t with `freedom` degrees of freedom: I_{ν/(ν+t²)}(ν/2, ½). */
export function studentTwoSided(t: number, freedom: number): number {
  within('A t statistic', t, -Infinity, Infinity);
  return Math.abs(t) === Infinity ? 0 : betaCdf(freedom / (freedom + t * t), freedom / 2, 0.5);
}

/** t of a two-sided interval of this level: 2.228139 for 0.95 and 10 degrees of freedom. */
export function tOf(level: number, freedom: number): number {
  const x = betaQuantile(1 - within('A confidence level', level, 0, 1), freedom / 2, 0.5);
  return Math.sqrt((freedom * (1 - x)) / x);
}

function wholeCounts(k: number, n: number): void {
  if (!Number.isInteger(n) || n < 0) throw new RangeError(`A number of trials is a whole one, not ${n}.`);
  if (!Number.isInteger(k)) throw new RangeError(`A number of successes is a whole one, not ${k}.`);
}

/** Pr(X ≤ k) for X binomial with n trials of probability p. */
export function binomialCdf(k: number, n: number, p: number): number {
  wholeCounts(k, n);
  probability(p);
  if (k < 0) return 0;
  if (k >= n) return 1;
  return betaUpper(p, k + 1, n - k);
}

/** Pr(X = k) for X binomial with n trials of probability p. */
export function binomialPmf(k: number, n: number, p: number): number {
  wholeCounts(k, n);
  probability(p);
  if (k < 0 || k > n) return 0;
  if (p === 0 || p === 1) return k === n * p ? 1 : 0;
  // C(n, k) = 1 / ((n+1) B(k+1, n−k+1)).
  return Math.exp(logBetaPower(p, k + 1, n - k + 1)) / ((n + 1) * p * (1 - p));
}
