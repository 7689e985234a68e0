/** Reads what a line says of itself: JSON, logfmt, syslog, a time and a level in front; anything else is its own message. */
import type { Level } from '../store/line.ts';
import { levelNamed, levelOfNumber, levelOfPriority, levelWithin } from './levels.ts';
import { timeAt, timeOf } from './times.ts';

/** What a line said; what it did not say is for its source to tell. */
export interface Said {
  readonly message: string;
  readonly atMs?: number | undefined;
  readonly level?: Level | undefined;
  readonly service?: string | undefined;
  readonly traceId?: string | undefined;
  readonly fields?: Readonly<Record<string, unknown>> | undefined;
}

export function parseLine(text: string, nowMs: number): Said {
  if (text.startsWith('{') && text.endsWith('}')) {
    const record = objectIn(text);
    if (record) return saidBy(record, nowMs, text);
  }
  if (text.startsWith('<')) {
    const marked = /^<(\d{1,3})>(?:(1) )?/.exec(text);
    const priority = Number(marked?.[1]);
    if (marked && priority <= 191) {
      const rest = text.slice(marked[0].length);
      const said = marked[2] === undefined ? parseLine(rest, nowMs) : syslogOf(rest, nowMs);
      return { ...said, level: levelOfPriority(priority) };
    }
  }
  const found = timeAt(text, nowMs);
  if (found) return afterTime(text, found, nowMs);
  const pairs = logfmtOf(text);
  if (pairs) return saidBy(pairs, nowMs, text);
  return plain(text, nowMs);
}

function objectIn(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** The names that a thing goes by, the most telling first. */
const timeNames = ['time', 'timestamp', 'ts', '@timestamp', 't', 'date', 'datetime', 'eventTime', 'asctime'];
const levelNames = [
  'level',
  'severity',
  'lvl',
  'log.level',
  'levelname',
  'loglevel',
  'severityText',
  'priority',
];
const messageNames = ['message', 'msg', 'event', 'text', 'body', 'log', 'MESSAGE'];
const serviceNames = ['service', 'service.name', 'service_name', 'app', 'application', 'logger_service'];
const traceNames = ['traceId', 'trace_id', 'trace.id', 'traceid', 'TraceId', 'dd.trace_id'];

function take<Value>(
  record: Readonly<Record<string, unknown>>,
  names: readonly string[],
  read: (value: unknown) => Value | undefined,
  taken: Set<string>,
): Value | undefined {
  for (const name of names) {
    const value = record[name];
    if (value === undefined || value === null) continue;
    const found = read(value);
    if (found === undefined) continue;
    taken.add(name);
    return found;
  }
  return undefined;
}

const textIn = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined);
const nameIn = (value: unknown) =>
  textIn(value) ?? (typeof value === 'object' ? textIn((value as { name?: unknown }).name) : undefined);

function levelIn(value: unknown): Level | undefined {
  if (typeof value === 'number') return levelOfNumber(value);
  if (typeof value !== 'string') return undefined;
  return levelNamed(value) ?? (/^\d{1,2}$/.test(value) ? levelOfNumber(Number(value)) : undefined);
}

/** @param text the whole, for a record that has no message. */
export function saidBy(record: Readonly<Record<string, unknown>>, nowMs: number, text: string): Said {
  const taken = new Set<string>();
  const atMs = take(record, timeNames, (value) => timeOf(value, nowMs), taken);
  const level = take(record, levelNames, levelIn, taken);
  const message = take(record, messageNames, textIn, taken);
  const service = take(record, serviceNames, nameIn, taken);
  const traceId = take(record, traceNames, traceIn, taken);
  if (message === undefined)
    return { message: text, atMs, level: level ?? levelWithin(text), service, traceId };
  const fields: Record<string, unknown> = {};
  for (const name in record) if (!taken.has(name)) fields[name] = record[name];
  return { message, atMs, level: level ?? levelWithin(message), service, traceId, fields };
}

const traceIn = (value: unknown) =>
  typeof value === 'string' && /^[0-9a-f-]{8,64}$/i.test(value) ? value.toLowerCase() : undefined;

/** `trace_id=4bf9…` and `traceparent: 00-4bf9…-…-01` in a text. */
const traceWithin =
  /\btrace[-_.]?id["']?\s?[=:]\s?["']?([0-9a-f]{16,32})\b|\b00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}\b/i;

function traceOf(text: string): string | undefined {
  if (!text.includes('race') && !text.includes('00-')) return undefined;
  const found = traceWithin.exec(text);
  return (found?.[1] ?? found?.[2])?.toLowerCase();
}

const given = (value: string | undefined) => (value === '-' ? undefined : value);

/** RFC 5424, section 6: time, host, application, process, kind, structured data, message. */
function syslogOf(text: string, nowMs: number): Said {
  const parts = /^(\S+) (\S+) (\S+) (\S+) (\S+) (-|(?:\[[^\]]{0,4000}\])+)(?: ([^]*))?$/.exec(text);
  if (!parts) return parseLine(text, nowMs);
  const [, time = '', host, application, processId, , data = '-', message = ''] = parts;
  const fields: Record<string, unknown> = { host: given(host), pid: given(processId) };
  for (const [, name = '', value = ''] of data.matchAll(/ ([\w.@-]{1,64})="((?:[^"\\]|\\.){0,2000})"/g))
    fields[name] = value;
  return {
    message,
    atMs: timeAt(time, nowMs)?.atMs,
    service: given(application),
    traceId: traceOf(text),
    fields,
  };
}

function afterTime(text: string, { atMs, length }: { atMs: number; length: number }, nowMs: number): Said {
  const rest = text.slice(length).replace(/^[\s:|,\]-]{1,4}/, '');
  // `host program[123]: message`, as syslog writes it into files.
  const written = /^([\w.-]{1,255}) ([\w./@()-]{1,100}?)(?:\[(\d{1,10})\])?: ([^]*)$/.exec(rest);
  if (written && levelNamed(written[2] ?? '') === undefined && levelNamed(written[1] ?? '') === undefined) {
    const [, host, service, pid, message = ''] = written;
    const inner = message.startsWith('{') ? parseLine(message, nowMs) : plain(message, nowMs);
    return {
      ...inner,
      atMs,
      service: inner.service ?? service,
      fields: { ...inner.fields, host, ...(pid !== undefined && { pid }) },
    };
  }
  const pairs = logfmtOf(rest);
  if (pairs) return { ...saidBy(pairs, nowMs, rest), atMs };
  return {
    ...plain(rest === '' ? text : rest, nowMs),
    level: levelOfLetter(text) ?? levelWithin(rest),
    atMs,
  };
}

/** klog's first letter. */
const letters: Readonly<Record<string, Level>> = { I: 'info', W: 'warn', E: 'error', F: 'fatal' };
const levelOfLetter = (text: string) => (/^[IWEF]\d{4} /.test(text) ? letters[text[0] ?? ''] : undefined);

/** `… [29/Nov/2026:04:02:02 +0000] "GET / HTTP/1.1" 500 …` */
const request = /^\S{1,255} \S{1,100} \S{1,100} \[([^\]]{26})\] "[^"]{0,4000}" (\d{3})/;

function plain(text: string, nowMs: number): Said {
  const traceId = traceOf(text);
  const asked = text.includes('] "') ? request.exec(text) : null;
  if (!asked) return { message: text, level: levelWithin(text), traceId };
  const status = Number(asked[2]);
  const level = status >= 500 ? 'error' : status >= 400 ? 'warn' : 'info';
  return { message: text, atMs: timeAt(asked[1] ?? '', nowMs)?.atMs, level, traceId };
}

const pair = /([A-Za-z_][\w.@-]{0,63})=(?:"((?:[^"\\]|\\.)*)"|(\S*))(?:\s+|$)/y;

/** A line that is pairs of name and value from its beginning to its end, two at least. */
function logfmtOf(text: string): Record<string, string> | undefined {
  if (!/^[A-Za-z_][\w.@-]{0,63}=/.test(text)) return undefined;
  const pairs: Record<string, string> = {};
  let count = 0;
  pair.lastIndex = 0;
  while (pair.lastIndex < text.length) {
    const found = pair.exec(text);
    if (!found) return undefined;
    const [, name = '', quoted, bare] = found;
    pairs[name] =
      quoted === undefined
        ? (bare ?? '')
        : quoted.replaceAll(/\\(.)/g, (_, one: string) => (one === 'n' ? '\n' : one));
    count += 1;
    if (count > 200) return undefined;
  }
  return count < 2 ? undefined : pairs;
}
