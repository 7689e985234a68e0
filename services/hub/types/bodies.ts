/** The types of messages that every hub knows, and what their bodies hold. All bodies may hold more than is named here. */
import { z } from 'zod';

import type { Priority } from '../message.ts';
import { topicPatternField } from '../routing/glob.ts';
import { filterField } from '../routing/match.ts';

const minute = 60;
const day = 24 * 60 * minute;

const mostItems = 1_000;

const word = (description: string) => z.string().min(1).max(200).describe(description);
const text = (description: string) => z.string().min(1).max(100_000).describe(description);
const texts = (description: string) => z.array(z.string().max(10_000)).max(mostItems).describe(description);
const whole = (description: string) => z.int().min(0).describe(description);
const share = (description: string) => z.number().min(0).max(1).describe(description);
const anything = (description: string) => z.unknown().describe(description);
const named = (description: string) => z.record(z.string(), z.unknown()).describe(description);
const time = (description: string) => z.iso.datetime({ offset: true }).describe(description);

const failure = {
  code: word('Such as invalid_input, timeout or ECONNREFUSED.'),
  message: text('What went wrong, in words.'),
};

/** How a type of messages is treated, where its sender says nothing else. */
export interface Treatment {
  readonly description: string;
  /** Whether its sender waits for a message that replies to it. */
  readonly expectsAnswer: boolean;
  readonly priority: Priority;
  /** `undefined`: as the hub is set. */
  readonly ttlSeconds: number | undefined;
}

export interface BuiltIn extends Treatment {
  readonly body: z.ZodType;
}

const usual = { expectsAnswer: false, priority: 'normal', ttlSeconds: undefined } as const;
const asking = { ...usual, expectsAnswer: true } as const;

/** An object with one of these keys at least. */
const holding = <Shape extends z.core.$ZodLooseShape>(
  shape: Shape,
  ...keys: readonly (keyof Shape & string)[]
) =>
  z.looseObject(shape).refine((body) => keys.some((key) => body[key] !== undefined), {
    error: `must have ${keys.slice(0, -1).join(', ')} or ${keys.at(-1)}`,
  });

/** What was done, or why it was not. */
const outcome = z
  .looseObject({
    result: anything('What came of it.').optional(),
    error: z.looseObject(failure).optional().describe('Why nothing came of it.'),
  })
  .refine(({ result, error }) => (result === undefined) !== (error === undefined), {
    error: 'must have either result or error',
  });

export const builtIn = {
  context_update: {
    ...usual,
    description: 'What is shared under a name has changed.',
    body: z.looseObject({
      context_id: word('Name of what is shared.'),
      change: z.enum(['created', 'updated', 'removed']).default('updated'),
      version: whole('After the change.').optional(),
      access: z.enum(['public', 'restricted', 'confidential', 'private']).optional(),
      content: anything('What it is now, or what changed.').optional(),
    }),
  },
  task_notification: {
    ...usual,
    description: 'How a task stands.',
    body: z.looseObject({
      task_id: word('Of the task.'),
      status: z.enum(['pending', 'assigned', 'in_progress', 'blocked', 'completed', 'failed', 'cancelled']),
      title: word('Of the task.').optional(),
      detail: text('What is to be known of it.').optional(),
      progress: share('How much is done.').optional(),
      result: anything('What came of it.').optional(),
    }),
  },
  agent_request: {
    ...asking,
    description: 'An agent asks another one to do something.',
    body: z.looseObject({
      action: word('What is to be done.'),
      arguments: named('By name.').optional(),
      deadline: time('When it is no longer wanted.').optional(),
    }),
  },
  agent_response: { ...usual, description: 'What came of an agent_request.', body: outcome },
  system_status: {
    ...usual,
    ttlSeconds: 10 * minute,
    description: 'How a part of the system is, or what happened to it.',
    body: z
      .looseObject({
        status: z.enum(['healthy', 'degraded', 'unhealthy', 'starting', 'stopping', 'gone']).optional(),
        event: word('What happened, such as agent_gone.').optional(),
        component: word('Which part.').optional(),
        detail: text('More of it.').optional(),
        metrics: z.record(z.string(), z.number()).optional().describe('Figures by name.'),
      })
      .refine(({ status, event }) => status !== undefined || event !== undefined, {
        error: 'must have status or event',
      }),
  },
  error: {
    ...usual,
    priority: 'high',
    ttlSeconds: day,
    description: 'Something failed. No error message causes another one.',
    body: z.looseObject({
      ...failure,
      severity: z.enum(['low', 'medium', 'high', 'critical']).optional(),
      category: word('Such as connection, validation or timeout.').optional(),
      message_id: word('Of the message that could not be worked on.').optional(),
      retryable: z.boolean().optional(),
      retry_after_ms: whole('When it is worth trying again.').optional(),
      details: anything('More of it.').optional(),
    }),
  },
  heartbeat: {
    ...usual,
    priority: 'low',
    ttlSeconds: 2 * minute,
    description: 'An agent is there.',
    body: z.looseObject({
      status: z.enum(['available', 'busy', 'draining']).optional(),
      load: share('How much of what it can do it does now.').optional(),
      note: text('What it works on.').optional(),
    }),
  },
  subscribe: {
    ...usual,
    description: 'An agent says that it listens to a topic.',
    body: z.looseObject({
      topic: topicPatternField.describe('Topic or pattern: build.done, build.*, build.**'),
      match: filterField.optional().describe('Only bodies with these values.'),
    }),
  },
  unsubscribe: {
    ...usual,
    description: 'An agent says that it listens to a topic no longer.',
    body: z.looseObject({ topic: topicPatternField.describe('As it was in subscribe.') }),
  },
  request: {
    ...asking,
    description: 'Asks for something, in words or by the name of a method.',
    body: holding(
      {
        text: text('What is asked for, in words.').optional(),
        method: word('What is asked for.').optional(),
        params: anything('By name or in order.').optional(),
      },
      'text',
      'method',
    ),
  },
  response: {
    ...usual,
    description: 'What came of a request.',
    body: holding(
      {
        text: text('The answer, in words.').optional(),
        result: anything('What came of it.').optional(),
        error: z.looseObject(failure).optional().describe('Why nothing came of it.'),
      },
      'text',
      'result',
      'error',
    ),
  },
  notification: {
    ...usual,
    description: 'Something happened; nobody need answer. Any object.',
    body: z.looseObject({
      event: word('What happened.').optional(),
      text: text('In words.').optional(),
      data: anything('More of it.').optional(),
    }),
  },
  broadcast: {
    ...usual,
    description: 'For everybody to know.',
    body: z.looseObject({
      text: text('What everybody should know.'),
      data: anything('More of it.').optional(),
    }),
  },
  collaborate: {
    ...asking,
    description: 'Asks others to work on something together.',
    body: z.looseObject({
      goal: text('What is to be reached.'),
      role: word('What the receiver is wanted for.').optional(),
      participants: texts('Names of agents.').optional(),
      steps: texts('In order.').optional(),
      deadline: time('When it has to be reached.').optional(),
    }),
  },
  context_sync: {
    ...usual,
    description: 'What an agent knows of its work, for another one to go on with.',
    body: z.looseObject({
      context_id: word('Of this context.'),
      version: whole('Grows with each change.').optional(),
      base_version: whole('What the changes were made to.').optional(),
      conversation_id: word('Where it comes from.').optional(),
      workspace_id: word('Where the files are.').optional(),
      content: anything('All of it.').optional(),
      changes: z.array(z.unknown()).max(10_000).optional().describe('Since base_version.'),
      file_references: texts('Files that matter.').optional(),
      symbol_references: texts('Names in the code that matter.').optional(),
      preferences: named('Of the person it is for.').optional(),
    }),
  },
  intelligence_share: {
    ...usual,
    description: 'What an agent has found out.',
    body: z.looseObject({
      kind: word('Such as finding, pattern, decision or warning.'),
      summary: text('What was found out.'),
      confidence: share('How sure it is.').optional(),
      evidence: z.array(z.unknown()).max(mostItems).optional().describe('Where that can be seen.'),
      tags: texts('What it is about.').optional(),
    }),
  },
  state_update: {
    ...usual,
    description: 'A value has changed.',
    body: z
      .looseObject({
        key: word('Name of the value.'),
        value: anything('What it is now.'),
        previous: anything('What it was.').optional(),
        version: whole('Grows with each change.').optional(),
      })
      .refine((body) => body.value !== undefined, {
        error: 'must have a value; null when there is none any more',
      }),
  },
  query: {
    ...asking,
    description: 'A question.',
    body: z.looseObject({
      question: text('What is asked.'),
      scope: anything('Where to look.').optional(),
      limit: z.int().min(1).max(10_000).optional().describe('How many answers at most.'),
    }),
  },
} as const satisfies Readonly<Record<string, BuiltIn>>;
