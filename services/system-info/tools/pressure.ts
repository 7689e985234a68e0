import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { reading } from '#runtime/hints.ts';
import { defineTool } from '#runtime/tool.ts';

import { gaps, maybe, maybeText, partOf, rowsOf, text } from '../fields.ts';
import { Absent, Gaps, optional, type Host } from '../host.ts';
import { effectiveOf, readGroups, type Groups } from '../kernel/cgroups.ts';
import { logicalCores } from '../kernel/cpu.ts';
import { readMeminfo } from '../kernel/memory.ts';
import { readHostPressure, readPressure, resources, type Pressure } from '../kernel/pressure.ts';
import { mostPid } from '../limits.ts';
import type { Watch } from '../watch.ts';

const pressureField = (what: string) =>
  partOf(
    z.looseObject({}),
    `some and full, each with avg10Percent, avg60Percent, avg300Percent and totalSeconds: ${what}.`,
  ).optional();

/** Of the host, by resource, with the reasons for what is missing. */
export function pressures(
  host: Host,
  missing: Gaps,
  wanted: readonly (typeof resources)[number][] = resources,
): Partial<Record<(typeof resources)[number], Pressure>> {
  return Object.fromEntries(
    wanted
      .map((resource) => [resource, missing.of(resource, () => readHostPressure(host, resource))])
      .filter(([, pressure]) => pressure !== undefined),
  ) as Partial<Record<(typeof resources)[number], Pressure>>;
}

export const getPressure = defineTool({
  name: 'get_pressure',
  title: 'Pressure',
  description:
    'Pressure stall information: the share of time in which some or all of the work waited for processors, memory or disks. The surest sign that a host is short of one.',
  effect: 'read',
  hints: reading,
  input: z.object({}),
  output: z.object({
    cpu: pressureField('waits for a processor'),
    memory: pressureField('waits for memory'),
    io: pressureField('waits for a disk'),
    irq: pressureField('time lost to interrupts'),
    ownGroup: partOf(
      z.looseObject({}),
      'The same of the control group of this service, where it is of version 2.',
    ).optional(),
    ...gaps,
  }),
  handler(_args, { host }: Watch) {
    const missing = new Gaps();
    const own = optional(() => readGroups(host));
    const folder = own?.version === 'v2' ? own.folders[0] : undefined;
    const group =
      folder === undefined
        ? []
        : resources.flatMap((resource) => {
            const pressure = optional(() => readPressure(host, resource, `${folder}/${resource}.pressure`));
            return pressure ? [[resource, pressure] as const] : [];
          });
    const found = pressures(host, missing);
    return {
      ...Object.fromEntries(Object.entries(found).map(([name, pressure]) => [name, { ...pressure }])),
      ...(group.length > 0 && { ownGroup: Object.fromEntries(group) }),
      ...missing.said,
    };
  },
});

export const getCgroupLimits = defineTool({
  name: 'get_cgroup_limits',
  title: 'Control Group Limits',
  description:
    'What a process may take of memory, processors and tasks, and which control group sets each limit, beside what the host has; version 1 and 2.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    pid: z.int().min(1).max(mostPid).optional().describe('Process; this service unless given.'),
  }),
  output: z.object({
    version: maybeText.describe('v1, v2 or hybrid.'),
    effective: partOf(
      z.looseObject({}),
      'The tightest limits: memoryLimitBytes, cpuLimitCores, pidsLimit, each with the group that sets it (memoryLimitedBy). Absent where nothing limits.',
    ).optional(),
    unlimited: z.array(text).optional().describe('What has no limit.'),
    groups: rowsOf(
      z.looseObject({ path: text }),
      'From the own one outwards, with path, limits, memoryUsedBytes, pids, throttledSeconds and oomKills.',
    ).optional(),
    host: partOf(
      z.object({ memoryBytes: maybe, logicalCores: maybe }),
      'What the host has: memoryBytes, logicalCores.',
    ),
    ...gaps,
  }),
  handler({ pid }, { host }: Watch) {
    const missing = new Gaps();
    const groups = missing.of('groups', () => groupsOf(host, pid));
    const effective = groups && effectiveOf(groups.levels);
    const limits = {
      memory: effective?.memoryLimitBytes,
      cpu: effective?.cpuLimitCores,
      pids: effective?.pidsLimit,
    };
    return {
      version: groups?.version,
      effective: effective && { ...effective },
      unlimited:
        groups && Object.entries(limits).flatMap(([name, limit]) => (limit === undefined ? [name] : [])),
      groups: groups?.levels.map((level) => ({ ...level })),
      host: {
        memoryBytes: missing.of('host.memoryBytes', () => readMeminfo(host).get('MemTotal')),
        logicalCores: missing.of('host.logicalCores', () => logicalCores(host)),
      },
      ...missing.said,
    };
  },
});

/** @throws Absent, or ToolError `not_found` for a process that is not there. */
function groupsOf(host: Host, pid: number | undefined): Groups {
  try {
    return readGroups(host, pid);
  } catch (error) {
    if (pid !== undefined && error instanceof Absent && error.message.endsWith('/cgroup is not there')) {
      throw new ToolError('not_found', `There is no process ${pid} that this service can see.`);
    }
    throw error;
  }
}
