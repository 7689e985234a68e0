/** How a task on a repository ends: its result is kept, and it is completed when its branch is merged. */
import { ToolError } from '#runtime/errors.ts';

import { baseName, filesNamed, type MergeNews } from '../branches.ts';
import { isoOf, type Work } from '../fields.ts';
import { loadProject, saveTask, type Change } from './change.ts';
import { keepDependents, unblock } from './chores.ts';
import { loadWork, type Editor } from './editing.ts';
import { taskId } from './ids.ts';
import { define, first, run, type Ledger } from './query.ts';
import type { TaskRow } from './schema.ts';
import { taskOf } from './tasks.ts';
import { ownWorker } from './workers.ts';

/** Workers with it may say what became of the branches of others. */
const integration = 'integration';

/** Who says what became of a branch. */
export interface Merger extends Editor {
  readonly worker: string | undefined;
}

/** @throws ToolError forbidden. */
function* requireMerger({ caller, isOperator, worker }: Merger, task: TaskRow): Ledger<void> {
  if (worker !== undefined) {
    const { capabilities } = yield* ownWorker(worker, caller);
    if ((JSON.parse(capabilities) as string[]).includes(integration)) return;
  }
  if (isOperator || task.owner === caller) return;
  const project = task.project === null ? undefined : yield* loadProject(task.project);
  if (project?.owner === caller) return;
  throw new ToolError('forbidden', `Only its owner says what became of the branch of ${taskId(task)}.`, {
    hint: `So does a worker with the capability ${integration}: register_worker, and give its name as worker.`,
  });
}

const newsOf = define<{ task: number }>()(({ db, given }) =>
  db.selectFrom('merge').select('body').where('task', '=', given.task),
);
const setNews = define<{ task: number; body: string }>()(({ db, given }) =>
  db
    .insertInto('merge')
    .values({ task: given.task, body: given.body })
    .onConflict((conflict) => conflict.column('task').doUpdateSet({ body: given.body })),
);

export function* loadMergeNews(task: number): Ledger<MergeNews | undefined> {
  const row = yield* first(newsOf, { task });
  return row && (JSON.parse(row.body) as MergeNews);
}

/** @returns what the task takes with them. */
function* keepNews(task: TaskRow, news: MergeNews): Ledger<number> {
  const before = yield* first(newsOf, { task: task.seq });
  const body = JSON.stringify(news);
  yield* run(setNews, { task: task.seq, body });
  return task.bytes + Buffer.byteLength(body) - Buffer.byteLength(before?.body ?? '');
}

/** @throws ToolError conflict unless the task waits to be merged. */
function requireWaiting(task: TaskRow): void {
  if (task.waiting_for === 'merge') return;
  const id = taskId(task);
  const [message, hint] =
    task.branch === null
      ? [`The task ${id} works on no repository: there is nothing to merge.`, 'complete_task ends it.']
      : task.status === 'completed'
        ? [`The task ${id} is completed already.`, 'get_task tells the commit by which it was merged.']
        : task.status === 'failed' || task.status === 'cancelled'
          ? [`The task ${id} is ${task.status}: its branch does not count.`, 'retry_task opens it again.']
          : [
              `The task ${id} does not wait to be merged: it is ${task.status}.`,
              'complete_task comes first.',
            ];
  throw new ToolError('conflict', `${message} Nothing was changed.`, { hint });
}

/** The same commit again is answered as the first time. @throws ToolError forbidden, conflict. */
export function* recordMerge(change: Change, id: string, commit: string, merger: Merger): Ledger<TaskRow> {
  const task = yield* taskOf(id);
  yield* requireMerger(merger, task);
  if (task.status === 'completed' && task.branch !== null) {
    const news = yield* loadMergeNews(task.seq);
    if (news && 'commit' in news) {
      if (news.commit === commit) return task;
      throw new ToolError(
        'conflict',
        `The task ${id} was merged as ${news.commit.slice(0, 12)}, not as ${commit.slice(0, 12)}. Nothing was changed.`,
        { hint: 'What comes after its merge is another task.' },
      );
    }
  }
  requireWaiting(task);
  const dependents = yield* keepDependents(task);
  const bytes = yield* keepNews(task, {
    commit,
    merged_by: merger.caller,
    merged_at: isoOf(change.wallMs),
  });
  const completed = yield* saveTask(
    change,
    task,
    { status: 'completed', waiting_for: null, reason: null, ended_at: change.wallMs, bytes },
    'task_completed',
    { merged: commit, branch: task.branch, by: merger.caller },
  );
  yield* unblock(change, dependents);
  return completed;
}

/** So many files are told in an event; the task has all. */
const mostTold = 20;

export interface Conflict {
  readonly files: readonly string[];
  readonly note?: string | undefined;
}

/** The branch could not be merged: the task is given out again, with what is known of the conflict. */
export function* recordConflict(
  change: Change,
  id: string,
  { files, note }: Conflict,
  merger: Merger,
): Ledger<TaskRow> {
  const task = yield* taskOf(id);
  yield* requireMerger(merger, task);
  requireWaiting(task);
  const bytes = yield* keepNews(task, {
    files,
    note,
    reported_by: merger.caller,
    reported_at: isoOf(change.wallMs),
  });
  const reason = `Its branch conflicts with ${yield* baseOf(task)} in ${filesNamed(files)}.`;
  return yield* saveTask(
    change,
    task,
    { status: 'pending', waiting_for: null, reason, percent: null, note: null, bytes },
    'task_conflicts',
    { files: files.slice(0, mostTold), by: merger.caller, ...(note !== undefined && { note }) },
  );
}

function* baseOf(task: TaskRow): Ledger<string> {
  const work = JSON.parse((yield* loadWork(task.seq)) ?? '{}') as Work;
  return baseName(work.repository?.base);
}
