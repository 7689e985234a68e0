/**
 * Programs of the host that work on what others wrote. Inside the sandbox there is what the caller names and nothing
 * else: no file, no process, no variable of this one, no network unless it is asked for, no privilege; and there are
 * limits, with or without a sandbox. It is made for each program anew: by bubblewrap, and where that is missing, by
 * util-linux and Perl, which hold to the same flags (`sandbox-maker.pl`).
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';

import { ToolError } from './errors.ts';
import { contains } from './roots.ts';
import { systemCallFilter } from './sandbox-filter.ts';
import { startHere, startProgram, type Child, type Order, type Process } from './starter.ts';

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
  /** Folders in memory that it may fill, and that end with it. */
  readonly scratch?: readonly { readonly path: string; readonly sizeBytes: number }[];
}

/** What the kernel itself refuses or ends: of each process, but for the number of them. */
export interface KernelLimits {
  /** Memory that it writes to; files that it only maps do not count. */
  readonly memoryBytes?: number;
  readonly cpuSeconds?: number;
  /** In the sandbox, threads included. Not for root, whose processes the kernel does not count. */
  readonly processes?: number;
  /** Of one file. */
  readonly fileBytes?: number;
  readonly openFiles?: number;
}

export interface Program {
  /** Absolute. */
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  /** All of its environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly limits: KernelLimits;
  /** `undefined` starts it without a sandbox: for the operator to say, never a way out. */
  readonly view: View | undefined;
  /**
   * It is not trusted: it ends with this process, and where this is root, it is nobody. The kernel counts what others start,
   * and files of root are closed to them.
   */
  readonly asNobody?: true;
  /** It finds pipes to this process at `channelNumbers`. */
  readonly hasChannel?: true;
  /** The best there is, unless a test says which. */
  readonly maker?: Maker;
}

export type Confined = Child;

/** What makes sandboxes, the best first. */
export const makers = ['bwrap', 'unshare'] as const;
export type Maker = (typeof makers)[number];

/** The names of the processes that are the sandbox, and not in it. */
export const sandboxNames: ReadonlySet<string> = new Set([...makers, 'sandbox']);

/** A program reads what it is told at the first, and answers at the second. */
export const channelNumbers = [5, 6] as const;

export interface Channel {
  readonly to: Writable;
  readonly from: Readable;
}

export function channelOf({ stdio }: Confined): Channel {
  const [to, from] = channelNumbers;
  return { to: stdio[to] as Writable, from: stdio[from] as Readable };
}

/** Nobody's number on every Linux. */
export const nobody = 65_534;

/** Where programs of the host are looked for, whatever the environment says. */
export const programFolders = ['/usr/local/bin', '/usr/bin', '/bin'];

const packages = {
  bwrap: 'bubblewrap',
  prlimit: 'util-linux',
  setpriv: 'util-linux',
  unshare: 'util-linux',
  perl: 'perl-base',
};

/**
 * The child leads a process group. Of the processes in it, those with one of `sandboxNames` are the sandbox: whoever wants
 * the program to end in good order tells only the others, for the sandbox takes everything down with it.
 *
 * @throws ToolError `unavailable` where it cannot be made.
 */
export async function startConfined(program: Program): Promise<Confined> {
  return startProgram(orderFor(program));
}

/** The same at once, which holds the loop the longer the more memory this process has: for a program that stays. */
export const startConfinedNow = (program: Program): Process => startHere(orderFor(program));

function orderFor(program: Program): Order {
  const { file, args, cwd, env, limits, view, asNobody, hasChannel = false, maker = bestMaker() } = program;
  const isOther = asNobody === true && process.getuid?.() === 0;
  const identity = isOther ? words(`--reuid ${nobody} --regid ${nobody} --clear-groups`) : [];
  // A sandbox ends with this process by itself.
  const ends = asNobody && !view ? words('--pdeathsig KILL') : [];
  const before = identity.length + ends.length > 0 ? [findProgram('setpriv'), ...identity, ...ends] : [];
  const limiter = findProgram('prlimit');
  const limited = [limiter, ...limitFlags(limits), '--', file, ...args];
  if (!view) {
    const [first = limiter, ...rest] = [...before, ...limited];
    return { file: first, args: rest, cwd, env, inputs: [], hasChannel };
  }
  const filter = systemCallFilter(view.network);
  if (!filter) throw noSandbox(`on ${process.arch}`, 'It is made for x64 and arm64.');
  const keepsRoot = !isOther && isPrivileged();
  const { start, own } = making(maker, keepsRoot);
  const [first = '', ...rest] = [...before, ...start, ...limited];
  const seen = viewFlags(view, filesOf(limiter), keepsRoot);
  const flags = [...own, ...seen, '--chdir', cwd, ...variableFlags(env), ''];
  // Its own environment is empty: the first process inside keeps it, for everyone there to read.
  const inputs = [Buffer.from(flags.join('\0')), filter];
  return { file: first, args: rest, cwd: '/', env: {}, inputs, hasChannel };
}

/** The one that worked last, or the first that is there. */
let working: Maker | undefined;

const bestMaker = (): Maker => working ?? makers.find((name) => pathOf(name) !== undefined) ?? makers[0];

/** How each begins, up to the program and its limits, and the flags that are its alone. */
function making(
  maker: Maker,
  keepsRoot: boolean,
): { readonly start: readonly string[]; readonly own: readonly string[] } {
  if (maker === 'bwrap') {
    const own = words('--unshare-pid --unshare-ipc --die-with-parent --seccomp 4 --cap-drop ALL');
    return {
      start: [findProgram('bwrap'), '--args', '3', '--'],
      own: keepsRoot ? own : [...own, '--unshare-user'],
    };
  }
  const namespaces = '--mount --pid --ipc --fork --kill-child=KILL --propagation private';
  const start = [
    findProgram('setpriv'),
    ...words('--pdeathsig KILL'),
    findProgram('unshare'),
    ...words(keepsRoot ? namespaces : `${namespaces} --user --map-current-user --keep-caps`),
    '--',
    findProgram('perl'),
    '-e',
    makerScript(),
    process.arch,
  ];
  return { start, own: [] };
}

let script: string | undefined;

function makerScript(): string {
  return (script ??= readFileSync(fileURLToPath(new URL('sandbox-maker.pl', import.meta.url)), 'utf8'));
}

function limitFlags({ memoryBytes, cpuSeconds, processes, fileBytes, openFiles }: KernelLimits): string[] {
  return [
    '--core=0',
    ...(openFiles === undefined ? [] : kernelRecords),
    ...(memoryBytes === undefined ? [] : [`--data=${memoryBytes}`]),
    ...(cpuSeconds === undefined ? [] : [`--cpu=${cpuSeconds}:${cpuSeconds + 1}`]),
    ...(processes === undefined ? [] : [`--nproc=${processes}`]),
    ...(fileBytes === undefined ? [] : [`--fsize=${fileBytes}`]),
    ...(openFiles === undefined ? [] : [`--nofile=${openFiles}:${openFiles + keptFiles}`]),
  ];
}

/** A program may keep so many beyond, where code that it runs closes nothing by chance. */
const keptFiles = 16;
/** Timers, signals that wait, queues: the kernel keeps them in memory that is nobody's. */
const kernelRecords = ['--sigpending=512', '--msgqueue=0'];

const variableFlags = (env: Readonly<Record<string, string>>) =>
  Object.entries(env).flatMap(([name, value]) => ['--setenv', name, value]);

function viewFlags(view: View, limiter: Pick<View, 'mounts' | 'links'>, keepsRoot: boolean): string[] {
  const mounts = outerFirst([...limiter.mounts, ...view.mounts]);
  const links = [...limiter.links, ...view.links].filter(
    ([path]) => !mounts.some((mount) => contains(mount.path, path)),
  );
  return [
    ...(keepsRoot ? words('--cap-add CAP_DAC_OVERRIDE --cap-add CAP_FOWNER') : []),
    ...mounts.flatMap(({ path, writable }) => [writable ? '--bind' : '--ro-bind', path, path]),
    ...[...new Map(links)].flatMap(([path, target]) => ['--symlink', target, path]),
    ...devices.flatMap((path) => ['--dev-bind', path, path]),
    ...(view.scratch ?? []).flatMap(({ path, sizeBytes }) => ['--size', String(sizeBytes), '--tmpfs', path]),
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
  const found = pathOf(name);
  if (found !== undefined) return found;
  throw noSandbox(`without ${name}`, `The operator installs it: apt-get install ${packages[name]}.`);
}

export const pathOf = (name: string): string | undefined =>
  programFolders.map((folder) => join(folder, name)).find((path) => existsSync(path));

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
  requireBinary(program);
  return learn(program, execFileSync(program, loaderAlone));
}

/** The same, without holding the loop until the loader has said what it needs. */
async function learnFilesOf(program: string): Promise<Pick<View, 'mounts' | 'links'>> {
  const known = views.get(program);
  if (known) return known;
  requireBinary(program);
  const { stdout } = await promisify(execFile)(program, loaderAlone);
  return learn(program, stdout);
}

/** The loader itself says which libraries it takes. */
const loaderAlone = { env: { LD_TRACE_LOADED_OBJECTS: '1' }, encoding: 'utf8' as const };

function learn(program: string, said: string): Pick<View, 'mounts' | 'links'> {
  const own = viewOf([program, '/etc/ld.so.cache']);
  const libraries = viewOf([...said.matchAll(/(?:^|\s)(\/\S+) \(0x/g)].map(([, path = '']) => path));
  // Their folders, since every mount costs time; there are no programs in them.
  const folders = [...new Set(libraries.mounts.map(({ path }) => dirname(path)))];
  const view = {
    mounts: [...own.mounts, ...folders.map((path) => ({ path, writable: false }))],
    links: new Map([...own.links, ...libraries.links]),
  };
  views.set(program, view);
  return view;
}

function requireBinary(program: string): void {
  if (isBinary(program)) return;
  throw noSandbox(`for ${program}`, 'It is a script: a sandbox takes programs alone.');
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

/** Programs and libraries of the host, and nothing that says whose it is. */
export const programsAlone = words('/usr /bin /sbin /lib /lib32 /lib64 /etc/ld.so.cache /etc/alternatives');

/** What most programs of a host need to work: its programs and libraries, and what says how to reach others. */
export function hostPrograms(): Pick<View, 'mounts' | 'links'> {
  return viewOf([...programsAlone, ...settings.map((name) => join('/etc', name))]);
}

const settings = words(
  `passwd group nsswitch.conf resolv.conf hosts host.conf gai.conf ssl pki ca-certificates ssh/ssh_config
   ssh/ssh_config.d ssh/ssh_known_hosts`,
);

function words(text: string): string[] {
  return text.split(/\s+/);
}

/** Why no sandbox can be made here, and what helps; `undefined` where one can. */
export async function whyNoSandbox(
  how: Pick<Program, 'maker' | 'asNobody'> = {},
): Promise<string | undefined> {
  if (how.maker !== undefined) return whyNoneBy(how.maker, how);
  const reasons: string[] = [];
  for (const maker of makers) {
    const reason = await whyNoneBy(maker, how);
    if (reason === undefined) {
      working = maker;
      return undefined;
    }
    reasons.push(reason);
  }
  // What the first one lacks is what helps; the others are there for want of it.
  return reasons[0];
}

async function whyNoneBy(maker: Maker, how: Pick<Program, 'asNobody'>): Promise<string | undefined> {
  try {
    const file = findProgram('prlimit');
    const limits = { memoryBytes: 100_000_000, cpuSeconds: 10 };
    const view = { ...(await learnFilesOf(file)), network: false };
    const program = { file, args: ['--version'], cwd: '/', env: {}, limits, view };
    const child = await startConfined({ ...program, ...how, maker });
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

let mayBind: boolean | undefined;

/**
 * What stands before a program that the kernel is to end with this process, however that ends. Nothing where setpriv is missing, or may not do
 * what it does besides: in our units, where systemd ends all of a unit.
 */
export function endingWithUs(signal: 'INT' | 'TERM' | 'KILL'): readonly string[] {
  const setpriv = pathOf('setpriv');
  if (setpriv === undefined) return [];
  const before = [setpriv, '--pdeathsig', signal, '--'];
  mayBind ??= spawnSync(setpriv, [...before.slice(1), setpriv, '--version']).status === 0;
  return mayBind ? before : [];
}
