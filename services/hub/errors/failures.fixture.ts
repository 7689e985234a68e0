/** What most tests of failures begin with: a history and an engine of their own, and what was published. */
import { openSqlite } from '../engine/sqlite.ts';
import type { Alert } from './escalation.ts';
import { openFailures, type Failed, type FailureOptions } from './failures.ts';

export const startMs = Date.parse('2026-11-29T12:03:00Z');
export const minuteMs = 60_000;
export const hourMs = 60 * minuteMs;

export function testFailures(options: Partial<FailureOptions> = {}) {
  const alerts: Alert[] = [];
  const warnings: string[] = [];
  const counters = new Map<string, () => number>();
  const engine = openSqlite(
    ':memory:',
    { items: 1_000_000, bytes: 1_000_000_000 },
    { changed: () => {}, arrived: () => {} },
  );
  const failures = openFailures({
    file: ':memory:',
    engine,
    scope: 'all',
    publish: async (alert) => void alerts.push(alert),
    log: { warn: (event) => void warnings.push(event) },
    metrics: { counter: (name, _help, read) => void counters.set(name, read) },
    chance: () => 0,
    ...options,
  });
  return {
    failures,
    engine,
    alerts,
    warnings,
    counted: (name: string) => counters.get(`flotilla_hub_${name}_total`)?.(),
    [Symbol.asyncDispose]: async () => {
      failures[Symbol.dispose]();
      await engine[Symbol.asyncDispose]();
    },
  };
}

export const failed = (overrides: Partial<Failed> = {}): Failed => ({
  agent: 'builder',
  owner: 'test',
  code: 'ECONNREFUSED',
  message: 'connect ECONNREFUSED 127.0.0.1:6379',
  ...overrides,
});

/** What means something to a reader of messages, and what no text should hold. */
export const hostileParts = [
  '/',
  '\\',
  ':',
  '://',
  '@',
  '.',
  '-',
  '_',
  '=',
  ' ',
  '\n',
  '\0',
  '"',
  "'",
  '<',
  '0x',
  '7',
  '42',
  'a',
  'F',
  'é',
  '語',
  '😀',
  '\uD800',
  '\uDC00',
  '\u202E',
  'ECONNREFUSED',
  'HTTP 503',
  'SQLSTATE',
  'timed out',
  'password',
  'Bearer ',
  'ghp_',
  'Error',
] as const;
