/** The only importer of node-cron: the daily backup of a fleet in the foreground, made up for when its time was missed. */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

import { schedule } from 'node-cron';

import { backupFolder, isOfFuture, readBackupState } from '#runtime/data/backup-state.ts';
import { parseHostSettings, type Environment } from '#runtime/process/settings.ts';

const commandLine = fileURLToPath(new URL('../flotilla.ts', import.meta.url));

/** Proven backups older than this are not waited for until the next night. */
const dueAfterMs = 24 * 3_600_000;
/** The start of the fleet, and a first look at it, come first. */
const catchUpAfterMs = 60_000;

const silent = { info() {}, warn() {}, error() {}, debug() {} };

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
  const [hour, minute] = host.FLOTILLA_BACKUP_TIME.split(':');
  if (minute === undefined) return { async stop() {} };

  let child: ChildProcess | undefined;
  let ended: Promise<void> = Promise.resolve();
  let isStopping = false;
  const run = () => {
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
        if (!isStopping)
          told(code === 0 ? null : words.trim().replaceAll(/^flotilla: /gm, '') || `exit code ${code}`);
        done();
      });
    });
  };
  const task = schedule(`${minute} ${hour} * * *`, run, { logger: silent, suppressMissedWarning: true });
  // It tells what it missed, while the host slept or this process was stopped, and leaves the rest to us.
  task.on('execution:missed', run);
  const catchUp = setTimeout(() => {
    if (isDue(backupFolder(host))) run();
  }, catchUpMs);
  return {
    async stop() {
      isStopping = true;
      clearTimeout(catchUp);
      await task.destroy();
      child?.kill('SIGTERM');
      await ended;
    },
  };
}

function isDue(folder: string): boolean {
  try {
    const at = readBackupState(folder)?.lastVerifiedAt;
    return !at || isOfFuture(at, Date.now()) || Date.now() - Date.parse(at) > dueAfterMs;
  } catch {
    return true; // the backup that is made now writes it anew
  }
}
