import { expect, test } from 'vitest';

import { Timeline } from './timeline.ts';

const noon = Date.parse('2026-11-20T12:00:00Z');

test('moments are named by the clock as it is set, and stay where they are while it only drifts', () => {
  const at = { elapsedMs: 1_000, driftMs: 0 };
  const timeline = new Timeline(
    () => noon + at.elapsedMs - 1_000 + at.driftMs,
    () => at.elapsedMs,
  );
  expect(timeline.dateMs()).toBe(noon);

  at.elapsedMs = 61_000;
  at.driftMs = 400;
  expect(timeline.dateMs(1_000)).toBe(noon);
  expect(timeline.dateMs()).toBe(noon + 60_000);
  expect(timeline.jumps).toBe(0);

  at.driftMs = 3_600_000;
  expect(timeline.dateMs()).toBe(noon + 60_000 + 3_600_000);
  // What was before is as long ago as it was.
  expect(timeline.iso(1_000)).toBe(new Date(noon + 3_600_000).toISOString());
  at.driftMs = -7_200_000;
  expect(timeline.dateMs() - timeline.dateMs(1_000)).toBe(60_000);
  expect(timeline.jumps).toBe(2);
});
