/** Control groups of version 1 and 2: what a process may take, and which group sets the limit. */
import { join, relative } from 'node:path';

import { Absent, linesOf, optional, percentOf, readNumber, readText, round, type Host } from '../host.ts';
import { numbersIn } from './cpu.ts';
import { readMounts, type Mount } from './mounts.ts';

/** A group and its limits; what has no limit is left out. */
export interface Level {
  readonly path: string;
  readonly memoryLimitBytes?: number | undefined;
  readonly memoryHighBytes?: number | undefined;
  readonly memoryUsedBytes?: number | undefined;
  readonly memoryUsedPercent?: number | undefined;
  readonly swapLimitBytes?: number | undefined;
  readonly cpuLimitCores?: number | undefined;
  readonly cpuWeight?: number | undefined;
  readonly cpusAllowed?: number | undefined;
  readonly throttledSeconds?: number | undefined;
  readonly throttledPeriods?: number | undefined;
  readonly pidsLimit?: number | undefined;
  readonly pids?: number | undefined;
  readonly oomKills?: number | undefined;
}

export interface Groups {
  /** `hybrid`: limits of version 1 beside an empty tree of version 2. */
  readonly version: 'v1' | 'v2' | 'hybrid';
  /** From the process's own group up to the outermost that can be seen. */
  readonly levels: readonly Level[];
  readonly folders: readonly string[];
}

/** A controller of version 1, or the one tree of version 2 (`''`). */
interface Membership {
  readonly controllers: readonly string[];
  readonly path: string;
}

/** @throws Absent where the process or the groups cannot be seen. */
export function readGroups(host: Host, pid: number | 'self' = 'self'): Groups {
  const memberships = linesOf(readText(host, `/proc/${pid}/cgroup`)).map((line): Membership => {
    const [, controllers = '', ...path] = line.split(':');
    return { controllers: controllers.split(','), path: path.join(':') };
  });
  const mounts = readMounts(host);
  const hasUnified = mounts.some(({ fstype }) => fstype === 'cgroup2');
  const isOne = memberships.some(({ controllers }) => controllers.some((name) => limiting.includes(name)));
  if (isOne) return { version: hasUnified ? 'hybrid' : 'v1', ...levelsOfOne(host, memberships, mounts) };
  const unified = memberships.find(({ controllers }) => controllers[0] === '');
  const mount = mounts.findLast(({ fstype }) => fstype === 'cgroup2');
  if (!unified || !mount) throw new Absent('no control groups are mounted here');
  const folders = foldersUp(mount, unified.path);
  return {
    version: 'v2',
    folders: folders.map(({ folder }) => folder),
    levels: folders.map(({ folder, path }) => levelOfTwo(host, folder, path)),
  };
}

const limiting: readonly string[] = ['memory', 'cpu', 'pids'];

interface Folder {
  readonly folder: string;
  readonly path: string;
}

/** From the group itself to the top of what is mounted. A group beyond that (`/../..`) is seen from the top alone. */
function foldersUp({ root, target }: Mount, path: string): Folder[] {
  const below = relative(root, path);
  const parts = below === '' || below.startsWith('..') ? [] : below.split('/');
  return Array.from({ length: parts.length + 1 }, (_, up) => {
    const own = parts.slice(0, parts.length - up).join('/');
    return { folder: join(target, own), path: `/${own}` };
  });
}

function levelOfTwo(host: Host, folder: string, path: string): Level {
  const text = (file: string) => optional(() => readText(host, `${folder}/${file}`).trim());
  const limit = (file: string) => numberOf(text(file));
  const stat = keyed(text('cpu.stat'));
  const [quota = 'max', period = ''] = (text('cpu.max') ?? '').split(' ');
  const throttled = stat.get('throttled_usec');
  const [memoryLimitBytes, memoryUsedBytes] = [limit('memory.max'), limit('memory.current')];
  const cpus = text('cpuset.cpus.effective');
  return {
    path,
    memoryLimitBytes,
    memoryHighBytes: limit('memory.high'),
    memoryUsedBytes,
    memoryUsedPercent: shareOf(memoryUsedBytes, memoryLimitBytes),
    swapLimitBytes: limit('memory.swap.max'),
    cpuLimitCores: quota === 'max' || quota === '' ? undefined : round(Number(quota) / Number(period), 3),
    cpuWeight: limit('cpu.weight'),
    cpusAllowed: cpus === undefined || cpus === '' ? undefined : numbersIn(cpus).length,
    throttledPeriods: stat.get('nr_throttled'),
    throttledSeconds: throttled === undefined ? undefined : throttled / 1_000_000,
    pidsLimit: limit('pids.max'),
    pids: limit('pids.current'),
    oomKills: keyed(text('memory.events')).get('oom_kill'),
  };
}

/** Each controller of version 1 has a tree of its own; levels are put together by their paths. */
function levelsOfOne(
  host: Host,
  memberships: readonly Membership[],
  mounts: readonly Mount[],
): Pick<Groups, 'levels' | 'folders'> {
  const levels = new Map<string, Level>();
  const folders: string[] = [];
  for (const { controllers, path } of memberships) {
    for (const controller of controllers) {
      const read = readersOfOne[controller];
      const mount = mounts.findLast(
        ({ fstype, options }) => fstype === 'cgroup' && options.includes(controller),
      );
      if (!read || !mount) continue;
      for (const { folder, path: own } of foldersUp(mount, path)) {
        folders.push(folder);
        levels.set(own, { ...levels.get(own), ...read(host, folder), path: own });
      }
    }
  }
  if (levels.size === 0) throw new Absent('no control groups are mounted here');
  const inward = [...levels.values()].toSorted((one, other) => other.path.length - one.path.length);
  return { levels: inward, folders };
}

/** What version 1 says for "no limit": the largest number of pages. */
const noLimit = 2 ** 62;

const readersOfOne: Readonly<Record<string, (host: Host, folder: string) => Omit<Level, 'path'>>> = {
  memory(host, folder) {
    const number = (file: string) => optional(() => readNumber(host, `${folder}/${file}`));
    const limit = (file: string) => {
      const bytes = number(file);
      return bytes === undefined || bytes >= noLimit ? undefined : bytes;
    };
    const [memoryLimitBytes, memoryUsedBytes] = [
      limit('memory.limit_in_bytes'),
      number('memory.usage_in_bytes'),
    ];
    const both = limit('memory.memsw.limit_in_bytes');
    return {
      memoryLimitBytes,
      memoryUsedBytes,
      memoryUsedPercent: shareOf(memoryUsedBytes, memoryLimitBytes),
      swapLimitBytes:
        both === undefined || memoryLimitBytes === undefined ? undefined : both - memoryLimitBytes,
      oomKills: keyed(optional(() => readText(host, `${folder}/memory.oom_control`))).get('oom_kill'),
    };
  },
  cpu(host, folder) {
    const number = (file: string) => optional(() => readNumber(host, `${folder}/${file}`));
    const [quota, period] = [number('cpu.cfs_quota_us'), number('cpu.cfs_period_us')];
    const stat = keyed(optional(() => readText(host, `${folder}/cpu.stat`)));
    const throttled = stat.get('throttled_time');
    return {
      cpuLimitCores: quota === undefined || quota < 0 || !period ? undefined : round(quota / period, 3),
      cpuWeight: number('cpu.shares'),
      throttledPeriods: stat.get('nr_throttled'),
      throttledSeconds: throttled === undefined ? undefined : throttled / 1e9,
    };
  },
  cpuset(host, folder) {
    const list = optional(() => readText(host, `${folder}/cpuset.cpus`).trim());
    return { cpusAllowed: list === undefined || list === '' ? undefined : numbersIn(list).length };
  },
  pids(host, folder) {
    return {
      pidsLimit: numberOf(optional(() => readText(host, `${folder}/pids.max`).trim())),
      pids: optional(() => readNumber(host, `${folder}/pids.current`)),
    };
  },
};

const numberOf = (text: string | undefined) =>
  text === undefined || text === 'max' || text === '' ? undefined : Number(text);

const shareOf = (used: number | undefined, limit: number | undefined) =>
  used === undefined || limit === undefined ? undefined : percentOf(used, limit);

/** Lines of a name and a number. */
const keyed = (text = '') =>
  new Map(
    linesOf(text).map((line) => {
      const [name = '', value] = line.split(' ');
      return [name, Number(value)];
    }),
  );

export interface Effective {
  readonly memoryLimitBytes?: number;
  readonly memoryLimitedBy?: string;
  readonly cpuLimitCores?: number;
  readonly cpuLimitedBy?: string;
  readonly pidsLimit?: number;
  readonly pidsLimitedBy?: string;
}

/** The tightest limit of all levels holds. */
export function effectiveOf(levels: readonly Level[]): Effective {
  const tightest = (key: 'memoryLimitBytes' | 'cpuLimitCores' | 'pidsLimit') =>
    levels
      .filter((level) => level[key] !== undefined)
      .toSorted((one, other) => (one[key] ?? 0) - (other[key] ?? 0))[0];
  const [memory, cpu, pids] = [
    tightest('memoryLimitBytes'),
    tightest('cpuLimitCores'),
    tightest('pidsLimit'),
  ];
  return {
    ...(memory?.memoryLimitBytes !== undefined && {
      memoryLimitBytes: memory.memoryLimitBytes,
      memoryLimitedBy: memory.path,
    }),
    ...(cpu?.cpuLimitCores !== undefined && { cpuLimitCores: cpu.cpuLimitCores, cpuLimitedBy: cpu.path }),
    ...(pids?.pidsLimit !== undefined && { pidsLimit: pids.pidsLimit, pidsLimitedBy: pids.path }),
  };
}
