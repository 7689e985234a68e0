/**
 * A systemd of the test's own, which runs the real units: PID 1 of new namespaces, on an overlay of this host that is
 * gone afterwards; `SYSTEMD_TEST_TREE` names another system's root instead. On the host it leaves nothing: one temporary folder and its cgroups are removed.
 */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { vi } from 'vitest';

import type { Ended } from './fleet.ts';
import { kernelForbids } from './reporter.ts';

const source = fileURLToPath(new URL('../..', import.meta.url));
const script = fileURLToPath(new URL('private-systemd.sh', import.meta.url));

const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export interface PrivateSystem extends AsyncDisposable {
  /** Runs a shell command inside as root, in `/root`, with a plain environment. */
  run(command: string): Promise<Ended>;
  /** The same for one that has to succeed. @returns what it printed. @throws Error with all that it said. */
  sh(command: string): Promise<string>;
}

/** Why no private systemd can run here; `undefined` where it can. */
export function hindrance(): string | undefined {
  if (process.platform !== 'linux') return 'needs Linux';
  if (process.getuid?.() !== 0) return 'needs root';
  const programs = ['/lib/systemd/systemd', '/usr/bin/unshare', '/usr/bin/nsenter', '/usr/bin/perl'];
  const missing = programs.filter((path) => !existsSync(path));
  if (spawnSync('ip', ['-V']).status !== 0) missing.push('ip');
  if (missing.length > 0) return `needs ${missing.join(', ')}`;
  const layers =
    'mount -t tmpfs tmpfs /mnt && cd /mnt && mkdir up work root && mount -t overlay -o lowerdir=/,upperdir=up,workdir=work overlay root && mount -t proc proc root/proc';
  const probe = spawnSync(
    'unshare',
    ['--pid', '--fork', '--mount', '--uts', '--ipc', '--net', '--cgroup', '/bin/sh', '-c', layers],
    { encoding: 'utf8' },
  );
  if (probe.status !== 0)
    return `${kernelForbids}no namespaces, or no layers in them: ${probe.stderr.trim()}`;
  try {
    for (const folder of makeCgroups('flotilla-probe')) rmdirSync(folder);
  } catch (error) {
    return `${kernelForbids}no cgroups: ${String(error)}`;
  }
  return undefined;
}

/** A cgroup of this name in every hierarchy. */
function makeCgroups(name: string): string[] {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  const hierarchies = mounts
    .map((line) => line.split(' '))
    .filter(([, , type]) => /^cgroup2?$/.test(type ?? ''));
  return hierarchies.map(([, hierarchy = '', type]) => {
    const folder = join(hierarchy, name);
    mkdirSync(folder, { recursive: true });
    // A cpuset of the first version takes nobody before it has processors and memory.
    for (const file of type === 'cgroup' ? ['cpuset.cpus', 'cpuset.mems'] : []) {
      if (existsSync(join(folder, file)))
        writeFileSync(join(folder, file), readFileSync(join(hierarchy, file)));
    }
    return folder;
  });
}

export async function bootPrivateSystem(): Promise<PrivateSystem> {
  const work = mkdtempSync(join(tmpdir(), 'flotilla-systemd-'));
  const cgroups = makeCgroups(`flotilla-${process.pid}`);
  const log = openSync(join(work, 'boot.log'), 'w');
  const namespaces = ['--pid', '--mount', '--uts', '--ipc', '--net', '--propagation', 'private'];
  // However this process ends, the private system ends with it.
  const outer = spawn(
    'setpriv',
    [
      '--pdeathsig',
      'KILL',
      'unshare',
      '--fork',
      '--kill-child',
      ...namespaces,
      '/bin/bash',
      script,
      work,
      source,
      ...cgroups,
    ],
    { stdio: ['ignore', log, log] },
  );
  closeSync(log);
  const ended = once(outer, 'exit');
  const pid = () => readFileSync(join(work, 'pid'), 'utf8').trim();
  const dispose = async () => {
    if (existsSync(join(work, 'pid'))) spawnSync('kill', ['-9', pid()]);
    outer.kill('SIGKILL');
    await ended;
    for (const folder of cgroups) {
      // The kernel takes a moment to see that they are empty.
      await vi.waitFor(() => removeCgroup(folder), { timeout: 5_000, interval: 50 });
    }
    rmSync(work, { recursive: true, force: true });
  };
  // Without --norc, bash would take the pipe to this process for a remote login's.
  const enter = (command: string) =>
    `-t ${pid()} -m -p -n -u -i -C -- env -i HOME=/root LANG=C.UTF-8 PATH=${path} /bin/bash --norc -c`
      .split(' ')
      .concat(command);
  const run = async (command: string): Promise<Ended> =>
    new Promise((done) => {
      execFile('nsenter', enter(command), { maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
        done({ code: error ? (typeof error.code === 'number' ? error.code : null) : 0, stdout, stderr });
      });
    });
  const system: PrivateSystem = {
    run,
    async sh(command) {
      const { code, stdout, stderr } = await run(command);
      if (code !== 0) throw new Error(`${command}\nended with ${code}:\n${stdout}${stderr}`);
      return stdout.trim();
    },
    [Symbol.asyncDispose]: dispose,
  };
  try {
    await vi.waitFor(
      async () => {
        if (!existsSync(join(work, 'pid'))) throw new Error(readFileSync(join(work, 'boot.log'), 'utf8'));
        const state = await run('systemctl is-system-running');
        if (!/^(running|degraded)/.test(state.stdout)) throw new Error(`${state.stdout}${state.stderr}`);
      },
      { timeout: 90_000, interval: 50 },
    );
  } catch (error) {
    await dispose();
    throw error;
  }
  return system;
}

function removeCgroup(folder: string): void {
  const below = globSync('**/', { cwd: folder }).map((path) => join(folder, path));
  for (const path of [...below.toSorted((a, b) => b.length - a.length), folder]) {
    if (existsSync(path)) rmdirSync(path);
  }
}
