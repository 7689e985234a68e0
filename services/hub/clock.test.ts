import { expect, test } from 'vitest';

import { forwardClock } from './clock.ts';

function host() {
  let [wallMs, elapsedMs] = [1_000_000_000, 500];
  const now = forwardClock(
    () => wallMs,
    () => elapsedMs,
  );
  return {
    now,
    pass: (ms: number) => {
      wallMs += ms;
      elapsedMs += ms;
    },
    set: (ms: number) => void (wallMs += ms),
  };
}

const day = 86_400_000;

test('a clock that is set back does not stop what ends with time', () => {
  const { now, pass, set } = host();
  const before = now();
  set(-day);
  pass(60_000);
  expect(now()).toBe(before + 60_000);
  pass(0.5);
  pass(0.5);
  expect(now()).toBe(before + 60_001);
});

test('a clock that is set forward, or corrected a little, is followed', () => {
  const { now, pass, set } = host();
  const before = now();
  set(day);
  pass(10);
  expect(now()).toBe(before + day + 10);
  set(-300);
  expect(now()).toBe(before + day - 290);
});

test('a clock that was set back and forward again is followed from where it has caught up', () => {
  const { now, pass, set } = host();
  const before = now();
  set(-day);
  pass(1_000);
  expect(now()).toBe(before + 1_000);
  set(day + 5_000);
  expect(now()).toBe(before + 6_000);
});
