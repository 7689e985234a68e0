import { describe, expect, test } from 'vitest';

import {
  cusumStep,
  falseAlarmEvery,
  monitorLength,
  monitorState,
  monitorStep,
  PairedEvidence,
} from './drift.ts';
import { seededRandom } from './random.ts';

/** Montgomery, table 16-8. */
const montgomery = {
  x: [
    102.0, 94.8, 98.3, 98.4, 102.0, 98.5, 99.0, 97.7, 100.0, 98.1, 101.3, 98.7, 101.1, 98.4, 97.0, 96.7,
    100.3, 101.4, 97.2, 101.0,
  ],
  high: [2, 0, 0, 0, 2, 0.5, 0, 0, 0, 0, 1.3, 0, 1.1, 0, 0, 0, 0.3, 1.7, 0, 1],
  low: [0, 3.2, 2.9, 2.5, 0, 0, 0, 0.3, 0, 0, 0, 0, 0, 0, 1, 2.3, 0, 0, 0.8, 0],
};

test('The chart is the published one, and raises no alarm', () => {
  const state = { high: 0, low: 0 };
  for (const [at, x] of montgomery.x.entries()) {
    expect(cusumStep(state, x, { target: 99, slack: 1, limit: 10 })).toBeUndefined();
    expect(state.high).toBeCloseTo(montgomery.high[at] as number, 9);
    expect(state.low).toBeCloseTo(montgomery.low[at] as number, 9);
  }
});

describe('false alarms', () => {
  test('come as rarely as the tables say', () => {
    // Montgomery, table 9.3: k = 1/2, h = 4: 168; h = 5: 465.
    expect(falseAlarmEvery(0.5, 4)).toBeCloseTo(168, -1);
    expect(falseAlarmEvery(0.5, 5)).toBeCloseTo(465, -1);
  });

  test('come as rarely in simulation', () => {
    const random = seededRandom(5);
    let values = 0;
    const rounds = 300;
    for (let round = 0; round < rounds; round += 1) {
      const state = { high: 0, low: 0 };
      do values += 1;
      while (cusumStep(state, random.normal(), { target: 0, slack: 0.5, limit: 4 }) === undefined);
    }
    expect(values / rounds).toBeGreaterThan(130);
    expect(values / rounds).toBeLessThan(210);
  });
});

test('Evidence of a change is as rare as it may be where nothing changed, and grows where something did', () => {
  const random = seededRandom(7);
  const streams = 400;
  const highest = (before: number, after: number) => {
    const evidence = new PairedEvidence();
    for (let pair = 0; pair < 300; pair += 1)
      evidence.add(random.uniform() < before ? 1 : 0, random.uniform() < after ? 1 : 0);
    return evidence.highestLog;
  };
  const share = (before: number, after: number) =>
    Array.from({ length: streams }, () => highest(before, after)).filter((log) => log >= Math.log(20))
      .length / streams;

  // Looked at after each of 300 pairs; 5 % and three standard deviations of 400 streams.
  expect(share(0.7, 0.7)).toBeLessThan(0.083);
  expect(share(0.1, 0.1)).toBeLessThan(0.083);
  expect(share(0.9, 0.6)).toBeGreaterThan(0.9);
});

test('Evidence is an e-value for outcomes between 0 and 1 too', () => {
  const random = seededRandom(8);
  let sum = 0;
  const streams = 4_000;
  for (let stream = 0; stream < streams; stream += 1) {
    const evidence = new PairedEvidence();
    for (let pair = 0; pair < 10; pair += 1) evidence.add(random.uniform(), random.beta(2, 2));
    sum += Math.exp(evidence.log);
  }
  // Its mean is at most 1 when both means are the same.
  expect(sum / streams).toBeLessThan(1.05);
});

describe('a monitor', () => {
  const found = (values: readonly number[]) => {
    const state = new Float64Array(2 * monitorLength);
    const alarms = values.flatMap((value, at) => {
      const alarm = monitorStep(state, monitorLength, value);
      return alarm ? [{ at, ...alarm }] : [];
    });
    expect(state.subarray(0, monitorLength)).toEqual(new Float64Array(monitorLength));
    return { alarms, state: monitorState(state, monitorLength) };
  };
  const random = seededRandom(11);
  const rate = (n: number, p: number) => Array.from({ length: n }, () => (random.uniform() < p ? 1 : 0));

  test('finds a fall, says what was usual, and begins anew', () => {
    const { alarms, state } = found([...rate(300, 0.9), ...rate(150, 0.4)]);

    expect(alarms[0]?.direction).toBe('down');
    expect(alarms[0]?.average).toBeGreaterThan(0.8);
    expect(alarms[0]?.at).toBeGreaterThan(300);
    expect(state).toMatchObject({ seen: 450, alarms: alarms.length });
  });

  test('says nothing of values that stay the same, and something when they do not', () => {
    expect(found(Array.from({ length: 500 }, () => 1)).alarms).toEqual([]);
    expect(found([...Array.from({ length: 200 }, () => 1), 0, 0]).alarms).toHaveLength(1);
  });
});
