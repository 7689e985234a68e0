import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { fitStrengths, type Fit } from './bradley-terry.ts';
import { connectedGroups, isStronglyConnected, type Match, type Ties } from './games.ts';
import { seededRandom } from './random.ts';
import {
  bootstrapRatings,
  chanceOfWin,
  ranksByUpperBound,
  ratingOf,
  ratingsOf,
  varianceOf,
  worstRanks,
} from './ratings.ts';

// The American League East of 1987 (Agresti): wins of home i over away j, and of away j at home i. The expected values are those of
// BradleyTerry2 1.1.3 for R; where its iterations end too early for the last digit (0.339568, 0.331876, 137.1079920), those of Newton's
// method in 40 digits.
const teams = ['Mil', 'Det', 'Tor', 'NY', 'Bos', 'Cle', 'Bal'];
const atHome = [
  [0, 4, 4, 4, 6, 4, 6],
  [3, 0, 4, 4, 6, 6, 4],
  [2, 4, 0, 2, 4, 4, 6],
  [3, 5, 2, 0, 4, 4, 6],
  [5, 2, 3, 4, 0, 5, 6],
  [2, 3, 3, 4, 4, 0, 2],
  [2, 1, 1, 2, 1, 3, 0],
];
const away = [
  [0, 3, 2, 3, 1, 2, 0],
  [3, 0, 2, 3, 0, 1, 3],
  [5, 3, 0, 4, 3, 2, 0],
  [3, 1, 5, 0, 3, 2, 1],
  [1, 5, 3, 2, 0, 2, 0],
  [5, 3, 4, 3, 2, 0, 4],
  [5, 5, 6, 4, 6, 4, 0],
];
const season: Match[] = teams.flatMap((_, a) =>
  teams.flatMap((_, b) =>
    a === b ? [] : [{ a, b, aWins: atHome[a]?.[b] ?? 0, bWins: away[a]?.[b] ?? 0, ties: 0, covariates: [1] }],
  ),
);
const withoutHome = season.map(({ a, b, aWins, bWins, ties }) => ({ a, b, aWins, bWins, ties }));
const place = (team: string) => teams.indexOf(team);
const toBaltimore = ({ strengths }: Fit, digits: number) =>
  Array.from(strengths, (strength) => Number((strength - (strengths[6] ?? 0)).toFixed(digits)));

describe('the American League East of 1987', () => {
  const plain = fitStrengths(7, withoutHome);

  test('abilities and their standard errors', () => {
    expect(plain.games).toBe(273);
    expect(toBaltimore(plain, 6)).toEqual([1.581356, 1.436408, 1.294485, 1.247618, 1.107698, 0.683853, 0]);
    const errors = teams.map((_, team) =>
      Number(Math.sqrt(varianceOf(plain.information, plain.size, team, 6)).toFixed(6)),
    );
    expect(errors.slice(0, 6)).toEqual([0.343256, 0.339569, 0.336669, 0.335861, 0.333878, 0.331877]);
  });

  test('how well it fits', () => {
    expect(plain.deviance.toFixed(7)).toBe('44.0534612');
    expect(plain.freedom).toBe(36);
    expect(plain.aggregatedLogLikelihood.toFixed(7)).toBe('-64.2593005');
    expect(plain.aic.toFixed(7)).toBe('140.5186010');
    expect(plain.logLikelihood.toFixed(6)).toBe('-172.248176');
  });

  test('chances and differences', () => {
    expect(chanceOfWin(plain, place('Mil'), place('Bal')).toFixed(6)).toBe('0.829396');
    expect(chanceOfWin(plain, place('Bos'), place('NY')).toFixed(6)).toBe('0.465077');
    const [detroit = 0, boston = 0] = [plain.strengths[1], plain.strengths[4]];
    expect((detroit - boston).toFixed(6)).toBe('0.328711');
    expect(Math.sqrt(varianceOf(plain.information, plain.size, 1, 4)).toFixed(6)).toBe('0.307758');
  });

  test('ratings with sandwich intervals, and ranks', () => {
    const ratings = ratingsOf(plain);
    expect(ratings.map(({ rating, upper }) => [rating.toFixed(2), (upper - rating).toFixed(2)])).toEqual([
      ['1092.27', '70.70'],
      ['1067.09', '70.70'],
      ['1042.44', '66.42'],
      ['1034.29', '70.06'],
      ['1009.99', '65.97'],
      ['936.36', '72.87'],
      ['817.56', '77.78'],
    ]);
    expect(ranksByUpperBound(ratings)).toEqual([1, 1, 1, 1, 1, 2, 6]);
    expect(worstRanks(ratings)).toEqual([5, 6, 6, 6, 6, 7, 7]);
  });

  test('with the advantage of playing at home', () => {
    const home = fitStrengths(7, season, { covariates: 1 });
    expect(toBaltimore(home, 6)).toEqual([1.619555, 1.475357, 1.32711, 1.28134, 1.143803, 0.704694, 0]);
    expect(home.coefficients[0]?.toFixed(6)).toBe('0.302261');
    expect(Math.sqrt(varianceOf(home.information, home.size, 7)).toFixed(6)).toBe('0.130944');
    expect(home.deviance.toFixed(7)).toBe('38.6428521');
    expect(home.freedom).toBe(35);
    expect(home.aic.toFixed(7)).toBe('137.1079919');
  });

  test('bootstrap intervals are those of the sandwich, nearly, and the seed decides them', () => {
    const options = { seed: 11, resamples: 600 };
    const { ratings, ridged } = bootstrapRatings(7, withoutHome, options);
    const sandwich = ratingsOf(plain);
    expect(ridged).toBe(0);
    for (const [team, { lower, upper }] of ratings.entries()) {
      const half = (sandwich[team]?.upper ?? 0) - (sandwich[team]?.rating ?? 0);
      expect(Math.abs((upper - lower) / 2 / half - 1)).toBeLessThan(0.15);
    }
    expect(bootstrapRatings(7, withoutHome, options).ratings).toEqual(ratings);
  });
});

/** The chances of a win, a loss and a tie at a difference of strengths. */
const chances: Record<'davidson' | 'rao-kupper', (d: number, tie: number) => [number, number]> = {
  davidson(d, tie) {
    const sum = Math.exp(d / 2) + Math.exp(-d / 2) + Math.exp(tie);
    return [Math.exp(d / 2) / sum, Math.exp(-d / 2) / sum];
  },
  'rao-kupper': (d, tie) => [1 / (1 + Math.exp(tie - d)), 1 / (1 + Math.exp(tie + d))],
};

/** The log-likelihood of single games, written out. */
function likelihood(
  ties: 'davidson' | 'rao-kupper',
  matches: readonly Match[],
  strengths: readonly number[],
  tie: number,
): number {
  let sum = 0;
  for (const { a, b, aWins, bWins, ties: draws } of matches) {
    const [win, loss] = chances[ties]((strengths[a] ?? 0) - (strengths[b] ?? 0), tie);
    sum += aWins * Math.log(win) + bWins * Math.log(loss) + draws * Math.log(1 - win - loss);
  }
  return sum;
}

describe('ties', () => {
  const matches: Match[] = [
    { a: 0, b: 1, aWins: 12, bWins: 5, ties: 6 },
    { a: 1, b: 2, aWins: 9, bWins: 8, ties: 3 },
    { a: 2, b: 0, aWins: 4, bWins: 11, ties: 9 },
  ];

  test.each(['davidson', 'rao-kupper'] as const)('%s reaches the maximum of its own likelihood', (ties) => {
    const { strengths, tieParameter = 0, logLikelihood } = fitStrengths(3, matches, { ties });
    const found = Array.from(strengths);
    expect(likelihood(ties, matches, found, tieParameter)).toBeCloseTo(logLikelihood, 9);
    for (const move of [1e-3, -1e-3]) {
      expect(likelihood(ties, matches, found, tieParameter + move)).toBeLessThan(logLikelihood);
      for (const player of [0, 1, 2]) {
        const moved = found.map((strength, index) => strength + (index === player ? move : 0));
        expect(likelihood(ties, matches, moved, tieParameter)).toBeLessThan(logLikelihood);
      }
    }
  });

  test.each(['davidson', 'rao-kupper'] as const)(
    '%s: the standard errors are those of the curvature',
    (ties) => {
      // As many games as the model itself expects: then the observed curvature is the expected one.
      const start = [0.4, 0, -0.4];
      const expected = matches.map(({ a, b }) => {
        const [win, loss] = chances[ties]((start[a] ?? 0) - (start[b] ?? 0), 0.3);
        return { a, b, aWins: 1e5 * win, bWins: 1e5 * loss, ties: 1e5 * (1 - win - loss) };
      });
      const fit = fitStrengths(3, expected, { ties });
      for (const [player, strength] of start.entries())
        expect(fit.strengths[player]).toBeCloseTo(strength, 9);
      expect(fit.tieParameter).toBeCloseTo(0.3, 9);
      const step = 1e-3;
      const curvature =
        (likelihood(ties, expected, start, 0.3 + step) -
          2 * likelihood(ties, expected, start, 0.3) +
          likelihood(ties, expected, start, 0.3 - step)) /
        step ** 2;
      // The tie parameter's own variance is at least the inverse of its curvature, with which the strengths hardly mix here.
      expect(varianceOf(fit.information, fit.size, 3) * -curvature).toBeGreaterThanOrEqual(0.999);
      // Where the model is right, the sandwich is the inverse of the information.
      for (const [index, value] of fit.information.entries()) {
        expect(Math.abs(value - (fit.sandwich[index] ?? 0))).toBeLessThan(1e-9);
      }
    },
  );

  test('half a win each, and dropping, are what one would count by hand', () => {
    const pair: Match[] = [{ a: 0, b: 1, aWins: 6, bWins: 2, ties: 4 }];
    const half = fitStrengths(2, pair, { ties: 'half' });
    const drop = fitStrengths(2, pair, { ties: 'drop' });
    expect((half.strengths[0] ?? 0) - (half.strengths[1] ?? 0)).toBeCloseTo(Math.log(8 / 4), 9);
    expect((drop.strengths[0] ?? 0) - (drop.strengths[1] ?? 0)).toBeCloseTo(Math.log(6 / 2), 9);
    expect([half.games, drop.games]).toEqual([12, 8]);
  });

  test('identical outcomes leave all alike', () => {
    for (const ties of ['half', 'davidson', 'rao-kupper'] as Ties[]) {
      const all: Match[] = [{ a: 0, b: 1, aWins: 0, bWins: 0, ties: 9 }];
      expect(Array.from(fitStrengths(2, all, { ties }).strengths)).toEqual([0, 0]);
    }
  });
});

const manyMatches = fc
  .array(
    fc.tuple(fc.nat(5), fc.nat(5), fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }), fc.nat(3)),
    {
      minLength: 1,
      maxLength: 20,
    },
  )
  .map((rows) => [
    ...[0, 1, 2, 3, 4].map((a) => ({ a, b: a + 1, aWins: 3, bWins: 2, ties: 0 })),
    ...rows.filter(([a, b]) => a !== b).map(([a, b, aWins, bWins, ties]) => ({ a, b, aWins, bWins, ties })),
  ]);

test('neither the order of games nor that of players changes a rating', () => {
  fc.assert(
    fc.property(
      manyMatches,
      fc.constantFrom<Ties>('half', 'davidson', 'rao-kupper', 'drop'),
      (matches, ties) => {
        const one = fitStrengths(6, matches, { ties });
        const reversed = fitStrengths(6, matches.toReversed(), { ties });
        const renamed = fitStrengths(
          6,
          matches.map((match) => ({
            ...match,
            a: 5 - match.b,
            b: 5 - match.a,
            aWins: match.bWins,
            bWins: match.aWins,
          })),
          { ties },
        );
        for (let player = 0; player < 6; player += 1) {
          expect(reversed.strengths[player]).toBeCloseTo(one.strengths[player] ?? 0, 8);
          expect(renamed.strengths[5 - player]).toBeCloseTo(one.strengths[player] ?? 0, 8);
        }
      },
    ),
    { numRuns: 60, seed: 1 },
  );
});

test('the fit is where Hunter’s minorisation comes to rest', () => {
  const strengths = teams.map(() => 1);
  for (let round = 0; round < 400; round += 1) {
    const wins = teams.map(() => 0);
    const expected = teams.map(() => 0);
    for (const { a, b, aWins, bWins } of season) {
      const share = (aWins + bWins) / ((strengths[a] ?? 0) + (strengths[b] ?? 0));
      wins[a] = (wins[a] ?? 0) + aWins;
      wins[b] = (wins[b] ?? 0) + bWins;
      expected[a] = (expected[a] ?? 0) + share;
      expected[b] = (expected[b] ?? 0) + share;
    }
    for (const team of teams.keys()) strengths[team] = (wins[team] ?? 0) / (expected[team] ?? 1);
  }
  const { strengths: fitted } = fitStrengths(7, withoutHome);
  for (const team of teams.keys()) {
    expect(Math.log((strengths[team] ?? 1) / (strengths[6] ?? 1))).toBeCloseTo(
      (fitted[team] ?? 0) - (fitted[6] ?? 0),
      9,
    );
  }
});

test('sandwich intervals of strengths cover at their level', () => {
  const truth = [0.6, 0.2, -0.1, -0.7];
  const random = seededRandom(21);
  let [covered, all] = [0, 0];
  for (let trial = 0; trial < 300; trial += 1) {
    const matches: Match[] = [];
    for (let a = 0; a < 4; a += 1) {
      for (let b = a + 1; b < 4; b += 1) {
        const aWins = random.binomial(60, 1 / (1 + Math.exp((truth[b] ?? 0) - (truth[a] ?? 0))));
        matches.push({ a, b, aWins, bWins: 60 - aWins, ties: 0 });
      }
    }
    const fit = fitStrengths(4, matches);
    for (const [player, { lower, upper }] of ratingsOf(fit).entries()) {
      const rating = ratingOf(truth[player] ?? 0);
      covered += lower <= rating && rating <= upper ? 1 : 0;
      all += 1;
    }
  }
  expect(covered / all).toBeGreaterThan(0.925);
  expect(covered / all).toBeLessThan(0.975);
});

test('games of one cluster count as one: said twice, a thing is not known better', () => {
  const once = season.map(({ a, b, aWins, bWins, ties }, cluster) => ({ a, b, aWins, bWins, ties, cluster }));
  const twice = [...once, ...once];
  const halves = (matches: readonly Match[]) => {
    const fit = fitStrengths(7, matches);
    return ratingsOf(fit).map(({ lower, upper }) => (upper - lower) / 2);
  };
  for (const [team, half] of halves(twice).entries()) expect(half).toBeCloseTo(halves(once)[team] ?? 0, 6);
  // Each game a cluster of its own is the same as none, but for G/(G − 1).
  const single = withoutHome.flatMap(({ a, b, aWins, bWins }) => [
    ...Array.from({ length: aWins }, () => ({ a, b, aWins: 1, bWins: 0, ties: 0 })),
    ...Array.from({ length: bWins }, () => ({ a, b, aWins: 0, bWins: 1, ties: 0 })),
  ]);
  const alone = single.map((match, cluster) => ({ ...match, cluster }));
  const forFew = Math.sqrt(alone.length / (alone.length - 1));
  for (const [team, half] of halves(alone).entries())
    expect(half).toBeCloseTo(forFew * (halves(withoutHome)[team] ?? 0), 6);
  const drawn = bootstrapRatings(7, alone, { seed: 2, resamples: 400 }).ratings;
  for (const [team, { lower, upper }] of drawn.entries())
    expect(Math.abs((upper - lower) / 2 / (halves(alone)[team] ?? 1) - 1)).toBeLessThan(0.15);
});

describe('graphs without a finite maximum', () => {
  const unbeaten: Match[] = [
    { a: 0, b: 1, aWins: 5, bWins: 0, ties: 0 },
    { a: 1, b: 2, aWins: 3, bWins: 3, ties: 0 },
  ];

  test('one who never lost is rated by a ridge, and that is said', () => {
    expect(isStronglyConnected(3, unbeaten)).toBe(false);
    const fit = fitStrengths(3, unbeaten);
    expect(fit.ridge).toBeGreaterThan(0);
    expect(fit.strengths.every((strength) => Number.isFinite(strength))).toBe(true);
    expect(fit.strengths[0]).toBeGreaterThan(fit.strengths[1] ?? Infinity);
    expect(ratingsOf(fit).every(({ lower, upper }) => upper > lower && upper < Infinity)).toBe(true);
    const [first] = bootstrapRatings(3, unbeaten, { seed: 1, resamples: 50 }).ratings;
    expect(first?.upper).toBeLessThan(Infinity);
  });

  test('a tie connects both ways, unless it is dropped', () => {
    const tied = unbeaten.map((match) => ({ ...match, ties: 1 }));
    expect([isStronglyConnected(3, tied), isStronglyConnected(3, tied, 'drop')]).toEqual([true, false]);
    expect(fitStrengths(3, tied).ridge).toBe(0);
  });

  test('groups without a game between them are named, and not ranked together', () => {
    const apart: Match[] = [...unbeaten, { a: 3, b: 4, aWins: 1, bWins: 1, ties: 0 }];
    expect(connectedGroups(5, apart)).toEqual([
      [0, 1, 2],
      [3, 4],
    ]);
    expect(() => fitStrengths(5, apart)).toThrow('no game that connects');
  });
});

test.each([
  ['one player', 1, []],
  ['no game', 2, []],
  ['a game against oneself', 2, [{ a: 0, b: 0, aWins: 1, bWins: 0, ties: 0 }]],
  ['an unknown player', 2, [{ a: 0, b: 2, aWins: 1, bWins: 0, ties: 0 }]],
  ['negative wins', 2, [{ a: 0, b: 1, aWins: -1, bWins: 0, ties: 0 }]],
  ['NaN ties', 2, [{ a: 0, b: 1, aWins: 1, bWins: 0, ties: Number.NaN }]],
  ['a covariate too many', 2, [{ a: 0, b: 1, aWins: 1, bWins: 1, ties: 0, covariates: [1] }]],
] as [string, number, Match[]][])('%s is refused', (_, players, matches) => {
  expect(() => fitStrengths(players, matches)).toThrow(RangeError);
});

test('a covariate that never varies is refused', () => {
  const flat = season.map((match) => ({ ...match, covariates: [0] }));
  expect(() => fitStrengths(7, flat, { covariates: 1 })).toThrow(RangeError);
});
