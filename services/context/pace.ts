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
