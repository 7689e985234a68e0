/** The only place where git is started: no shell, an environment of our own, bounded output, and an end when the call ends. */
import { spawn } from 'node:child_process';

import { ToolError } from '#runtime/errors.ts';

import { killAfterMs, maxErrorBytes } from './limits.ts';
import { signalGroup, stopGit } from './stop-git.ts';

export interface Run {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly input?: string | Buffer | undefined;
  /** Bytes of the output that are passed over, and then taken; git is stopped when it has said more. */
  readonly skipBytes?: number;
  readonly takeBytes: number;
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
 * @throws the reason of `signal`; ToolError `unavailable` without a git.
 */
export async function runGit(args: readonly string[], run: Run): Promise<Finished> {
  run.signal.throwIfAborted();
  const child = spawn('git', args, {
    cwd: run.cwd,
    env: run.env,
    // A group of its own: what git starts is stopped with it.
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let killing: NodeJS.Timeout | undefined;
  const stop = () => {
    const { pid } = child;
    if (pid === undefined || killing) return;
    killing = setTimeout(() => signalGroup(pid, 'SIGKILL'), killAfterMs);
    void stopGit(pid);
  };

  const taken: Buffer[] = [];
  let toSkip = run.skipBytes ?? 0;
  let room = run.takeBytes;
  let isCut = false;
  child.stdout.on('data', (chunk: Buffer) => {
    const rest = chunk.subarray(Math.min(toSkip, chunk.length));
    toSkip -= chunk.length - rest.length;
    if (rest.length === 0 || isCut) return;
    taken.push(rest.subarray(0, room));
    isCut = rest.length > room;
    room -= Math.min(room, rest.length);
    if (isCut) stop();
  });
  const errors: Buffer[] = [];
  let errorRoom = maxErrorBytes;
  child.stderr.on('data', (chunk: Buffer) => {
    errors.push(chunk.subarray(0, errorRoom));
    errorRoom -= Math.min(errorRoom, chunk.length);
  });
  // Git may end before it has read everything, which its exit code tells better.
  child.stdin.on('error', () => {});
  child.stdin.end(run.input ?? '');

  run.signal.addEventListener('abort', stop, { once: true });
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    run.signal.throwIfAborted();
    return { code, output: Buffer.concat(taken), isCut, errors: Buffer.concat(errors).toString() };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new ToolError('unavailable', 'Git cannot be started here.', {
        hint: 'The operator installs it: apt-get install git. The folder of the call may also be gone.',
        cause: error,
      });
    }
    throw error;
  } finally {
    clearTimeout(killing);
    run.signal.removeEventListener('abort', stop);
  }
}
