import { z } from 'zod';

import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { figure, gaps, here, maybe, maybeText, partOf } from '../fields.ts';
import { Gaps, optional, percentOf, round, type Host } from '../host.ts';
import { effectiveOf, readGroups } from '../kernel/cgroups.ts';
import {
  frequencyMhz,
  logicalCores,
  physicalCores,
  readCpuInfo,
  readLoad,
  type CpuShares,
} from '../kernel/cpu.ts';
import { memoryOf, readMeminfo, swapOf } from '../kernel/memory.ts';
import { containerAround } from '../kernel/system.ts';
import { measureNow, type Watch } from '../watch.ts';

/** Figures of the host where its part, the container, has less. */
export function limitsHere(host: Host) {
  const groups = optional(() => readGroups(host));
  const limits = groups && effectiveOf(groups.levels);
  return { container: containerAround(host)?.kind, ...limits };
}

const limitsField = partOf(
  z.object({
    container: maybeText,
    memoryLimitBytes: maybe,
    memoryLimitedBy: maybeText,
    cpuLimitCores: maybe,
    cpuLimitedBy: maybeText,
    pidsLimit: maybe,
    pidsLimitedBy: maybeText,
  }),
  "This service's own container and limits; the figures are of the whole host.",
);

export const lineOf = (shares: CpuShares) =>
  `%Cpu(s): ${shares.userPercent} us, ${shares.systemPercent} sy, ${shares.nicePercent} ni, ${shares.idlePercent} id, ${shares.iowaitPercent} wa, ${shares.irqPercent} hi, ${shares.softirqPercent} si, ${shares.stealPercent} st`;

export const getCpuInformation = defineTool({
  name: 'get_cpu_information',
  title: 'CPU Information',
  description: 'Model, cores, frequency, load averages, and how busy the processors are, in percent.',
  effect: 'read',
  hints: reading,
  input: z.object(here),
  output: z.object({
    model: maybeText.describe('Of the processors.'),
    logical_cores: maybe.describe('Threads that run at once.'),
    physical_cores: maybe.describe('Cores.'),
    frequency_mhz: maybe.describe('Of the first, now.'),
    load_avg_1m: maybe.describe('Work that runs or waits.'),
    load_avg_5m: maybe.describe('Over 5 minutes.'),
    load_avg_15m: maybe.describe('Over 15 minutes.'),
    cpu_line: maybeText.describe('As top shows it.'),
    cpuPercent: maybe.describe('Busy, of all processors.'),
    shares: partOf(z.looseObject({}), 'By kind, in percent.').optional(),
    perCorePercent: z.array(z.number()).optional().describe('Busy, of each.'),
    overSeconds: figure.describe('Measured over this time.'),
    limits: limitsField,
    ...gaps,
  }),
  async handler(_args, watch: Watch, call) {
    const { host } = watch;
    const missing = new Gaps();
    const info = await missing.later('model', async () => readCpuInfo(host));
    const load = missing.of('load_avg', () => readLoad(host));
    const { cpu, perCore, overSeconds } = await measureNow(watch, call);
    if (!cpu) missing.add('cpuPercent', '/proc/stat cannot be read, or no time has passed');
    const model = info?.get('model name') ?? info?.get('Model') ?? info?.get('Hardware');
    if (info && model === undefined)
      missing.add('model', '/proc/cpuinfo names none, as on many ARM machines');
    return {
      model,
      logical_cores: missing.of('logical_cores', () => logicalCores(host)),
      physical_cores: missing.of('physical_cores', () => physicalCores(host)),
      frequency_mhz: missing.of('frequency_mhz', () => frequencyMhz(host, info)),
      load_avg_1m: load?.['1m'],
      load_avg_5m: load?.['5m'],
      load_avg_15m: load?.['15m'],
      cpu_line: cpu && lineOf(cpu),
      cpuPercent: cpu?.cpuPercent,
      shares: cpu && { ...cpu },
      perCorePercent:
        perCore.length === 0 ? undefined : perCore.map((core) => core?.cpuPercent ?? 0).slice(0, mostCores),
      overSeconds: round(overSeconds),
      limits: limitsHere(host),
      ...missing.said,
    };
  },
});

const mostCores = 512;

const bytesOf = (amounts: object) =>
  Object.fromEntries(Object.entries(amounts).map(([name, bytes]) => [`${name}Bytes`, bytes as number]));

export const getMemoryInformation = defineTool({
  name: 'get_memory_information',
  title: 'Memory Information',
  description: 'Memory and swap in bytes, counted as free does, with the limits of the container.',
  effect: 'read',
  hints: reading,
  input: z.object(here),
  output: z.object({
    ram: partOf(
      z.looseObject({ total: figure, used: figure, free: figure, available: figure }),
      'In bytes: total, used, free, shared, buffers, cached, available, the same with Bytes in the names, and usedPercent.',
    ).optional(),
    swap: partOf(
      z.looseObject({ total: figure, used: figure, free: figure }),
      'In bytes: total, used, free; absent where swap is off.',
    ).optional(),
    limits: limitsField,
    ...gaps,
  }),
  handler(_args, { host }: Watch) {
    const missing = new Gaps();
    const info = missing.of('ram, swap', () => readMeminfo(host));
    const ram = info && missing.of('ram', () => memoryOf(info));
    const swap = info && missing.of('swap', () => swapOf(info));
    const { usedPercent, ...amounts } = swap ?? {};
    return {
      ram: ram && { ...ram, ...bytesOf(ram), usedPercent: percentOf(ram.used, ram.total) },
      swap: swap && { ...swap, ...bytesOf(amounts), usedPercent },
      limits: limitsHere(host),
      ...missing.said,
    };
  },
});
