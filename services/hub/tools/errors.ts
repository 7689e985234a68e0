/** Failures of agents: to report one and learn what to do, to see what they come to, and to say what should be done. */
import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField, toldBriefly } from '#runtime/fields.ts';
import { adding, reading, replacing } from '#runtime/hints.ts';
import { continued, fitting } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import type { Agents } from '../agents.ts';
import { agentNameField, capabilityField } from '../directory.ts';
import { trends } from '../errors/advice.ts';
import type { Failures } from '../errors/failures.ts';
import { categories, severities } from '../errors/rules.ts';
import { actions, defaultStrategies, stepsSchema } from '../errors/strategies.ts';
import { actingField, idField } from '../fields.ts';

/** What these tools need of the hub. */
export interface ErrorDeps {
  readonly failures: Failures;
  readonly agents: Pick<Agents, 'acting'>;
}

const mostHours = 30 * 24;
const count = z.int().min(0).max(1_000_000_000);

export const reportError = defineTool({
  name: 'report_error',
  title: 'Report Error',
  description:
    'Tell that work of your agent has failed, and learn what to do: retry (after after_ms), reconnect first, fallback to another agent, escalate to a person, ignore (go on without it) or shut_down. The failure is kept, without secrets.',
  effect: 'write',
  hints: adding,
  input: z.object({
    agent: actingField,
    message: z.string().min(1).max(100_000).describe("The error's message."),
    code: z
      .union([z.string().max(200), z.number()])
      .optional()
      .describe('Its code, such as ECONNREFUSED, not_found, SQLITE_BUSY or -32601.'),
    http_status: z.int().min(100).max(599).optional(),
    name: z.string().max(200).optional().describe('Its type, such as AbortError.'),
    errno: z.int().min(-100_000).max(100_000).optional(),
    attempt: z.int().min(1).max(1_000_000).default(1).describe('Which attempt at this work it was.'),
    capability: capabilityField.optional().describe('What was asked for.'),
    retry_after_ms: count.optional().describe('When to come back, if what failed said so.'),
    worked_ms: count.optional().describe('How long the work went on before it failed.'),
    delayed_messages: count.optional().describe('Messages that wait because of it.'),
    correlation_id: idField.optional().describe('Of the message it was about.'),
  }),
  output: z.object({
    do: z.enum(actions).describe('What to do now.'),
    after_ms: z.int().describe('Wait so long before.'),
    to: z
      .object({ agent: z.string().optional(), capability: z.string().optional() })
      .optional()
      .describe('For fallback: send the work there.'),
    tries_left: z.int().describe('How often the same may be done again.'),
    category: z.enum(categories),
    severity: z.enum(severities),
    kind: z.string().describe('What kind of failure it is.'),
    says: z.string().describe('The same as a sentence; holds nothing of your message.'),
    retryable: z.boolean().describe('Whether the same again may go well.'),
    fingerprint: z.string().describe('Failures alike have the same.'),
    alerted: z.boolean().describe('Whether it raised an alert on topic system.alert.'),
  }),

  async handler(args, { failures, agents }: ErrorDeps, call) {
    agents.acting(args.agent, call.caller, call.nowMs);
    const { rule, fingerprint, decision, isAlerted } = await failures.report(
      {
        ...args,
        owner: call.caller,
        correlationId: args.correlation_id,
        retryAfterMs: args.retry_after_ms,
        ...(args.worked_ms !== undefined && { workedMs: args.worked_ms }),
        ...(args.delayed_messages !== undefined && { delayedMessages: args.delayed_messages }),
      },
      call.nowMs,
    );
    return {
      do: decision.do,
      after_ms: decision.afterMs,
      ...(decision.to && { to: decision.to }),
      tries_left: decision.left,
      category: rule.category,
      severity: rule.severity,
      kind: rule.name,
      says: rule.says,
      retryable: rule.isPassing,
      fingerprint,
      alerted: isAlerted,
    };
  },
});

const trend = z.enum(trends);
const cost = { lost_attempts: z.int(), worked_ms: z.int(), delayed_messages: z.int() };
const counts = { failures: z.int(), before: z.int().describe('In the time before, as long.'), trend };

const pattern = z.object({
  fingerprint: z.string(),
  category: z.enum(categories),
  severity: z.enum(severities),
  kind: z.string(),
  code: z.string(),
  message: z.string(),
  ...counts,
  agents: z.array(z.string()),
  agents_in_all: z.int(),
  first_at: z.string(),
  last_at: z.string(),
  ...cost,
});

export const getErrorReport = defineTool({
  name: 'get_error_report',
  title: 'Get Error Report',
  description:
    'See what failures of your agents come to: the most frequent patterns, trends against the time before, what they cost, and what to do about them.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    hours: z.int().min(1).max(mostHours).default(24).describe('How far back.'),
    agent: agentNameField.optional().describe('Only of this agent.'),
    category: z.enum(categories).optional(),
    limit: limitField(100, 10),
    cursor: cursorField,
  }),
  output: z.object({
    scope: z
      .enum(['all', 'this_hub'])
      .describe('this_hub: other hubs of the mesh keep what they saw themselves; ask them too.'),
    from: z.string(),
    to: z.string(),
    ...counts,
    hourly: z.array(z.int()).describe('Failures in each of the last hours, 48 at most; the last is now.'),
    categories: z
      .array(toldBriefly(z.object({ category: z.enum(categories), ...counts }), 'category', 'failures'))
      .describe('With before and trend.'),
    severities: z.record(z.string(), z.int()),
    cost: toldBriefly(z.object(cost)).describe('lost_attempts, worked_ms (work lost) and delayed_messages.'),
    recommendations: z
      .array(
        toldBriefly(
          z.object({
            rule: z.string(),
            advice: z.string(),
            because: z.string(),
            failures: z.int(),
            fingerprints: z.array(z.string()),
          }),
          'advice',
          'because',
        ),
      )
      .describe('With rule, failures and fingerprints.'),
    patterns: z
      .array(toldBriefly(pattern, 'message', 'failures'))
      .describe(
        'The most frequent first; in message, <n>, <id> and <path> stand for what differs. With kind, code, agents, times and cost.',
      ),
    ...continuation,
  }),

  async handler({ cursor, ...args }, { failures }: ErrorDeps, call) {
    const { limit, ...question } = args;
    const [from] = decodeCursor('get_error_report', args, cursor, z.tuple([z.int().min(0)]), [0]);
    const report = await failures.reportOf({ ...question, owner: call.caller, nowMs: call.nowMs }, call);
    const patterns = fitting(report.patterns.slice(from, from + limit));
    const end = from + patterns.length;
    return {
      scope: failures.scope,
      ...report,
      patterns,
      ...continued('get_error_report', args, end < report.patterns.length ? [end] : undefined),
    };
  },
});

const scope = {
  agent: agentNameField.optional().describe('For failures of this agent.'),
  capability: capabilityField.optional().describe('For failures of what was asked for by this name.'),
  category: z.enum(categories).optional().describe('For failures of this category.'),
};

export const setRecoveryStrategy = defineTool({
  name: 'set_recovery_strategy',
  title: 'Set Recovery Strategy',
  description:
    'Say what report_error answers for failures of your agents. Steps are taken in order, each for so many attempts; after the last one stands escalate. Of several that fit, agent counts before capability before category. steps: [] returns to the default.',
  effect: 'write',
  hints: replacing,
  input: z.object({
    ...scope,
    steps: stepsSchema.describe(
      'do: retry, reconnect, fallback, escalate, ignore or shut_down. retry and reconnect take times, initial_delay_ms (1000), factor (2), max_delay_ms (60000) and jitter (0.5: so much of the delay is left to chance); fallback takes agent or capability. retry is left out where the same would fail the same.',
    ),
  }),
  output: z.object({ replaced: z.boolean().describe('Whether there was one for the same before.') }),

  async handler({ steps, ...scope }, { failures, agents }: ErrorDeps, call) {
    if (scope.agent !== undefined) agents.acting(scope.agent, call.caller, call.nowMs);
    return { replaced: await failures.setStrategy(call.caller, scope, steps, call.nowMs) };
  },
});

const strategy = z.object({
  set_by: z.enum(['you', 'default']),
  agent: z.string().optional(),
  capability: z.string().optional(),
  category: z.enum(categories).optional(),
  severity: z.enum(severities).optional(),
  steps: stepsSchema,
});

export const listRecoveryStrategies = defineTool({
  name: 'list_recovery_strategies',
  title: 'List Recovery Strategies',
  description:
    'See the strategies that you have set, and the default ones, which count where none of yours fits.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({ limit: limitField(200, 50), cursor: cursorField }),
  output: z.object({
    strategies: z
      .array(toldBriefly(strategy, 'set_by'))
      .describe('With agent, capability, category and severity that it is for, and steps.'),
    ...continuation,
  }),

  async handler({ cursor, ...args }, { failures }: ErrorDeps, call) {
    const [from] = decodeCursor('list_recovery_strategies', args, cursor, z.tuple([z.int().min(0)]), [0]);
    const own = await failures.strategiesOf(call.caller, call.nowMs);
    const all = [
      ...own.map(({ agent, capability, category, steps }) => ({
        set_by: 'you' as const,
        agent,
        capability,
        category,
        steps: [...steps],
      })),
      ...defaultStrategies.map((one) => ({ set_by: 'default' as const, ...one, steps: [...one.steps] })),
    ];
    const strategies = fitting(all.slice(from, from + args.limit));
    const end = from + strategies.length;
    return {
      strategies,
      ...continued('list_recovery_strategies', args, end < all.length ? [end] : undefined),
    };
  },
});

export const errorTools = [reportError, getErrorReport, setRecoveryStrategy, listRecoveryStrategies];
