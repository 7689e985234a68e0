/** Where figures come from: without this they mean nothing. */
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os';

import { version } from '#runtime/process/version.ts';

export interface Machine {
  readonly at: string;
  readonly flotilla: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
  /** Over the last minute, before the first measurement: above 0.5 or so, something else was running. */
  readonly loadAverage: number;
}

export function describeMachine(): Machine {
  return {
    at: new Date().toISOString(),
    flotilla: version,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round((totalmem() / 1024 ** 3) * 10) / 10,
    kernel: `${type()} ${release()}`,
    node: process.versions.node,
    loadAverage: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  };
}

export function machineLine(machine: Machine): string {
  const { at, flotilla, cpu, cores, memoryGiB, kernel, node, loadAverage } = machine;
  return (
    `Flotilla ${flotilla} at ${at}, on ${cpu}, ${cores} cores, ${memoryGiB} GiB, ${kernel}, ` +
    `Node ${node}; load average at start ${loadAverage}`
  );
}
