/** npm does not tell what it started that it was killed: whoever runs under it looks for itself. */
import { readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

const lookMs = 500;

/** Calls `ended` once when npm, which started this process, is no longer there. Does nothing for a process of anybody else. */
export function watchNpm(ended: () => void, environment: NodeJS.ProcessEnv = process.env): void {
  if (environment['npm_lifecycle_event'] === undefined) return;
  // Some shells stay between npm and what it runs.
  const watched = [process.ppid];
  if (isShell(process.ppid)) watched.push(parentOf(process.ppid) ?? process.ppid);
  const timer = setInterval(() => {
    if (watched[0] === process.ppid && watched.slice(1).every((pid) => parentOf(process.ppid) === pid))
      return;
    clearInterval(timer);
    ended();
  }, lookMs);
  timer.unref();
}

function isShell(pid: number): boolean {
  try {
    return /^(ba|da|k|z)?sh$/.test(basename(readlinkSync(`/proc/${pid}/exe`)));
  } catch {
    return false;
  }
}

/** The fourth field; the second is a name in brackets, which may hold anything. */
function parentOf(pid: number): number | undefined {
  try {
    return Number(
      readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ')[1],
    );
  } catch {
    return undefined;
  }
}
