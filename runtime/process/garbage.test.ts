import { constants, performance, PerformanceObserver } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

import { expect, test, vi } from 'vitest';

import { collectSoon, collectWhenQuiet } from './garbage.ts';

/** In a function of its own, so that nothing here holds what it refers to. */
const unused = () => new WeakRef({ large: Array.from({ length: 1_000 }, () => ({})) });

// Before the next one, which may end before the last collection that it asks for.
test('what a start has left is collected when the process rests, and not while it works', async () => {
  const collected: number[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries() as (PerformanceEntry & {
      readonly detail: { readonly flags: number };
    })[]) {
      // V8 may collect by itself at any time, but not with this flag.
      if (entry.detail.flags & constants.NODE_PERFORMANCE_GC_FLAGS_ALL_AVAILABLE_GARBAGE)
        collected.push(entry.startTime);
    }
  });
  observer.observe({ entryTypes: ['gc'] });
  let works = true;
  const work = () => {
    for (const endMs = performance.now() + 20; performance.now() < endMs;);
    if (works) setImmediate(work);
  };
  collectSoon(20);
  setImmediate(work);
  await sleep(200);
  works = false;
  const restedAtMs = performance.now();

  await vi.waitFor(() => {
    expect(collected.length).toBeGreaterThan(0);
  });
  expect(Math.min(...collected)).toBeGreaterThan(restedAtMs);
  observer.disconnect();
});

test('what is not used any more is collected once it is quiet, and again after the next work', async () => {
  const worked = collectWhenQuiet(5);
  for (const _ of ['first', 'second']) {
    const held = unused();
    worked();
    worked();
    await vi.waitFor(() => {
      expect(held.deref() === undefined).toBe(true);
    });
  }
});
