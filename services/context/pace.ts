import type { Steps } from '#runtime/turns.ts';

import { stepsPerTurn } from './limits.ts';

/** Tells long work when so much was done that others may be served: the sum of what it is told reaches the limit. */
export function pace(most = stepsPerTurn): (work?: number) => boolean {
  let done = 0;
  return (work = 1) => {
    done += work;
    if (done < most) return false;
    done = 0;
    return true;
  };
}

/** Runs what is known to be short to its end. */
export function atOnce<Value>(steps: Steps<Value>): Value {
  for (let step = steps.next(); ; step = steps.next()) if (step.done) return step.value;
}
