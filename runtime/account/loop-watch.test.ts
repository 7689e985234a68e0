/** How often the loop is looked at: each look wakes the process. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import type { Log } from './log.ts';
import { watchLoop } from './loop-watch.ts';
import type { Metrics } from './metrics.ts';
import { Places } from './places.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const nobody = () => {};

test('A process that does nothing is woken twice a second, and fifty times as long as a call is at work', () => {
  const places = new Places();
  let looks = 0;
  const metrics = { observeLoop: () => (looks += 1), countHeld: nobody } as unknown as Metrics;
  const log = { warn: nobody } as unknown as Log;
  using _watch = watchLoop({ log, metrics, isOurs: () => true, places });
  const looksIn = (ms: number) => {
    const before = looks;
    vi.advanceTimersByTime(ms);
    return looks - before;
  };

  expect(looksIn(1_000)).toBe(50);
  expect(looksIn(10_000)).toBe(20);

  const leave = places.take('ada', 'search');
  expect(looksIn(10_000)).toBe(500);
  leave();
  looksIn(2_000);
  expect(looksIn(10_000)).toBe(20);
});
