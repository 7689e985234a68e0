/** What systemd hands the process of a unit: its listening socket, a line to tell how it is, and how often it wants to hear. */
import { fstatSync, writeSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

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

/**
 * A machine that is busy with others gives each process its turn late. One that is ended for that starts anew, which takes more of
 * the machine than it took before, and soon all are ended. So a process that is woken late has this many times as long, until it
 * has been woken in time for a while; and so it begins, since a fleet begins all at once.
 */
const patience = 5;
const wakesInTime = 32;

/** Tells systemd (sd_notify(3), `WATCHDOG_USEC=`) how long to wait for the next `WATCHDOG=1`. */
export function stretchWatchdog({ notify, watchdogMs }: Pick<Handover, 'notify' | 'watchdogMs'>): void {
  if (watchdogMs <= 0) return;
  const everyMs = watchdogMs / 8;
  const wait = (times: number) => notify(`WATCHDOG_USEC=${Math.round(watchdogMs * times * 1_000)}`);
  let wokenAtMs = performance.now();
  let inTime = 0;
  wait(patience);
  setInterval(() => {
    const nowMs = performance.now();
    const isLate = nowMs - wokenAtMs > 1.5 * everyMs;
    wokenAtMs = nowMs;
    if (isLate && inTime >= wakesInTime) wait(patience);
    inTime = isLate ? 0 : inTime + 1;
    if (inTime === wakesInTime) wait(1);
  }, everyMs).unref();
}

/** Whether what is written there goes to the journal, which reads a `<6>` before a line as its priority. */
export function isJournal(fd: 1 | 2, { JOURNAL_STREAM = '' }: NodeJS.ProcessEnv = process.env): boolean {
  if (JOURNAL_STREAM === '') return false;
  const { dev, ino } = fstatSync(fd);
  return JOURNAL_STREAM === `${dev}:${ino}`;
}
