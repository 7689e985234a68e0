import { z } from 'zod';

import { decodeCursor } from '#runtime/cursor.ts';
import { continuation, cursorField, limitField, storable } from '#runtime/fields.ts';
import { adding, completing, reading, replacing } from '#runtime/hints.ts';
import { continued, fitting, pageBytes } from '#runtime/page.ts';
import { instantField, instantForm } from '#runtime/time.ts';
import { defineTool, type Call } from '#runtime/tool.ts';
import { inTurns } from '#runtime/turns.ts';

import {
  detailedTaskOut,
  idempotencyField,
  ifVersionField,
  onFailureField,
  priorityField,
  projectIdField,
  statusField,
  taskIdField,
  taskOut,
  taskRow,
  titleField,
  typeField,
  waitingField,
  workerField,
  workSchema,
} from '../fields.ts';
import { projectOf } from '../ledger/creating.ts';
import {
  answerQuestion as answerInLedger,
  cancelTask as cancelInLedger,
  editTask,
  retryTask as retryInLedger,
} from '../ledger/editing.ts';
import { detailedTaskView, seqOf, tasksAfter, taskView } from '../ledger/reading.ts';
import { taskOf } from '../ledger/tasks.ts';
import { megabyte, mostAttempts, mostNeeds } from '../limits.ts';
import { make, repeatable } from '../making.ts';
import type { Orchestrator } from '../orchestrator.ts';
import { planned } from '../planning.ts';
import { noState, specsOf, taskList } from '../specs.ts';

const editorOf = ({ caller, isOperator }: Call) => ({ caller, isOperator });

const shownTasks = 500;

function* planOf(tasks: readonly unknown[]) {
  return yield* planned(yield* specsOf('create_tasks', tasks));
}

export const createTasks = defineTool({
  name: 'create_tasks',
  title: 'Create Tasks',
  description:
    'Add tasks, to a project or on their own: all of them or none. A task begins when all that it needs has completed; circles are refused.',
  effect: 'write',
  hints: adding,
  timeoutMs: 60_000,
  input: z.object({
    project_id: projectIdField.optional().describe('Where they belong.'),
    tasks: taskList.min(1).describe('Up to 5,000.'),
    idempotency_key: idempotencyField,
  }),
  output: z.object({
    tasks: z
      .array(
        z.object({
          task_id: z.string().describe('Its id.'),
          key: z.string().optional().describe('As it was given.'),
          status: statusField.describe('pending, or blocked while it needs others.'),
        }),
      )
      .describe('In the order of the call, as many as an answer holds; list_tasks has the rest.'),
    created: z.int().describe('How many were made.'),
  }),

  async handler({ project_id: into, tasks, idempotency_key: key }, { desk }: Orchestrator, call) {
    const plan = await inTurns(noState, call, planOf(tasks));
    const again = repeatable('create_tasks', key, { into, tasks }, call.caller);
    const { made } = await make(desk, { into }, plan, again, call);
    const rows = made.slice(0, shownTasks).map(({ seq, nonce, key: name, status }) => ({
      task_id: `t${seq}-${nonce}`,
      ...(name !== null && { key: name }),
      status,
    }));
    return { tasks: fitting(rows), created: made.length };
  },
});

export const getTask = defineTool({
  name: 'get_task',
  title: 'Get Task',
  description: 'See all of a task: its work, attempts, result, open question and last events.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    task_id: taskIdField.describe('Which.'),
    max_bytes: z
      .int()
      .min(1)
      .max(2 * megabyte)
      .default(pageBytes)
      .describe('Longer work and results are left out, with how long they are.'),
  }),
  output: z.object({ task: detailedTaskOut.describe('All of it.') }),

  async handler({ task_id: id, max_bytes: mostBytes }, { desk }: Orchestrator) {
    return desk.look(function* (view) {
      return { task: yield* detailedTaskView(view, yield* taskOf(id), mostBytes) };
    });
  },
});

export const listTasks = defineTool({
  name: 'list_tasks',
  title: 'List Tasks',
  description:
    'Find tasks by project, status, type, worker, or what they wait for, in the order in which they were made.',
  effect: 'read',
  untrusted: 'bounded',
  hints: reading,
  input: z.object({
    project_id: projectIdField.optional().describe('Only of this project.'),
    status: z.array(statusField).max(7).optional().describe('Only with one of these.'),
    type: typeField.optional().describe('Only of this type.'),
    worker: workerField.optional().describe('Only those that this worker holds.'),
    waiting_for: waitingField.optional().describe('Only those that wait for this.'),
    limit: limitField(500, 50),
    cursor: cursorField,
  }),
  output: z.object({ tasks: z.array(taskRow).describe('As get_task describes them.'), ...continuation }),

  async handler({ cursor, ...args }, { desk }: Orchestrator) {
    const [after] = decodeCursor<readonly [number]>('list_tasks', args, cursor, z.tuple([z.int()]), [0]);
    const found = await desk.look(function* (view) {
      const rows = [];
      const filter = {
        project: args.project_id === undefined ? undefined : (yield* projectOf(args.project_id)).seq,
        statuses: args.status,
        type: args.type,
        worker: args.worker,
        waitingFor: args.waiting_for,
      };
      for (const task of yield* tasksAfter(filter, after, args.limit + 1))
        rows.push(yield* taskView(view, task));
      return rows;
    });
    const rows = fitting(found.slice(0, args.limit));
    const last = rows.length < found.length ? rows.at(-1) : undefined;
    return { tasks: rows, ...continued('list_tasks', args, last && [seqOf(last.task_id)]) };
  },
});

export const updateTask = defineTool({
  name: 'update_task',
  title: 'Update Task',
  description: 'Change an open task of yours: what it says, how urgent it is, what it needs.',
  effect: 'write',
  hints: completing,
  untrusted: 'bounded',
  input: z.object({
    task_id: taskIdField.describe('Which.'),
    if_version: ifVersionField,
    title: titleField.optional().describe('What is to be done.'),
    description: workSchema.shape.description,
    priority: priorityField.optional().describe('How urgent it is.'),
    max_attempts: z.int().min(1).max(mostAttempts).optional().describe('So many may fail.'),
    deadline: instantField(`Not completed by then, it fails; ${instantForm}.`).optional(),
    on_failure: onFailureField.optional().describe('When one that it needs fails.'),
    add_depends_on: z
      .array(taskIdField)
      .max(mostNeeds)
      .default([])
      .describe('Ids of tasks that it needs too.'),
    remove_depends_on: z.array(taskIdField).max(mostNeeds).default([]).describe('Ids that it needs no more.'),
  }),
  output: z.object({ task: taskOut }),

  async handler({ task_id: id, if_version: version, ...args }, { desk }: Orchestrator, call) {
    return desk.change(function* (change) {
      const edit = {
        title: args.title,
        description: args.description,
        priority: args.priority,
        maxAttempts: args.max_attempts,
        deadlineMs: args.deadline === undefined ? undefined : Date.parse(args.deadline),
        onFailure: args.on_failure,
        addNeeds: args.add_depends_on,
        dropNeeds: args.remove_depends_on,
      };
      const task = yield* editTask(change, id, edit, editorOf(call), version);
      return { task: yield* taskView(desk.view(), task) };
    });
  },
});

export const cancelTask = defineTool({
  name: 'cancel_task',
  title: 'Cancel Task',
  description:
    'End an open task of yours, also at work: its worker is told with its next call. Its dependents wait, or are cancelled too.',
  effect: 'destroy',
  hints: replacing,
  untrusted: 'bounded',
  input: z.object({
    task_id: taskIdField.describe('Which.'),
    reason: storable(z.string().max(500)).optional().describe('Why, in words.'),
  }),
  output: z.object({ task: taskOut }),

  async handler({ task_id: id, reason }, { desk }: Orchestrator, call) {
    return desk.change(function* (change) {
      const task = yield* cancelInLedger(change, id, reason, editorOf(call));
      return { task: yield* taskView(desk.view(), task) };
    });
  },
});

export const retryTask = defineTool({
  name: 'retry_task',
  title: 'Retry Task',
  description: 'Open a task of yours again that failed or was cancelled, and those that failed only with it.',
  effect: 'write',
  hints: adding,
  untrusted: 'bounded',
  input: z.object({ task_id: taskIdField.describe('Which.') }),
  output: z.object({ task: taskOut }),

  async handler({ task_id: id }, { desk }: Orchestrator, call) {
    return desk.change(function* (change) {
      const task = yield* retryInLedger(change, id, editorOf(call));
      return { task: yield* taskView(desk.view(), task) };
    });
  },
});

export const answerQuestion = defineTool({
  name: 'answer_question',
  title: 'Answer Question',
  description:
    'Answer what a task waits for (waiting_for input), for a person: it goes on, and its next worker gets the answer.',
  effect: 'write',
  hints: adding,
  untrusted: 'bounded',
  input: z.object({
    task_id: taskIdField.describe('Which.'),
    answer: storable(z.string().min(1).max(20_000)).describe('One of the choices, where there are some.'),
  }),
  output: z.object({ task: taskOut }),

  async handler({ task_id: id, answer }, { desk }: Orchestrator, { caller }) {
    return desk.change(function* (change) {
      const task = yield* answerInLedger(change, id, answer, caller);
      return { task: yield* taskView(desk.view(), task) };
    });
  },
});

export const taskTools = [createTasks, getTask, listTasks, updateTask, cancelTask, retryTask, answerQuestion];
