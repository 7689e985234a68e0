/**
 * How long the event loop was held, and by what: while it is, nobody is served. A timer that ticks every 20 ms is late by that
 * long. Time in which the process itself computed nothing (the machine was busy with others) is no fault of a tool.
 */
import { performance } from 'node:perf_hooks';

import { watchTurns, type Stretch } from '../turns.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

const tickMs = 20;
/** No call should hold the loop longer. */
const heldMs = 50;
/**
 * A tick costs a fifth of a millisecond of the processor, which is most of what an idle process uses. So a process that has done
 * hardly anything for so long rests: it is looked at so seldom, until there is work again. Health asks twice a second, so a long
 * time would leave no rest.
 */
const busyForMs = 100;
const restMs = 500;

/**
 * @param isOurs whether a name is one of this service's tools: several services may share a process.
 * @param namesSince what was at work since it was last asked: the end of a wait can hold the loop as well.
 */
export function watchLoop({
  log,
  metrics,
  isOurs,
  namesSince,
}: {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly isOurs: (name: string) => boolean;
  readonly namesSince: () => readonly string[];
}): Disposable {
  let everyMs = tickMs;
  let tickedAtMs = performance.now();
  let busyAtMs = tickedAtMs;
  let cpuAtMs = cpuMs();
  let longest: Stretch | undefined;

  const tick = () => {
    const nowMs = performance.now();
    const usedMs = cpuMs() - cpuAtMs;
    const lateMs = Math.max(nowMs - tickedAtMs - everyMs, 0);
    const atWork = namesSince();
    const held = longest?.name ?? (atWork.length === 1 ? atWork[0] : undefined) ?? '';
    const target = isOurs(held) ? held : '';
    metrics.observeLoop(target, lateMs);
    // In a rest a little at a time adds up: what was computed then was not computed in one stretch.
    if (everyMs === tickMs && lateMs > heldMs && usedMs > heldMs) {
      metrics.countHeld(target);
      const round = Math.round;
      log.warn('loop_held', { target, atWork, lateMs: round(lateMs), cpuMs: round(usedMs) });
    }
    tickedAtMs = nowMs;
    cpuAtMs += usedMs;
    longest = undefined;
    if (atWork.length > 0 || usedMs > tickMs) busyAtMs = nowMs;
    tickEvery(nowMs - busyAtMs < busyForMs ? tickMs : restMs);
  };
  let timer = setInterval(tick, everyMs).unref();
  const tickEvery = (ms: number) => {
    if (ms === everyMs) return;
    everyMs = ms;
    clearInterval(timer);
    timer = setInterval(tick, ms).unref();
  };
  const endRest = () => {
    if (everyMs === tickMs) return;
    tickedAtMs = busyAtMs = performance.now();
    cpuAtMs = cpuMs();
    tickEvery(tickMs);
  };
  const turns = watchTurns({
    begins: endRest,
    wasLong(stretch) {
      if (stretch.ms > (longest?.ms ?? 0)) longest = stretch;
    },
  });
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      turns[Symbol.dispose]();
    },
  };
}

/** What this thread has computed. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}
