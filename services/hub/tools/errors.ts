/** Failures of agents: to report one and learn what to do, to see what they come to, and to say what should be done. */
import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField, storable, toldBriefly } from '#runtime/fields.ts';
import { adding, reading, replacing } from '#runtime/hints.ts';
import { continued, fitting } from '#runtime/page.ts';
import { defineTool } from '#runtime/tool.ts';

import type { Agents } from '../agents.ts';
import { agentNameField, capabilityField } from '../directory.ts';
import { trends } from '../errors/advice.ts';
import type { Failures } from '../errors/failures.ts';
import type { Example } from '../errors/history.ts';
import { categories, severities } from '../errors/rules.ts';
import { actions, defaultStrategies, stepsSchema } from '../errors/strategies.ts';
import { actingField, idField, isoOf } from '../fields.ts';

/** What these tools need of the hub. */
export interface ErrorDeps {
  readonly failures: Failures;
  readonly agents: Pick<Agents, 'acting'>;
}

const category = z.enum(categories);
const severity = z.enum(severities);
const mostHours = 30 * 24;
const count = z.int().min(0);

const target = z.object({ agent: z.string().optional(), capability: z.string().optional() });
const classified = z.object({
  category,
  severity,
  kind: z.string(),
  says: z.string(),
  retryable: z.boolean(),
  fingerprint: z.string(),
});

export const reportError = defineTool({
  name: 'report_error',
  title: 'Report Error',
  description:
    'Tell that work of your agent has failed, and learn what to do: retry, reconnect first, fall back on another agent, escalate to a person, ignore it and go on, or shut down. It is kept without secrets.',
  effect: 'write',
  hints: adding,
  input: z.object({
    agent: actingField,
    message: storable(z.string().min(1).max(100_000)).describe("The error's message."),
    code: z
      .union([storable(z.string().max(200)), z.number()])
      .optional()
      .describe('Such as ECONNREFUSED or -32601.'),
    http_status: z.int().min(100).max(599).optional().describe('Its status.'),
    name: storable(z.string().max(200)).optional().describe('Such as AbortError.'),
    errno: z.int().optional().describe('Of the system.'),
    attempt: z.int().min(1).default(1).describe('Which attempt at this work failed.'),
    capability: capabilityField.optional().describe('What was asked for.'),
    retry_after_ms: count.optional().describe('When to come back, if that was said.'),
    worked_ms: count.optional().describe('How long the work went on.'),
    delayed_messages: count.optional().describe('Messages that wait because of it.'),
    correlation_id: idField.optional().describe('Of the message it was about.'),
  }),
  output: z.object({
    do: z.enum(actions).describe('What to do now.'),
    after_ms: z.int().describe('Wait so long before.'),
    to: toldBriefly(target).optional().describe('For fallback: agent or capability to send the work to.'),
    tries_left: z.int().describe('How often the same may be done again.'),
    failure: toldBriefly(classified).describe(
      'category, severity, kind, says (a sentence without your message), retryable and fingerprint.',
    ),
    alerted: z.boolean().describe('Whether it raised an alert on topic system.alert.'),
  }),

  async handler(args, { failures, agents }: ErrorDeps, call) {
    await agents.acting(args.agent, call.caller);
    const { rule, fingerprint, decision, isAlerted } = await failures.answer(
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
      failure: {
        category: rule.category,
        severity: rule.severity,
        kind: rule.name,
        says: rule.says,
        retryable: rule.isPassing,
        fingerprint,
      },
      alerted: isAlerted,
    };
  },
});

const cost = { lost_attempts: z.int(), worked_ms: z.int(), delayed_messages: z.int() };
const counts = { failures: z.int(), before: z.int(), trend: z.enum(trends) };

const totals = z.object({
  from: z.string(),
  to: z.string(),
  ...counts,
  hourly: z.array(z.int()),
  categories: z.array(z.object({ category, ...counts })),
  severities: z.record(z.string(), z.int()),
  ...cost,
});

const recommendation = z.object({
  rule: z.string(),
  advice: z.string(),
  because: z.string().describe('Figures.'),
  failures: z.int(),
  fingerprints: z.array(z.string()),
});

const pattern = z.object({
  fingerprint: z.string(),
  category,
  severity,
  kind: z.string(),
  code: z.string(),
  message: z.string().describe('<n>, <id> and <path> stand for what differs.'),
  ...counts,
  agents: z.array(z.string()),
  agents_in_all: z.int(),
  first_at: z.string(),
  last_at: z.string(),
  ...cost,
});

const fingerprintField = z.string().regex(/^[0-9a-f]{16}$/, 'must be a fingerprint: 16 hexadecimal digits');

const example = z.object({
  at: z.string(),
  agent: z.string(),
  message: z.string().describe('As it was told.'),
  correlation_id: z.string().optional(),
});

const exampleOf = ({ atMs, agent, message, correlationId }: Example) => ({
  at: isoOf(atMs),
  agent,
  message,
  ...(correlationId !== null && { correlation_id: correlationId }),
});

export const getErrorReport = defineTool({
  name: 'get_error_report',
  title: 'Get Error Report',
  description:
    'See what goes wrong with your agents: the most frequent failures, trends, cost, and recommendations.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    hours: z.int().min(1).max(mostHours).default(24).describe('How far back.'),
    agent: agentNameField.optional().describe('Only of this agent.'),
    category: category.optional().describe('Only of this category.'),
    fingerprint: fingerprintField.optional().describe('Only these, with the newest of them.'),
    limit: limitField(100, 10),
    cursor: cursorField,
  }),
  output: z.object({
    scope: z.enum(['all', 'this_hub']).describe('this_hub: other hubs keep what they saw themselves.'),
    totals: toldBriefly(totals).describe(
      'from, to, failures, before (in as long a time before), trend, hourly (failures of each hour up to now, 48 at most), categories, severities and cost: lost_attempts, worked_ms (lost work), delayed_messages.',
    ),
    recommendations: z
      .array(toldBriefly(recommendation, 'because'))
      .describe('With rule, advice, failures and fingerprints.'),
    patterns: z
      .array(toldBriefly(pattern, 'message'))
      .describe(
        'Failures alike, the most frequent first, with fingerprint, kind, code, counts, agents, times and cost.',
      ),
    newest: z
      .array(toldBriefly(example, 'message'))
      .optional()
      .describe('Of the fingerprint, with at, agent and correlation_id.'),
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
      totals: report.totals,
      recommendations: report.recommendations,
      patterns,
      ...(args.fingerprint !== undefined && {
        newest: fitting(failures.newest(call.caller, args.fingerprint, limit).map(exampleOf)),
      }),
      ...continued('get_error_report', args, end < report.patterns.length ? [end] : undefined),
    };
  },
});

const scope = {
  agent: agentNameField.optional().describe('For failures of this agent.'),
  capability: capabilityField.optional().describe('Where this was asked for.'),
  category: category.optional().describe('For failures of this category.'),
};

export const setRecoveryStrategy = defineTool({
  name: 'set_recovery_strategy',
  title: 'Set Recovery Strategy',
  description:
    'Say what report_error answers for failures of your agents: for those of an agent, a capability or a category, or for all.',
  effect: 'write',
  hints: replacing,
  input: z.object({
    ...scope,
    steps: stepsSchema.describe(
      'In order, each for its attempts; then escalate. retry is left out where the same would fail the same. None: back to the default.',
    ),
  }),
  output: z.object({ replaced: z.boolean().describe('Whether there was one for the same before.') }),

  async handler({ steps, ...scope }, { failures, agents }: ErrorDeps, call) {
    if (scope.agent !== undefined) await agents.acting(scope.agent, call.caller);
    return { replaced: await failures.setStrategy(call.caller, scope, steps, call.nowMs) };
  },
});

const strategy = z.object({
  set_by: z.enum(['you', 'default']).describe('By whom.'),
  agent: z.string().optional(),
  capability: z.string().optional(),
  category: category.optional(),
  severity: severity.optional(),
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
