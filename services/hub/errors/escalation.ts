/** When failures become an alert: so many of one kind within so long. Data and pure functions; `failures.ts` applies them. */
import { z } from 'zod';

import { rules, severities, unknownRule, type Category, type Severity } from './rules.ts';

const minuteMs = 60_000;

export interface Window {
  readonly failures: number;
  readonly withinMs: number;
}
export type Windows = Readonly<Record<Severity, Window>>;

export const defaultWindows: Windows = {
  critical: { failures: 1, withinMs: 5 * minuteMs },
  high: { failures: 3, withinMs: 5 * minuteMs },
  medium: { failures: 10, withinMs: 15 * minuteMs },
  low: { failures: 50, withinMs: 60 * minuteMs },
};

const mostFailures = 1_000;
const mostMinutes = 24 * 60;

const written = (windows: Windows) =>
  severities
    .toReversed()
    .map((severity) => `${severity}=${windows[severity].failures}/${windows[severity].withinMs / minuteMs}`)
    .join(',');

/** A setting: `high=3/5` is three failures in five minutes. `windowsOf` reads it. */
export const windowsField = z
  .string()
  .default(written(defaultWindows))
  .superRefine((text, context) => {
    for (const part of partsOf(text).filter((one) => windowOf(one) === undefined)) {
      context.addIssue({
        code: 'custom',
        message: `"${part}" is no window: write severity=failures/minutes, such as high=3/5; severities are ${severities.join(', ')}, failures at most ${mostFailures}, minutes at most ${mostMinutes}`,
      });
    }
  })
  .describe('When failures of one kind are an alert: severity=failures/minutes, with commas between.');

/** Of a setting that is as it must be. A severity that it leaves out keeps its default. */
export const windowsOf = (text: string): Windows => ({
  ...defaultWindows,
  ...Object.fromEntries(partsOf(text).flatMap((part) => windowOf(part) ?? [])),
});

const partsOf = (text: string) =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

function windowOf(part: string): readonly (readonly [Severity, Window])[] | undefined {
  const [, name = '', failures = '', minutes = ''] = form.exec(part) ?? [];
  const severity = severities.find((one) => one === name);
  if (!severity || !isUpTo(Number(failures), mostFailures) || !isUpTo(Number(minutes), mostMinutes))
    return undefined;
  return [[severity, { failures: Number(failures), withinMs: Number(minutes) * minuteMs }]];
}

const form = /^([a-z]+)\s*=\s*(\d{1,6})\s*\/\s*(\d{1,6})$/;
const isUpTo = (value: number, most: number) => value >= 1 && value <= most;

/** What the hub tells everybody: nothing in it was written by those who failed, but the names of agents. */
export interface Alert {
  readonly fingerprint: string;
  readonly severity: Severity;
  readonly category: Category;
  /** The name of the rule. */
  readonly kind: string;
  readonly summary: string;
  /** Whether there were many, or an agent's strategy has come to its end. */
  readonly cause: 'frequency' | 'strategy';
  readonly failures: number;
  readonly window_ms: number;
  readonly since_ms: number;
  readonly agents: readonly string[];
}

export const mostAgentsTold = 10;

/** @param alertedMs when the last one was; one of a time to come is of a clock that was set back, and counts for nothing. */
export function isQuiet(alertedMs: number | null, { withinMs }: Window, nowMs: number): boolean {
  return alertedMs !== null && alertedMs <= nowMs && nowMs - alertedMs < withinMs;
}

export function alertOf(
  pattern: Pick<Alert, 'fingerprint' | 'severity' | 'category' | 'kind'>,
  cause: Alert['cause'],
  recent: { readonly failures: number; readonly sinceMs: number; readonly agents: readonly string[] },
  { withinMs }: Window,
): Alert {
  const { fingerprint, severity, category, kind } = pattern;
  const { failures, sinceMs, agents } = recent;
  const says = [...rules, unknownRule].find(({ name }) => name === kind)?.says ?? unknownRule.says;
  const count = failures === 1 ? '1 failure' : `${failures} failures`;
  const why = cause === 'strategy' ? ' Its recovery strategy has no further step.' : '';
  return {
    fingerprint,
    severity,
    category,
    kind,
    summary: `${says}${why} ${count} of ${severity} severity (${category}) in ${withinMs / minuteMs} minutes.`,
    cause,
    failures,
    window_ms: withinMs,
    since_ms: sinceMs,
    agents: agents.slice(0, mostAgentsTold),
  };
}
