/** Levels by the many names and numbers that are in use. */
import type { Level } from '../store/line.ts';

const names: Readonly<Record<string, Level>> = {
  trace: 'trace',
  finest: 'trace',
  finer: 'trace',
  verbose: 'trace',
  silly: 'trace',
  trc: 'trace',
  debug: 'debug',
  dbg: 'debug',
  fine: 'debug',
  dbug: 'debug',
  info: 'info',
  information: 'info',
  informational: 'info',
  notice: 'info',
  log: 'info',
  inf: 'info',
  ok: 'info',
  http: 'info',
  config: 'info',
  warn: 'warn',
  warning: 'warn',
  wrn: 'warn',
  error: 'error',
  err: 'error',
  severe: 'error',
  eror: 'error',
  fail: 'error',
  fatal: 'fatal',
  critical: 'fatal',
  crit: 'fatal',
  emerg: 'fatal',
  emergency: 'fatal',
  alert: 'fatal',
  panic: 'fatal',
  ftl: 'fatal',
  dpanic: 'fatal',
};

export const levelNamed = (name: string): Level | undefined => names[name.toLowerCase()];

/** As syslog and the journal number them: RFC 5424, section 6.2.1. */
const priorities: readonly Level[] = ['fatal', 'fatal', 'fatal', 'error', 'warn', 'info', 'info', 'debug'];
export const levelOfPriority = (priority: number): Level | undefined => priorities[priority & 7];

/** As bunyan and pino number them. */
export function levelOfNumber(number: number): Level | undefined {
  if (!Number.isFinite(number) || number < 10)
    return Number.isInteger(number) && number >= 0 ? levelOfPriority(number) : undefined;
  return number < 20
    ? 'trace'
    : number < 30
      ? 'debug'
      : number < 40
        ? 'info'
        : number < 50
          ? 'warn'
          : number < 60
            ? 'error'
            : 'fatal';
}

/** OpenTelemetry's severity numbers, 1 to 24; 0 is unset. */
const severities: readonly Level[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];
export const levelOfSeverity = (number: number): Level | undefined =>
  number < 1 ? undefined : severities[Math.min(Math.floor((number - 1) / 4), 5)];

/** `[ERROR]`, `ERROR:`, `level=error`, ` ERROR `: a level within the first words of a line. */
const within =
  /(?:^|[\s[(<|"])(TRACE|VERBOSE|DEBUG|DBG|INFO|INFORMATION|NOTICE|WARN|WARNING|ERROR|ERR|SEVERE|FATAL|CRITICAL|CRIT|EMERG|ALERT|PANIC)(?=[\s\])>:|"]|$)|\[(trace|debug|info|notice|warn|warning|error|crit|critical|alert|emerg|fatal)\]|\blevel["']?[=:]\s?["']?(\w{3,11})|^(?:\S{1,40}:\s)?(error|fatal|panic|warning|warn|debug|info)\b:/;
const lookedAt = 200;

export function levelWithin(text: string): Level | undefined {
  const found = within.exec(text.length > lookedAt ? text.slice(0, lookedAt) : text);
  if (!found) return undefined;
  const name = found[1] ?? found[2] ?? found[3] ?? found[4];
  return name === undefined ? undefined : levelNamed(name);
}
