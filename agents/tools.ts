/** What an agent can be asked. Its face of gRPC has these; no list of MCP does, where each tool would stand seven times. */
import { z } from 'zod';

import { entryOf, type AgentName } from '#config/catalogue.ts';
import { storable } from '#runtime/fields.ts';
import { adding, reading } from '#runtime/hints.ts';
import { version } from '#runtime/process/version.ts';
import { defineTool } from '#runtime/tool.ts';

import type { AtOnce } from './at-once.ts';
import { longestAtOnceMs } from './limits.ts';
import { profiles } from './profiles.ts';
import { stepsSchema } from './steps.ts';
import type { Counts, Work } from './worker.ts';

export interface Agent extends AsyncDisposable {
  readonly name: AgentName;
  readonly mostTasks: number;
  readonly startedAtMs: number;
  readonly counts: Readonly<Counts>;
  /** What it does for projects. */
  readonly work: Pick<Work, 'held' | 'trouble'>;
  readonly atOnce: AtOnce;
}

export const getAgent = defineTool({
  name: 'get_agent',
  title: 'Get Agent',
  description: 'See who the agent is, and what it can do.',
  effect: 'read',
  hints: reading,
  input: z.object({}),
  output: z.object({
    agent: z
      .object({
        agent: z.string().describe('Its name.'),
        profile: z.string().describe('Such as backend.'),
        description: z.string().describe('What it does.'),
        capabilities: z.array(z.string()).describe('Words that tasks ask for in requires.'),
        most_tasks: z.int().describe('Of projects, at a time; of tasks that it does at once, as many again.'),
        version: z.string().describe('Of the fleet.'),
      })
      .describe('It.'),
  }),
  handler: (_args, { name, mostTasks }: Agent) => ({
    agent: {
      agent: name,
      profile: name.replace('agent-', ''),
      description: entryOf(name)?.description ?? '',
      capabilities: [...profiles[name].capabilities],
      most_tasks: mostTasks,
      version,
    },
  }),
});

export const getStatus = defineTool({
  name: 'get_agent_status',
  title: 'Get Agent Status',
  description: 'See what the agent does now.',
  effect: 'read',
  hints: reading,
  input: z.object({}),
  output: z.object({
    state: z
      .enum(['offline', 'online', 'idle', 'busy'])
      .describe('offline: it gets no tasks of projects now.'),
    trouble: z.string().optional().describe('Why it gets none.'),
    tasks: z.array(z.string()).describe('Ids of the tasks of projects that it is at.'),
    at_once: z.int().describe('Tasks that it is at for those who asked for them at once.'),
    completed: z.int().describe('Tasks of both kinds, since it was started.'),
    failed: z.int().describe('Attempts that failed.'),
    asked: z.int().describe('Tasks that it asked a person about.'),
    lost: z.int().describe('Tasks that it lost before they were settled.'),
    started_at: z.string().describe('When.'),
  }),
  handler(_args, { work, atOnce, counts, mostTasks, startedAtMs }: Agent) {
    const tasks = [...work.held()];
    const trouble = work.trouble();
    const withTasks = tasks.length < mostTasks ? ('online' as const) : ('busy' as const);
    const state = tasks.length === 0 ? ('idle' as const) : withTasks;
    return {
      state: trouble === undefined ? state : ('offline' as const),
      ...(trouble !== undefined && { trouble }),
      tasks,
      at_once: atOnce.count(),
      ...counts,
      started_at: new Date(startedAtMs).toISOString(),
    };
  },
});

const words = (maxLength: number, description: string) =>
  storable(z.string().max(maxLength)).describe(description);

export const executeTask = defineTool({
  name: 'execute_task',
  title: 'Execute Task',
  description: 'Have the agent do a task at once, and hear what came of it.',
  effect: 'write',
  untrusted: 'bounded',
  hints: { ...adding, openWorld: true },
  timeoutMs: longestAtOnceMs,
  input: z.object({
    title: words(500, 'What is to be done.').min(1),
    description: words(100_000, 'More about it.').optional(),
    steps: stepsSchema.optional().describe('Calls of tools, one after the other.'),
    goal: words(100_000, 'For a model that makes the steps.').optional(),
    answer: words(500_000, 'To what it asked when it was given the same task before.').optional(),
  }),
  output: z.object({
    result: z.record(z.string(), z.unknown()).optional().describe('What came of it.'),
    question: z.string().optional().describe('It does not go on without an answer.'),
    failure: z
      .object({
        message: z.string().describe('Why it did not succeed.'),
        code: z.string().describe('The kind of failure.'),
        retryable: z.boolean().describe('Whether the same may succeed later.'),
      })
      .optional()
      .describe('It did not succeed.'),
  }),
  async handler(order, { atOnce }: Agent, { caller, nowMs, signal, progress, traceparent }) {
    const settled = await atOnce.execute(order, caller, nowMs, {
      signal,
      traceparent,
      progress: (percent, note) => progress(percent, 100, note),
    });
    if (!('failure' in settled)) return settled;
    const { message, code, retryable } = settled.failure;
    return { failure: { message, code, retryable } };
  },
});
