import { z } from 'zod';

import { storable } from '#runtime/fields.ts';
import { adding, completing } from '#runtime/hints.ts';
import { pageBytes } from '#runtime/page.ts';
import { isDeeper } from '#runtime/depth.ts';
import { ToolError } from '#runtime/errors.ts';
import { defineTool, type Call } from '#runtime/tool.ts';

import { claimedOut, failureField, fenceField, taskIdField, taskOut, workerField } from '../fields.ts';
import { deepest, isStorableJson } from '../json-text.ts';
import type { Change } from '../ledger/change.ts';
import type { Ledger } from '../ledger/query.ts';
import { claimedView, taskView } from '../ledger/reading.ts';
import type { TaskRow } from '../ledger/schema.ts';
import * as settling from '../ledger/settling.ts';
import { longestLeaseSeconds, longestWaitMs, megabyte, mostResultBytes, mostTasksAtOnce } from '../limits.ts';
import type { Orchestrator } from '../orchestrator.ts';

export const claimTasks = defineTool({
  name: 'claim_tasks',
  title: 'Claim Tasks',
  description:
    'Take the most urgent tasks that a worker of yours can do; waits for one if asked to. Each comes with a lease: renew it before it ends, and show its fence with every call about the task.',
  effect: 'write',
  untrusted: 'bounded',
  hints: adding,
  // It waits for others, not for the processor; the orchestrator bounds how many do.
  needsNoPlace: true,
  timeoutMs: longestWaitMs + 10_000,
  input: z.object({
    worker: workerField.describe('Your worker: register_worker.'),
    most: z
      .int()
      .min(1)
      .max(mostTasksAtOnce)
      .default(1)
      .describe('So many at most; with those that it holds no more than its most_tasks.'),
    wait_seconds: z
      .number()
      .min(0)
      .max(longestWaitMs / 1_000)
      .default(0)
      .describe('Wait so long for one.'),
    max_bytes: z
      .int()
      .min(1)
      .max(2 * megabyte)
      .default(pageBytes)
      .describe('Longer work of a task is left out: get_task.'),
  }),
  output: z.object({
    tasks: z.array(claimedOut).describe('As get_task describes them; empty when there is nothing.'),
  }),

  async handler(
    { worker, most, wait_seconds: seconds, max_bytes: mostBytes },
    orchestrator: Orchestrator,
    call,
  ) {
    const { desk, waiting } = orchestrator;
    const claimed = await waiting.claim({ worker, most, waitMs: seconds * 1_000 }, call);
    if (claimed.length === 0) return { tasks: [] };
    return desk.look(function* (view) {
      const tasks = [];
      for (const task of claimed) tasks.push(yield* claimedView(view, task, mostBytes));
      return { tasks };
    });
  },
});

const held = {
  task_id: taskIdField.describe('Which.'),
  fence: fenceField,
};

interface Held {
  readonly task_id: string;
  readonly fence: number;
}

/** What a worker does with a task that it holds. */
async function settle(
  { desk, presence }: Orchestrator,
  { task_id: taskId, fence }: Held,
  { caller }: Call,
  act: (change: Change, holder: settling.Holder) => Ledger<TaskRow>,
) {
  let worker: string | undefined;
  const answer = await desk.change(function* (change) {
    const task = yield* act(change, { taskId, fence, caller });
    worker = task.lease_worker ?? undefined;
    return { task: yield* taskView(desk.view(), task) };
  });
  if (worker !== undefined) presence.touch(worker);
  return answer;
}

const answered = z.object({ task: taskOut });

export const startTask = defineTool({
  name: 'start_task',
  title: 'Start Task',
  description: 'Say that work on a task of yours has begun: assigned becomes in_progress.',
  effect: 'write',
  hints: completing,
  untrusted: 'bounded',
  input: z.object(held),
  output: answered,
  handler: async (args, orchestrator: Orchestrator, call) =>
    settle(orchestrator, args, call, settling.startTask),
});

export const renewLease = defineTool({
  name: 'renew_lease',
  title: 'Renew Lease',
  description:
    'Keep a task longer, and say how far you are. When the lease has ended, another worker may have the task.',
  effect: 'write',
  hints: completing,
  untrusted: 'bounded',
  input: z.object({
    ...held,
    lease_seconds: z
      .int()
      .min(1)
      .max(longestLeaseSeconds)
      .optional()
      .describe('From now; as the task says unless given.'),
    progress: z
      .strictObject({
        percent: z.number().min(0).max(100).describe('How far.'),
        note: storable(z.string().max(1_000)).optional().describe('In words.'),
      })
      .optional()
      .describe('How far you are.'),
  }),
  output: answered,

  handler: async ({ lease_seconds: seconds, progress, ...args }, orchestrator: Orchestrator, call) =>
    settle(orchestrator, args, call, (change, holder) =>
      settling.renewLease(change, holder, seconds === undefined ? undefined : seconds * 1_000, progress),
    ),
});

export const completeTask = defineTool({
  name: 'complete_task',
  title: 'Complete Task',
  description:
    'Bring back the result of a task: what needs it may begin. The same call again is answered as the first time; another result is refused.',
  effect: 'write',
  hints: completing,
  untrusted: 'bounded',
  input: z.object({
    ...held,
    result: z.record(z.string(), z.unknown()).default({}).describe('Any JSON object, of up to 1 MB.'),
  }),
  output: answered,

  async handler({ result, ...args }, orchestrator: Orchestrator, call) {
    if (isDeeper(result, deepest))
      throw new ToolError('invalid_input', `The result has more than ${deepest} levels.`, {
        hint: 'Put what is deeper into a text, or a file.',
      });
    const text = JSON.stringify(result);
    const bytes = Buffer.byteLength(text);
    if (bytes > mostResultBytes)
      throw new ToolError(
        'too_large',
        `The result has ${bytes} bytes, and may have ${mostResultBytes}. The task is still yours.`,
        {
          hint: 'Put it where others find it, such as a file, and bring back the place.',
        },
      );
    if (!isStorableJson(text))
      throw new ToolError('invalid_input', 'The result must be well-formed Unicode without NUL.', {
        hint: 'Encode bytes as base64.',
      });
    return settle(orchestrator, args, call, (change, holder) => settling.completeTask(change, holder, text));
  },
});

export const failTask = defineTool({
  name: 'fail_task',
  title: 'Fail Task',
  description:
    'Say that a task of yours did not succeed. It is tried again later, unless that is no use or there were enough attempts.',
  effect: 'write',
  hints: adding,
  untrusted: 'bounded',
  input: z.object({ ...held, error: failureField.describe('Why.') }),
  output: answered,

  handler: async ({ error, ...args }, orchestrator: Orchestrator, call) =>
    settle(orchestrator, args, call, (change, holder) => settling.failTask(change, holder, error)),
});

export const releaseTask = defineTool({
  name: 'release_task',
  title: 'Release Task',
  description: 'Give a task back undone: another worker gets it, and no attempt has failed.',
  effect: 'write',
  hints: adding,
  untrusted: 'bounded',
  input: z.object(held),
  output: answered,
  handler: async (args, orchestrator: Orchestrator, call) =>
    settle(orchestrator, args, call, settling.releaseTask),
});

export const askQuestion = defineTool({
  name: 'ask_question',
  title: 'Ask Question',
  description:
    'Ask a person about a task of yours. The lease ends; the task waits for the answer, and then for a worker, which gets the answer with it.',
  effect: 'write',
  hints: adding,
  untrusted: 'bounded',
  input: z.object({
    ...held,
    question: storable(z.string().min(1).max(10_000)).describe('In words that a person understands.'),
    choices: z
      .array(storable(z.string().min(1).max(500)))
      .min(1)
      .max(20)
      .optional()
      .describe('Answers to choose from.'),
  }),
  output: answered,

  handler: async ({ question, choices, ...args }, orchestrator: Orchestrator, call) =>
    settle(orchestrator, args, call, (change, holder) =>
      settling.askQuestion(change, holder, question, choices),
    ),
});

export const workTools = [
  claimTasks,
  startTask,
  renewLease,
  completeTask,
  failTask,
  releaseTask,
  askQuestion,
];
