/** The pure parts: graphs, scores, delays, and how a project stands. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { canDo, scoreOf, successRate } from './assign.ts';
import { circleIn } from './graph.ts';
import { startClock } from './ledger/clock.ts';
import { retryDelayMs } from './retry.ts';
import { noCounts, percentOf, projectStatusOf, type Counts } from './states.ts';

describe('Circles', () => {
  const graphs = fc
    .array(fc.array(fc.nat(19), { maxLength: 4 }), { minLength: 1, maxLength: 20 })
    .map((needs) => needs.map((places) => [...new Set(places.filter((place) => place < needs.length))]));

  /** Whoever needs nothing that is not done, is done: all are done in the end. */
  function hasOrder(needs: readonly (readonly number[])[]): boolean {
    const done = new Set<number>();
    for (let round = 0; round < needs.length; round += 1)
      for (const [place, places] of needs.entries())
        if (places.every((need) => done.has(need))) done.add(place);
    return done.size === needs.length;
  }

  test('what is found is a circle, and where none is found, an order exists', () => {
    const property = fc.property(graphs, (needs) => {
      const circle = circleIn(needs);
      if (!circle) return hasOrder(needs);
      return circle.every((place, at) => needs[place]?.includes(circle[(at + 1) % circle.length] ?? -1));
    });

    expect(fc.check(property).counterexample).toBeNull();
  });
});

describe('Scores', () => {
  const worker = (capabilities: string[], load = 0, mostTasks = 3) => ({
    capabilities: new Set(capabilities),
    load,
    mostTasks,
  });

  test('a worker without one of the capabilities, or without room, gets nothing', () => {
    expect(scoreOf(['a', 'b'], worker(['a']), 1)).toBe(-Infinity);
    expect(scoreOf(['a'], worker(['a'], 3), 1)).toBe(-Infinity);
    expect(canDo([], worker([]))).toBe(true);
  });

  test('the less busy and the more successful is preferred', () => {
    expect(scoreOf(['a'], worker(['a']), 0.5)).toBe(110);
    expect(scoreOf(['a'], worker(['a'], 1), 0.5)).toBeLessThan(scoreOf(['a'], worker(['a']), 0.5));
    expect(successRate(0, 0)).toBe(0.5);
    expect(successRate(9, 1)).toBeGreaterThan(successRate(1, 1));
  });
});

test('delays grow, and end at five minutes', () => {
  expect([1, 2, 3, 20].map(retryDelayMs)).toEqual([2_000, 4_000, 8_000, 300_000]);
});

test.each<[string, Partial<Counts>, string, number]>([
  ['no tasks', {}, 'pending', 0],
  ['none begun', { pending: 2, blocked: 1 }, 'pending', 0],
  ['one at work', { assigned: 1, blocked: 1 }, 'in_progress', 0],
  ['some done', { completed: 1, pending: 2 }, 'in_progress', 33],
  ['all done', { completed: 3 }, 'completed', 100],
  ['done but for cancelled', { completed: 2, cancelled: 5 }, 'completed', 100],
  ['one failed at the end', { completed: 2, failed: 1 }, 'failed', 66],
  ['nothing can go on', { completed: 2, failed: 1, blocked: 1 }, 'blocked', 50],
  ['all cancelled', { cancelled: 2 }, 'cancelled', 0],
])('a project with %s', (_, counts, status, percent) => {
  const all = { ...noCounts, ...counts };

  expect([projectStatusOf(all), percentOf(all)]).toEqual([status, percent]);
});

test('the clock of the ledger goes on where it was, whatever the uptime begins with', () => {
  let uptimeMs = 5_000;
  const clock = startClock(1_000, () => uptimeMs);
  uptimeMs += 250.7;

  expect(clock.now()).toBe(1_250);
  expect(clock.wallOf(2_250, 100_000)).toBe(101_000);
});
