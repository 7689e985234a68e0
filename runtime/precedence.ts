/**
 * Who has the processors first, among the programs that calls start. One of a token that has several calls at work, or one
 * that works for long, stands still while a short one of another token runs. Priorities do not do it: where the kernel groups
 * processes by session, each program is a group of its own, and none is less urgent than another.
 */

interface Step {
  readonly caller: string;
  readonly call: AbortSignal;
  isLong: boolean;
  /** Set while its program runs. */
  halt?: ((isHalted: boolean) => void) | undefined;
  isHalted: boolean;
}

/** One program of a call. */
export interface Place {
  /** It has begun, and is told when it is to stand still and when to go on. */
  readonly begin: (halt: (isHalted: boolean) => void) => void;
  /** It has worked for long, and gives way from now on. */
  readonly isLong: () => void;
  /** It has ended, or is made to end. */
  readonly leave: () => void;
}

export type Precedence = ReturnType<typeof openPrecedence>;

/** However many short ones come, the others have this share of the time. */
const leastShare = 0.2;
/** How long they stand still at once, at most. */
export const mostHaltedMs = 400;

export function openPrecedence(nowMs = () => performance.now()) {
  const steps = new Set<Step>();
  let isHalting = false;
  /** What is left of the time for which they may stand still; it comes back while they run. */
  let leftMs = mostHaltedMs;
  let countedAtMs = nowMs();
  let reviewing: NodeJS.Timeout | undefined;

  const givesWay = ({ isLong, caller, call }: Step) =>
    isLong || steps.values().some((other) => other.caller === caller && other.call !== call);

  function count(): void {
    const now = nowMs();
    const passedMs = now - countedAtMs;
    countedAtMs = now;
    leftMs = isHalting
      ? leftMs - passedMs
      : Math.min(mostHaltedMs, leftMs + (passedMs * (1 - leastShare)) / leastShare);
  }

  function review(): void {
    count();
    clearTimeout(reviewing);
    const running = [...steps].filter(({ halt }) => halt);
    const short = running.filter((step) => !givesWay(step));
    const isBehind = (step: Step) => givesWay(step) && short.some(({ caller }) => caller !== step.caller);
    const behind = new Set(running.filter(isBehind));
    // What is left has to be worth it, or they would stand still and go on all the time.
    isHalting = behind.size > 0 && leftMs > (isHalting ? 0 : mostHaltedMs * leastShare);
    for (const step of running) {
      const mustHalt = isHalting && behind.has(step);
      if (mustHalt !== step.isHalted) step.halt?.(mustHalt);
      step.isHalted = mustHalt;
    }
    if (behind.size > 0)
      reviewing = setTimeout(review, isHalting ? leftMs : mostHaltedMs * leastShare).unref();
  }

  return {
    /** A program of this call is to begin; `call` is the same for all of them. */
    enter(caller: string, call: AbortSignal): Place {
      const step: Step = { caller, call, isLong: false, isHalted: false };
      steps.add(step);
      review();
      return {
        begin(halt) {
          step.halt = halt;
          review();
        },
        isLong() {
          step.isLong = true;
          review();
        },
        leave() {
          if (!steps.delete(step)) return;
          if (step.isHalted) step.halt?.(false);
          review();
        },
      };
    },
  };
}
