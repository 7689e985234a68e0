/** Processors: how busy they are, how many, and of which make. */
import {
  Absent,
  linesOf,
  optional,
  readNames,
  readNumber,
  readSlowText,
  readText,
  round,
  type Host,
} from '../host.ts';

const kinds = ['user', 'nice', 'system', 'idle', 'iowait', 'irq', 'softirq', 'steal'] as const;
/** Ticks since the start of the host, by kind. */
type Ticks = readonly number[];

export interface CpuTimes {
  readonly all: Ticks;
  readonly each: readonly Ticks[];
  /** When the host began, in seconds since the epoch. */
  readonly bootSeconds: number;
  readonly running: number;
  readonly blocked: number;
  readonly begun: number;
}

const ticks = ([, ...numbers]: readonly string[]) => numbers.slice(0, kinds.length).map(Number);

/** @throws Absent. */
export function readCpuTimes(host: Host): CpuTimes {
  const lines = linesOf(readText(host, '/proc/stat')).map((line) => line.split(/\s+/));
  const number = (name: string) => Number(lines.find(([first]) => first === name)?.[1] ?? Number.NaN);
  const all = lines.find(([name]) => name === 'cpu');
  if (!all) throw new Absent('/proc/stat says nothing of processors');
  return {
    all: ticks(all),
    each: lines.filter(([name = '']) => /^cpu\d+$/.test(name)).map(ticks),
    bootSeconds: number('btime'),
    running: number('procs_running'),
    blocked: number('procs_blocked'),
    begun: number('processes'),
  };
}

export interface CpuShares {
  readonly cpuPercent: number;
  readonly userPercent: number;
  readonly nicePercent: number;
  readonly systemPercent: number;
  readonly idlePercent: number;
  readonly iowaitPercent: number;
  readonly irqPercent: number;
  readonly softirqPercent: number;
  readonly stealPercent: number;
}

/** Between two looks; `undefined` where no tick passed. */
export function sharesBetween(before: Ticks, after: Ticks): CpuShares | undefined {
  // The kernel takes back some of iowait now and then.
  const spent = kinds.map((_, index) => Math.max(0, (after[index] ?? 0) - (before[index] ?? 0)));
  const sum = spent.reduce((total, ticks) => total + ticks, 0);
  if (sum === 0) return undefined;
  const share = (kind: (typeof kinds)[number]) => round((100 * (spent[kinds.indexOf(kind)] ?? 0)) / sum);
  return {
    cpuPercent: round(100 - share('idle') - share('iowait')),
    userPercent: share('user'),
    nicePercent: share('nice'),
    systemPercent: share('system'),
    idlePercent: share('idle'),
    iowaitPercent: share('iowait'),
    irqPercent: share('irq'),
    softirqPercent: share('softirq'),
    stealPercent: share('steal'),
  };
}

export interface Load {
  readonly '1m': number;
  readonly '5m': number;
  readonly '15m': number;
  /** Threads that the kernel schedules, all of the host. */
  readonly threads: number;
}

/** @throws Absent. */
export function readLoad(host: Host): Load {
  const [one, five, fifteen, threads = ''] = readText(host, '/proc/loadavg').split(' ');
  return {
    '1m': Number(one),
    '5m': Number(five),
    '15m': Number(fifteen),
    threads: Number(threads.split('/')[1]),
  };
}

/** Numbers in a list such as 0-3,8. */
export function numbersIn(list: string): number[] {
  return list
    .trim()
    .split(',')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [first = 0, last = first] = part.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
}

/** @throws Absent. */
export function logicalCores(host: Host): number {
  const online = optional(() => numbersIn(readText(host, '/sys/devices/system/cpu/online')).length);
  return online ?? readCpuTimes(host).each.length;
}

/** @throws Absent where the machine does not say how its processors lie. */
export function physicalCores(host: Host): number {
  const folder = '/sys/devices/system/cpu';
  const cores = readNames(host, folder)
    .filter((name) => /^cpu\d+$/.test(name))
    .map((name) => {
      const read = (fact: string) =>
        optional(() => readText(host, `${folder}/${name}/topology/${fact}`).trim());
      const [socket, core] = [read('physical_package_id'), read('core_id')];
      return core === undefined ? undefined : `${socket}:${core}`;
    })
    .filter((core) => core !== undefined);
  if (cores.length === 0) throw new Absent(`${folder} does not say which processors share a core`);
  return new Set(cores).size;
}

/** What /proc/cpuinfo says of the first processor. Asks each processor, so it takes its time. @throws Absent. */
export async function readCpuInfo(host: Host): Promise<ReadonlyMap<string, string>> {
  const [first = ''] = (await readSlowText(host, '/proc/cpuinfo')).split('\n\n');
  return new Map(
    linesOf(first).map((line) => {
      const [name = '', ...value] = line.split(':');
      return [name.trim(), value.join(':').trim()];
    }),
  );
}

/** How fast the first processor runs now, in MHz. @throws Absent. */
export function frequencyMhz(host: Host, info: ReadonlyMap<string, string> | undefined): number {
  const khz = optional(() => readNumber(host, '/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq'));
  if (khz !== undefined) return round(khz / 1_000, 1);
  const mhz = Number(info?.get('cpu MHz'));
  if (!Number.isFinite(mhz)) throw new Absent('neither cpufreq nor /proc/cpuinfo tells the frequency');
  return round(mhz, 1);
}
