/** What was used and is not any more, given back to the host: V8 collects when memory is asked for, and who does nothing asks for none. */
import { performance } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Late enough that the fleet has started, and that first calls are not held up. */
const afterMs = 3_000;
/** The share of the time in which the loop does something. */
const atRest = 0.1;

let found: NodeJS.GCFunction | undefined;

/** Threads share the flag, so that another may take it away in between: then it is nothing this time. */
function collector(): NodeJS.GCFunction | undefined {
  if (found) return found;
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('globalThis.gc') as NodeJS.GCFunction | undefined;
  setFlagsFromString('--no-expose-gc');
  found = collect;
  return collect;
}

const collect = () => collector()?.({ type: 'major', flavor: 'last-resort' });

/**
 * Collects once, soon, when the process rests: modules, their sources and the compiler's own data are garbage after the start. It takes
 * some 20 ms (100 on a slow machine), in which nobody would be served, and a fifth of an idle process.
 */
export function collectSoon(everyMs = afterMs): void {
  let before = performance.eventLoopUtilization();
  const timer = setInterval(() => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    if (utilization > atRest) return;
    clearInterval(timer);
    collect();
  }, everyMs).unref();
}

/**
 * For a thread, in which V8 does not look by itself whether memory is left: collects once after each time of work.
 *
 * @param quietMs after the last work. @returns what is to be called at each work.
 */
export function collectWhenQuiet(quietMs: number): () => void {
  let timer: NodeJS.Timeout | undefined;
  return () => {
    if (timer) timer.refresh();
    else
      timer = setTimeout(() => {
        timer = undefined;
        collect();
      }, quietMs).unref();
  };
}
