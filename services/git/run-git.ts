/** The only place where git is started: no shell, an environment of our own, bounded output, and an end when the call ends. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';

import { ToolError } from '#runtime/errors.ts';
import type { Place } from '#runtime/precedence.ts';
import {
  filesOf,
  hostPrograms,
  programFolders,
  startConfined,
  viewOf,
  type Confined,
  type Mount,
  type View,
} from '#runtime/sandbox.ts';

import { ownFiles } from './environment.ts';
import { requireOwnEnd, tooMuchSaid } from './failures.ts';
import { easeOffSoonMs, killAfterMs, lookAfterMs, maxCpuSeconds, maxErrorBytes } from './limits.ts';
import type { ProgressReader } from './progress.ts';
import { easeOff, halt, signalGroup, stopGit, waitsForPipe } from './stop-git.ts';

/** How gits are started here, whatever they do. */
export interface Confinement {
  readonly isSandboxed: boolean;
  /** Of each git. */
  readonly memoryBytes: number;
}

/** What a git may see and reach beside itself; nothing unless it says more. */
export interface Sight {
  readonly mounts?: readonly Mount[];
  readonly links?: ReadonlyMap<string, string>;
  /** With the programs of the host and the network, if it is to speak to others. */
  readonly reach?: 'programs' | 'network' | undefined;
}

export interface Run {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly confinement: Confinement;
  readonly sight?: Sight;
  readonly input?: string | Buffer | undefined;
  /** Bytes of the output that are passed over, and then taken; git is stopped when it has said more. */
  readonly skipBytes?: number;
  readonly takeBytes: number;
  /** Gets what is taken, piece by piece; nothing is kept then. What it throws stops git. */
  readonly consume?: ((chunk: Buffer) => void) | undefined;
  /** Whether it leaves the processors to others first as soon as it has begun, not only when it works for long. */
  readonly easesOffSoon?: boolean;
  /** Among those that run at the same time. */
  readonly place?: Place;
  /** Takes what git says of its progress out of its errors. */
  readonly readProgress?: ProgressReader | undefined;
}

export interface Finished {
  /** `null` when git was stopped because enough was read. */
  readonly code: number | null;
  readonly output: Buffer;
  readonly isCut: boolean;
  readonly errors: string;
}

/**
 * Settles when git has ended, not before: whoever waits in line for the repository must not meet its locks.
 *
 * @throws the reason of `signal`; ToolError `unavailable` without a git, or where no sandbox can be made.
 */
export async function runGit(args: readonly string[], run: Run): Promise<Finished> {
  run.signal.throwIfAborted();
  const child = await start(args, run);
  const ended = once(child, 'close') as Promise<[code: number | null, signal: NodeJS.Signals | null]>;
  let killing: NodeJS.Timeout | undefined;
  const { pid } = child;
  const stop = () => {
    if (pid === undefined || killing) return;
    // It goes on to its end.
    run.place?.leave();
    killing = setTimeout(() => signalGroup(pid, 'SIGKILL'), killAfterMs);
    void stopGit(pid);
  };

  if (pid !== undefined) run.place?.begin((isHalted) => halt(pid, isHalted));

  let failed: { readonly error: unknown } | undefined;
  const easing = setTimeout(
    () => pid !== undefined && easeOff(pid),
    run.easesOffSoon ? easeOffSoonMs : lookAfterMs,
  );
  const looking = setInterval(() => {
    if (pid === undefined) return;
    run.place?.isLong();
    if (!waitsForPipe(pid)) return;
    failed ??= { error: waiting() };
    stop();
  }, lookAfterMs);

  const taken: Buffer[] = [];
  let toSkip = run.skipBytes ?? 0;
  let room = run.takeBytes;
  let isCut = false;
  child.stdout.on('data', (chunk: Buffer) => {
    const rest = chunk.subarray(Math.min(toSkip, chunk.length));
    toSkip -= chunk.length - rest.length;
    if (rest.length === 0 || isCut || failed) return;
    const fitting = rest.subarray(0, room);
    isCut = rest.length > room;
    room -= fitting.length;
    try {
      if (run.consume) run.consume(fitting);
      else taken.push(fitting);
    } catch (error) {
      failed = { error };
    }
    if (isCut || failed) stop();
  });
  const errors: Buffer[] = [];
  let errorRoom = maxErrorBytes;
  const note = (chunk: Buffer) => {
    errors.push(chunk.subarray(0, errorRoom));
    errorRoom -= Math.min(errorRoom, chunk.length);
  };
  child.stderr.on('data', (chunk: Buffer) => {
    note(run.readProgress ? Buffer.from(run.readProgress(chunk.toString('latin1')), 'latin1') : chunk);
  });
  // Git may end before it has read everything, which its exit code tells better.
  child.stdin.on('error', () => {});
  child.stdin.end(run.input ?? '');

  run.signal.addEventListener('abort', stop, { once: true });
  // It may have been while git was started.
  if (run.signal.aborted) stop();
  try {
    const [code, signal] = await ended;
    run.signal.throwIfAborted();
    if (failed) throw failed.error;
    if (run.readProgress) note(Buffer.from(run.readProgress('\n'), 'latin1'));
    const said = Buffer.concat(errors).toString();
    if (!isCut) requireOwnEnd(code, signal, said);
    return { code, output: Buffer.concat(taken), isCut, errors: said };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw noGit(error);
    if (code === 'E2BIG') throw tooMuchSaid();
    throw error;
  } finally {
    clearTimeout(easing);
    clearInterval(looking);
    clearTimeout(killing);
    run.signal.removeEventListener('abort', stop);
  }
}

const waiting = () =>
  new ToolError('forbidden', 'Git waits for a pipe in the working tree, and nobody writes to it.', {
    hint: 'Mostly it is named .gitignore or .gitattributes: its owner removes it.',
  });

async function start(args: readonly string[], { cwd, env, confinement, sight = {} }: Run): Promise<Confined> {
  const { isSandboxed, memoryBytes } = confinement;
  const git = gitOfHost();
  const view = isSandboxed ? viewFor(git, sight) : undefined;
  const limits = { memoryBytes, cpuSeconds: maxCpuSeconds };
  try {
    return await startConfined({ file: git.path, args, cwd, env, limits, view });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'E2BIG') throw tooMuchSaid();
    throw error;
  }
}

function viewFor(git: HostGit, { mounts = [], links = new Map(), reach }: Sight): View {
  const own = reach === undefined ? git.alone() : together(hostPrograms(), viewOf(ownFiles));
  return { ...together(own, { mounts, links }), network: reach === 'network' };
}

type Seen = Pick<View, 'mounts' | 'links'>;

const together = (one: Seen, other: Seen): Seen => ({
  mounts: [...one.mounts, ...other.mounts],
  links: new Map([...one.links, ...other.links]),
});

interface HostGit {
  readonly path: string;
  /** What it takes to run git, and nothing that git could start but git. */
  alone(): Seen;
}

let found: HostGit | undefined;

/** @throws ToolError `unavailable`. */
function gitOfHost(): HostGit {
  if (found && existsSync(found.path)) return found;
  const named = programFolders.map((folder) => join(folder, 'git')).find((path) => existsSync(path));
  if (named === undefined) throw noGit();
  const path = realpathSync(named);
  let own: Seen | undefined;
  const alone = () => {
    if (own) return own;
    const execPath = execFileSync(path, ['--exec-path'], { env: {}, encoding: 'utf8' }).trim();
    own = together(filesOf(path), viewOf([execPath, ...ownFiles]));
    return own;
  };
  found = { path, alone };
  return found;
}

const noGit = (cause?: unknown) =>
  new ToolError('unavailable', 'Git cannot be started here.', {
    hint: 'The operator installs it: apt-get install git. The folder of the call may also be gone.',
    cause,
  });
