/**
 * How long the event loop was held, and by what: while it is, nobody is served. A timer that ticks every 20 ms is late by that
 * long. Time in which the process itself computed nothing (the machine was busy with others) is no fault of a tool.
 */
import { performance } from 'node:perf_hooks';

import { watchStretches, type Stretch } from '../turns.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Places } from './places.ts';

const tickMs = 20;
/** No call should hold the loop longer. */
const heldMs = 50;
/**
 * A tick takes a fifth of a millisecond of the processor, however little there is to do. So a process that has done nothing for
 * so many ticks rests, and is looked at so seldom until a call comes, or it has computed for so long between two looks.
 */
const ticksUntilRest = 50;
const restMs = 500;
const isBusyMs = 25;

/**
 * @param isOurs whether a name is one of this service's tools: several services may share a process.
 * @param places who is at work: a call ends the rest.
 */
export function watchLoop({
  log,
  metrics,
  isOurs,
  places,
}: {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly isOurs: (name: string) => boolean;
  readonly places: Places;
}): Disposable {
  let everyMs = tickMs;
  let idleTicks = 0;
  let tickedAtMs = performance.now();
  let cpuAtMs = cpuMs();
  let longest: Stretch | undefined;

  const tick = () => {
    const nowMs = performance.now();
    const computedMs = cpuMs() - cpuAtMs;
    // Of a rest, as much may have come a little at a time.
    const usedMs = everyMs === restMs ? Math.max(0, computedMs - isBusyMs) : computedMs;
    const lateMs = Math.max(nowMs - tickedAtMs - everyMs, 0);
    const atWork = places.namesSince();
    const held = longest?.name ?? (atWork.length === 1 ? atWork[0] : undefined) ?? '';
    const target = isOurs(held) ? held : '';
    metrics.observeLoop(target, lateMs);
    if (lateMs > heldMs && usedMs > heldMs) {
      metrics.countHeld(target);
      const round = Math.round;
      log.warn('loop_held', { target, atWork, lateMs: round(lateMs), cpuMs: round(usedMs) });
    }
    tickedAtMs = nowMs;
    cpuAtMs += computedMs;
    longest = undefined;
    const isIdle = atWork.length === 0 && computedMs < (everyMs === restMs ? isBusyMs : tickMs / 4);
    idleTicks = isIdle ? idleTicks + 1 : 0;
    pace(idleTicks < ticksUntilRest ? tickMs : restMs);
  };
  let timer = setInterval(tick, everyMs).unref();
  const pace = (ms: number) => {
    if (ms === everyMs) return;
    everyMs = ms;
    clearInterval(timer);
    timer = setInterval(tick, ms).unref();
  };
  const wake = (heldForMs = 0) => {
    idleTicks = 0;
    if (everyMs === tickMs) return;
    // What was computed in the rest before is none of it.
    tickedAtMs = performance.now() - heldForMs;
    cpuAtMs = Math.max(cpuAtMs, cpuMs() - heldForMs);
    pace(tickMs);
  };
  places.onWork = wake;
  const stretches = watchStretches((stretch) => {
    if (stretch.ms > (longest?.ms ?? 0)) longest = stretch;
    if (everyMs === tickMs) return;
    // At once, since what begins now did not hold it; late from when a tick would have been due.
    wake(stretch.ms);
    tick();
  });
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      stretches[Symbol.dispose]();
    },
  };
}

/** What this thread has computed. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}
