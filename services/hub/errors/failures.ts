/** What the hub does with a failure: keeps it, says what to do about it, and raises an alert where there are many. */
import type { Log } from '#runtime/account/log.ts';
import type { Metrics } from '#runtime/account/metrics.ts';
import { sharingCommit } from '#runtime/database.ts';
import type { Call } from '#runtime/tool.ts';
import { inTurns, telling } from '#runtime/turns.ts';

import type { AgentName } from '../message.ts';
import { classify, type Facts } from './classify.ts';
import { alertOf, defaultWindows, isQuiet, type Alert, type Windows } from './escalation.ts';
import {
  defaultBounds,
  openHistory,
  type Bounds,
  type Cost,
  type Example,
  type Noted,
  type Pattern,
} from './history.ts';
import { openStrategies, type StrategyEngine } from './kept-strategies.ts';
import { cleaned, fingerprintOf, masked, signOf } from './masking.ts';
import { reportOf, type Question, type Report } from './report.ts';
import type { Rule } from './rules.ts';
import { decide, strategyFor, type Decision, type Scope, type Strategy } from './strategies.ts';

/** What has failed, and at whom. What is not said of its cost is one lost attempt. */
export interface Failed extends Facts, Partial<Cost> {
  readonly agent: AgentName;
  /** The token of the agent. */
  readonly owner: string;
  readonly correlationId?: string | undefined;
}

/** What an agent asks about: what has failed, and what it wanted. */
export interface Reported extends Failed {
  /** Which attempt it was, from 1. */
  readonly attempt: number;
  readonly capability?: string | undefined;
  readonly retryAfterMs?: number | undefined;
}

export interface Answer {
  readonly rule: Rule;
  readonly fingerprint: string;
  readonly decision: Decision;
  /** Whether it has raised an alert. */
  readonly isAlerted: boolean;
}

export interface Failures extends Disposable {
  /** Where several hubs serve one mesh, each keeps what it saw itself. */
  readonly scope: 'all' | 'this_hub';
  /**
   * Keeps what failed in passing: an `error` message, a delivery that was rejected. Never throws and holds nobody up: what cannot
   * be kept is counted. At most a hundred at once, or the loop is held for long. A power cut may take the last ones away.
   */
  record(failed: readonly Failed[], nowMs: number): void;
  /** Keeps it for good, and says what to do. @throws ToolError unavailable, and then nothing is kept. */
  answer(failed: Reported, nowMs: number): Promise<Answer>;
  reportOf(question: Question, call: Call): Report | Promise<Report>;
  /** Of one fingerprint, the newest first. */
  newest(owner: string, fingerprint: string, most: number): readonly Example[];
  /** @returns whether there was one of the same scope. */
  setStrategy(owner: string, scope: Scope, steps: Strategy['steps'], nowMs: number): Promise<boolean>;
  /** Those that the token has set. */
  strategiesOf(owner: string, nowMs: number): Promise<readonly Strategy[]>;
  /** Lets go of what is too old, some at a time. Never throws. @returns whether there is more. */
  sweep(nowMs: number): boolean;
  /** @throws when nothing can be kept. */
  probe(): void;
}

export interface FailureOptions {
  /** A database of the hub's own. */
  readonly file: string;
  readonly engine: StrategyEngine;
  readonly scope: Failures['scope'];
  /** Sends an alert to its topic. When it throws, the next failure after ten seconds raises the alert again. */
  readonly publish: (alert: Alert) => Promise<void>;
  readonly log: Pick<Log, 'warn'>;
  readonly metrics?: Pick<Metrics, 'counter'>;
  readonly windows?: Windows;
  readonly bounds?: Bounds;
  /** From 0 to 1. */
  readonly chance?: () => number;
}

export const errorsName = 'errors.db';

/** A count to tell of an alert; more than that are not counted one by one. */
const mostCounted = 1_000;
/** After which an alert that could not be sent may be raised again. */
const againMs = 10_000;

export function openFailures({
  file,
  engine,
  scope,
  publish,
  log,
  metrics,
  windows = defaultWindows,
  bounds = defaultBounds,
  chance = Math.random,
}: FailureOptions): Failures {
  const history = openHistory(file, bounds);
  const strategies = openStrategies(engine);
  const counts = { kept: 0, lost: 0, alerts: 0, unpublished: 0 };
  metrics?.counter('flotilla_hub_failures_total', 'Failures of agents that were kept.', () => counts.kept);
  metrics?.counter('flotilla_hub_failures_lost_total', 'Failures that could not be kept.', () => counts.lost);
  metrics?.counter(
    'flotilla_hub_failures_dropped_total',
    'Failures that left the history before their time, to make room; sums have them still.',
    () => history.dropped(),
  );
  metrics?.counter('flotilla_hub_alerts_total', 'Alerts that failures have raised.', () => counts.alerts);
  metrics?.counter(
    'flotilla_hub_alerts_unpublished_total',
    'Alerts that could not be sent to their topic; a later failure of the kind raises them again.',
    () => counts.unpublished,
  );

  /** An alert, where it is time for one: kept together with what raised it. */
  function raised(pattern: Pattern, cause: Alert['cause'], nowMs: number): Alert | undefined {
    const window = windows[pattern.severity];
    if (isQuiet(pattern.alertedMs, window, nowMs)) return undefined;
    const sinceMs = nowMs - window.withinMs;
    if (
      cause === 'frequency' &&
      history.recent(pattern.id, sinceMs, window.failures).length < window.failures
    )
      return undefined;
    const recent = history.recent(pattern.id, sinceMs, mostCounted);
    history.alerted(pattern.id, nowMs);
    return alertOf(
      pattern,
      cause,
      {
        failures: recent.length,
        sinceMs: recent.at(-1)?.atMs ?? nowMs,
        agents: [...new Set(recent.map(({ agent }) => agent))],
      },
      window,
    );
  }

  async function tell(pattern: Pattern, alert: Alert, nowMs: number): Promise<void> {
    counts.alerts += 1;
    try {
      await publish(alert);
    } catch (error) {
      counts.unpublished += 1;
      log.warn('alert_unpublished', { fingerprint: alert.fingerprint, severity: alert.severity, error });
      try {
        history.stage(() =>
          history.alerted(pattern.id, nowMs - windows[pattern.severity].withinMs + againMs),
        );
      } catch {
        // Then it is quiet until its window has passed; it is counted and logged.
      }
    }
  }

  function kept(
    failed: Failed,
    nowMs: number,
  ): { readonly pattern: Pattern; readonly alert: Alert | undefined } {
    const pattern = history.note(notedOf(failed), nowMs);
    return { pattern, alert: raised(pattern, 'frequency', nowMs) };
  }

  return {
    scope,

    record(failed, nowMs) {
      if (failed.length === 0) return;
      try {
        const done = history.stage(() => {
          const all = failed.map((one) => kept(one, nowMs));
          for (const owner of new Set(failed.map((one) => one.owner))) history.holdWithin(owner);
          return all;
        });
        counts.kept += failed.length;
        for (const { pattern, alert } of done) if (alert) void tell(pattern, alert, nowMs);
      } catch (error) {
        // The next one is tried again; nobody's work may depend on this.
        counts.lost += failed.length;
        log.warn('failures_lost', { failures: failed.length, error });
      }
    },

    async answer(failed, nowMs) {
      const { agent, owner, capability, retryAfterMs, attempt } = failed;
      const rule = classify(failed);
      const situation = { rule, agent, capability, retryAfterMs };
      const strategy = strategyFor(situation, await strategies.of(owner, nowMs));
      const decision = decide(situation, attempt, strategy, chance());
      const isEnd = decision.do === 'escalate' || decision.do === 'shut_down';
      const { value, committed } = sharingCommit(() =>
        history.write(() => {
          const { pattern, alert } = kept(failed, nowMs);
          const last = alert ?? (isEnd ? raised(pattern, 'strategy', nowMs) : undefined);
          history.holdWithin(owner);
          return { pattern, alert: last };
        }),
      );
      await committed;
      counts.kept += 1;
      const { pattern, alert } = value;
      if (alert) void tell(pattern, alert, nowMs);
      return { rule, fingerprint: pattern.fingerprint, decision, isAlerted: alert !== undefined };
    },

    reportOf: (question, call) => inTurns(history.read, call, telling(call, reportOf(history, question))),
    newest: (owner, fingerprint, most) => history.newest(owner, fingerprint, most),
    setStrategy: async (owner, scope, steps, nowMs) => strategies.set(owner, scope, steps, nowMs),
    strategiesOf: async (owner, nowMs) => strategies.of(owner, nowMs),
    sweep(nowMs) {
      try {
        return history.sweep(nowMs);
      } catch (error) {
        log.warn('failures_not_swept', { error });
        return false;
      }
    },
    probe: () => history.probe(),
    [Symbol.dispose]: () => history[Symbol.dispose](),
  };
}

function notedOf(failed: Failed): Noted {
  const rule = classify(failed);
  const message = cleaned(failed.message ?? rule.says);
  const pattern = masked(message);
  return {
    owner: failed.owner,
    agent: failed.agent,
    rule,
    sign: signOf(failed),
    fingerprint: fingerprintOf(rule, failed, pattern),
    message,
    pattern,
    correlationId: failed.correlationId,
    lostAttempts: whole(failed.lostAttempts ?? 1),
    workedMs: whole(failed.workedMs ?? 0),
    delayedMessages: whole(failed.delayedMessages ?? 0),
  };
}

/** So that sums, however many, stay whole numbers that can be told exactly; in milliseconds it is eleven days. */
const whole = (value: number) => Math.min(Math.max(0, Math.round(value)), mostCost);
const mostCost = 1e9;
