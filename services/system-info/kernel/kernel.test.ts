/** What is told of machines of many kinds. None of them is this one. */
import { chmodSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { invoke, testCall } from '#runtime/testing.ts';

import { Gaps, type Host } from '../host.ts';
import { machine, mountsWith, plainHost, processFiles, watchOf, withoutSwap } from '../machine.fixture.ts';
import { getCpuInformation, getMemoryInformation } from '../tools/cpu-and-memory.ts';
import { getDiskUsage, listBlockDevices } from '../tools/disks.ts';
import { getListeningPorts, getNetworkConnections, getNetworkInterfaces } from '../tools/network.ts';
import { getCgroupLimits, getPressure } from '../tools/pressure.ts';
import { getProcessInfo, listProcesses } from '../tools/processes.ts';
import { getHardwareInformation, getSensors, getSystemInformation } from '../tools/system.ts';
import type { AnyTool } from '#runtime/tool.ts';
import type { Watch } from '../watch.ts';
import { readCommand, readProcesses } from './processes.ts';

// oxlint-disable-next-line typescript/no-explicit-any -- answers are looked at field by field
async function ask(host: Host, tool: AnyTool<Watch>, args: object = {}): Promise<any> {
  await using watch = watchOf(host);
  // As it goes over the wire: what is undefined is not there.
  return JSON.parse(JSON.stringify(await invoke(tool, args, watch)));
}

const fieldsOf = (answer: { readonly unavailable?: readonly { readonly field: string }[] }) =>
  (answer.unavailable ?? []).flatMap(({ field }) => field.split(', '));

/** Nothing is 0 that could not be had. */
function zerosIn(value: unknown, path = ''): string[] {
  if (value === 0) return [path];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => zerosIn(inner, `${path}.${key}`));
}

describe('an empty machine, of which nothing can be read', () => {
  const all: readonly (readonly [AnyTool<Watch>, readonly string[]])[] = [
    [getSystemInformation, ['hostname', 'os_name', 'kernel', 'uptime', 'boot_time']],
    [
      getCpuInformation,
      ['cpuPercent', 'model', 'load_avg', 'logical_cores', 'physical_cores', 'frequency_mhz'],
    ],
    [getMemoryInformation, ['ram', 'swap']],
    [getDiskUsage, ['filesystems']],
    [listBlockDevices, ['devices']],
    [getHardwareInformation, ['machine', 'pci', 'usb']],
    [getSensors, ['hwmon', 'thermal zones']],
    [getPressure, ['cpu', 'memory', 'io', 'irq']],
    [getCgroupLimits, ['groups', 'host.memoryBytes', 'host.logicalCores']],
    [listProcesses, ['processes']],
    [getNetworkInterfaces, ['interfaces']],
    [getNetworkConnections, ['tcp', 'tcp6', 'udp', 'udp6']],
    [getListeningPorts, ['tcp']],
  ];

  test.each(all)('$name says what is missing and why, and no 0', async ({ name }, fields) => {
    using host = machine({});
    const tool = all.find(([one]) => one.name === name)?.[0] as AnyTool<Watch>;

    const answer = await ask(host, tool);

    expect(fieldsOf(answer)).toEqual(expect.arrayContaining([...fields]));
    for (const { reason } of answer.unavailable) expect(reason).toMatch(/\w{2,} \w+/);
    expect(zerosIn({ ...answer, overSeconds: 1 })).toEqual([]);
  });
});

test('a plain host is told in the keys of the established server, beside numbers with units', async () => {
  using host = machine(plainHost);

  expect(await ask(host, getSystemInformation)).toEqual({
    hostname: 'example',
    os_name: 'Example "Linux"',
    os_version: '1 (first)',
    kernel: '6.12.0-example',
    arch: expect.any(String) as string,
    uptime: '1 day, 1 hour, 1 minute',
    uptimeSeconds: 90_061.5,
    boot_time: '2025-10-09T08:53:20.000Z',
  });
  expect(await ask(host, getMemoryInformation)).toMatchObject({
    ram: {
      total: 8_192_000_000,
      used: 3_072_000_000,
      free: 2_048_000_000,
      shared: 102_400_000,
      buffers: 307_200_000,
      cached: 2_764_800_000,
      available: 5_120_000_000,
      usedBytes: 3_072_000_000,
      usedPercent: 37.5,
    },
    swap: { total: 4_096_000_000, used: 2_048_000_000, free: 2_048_000_000, usedPercent: 50 },
  });
  expect(await ask(host, getCpuInformation)).toMatchObject({
    model: 'Example CPU 9000',
    logical_cores: 2,
    physical_cores: 1,
    frequency_mhz: 2_400,
    load_avg_1m: 0.5,
    load_avg_5m: 0.4,
    load_avg_15m: 0.3,
    // Its counters stand still.
    unavailable: [{ field: 'cpuPercent' }],
  });
});

test('with swap off there is no share of it, and the reason', async () => {
  using host = machine({ ...plainHost, ...withoutSwap });

  const answer = await ask(host, getMemoryInformation);

  expect(answer.ram.total).toBe(8_192_000_000);
  expect(answer.swap).toBeUndefined();
  expect(answer.unavailable).toEqual([{ field: 'swap', reason: 'swap is off: this host has none' }]);
});

test('pressure is told where the kernel has it, and never what it does not measure', async () => {
  using host = machine(plainHost);

  const answer = await ask(host, getPressure);

  expect(answer.cpu).toEqual({
    some: { avg10Percent: 1.5, avg60Percent: 2, avg300Percent: 3, totalSeconds: 5 },
  });
  expect(answer.memory.full.avg10Percent).toBe(0.05);
  expect(fieldsOf(answer)).toEqual(['irq']);
});

describe('control groups', () => {
  const two = {
    '/sys/fs/cgroup/app.slice/memory.max': '2000000000\n',
    '/sys/fs/cgroup/app.slice/memory.current': '500000000\n',
    '/sys/fs/cgroup/app.slice/cpu.max': '150000 100000\n',
    '/sys/fs/cgroup/app.slice/app.service/memory.max': '4000000000\n',
    '/sys/fs/cgroup/app.slice/app.service/memory.current': '400000000\n',
    '/sys/fs/cgroup/app.slice/app.service/memory.events': 'low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n',
    '/sys/fs/cgroup/app.slice/app.service/cpu.max': 'max 100000\n',
    '/sys/fs/cgroup/app.slice/app.service/cpu.stat':
      'usage_usec 9\nnr_periods 5\nnr_throttled 2\nthrottled_usec 1500000\n',
    '/sys/fs/cgroup/app.slice/app.service/pids.max': 'max\n',
    '/sys/fs/cgroup/app.slice/app.service/pids.current': '7\n',
    '/sys/fs/cgroup/app.slice/app.service/cpu.pressure':
      'some avg10=9.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=8.00 avg60=0.00 avg300=0.00 total=1\n',
  };

  test('of version 2: the tightest of all levels holds, and what is not limited is told', async () => {
    using host = machine({ ...plainHost, ...two });

    const answer = await ask(host, getCgroupLimits);

    expect(answer).toMatchObject({
      version: 'v2',
      effective: {
        memoryLimitBytes: 2_000_000_000,
        memoryLimitedBy: '/app.slice',
        cpuLimitCores: 1.5,
        cpuLimitedBy: '/app.slice',
      },
      unlimited: ['pids'],
      groups: [
        {
          path: '/app.slice/app.service',
          memoryLimitBytes: 4_000_000_000,
          pids: 7,
          oomKills: 1,
          throttledSeconds: 1.5,
        },
        { path: '/app.slice', memoryUsedPercent: 25 },
        { path: '/' },
      ],
      host: { memoryBytes: 8_192_000_000, logicalCores: 2 },
    });
    expect((await ask(host, getPressure)).ownGroup.cpu.full.avg10Percent).toBe(8);
    expect((await ask(host, getMemoryInformation)).limits).toMatchObject({ memoryLimitBytes: 2_000_000_000 });
  });

  test('of version 2 in a container whose own group is the top of what it sees', async () => {
    using host = machine({
      ...plainHost,
      '/proc/self/cgroup': '0::/\n',
      '/sys/fs/cgroup/memory.max': '268435456\n',
      '/sys/fs/cgroup/cpu.max': '50000 100000\n',
      '/sys/fs/cgroup/pids.max': '100\n',
      '/.dockerenv': '',
    });

    expect((await ask(host, getCgroupLimits)).effective).toEqual({
      memoryLimitBytes: 268_435_456,
      memoryLimitedBy: '/',
      cpuLimitCores: 0.5,
      cpuLimitedBy: '/',
      pidsLimit: 100,
      pidsLimitedBy: '/',
    });
    expect((await ask(host, getSystemInformation)).container).toEqual({
      kind: 'docker',
      evidence: '/.dockerenv',
    });
  });

  test('of version 1: each controller has a tree of its own, and a huge number is no limit', async () => {
    using host = machine({
      ...plainHost,
      ...mountsWith(
        '30 22 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory',
        '31 22 0:31 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct',
        '32 22 0:32 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids',
      ),
      '/proc/self/cgroup': '4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n2:pids:/docker/abc\n',
      '/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes': '536870912\n',
      '/sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes': '134217728\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
      '/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us': '-1\n',
      '/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us': '100000\n',
      '/sys/fs/cgroup/pids/docker/abc/pids.max': '50\n',
      '/sys/fs/cgroup/pids/docker/abc/pids.current': '5\n',
    });

    expect(await ask(host, getCgroupLimits)).toMatchObject({
      version: 'v1',
      effective: { memoryLimitBytes: 536_870_912, memoryLimitedBy: '/docker/abc', pidsLimit: 50 },
      unlimited: ['cpu'],
      groups: [{ path: '/docker/abc', memoryUsedPercent: 25, pids: 5 }, expect.anything(), { path: '/' }],
    });
  });

  test('of version 1 in a container: the mount begins at its group', async () => {
    using host = machine({
      ...plainHost,
      ...mountsWith('30 22 0:30 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory'),
      '/proc/self/cgroup': '4:memory:/docker/abc\n',
      '/sys/fs/cgroup/memory/memory.limit_in_bytes': '536870912\n',
    });

    expect((await ask(host, getCgroupLimits)).effective).toEqual({
      memoryLimitBytes: 536_870_912,
      memoryLimitedBy: '/',
    });
  });

  test('of a process that is not there', async () => {
    using host = machine(plainHost);

    await expect(ask(host, getCgroupLimits, { pid: 77 })).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('file systems', () => {
  test('each once, as df counts them; what is hidden, remote or covered has its reason', async () => {
    using host = machine(
      {
        ...plainHost,
        ...mountsWith(
          String.raw`40 20 8:2 / /with\040blank rw - ext4 /dev/sda2 rw`,
          '41 20 8:1 /sub /again rw - ext4 /dev/sda1 rw',
          '42 20 8:3 / /home rw - xfs /dev/sda3 rw',
          '43 42 0:40 /systemd/inaccessible/dir /home ro - tmpfs tmpfs ro',
          '44 20 0:41 / /nfs rw - nfs4 server:/ rw',
          '45 20 8:4 / /covered rw - ext4 /dev/sda4 rw',
          '46 20 0:42 / /nothing rw - tmpfs tmpfs rw',
        ),
      },
      {
        deviceOf: (path) =>
          ({ '/': '8:1', '/with blank': '8:2', '/covered': '8:9', '/nothing': '0:42' })[path] ?? '',
        statfs: async (path) => ({
          bsize: 4_096,
          blocks: path === '/nothing' ? 0 : 1_000,
          bfree: 400,
          bavail: 350,
          files: path === '/' ? 100 : 0,
          ffree: path === '/' ? 40 : 0,
        }),
      },
    );

    const answer = await ask(host, getDiskUsage);

    expect(answer.filesystems).toMatchObject([
      {
        source: '/dev/sda1',
        target: '/',
        size: 4_096_000,
        used: 2_457_600,
        avail: 1_433_600,
        'use%': 64,
        usedPercent: 63.16,
        inodesUsedPercent: 60,
      },
      { target: '/with blank' },
    ]);
    expect(answer.filesystems[1]).not.toHaveProperty('inodesUsedPercent');
    expect(answer.unavailable).toEqual([
      {
        field: '/home',
        reason: expect.stringContaining('hides') as string,
        remedy: expect.any(String) as string,
      },
      { field: '/nfs', reason: expect.stringContaining('never answer') as string },
      {
        field: '/covered',
        reason: expect.stringContaining('covers') as string,
        remedy: expect.any(String) as string,
      },
    ]);
  });

  test('use% is never less than it is, as df rounds', async () => {
    const blocks = 1e9;
    const statfs = async () => ({
      bsize: 4_096,
      blocks,
      bfree: blocks - 9,
      bavail: blocks - 9,
      files: 9,
      ffree: 9,
    });
    using host = machine(plainHost, { statfs });

    const { filesystems } = await ask(host, getDiskUsage);

    expect(filesystems[0]).toMatchObject({ 'use%': 1, usedPercent: 0 });
  });

  test('a place that may not be looked at', async () => {
    using host = machine(plainHost, {
      statfs: async () => {
        throw Object.assign(new Error('no'), { code: 'EACCES' });
      },
    });

    expect(await ask(host, getDiskUsage)).toEqual({
      filesystems: [],
      unavailable: [{ field: '/', reason: 'this service may not look there (EACCES)' }],
    });
  });
});

describe('processes', () => {
  const secrets = [
    'app\0--password\0hunter2\0',
    'sh\0-c\0PGPASSWORD=hunter2 psql\0',
    'curl\0-u\0ada:hunter2\0',
    'psql\0postgres://app:hunter2@db/app\0',
  ];

  test('names that are made to mislead, and no secret of a command line', async () => {
    using host = machine({
      ...plainHost,
      ...processFiles(7, 'evil) R 1 (x', secrets[0] ?? ''),
      ...processFiles(8, 'two\nlines\u001b[31m', secrets[1] ?? ''),
      ...processFiles(9, 'curl', secrets[2] ?? ''),
      ...processFiles(10, 'psql', secrets[3] ?? ''),
      ...processFiles(11, 'kthread', ''),
    });

    const { processes, total, ...rest } = await ask(host, listProcesses);

    expect(processes).toHaveLength(5);
    expect(total).toBe(5);
    expect(rest).toEqual({});
    expect(processes[0]).toMatchObject({
      pid: 7,
      name: 'evil) R 1 (x',
      state: 'sleeping',
      parentPid: 1,
      threads: 3,
      cpuSeconds: 1.5,
      memoryBytes: 10_485_760,
      command: 'app --password [redacted]',
    });
    expect(JSON.stringify(processes)).not.toContain('hunter2');
    expect(JSON.stringify(processes)).not.toContain('\\u001b');
    expect(processes[4]).not.toHaveProperty('command');
    const one = await ask(host, getProcessInfo, { pid: '10' });
    expect(one).toMatchObject({ pid: 10, command: 'psql postgres://app:[redacted]@db/app' });
    expect(JSON.stringify(one)).not.toMatch(/hunter2|SECRET_OF_THE_ENVIRONMENT/);
    expect(fieldsOf(await ask(host, getProcessInfo, { pid: 11 }))).toContain('command');
  });

  test('of a very long command line no more is read than is told, and no half secret', async () => {
    const token = `ghp_${'a1B2'.repeat(9)}`;
    const lines = Array.from({ length: 60 }, (_, index) => `app\0--token\0${token}\0`.repeat(index + 10));
    using host = machine({
      ...plainHost,
      ...processFiles(7, 'long', `app\0${'-'.repeat(2_000_000)}\0`),
      ...processFiles(8, 'script', `sh\0-c\0sudo mysql -p${'hunter2'.repeat(3_000)} app\0`),
      ...(Object.assign({}, ...lines.map((line, index) => processFiles(index + 9, 'many', line))) as object),
    });

    const { processes } = await ask(host, listProcesses, { limit: 200 });

    expect(processes).toHaveLength(62);
    expect(processes[0].command).toBe(`app ${'-'.repeat(295)}…`);
    expect((await readCommand(host, 7, 300)).bytes).toHaveLength(1_200);
    const whole = await ask(host, getProcessInfo, { pid: 7 });
    expect(whole.command).toHaveLength(4_096);
    for (const { command } of [...processes, await ask(host, getProcessInfo, { pid: 8 })]) {
      expect(command).not.toMatch(/hunter2|a1B2|ghp_/);
      expect(command.length).toBeLessThanOrEqual(300);
    }
  });

  test('a title that was written over all arguments does not lead into the environment', async () => {
    const stat = (from: number, to: number) =>
      `7 (titled) S 1 7 7 0 -1 4194560 1 0 0 0 1 50 0 0 20 0 3 0 500 104857600 2560 18446744073709551615${' 0'.repeat(22)} ${from} ${to} 0 0 0\n`;
    using host = machine({
      ...plainHost,
      ...processFiles(7, 'titled', 'titled: busyPGPASSWD=correct horse\0'),
      '/proc/7/stat': stat(4_096, 4_096 + 12),
      ...processFiles(8, 'hidden', 'titled: busyPGPASSWD=correct horse\0'),
      ...processFiles(9, 'overlong', 'postgres: walwriter\0'),
      ...processFiles(10, 'plain', 'dd\0if=/dev/zero\0of=x\0'),
    });

    const { processes } = await ask(host, listProcesses);

    expect(processes.map(({ command }: { readonly command: string }) => command)).toEqual([
      'titled: busy',
      // Where arguments end is told of one's own processes alone.
      'titled: busyPGPASSWD=',
      'postgres: walwriter',
      'dd if=/dev/zero of=x',
    ]);
    host.write({ '/proc/7/stat': stat(4_096, 4_096 + 35) });
    expect(await ask(host, getProcessInfo, { pid: 7 })).toMatchObject({
      command: 'titled: busyPGPASSWD=[redacted] horse',
    });
  });

  test('one that runs on began at one and the same time, whenever it is asked for', async () => {
    using host = machine({ ...plainHost, ...processFiles(7, 'app', 'app\0') });
    await using watch = watchOf(host);
    const ask = async (nowMs: number) => invoke(getProcessInfo, { pid: 7 }, watch, testCall({ nowMs }));

    const [first, later] = [await ask(1_760_090_061_400), await ask(1_760_090_062_600)];

    expect(first.startedAt).toBe(new Date(1_760_000_005_000).toISOString());
    expect(later.startedAt).toBe(first.startedAt);
    host.write({ '/proc/stat': 'cpu  1000 0 500 8000 100 0 0 0 0 0\n' });
    expect((await ask(1_760_090_061_500)).startedAt).toBe(first.startedAt);
  });

  test('a thread is no process', async () => {
    using host = machine({
      ...plainHost,
      ...processFiles(8, 'worker', 'app\0'),
      '/proc/8/status': 'Name:\tworker\nTgid:\t7\nPid:\t8\n',
    });

    await expect(ask(host, getProcessInfo, { pid: 8 })).rejects.toMatchObject({
      code: 'not_found',
      message: expect.stringContaining('thread of process 7') as string,
    });
  });

  test('page by page', async () => {
    using host = machine({
      ...plainHost,
      ...processFiles(7, 'a', ''),
      ...processFiles(8, 'b', ''),
      ...processFiles(9, 'c', ''),
    });

    const first = await ask(host, listProcesses, { limit: 2 });
    const second = await ask(host, listProcesses, { limit: 2, cursor: first.next_cursor });

    expect(first).toMatchObject({ total: 3, truncated: true });
    expect([...first.processes, ...second.processes].map(({ pid }) => pid)).toEqual([7, 8, 9]);
    expect(second).not.toHaveProperty('truncated');
    await expect(ask(host, listProcesses, { limit: 3, cursor: first.next_cursor })).rejects.toMatchObject({
      code: 'invalid_input',
    });
  });

  test('with hidepid the answer says that others are hidden', async () => {
    using host = machine({
      ...plainHost,
      '/proc/self/mountinfo':
        '20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 0:5 / /proc rw - proc proc rw,hidepid=invisible\n',
      ...processFiles(7, 'own', 'own\0'),
    });

    const answer = await ask(host, listProcesses);

    expect(answer.processes).toHaveLength(1);
    expect(answer.unavailable).toEqual([
      {
        field: 'processes of other users',
        reason: expect.stringContaining('hidepid=invisible') as string,
        remedy: expect.stringContaining('gid=') as string,
      },
    ]);
  });

  test('those that are listed, but may not be read, are counted', async () => {
    using host = machine({
      ...plainHost,
      ...processFiles(7, 'own', 'own\0'),
      ...processFiles(8, 'other', 'other\0'),
    });
    chmodSync(join(host.root, '/proc/8/stat'), 0);
    chmodSync(host.root, 0o755);
    // Root reads everything.
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) process.seteuid?.('nobody');
    let answer;
    try {
      answer = await ask(host, listProcesses);
    } finally {
      if (isRoot) process.seteuid?.(0);
    }

    expect(answer.processes).toHaveLength(1);
    expect(answer.unavailable[0].reason).toContain('nothing may be read of 1');
  });

  test('in a user namespace, an unknown user has no name', async () => {
    using host = machine({
      ...plainHost,
      '/proc/self/uid_map': '         0       1000          1\n',
      ...processFiles(7, 'a', ''),
    });
    const owner = process.getuid?.() ?? 0;

    const { processes } = await ask(host, listProcesses);

    // Files of the test are its own user's; only the number that stands for all others has no name.
    expect(processes[0].user).toBe(owner === 0 ? 'root' : String(owner));
  });

  test('one process each step, so that very many do not hold the loop', () => {
    const many = Array.from({ length: 40 }, (_, index) => processFiles(index + 1, 'p', ''));
    using host = machine(Object.assign({}, ...many) as Record<string, string>);
    const steps = readProcesses(host);
    let count = 0;
    let step = steps.next();
    for (; !step.done; step = steps.next()) count += 1;

    expect(step.value.processes).toHaveLength(40);
    expect(count).toBe(40);
  });
});

describe('the network', () => {
  const sockets = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:10E1 00000000:0000 0A 00000000:00000005 00:00000000 00000000     0        0 4711 1 0
   1: 0502000A:C000 0101A8C0:01BB 01 00000002:00000000 00:00000000 00000000  1000        0 4712 1 0
`;

  test('addresses come from files alone', async () => {
    using host = machine({
      ...plainHost,
      '/sys/class/net/eth0/operstate': 'up\n',
      '/sys/class/net/eth0/mtu': '1500\n',
      '/sys/class/net/eth0/speed': '-1\n',
      '/sys/class/net/lo/mtu': '65536\n',
      '/proc/self/net/route':
        'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\neth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n',
      '/proc/self/net/fib_trie':
        'Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.2.5\n        /32 host LOCAL\n     |-- 10.0.2.255\n        /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n',
      '/proc/self/net/if_inet6':
        'fe800000000000000000000000000001 02 40 20 80     eth0\n00000000000000000000000000000001 01 80 10 80       lo\n20010db8000000000001000000000001 02 40 00 80     eth0\n',
    });

    const { interfaces, defaultGateway } = await ask(host, getNetworkInterfaces);

    expect(defaultGateway).toEqual({ interface: 'eth0', address: '10.0.2.1' });
    expect(interfaces).toMatchObject([
      {
        name: 'eth0',
        state: 'up',
        mtuBytes: 1_500,
        addresses: ['10.0.2.5/24', 'fe80::1/64', '2001:db8::1:0:0:1/64'],
        receivedBytes: 1_000,
        sentBytes: 2_000,
        receiveErrors: 1,
        sendDropped: 4,
      },
      { name: 'lo', state: 'unknown', addresses: ['127.0.0.1/8', '::1/128'] },
    ]);
    // A virtual one says -1, which is no speed.
    expect(interfaces[0]).not.toHaveProperty('speedMbps');
  });

  test('sockets with the processes that hold them', async () => {
    using host = machine({
      ...plainHost,
      ...processFiles(7, 'ser\u001bver', 'server\0'),
      '/proc/7/fd/3': '-> socket:[4711]',
      '/proc/self/net/tcp': `${sockets}   9: 0502000A:C001 0101A8C0:01BB 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0\n`,
      '/proc/self/net/tcp6':
        'head\n   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 99 1 0\n',
    });

    expect(await ask(host, getListeningPorts)).toMatchObject({
      total: 2,
      ports: [
        {
          protocol: 'tcp',
          state: 'LISTEN',
          localAddress: '127.0.0.1',
          localPort: 4_321,
          pid: 7,
          process: 'ser ver',
          user: 'root',
          receiveQueueBytes: 5,
        },
        { protocol: 'tcp6', localAddress: '::1', localPort: 8_080 },
      ],
    });
    const open = await ask(host, getNetworkConnections);
    expect(
      open.connections.find(({ state }: { readonly state: string }) => state === 'TIME_WAIT'),
    ).not.toHaveProperty('user');
    expect(open).toMatchObject({
      total: 2,
      connections: [
        {
          state: 'ESTABLISHED',
          localAddress: '10.0.2.5',
          remoteAddress: '192.168.1.1',
          remotePort: 443,
          user: '1000',
          sendQueueBytes: 2,
        },
        { state: 'TIME_WAIT' },
      ],
    });
  });
});

test('sensors with their limits; one that does not answer has its reason', async () => {
  using host = machine({
    ...plainHost,
    '/sys/class/hwmon/hwmon0/name': 'coretemp\n',
    '/sys/class/hwmon/hwmon0/temp1_input': '54500\n',
    '/sys/class/hwmon/hwmon0/temp1_label': 'Package\n',
    '/sys/class/hwmon/hwmon0/temp1_crit': '100000\n',
    '/sys/class/hwmon/hwmon0/temp2_input': '\n',
    '/sys/class/hwmon/hwmon0/fan1_input': '1200\n',
    '/sys/class/hwmon/hwmon0/in0_input': '1050\n',
    '/sys/class/power_supply/BAT0/capacity': '80\n',
    '/sys/class/power_supply/BAT0/status': 'Discharging\n',
  });

  expect(await ask(host, getSensors)).toEqual({
    sensors: [
      { chip: 'coretemp', label: 'fan1', fanRpm: 1_200 },
      { chip: 'coretemp', label: 'in0', volts: 1.05 },
      { chip: 'coretemp', label: 'Package', temperatureCelsius: 54.5, criticalCelsius: 100 },
      { chip: 'BAT0', label: 'battery', chargePercent: 80, chargeState: 'Discharging' },
    ],
    unavailable: [
      { field: 'coretemp temp2', reason: expect.stringContaining('no number') as string },
      { field: 'thermal zones', reason: expect.any(String) as string },
    ],
  });
});

test('devices have names where the host has a list of them, and numbers where not', async () => {
  const device = {
    '/sys/bus/pci/devices/0000:00:02.0/class': '0x030000\n',
    '/sys/bus/pci/devices/0000:00:02.0/vendor': '0x8086\n',
    '/sys/bus/pci/devices/0000:00:02.0/device': '0x1234\n',
    '/sys/class/dmi/id/sys_vendor': 'Example Inc.\n',
    '/sys/class/dmi/id/product_serial': 'SERIAL-1\n',
  };
  using bare = machine({ ...plainHost, ...device });
  using named = machine({
    ...plainHost,
    ...device,
    '/usr/share/misc/pci.ids': '# list\n8086  Intel\n\t1234  Fine Graphics\n',
  });

  expect((await ask(bare, getHardwareInformation)).devices).toMatchObject([
    { vendor: '8086', name: '1234', kind: 'display' },
  ]);
  const answer = await ask(named, getHardwareInformation);
  expect(answer.devices).toMatchObject([{ vendor: 'Intel', name: 'Fine Graphics' }]);
  expect(answer.machine).toEqual({ vendor: 'Example Inc.' });
});

test('disks with their partitions, and where they are mounted', async () => {
  using host = machine({
    ...plainHost,
    '/sys/block/sda/size': '2000\n',
    '/sys/block/sda/dev': '8:0\n',
    '/sys/block/sda/queue/rotational': '0\n',
    '/sys/block/sda/device/model': 'Fast Disk\n',
    '/sys/block/sda/sda1/size': '1000\n',
    '/sys/block/sda/sda1/dev': '8:1\n',
    '/sys/block/sda/sda1/partition': '1\n',
    '/sys/block/loop0/size': '0\n',
    '/sys/block/loop0/dev': '7:0\n',
  });

  expect((await ask(host, listBlockDevices)).devices).toEqual([
    {
      name: 'sda',
      type: 'disk',
      sizeBytes: 1_024_000,
      model: 'Fast Disk',
      rotational: false,
      mountpoints: [],
    },
    { name: 'sda1', type: 'part', parent: 'sda', sizeBytes: 512_000, fstype: 'ext4', mountpoints: ['/'] },
  ]);
});

test('what is missing for one reason is told at once', () => {
  const missing = new Gaps();
  for (const field of ['a', 'b']) missing.add(field, 'no reason at all');
  missing.add('c', 'another');

  expect(missing.said.unavailable).toEqual([
    { field: 'a, b', reason: 'no reason at all' },
    { field: 'c', reason: 'another' },
  ]);
});
