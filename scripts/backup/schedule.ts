/**
 * The daily backup of a fleet in the foreground, made up for when its time was missed. Times are of the host's clock: where a
 * day has not the hour, it is made after it; where it has it twice, once.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { backupFolder } from '#runtime/data/backup-folder.ts';
import { isDue, readBackupState } from '#runtime/data/backup-state.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

const commandLine = fileURLToPath(new URL('../flotilla.ts', import.meta.url));

/** Proven backups older than this are not waited for until the next night. */
const oldAfterMs = 24 * 3_600_000;
/** The start of the fleet, and a first look at it, come first. */
const catchUpAfterMs = 60_000;
/** One that failed is tried once more. */
const againAfterMs = 3_600_000;
const lookAfterHours = 6;
/** The clock is looked at so often: it may be set, and the host may sleep. */
const lookEveryMs = 30_000;

export interface Schedule {
  /** Ends a backup that is being made. */
  stop(): Promise<void>;
}

/**
 * A backup is a process of its own, as a person would start it: it holds up nobody's calls. `told` hears how each went;
 * `failure` is `null` when it went well.
 */
export function scheduleBackups(
  environment: Environment,
  told: (failure: string | null) => void,
  { catchUpMs = catchUpAfterMs }: { readonly catchUpMs?: number } = {},
): Schedule {
  const host = parseHostSettings(environment);
  if (host.FLOTILLA_BACKUP_TIME === 'off') return { async stop() {} };

  const folder = backupFolder(host);
  let child: ChildProcess | undefined;
  let ended: Promise<void> = Promise.resolve();
  let again: NodeJS.Timeout | undefined;
  let isStopping = false;
  const run = (isSecond = false) => {
    if (child || isStopping) return;
    const running = spawn(process.execPath, [commandLine, 'backup', '--json'], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: environment,
      detached: true, // Ctrl-C is for the fleet, which ends it in its turn
    });
    child = running;
    let words = '';
    running.stderr?.on('data', (chunk: Buffer) => {
      words = `${words}${chunk.toString('utf8')}`.slice(-2_000);
    });
    ended = new Promise((done) => {
      running.once('error', (error) => {
        words ||= error.message;
      });
      running.once('close', (code) => {
        child = undefined;
        if (!isStopping) {
          told(code === 0 ? null : words.trim().replaceAll(/^flotilla: /gm, '') || `exit code ${code}`);
          if (code !== 0 && !isSecond) again = setTimeout(() => run(true), againAfterMs);
        }
        done();
      });
    });
  };
  const daily = everyDay(host.FLOTILLA_BACKUP_TIME, () => run());
  // As the second timer of a host does: it tells that there is none, also where none was tried.
  const look = everyDay(hoursLater(host.FLOTILLA_BACKUP_TIME, lookAfterHours), () => {
    const looking = spawn(process.execPath, [commandLine, 'backups', '--alert'], {
      stdio: 'ignore',
      env: environment,
    });
    looking.once('error', () => {}); // the state says what it would have found
  });
  const catchUp = setTimeout(() => {
    if (isDue(newestIn(folder), Date.now(), oldAfterMs)) run();
  }, catchUpMs);
  return {
    async stop() {
      isStopping = true;
      clearTimeout(catchUp);
      clearTimeout(again);
      daily[Symbol.dispose]();
      look[Symbol.dispose]();
      child?.kill('SIGTERM');
      await ended;
    },
  };
}

function hoursLater(time: string, hours: number): string {
  const [hour = 0, minute = 0] = time.split(':').map(Number);
  return `${(hour + hours) % 24}:${minute}`;
}

/** Calls `run` every day at this time of the host's clock. */
export function everyDay(time: string, run: () => void): Disposable {
  let nextMs = nextAt(time, Date.now());
  const timer = setInterval(() => {
    const nowMs = Date.now();
    const isTime = nowMs >= nextMs;
    // Also where the clock was set back: the day that it has come to has its own time.
    nextMs = isTime ? nextAt(time, nowMs) : Math.min(nextMs, nextAt(time, nowMs));
    if (isTime) run();
  }, lookEveryMs);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** Of a local time that a day has not, Date makes the time after the gap; of one that it has twice, the first. */
function nextAt(time: string, nowMs: number): number {
  const [hour = 0, minute = 0] = time.split(':').map(Number);
  const now = new Date(nowMs);
  const on = (day: number) =>
    new Date(now.getFullYear(), now.getMonth(), now.getDate() + day, hour, minute).getTime();
  return on(0) > nowMs ? on(0) : on(1);
}

/** As the state has it, which whoever makes a backup writes anew. */
function newestIn(folder: string): string | null | undefined {
  try {
    return readBackupState(folder)?.lastVerifiedAt;
  } catch {
    return undefined;
  }
}
