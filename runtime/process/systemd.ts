/** What systemd hands the process of a unit: its listening socket, a line to tell how it is, and how often it wants to hear. */
import { fstatSync, writeSync } from 'node:fs';

import { ConfigError } from '../errors.ts';

export interface Handover {
  /** The socket that systemd listens on; `undefined` when the process has to listen by itself. */
  readonly httpFd: number | undefined;
  /** Tells systemd a state, such as `READY=1`; without systemd it tells nobody. */
  readonly notify: (state: string) => void;
  /** After how long without `WATCHDOG=1` the process is ended; 0 when nobody waits for it. */
  readonly watchdogMs: number;
}

/** Passed descriptors begin here (sd_listen_fds(3)). */
const firstFd = 3;

/**
 * Takes what was passed out of the environment, so that children do not take it for their own. Node marks the descriptors
 * themselves close-on-exec.
 *
 * @throws ConfigError when sockets were passed and none of them is for HTTP.
 */
export function takeHandover(environment: NodeJS.ProcessEnv): Handover {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES = '', WATCHDOG_USEC } = environment;
  for (const name of [
    'LISTEN_PID',
    'LISTEN_FDS',
    'LISTEN_FDNAMES',
    'WATCHDOG_USEC',
    'WATCHDOG_PID',
    'NOTIFY_SOCKET',
  ]) {
    delete environment[name];
  }
  const isOurs = Number(LISTEN_PID) === process.pid && Number(LISTEN_FDS) > 0;
  const names = isOurs ? LISTEN_FDNAMES.split(':') : [];
  const fdOf = (name: string) => (names.includes(name) ? firstFd + names.indexOf(name) : undefined);
  const httpFd = fdOf('http');
  const notifyFd = fdOf('notify');
  if (isOurs && httpFd === undefined) {
    throw new ConfigError(
      `systemd passed sockets, but none named http (${names.join(', ')}): see FileDescriptorName= of the socket unit.`,
    );
  }
  return {
    httpFd,
    notify: notifyFd === undefined ? () => {} : (state) => tell(notifyFd, state),
    watchdogMs: notifyFd === undefined ? 0 : Number(WATCHDOG_USEC ?? 0) / 1_000,
  };
}

function tell(fd: number, state: string): void {
  try {
    writeSync(fd, state);
  } catch (error) {
    // Whoever hears nothing ends us, and that is told in the journal; what is being done now is not to suffer.
    process.stderr.write(
      `systemd cannot be told ${state}: ${error instanceof Error ? error.message : String(error)}\n`,
    );
  }
}

/** Keeps the watchdog quiet while `answers` does. The timer is an ordinary one: a loop that is stuck feeds nobody. */
export function feedWatchdog(
  { notify, watchdogMs }: Pick<Handover, 'notify' | 'watchdogMs'>,
  answers: () => Promise<boolean>,
): void {
  if (watchdogMs <= 0) return;
  const feed = async () => {
    if (await answers()) notify('WATCHDOG=1');
  };
  setInterval(() => void feed(), watchdogMs / 2).unref();
}

/** Whether what is written there goes to the journal, which reads a `<6>` before a line as its priority. */
export function isJournal(fd: 1 | 2, { JOURNAL_STREAM = '' }: NodeJS.ProcessEnv = process.env): boolean {
  if (JOURNAL_STREAM === '') return false;
  const { dev, ino } = fstatSync(fd);
  return JOURNAL_STREAM === `${dev}:${ino}`;
}
