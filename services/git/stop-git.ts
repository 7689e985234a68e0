/**
 * Stops a git so that it leaves no lock file behind. Git removes its locks when it is told to end, but for the instant
 * between making its first one and being ready for that; so it is halted, looked at, and told in another instant.
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { setTimeout } from 'node:timers/promises';

import { sandboxNames } from '#runtime/sandbox.ts';

/** To a process group; nothing when it has ended. */
export const signalGroup = (group: number, name: NodeJS.Signals): void => send(-group, name);

function send(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Tells all of a group but the sandbox around it, which would take them down before they have put their locks away. */
export async function stopGit(group: number): Promise<void> {
  for (let waitMs = 1; ; waitMs = Math.min(2 * waitMs, maxWaitMs)) {
    signalGroup(group, 'SIGSTOP');
    // A disk that does not answer keeps a process from halting.
    while (membersOf(group).some(isRunning)) {
      await setTimeout(waitMs);
      waitMs = Math.min(2 * waitMs, maxWaitMs);
    }
    if (!membersOf(group).some(isMakingLock)) break;
    signalGroup(group, 'SIGCONT');
    await setTimeout(waitMs);
  }
  const inside = membersOf(group).filter((pid) => !sandboxNames.has(read(`/proc/${pid}/comm`).trim()));
  // Where git has not begun, there is nothing to put away.
  if (inside.length === 0) signalGroup(group, 'SIGTERM');
  for (const pid of inside) send(pid, 'SIGTERM');
  signalGroup(group, 'SIGCONT');
}

/** From one look at a process to the next. */
const maxWaitMs = 100;

/** All of it stands still, or goes on. Where that is not allowed, as for a sandbox of another user, it just goes on. */
export function halt(group: number, isHalted: boolean): void {
  try {
    signalGroup(group, isHalted ? 'SIGSTOP' : 'SIGCONT');
  } catch {
    // As urgent as the others, then.
  }
}

/** Leaves the processors to others first: a git that works for long has taken its share. */
export function easeOff(group: number): void {
  for (const pid of membersOf(group)) {
    for (const thread of list(`/proc/${pid}/task`)) {
      try {
        setPriority(Number(thread), constants.priority.PRIORITY_LOW);
      } catch {
        // It has ended; or the host forbids it, and then it is as urgent as the others.
      }
    }
  }
}

/** Whether one of them opens a pipe that nobody writes to, which the kernel tells by the place where it sleeps. */
export const waitsForPipe = (group: number): boolean =>
  membersOf(group).some((pid) => read(`/proc/${pid}/wchan`) === 'wait_for_partner');

const list = (folder: string): string[] => {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
};

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

/** Between the moment when git is ready to remove its locks and that in which it knows of one there is another instant. */
const knownAfterMs = 20;

/** Holds a lock, and might end without a word at SIGTERM, which is number 15. */
function isMakingLock(pid: number): boolean {
  const [, caught] = /^SigCgt:\s+([0-9a-f]+)$/m.exec(read(`/proc/${pid}/status`)) ?? [];
  if (caught === undefined) return false;
  const isReady = ((BigInt(`0x${caught}`) >> 14n) & 1n) === 1n;
  try {
    const folder = `/proc/${pid}/fd`;
    const locks = readdirSync(folder).filter((fd) => readlinkSync(`${folder}/${fd}`).endsWith('.lock'));
    return locks.some(
      (fd) => !isReady || Date.now() - statSync(`${folder}/${fd}`).birthtimeMs < knownAfterMs,
    );
  } catch {
    return false;
  }
}
