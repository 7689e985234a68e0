/** What to do about a failure: strategies are data, and deciding by one is pure. Times are milliseconds. */
import { z } from 'zod';

import { agentNameField, capabilityField } from '../directory.ts';
import type { Category, Rule, Severity } from './rules.ts';

export const actions = ['retry', 'reconnect', 'fallback', 'escalate', 'ignore', 'shut_down'] as const;
export type Action = (typeof actions)[number];

const hourMs = 3_600_000;
const delay = z
  .int()
  .min(0)
  .max(24 * hourMs);

export const stepSchema = z
  .strictObject({
    do: z.enum(actions).describe('escalate, ignore and shut_down come last.'),
    times: z.int().min(1).max(100).optional().describe('Attempts; 1 unless given.'),
    initial_delay_ms: delay.optional().describe('1000 unless given.'),
    factor: z.number().min(1).max(10).optional().describe('2 unless given.'),
    max_delay_ms: delay.optional().describe('60000 unless given.'),
    jitter: z.number().min(0).max(1).optional().describe('Share left to chance; 0.5 unless given.'),
    agent: agentNameField.optional().describe('To fall back on.'),
    capability: capabilityField.optional().describe('The same.'),
  })
  .superRefine((step, context) => {
    const wrong = (message: string) => context.addIssue({ code: 'custom', message });
    const isTimed = step.do === 'retry' || step.do === 'reconnect';
    const isCounted = isTimed || step.do === 'fallback';
    if (!isCounted && step.times !== undefined) wrong(`${step.do} is the end: it has no times`);
    if (!isTimed && timing.some((key) => step[key] !== undefined))
      wrong(`only retry and reconnect wait: leave out ${timing.join(', ')}`);
    if (step.do !== 'fallback' && (step.agent ?? step.capability) !== undefined)
      wrong('only fallback goes to another agent or capability');
    if (step.agent !== undefined && step.capability !== undefined)
      wrong('a fallback goes to an agent or to a capability, not to both');
  });
export type Step = z.output<typeof stepSchema>;

const timing = ['initial_delay_ms', 'factor', 'max_delay_ms', 'jitter'] as const;

/** One after the other: what a step does stands for so many attempts, then the next one's. Behind the last one stands `escalate`. */
export const stepsSchema = z
  .array(stepSchema)
  .max(10)
  .refine(
    (steps) => steps.slice(0, -1).every((step) => isCounted(step)),
    'nothing comes after escalate, ignore or shut_down: put it last',
  );

const isCounted = ({ do: action }: Step) =>
  action === 'retry' || action === 'reconnect' || action === 'fallback';

/** Which failures a strategy is for: of this agent, of this capability, of this category; of all where it names none. */
export interface Scope {
  readonly agent?: string | undefined;
  readonly capability?: string | undefined;
  readonly category?: Category | undefined;
}

export interface Strategy extends Scope {
  readonly steps: readonly Step[];
}

/** From 1 s, doubling, up to a minute; up to half of it is left to chance, so that those who failed together do not return together. */
const usual = { initial_delay_ms: 1_000, factor: 2, max_delay_ms: 60_000, jitter: 0.5 };

/** What holds where nobody has set another. The first that fits counts. */
export const defaultStrategies: readonly (Strategy & {
  readonly category: Category;
  readonly severity?: Severity;
})[] = [
  { category: 'system', severity: 'critical', steps: [{ do: 'shut_down' }] },
  { category: 'resource', severity: 'critical', steps: [{ do: 'escalate' }] },
  {
    category: 'connection',
    steps: [{ do: 'retry', times: 2 }, { do: 'reconnect', times: 4 }, { do: 'fallback' }, { do: 'escalate' }],
  },
  { category: 'authentication', steps: [{ do: 'reconnect', times: 1 }, { do: 'escalate' }] },
  { category: 'validation', steps: [{ do: 'ignore' }] },
  { category: 'timeout', steps: [{ do: 'retry', times: 2 }, { do: 'fallback' }, { do: 'escalate' }] },
  {
    category: 'resource',
    steps: [
      { do: 'retry', times: 5, initial_delay_ms: 5_000, max_delay_ms: 300_000 },
      { do: 'fallback' },
      { do: 'escalate' },
    ],
  },
  { category: 'protocol', steps: [{ do: 'reconnect', times: 1 }, { do: 'escalate' }] },
  { category: 'system', steps: [{ do: 'retry', times: 1 }, { do: 'fallback' }, { do: 'escalate' }] },
  { category: 'unknown', steps: [{ do: 'retry', times: 1 }, { do: 'escalate' }] },
];

/** What a decision depends on. */
export interface Situation {
  readonly rule: Pick<Rule, 'category' | 'severity' | 'isPassing'>;
  readonly agent: string;
  /** What was asked for when it failed. */
  readonly capability?: string | undefined;
  /** What failed says when to come back. */
  readonly retryAfterMs?: number | undefined;
}

export interface Decision {
  readonly do: Action;
  readonly afterMs: number;
  /** For `fallback`. */
  readonly to: { readonly agent: string } | { readonly capability: string } | undefined;
  /** How many more attempts the same step stands for. */
  readonly left: number;
}

/** The strategy that says most of what it is for: agent before capability before category. */
export function strategyFor(situation: Situation, own: readonly Strategy[]): Strategy {
  const { rule, agent, capability } = situation;
  const about: Required<Scope> = { agent, capability, category: rule.category };
  let best: Strategy | undefined;
  for (const one of own) {
    if (scopeKeys.every((key) => one[key] === undefined || one[key] === about[key])) {
      if (!best || weightOf(one) > weightOf(best)) best = one;
    }
  }
  return best ?? defaultFor(rule);
}

const scopeKeys = ['agent', 'capability', 'category'] as const;
const weightOf = (scope: Scope) =>
  scopeKeys.reduce((weight, key) => weight * 2 + (scope[key] === undefined ? 0 : 1), 0);

function defaultFor({ category, severity }: Situation['rule']): Strategy {
  const found = defaultStrategies.find(
    (one) => one.category === category && (one.severity ?? severity) === severity,
  );
  return found ?? { steps: [] };
}

/**
 * What to do after the attempt that failed.
 *
 * @param attempt which it was, from 1.
 * @param chance from 0 to 1, for the part of a delay that is left to it.
 */
export function decide(situation: Situation, attempt: number, { steps }: Strategy, chance: number): Decision {
  let before = 0;
  for (const step of steps) {
    if (isPassedOver(step, situation)) continue;
    const times = isCounted(step) ? (step.times ?? 1) : Infinity;
    if (attempt <= before + times) {
      const isTimed = step.do === 'retry' || step.do === 'reconnect';
      return {
        do: step.do,
        afterMs: isTimed
          ? Math.max(delayOf(step, attempt - before, chance), Math.min(situation.retryAfterMs ?? 0, hourMs))
          : 0,
        to: step.do === 'fallback' ? targetOf(step, situation) : undefined,
        left: isCounted(step) ? before + times - attempt : 0,
      };
    }
    before += times;
  }
  return { do: 'escalate', afterMs: 0, to: undefined, left: 0 };
}

/** The same again would fail the same; or there is nobody to fall back on. */
function isPassedOver(step: Step, situation: Situation): boolean {
  if (step.do === 'retry') return !situation.rule.isPassing;
  if (step.do === 'fallback') return targetOf(step, situation) === undefined;
  return false;
}

/** The one that the step names, never the agent that failed; else whoever else can do what was asked for. */
function targetOf({ agent, capability }: Step, situation: Situation): Decision['to'] {
  if (agent !== undefined) return agent === situation.agent ? undefined : { agent };
  const wanted = capability ?? situation.capability;
  return wanted === undefined ? undefined : { capability: wanted };
}

/** @param nth which try of its step, from 1. */
export function delayOf(step: Step, nth: number, chance: number): number {
  const { initial_delay_ms: initial, factor, max_delay_ms: most, jitter } = { ...usual, ...given(step) };
  // A power that grew without end would be no number when nothing is multiplied by it.
  const full = Math.min(most, initial * factor ** Math.min(nth - 1, 100));
  return Math.round(full * (1 - jitter * chance));
}

const given = (step: Step): Partial<typeof usual> =>
  Object.fromEntries(timing.flatMap((key) => (step[key] === undefined ? [] : [[key, step[key]]])));
