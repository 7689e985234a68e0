/** Which system this is, since when it runs, and whether this is a container. */
import { Absent, linesOf, optional, readText, type Host } from '../host.ts';
import { readCpuTimes } from './cpu.ts';

/** @throws Absent. */
export const hostname = (host: Host): string => readText(host, '/proc/sys/kernel/hostname').trim();

/** @throws Absent. */
export const kernelRelease = (host: Host): string => readText(host, '/proc/sys/kernel/osrelease').trim();

/** Of this start of the host. @throws Absent. */
export const bootId = (host: Host): string => readText(host, '/proc/sys/kernel/random/boot_id').trim();

/** @throws Absent. */
export function uptimeSeconds(host: Host): number {
  const seconds = Number(readText(host, '/proc/uptime').split(' ')[0]);
  if (!Number.isFinite(seconds)) throw new Absent('/proc/uptime holds no number');
  return seconds;
}

/**
 * When the host began, since the epoch. The kernel says it; what follows from the time that it is up is no whole number, and so
 * another second now and then.
 */
export function bootSeconds(host: Host, nowMs: number): number | undefined {
  const told = optional(() => readCpuTimes(host).bootSeconds);
  if (told !== undefined && Number.isFinite(told)) return told;
  const up = optional(() => uptimeSeconds(host));
  return up === undefined ? undefined : nowMs / 1_000 - up;
}

/** By the names of os-release(5). @throws Absent. */
export function osRelease(host: Host): ReadonlyMap<string, string> {
  const text = optional(() => readText(host, '/etc/os-release')) ?? readText(host, '/usr/lib/os-release');
  return new Map(
    linesOf(text)
      .filter((line) => /^[A-Z_]+=/.test(line))
      .map((line) => {
        const at = line.indexOf('=');
        const value = line.slice(at + 1).replace(/^(["'])(.*)\1$/, '$2');
        return [line.slice(0, at), value.replaceAll(/\\(["'$`\\])/g, '$1')];
      }),
  );
}

export interface Container {
  readonly kind: string;
  readonly evidence: string;
}

/** Whether this process runs in a container, by what containers leave to be seen. Their processes see figures of the whole host. */
export function containerAround(host: Host): Container | undefined {
  const marks: readonly (readonly [string, string])[] = [
    ['/.dockerenv', 'docker'],
    ['/run/.containerenv', 'podman'],
  ];
  for (const [path, kind] of marks) {
    if (optional(() => readText(host, path)) !== undefined) return { kind, evidence: path };
  }
  const named = optional(() => readText(host, '/run/systemd/container').trim());
  if (named !== undefined && named !== '') return { kind: named, evidence: '/run/systemd/container' };
  const group = optional(() => readText(host, '/proc/1/cgroup')) ?? '';
  const runtime = /\b(docker|kubepods|libpod|lxc|containerd|garden)\b/.exec(group)?.[1];
  return runtime === undefined ? undefined : { kind: runtime, evidence: '/proc/1/cgroup' };
}

/** The version of the machine's own kind, where it is a virtual one. */
export function virtualMachine(
  host: Host,
  cpuInfo: ReadonlyMap<string, string> | undefined,
): string | undefined {
  const xen = optional(() => readText(host, '/sys/hypervisor/type').trim());
  if (xen !== undefined) return xen;
  if (cpuInfo?.get('flags')?.split(' ').includes('hypervisor') !== true) return undefined;
  const maker = optional(() => readText(host, '/sys/class/dmi/id/sys_vendor').trim());
  return maker ?? 'a hypervisor';
}

/** Of all processes together, and how many there may be. @throws Absent. */
export function fileHandles(host: Host): { readonly open: number; readonly limit: number } {
  const [open = 0, , limit = 0] = readText(host, '/proc/sys/fs/file-nr').trim().split(/\s+/).map(Number);
  return { open, limit };
}

/** Processes that the kernel ended for want of memory, since the host began. @throws Absent. */
export function oomKills(host: Host): number {
  const line = linesOf(readText(host, '/proc/vmstat')).find((one) => one.startsWith('oom_kill '));
  if (line === undefined) throw new Absent('only Linux 4.13 and newer count them');
  return Number(line.split(' ')[1]);
}

export function inWords(seconds: number): string {
  const parts: readonly (readonly [number, string])[] = [
    [Math.floor(seconds / 86_400), 'day'],
    [Math.floor(seconds / 3_600) % 24, 'hour'],
    [Math.floor(seconds / 60) % 60, 'minute'],
  ];
  const told = parts
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count} ${unit}${count === 1 ? '' : 's'}`);
  return told.length === 0 ? 'less than a minute' : told.join(', ');
}
