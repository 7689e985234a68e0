import { z } from 'zod';

import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { figure, gaps, maybe, partOf, rowsOf, text } from '../fields.ts';
import { sumOnce } from '../fleet.ts';
import { Gaps, percentOf, round } from '../host.ts';
import { logicalCores, readLoad } from '../kernel/cpu.ts';
import { memoryOf, readMeminfo, swapOf } from '../kernel/memory.ts';
import type { Pressure } from '../kernel/pressure.ts';
import { fleetNow, measureNow, type Watch } from '../watch.ts';
import { limitsHere } from './cpu-and-memory.ts';
import { fileSystems } from './disks.ts';
import { findIn, inShort } from './history.ts';
import { pressures } from './pressure.ts';
import { topProcesses } from './processes.ts';
import { systemFacts } from './system.ts';

const anomalySeconds = 3_600;
const shown = 5;

export const getSystemSnapshot = defineTool({
  name: 'get_system_snapshot',
  title: 'System Snapshot',
  description:
    'How the host is, in one call: load, memory, pressure, disks, network, top processes, the fleet, and what is unusual in the last hour. Begin here.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({}),
  output: z.object({
    attention: z.array(text).describe('What a person should look at; empty when all is well.'),
    system: partOf(z.looseObject({}), 'hostname, os_name, kernel, arch, uptimeSeconds, boot_time.'),
    cpu: partOf(
      z.looseObject({}),
      'cpuPercent, iowaitPercent, stealPercent, logicalCores, load1m, load5m, load15m.',
    ),
    memory: partOf(z.looseObject({}), 'totalBytes, availableBytes, usedPercent.').optional(),
    swap: partOf(z.looseObject({}), 'totalBytes, usedBytes, usedPercent; absent where it is off.').optional(),
    pressure: partOf(
      z.looseObject({}),
      'cpu, memory, io: percent of the last 10 s in which some work waited.',
    ).optional(),
    filesystems: rowsOf(
      z.object({ target: text, availableBytes: figure, usedPercent: maybe }),
      'The fullest.',
    ),
    rates: partOf(z.looseObject({}), 'Of disks and network, in bytes per second.'),
    limits: partOf(z.looseObject({}), 'Container and control group of this service.'),
    topByCpu: rowsOf(z.looseObject({ pid: figure }), 'pid, name, user, cpuPercent, memoryBytes.').optional(),
    fleet: partOf(z.looseObject({}), 'up, total (without those that were not started), down, memoryBytes.'),
    anomalies: rowsOf(z.looseObject({}), 'As find_anomalies tells them.'),
    ...gaps,
  }),
  async handler(_args, watch: Watch, call) {
    const missing = new Gaps();
    const { host } = watch;
    const [now, disks, top, fleet] = await Promise.all([
      measureNow(watch, call),
      fileSystems(host, missing),
      topProcesses(host, 'cpu', shown, call, missing),
      fleetNow(watch, call.signal),
    ]);
    const load = missing.of('load', () => readLoad(host));
    const info = missing.of('memory, swap', () => readMeminfo(host));
    const memory = info && missing.of('memory', () => memoryOf(info));
    const swap = info && missing.of('swap', () => swapOf(info));
    const stalls = pressures(host, missing, ['cpu', 'memory', 'io']);
    const { found } = await findIn(watch, anomalySeconds, call, new Gaps());
    const fullest = disks
      .toSorted((one, other) => (other.usedPercent ?? 0) - (one.usedPercent ?? 0))
      .slice(0, shown);
    const memoryPercent = memory && percentOf(memory.used, memory.total);
    const down = fleet.filter(({ result }) => result === 'down').map(({ name }) => name);
    // What was never seen may not be meant to run.
    const lost = down.filter((name) => watch.store.seen(`started:${name}`) !== undefined);
    const { uptime: _uptime, ...system } = systemFacts(watch, missing, call.nowMs);
    return {
      attention: [
        ...fullest
          .filter(({ usedPercent = 0 }) => usedPercent >= 90)
          .map(({ target, usedPercent }) => `${target} is ${usedPercent} % full.`),
        ...((memoryPercent ?? 0) >= 90 ? [`Memory is ${memoryPercent} % used.`] : []),
        ...((swap?.usedPercent ?? 0) >= 50 ? [`Swap is ${swap?.usedPercent} % used.`] : []),
        ...Object.entries(stalls)
          .filter(([, { some }]) => (some?.avg60Percent ?? 0) >= 20)
          .map(
            ([name, { some }]) => `Work waited for ${name} in ${some?.avg60Percent} % of the last minute.`,
          ),
        ...fleet
          .filter(({ result }) => result === 'not_ready')
          .map(({ name }) => `${name} of the fleet is not ready.`),
        ...lost.map((name) => `${name} of the fleet does not answer.`),
        ...(found.length > 0 ? [`${found.length} measures are unusual in the last hour.`] : []),
      ],
      system,
      cpu: {
        cpuPercent: now.cpu?.cpuPercent,
        iowaitPercent: now.cpu?.iowaitPercent,
        stealPercent: now.cpu?.stealPercent,
        logicalCores: missing.of('logicalCores', () => logicalCores(host)),
        load1m: load?.['1m'],
        load5m: load?.['5m'],
        load15m: load?.['15m'],
      },
      memory: memory && {
        totalBytes: memory.total,
        availableBytes: memory.available,
        usedPercent: memoryPercent,
      },
      swap: swap && { totalBytes: swap.total, usedBytes: swap.used, usedPercent: swap.usedPercent },
      pressure: stalled(stalls),
      filesystems: fullest.map(({ target, availableBytes, usedPercent }) => ({
        target,
        availableBytes,
        usedPercent,
      })),
      rates: Object.fromEntries(
        Object.entries(now.figures)
          .filter(([name, value]) => name.endsWith('bytes_per_second') && value !== undefined)
          .map(([name, value]) => [camel(name), Math.round(value as number)]),
      ),
      limits: limitsHere(host),
      topByCpu: top?.processes.map(({ pid, name, user, cpuPercent, memoryBytes }) => ({
        pid,
        name,
        user,
        cpuPercent,
        memoryBytes,
      })),
      fleet: {
        up: fleet.filter(({ result }) => result === 'up').length,
        // Those that were not started are no part of it.
        total: fleet.filter(({ result }) => result !== 'absent').length,
        down,
        memoryBytes: sumOnce(fleet, 'memoryBytes'),
      },
      anomalies: found.slice(0, shown).map(inShort),
      ...missing.said,
    };
  },
});

function stalled(all: Readonly<Record<string, Pressure | undefined>>) {
  const told = Object.entries(all).flatMap(([name, pressure]) =>
    pressure?.some ? [[name, round(pressure.some.avg10Percent)] as const] : [],
  );
  return told.length === 0 ? undefined : Object.fromEntries(told);
}

const camel = (name: string) => name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
