/**
 * Runs programs that nobody has looked at, at a level of isolation and within limits, and says what they used: the one way
 * for all who do that. The sandbox itself is made in `sandbox.ts`.
 */
import { once } from 'node:events';
import { lstatSync, readdirSync, readFileSync, readlinkSync, statfsSync, type Stats } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

import { contains } from './roots.ts';
import { startConfined, type Confined, type KernelLimits, type Maker, type View } from './sandbox.ts';

/**
 * `none`: a process with an environment of its own. `basic`: with limits too. `sandbox`: with nothing of the host but what
 * it is given. What is asked for is what there is: nothing falls back to less.
 */
export const levels = ['none', 'basic', 'sandbox'] as const;
export type Level = (typeof levels)[number];

/**
 * What happens to a program that passes a limit. `hard`: the kernel refuses it more where it can, and otherwise it is ended
 * at once. `soft`: it is interrupted, and ended when it goes on. `warn`: it goes on, and it is reported.
 */
export const policies = ['hard', 'soft', 'warn'] as const;
export type Policy = (typeof policies)[number];

interface Limit {
  readonly most: number;
  readonly policy: Policy;
}

/** Of the program and all that it starts, together. */
export interface Limits {
  readonly memoryBytes?: Limit;
  readonly cpuSeconds?: Limit;
  /** Threads included. */
  readonly processes?: Limit;
  /** What it prints. With `warn`, whoever reads it keeps what there is room for. */
  readonly outputBytes?: Limit;
  /** Files in its folder. */
  readonly diskBytes?: Limit;
}

export type Usage = Readonly<Record<keyof Limits, number>>;

export interface Violation extends Limit {
  readonly limit: keyof Limits;
  readonly seen: number;
}

export interface Surroundings {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** What it sees at the level `sandbox`. */
  readonly view: Pick<View, 'mounts' | 'links'>;
  /** Its folder: at the level `sandbox` one of its own in memory, otherwise one that is there. */
  readonly folder?: string;
  readonly hasChannel?: true;
  /** For tests. */
  readonly maker?: Maker | undefined;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** What was used from the start of a watch on, and which limits were passed. */
export interface Account {
  readonly usage: Usage;
  readonly violations: readonly Violation[];
}

export interface Launched {
  readonly child: Confined;
  readonly ended: Promise<Exit>;
  /** Holds it to its limits from here on, until the account is taken. */
  readonly watch: () => { readonly account: () => Account };
  /** To the program alone. */
  readonly tell: (signal: NodeJS.Signals) => void;
  /** What it used when it was last looked at. */
  readonly seen: () => Usage;
  /** It stands still, with all its threads, and the processes that it started are ended. @returns how many, if that could be done. */
  readonly rest: () => Promise<{ readonly ended: number } | undefined>;
  readonly goOn: () => void;
  /** It leaves the processors to others first, from now on: without privileges there is no way back. */
  readonly easeOff: () => void;
  /** All of it, at once. */
  readonly end: () => void;
}

/** A limit is seen to be passed, and acted on, within twice this time. */
const lookEveryMs = 40;
/** A look takes half a millisecond: however many programs there are, the loop does mostly other things. */
const lookShareMs = 4;
/** A look at many processes takes longer: then so many times as long passes without one. */
const lookRest = 3;
let watches = 0;
/** From the interruption of a program that passed a soft limit to its end. */
export const graceMs = 2_000;
/** Between two readings of what is too much anyway: whoever prints without end does not have the loop for it. */
const pauseMs = 5;
const openFiles = 256;
/** What a name in a folder takes of the kernel's memory, also where the file is empty. */
const nameBytes = 1_024;
/** What a file takes on a disk at least: so a walk meets few of them before it is too much. */
const blockBytes = 4_096;
const looksPerWalk = 5;
/** What a limit that the kernel keeps can be seen to be passed by: it counts otherwise. */
const tolerance = 1.1;

/** @throws ToolError `unavailable` where the level cannot be had. */
export async function launch(
  level: Level,
  argv: readonly [string, ...string[]],
  limits: Limits,
  around: Surroundings,
): Promise<Launched> {
  const [file, ...args] = argv;
  const { cwd, env, view, folder, hasChannel, maker } = around;
  const isInside = level === 'sandbox';
  const scratch = [
    ...(folder === undefined ? [] : [{ path: folder, sizeBytes: roomOf(limits.diskBytes) }]),
    ...(limits.memoryBytes && hasShared(view)
      ? [{ path: sharedMemory, sizeBytes: roomOf(limits.memoryBytes) }]
      : []),
  ];
  const child = await startConfined({
    file,
    args,
    cwd,
    env,
    limits: level === 'none' ? {} : kernelLimits(limits, isInside),
    view: isInside ? { ...view, scratch, network: false } : undefined,
    ...(level !== 'none' && { asNobody: true }),
    ...(hasChannel && { hasChannel }),
    ...(maker && { maker }),
  });
  const ended = exitOf(child);
  const inside = processesOf(child, isInside);
  const watching = new Set<() => void>();
  void ended.then(() => watching.forEach((finish) => finish()));
  let outputBytes = 0;
  let isTooMuch = false;
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      outputBytes += chunk.length;
      if (!isTooMuch) return;
      stream.pause();
      setTimeout(() => stream.resume(), pauseMs);
    });
  }

  const end = () => {
    inside.all().forEach((pid) => send(pid, 'SIGKILL'));
    if (child.pid !== undefined) send(-child.pid, 'SIGKILL');
  };
  const tell = (signal: NodeJS.Signals) => {
    const pid = inside.program();
    if (pid !== undefined) send(pid, signal);
  };

  const time = openLedger(inside);
  let looks = 0;
  let diskBytes = 0;
  let seen: Usage = mapUsage(() => 0);
  /** A folder of the host has to be walked through, which takes time: it is looked at less often. */
  function diskNow(): number {
    if (folder === undefined) return 0;
    if (isInside) return scratchBytes(folder, inside.program());
    if (looks % looksPerWalk === 0) diskBytes = folderBytes(folder, limits.diskBytes?.most ?? 0);
    looks += 1;
    return diskBytes;
  }

  function used(): Usage {
    const pids = inside.all();
    const states = time.look(pids);
    const sharedBytes = isInside ? scratchBytes(sharedMemory, inside.program()) : undefined;
    return (seen = {
      memoryBytes: memoryOf(pids, sharedBytes, limits.memoryBytes?.most ?? Infinity),
      cpuSeconds: time.seconds(),
      processes: sumOf(states.map(({ threads }) => threads)),
      outputBytes,
      diskBytes: diskNow(),
    });
  }

  function watch() {
    const before = used();
    isTooMuch = false;
    let peak: Usage = { ...before, cpuSeconds: 0, outputBytes: 0 };
    const violations: Violation[] = [];
    let grace: NodeJS.Timeout | undefined;
    let isOver = false;
    const act = (violation: Violation) => {
      // What was over before it was seen did no harm.
      if (isOver && violation.policy !== 'warn') return;
      violations.push(violation);
      if (violation.limit === 'outputBytes') isTooMuch = true;
      if (violation.policy === 'hard') end();
      if (violation.policy !== 'soft') return;
      tell('SIGINT');
      grace ??= setTimeout(end, graceMs);
    };
    const look = () => {
      const now = used();
      const since = {
        ...now,
        cpuSeconds: Math.max(0, now.cpuSeconds - before.cpuSeconds),
        outputBytes: now.outputBytes - before.outputBytes,
      };
      peak = mapUsage((name) => Math.max(peak[name], since[name]));
      if (level === 'none') return;
      for (const [name, limit] of Object.entries(limits) as [keyof Limits, Limit][]) {
        const isRefused = limit.policy === 'hard' && refusedByKernel(name, isInside);
        const most = isRefused ? tolerance * limit.most : limit.most;
        const isKnown = violations.some((violation) => violation.limit === name);
        if (since[name] > most && !isKnown) act({ limit: name, ...limit, seen: since[name] });
      }
    };
    let looking: NodeJS.Timeout | undefined;
    const lookOn = (tookMs = 0) => {
      looking = setTimeout(
        () => {
          const startedAtMs = performance.now();
          look();
          lookOn(performance.now() - startedAtMs);
        },
        Math.max(lookEveryMs, watches * lookShareMs, lookRest * tookMs),
      );
    };
    const finish = () => {
      clearTimeout(looking);
      if (!isOver) watches -= 1;
      isOver = true;
      watching.delete(finish);
    };
    watches += 1;
    watching.add(finish);
    lookOn();
    return {
      account() {
        finish();
        clearTimeout(grace);
        look();
        // How far it went in the end.
        return {
          usage: peak,
          violations: violations.map((one) => ({ ...one, seen: Math.max(one.seen, peak[one.limit]) })),
        };
      },
    };
  }

  return {
    child,
    ended,
    watch,
    tell,
    seen: () => seen,
    async rest() {
      let ended = 0;
      tell('SIGSTOP');
      for (let round = 0; round < restRounds; round += 1) {
        const others = inside.others().filter((pid) => stateOf(pid).isThere);
        const pid = inside.program();
        if (pid === undefined) return undefined;
        if (others.length === 0 && stateOf(pid).isStopped) {
          used();
          return { ended };
        }
        ended = Math.max(ended, others.length);
        for (const other of others) send(other, 'SIGKILL');
        await wait(1);
      }
      return undefined;
    },
    goOn: () => tell('SIGCONT'),
    easeOff() {
      for (const thread of inside.all().flatMap((pid) => namesIn(`/proc/${pid}/task`))) {
        try {
          setPriority(Number(thread), constants.priority.PRIORITY_LOW);
        } catch {
          // It has ended, or the host forbids it.
        }
      }
    },
    end,
  };
}

/** A millisecond each. */
const restRounds = 200;

export interface Outcome extends Account {
  readonly exit: Exit;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. @throws the reason of `signal`; ToolError `unavailable` where the level cannot be had. */
export async function run(
  level: Level,
  argv: readonly [string, ...string[]],
  limits: Limits,
  { signal, ...around }: Surroundings & { readonly signal?: AbortSignal },
): Promise<Outcome> {
  signal?.throwIfAborted();
  const { child, ended, watch, end } = await launch(level, argv, limits, around);
  const watching = watch();
  child.stdin.on('error', () => {});
  child.stdin.end();
  const most = limits.outputBytes?.most ?? Infinity;
  const [stdout, stderr] = [child.stdout, child.stderr].map((stream) => {
    const taken: Buffer[] = [];
    let room = most;
    stream.on('data', (chunk: Buffer) => {
      if (room > 0) taken.push(chunk.subarray(0, room));
      room -= chunk.length;
    });
    return () => Buffer.concat(taken).toString();
  }) as [() => string, () => string];
  signal?.addEventListener('abort', end, { once: true });
  // It may have been while the program was started.
  if (signal?.aborted) end();
  try {
    const exit = await ended;
    signal?.throwIfAborted();
    return { exit, ...watching.account(), stdout: stdout(), stderr: stderr() };
  } finally {
    watching.account();
    signal?.removeEventListener('abort', end);
  }
}

async function exitOf(child: Confined): Promise<Exit> {
  const closed = once(child, 'close').catch(() => []);
  try {
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
    // Without a sandbox, a process that it left behind may hold them open.
    await Promise.race([closed, wait(drainMs)]);
    for (const stream of child.stdio) stream?.destroy();
    return { code, signal };
  } catch {
    // It could not be started, which whoever reads its output sees as well.
    return { code: null, signal: null };
  }
}

/** From the end of a program to that of its output. */
const drainMs = 1_000;

function kernelLimits(limits: Limits, isInside: boolean): KernelLimits {
  const hard = (name: keyof Limits) => (limits[name]?.policy === 'hard' ? limits[name].most : undefined);
  const memoryBytes = hard('memoryBytes');
  const processes = isInside ? hard('processes') : undefined;
  // In the sandbox the sizes of its folders hold it, of which one may be larger than the other.
  const fileBytes = isInside ? undefined : hard('diskBytes');
  return {
    openFiles,
    ...(memoryBytes !== undefined && { memoryBytes }),
    ...(processes !== undefined && { processes }),
    ...(fileBytes !== undefined && { fileBytes }),
  };
}

/** Twice what it may use where it is not the kernel that says no. */
const roomOf = (limit: Limit | undefined) => (limit?.policy === 'hard' ? 1 : 2) * (limit?.most ?? 0);

/** Memory that processes share has files here, and is nowhere else: so the kernel bounds it, and all of it can be counted. */
const sharedMemory = '/dev/shm';

/** Unless there is something of the host. */
const hasShared = ({ mounts }: Surroundings['view']) =>
  !mounts.some(({ path }) => contains(sharedMemory, path));

/** Outside the sandbox, the kernel counts the processes of the user, and knows no folder. */
const refusedByKernel = (limit: keyof Limits, isInside: boolean) =>
  isInside && (limit === 'processes' || limit === 'diskBytes');

const mapUsage = (value: (name: keyof Limits) => number): Usage => ({
  memoryBytes: value('memoryBytes'),
  cpuSeconds: value('cpuSeconds'),
  processes: value('processes'),
  outputBytes: value('outputBytes'),
  diskBytes: value('diskBytes'),
});

const sumOf = (numbers: readonly number[]) => numbers.reduce((sum, each) => sum + each, 0);

/**
 * The processes of a launch. In the sandbox they are below its first process, whoever started them. Without one, a process
 * whose parent has ended is found no more by its parents, so those that were seen are remembered.
 */
function processesOf({ pid }: Confined, isInside: boolean) {
  const seen = new Map<number, string>();
  let known: number | undefined;

  function program(): number | undefined {
    if (!isInside) return pid;
    if (known === undefined && pid !== undefined) {
      const [init] = childrenOf(pid);
      known = init === undefined ? undefined : childrenOf(init)[0];
    }
    return known;
  }

  function others(): number[] {
    if (pid === undefined) return [];
    const own = program();
    if (isInside) {
      const [init] = childrenOf(pid);
      return init === undefined ? [] : below(init).filter((one) => one !== own);
    }
    for (const one of below(pid)) seen.set(one, stateOf(one).startedAt);
    for (const [one, startedAt] of seen) {
      if (stateOf(one).startedAt !== startedAt) seen.delete(one);
      else for (const child of below(one)) seen.set(child, stateOf(child).startedAt);
    }
    return [...seen.keys()].filter((one) => one !== pid);
  }

  return {
    program,
    others,
    first: (): number[] => (isInside && pid !== undefined ? childrenOf(pid).slice(0, 1) : []),
    all: (): number[] => {
      const own = program();
      return own === undefined ? others() : [own, ...others()];
    },
  };
}

const below = (pid: number): number[] => childrenOf(pid).flatMap((child) => [child, ...below(child)]);

/** Each thread has the children that it started. */
const childrenOf = (pid: number): number[] =>
  namesIn(`/proc/${pid}/task`).flatMap((task) =>
    contentsOf(`/proc/${pid}/task/${task}/children`).split(' ').filter(Boolean).map(Number),
  );

interface ProcessState {
  readonly isThere: boolean;
  readonly isStopped: boolean;
  readonly parent: number;
  /** With that of its children that have ended and that it has asked for. */
  readonly cpuSeconds: number;
  readonly childSeconds: number;
  readonly threads: number;
  readonly startedAt: string;
}

const ticksPerSecond = 100;

function stateOf(pid: number): ProcessState {
  const line = contentsOf(`/proc/${pid}/stat`);
  // The name before it may hold anything.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  const number = (index: number) => Number(fields[index] ?? 0);
  const state = fields[0] ?? '';
  return {
    isThere: state !== '' && state !== 'Z' && state !== 'X',
    isStopped: state === 'T' || state === 't',
    parent: number(1),
    cpuSeconds: (number(11) + number(12) + number(13) + number(14)) / ticksPerSecond,
    childSeconds: (number(13) + number(14)) / ticksPerSecond,
    threads: state === 'Z' ? 0 : number(17),
    startedAt: fields[19] ?? '',
  };
}

/**
 * Of all processes together. When one has ended its parent takes over its time, unless it has told the kernel that it does not
 * care (`SIGCHLD` ignored): so what was seen of a process, and is not with an ancestor afterwards, is kept.
 */
function openLedger({ first }: Pick<ReturnType<typeof processesOf>, 'first'>) {
  let known = new Map<number, ProcessState>();
  let lostSeconds = 0;

  /** @returns 0 where none is left, but for the first process of the sandbox. */
  function heirOf(
    { parent }: ProcessState,
    now: ReadonlyMap<number, ProcessState>,
    [init = 0]: readonly number[],
  ): number {
    let pid: number | undefined = parent;
    for (let steps = 0; pid !== undefined && steps < known.size; steps += 1) {
      const before = known.get(pid);
      if (before && now.get(pid)?.startedAt === before.startedAt) return pid;
      pid = before?.parent;
    }
    return init;
  }

  return {
    /** @returns what is there of these. */
    look(pids: readonly number[]): ProcessState[] {
      const roots = first();
      const shown = new Map(pids.map((pid) => [pid, stateOf(pid)]));
      const now = new Map(shown);
      // The first process of the sandbox counts too: it has the time of those whose parents have ended. A list of children can leave one out.
      for (const pid of [...roots, ...known.keys()]) if (!now.has(pid)) now.set(pid, stateOf(pid));
      const owed = new Map<number, number>();
      for (const [pid, before] of known) {
        if (now.get(pid)?.startedAt === before.startedAt) continue;
        const heir = heirOf(before, now, roots);
        owed.set(heir, (owed.get(heir) ?? 0) + before.cpuSeconds);
      }
      for (const [heir, seconds] of owed) {
        const grown = (now.get(heir)?.childSeconds ?? 0) - (known.get(heir)?.childSeconds ?? 0);
        lostSeconds += Math.max(0, seconds - grown);
      }
      for (const [pid, { startedAt }] of now) if (startedAt === '') now.delete(pid);
      known = now;
      return [...shown.values()];
    },
    seconds: (): number => lostSeconds + sumOf([...known.values()].map(({ cpuSeconds }) => cpuSeconds)),
  };
}

/**
 * Memory of processes, with the tables of it, and with what the kernel may hold for them in pipes and sockets.
 * What several share counts for each, and buffers count as full, unless that would be too much: then it is looked at closely,
 * which takes longer.
 *
 * @param sharedBytes where it is known from elsewhere what they share.
 */
function memoryOf(pids: readonly number[], sharedBytes: number | undefined, most: number): number {
  const isKnown = sharedBytes !== undefined;
  const form = isKnown ? /^(?:RssAnon|VmSwap):\s+(\d+)/gm : /^(?:RssAnon|RssShmem|VmSwap):\s+(\d+)/gm;
  const statuses = pids.map((pid) => contentsOf(`/proc/${pid}/status`));
  const fixed =
    (sharedBytes ?? 0) + sumOf(statuses.map((status) => kilobytesIn(status, /^VmPTE:\s+(\d+)/gm)));
  let pages = sumOf(statuses.map((status) => kilobytesIn(status, form)));
  if (fixed + pages > most && pids.length > 1) {
    const shares = isKnown
      ? /^(?:Pss_Anon|SwapPss):\s+(\d+)/gm
      : /^(?:Pss_Anon|Pss_Shmem|SwapPss):\s+(\d+)/gm;
    pages = sumOf(pids.map((pid) => kilobytesIn(contentsOf(`/proc/${pid}/smaps_rollup`), shares))) || pages;
  }
  const sum = fixed + pages;
  const mostBuffers = sumOf(pids.map((pid) => openFilesOf(pid))) * socketBytes;
  return sum + mostBuffers > most ? sum + bufferBytes(pids) : sum;
}

/** What waits in one at most: of what is sent into a socket, `net.core.wmem_default` and a piece; of a pipe, its pages. */
const socketBytes = 262_144;
const pipeBytes = 65_536;
/** Of open files, which take some 5 µs each. */
const mostLookedAt = 2_000;

/** Their number is the folder's size, from Linux 6.2 on. */
function openFilesOf(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  return stateAt(folder)?.size || namesIn(folder).length;
}

function bufferBytes(pids: readonly number[]): number {
  const open = pids.flatMap((pid) => namesIn(`/proc/${pid}/fd`).map((fd) => `/proc/${pid}/fd/${fd}`));
  const buffers = new Set(open.slice(0, mostLookedAt).map(targetOf));
  const sizes = [...buffers].map((target) =>
    target.startsWith('socket:') ? socketBytes : target.startsWith('pipe:') ? pipeBytes : 0,
  );
  return sumOf(sizes) + Math.max(0, open.length - mostLookedAt) * socketBytes;
}

const kilobytesIn = (text: string, form: RegExp) =>
  sumOf([...text.matchAll(form)].map(([, count]) => 1024 * Number(count)));

/** @param pid of the program that has it in memory. */
function scratchBytes(folder: string, pid: number | undefined): number {
  try {
    const { blocks, bfree, bsize, files, ffree } = statfsSync(`/proc/${pid}/root${folder}`);
    return Math.max((blocks - bfree) * bsize, (files - ffree) * nameBytes);
  } catch {
    return 0;
  }
}

/** Looks no further when it is more than the most. */
function folderBytes(folder: string, most: number): number {
  let bytes = 0;
  const folders = [folder];
  for (let next = folders.pop(); next !== undefined && bytes <= most; next = folders.pop()) {
    for (const name of namesIn(next)) {
      const path = join(next, name);
      const state = stateAt(path);
      if (state?.isDirectory()) folders.push(path);
      bytes += Math.max((state?.blocks ?? 0) * 512, blockBytes);
    }
  }
  return bytes;
}

/** What a program takes away meanwhile is not there. */
function contentsOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function stateAt(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch {
    return undefined;
  }
}

function targetOf(link: string): string {
  try {
    return readlinkSync(link);
  } catch {
    return '';
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended.
  }
}
