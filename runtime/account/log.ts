/** One JSON line per event on stdout. No library: a record is a plain object, and a line is its JSON. */
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';

import { isJournal } from '../process/systemd.ts';

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Where the lines of a process go while the fleet runs in the foreground; under systemd the journal has them. */
export const processLogFile = (dataRoot: string, name: string) => join(dataRoot, 'logs', `${name}.log`);

type Fields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(event: string, fields?: Fields): void;
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  error(event: string, fields?: Fields): void;
}

/** Errors are not enumerable, so that JSON would lose them; the stack is for the log alone. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (!(value instanceof Error)) return value;
  return { name: value.name, message: value.message, stack: value.stack, cause: plain(value.cause) };
}

/** JSON of one field. Text and numbers, which most are, take no detour. */
function json(value: unknown): string | undefined {
  if (typeof value === 'string') return JSON.stringify(value);
  return typeof value === 'number' && Number.isFinite(value) ? String(value) : JSON.stringify(plain(value));
}

const named = new Map<string, string>();

/** The name of a field, as it stands before its value: code has few of them, and each is made fit for JSON once. */
function nameOf(field: string): string {
  let text = named.get(field);
  if (text === undefined) {
    text = `,${JSON.stringify(field)}:`;
    named.set(field, text);
  }
  return text;
}

/** Logging must not end what it tells of: what JSON cannot take, such as a cycle, is shown as Node shows it. */
function lineOf(head: string, fields: Fields): string {
  let line = head;
  for (const name in fields) {
    let text: string | undefined;
    try {
      text = json(fields[name]);
    } catch {
      text = JSON.stringify(inspect(fields[name]));
    }
    if (text !== undefined) line += nameOf(name) + text;
  }
  return `${line}}`;
}

const last = { ms: 0, text: '' };

/** ISO 8601 in UTC. Under load many events share a millisecond, and its text. */
export function isoTime(ms: number): string {
  if (ms !== last.ms || last.text === '') {
    last.ms = ms;
    last.text = new Date(ms).toISOString();
  }
  return last.text;
}

/** As syslog numbers them. */
const priorities = { debug: 7, info: 6, warn: 4, error: 3 } as const;

/** What a line begins with for the journal to know how severe it is; nothing where another reader would stumble over it. */
export function priorityMark(level: LogLevel, fd: 1 | 2): string {
  return isJournal(fd) ? `<${priorities[level]}>` : '';
}

/** `event` is a short constant a search can find; what varies goes into `fields`. Lines go to stdout unless `write` takes them. */
export function createLog(service: string, level: LogLevel, write?: (line: string) => void): Log {
  const threshold = logLevels.indexOf(level);
  const at = (rank: LogLevel) => {
    if (logLevels.indexOf(rank) < threshold) return () => {};
    const mark = write ? '' : priorityMark(rank, 1);
    const origin = `"level":"${rank}","service":${JSON.stringify(service)},`;
    const take = write ?? writeLine;
    return (event: string, fields: Fields = {}) => {
      take(
        lineOf(`${mark}{"time":"${isoTime(Date.now())}",${origin}"event":${JSON.stringify(event)}`, fields),
      );
    };
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** What waits for its reader; beyond that, lines are counted and told of when the reader is back. */
const mostPending = 20_000;
const retryMs = 10;
/** How long the last lines wait for a reader when the process ends. */
const lastWordsMs = 500;

let pending: string[] = [];
let lost = 0;
let unwritten: Buffer = Buffer.alloc(0);
let isScheduled = false;

/** Lines that come within so long go out in one write. */
const gatherMs = 5;

function writeLine(line: string): void {
  if (pending.length >= mostPending) {
    lost += 1;
    return;
  }
  pending.push(line);
  if (isScheduled) return;
  isScheduled = true;
  setTimeout(writeWaiting, gatherMs);
}

function writeWaiting(): void {
  isScheduled = writePart();
  if (isScheduled) setTimeout(writeWaiting, retryMs).unref();
}

/** @returns whether something is left: a pipe takes what it has room for, and a reader that stands still must not stop us. */
function writePart(): boolean {
  if (unwritten.length === 0) {
    if (lost > 0)
      pending.push(
        `${priorityMark('warn', 1)}${JSON.stringify({ time: isoTime(Date.now()), level: 'warn', event: 'log_lines_lost', lost })}`,
      );
    if (pending.length === 0) return false;
    unwritten = Buffer.from(`${pending.join('\n')}\n`);
    pending = [];
    lost = 0;
  }
  try {
    unwritten = unwritten.subarray(writeSync(1, unwritten));
  } catch (error) {
    // Any other error means that nobody will read again.
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') unwritten = Buffer.alloc(0);
  }
  return unwritten.length > 0 || pending.length > 0;
}

process.on('exit', () => {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  const endMs = Date.now() + lastWordsMs;
  while (writePart() && Date.now() < endMs) Atomics.wait(pause, 0, 0, 1);
});
