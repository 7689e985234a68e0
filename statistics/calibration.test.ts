import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import {
  brierScore,
  calibrationError,
  decomposed,
  equalMassBins,
  equalWidthBins,
  groupsOf,
  logScore,
  resampled,
  type Group,
  type Resamples,
} from './calibration.ts';
import { seededRandom } from './random.ts';

const first = groupsOf([0.1, 0.9, 0.8, 0.3], [0, 1, 1, 0]);
/** The example of the documentation of torchmetrics. */
const second = groupsOf([0.25, 0.25, 0.55, 0.75, 0.75], [0, 0, 1, 1, 1]);

describe('published figures', () => {
  test('Brier and log score', () => {
    expect(brierScore(first)).toBeCloseTo(0.0375, 12);
    expect(logScore(first, 1e-6)).toBeCloseTo(0.1976349, 7);
  });

  test('errors over two bins of equal width', () => {
    const { ece, rms, mce } = calibrationError(equalWidthBins(second, 2));

    expect(ece).toBeCloseTo(0.29, 12);
    expect(rms).toBeCloseTo(0.2918, 4);
    expect(mce).toBeCloseTo(0.3167, 4);
  });

  test('the decomposition by distinct forecast', () => {
    const { reliability, resolution, uncertainty } = decomposed(second);

    expect(reliability).toBeCloseTo(0.0905, 12);
    expect(resolution).toBeCloseTo(0.24, 12);
    expect(uncertainty).toBeCloseTo(0.24, 12);
    expect(brierScore(second)).toBeCloseTo(0.0905, 12);
  });
});

const pairs = fc.array(
  fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })),
  { minLength: 1, maxLength: 60 },
);
const split = (list: readonly (readonly [number, number])[]) =>
  groupsOf(
    list.map(([p]) => p),
    list.map(([, y]) => y),
  );

test('The parts make the Brier score, which is the mean of the squares, for any outcomes', () => {
  fc.assert(
    fc.property(pairs, (list) => {
      const groups = split(list);
      const { reliability, resolution, uncertainty } = decomposed(groups);
      const mean = list.reduce((sum, [p, y]) => sum + (p - y) ** 2, 0) / list.length;

      // Outcomes that differ within a group of equal forecasts are part of the uncertainty.
      expect(reliability - resolution + uncertainty).toBeCloseTo(mean, 9);
      expect(brierScore(groups)).toBeCloseTo(mean, 9);
    }),
  );
});

test('Bins hold all, each what is theirs, and those of equal mass as much as can be', () => {
  fc.assert(
    fc.property(pairs, fc.integer({ min: 1, max: 20 }), (list, bins) => {
      const groups = split(list);
      const distinct = groups.length === list.length;
      for (const found of [equalWidthBins(groups, bins), equalMassBins(groups, bins)]) {
        expect(found.reduce((n, bin) => n + bin.n, 0)).toBe(list.length);
        for (const { n, sumForecast, from, to } of found) {
          expect(sumForecast / n).toBeGreaterThanOrEqual(from - 1e-9);
          expect(sumForecast / n).toBeLessThanOrEqual(to + 1e-9);
        }
      }
      const sizes = equalMassBins(groups, bins).map(({ n }) => n);
      // Equal forecasts stay together.
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(distinct ? 1 : list.length);
    }),
  );
});

test('Bins are closed to the left, and the last one holds 1', () => {
  const at = (p: number, bins: number) => equalWidthBins(groupsOf([p], [1]), bins)[0]?.from;

  expect([at(0, 10), at(0.1, 10), at(0.3, 10), at(0.7, 10), at(1, 10)]).toEqual([0, 0.1, 0.3, 0.7, 0.9]);
  expect([at(0.29, 100), at(0.57, 100), at(0.58, 100)]).toEqual([0.29, 0.57, 0.58]);
});

function run(steps: Generator<void, Resamples>): Resamples {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

test('A forecast that is always right has a calibration error that chance explains; one that is not has none', () => {
  const random = seededRandom(1);
  const forecasts = Array.from({ length: 400 }, () => Math.round(random.uniform() * 20) / 20);
  const outcomesOf = (chance: (p: number) => number) =>
    forecasts.map((p) => (random.uniform() < chance(p) ? 1 : 0));
  const of = (outcomes: readonly number[]) => {
    const groups = groupsOf(forecasts, outcomes);
    return run(
      resampled(groups, (some) => equalWidthBins(some, 10), {
        random: seededRandom(2),
        resamples: 300,
        least: 1e-6,
      }),
    );
  };

  const right = of(outcomesOf((p) => p));
  const wrong = of(outcomesOf((p) => p / 2));

  expect(right.ifCalibrated.p).toBeGreaterThan(0.01);
  expect(right.ece[0]).toBeLessThan(0.03);
  expect(wrong.ifCalibrated.p).toBeLessThan(0.01);
  expect(wrong.ece[0]).toBeGreaterThan(0.1);
});

test('Outcomes between 0 and 1 are drawn as they vary, and not as 0 or 1', () => {
  const random = seededRandom(5);
  const levels = [0.2, 0.5, 0.8];
  const one = (groups: readonly Group[]) =>
    run(
      resampled(groups, (some) => equalWidthBins(some, 10), {
        random: seededRandom(6),
        resamples: 400,
        least: 1e-6,
      }),
    ).brier;
  const spread = (errors: readonly number[]) => {
    const average = errors.reduce((sum, error) => sum + error, 0) / errors.length;
    const squares = errors.reduce((sum, error) => sum + (error - average) ** 2, 0);
    return { average, half: 1.96 * Math.sqrt(squares / errors.length / (errors.length - 1)) };
  };

  // Grades of a judge, all the same at a forecast; grades that vary; 0 and 1 with some grades among them.
  const grades: readonly ((p: number) => number)[] = [
    () => 0.5,
    (p) => Math.min(1, Math.max(0, p + (random.uniform() - 0.5) / 2)),
    (p) => (random.uniform() < 0.1 ? 0.4 : random.uniform() < p ? 1 : 0),
  ];
  for (const grade of grades) {
    const forecasts = Array.from({ length: 600 }, () => levels[random.below(3)] as number);
    const outcomes = forecasts.map(grade);
    const { average, half } = spread(forecasts.map((p, at) => (p - (outcomes[at] as number)) ** 2));
    const groups = groupsOf(forecasts, outcomes);
    const [low, high] = one(groups);

    expect(
      [(average - low) / half, (high - average) / half].map((ratio) => Math.round(ratio * 4) / 4),
    ).toEqual([1, 1]);

    // Without each outcome, only its sums: wider where need be, never narrower, and around the value.
    const summed = one(
      groups.map(({ n, sumForecast, sumOutcome, sumSquare }) => ({ n, sumForecast, sumOutcome, sumSquare })),
    );
    expect(summed[0]).toBeLessThan(average - 0.8 * half);
    expect(summed[1]).toBeGreaterThan(average + 0.8 * half);
    expect((summed[0] + summed[1]) / 2).toBeCloseTo(average, 1);
  }
});

test('The interval of the error covers the true one about as often as it says, and the same seed gives the same', () => {
  const random = seededRandom(3);
  const levels = [0.55, 0.65, 0.75, 0.85, 0.95];
  const truth = 0.15;
  const rounds = 120;
  let covered = 0;
  let same = true;
  for (let round = 0; round < rounds; round += 1) {
    const forecasts = Array.from({ length: 500 }, () => levels[random.below(5)] as number);
    const outcomes = forecasts.map((p) => (random.uniform() < p - truth ? 1 : 0));
    const groups = groupsOf(forecasts, outcomes);
    const draw = () =>
      run(
        resampled(groups, (some) => equalWidthBins(some, 10), {
          random: seededRandom(round),
          resamples: 200,
          least: 1e-6,
        }),
      );
    const drawn = draw();
    same &&= round > 0 || JSON.stringify(draw()) === JSON.stringify(drawn);
    const { ece } = drawn;
    if (ece[0] <= truth && truth <= ece[1]) covered += 1;
  }

  expect(same).toBe(true);
  // Of 120 rounds, 95 % are 114; three standard deviations are 7.
  expect(covered).toBeGreaterThanOrEqual(105);
});

test('What is no forecast is refused', () => {
  expect(() => groupsOf([1.1], [1])).toThrow(RangeError);
  expect(() => groupsOf([0.5], [Number.NaN])).toThrow(RangeError);
  expect(() => groupsOf([0.5], [])).toThrow(RangeError);
});
