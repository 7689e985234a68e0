/** Machines of our own making: folders that look like /proc and /sys of hosts and containers of many kinds. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import type { Host } from './host.ts';
import { openStore } from './history/store.ts';
import type { Watch } from './watch.ts';

type Files = Readonly<Record<string, string>>;

const room = { bsize: 4_096, blocks: 1_000, bfree: 400, bavail: 350, files: 100, ffree: 40 };

/** A host whose files are these; links are written as `-> target`. */
export function machine(
  files: Files,
  overrides: Partial<Host> = {},
): Host & Disposable & { readonly write: (more: Files) => void } {
  const root = mkdtempSync(join(tmpdir(), 'flotilla-machine-'));
  const write = (more: Files) => {
    for (const [path, text] of Object.entries(more)) {
      const file = join(root, path);
      mkdirSync(dirname(file), { recursive: true });
      if (text.startsWith('-> ')) symlinkSync(text.slice(3), file);
      else writeFileSync(file, text);
    }
  };
  write(files);
  return {
    root,
    statfs: async () => room,
    deviceOf: () => '8:1',
    programs: [],
    ...overrides,
    write,
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** What tools need, without a sampler that runs. */
export function watchOf(host: Host): Watch {
  const store = openStore(':memory:');
  return {
    host,
    store,
    sampler: {
      before: undefined,
      fleet: undefined,
      noteFleet: () => {},
      isWriting: true,
      cost: { cpuSeconds: 0, samples: 0 },
    },
    entries: [],
    async [Symbol.asyncDispose]() {
      store[Symbol.dispose]();
    },
  };
}

const meminfo = (swapKb: number) => `MemTotal:        8000000 kB
MemFree:         2000000 kB
MemAvailable:    5000000 kB
Buffers:          300000 kB
Cached:          2500000 kB
Shmem:            100000 kB
SReclaimable:     200000 kB
SwapTotal:       ${swapKb} kB
SwapFree:        ${swapKb / 2} kB
HugePages_Total:       0
`;

export const withSwap = { '/proc/meminfo': meminfo(4_000_000) };
export const withoutSwap = { '/proc/meminfo': meminfo(0) };

/** A process; its name may hold anything. */
export const processFiles = (pid: number, name: string, command: string, ticks = 100): Files => ({
  [`/proc/${pid}/stat`]: `${pid} (${name}) S 1 ${pid} ${pid} 0 -1 4194560 1 0 0 0 ${ticks} 50 0 0 20 0 3 0 500 104857600 2560 18446744073709551615\n`,
  [`/proc/${pid}/cmdline`]: command,
  [`/proc/${pid}/environ`]: 'SECRET_OF_THE_ENVIRONMENT=hunter2\0',
});

const mounts = `20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
21 20 0:5 / /proc rw,nosuid - proc proc rw
22 20 0:6 / /sys rw - sysfs sysfs rw
`;

/** A plain host: two processors, swap, pressure, cgroup v2. */
export const plainHost: Files = {
  ...withSwap,
  '/proc/stat':
    'cpu  1000 0 500 8000 100 0 0 0 0 0\ncpu0 500 0 250 4000 50 0 0 0 0 0\ncpu1 500 0 250 4000 50 0 0 0 0 0\nbtime 1760000000\nprocesses 900\nprocs_running 2\nprocs_blocked 0\n',
  '/proc/loadavg': '0.50 0.40 0.30 2/321 900\n',
  '/proc/uptime': '90061.50 170000.00\n',
  '/proc/cpuinfo':
    'processor\t: 0\nmodel name\t: Example CPU 9000\ncpu MHz\t\t: 2400.000\nflags\t\t: fpu\n\nprocessor\t: 1\n',
  '/proc/sys/kernel/hostname': 'example\n',
  '/proc/sys/kernel/osrelease': '6.12.0-example\n',
  '/proc/sys/kernel/random/boot_id': '11111111-2222-3333-4444-555555555555\n',
  '/proc/sys/fs/file-nr': '1200\t0\t100000\n',
  '/proc/vmstat': 'nr_free_pages 1\noom_kill 0\n',
  '/etc/os-release': 'NAME="Example \\"Linux\\""\nVERSION="1 (first)"\nID=example\n',
  '/etc/passwd': 'root:x:0:0::/root:/bin/sh\n',
  '/proc/pressure/cpu':
    'some avg10=1.50 avg60=2.00 avg300=3.00 total=5000000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n',
  '/proc/pressure/memory':
    'some avg10=0.10 avg60=0.20 avg300=0.30 total=1000000\nfull avg10=0.05 avg60=0.00 avg300=0.00 total=500000\n',
  '/proc/pressure/io':
    'some avg10=4.00 avg60=5.00 avg300=6.00 total=7000000\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=500000\n',
  '/proc/self/mountinfo': `${mounts}23 22 0:7 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n`,
  '/proc/self/cgroup': '0::/app.slice/app.service\n',
  '/proc/self/net/dev':
    'Inter-|   Receive                                                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n  eth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n    lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n',
  '/proc/diskstats':
    '   8       0 sda 100 0 2000 50 200 0 4000 80 0 300 130 0 0 0 0 0 0\n   8       1 sda1 90 0 1900 50 190 0 3900 80 0 290 130 0 0 0 0 0 0\n',
  '/sys/devices/system/cpu/online': '0-1\n',
  '/sys/devices/system/cpu/cpu0/topology/physical_package_id': '0\n',
  '/sys/devices/system/cpu/cpu0/topology/core_id': '0\n',
  '/sys/devices/system/cpu/cpu1/topology/physical_package_id': '0\n',
  '/sys/devices/system/cpu/cpu1/topology/core_id': '0\n',
};

export const mountsWith = (...lines: readonly string[]): Files => ({
  '/proc/self/mountinfo': `${mounts}${lines.map((line) => `${line}\n`).join('')}`,
});
