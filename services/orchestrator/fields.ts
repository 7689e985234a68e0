/** What the orchestrator's tools take and tell. */
import { z } from 'zod';

import { storable, storedText, toldBriefly } from '#runtime/fields.ts';
import { instantField, instantForm } from '#runtime/time.ts';

import {
  defaultAttempts,
  defaultLeaseSeconds,
  defaultTasksAtOnce,
  longestLeaseSeconds,
  mostAttempts,
  mostCapabilities,
  mostNeeds,
  mostTasksAtOnce,
  mostWorkBytes,
} from './limits.ts';
import { policies, priorities, statuses, waitingFor } from './states.ts';

const shortText = (most: number) => storable(z.string().min(1).max(most));

export const taskIdField = z
  .string()
  .regex(/^t[1-9]\d{0,14}-[a-z0-9]{4}$/, 'must be the id of a task, such as t12-x7k2');
export const projectIdField = z
  .string()
  .regex(/^p[1-9]\d{0,14}-[a-z0-9]{4}$/, 'must be the id of a project, such as p3-m9qa');

export const workerField = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'must be a name of up to 64 of a-z, 0-9 and . _ -');
export const typeField = z
  .string()
  .regex(/^[a-z][a-z0-9_-]{0,39}$/, 'must be a word of up to 40 of a-z, 0-9, _ and -');
const capabilityField = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._+#:/-]{0,63}$/, 'must be a word in lower case, such as typescript');
export const capabilitiesField = z.array(capabilityField).max(mostCapabilities);

export const priorityField = z.enum(priorities);
export const statusField = z.enum(statuses);
export const waitingField = z.enum(waitingFor);
export const onFailureField = z.enum(policies);
export const ifVersionField = z
  .int()
  .min(1)
  .optional()
  .describe('Change it only if this is its version now.');
export const idempotencyField = shortText(200)
  .optional()
  .describe('The same key with the same arguments again gives the first answer, and makes nothing new.');
export const fenceField = z.int().min(1).describe('Of the lease, from claim_tasks.');

const keyField = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'must be up to 100 letters, digits and . _ -');

export const stepField = z.strictObject({
  tool: shortText(200).describe('A tool of the fleet.'),
  arguments: z
    .record(z.string(), z.unknown())
    .default({})
    .describe('For it. A text "{{name}}" stands for what an earlier step saved.'),
  save_as: z
    .string()
    .regex(/^[a-z][a-z0-9_]{0,39}$/, 'must be a word of a-z, 0-9 and _')
    .optional()
    .describe('Keeps its value under this name.'),
});

export const repositoryField = z.strictObject({
  path: shortText(4_096).describe('Of the repository, on the host.'),
  base: shortText(200).optional().describe('The branch to begin from.'),
  kind: z.enum(['feature', 'hotfix']).default('feature').describe('Which kind of branch.'),
  mode: z.enum(['branch', 'worktree']).default('worktree').describe('Whether it gets a worktree of its own.'),
  integration: z
    .enum(['manual', 'auto'])
    .default('manual')
    .describe('auto: an agent brings it into the base, where nothing conflicts.'),
});
export type Repository = z.output<typeof repositoryField>;

export const commitField = z
  .string()
  .regex(/^[0-9a-f]{40}([0-9a-f]{24})?$/, 'must be the whole hash of a commit');

export const conflictShape = {
  files: z.array(shortText(4_096)).min(1).max(100).describe('Paths in conflict.'),
  note: shortText(2_000).optional().describe('What collides, in words.'),
};

const descriptionField = storedText(mostWorkBytes, 'All that its worker has to know.');
export const titleField = shortText(300);

/** What a worker is told of a task beside its title; one JSON text in the ledger. */
export const workSchema = z.strictObject({
  description: descriptionField.optional(),
  steps: z.array(stepField).max(200).optional().describe('Calls of tools, one after the other.'),
  goal: storedText(mostWorkBytes, 'What a worker with a model is to reach.').optional(),
  repository: repositoryField.optional().describe('Where it is done.'),
  refs: z.array(shortText(200)).max(50).optional().describe('Requirements or issues that it serves.'),
});
export type Work = z.output<typeof workSchema>;

export const taskField = z.strictObject({
  key: keyField.optional().describe('Its name within this call, for depends_on.'),
  title: titleField.describe('What is to be done, in a line.'),
  ...workSchema.shape,
  type: typeField
    .default('generic')
    .describe('planning, frontend, backend, database, devops, integration, qa, or a word of your own.'),
  priority: priorityField.optional().describe('That of its project unless given; else medium.'),
  requires: capabilitiesField.default([]).describe('Only workers with all of these get it.'),
  depends_on: z
    .array(z.string().max(120))
    .max(mostNeeds)
    .default([])
    .describe('Ids of tasks, or keys of this call, that have to complete first.'),
  max_attempts: z.int().min(1).max(mostAttempts).default(defaultAttempts).describe('Then it has failed.'),
  lease_seconds: z
    .int()
    .min(1)
    .max(longestLeaseSeconds)
    .default(defaultLeaseSeconds)
    .describe('How long a worker has, before it renews its lease.'),
  deadline: instantField(`Not completed by then, it fails; ${instantForm}.`).optional(),
  on_failure: onFailureField
    .optional()
    .describe(
      'When a task that it needs fails: block leaves it waiting, cascade fails it too. That of its project unless given.',
    ),
});
export type TaskSpec = z.output<typeof taskField>;

export const projectShape = {
  name: shortText(200).describe('Its name.'),
  description: storedText(100_000, 'What it is about.').optional(),
  requirements: z.array(shortText(2_000)).max(200).default([]).describe('What it has to fulfil.'),
  tech_stack: z
    .record(shortText(100), shortText(500))
    .refine((stack) => Object.keys(stack).length <= 100, 'must have at most 100 entries')
    .default({})
    .describe('Such as {"frontend": "react"}.'),
  priority: priorityField.default('medium').describe('Of its tasks, unless they say otherwise.'),
  on_failure: onFailureField
    .default('block')
    .describe('What tasks do when one that they need fails: wait (block), or fail too (cascade).'),
};

export const workerShape = {
  capabilities: capabilitiesField.describe('What it can do, such as typescript or review.'),
  most_tasks: z
    .int()
    .min(1)
    .max(mostTasksAtOnce)
    .default(defaultTasksAtOnce)
    .describe('Tasks that it holds at a time.'),
  description: storable(z.string().max(1_000)).default('').describe('Who it is; others see it.'),
};

export const failureField = z.strictObject({
  message: shortText(10_000).describe('What went wrong.'),
  code: shortText(100).optional().describe('A word for its kind, such as ETIMEDOUT.'),
  retryable: z.boolean().default(true).describe('Whether another attempt may succeed.'),
});
export type Failure = z.output<typeof failureField>;

export const isoOf = (ms: number): string => new Date(ms).toISOString();

const leaseOut = z.object({
  worker: z.string().describe('Who holds it.'),
  fence: z.int().describe('Grows with each lease: shown by every call about it.'),
  until: z.string().describe('When it ends, unless it is renewed.'),
});

const taskShape = {
  task_id: z.string().describe('Its id.'),
  project_id: z.string().nullable().describe('Its project.'),
  key: z.string().optional().describe('As it was given.'),
  title: z.string().describe('What is to be done.'),
  type: z.string().describe('Its type.'),
  priority: z.string().describe('critical, high, medium or low.'),
  status: statusField.describe('How it stands.'),
  status_reason: z.string().optional().describe('Why, in words.'),
  waiting_for: waitingField.nullable().describe('What it waits for, while it waits.'),
  requires: z.array(z.string()).describe('Capabilities.'),
  on_failure: z.string().describe('When one that it needs fails.'),
  lease: leaseOut.optional().describe('While a worker holds it.'),
  progress: z
    .object({ percent: z.int().describe('0 to 100.'), note: z.string().optional().describe('In words.') })
    .optional()
    .describe('As its worker said last.'),
  failures: z.int().describe('Attempts that failed or were lost.'),
  max_attempts: z.int().describe('So many may fail.'),
  retry_at: z.string().optional().describe('When it is tried again.'),
  deadline: z.string().optional().describe('By when it has to be completed.'),
  owner: z.string().describe('The token that made it.'),
  version: z.int().describe('Grows with each change.'),
  created_at: z.string().describe('When it was made.'),
  updated_at: z.string().describe('When it changed last.'),
  started_at: z.string().optional().describe('When its last attempt began.'),
  ended_at: z.string().optional().describe('When it was over.'),
};
const wholeTask = z.object(taskShape);
export type TaskOut = z.input<typeof wholeTask>;

/** As most tools tell it; get_task describes it whole. */
export const taskOut = toldBriefly(wholeTask, 'task_id', 'title', 'status', 'version').describe(
  'As get_task describes it.',
);
export const taskRow = toldBriefly(wholeTask, 'task_id', 'title', 'status');

const workShape = {
  depends_on: z.array(z.string()).describe('Ids of the tasks that it needs.'),
  description: z.string().optional().describe('All that its worker has to know.'),
  steps: z.array(z.unknown()).optional().describe('Calls of tools: {tool, arguments, save_as}.'),
  goal: z.string().optional().describe('What to reach.'),
  repository: z
    .record(z.string(), z.unknown())
    .optional()
    .describe('Where it is done: {path, base, kind, mode, integration}.'),
  git: z
    .object({
      branch: z.string().describe('Its branch.'),
      worktree: z.string().optional().describe('Its working tree, if it has one of its own.'),
      trailers: z.array(z.string()).describe('Last lines of each commit message.'),
      guidance: z.string().describe('What is to be done next, in words.'),
      merged: z
        .object({
          commit: z.string().describe('What is in the base.'),
          merged_by: z.string().describe('The token that said so.'),
          merged_at: z.string().describe('When it did.'),
        })
        .optional()
        .describe('Once it is merged.'),
      conflict: z
        .object({
          files: z.array(z.string()).describe('Paths in conflict.'),
          note: z.string().optional().describe('What collides.'),
          reported_by: z.string().describe('The token that tried.'),
          reported_at: z.string().describe('When it did.'),
        })
        .optional()
        .describe('Why the last merge failed, until it is mended.'),
    })
    .optional()
    .describe('Of a task with a repository.'),
  refs: z.array(z.string()).optional().describe('What it serves.'),
  answers: z
    .array(z.unknown())
    .optional()
    .describe('What people answered: {question, choices, asked_at, answer, answered_by, answered_at}.'),
  work_bytes: z
    .int()
    .optional()
    .describe('The work is longer than max_bytes, and not told: so long it is. get_task with more of them.'),
};

/** A task as its worker gets it. */
export const claimedOut = toldBriefly(
  wholeTask.extend({ ...workShape, lease: leaseOut.describe('Yours.') }),
  'task_id',
  'title',
  'lease',
);
export type ClaimedOut = z.input<typeof claimedOut>;

export const attemptOut = z.object({
  fence: z.int().describe('Of its lease.'),
  worker: z.string().describe('Who tried.'),
  outcome: z
    .string()
    .nullable()
    .describe('completed, failed, lost, released, asked or cancelled; null while it goes on.'),
  error: z.record(z.string(), z.unknown()).optional().describe('Of a failure: {message, code, retryable}.'),
  started_at: z.string().describe('When it began.'),
  ended_at: z.string().optional().describe('When it ended.'),
});

export const eventOut = z.object({
  seq: z.int().describe('Its place: pass the last as after to go on.'),
  at: z.string().describe('When.'),
  type: z.string().describe('Such as task_completed.'),
  project_id: z.string().nullable().describe('Of this project.'),
  task_id: z.string().nullable().describe('Of this task.'),
  data: z.record(z.string(), z.unknown()).describe('What belongs to it.'),
});

export const detailedTaskOut = wholeTask.extend({
  ...workShape,
  result: z.unknown().optional().describe('What its worker brought back.'),
  result_bytes: z.int().optional().describe('The result is longer than max_bytes, and not told.'),
  question: z
    .object({
      question: z.string().describe('For answer_question.'),
      choices: z.array(z.string()).optional().describe('To choose from.'),
      asked_at: z.string().describe('When it was asked.'),
    })
    .optional()
    .describe('While it waits for a person.'),
  dependents: z.array(z.string()).describe('Ids of tasks that need it, up to 100.'),
  attempts: z.array(attemptOut).describe('The last 20, the newest first.'),
  events: z.array(eventOut).describe('The last 10.'),
});

const countsOut = z
  .object(Object.fromEntries(statuses.map((status) => [status, z.int().describe('Tasks.')])))
  .describe('Tasks by status.');

const projectOut = z.object({
  project_id: z.string().describe('Its id.'),
  name: z.string().describe('Its name.'),
  status: statusField.describe('blocked: nothing of it can go on without a person.'),
  priority: z.string().describe('Of its tasks.'),
  on_failure: z.string().describe('Of its tasks.'),
  percent: z.int().describe('Of its tasks, completed.'),
  counts: countsOut,
  owner: z.string().describe('The token that made it.'),
  version: z.int().describe('Grows with each change of its own.'),
  created_at: z.string().describe('When it was made.'),
  updated_at: z.string().describe('When it changed last.'),
  ended_at: z.string().optional().describe('When all of it was over.'),
});
export type ProjectOut = z.input<typeof projectOut>;

export const projectRow = toldBriefly(projectOut, 'project_id', 'name', 'status', 'percent').describe(
  'As get_project describes it.',
);

export const detailedProjectOut = projectOut.extend({
  description: z.string().optional().describe('What it is about.'),
  requirements: z.array(z.string()).describe('What it has to fulfil.'),
  tech_stack: z.record(z.string(), z.string()).describe('What it is made with.'),
  template: z.string().optional().describe('What its first tasks were made from.'),
  tasks: z.array(taskRow).describe('The first 200: list_tasks has all.'),
  edges: z
    .array(
      z.object({
        task_id: z.string().describe('This one'),
        needs: z.string().describe('needs this one.'),
      }),
    )
    .describe('The first 1,000.'),
  results: z
    .array(
      z.object({
        task_id: z.string().describe('Of this task.'),
        title: z.string().describe('Its title.'),
        summary: z.string().describe('The beginning of its result.'),
        ended_at: z.string().describe('When it came.'),
      }),
    )
    .describe('The newest 20.'),
});

export const workerOut = z.object({
  worker: z.string().describe('Its name.'),
  state: z
    .enum(['waiting', 'free', 'busy', 'away'])
    .describe(
      'waiting for a task, free, busy with as many as it takes, or away: not heard of for two minutes.',
    ),
  capabilities: z.array(z.string()).describe('What it can do.'),
  most_tasks: z.int().describe('Tasks that it takes at a time.'),
  load: z.int().describe('Tasks that it holds.'),
  description: z.string().optional().describe('Who it is.'),
  owner: z.string().describe('The token that registered it.'),
  version: z.int().describe('Grows with each change.'),
  registered_at: z.string().describe('When it first came.'),
  last_seen: z.string().describe('When it was heard of last.'),
  metrics: z
    .object({
      completed: z.int().describe('Tasks.'),
      failed: z.int().describe('Tasks.'),
      lost: z.int().describe('Leases that ended under it.'),
      average_seconds: z.number().nullable().describe('Of a completed task.'),
      uptime_seconds: z.int().describe('How long it was here in all.'),
      by_type: z
        .array(
          z.object({
            type: z.string().describe('Of tasks.'),
            completed: z.int().describe('Tasks.'),
            failed: z.int().describe('Tasks.'),
            success_rate: z.number().describe('As tasks are given out by it.'),
          }),
        )
        .describe('The 50 types with most of them.'),
    })
    .describe('What it has done.'),
});
export type WorkerOut = z.input<typeof workerOut>;

export const plannedTaskOut = z.object({
  key: z.string().optional().describe('Its name within this plan.'),
  title: z.string().describe('What is to be done.'),
  type: z.string().describe('Its type.'),
  priority: z.string().describe('Its priority.'),
  requires: z.array(z.string()).describe('Capabilities.'),
  depends_on: z.array(z.string()).describe('Keys, or ids of tasks.'),
  description: z.string().optional().describe('What its worker is told.'),
});
