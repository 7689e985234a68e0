/**
 * How long the event loop was held, and by what: while it is, nobody is served. A timer that ticks every 20 ms is late by that
 * long. Time in which the process itself computed nothing (the machine was busy with others) is no fault of a tool.
 */
import { performance } from 'node:perf_hooks';

import { watchStretches, type Stretch } from '../turns.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';

const tickMs = 20;
/** No call should hold the loop longer. */
const heldMs = 50;

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
  let tickedAtMs = performance.now();
  let cpuAtMs = cpuMs();
  let longest: Stretch | undefined;

  const stretches = watchStretches((stretch) => {
    if (stretch.ms > (longest?.ms ?? 0)) longest = stretch;
  });
  const timer = setInterval(() => {
    const nowMs = performance.now();
    const usedMs = cpuMs() - cpuAtMs;
    const lateMs = Math.max(nowMs - tickedAtMs - tickMs, 0);
    const atWork = namesSince();
    const held = longest?.name ?? (atWork.length === 1 ? atWork[0] : undefined) ?? '';
    const target = isOurs(held) ? held : '';
    metrics.observeLoop(target, lateMs);
    if (lateMs > heldMs && usedMs > heldMs) {
      metrics.countHeld(target);
      const round = Math.round;
      log.warn('loop_held', { target, atWork, lateMs: round(lateMs), cpuMs: round(usedMs) });
    }
    tickedAtMs = nowMs;
    cpuAtMs += usedMs;
    longest = undefined;
  }, tickMs);
  timer.unref();
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
