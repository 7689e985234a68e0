/** The time by which leases, heartbeats and times to live are reckoned. */
import { performance } from 'node:perf_hooks';

/** A correction of the clock. More is no correction, but a clock that was set. */
const mostCorrectedMs = 1_000;

/**
 * A clock that is never set back: where the host's is, it goes on by the time that really passes, until the host's has caught up or the hub
 * starts anew. Otherwise leases would last, and silent agents be there, for as long as the clock was set back. It follows when the host's is
 * ahead, which it is too after the host has slept.
 */
export function forwardClock(wall: () => number, elapsedMs = (): number => performance.now()): () => number {
  let atMs = wall();
  let elapsedAtMs = elapsedMs();
  return () => {
    const passedMs = elapsedMs() - elapsedAtMs;
    const wallMs = wall();
    elapsedAtMs += passedMs;
    const dueMs = atMs + passedMs;
    atMs = wallMs >= dueMs - mostCorrectedMs ? wallMs : dueMs;
    return Math.floor(atMs);
  };
}
