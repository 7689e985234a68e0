/** What the last looks at a process say about it. Pure. */
import type { Probe } from '#runtime/process/probe.ts';

export type Status = 'up' | 'degraded' | 'down';

/** Looks of one kind, polls or canaries, up to now. */
export interface Run {
  /** `unknown` until the first one that was answered, or until so many were lost that it counts as down. */
  readonly status: Status | 'unknown';
  /** How many were lost, and how many answered, one after the other up to the last. */
  readonly lost: number;
  readonly answered: number;
}

export const noRun: Run = { status: 'unknown', lost: 0, answered: 0 };

/** One lost look is a hiccup, three in a row an outage; two answers in a row end it. */
const lostToFall = 3;
const answersToRise = 2;

export function afterLook({ status, lost, answered }: Run, result: Probe['result']): Run {
  if (result === 'down') {
    const next = { lost: lost + 1, answered: 0 };
    if (status === 'down' || next.lost >= lostToFall) return { status: 'down', ...next };
    // What was never seen has not fallen.
    return { status: status === 'unknown' ? 'unknown' : 'degraded', ...next };
  }
  const next = { lost: 0, answered: answered + 1 };
  if (status === 'down' && next.answered < answersToRise) return { status: 'down', ...next };
  return { status: result === 'up' ? 'up' : 'degraded', ...next };
}

const order = ['up', 'degraded', 'down'] as const;

/** Of two kinds of looks the worse one counts; one that says nothing yet does not. */
export function worse(polls: Run['status'], canaries: Run['status']): Run['status'] {
  if (polls === 'unknown' || canaries === 'unknown') return polls;
  return order[Math.max(order.indexOf(polls), order.indexOf(canaries))] ?? polls;
}
