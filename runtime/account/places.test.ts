import { setImmediate } from 'node:timers/promises';

import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { Places } from './places.ts';

beforeEach(() => vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => vi.useRealTimers());

const never = () => () => {};

/** Those that are at work after `tookMs` each, and how to end them. */
function busy(places: Places, tookMs: number) {
  const taken = Array.from({ length: 8 }, () => places.take('a', 'work'));
  vi.advanceTimersByTime(tookMs);
  return taken;
}

/** How many of 2,000 are not refused. */
async function taken(places: Places): Promise<number> {
  let refused = 0;
  for (let count = 0; count < 2_000; count += 1) places.wait('a', 'work', never).catch(() => (refused += 1));
  await setImmediate();
  return 2_000 - refused;
}

test('where each call takes long, 128 wait and the rest is told when to come again', async () => {
  const places = new Places();
  busy(places, 2_100);

  expect(await taken(places)).toBe(128);
  expect(places.waiting).toBe(128);
  await expect(places.wait('a', 'work', never)).rejects.toMatchObject({
    code: 'unavailable',
    retryAfterMs: 30_000,
  });
  await expect(places.wait('b', 'work', never)).resolves.toBeTypeOf('function');
});

test('where each call takes a moment, many more wait', async () => {
  const places = new Places();
  busy(places, 1);

  expect(await taken(places)).toBe(1_024);
});

test('where eight end at once, again and again, many more wait as well, whichever of them was the last', async () => {
  const places = new Places();
  let leaving = busy(places, 200);
  for (let burst = 0; burst < 10; burst += 1) {
    for (const leave of leaving) leave();
    leaving = busy(places, 200);
  }
  leaving[0]?.();
  places.take('a', 'work');

  expect(await taken(places)).toBe(1_024);
});

test('a call that is cancelled while it waits leaves nothing with whoever was to tell it', async () => {
  const places = new Places();
  busy(places, 1);
  const told = new Set<() => void>();
  const waiting = places.wait('a', 'work', (act) => {
    told.add(act);
    return () => told.delete(act);
  });

  for (const act of told) act();

  await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
  expect(told.size).toBe(0);
  expect(places.waiting).toBe(0);
});
