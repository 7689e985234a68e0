/** Memory and swap. */
import { Absent, linesOf, percentOf, readText, type Host } from '../host.ts';

/** In bytes, by the kernel's names. @throws Absent. */
export function readMeminfo(host: Host): ReadonlyMap<string, number> {
  return new Map(
    linesOf(readText(host, '/proc/meminfo')).map((line) => {
      const [name = '', value = ''] = line.split(':');
      const [number, unit] = value.trim().split(' ');
      return [name, Number(number) * (unit === 'kB' ? 1_024 : 1)];
    }),
  );
}

export interface Memory {
  readonly total: number;
  readonly used: number;
  readonly free: number;
  readonly shared: number;
  readonly buffers: number;
  readonly cached: number;
  readonly available: number;
}

/** As `free` counts them: used is what is not available. @throws Absent. */
export function memoryOf(info: ReadonlyMap<string, number>): Memory {
  const of = (name: string) => {
    const value = info.get(name);
    if (value === undefined) throw new Absent(`/proc/meminfo does not tell ${name}`);
    return value;
  };
  const total = of('MemTotal');
  const available = of('MemAvailable');
  return {
    total,
    used: total - available,
    free: of('MemFree'),
    shared: of('Shmem'),
    buffers: of('Buffers'),
    cached: of('Cached') + (info.get('SReclaimable') ?? 0),
    available,
  };
}

export interface Swap {
  readonly total: number;
  readonly used: number;
  readonly free: number;
  readonly usedPercent: number | undefined;
}

/** @throws Absent where swap is off: nothing is used of what is not there. */
export function swapOf(info: ReadonlyMap<string, number>): Swap {
  const [total, free] = [info.get('SwapTotal'), info.get('SwapFree')];
  if (total === undefined || free === undefined) throw new Absent('/proc/meminfo does not tell of swap');
  if (total === 0) throw new Absent('swap is off: this host has none');
  return { total, used: total - free, free, usedPercent: percentOf(total - free, total) };
}
