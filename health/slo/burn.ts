/**
 * How fast an error budget is spent, and when that is worth an alert. Pure: counts in, figures out.
 *
 * Source of the method: The Site Reliability Workbook, chapter 5, "Alerting on SLOs" (multiwindow, multi-burn-rate alerts);
 * the fourth rule, 3 over a day, is Sloth's (its windows for 30 days).
 */

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
export const dayMs = 24 * hourMs;

/** Windows over which budgets are looked at, in milliseconds; the last one is the period of every objective. */
export const windowsMs = {
  '5m': 5 * minuteMs,
  '30m': 30 * minuteMs,
  '1h': hourMs,
  '2h': 2 * hourMs,
  '6h': 6 * hourMs,
  '1d': dayMs,
  '3d': 3 * dayMs,
  '30d': 30 * dayMs,
} as const;

export type WindowName = keyof typeof windowsMs;
export const windowNames = Object.keys(windowsMs) as WindowName[];
export const period: WindowName = '30d';

/**
 * Events of one window. Both are at least 0, `good` at most `total`; at the edge of a window, where only sums are kept, they
 * may be parts of events.
 */
export interface Counts {
  readonly good: number;
  readonly total: number;
}

/** Counts of a window, and for how many milliseconds of it somebody looked: the rest is not known. */
export interface WindowCounts extends Counts {
  readonly knownMs: number;
}

export type Windows = Readonly<Record<WindowName, WindowCounts>>;

export type Severity = 'page' | 'ticket';

/** Alerts when the budget burns `factor` times too fast, over the long window and still over the short one. */
export interface BurnRule {
  readonly severity: Severity;
  readonly factor: number;
  readonly long: WindowName;
  readonly short: WindowName;
}

/** The most severe first. */
export const burnRules: readonly BurnRule[] = [
  { severity: 'page', factor: 14.4, long: '1h', short: '5m' },
  { severity: 'page', factor: 6, long: '6h', short: '30m' },
  { severity: 'ticket', factor: 3, long: '1d', short: '2h' },
  { severity: 'ticket', factor: 1, long: '3d', short: '6h' },
];

/** So many events must have failed in the short window: one that failed among few is no trend. */
export const leastBadEvents = 3;

/** Both windows must be known for so much of the short one's time before a rule says anything. */
export const leastKnown = 0.9;

/** Parts of events at the edge of a window are sums of fractions. */
const roundingError = 1e-6;

/** Events that failed; at least 0. */
export const badOf = ({ good, total }: Counts): number => Math.max(0, total - good);

/** Share of events that failed, from 0 to 1; `null` where there were none. */
export function errorRatio(counts: Counts): number | null {
  return counts.total > 0 ? badOf(counts) / counts.total : null;
}

/**
 * Burn rate: the share of events that failed, divided by the share that may fail. 1 spends the whole budget in exactly one
 * period. `target` is the share that must go well, above 0 and below 1. `null` where there were no events.
 *
 * Source: The Site Reliability Workbook, chapter 5, section 4.
 */
export function burnRate(counts: Counts, target: number): number | null {
  const ratio = errorRatio(counts);
  return ratio === null ? null : ratio / (1 - target);
}

/** Part of the budget that is spent, from 0 up, when a rule has just come true for its long window: factor x window / period. */
export function budgetShareOf({ factor, long }: BurnRule): number {
  return (factor * windowsMs[long]) / windowsMs[period];
}

/** Share of events, from 0 to 1 and beyond, above which a rule alerts; what reaches 1 can never be exceeded. */
export function thresholdOf({ factor }: BurnRule, target: number): number {
  return factor * (1 - target);
}

/**
 * Milliseconds of full outage, after a good time, until a rule alerts; `null` when it cannot: its threshold is all events.
 * The long window takes longest to fill, and no alert comes before `leastBadEvents` events `eventMs` apart have failed.
 */
export function outageUntilAlertMs(rule: BurnRule, target: number, eventMs: number): number | null {
  const threshold = thresholdOf(rule, target);
  return threshold >= 1 ? null : Math.max(threshold * windowsMs[rule.long], leastBadEvents * eventMs);
}

/** Whether a rule alerts; `unknown` when too little is known of its windows to say so or otherwise. */
export type Judgement = 'alerts' | 'quiet' | 'unknown';

/** `target` as in `burnRate`. What is not known counts neither as good nor as bad. */
export function judge(rule: BurnRule, windows: Windows, target: number): Judgement {
  const [long, short] = [windows[rule.long], windows[rule.short]];
  const dueMs = windowsMs[rule.short] * leastKnown;
  if (long.knownMs < dueMs || short.knownMs < dueMs) return 'unknown';
  const [overLong, overShort] = [burnRate(long, target), burnRate(short, target)];
  if (overLong === null || overShort === null) return 'unknown';
  const isFast = overLong > rule.factor && overShort > rule.factor;
  return isFast && badOf(short) >= leastBadEvents - roundingError ? 'alerts' : 'quiet';
}
