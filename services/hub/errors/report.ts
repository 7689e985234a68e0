/** What a token's failures come to: patterns, trends, what they cost, and what to do. Pure, but for what it is given to read. */
import type { Steps } from '#runtime/turns.ts';
import { wilson } from '#statistics/rates.ts';

import { adviceRules, type AdviceRule, type Trend } from './advice.ts';
import { slotMs, type History, type Pattern, type Slot } from './history.ts';
import { categories, severities, type Category, type Severity } from './rules.ts';

const hourMs = 3_600_000;

/** Of one pattern, or of all. */
interface Sums {
  failures: number;
  /** In the time before, as long. */
  before: number;
  lostAttempts: number;
  workedMs: number;
  delayedMessages: number;
}

interface Found extends Sums {
  readonly pattern: Pattern;
  readonly agents: Map<string, number>;
}

export interface Question {
  readonly owner: string;
  readonly hours: number;
  readonly agent?: string | undefined;
  readonly category?: Category | undefined;
  readonly fingerprint?: string | undefined;
  readonly nowMs: number;
}

const mostHoursTold = 48;
const mostAgentsTold = 5;

export type Report = ReturnType<typeof written>;

/** In steps, between which others are served. */
export function* reportOf(history: Pick<History, 'slots' | 'pattern'>, question: Question): Steps<Report> {
  const { owner, hours, agent, nowMs } = question;
  // Up to the end of the ten minutes that it is now.
  const endMs = Math.floor(nowMs / slotMs) * slotMs + slotMs;
  const fromMs = endMs - hours * hourMs;
  const found = new Map<number, Found>();
  const hourly = Array.from({ length: Math.min(hours, mostHoursTold) }, () => 0);
  for (const rows of history.slots(owner, fromMs - hours * hourMs, endMs)) {
    for (const row of rows) {
      if (agent !== undefined && row.agent !== agent) continue;
      const one = found.get(row.pattern) ?? begun(history.pattern(row.pattern));
      if (!one || !isAskedFor(one.pattern, question)) continue;
      found.set(row.pattern, one);
      if (row.startMs < fromMs) {
        one.before += row.failures;
        continue;
      }
      add(one, row);
      const hour = hourly.length - 1 - Math.floor((endMs - slotMs - row.startMs) / hourMs);
      if (hour >= 0) hourly[hour] = (hourly[hour] ?? 0) + row.failures;
    }
    yield;
  }
  // What has passed of the time that is looked at, beside the whole time before.
  const passedMs = nowMs - fromMs;
  return written([...found.values()], hourly, {
    fromMs,
    nowMs,
    hours,
    share: passedMs / (passedMs + hours * hourMs),
  });
}

const isAskedFor = (pattern: Pattern, { category, fingerprint }: Question) =>
  (category ?? pattern.category) === pattern.category &&
  (fingerprint ?? pattern.fingerprint) === pattern.fingerprint;

const begun = (pattern: Pattern | undefined): Found | undefined =>
  pattern && { pattern, agents: new Map(), ...nothing() };

const nothing = (): Sums => ({ failures: 0, before: 0, lostAttempts: 0, workedMs: 0, delayedMessages: 0 });

function add(one: Found, slot: Slot): void {
  one.failures += slot.failures;
  one.lostAttempts += slot.lostAttempts;
  one.workedMs += slot.workedMs;
  one.delayedMessages += slot.delayedMessages;
  one.agents.set(slot.agent, (one.agents.get(slot.agent) ?? 0) + slot.failures);
}

/** The time that a report is about. */
interface Span {
  readonly fromMs: number;
  readonly nowMs: number;
  readonly hours: number;
  /** Of the time that is looked at, in that and the time before: what of all failures would fall into it if nothing had changed. */
  readonly share: number;
}

/** Tells growth from chance: by the interval for the share of failures that fell into the later time. */
export function trendOf({ failures, before }: Pick<Sums, 'failures' | 'before'>, share: number): Trend {
  if (failures + before === 0) return 'steady';
  const [lower, upper] = wilson(failures, failures + before);
  return lower > share ? 'rising' : upper < share ? 'falling' : 'steady';
}

function written(found: readonly Found[], hourly: readonly number[], span: Span) {
  const current = found
    .filter(({ failures }) => failures > 0)
    .toSorted((one, other) => other.failures - one.failures || other.pattern.lastMs - one.pattern.lastMs);
  const total = summed(found);
  const patterns = current.map((one) => ({ ...one, trend: trendOfPattern(one, span) }));
  return {
    totals: {
      from: iso(span.fromMs),
      to: iso(span.nowMs),
      failures: total.failures,
      before: total.before,
      trend: trendOf(total, span.share),
      hourly: [...hourly],
      categories: categories.flatMap((category) => {
        const sums = summed(found.filter(({ pattern }) => pattern.category === category));
        const { failures, before } = sums;
        return failures + before === 0
          ? []
          : [{ category, failures, before, trend: trendOf(sums, span.share) }];
      }),
      severities: Object.fromEntries(
        severities.map((severity) => [
          severity,
          summed(current.filter(({ pattern }) => pattern.severity === severity)).failures,
        ]),
      ) as Record<Severity, number>,
      ...costOf(total),
    },
    recommendations: adviceRules
      .flatMap((rule) => recommended(rule, patterns, total, span))
      .toSorted((one, other) => other.failures - one.failures),
    patterns: patterns.map((one) => ({
      fingerprint: one.pattern.fingerprint,
      category: one.pattern.category,
      severity: one.pattern.severity,
      kind: one.pattern.kind,
      code: one.pattern.sign,
      message: one.pattern.message,
      failures: one.failures,
      before: one.before,
      trend: one.trend,
      agents: topAgents(one),
      agents_in_all: one.agents.size,
      first_at: iso(one.pattern.firstMs),
      last_at: iso(one.pattern.lastMs),
      ...costOf(one),
    })),
  };
}

/** A pattern that had not been seen before is new, however few there are. */
const trendOfPattern = (one: Found, { fromMs, share }: Span): Trend =>
  one.before === 0 && one.pattern.firstMs >= fromMs ? 'new' : trendOf(one, share);

function summed(found: readonly Sums[]): Sums {
  const total = nothing();
  for (const one of found) for (const key of Object.keys(total) as (keyof Sums)[]) total[key] += one[key];
  return total;
}

const costOf = ({ lostAttempts, workedMs, delayedMessages }: Sums) => ({
  lost_attempts: lostAttempts,
  worked_ms: workedMs,
  delayed_messages: delayedMessages,
});

const topAgents = ({ agents }: Found) =>
  [...agents]
    .toSorted(([one, a], [other, b]) => b - a || one.localeCompare(other))
    .slice(0, mostAgentsTold)
    .map(([name]) => name);

/** One for each rule that holds for any pattern, with the figures of all that it holds for. */
function recommended(
  rule: AdviceRule,
  patterns: readonly (Found & { readonly trend: Trend })[],
  total: Sums,
  { hours }: Span,
) {
  const fitting = patterns.filter((one) => fits(rule, one, total));
  if (fitting.length === 0) return [];
  const { failures, before, workedMs } = summed(fitting);
  const agents = new Set(fitting.flatMap((one) => [...one.agents.keys()])).size;
  const because = [
    `${counted(failures, 'failure')} of ${counted(fitting.length, 'pattern')} from ${counted(agents, 'agent')}`,
    `${percent(failures, total.failures)} of all`,
    `${before} in the ${hours} h before`,
    ...(workedMs > 0 ? [`${workedMs} ms of work lost`] : []),
  ].join(', ');
  return [
    {
      rule: rule.name,
      advice: rule.advice,
      because,
      failures,
      fingerprints: fitting.slice(0, mostFingerprints).map(({ pattern }) => pattern.fingerprint),
    },
  ];
}

const mostFingerprints = 5;

function fits(rule: AdviceRule, one: Found & { readonly trend: Trend }, total: Sums): boolean {
  const { categories, kinds, trends, leastAgents = 1, mostAgents = Infinity, leastShareOfWork } = rule;
  return (
    one.failures >= rule.leastFailures &&
    (categories?.includes(one.pattern.category) ?? true) &&
    (kinds?.includes(one.pattern.kind) ?? true) &&
    (trends?.includes(one.trend) ?? true) &&
    one.agents.size >= leastAgents &&
    one.agents.size <= mostAgents &&
    (leastShareOfWork === undefined ||
      (one.workedMs > 0 && one.workedMs >= leastShareOfWork * total.workedMs))
  );
}

const counted = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`;
const percent = (part: number, whole: number) => `${Math.round((100 * part) / whole)} %`;
const iso = (ms: number) => new Date(ms).toISOString();
