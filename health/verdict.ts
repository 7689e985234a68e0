/** What the last polls of a process say about it. Pure. */
import type { Probe } from '#runtime/process/probe.ts';

export type Status = 'up' | 'degraded' | 'down';

/**
 * One lost poll after a good one is a hiccup, the second in a row an outage; one good poll ends it.
 * `previous` is `undefined` for the first poll, which is believed as it is.
 */
export function verdictOf(latest: Probe['result'], previous: Probe['result'] | undefined): Status {
  if (latest === 'up') return 'up';
  if (latest === 'not_ready') return 'degraded';
  return previous === undefined || previous === 'down' ? 'down' : 'degraded';
}
