/**
 * Runs a program where its mounts are its own: in namespaces of its own for mounts and processes. When the program ends,
 * however it ends, the kernel ends its processes, undoes its mounts and frees its loop devices.
 */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

import { kernelForbids } from '../support/reporter.ts';
import { temporaryFolder } from '../support/serve.ts';

/** Runs a program of this folder to its end; its first argument is an empty folder for its disk. @returns its lines of JSON. */
export async function inOwnMounts<Line>(
  program: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<Line[]> {
  using folder = temporaryFolder();
  const namespaces = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const script = fileURLToPath(new URL(program, import.meta.url));
  const child = spawn('unshare', [...namespaces, process.execPath, script, folder.path, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    signal,
    killSignal: 'SIGKILL',
  });
  const ended = new Promise<number | null>((done, fail) => {
    child.once('close', done);
    child.once('error', fail);
  });
  const [code, said, words] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${words.trim()}`);
  return said
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
}

/** Why this host has no disk for such programs, as a reason to skip; `undefined` where it has. */
export async function disksRefused(): Promise<string | undefined> {
  try {
    await inOwnMounts('try-disk.ts', [], AbortSignal.timeout(10_000));
    return undefined;
  } catch (error) {
    const reason = String(error).replaceAll(/\s+/g, ' ').slice(0, 300);
    // A program that is missing can be installed.
    return /ENOENT|not found/.test(reason) ? reason : `${kernelForbids}${reason}`;
  }
}

/** What a program tells. */
export function tell(line: unknown): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** For the programs: nobody waits for them any more when their standard input ends. */
export function endWithParent(): void {
  process.stdin.on('end', () => process.exit(1)).resume();
}
