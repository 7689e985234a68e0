import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';

import { expect, test, vi } from 'vitest';

import { temporaryFolder } from '../../tests/support/serve.ts';
import { ConfigError } from '../errors.ts';
import { feedWatchdog, isJournal, stretchWatchdog, takeHandover } from './systemd.ts';

const pid = String(process.pid);

test('What systemd passed is taken by name, and out of the environment', () => {
  const environment = {
    LISTEN_PID: pid,
    LISTEN_FDS: '2',
    LISTEN_FDNAMES: 'notify:http',
    WATCHDOG_USEC: '4000000',
    NOTIFY_SOCKET: '/run/systemd/notify',
    HOME: '/',
  };

  expect(takeHandover(environment)).toMatchObject({ httpFd: 4, watchdogMs: 4_000 });

  expect(environment).toEqual({ HOME: '/' });
});

test('What was passed to another process is left alone', () => {
  const handover = takeHandover({ LISTEN_PID: '1', LISTEN_FDS: '1', LISTEN_FDNAMES: 'http' });

  expect(handover).toMatchObject({ httpFd: undefined, watchdogMs: 0 });
  handover.notify('READY=1');
});

test('Sockets of which none is for HTTP are a matter of configuration', () => {
  const environment = { LISTEN_PID: pid, LISTEN_FDS: '1', LISTEN_FDNAMES: 'unknown' };

  expect(() => takeHandover(environment)).toThrow(ConfigError);
});

test('The watchdog is fed while the process answers, and not while it does not', async () => {
  const told: string[] = [];
  const answers = vi.fn<() => Promise<boolean>>().mockResolvedValue(false).mockResolvedValueOnce(true);

  feedWatchdog({ notify: (state) => told.push(state), watchdogMs: 10 }, answers);
  await vi.waitFor(() => expect(answers.mock.calls.length).toBeGreaterThan(3));

  expect(told).toEqual(['WATCHDOG=1']);
});

test('A process that is woken late is waited for longer, until it has been woken in time for a while', () => {
  vi.useFakeTimers();
  let nowMs = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
  const told: string[] = [];
  const wake = (afterMs: number) => {
    nowMs += afterMs;
    vi.advanceTimersByTime(20);
    return told.at(-1);
  };

  stretchWatchdog({ notify: (state) => told.push(state), watchdogMs: 160 });
  for (let times = 0; times < 31; times += 1) expect(wake(20)).toBe('WATCHDOG_USEC=800000');

  expect(wake(20)).toBe('WATCHDOG_USEC=160000');
  expect(wake(40)).toBe('WATCHDOG_USEC=800000');
  expect(told).toHaveLength(3);
  vi.restoreAllMocks();
  vi.useRealTimers();
});

test('Only what really goes to the journal is marked for it', () => {
  const { dev, ino } = fstatSync(1);

  expect(isJournal(1, { JOURNAL_STREAM: `${dev}:${ino}` })).toBe(true);
  expect(isJournal(1, { JOURNAL_STREAM: `${dev}:0` })).toBe(false);
  expect(isJournal(1, {})).toBe(false);
});

test('A state that cannot be told ends nothing', () => {
  using folder = temporaryFolder();
  const file = join(folder.path, 'closed');
  const fd = openSync(file, 'w');
  closeSync(fd);
  const complaint = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const names = [...Array.from({ length: fd - 3 }, () => 'other'), 'notify', 'http'].join(':');

  takeHandover({ LISTEN_PID: pid, LISTEN_FDS: String(fd - 1), LISTEN_FDNAMES: names }).notify('READY=1');

  expect(complaint).toHaveBeenCalledWith(expect.stringMatching(/^systemd cannot be told READY=1: EBADF/));
  complaint.mockRestore();
  expect(readFileSync(file, 'utf8')).toBe('');
});
