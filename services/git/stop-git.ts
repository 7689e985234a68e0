/**
 * Stops a git so that it leaves no lock file behind. Git removes its locks when it is told to end, but for the instant
 * between making its first one and being ready for that; so it is halted, looked at, and told in another instant.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

/** To a process group; nothing when it has ended. */
export function signalGroup(group: number, name: NodeJS.Signals): void {
  try {
    process.kill(-group, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

export async function stopGit(group: number): Promise<void> {
  for (;;) {
    signalGroup(group, 'SIGSTOP');
    while (membersOf(group).some(isRunning)) await setTimeout(1);
    if (!membersOf(group).some(isMakingLock)) break;
    signalGroup(group, 'SIGCONT');
    await setTimeout(1);
  }
  signalGroup(group, 'SIGTERM');
  signalGroup(group, 'SIGCONT');
}

/** The process that leads the group, and those that it started. */
function membersOf(pid: number): number[] {
  const children = read(`/proc/${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number);
  return [pid, ...children.flatMap(membersOf)];
}

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // It has ended, or this host does not show it: then it is stopped as it is.
    return '';
  }
};

const isRunning = (pid: number) => /^State:\s+[RSD]/m.test(read(`/proc/${pid}/status`));

/** Holds a lock, and would end without a word at SIGTERM, which is number 15. */
function isMakingLock(pid: number): boolean {
  const [, caught] = /^SigCgt:\s+([0-9a-f]+)$/m.exec(read(`/proc/${pid}/status`)) ?? [];
  if (caught === undefined || ((BigInt(`0x${caught}`) >> 14n) & 1n) === 1n) return false;
  try {
    const folder = `/proc/${pid}/fd`;
    return readdirSync(folder).some((fd) => readlinkSync(`${folder}/${fd}`).endsWith('.lock'));
  } catch {
    return false;
  }
}
