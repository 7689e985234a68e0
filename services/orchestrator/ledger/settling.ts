/** What workers do with the tasks that they hold: each call shows the fence of its lease, and without it nothing changes. */
import { isDeepStrictEqual } from 'node:util';

import { ToolError } from '#runtime/errors.ts';

import type { Failure } from '../fields.ts';
import { mostQuestions, progressKept } from '../limits.ts';
import { retryDelayMs } from '../retry.ts';
import { isHeld } from '../states.ts';
import { attemptEnded } from './attempts.ts';
import { keepDependents, tellDependents, unblock } from './chores.ts';
import { noLease, saveTask, type Change } from './change.ts';
import { taskId } from './ids.ts';
import { define, first, run, sql, type Ledger } from './query.ts';
import { requireRoom } from './quota.ts';
import type { TaskRow } from './schema.ts';
import { taskOf } from './tasks.ts';
import { tally } from './workers.ts';

export interface Holder {
  readonly taskId: string;
  readonly fence: number;
  readonly caller: string;
}

/** @throws ToolError conflict when the lease is over, or was never the caller's. */
function requireLease(change: Change, task: TaskRow, { fence, caller }: Holder): void {
  const isItsLease = isHeld(task.status) && task.fence === fence && task.lease_owner === caller;
  if (isItsLease && (task.lease_until ?? 0) > change.ledgerMs) return;
  throw new ToolError('conflict', `${whyNot(task, fence, isItsLease)} Nothing was changed.`, {
    hint: 'Stop working on it. claim_tasks gives out what there is to do.',
  });
}

function whyNot(task: TaskRow, fence: number, isItsLease: boolean): string {
  const id = taskId(task);
  if (isItsLease) return `The lease ${fence} of the task ${id} has ended.`;
  if (isHeld(task.status) && task.fence === fence)
    return `The lease ${fence} of the task ${id} belongs to another token.`;
  if (task.fence === fence)
    return `The lease ${fence} of the task ${id} is over: the task is ${task.status}.`;
  if (task.fence < fence) return `The task ${id} has had no lease ${fence}.`;
  return `The lease ${fence} of the task ${id} is over: its latest is ${task.fence}, and the task is ${task.status}.`;
}

function* held(change: Change, holder: Holder): Ledger<TaskRow> {
  const task = yield* taskOf(holder.taskId);
  requireLease(change, task, holder);
  return task;
}

export function* startTask(change: Change, holder: Holder): Ledger<TaskRow> {
  const task = yield* held(change, holder);
  if (task.status === 'in_progress') return task;
  return yield* saveTask(change, task, { status: 'in_progress' }, 'task_started', {
    worker: task.lease_worker,
    fence: task.fence,
  });
}

export interface Progress {
  readonly percent: number;
  readonly note?: string | undefined;
}

const forgetProgress = define<{ task: number }>()(({ db, given }) => {
  const told = db
    .selectFrom('event')
    .select('seq')
    .where('task', '=', given.task)
    .where('type', '=', sql.lit('task_progress'));
  const newest = told.orderBy('seq', 'desc').limit(sql.lit(progressKept - 1));
  return db.deleteFrom('event').where('seq', 'in', told).where('seq', 'not in', newest);
});

export function* renewLease(
  change: Change,
  holder: Holder,
  leaseMs: number | undefined,
  progress: Progress | undefined,
): Ledger<TaskRow> {
  const task = yield* held(change, holder);
  const renewed: Partial<TaskRow> = {
    status: 'in_progress',
    lease_until: change.ledgerMs + (leaseMs ?? task.lease_ms),
    ...(progress && { percent: Math.round(progress.percent), note: progress.note ?? null }),
  };
  if (task.status === 'assigned') {
    const told = { worker: task.lease_worker, fence: task.fence };
    return yield* saveTask(change, task, renewed, 'task_started', told);
  }
  if (!progress) return yield* saveTask(change, task, renewed);
  yield* run(forgetProgress, { task: task.seq });
  return yield* saveTask(change, task, renewed, 'task_progress', progress);
}

const resultOf = define<{ task: number }>()(({ db, given }) =>
  db.selectFrom('result').select('body').where('task', '=', given.task),
);

const setResult = define<{ task: number; body: string }>()(({ db, given }) =>
  db
    .insertInto('result')
    .values({ task: given.task, body: given.body })
    .onConflict((conflict) => conflict.column('task').doUpdateSet({ body: given.body })),
);

export function* loadResult(task: number): Ledger<string | undefined> {
  return (yield* first(resultOf, { task }))?.body;
}

/**
 * The same lease with the same result again is answered as the first time. A task on a repository keeps its result, and waits until
 * its branch is merged.
 *
 * @param result as JSON.
 */
export function* completeTask(change: Change, holder: Holder, result: string): Ledger<TaskRow> {
  const task = yield* taskOf(holder.taskId);
  const isDone = task.status === 'completed' || task.waiting_for === 'merge';
  if (isDone && task.fence === holder.fence) {
    const before = yield* loadResult(task.seq);
    if (
      before !== undefined &&
      (before === result || isDeepStrictEqual(JSON.parse(before), JSON.parse(result)))
    )
      return task;
    throw new ToolError(
      'conflict',
      `The task ${taskId(task)} is completed already, with another result. Nothing was changed.`,
      {
        hint: 'get_task tells the result that counts.',
      },
    );
  }
  requireLease(change, task, holder);
  // Of an attempt before a conflict.
  const before = task.branch === null ? undefined : yield* loadResult(task.seq);
  const more = Buffer.byteLength(result) - Buffer.byteLength(before ?? '');
  // What many may wait for at the same time comes last: dependents, what the owner keeps, counts, the order of events.
  yield* requireRoom(change, task.owner, 2, more);
  yield* run(setResult, { task: task.seq, body: result });
  const workedMs = yield* attemptEnded(change, task, 'completed');
  const dependents = task.branch === null ? yield* keepDependents(task) : [];
  const worker = task.lease_worker ?? '';
  yield* tally(worker, task.type, { completed: 1, worked_ms: workedMs });
  const done = { ...noLease, percent: 100, bytes: task.bytes + more };
  const told = { worker, fence: task.fence };
  if (task.branch !== null) {
    const reason = `Its branch ${task.branch} waits to be merged.`;
    const waiting = { ...done, status: 'blocked', waiting_for: 'merge', reason } as const;
    return yield* saveTask(change, task, waiting, 'task_committed', {
      ...told,
      branch: task.branch,
    });
  }
  const completed = yield* saveTask(
    change,
    task,
    { ...done, status: 'completed', reason: null, ended_at: change.wallMs },
    'task_completed',
    told,
  );
  yield* unblock(change, dependents);
  return completed;
}

export function* failTask(change: Change, holder: Holder, error: Failure): Ledger<TaskRow> {
  const task = yield* held(change, holder);
  yield* attemptEnded(change, task, 'failed', error);
  yield* tally(task.lease_worker ?? '', task.type, { failed: 1 });
  const tried = yield* attemptFailed(change, task, {
    reason: error.message.slice(0, mostReasonLength),
    mayRetry: error.retryable,
    delays: true,
    data: { worker: task.lease_worker, fence: task.fence, error },
  });
  if (tried.status === 'failed') yield* tellDependents(change, tried);
  return tried;
}

const mostReasonLength = 500;

interface FailedAttempt {
  readonly reason: string;
  readonly mayRetry: boolean;
  /** Whether the next attempt waits a while. */
  readonly delays: boolean;
  readonly data: object;
}

/** Another attempt, or the end of the task when there were enough: then its dependents are still to be told. */
export function* attemptFailed(
  change: Change,
  task: TaskRow,
  { reason, mayRetry, delays, data }: FailedAttempt,
): Ledger<TaskRow> {
  const failures = task.failures + 1;
  if (mayRetry && failures < task.max_attempts) {
    const delayMs = delays ? retryDelayMs(failures) : 0;
    return yield* saveTask(
      change,
      task,
      {
        status: 'pending',
        reason,
        failures,
        ...noLease,
        ...(delays && { waiting_for: 'retry', retry_from: change.ledgerMs + delayMs }),
      },
      'task_retrying',
      { ...data, reason, failures, delay_ms: delayMs },
    );
  }
  return yield* saveTask(
    change,
    task,
    { status: 'failed', reason, failures, ...noLease, ended_at: change.wallMs },
    'task_failed',
    { ...data, reason, failures },
  );
}

export function* releaseTask(change: Change, holder: Holder): Ledger<TaskRow> {
  const task = yield* held(change, holder);
  yield* attemptEnded(change, task, 'released');
  return yield* saveTask(change, task, { status: 'pending', reason: null, ...noLease }, 'task_released', {
    worker: task.lease_worker,
    fence: task.fence,
  });
}

const insertQuestion = define<{
  task: number;
  fence: number;
  question: string;
  choices: string | null;
  asked_at: number;
}>()(({ db, given }) =>
  db.insertInto('question').values({
    task: given.task,
    fence: given.fence,
    question: given.question,
    choices: given.choices,
    asked_at: given.asked_at,
    answer: null,
    answered_by: null,
    answered_at: null,
  }),
);

const questionCount = define<{ task: number }>()(({ db, given }) =>
  db
    .selectFrom('question')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('task', '=', given.task),
);

/** Ends the lease: the task waits for a person, and then for a worker, which gets the answer with it. */
export function* askQuestion(
  change: Change,
  holder: Holder,
  question: string,
  choices: readonly string[] | undefined,
): Ledger<TaskRow> {
  const task = yield* held(change, holder);
  const { count = 0 } = (yield* first(questionCount, { task: task.seq })) ?? {};
  if (count >= mostQuestions)
    throw new ToolError(
      'too_large',
      `The task ${taskId(task)} has asked ${count} questions, which is the most.`,
      {
        hint: 'Use fail_task and say what is missing.',
      },
    );
  yield* run(insertQuestion, {
    task: task.seq,
    fence: task.fence,
    question,
    choices: choices ? JSON.stringify(choices) : null,
    asked_at: change.wallMs,
  });
  yield* attemptEnded(change, task, 'asked');
  return yield* saveTask(
    change,
    task,
    { status: 'blocked', waiting_for: 'input', reason: 'It waits for the answer of a person.', ...noLease },
    'task_asks',
    { worker: task.lease_worker, fence: task.fence, question, ...(choices && { choices }) },
  );
}
