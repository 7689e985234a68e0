/**
 * Programs of the host that work on what others wrote. Inside the sandbox there is what the caller names and nothing
 * else: no file, no process, no variable of this one, no network unless it is asked for, no privilege; and there are
 * limits, with or without a sandbox. It is made by bubblewrap, for each program anew.
 */
import { execFileSync, spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';

import { ToolError } from './errors.ts';
import { contains } from './roots.ts';
import { systemCallFilter } from './sandbox-filter.ts';

/** A file or folder of the host, by its real path, at the same place inside. */
export interface Mount {
  readonly path: string;
  readonly writable?: boolean;
}

export interface View {
  readonly mounts: readonly Mount[];
  /** Links on the way to what is mounted, by their own paths; `wayTo` finds them. */
  readonly links: ReadonlyMap<string, string>;
  /** Whether it may reach what this process may. */
  readonly network: boolean;
}

export interface Limits {
  /** Memory that it writes to; files that it only maps do not count. */
  readonly memoryBytes: number;
  readonly cpuSeconds: number;
  /** In the sandbox. Not for root, whose processes the kernel does not count. */
  readonly processes?: number;
}

export interface Program {
  /** Absolute. */
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** All of its environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly limits: Limits;
  /** `undefined` starts it without a sandbox: for the operator to say, never a way out. */
  readonly view: View | undefined;
}

export type Confined = ChildProcessByStdio<Writable, Readable, Readable>;

/** Where programs of the host are looked for, whatever the environment says. */
export const programFolders = ['/usr/local/bin', '/usr/bin', '/bin'];

const packages = { bwrap: 'bubblewrap', prlimit: 'util-linux' };

/**
 * The child leads a process group. Of the processes in it, those named `bwrap` are the sandbox: whoever wants the program
 * to end in good order tells only the others, for the sandbox takes everything down with it.
 *
 * @throws ToolError `unavailable` where it cannot be made.
 */
export function startConfined({ file, args, cwd, env, limits, view }: Program): Confined {
  const limiter = findProgram('prlimit');
  const limited = [limiter, ...limitFlags(limits), '--', file, ...args];
  if (!view) return spawn(limiter, limited.slice(1), { cwd, env, detached: true });
  const filter = systemCallFilter(view.network);
  if (!filter) throw noSandbox(`on ${process.arch}`, 'It is made for x64 and arm64.');
  // Its own environment is empty: the first process inside keeps it, for everyone there to read.
  const child = spawn(findProgram('bwrap'), ['--args', '3', '--', ...limited], {
    cwd: '/',
    env: {},
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe', 'pipe', 'pipe'],
  });
  const flags = [...viewFlags(view, filesOf(limiter)), '--chdir', cwd, ...variableFlags(env), ''];
  for (const [fd, bytes] of [[3, flags.join('\0')] as const, [4, filter] as const]) {
    const pipe = child.stdio[fd] as Writable;
    // One that failed to start reads none of it, which its exit tells better.
    pipe.on('error', () => {});
    pipe.end(bytes);
  }
  return child;
}

function limitFlags({ memoryBytes, cpuSeconds, processes }: Limits): string[] {
  const flags = [`--data=${memoryBytes}`, `--cpu=${cpuSeconds}:${cpuSeconds + 1}`, '--core=0'];
  return processes === undefined ? flags : [...flags, `--nproc=${processes}`];
}

const variableFlags = (env: Readonly<Record<string, string>>) =>
  Object.entries(env).flatMap(([name, value]) => ['--setenv', name, value]);

function viewFlags(view: View, limiter: Pick<View, 'mounts' | 'links'>): string[] {
  const mounts = outerFirst([...limiter.mounts, ...view.mounts]);
  const links = [...limiter.links, ...view.links].filter(
    ([path]) => !mounts.some((mount) => contains(mount.path, path)),
  );
  return [
    ...words('--unshare-pid --unshare-ipc --die-with-parent --seccomp 4 --cap-drop ALL'),
    ...words(isPrivileged() ? '--cap-add CAP_DAC_OVERRIDE --cap-add CAP_FOWNER' : '--unshare-user'),
    ...mounts.flatMap(({ path, writable }) => [writable ? '--bind' : '--ro-bind', path, path]),
    ...[...new Map(links)].flatMap(([path, target]) => ['--symlink', target, path]),
    ...devices.flatMap((path) => ['--dev-bind', path, path]),
    '--remount-ro',
    '/',
  ];
}

const devices = ['/dev/null', '/dev/urandom'];

/** A mount hides what was mounted below it before. Those that would change nothing are left out. */
function outerFirst(mounts: readonly Mount[]): Mount[] {
  const kept: Mount[] = [];
  const rank = ({ path, writable }: Mount) => 2 * path.length - Number(writable === true);
  for (const mount of mounts.toSorted((one, other) => rank(one) - rank(other))) {
    const around = kept.findLast(({ path }) => contains(path, mount.path));
    const isNew = around === undefined || (around.path !== mount.path && around.writable !== mount.writable);
    if (isNew) kept.push(mount);
  }
  return kept;
}

let privileged: boolean | undefined;

/** Root mounts without a namespace of users, and works on files of every user, as it does outside. */
function isPrivileged(): boolean {
  return (privileged ??= mayMount());
}

function mayMount(): boolean {
  if (process.getuid?.() !== 0) return false;
  const status = readFileSync('/proc/self/status', 'utf8');
  const [, effective = '0'] = /^CapEff:\s+([0-9a-f]+)$/m.exec(status) ?? [];
  const capSysAdmin = 21n;
  return ((BigInt(`0x${effective}`) >> capSysAdmin) & 1n) === 1n;
}

const noSandbox = (where: string, hint: string) =>
  new ToolError('unavailable', `No sandbox can be made ${where}.`, { hint });

/** @throws ToolError `unavailable`. */
export function findProgram(name: keyof typeof packages): string {
  const found = programFolders.map((folder) => join(folder, name)).find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw noSandbox(`without ${name}`, `The operator installs it: apt-get install ${packages[name]}.`);
}

const maxLinks = 40;

/** A path as this process finds it: where it leads, and the links on the way. */
export function wayTo(path: string): { readonly real: string; readonly links: ReadonlyMap<string, string> } {
  const links = new Map<string, string>();
  let real = '/';
  let followed = 0;
  const rest = partsOf(path);
  for (let part = rest.shift(); part !== undefined; part = rest.shift()) {
    if (part === '..') {
      real = dirname(real);
      continue;
    }
    const here = join(real, part);
    const target = targetOf(here);
    if (target === undefined) {
      real = here;
      continue;
    }
    links.set(here, target);
    followed += 1;
    if (followed > maxLinks) throw new Error(`Too many links: ${path}`);
    if (target.startsWith('/')) real = '/';
    rest.unshift(...partsOf(target));
  }
  return { real, links };
}

const partsOf = (path: string) => path.split('/').filter((part) => part !== '' && part !== '.');

function targetOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** What is mounted for these paths, those that are there. */
export function viewOf(paths: readonly string[]): Pick<View, 'mounts' | 'links'> {
  const ways = paths.filter((path) => existsSync(path)).map(wayTo);
  return {
    mounts: ways.map(({ real }) => ({ path: real, writable: false })),
    links: new Map(ways.flatMap(({ links }) => [...links])),
  };
}

const views = new Map<string, Pick<View, 'mounts' | 'links'>>();

/** A program and the libraries of the host: what it takes to start it, and nothing that it could start. */
export function filesOf(program: string): Pick<View, 'mounts' | 'links'> {
  const known = views.get(program);
  if (known) return known;
  const own = viewOf([program, '/etc/ld.so.cache']);
  const libraries = viewOf(librariesOf(program));
  // Their folders, since every mount costs time; there are no programs in them.
  const folders = [...new Set(libraries.mounts.map(({ path }) => dirname(path)))];
  const view = {
    mounts: [...own.mounts, ...folders.map((path) => ({ path, writable: false }))],
    links: new Map([...own.links, ...libraries.links]),
  };
  views.set(program, view);
  return view;
}

/** The loader itself says them. */
function librariesOf(program: string): string[] {
  if (!isBinary(program))
    throw noSandbox(`for ${program}`, 'It is a script: a sandbox takes programs alone.');
  const said = execFileSync(program, { env: { LD_TRACE_LOADED_OBJECTS: '1' }, encoding: 'utf8' });
  return [...said.matchAll(/(?:^|\s)(\/\S+) \(0x/g)].map(([, path = '']) => path);
}

function isBinary(program: string): boolean {
  const start = Buffer.alloc(4);
  const file = openSync(program, 'r');
  try {
    readSync(file, start, 0, 4, 0);
  } finally {
    closeSync(file);
  }
  return start.toString('latin1') === '\x7fELF';
}

/** What most programs of a host need to work: its programs and libraries, and what says how to reach others. */
export function hostPrograms(): Pick<View, 'mounts' | 'links'> {
  return viewOf([
    ...words('/usr /bin /sbin /lib /lib32 /lib64'),
    ...settings.map((name) => join('/etc', name)),
  ]);
}

const settings = words(
  `ld.so.cache passwd group nsswitch.conf resolv.conf hosts host.conf gai.conf alternatives ssl pki ca-certificates
   ssh/ssh_config ssh/ssh_config.d ssh/ssh_known_hosts`,
);

function words(text: string): string[] {
  return text.split(/\s+/);
}

/** Why no sandbox can be made here, and what helps; `undefined` where one can. */
export async function whyNoSandbox(): Promise<string | undefined> {
  try {
    const file = findProgram('prlimit');
    const limits = { memoryBytes: 100_000_000, cpuSeconds: 10 };
    const view = { ...filesOf(file), network: false };
    const child = startConfined({ file, args: ['--version'], cwd: '/', env: {}, limits, view });
    child.stdin.end();
    child.stdout.resume();
    const [code, said] = await Promise.all([once(child, 'close'), text(child.stderr)]);
    return code[0] === 0
      ? undefined
      : `No sandbox can be made: ${said.trim().split('\n')[0] ?? ''}. ${kernelHint}`;
  } catch (error) {
    if (error instanceof ToolError) return [error.message, error.hint ?? ''].join(' ').trim();
    throw error;
  }
}

/** What to do where bubblewrap is there and the kernel says no. */
export const kernelHint =
  'The kernel has to allow user namespaces: see the sysctls user.max_user_namespaces, kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns; a container has to allow them too.';
