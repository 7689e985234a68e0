/** Measures the host every ten seconds, for as long as the service runs. Slower things come once a minute. */
import { performance } from 'node:perf_hooks';

import type { Log } from '#runtime/account/log.ts';

import { sumOnce, type Member } from '../fleet.ts';
import { Absent, Gaps, optional, type Host } from '../host.ts';
import { readCpuTimes, readLoad, sharesBetween, type CpuTimes } from '../kernel/cpu.ts';
import { fileSystemMounts, fileSystemOf, readDiskCounts, type DiskCounts } from '../kernel/disks.ts';
import { memoryOf, readMeminfo, swapOf } from '../kernel/memory.ts';
import { readNetworkCounts, type NetworkCounts } from '../kernel/network.ts';
import { readPressure, type Resource } from '../kernel/pressure.ts';
import { warmestCelsius } from '../kernel/sensors.ts';
import { bootId, fileHandles, oomKills, uptimeSeconds } from '../kernel/system.ts';
import { fineSeconds, samplesPerSlowLook } from '../limits.ts';
import type { Sample } from './metrics.ts';
import type { EventKind, Store } from './store.ts';

/** Counters of the kernel at one moment: figures are the differences between two. */
interface Counters {
  readonly atMs: number;
  readonly cpu: CpuTimes | undefined;
  readonly disks: ReadonlyMap<string, DiskCounts> | undefined;
  readonly network: ReadonlyMap<string, NetworkCounts> | undefined;
  readonly stalls: Readonly<Record<'cpu' | 'memory' | 'io', number | undefined>>;
  readonly oomKills: number | undefined;
}

/** What is asked less often; it stands in each sample until it is asked again. */
type Slow = Pick<
  Sample,
  'fullest_disk_percent' | 'temperature_celsius' | 'fleet_cpu_percent' | 'fleet_memory_bytes'
>;

interface FleetLook {
  readonly atMs: number;
  readonly members: readonly Member[];
}

interface Options {
  readonly host: Host;
  readonly store: Store;
  readonly log: Log;
  readonly now: () => number;
  readonly fleet: (signal: AbortSignal) => Promise<Member[]>;
}

/** Differences over less time are too coarse: the kernel counts in hundredths of a second. */
const leastMs = 200;
/** A wait longer than this was no wait of ours. */
const pauseSeconds = 60;
const ownName = 'system-info';
/** Clocks of the same machine differ by this much at most. */
const clockSeconds = 5;

export class Sampler implements AsyncDisposable {
  readonly #options: Options;
  readonly #stop = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #before: Counters | undefined;
  #clocks: { readonly wall: number; readonly up: number | undefined; readonly awake: number } | undefined;
  #fleet: FleetLook | undefined;
  /** When the look began that was noted last. */
  #notedMs = 0;
  #slow: Slow = {};
  #slowLook: Promise<void> | undefined;
  #count = 0;
  #isWriting = true;
  /** Processor time that sampling has taken on this thread. */
  #cpuMicros = 0;

  constructor(options: Options) {
    this.#options = options;
    this.#begin();
    this.sample();
    this.#timer = setInterval(() => this.sample(), fineSeconds * 1_000);
  }

  /** Processor seconds that sampling has taken, and how often it was done. */
  get cost(): { readonly cpuSeconds: number; readonly samples: number } {
    return { cpuSeconds: this.#cpuMicros / 1e6, samples: this.#count };
  }

  get isWriting(): boolean {
    return this.#isWriting;
  }

  /** The counters of the last sample that is old enough to measure from. */
  get before(): Counters | undefined {
    return this.#before && performance.now() - this.#before.atMs >= leastMs ? this.#before : undefined;
  }

  /** What each process of the fleet said in the last minute. */
  get fleet(): FleetLook | undefined {
    return this.#fleet;
  }

  sample(): void {
    const began = process.threadCpuUsage();
    const { host, store, now, log } = this.#options;
    const atSeconds = Math.floor(now() / 1_000);
    try {
      this.#watchClocks(atSeconds);
      const counters = readCounters(host);
      const sample = {
        ...this.#instant(host),
        ...(this.#before && figuresBetween(this.#before, counters)),
        ...this.#slow,
      };
      this.#noteOom(atSeconds, counters);
      this.#before = counters;
      store.record(atSeconds, sample);
      this.#isWriting = true;
    } catch (error) {
      // A full disk must not end the sampling.
      if (this.#isWriting) log.error('sample_not_kept', { error });
      this.#isWriting = false;
    }
    if (this.#count % samplesPerSlowLook === 0) {
      this.#slowLook ??= this.#lookSlowly()
        .catch((error: unknown) => log.error('slow_look_broke', { error }))
        .finally(() => {
          this.#slowLook = undefined;
        });
    }
    this.#count += 1;
    const { user, system } = process.threadCpuUsage(began);
    this.#cpuMicros += user + system;
  }

  #instant(host: Host): Sample {
    const meminfo = optional(() => readMeminfo(host));
    const memory = meminfo && optional(() => memoryOf(meminfo));
    const swap = meminfo && optional(() => swapOf(meminfo));
    const load = optional(() => readLoad(host));
    return {
      load_1m: load?.['1m'],
      threads: load?.threads,
      memory_used_percent: memory && (100 * memory.used) / memory.total,
      swap_used_percent: swap?.usedPercent,
      open_files: optional(() => fileHandles(host))?.open,
    };
  }

  async #lookSlowly(): Promise<void> {
    const { host, fleet } = this.#options;
    const beganMs = performance.now();
    const [disk, warmest, members] = await Promise.all([
      fullestPercent(host),
      warmestCelsius(host),
      fleet(this.#stop.signal),
    ]);
    if (this.#stop.signal.aborted) return;
    const began = process.threadCpuUsage();
    const before = this.#fleet;
    const after = { atMs: performance.now(), members };
    this.#slow = {
      fullest_disk_percent: disk,
      temperature_celsius: warmest,
      fleet_memory_bytes: sumOnce(members, 'memoryBytes'),
      fleet_cpu_percent: before && fleetCpu(before, after),
    };
    this.noteFleet(members, beganMs);
    this.#fleet = after;
    const { user, system } = process.threadCpuUsage(began);
    this.#cpuMicros += user + system;
  }

  #note(
    atSeconds: number,
    kind: EventKind,
    detail: string,
    seconds: number | null = null,
    subject = 'host',
  ): void {
    this.#options.store.addEvent({ atSeconds, kind, subject, detail, seconds });
  }

  /** What happened while nobody looked. */
  #begin(): void {
    const { host, store, now } = this.#options;
    const nowSeconds = Math.floor(now() / 1_000);
    const boot = optional(() => bootId(host));
    const up = optional(() => uptimeSeconds(host));
    const { last } = store.reach();
    const missed = last === undefined ? null : nowSeconds - last;
    const known = store.seen('boot');
    if (boot !== undefined && boot !== known) {
      const at = up === undefined ? nowSeconds : Math.round(nowSeconds - up);
      const detail = known === undefined ? 'The first start that was seen.' : 'The host was started anew.';
      const off = known === undefined || last === undefined ? null : Math.max(0, at - last);
      this.#note(at, 'host_started', detail, off);
      store.see('boot', boot);
    } else if (missed !== null && missed > pauseSeconds) {
      this.#note(nowSeconds, 'sampling_paused', 'This service did not run.', missed);
    }
    this.#note(nowSeconds, 'sampling_started', 'This service began to measure.');
  }

  #watchClocks(atSeconds: number): void {
    const up = optional(() => uptimeSeconds(this.#options.host));
    const clocks = { wall: this.#options.now() / 1_000, up, awake: performance.now() / 1_000 };
    const before = this.#clocks;
    this.#clocks = clocks;
    if (!before) return;
    const awake = clocks.awake - before.awake;
    const passed = up === undefined || before.up === undefined ? awake : up - before.up;
    const slept = passed - awake;
    const moved = clocks.wall - before.wall - passed;
    if (slept > clockSeconds) this.#note(atSeconds, 'host_slept', 'The host was suspended.', slept);
    if (Math.abs(moved) > clockSeconds) this.#note(atSeconds, 'clock_changed', 'The clock was set.', moved);
    if (awake > pauseSeconds) this.#note(atSeconds, 'sampling_paused', 'This service could not run.', awake);
  }

  #noteOom(atSeconds: number, { oomKills: now }: Counters): void {
    const before = this.#before?.oomKills;
    if (now === undefined || before === undefined || now <= before) return;
    this.#note(
      atSeconds,
      'out_of_memory',
      `Processes that the kernel ended for want of memory: ${now - before}.`,
    );
  }

  /**
   * Keeps what has changed since the last look, of whoever it was.
   *
   * @param beganMs when the look began: one that was overtaken tells of what is past.
   */
  noteFleet(members: readonly Member[], beganMs: number): void {
    if (beganMs < this.#notedMs) return;
    this.#notedMs = beganMs;
    try {
      this.#noteChanges(members);
    } catch (error) {
      // A full disk must not end the answers. What was not kept is seen again at the next look.
      this.#options.log.error('fleet_not_kept', { error });
      this.#isWriting = false;
    }
  }

  /** A start that was not known is a restart, also where the fall between was too short to be seen. */
  #noteChanges(members: readonly Member[]): void {
    const { store, now } = this.#options;
    const atSeconds = Math.floor(now() / 1_000);
    for (const { name, result, startedSeconds, reason } of members) {
      const key = `started:${name}`;
      const known = store.seen(key);
      if (startedSeconds !== undefined) {
        // The kernel's clock and ours differ by parts of a second.
        if (known === undefined || Math.abs(Number(known) - startedSeconds) > 2) {
          const kind = known === undefined ? 'process_started' : 'process_restarted';
          this.#note(Math.round(startedSeconds), kind, 'As it says itself.', null, name);
          store.see(key, String(startedSeconds));
        }
        store.see(`lost:${name}`, '');
      } else if (
        result === 'down' &&
        // Who looks is there, and answers a little later.
        name !== ownName &&
        known !== undefined &&
        store.seen(`lost:${name}`) !== known
      ) {
        this.#note(atSeconds, 'process_lost', reason ?? 'It does not answer.', null, name);
        store.see(`lost:${name}`, known);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#stop.abort();
    await this.#slowLook;
  }
}

export function readCounters(host: Host): Counters {
  const stalled = (resource: Resource) => optional(() => readPressure(host, resource))?.some?.totalSeconds;
  return {
    atMs: performance.now(),
    cpu: optional(() => readCpuTimes(host)),
    disks: optional(() => readDiskCounts(host)),
    network: optional(() => readNetworkCounts(host)),
    stalls: { cpu: stalled('cpu'), memory: stalled('memory'), io: stalled('io') },
    oomKills: optional(() => oomKills(host)),
  };
}

/** What went on between two moments. A device that came or went between them is left out. */
export function figuresBetween(before: Counters, after: Counters): Sample {
  const seconds = (after.atMs - before.atMs) / 1_000;
  const shares = before.cpu && after.cpu && sharesBetween(before.cpu.all, after.cpu.all);
  const stall = (resource: 'cpu' | 'memory' | 'io') =>
    percentBetween(before.stalls[resource], after.stalls[resource], seconds);
  const disk = (of: (counts: DiskCounts) => number) => changes(before.disks, after.disks, of, () => true);
  const net = (of: (counts: NetworkCounts) => number) =>
    changes(before.network, after.network, of, (name) => name !== 'lo');
  const rate = (all: readonly number[] | undefined) =>
    all && all.reduce((sum, value) => sum + value, 0) / seconds;
  const busy = disk(({ busyMs }) => busyMs);
  return {
    cpu_percent: shares?.cpuPercent,
    iowait_percent: shares?.iowaitPercent,
    steal_percent: shares?.stealPercent,
    blocked_processes: after.cpu?.blocked,
    cpu_pressure_percent: stall('cpu'),
    memory_pressure_percent: stall('memory'),
    io_pressure_percent: stall('io'),
    disk_read_bytes_per_second: rate(disk(({ readBytes }) => readBytes)),
    disk_written_bytes_per_second: rate(disk(({ writtenBytes }) => writtenBytes)),
    disk_busy_percent: busy && busy.length > 0 ? Math.min(100, Math.max(...busy) / seconds / 10) : undefined,
    network_received_bytes_per_second: rate(net(({ receivedBytes }) => receivedBytes)),
    network_sent_bytes_per_second: rate(net(({ sentBytes }) => sentBytes)),
    network_errors_per_second: rate(net(({ receiveErrors, sendErrors }) => receiveErrors + sendErrors)),
  };
}

function percentBetween(
  before: number | undefined,
  after: number | undefined,
  seconds: number,
): number | undefined {
  if (before === undefined || after === undefined) return undefined;
  return Math.min(100, Math.max(0, (100 * (after - before)) / seconds));
}

/** Of each device that is in both; a counter that began anew counts nothing. */
function changes<Counts>(
  before: ReadonlyMap<string, Counts> | undefined,
  after: ReadonlyMap<string, Counts> | undefined,
  of: (counts: Counts) => number,
  isWanted: (name: string) => boolean,
): number[] | undefined {
  if (!before || !after) return undefined;
  return [...after].flatMap(([name, counts]) => {
    const known = before.get(name);
    return known && isWanted(name) ? [Math.max(0, of(counts) - of(known))] : [];
  });
}

async function fullestPercent(host: Host): Promise<number | undefined> {
  const mounts = optional(() => fileSystemMounts(host, new Gaps())) ?? [];
  const all = await Promise.all(
    mounts
      // One that is read-only is full for good.
      .filter(({ options, fstype }) => !options.includes('ro') && fstype !== 'tmpfs')
      .map(async (mount) =>
        fileSystemOf(host, mount).catch((error: unknown) => {
          if (error instanceof Absent) return undefined;
          throw error;
        }),
      ),
  );
  const shares = all.map((one) => one?.usedPercent).filter((share) => share !== undefined);
  return shares.length === 0 ? undefined : Math.max(...shares);
}

function fleetCpu(before: FleetLook, after: FleetLook): number | undefined {
  const pids = new Set(before.members.map(({ pid }) => pid));
  const same = after.members.filter(({ pid }) => pid !== undefined && pids.has(pid));
  const kept = new Set(same.map(({ pid }) => pid));
  const [was, is] = [
    sumOnce(
      before.members.filter(({ pid }) => kept.has(pid)),
      'cpuSeconds',
    ),
    sumOnce(same, 'cpuSeconds'),
  ];
  return percentUnbounded(was, is, (after.atMs - before.atMs) / 1_000);
}

/** Of one processor: several can give more than a hundred. */
const percentUnbounded = (before: number | undefined, after: number | undefined, seconds: number) =>
  before === undefined || after === undefined || seconds <= 0
    ? undefined
    : Math.max(0, (100 * (after - before)) / seconds);
