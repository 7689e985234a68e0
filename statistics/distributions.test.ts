/** The expected values are those of scipy 1.17.1, and of mpmath 1 where scipy has fewer digits. */
import { describe, expect, test } from 'vitest';

import {
  betaCdf,
  betaQuantile,
  binomialCdf,
  binomialPmf,
  chiSquareUpper,
  logBeta,
  logGamma,
  normalCdf,
  normalQuantile,
  normalTwoSided,
  normalUpper,
  studentTwoSided,
  tOf,
  zOf,
} from './distributions.ts';

/** Digits that the ratio to the expected value has to agree in: more than any figure shows. */
const digits = 10;

test.each([
  [1e-5, 11.512919692895826],
  [0.5, 0.5723649429247],
  [7, 6.579251212010101],
  [9.99, 12.779315214350195],
  [10, 12.801827480081469],
  [123.4, 469.3360974421906],
  [1e6, 12815504.569147611],
])('log Γ(%s)', (x, expected) => expect(logGamma(x) / expected).toBeCloseTo(1, digits));

test.each([
  [2, 3, -2.4849066497880004],
  [0.5, 1e6, -6.335390211057439],
  [1e6, 2e6, -1909548.2909685448],
  [12, 5, -9.991498429858842],
])('log B(%s, %s)', (a, b, expected) => expect(logBeta(a, b) / expected).toBeCloseTo(1, digits));

test.each([
  [0.3, 2, 5, 0.579825],
  [0.5, 0.5, 0.5, 0.5],
  [1e-8, 0.5, 20.5, 0.0005077899332569961],
  [0.31, 81, 183, 0.551310093402914],
  [0.999, 200, 1.5, 0.9400978901816638],
  [0.5001, 500_000, 500_000, 0.5792596906690589],
  [0.02, 1, 1_000, 0.9999999983170327],
  [0.9, 3_000, 400, 0.9995697781346153],
])('Beta: Pr(X ≤ %s) for a = %s, b = %s', (x, a, b, expected) =>
  expect(betaCdf(x, a, b) / expected).toBeCloseTo(1, digits),
);

test.each([
  [0.025, 81.5, 182.5, 0.2545219349910236],
  [0.975, 0.5, 20.5, 0.11663898290487539],
  [0.5, 2, 3, 0.3857275681323895],
  [0.025, 0.5, 0.5, 0.001541333133436012],
  [0.975, 1_000.5, 1.5, 0.9998921890274437],
  [0.001, 300_000, 700_000, 0.29858502054050573],
  [0.975, 7, 4, 0.8784477418801728],
  [1e-9, 0.5, 3, 2.844444444444444e-19],
])('Beta: quantile %s for a = %s, b = %s', (p, a, b, expected) =>
  expect(betaQuantile(p, a, b) / expected).toBeCloseTo(1, digits),
);

test.each([
  [0, 0.5],
  [0.5, 0.3085375387259869],
  [1.959963984540054, 0.025],
  [-2.132, 0.9834965767210266],
  [5, 2.866515718791933e-7],
  [-8, 0.9999999999999993],
  [12, 1.776482112077653e-33],
  [30, 4.906713927147908e-198],
])('normal: Pr(Z > %s)', (z, expected) => expect(normalUpper(z) / expected).toBeCloseTo(1, digits));

test.each([
  [1e-20, -9.262340089798409],
  [1e-6, -4.753424308822899],
  [0.001, -3.090232306167813],
  [0.025, -1.9599639845400545],
  [0.2, -0.8416212335729142],
  [0.4, -0.2533471031357997],
  [0.8, 0.8416212335729143],
  [0.975, 1.959963984540054],
  [0.9999999, 5.199337582290661],
])('normal: quantile %s', (p, expected) => expect(normalQuantile(p) / expected).toBeCloseTo(1, digits));

test.each([
  [3.841458820694124, 1, 0.05],
  [5, 2, 0.0820849986238988],
  [36, 36, 0.46864766955533643],
  [0.1, 5, 0.9998376833880774],
  [200, 100, 1.1784500720979781e-8],
  [500, 3, 4.771672031912771e-108],
])('chi-square: Pr(X > %s) for %s degrees of freedom', (x, freedom, expected) =>
  expect(chiSquareUpper(x, freedom) / expected).toBeCloseTo(1, digits),
);

test.each([
  [6, 22, 0.5, 0.02623939514160156, 0.017789125442504886],
  [0, 30, 0.1, 0.042391158275216195, 0.04239115827521618],
  [3, 1_000, 0.002, 0.8573042389046867, 0.18062773231732254],
  [499_000, 1_000_000, 0.5, 0.0228041499326948, 0.00010798197801891438],
  [9, 10, 0.3, 0.9999940951, 0.000137781],
])('binomial: %s of %s with probability %s', (k, n, p, cdf, pmf) => {
  expect(binomialCdf(k, n, p) / cdf).toBeCloseTo(1, digits);
  expect(binomialPmf(k, n, p) / pmf).toBeCloseTo(1, digits);
});

test.each([
  [2.228138852, 10, 0.04999999999883647],
  [-1, 3, 0.3910022189557705],
  [12, 100, 4.395087715604393e-21],
])('t: two-sided p of %s with %s degrees of freedom', (t, freedom, expected) =>
  expect(studentTwoSided(t, freedom) / expected).toBeCloseTo(1, digits),
);

test.each([
  [1, 12.706204736174694],
  [4, 2.7764451051977934],
  [10, 2.228138851986274],
  [1_000, 1.9623390808264083],
])('t: the 95 %% quantile with %s degrees of freedom', (freedom, expected) =>
  expect(tOf(0.95, freedom) / expected).toBeCloseTo(1, digits),
);

describe('at the edges', () => {
  test('what is certain is 0 or 1, and infinite where it must be', () => {
    expect([betaCdf(0, 2, 3), betaCdf(1, 2, 3), betaQuantile(0, 2, 3), betaQuantile(1, 2, 3)]).toEqual([
      0, 1, 0, 1,
    ]);
    expect([normalQuantile(0), normalQuantile(0.5), normalQuantile(1)]).toEqual([-Infinity, 0, Infinity]);
    expect([binomialCdf(-1, 3, 0.5), binomialCdf(3, 3, 0.5), binomialPmf(4, 3, 0.5)]).toEqual([0, 1, 0]);
    expect([binomialPmf(0, 3, 0), binomialPmf(3, 3, 1), binomialPmf(1, 3, 0)]).toEqual([1, 1, 0]);
    expect([chiSquareUpper(0, 1), chiSquareUpper(Infinity, 1), normalCdf(Infinity)]).toEqual([1, 0, 1]);
    expect([normalTwoSided(0), zOf(0.95), studentTwoSided(Infinity, 5)]).toEqual([1, 1.959963984540054, 0]);
    expect(zOf(0.9) / 1.6448536269514722).toBeCloseTo(1, digits);
  });

  test.each([
    ['a probability above 1', () => normalQuantile(1.2)],
    ['NaN', () => betaCdf(Number.NaN, 1, 1)],
    ['a deviate that is NaN', () => normalUpper(Number.NaN)],
    ['no degrees of freedom', () => chiSquareUpper(1, 0)],
    ['a negative statistic', () => chiSquareUpper(-1, 1)],
    ['half a success', () => binomialCdf(1.5, 3, 0.5)],
    ['-1 trials', () => binomialPmf(0, -1, 0.5)],
    ['log Γ(0)', () => logGamma(0)],
    ['a level of 1', () => zOf(1)],
  ])('%s is refused', (_, compute) => expect(compute).toThrow(RangeError));
});
