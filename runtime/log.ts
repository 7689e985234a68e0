/** One JSON line per event on stdout. No library: a record is a plain object, and a line is its JSON. */
import { writeSync } from 'node:fs';
import { inspect } from 'node:util';

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];

type Fields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(event: string, fields?: Fields): void;
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  error(event: string, fields?: Fields): void;
}

/** Errors are not enumerable, so that JSON would lose them; the stack is for the log alone. */
function plain(_key: string, value: unknown): unknown {
  if (value instanceof Error) {
    return { name: value.name, message: value.message, stack: value.stack, cause: value.cause };
  }
  return typeof value === 'bigint' ? value.toString() : value;
}

/** Logging must not end what it tells of: fields that JSON cannot take, such as a cycle, are shown as Node shows them. */
function lineOf(head: Fields, fields: Fields): string {
  try {
    return JSON.stringify({ ...head, ...fields }, plain);
  } catch {
    return JSON.stringify({ ...head, unserialisable: inspect(fields) });
  }
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

/** `event` is a short constant a search can find; what varies goes into `fields`. */
export function createLog(service: string, level: LogLevel, write: (line: string) => void = writeLine): Log {
  const threshold = logLevels.indexOf(level);
  const at = (rank: LogLevel) => {
    if (logLevels.indexOf(rank) < threshold) return () => {};
    return (event: string, fields: Fields = {}) => {
      write(lineOf({ time: isoTime(Date.now()), level: rank, service, event }, fields));
    };
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

const pause = new Int32Array(new SharedArrayBuffer(4));

/** Lines of one turn of the event loop go out in one write: a line costs a system call only when it is alone. */
let pending: string[] = [];

function writeLine(line: string): void {
  if (pending.push(line) === 1) setImmediate(flushLog);
}

/** Writes what is pending now: before the process exits. */
export function flushLog(): void {
  if (pending.length === 0) return;
  const bytes = Buffer.from(`${pending.join('\n')}\n`);
  pending = [];
  // A pipe takes what it has room for, or says EAGAIN when it has none: the rest follows when its reader has read.
  let written = 0;
  while (written < bytes.length) {
    try {
      written += writeSync(1, bytes, written);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') return; // nobody reads any more
      Atomics.wait(pause, 0, 0, 1);
    }
  }
}

process.on('exit', flushLog);
