/**
 * What follows from a change for other tasks. What may be many is a chore: written down with the change, done in pieces, a part of it at
 * once, and gone on with after a restart.
 */
import { changedAtOnce } from '../limits.ts';
import { isEnded, isHeld } from '../states.ts';
import { attemptEnded } from './attempts.ts';
import { count, countNeeds, noLease, saveTask, tell, type Change } from './change.ts';
import { projectId, taskId } from './ids.ts';
import { all, define, first, run, sql, type Ledger } from './query.ts';
import type { Chore, ProjectRow, TaskRow } from './schema.ts';

const dependentsAfter = define<{ needs: number; after: number; most: number }>()(({ db, given, keeping }) =>
  keeping(db.selectFrom('task').selectAll())
    .where('seq', 'in', db.selectFrom('edge').select('task').where('needs', '=', given.needs))
    .where('seq', '>', given.after)
    .orderBy('seq')
    .limit(given.most),
);

/** Nobody is told how many are left: so it is no new version. */
const setOpenNeeds = define<{ seq: number; open_needs: number }>()(({ db, given }) =>
  db.updateTable('task').set({ open_needs: given.open_needs }).where('seq', '=', given.seq),
);

const everyDependent = Number.MAX_SAFE_INTEGER;

/** All that need it, kept from others until the change is made. */
export const keepDependents = ({ seq }: TaskRow): Ledger<readonly TaskRow[]> =>
  all(dependentsAfter, { needs: seq, after: 0, most: everyDependent });

/** Those that needed nothing but this task may be given out. */
export function* unblock(change: Change, dependents: readonly TaskRow[]): Ledger<void> {
  for (const task of dependents) {
    const openNeeds = task.open_needs - 1;
    const isFree = openNeeds === 0 && task.status === 'blocked' && task.waiting_for === 'dependencies';
    if (isFree)
      yield* saveTask(
        change,
        task,
        { open_needs: 0, status: 'pending', waiting_for: null, reason: null },
        'task_ready',
      );
    else yield* run(setOpenNeeds, { seq: task.seq, open_needs: openNeeds });
  }
}

const addChore = define<{ kind: Chore; subject: number }>()(({ db, given }) =>
  db
    .insertInto('chore')
    .values({ kind: given.kind, subject: given.subject })
    .onConflict((conflict) => conflict.columns(['kind', 'subject']).doUpdateSet({ place: 0 })),
);

export const begin = (kind: Chore, subject: number): Ledger<void> => run(addChore, { kind, subject });

/** The task will not complete: its dependents fail too, or wait and say for what. A part of it at once: so for one task of a change. */
export function* tellDependents(change: Change, { seq }: TaskRow): Ledger<void> {
  yield* begin('ended', seq);
  yield* workOff(change, changedAtOnce);
}

/** Who keeps tasks already passes over what others are at: they may wait for these tasks. */
const freeChore = define()(({ db, taking }) =>
  taking(db.selectFrom('chore').selectAll()).orderBy('seq').limit(sql.lit(1)),
);
const nextChore = define()(({ db, keeping }) =>
  keeping(db.selectFrom('chore').selectAll()).orderBy('seq').limit(sql.lit(1)),
);
const anyChore = define()(({ db }) => db.selectFrom('chore').select('seq').limit(sql.lit(1)));
const moveChore = define<{ seq: number; place: number }>()(({ db, given }) =>
  db.updateTable('chore').set({ place: given.place }).where('seq', '=', given.seq),
);
const dropChore = define<{ seq: number }>()(({ db, given }) =>
  db.deleteFrom('chore').where('seq', '=', given.seq),
);

interface ChoreRow {
  readonly subject: number;
  readonly place: number;
}

/** How many tasks a piece has gone through, and where it goes on; nowhere when it is done. */
interface Piece {
  readonly done: number;
  readonly next: number | undefined;
}

const workers: Readonly<Record<Chore, (change: Change, chore: ChoreRow, most: number) => Ledger<Piece>>> = {
  ended: endDependents,
  revived: reviveDependents,
  cancel_project: cancelTasks,
  delete_project: deleteTasks,
  drop_batch: dropTasks,
};

/**
 * Does about so many tasks' worth of chores.
 *
 * @param waits for what others are at: only who keeps nothing yet may.
 * @returns whether there are more.
 */
export function* workOff(change: Change, most: number, waits = false): Ledger<boolean> {
  for (let left = most; left > 0;) {
    const chore = yield* first(waits ? nextChore : freeChore, {});
    if (!chore) break;
    const { done, next } = yield* workers[chore.kind](change, chore, left);
    if (next === undefined) yield* run(dropChore, { seq: chore.seq });
    else yield* run(moveChore, { seq: chore.seq, place: next });
    left -= Math.max(1, done);
  }
  const isMore = (yield* first(anyChore, {})) !== undefined;
  if (isMore) change.news.hasChores = true;
  return isMore;
}

const pieceOf = (tasks: readonly { readonly seq: number }[], most: number): Piece => ({
  done: tasks.length,
  next: tasks.length < most ? undefined : tasks.at(-1)?.seq,
});

const taskState = define<{ seq: number }>()(({ db, given, keeping }) =>
  keeping(db.selectFrom('task').select(['seq', 'nonce', 'status'])).where('seq', '=', given.seq),
);

const nothing: Piece = { done: 0, next: undefined };

function* endDependents(change: Change, { subject, place }: ChoreRow, most: number): Ledger<Piece> {
  const ended = yield* first(taskState, { seq: subject });
  // It may have been tried again meanwhile.
  if (!ended || (ended.status !== 'failed' && ended.status !== 'cancelled')) return nothing;
  const tasks = yield* all(dependentsAfter, { needs: subject, after: place, most });
  const what = `It needs ${taskId(ended)}, which ${ended.status === 'failed' ? 'failed' : 'was cancelled'}`;
  for (const task of tasks) {
    if (isEnded(task.status)) continue;
    if (task.on_failure === 'block') {
      yield* saveTask(change, task, { reason: `${what}: retry_task tries that again.` }, 'task_blocked', {
        needs: taskId(ended),
      });
      continue;
    }
    yield* saveTask(
      change,
      task,
      {
        status: ended.status,
        reason: `${what}.`,
        waiting_for: null,
        cascaded: 1,
        ended_at: change.wallMs,
      },
      `task_${ended.status}`,
      { needs: taskId(ended) },
    );
    yield* begin('ended', task.seq);
  }
  return pieceOf(tasks, most);
}

/** The task may complete after all: those that failed only with it wait again. */
function* reviveDependents(change: Change, { subject, place }: ChoreRow, most: number): Ledger<Piece> {
  const tasks = yield* all(dependentsAfter, { needs: subject, after: place, most });
  for (const task of tasks) {
    const isCascaded = task.cascaded === 1 && isEnded(task.status);
    if (!isCascaded && task.waiting_for !== 'dependencies') continue;
    // Some may have completed meanwhile, or were deleted while this one was over.
    const { open, ended } = yield* countNeeds(task.seq);
    if (ended > 0) continue;
    const opened = { open_needs: open, reason: null, cascaded: 0, ended_at: null };
    yield* open === 0
      ? saveTask(change, task, { ...opened, status: 'pending', waiting_for: null }, 'task_ready')
      : saveTask(change, task, { ...opened, status: 'blocked', waiting_for: 'dependencies' }, 'task_blocked');
    if (isCascaded) yield* begin('revived', task.seq);
  }
  return pieceOf(tasks, most);
}

/** @param reason in words. */
export function* cancelOne(change: Change, task: TaskRow, reason: string | null): Ledger<TaskRow> {
  if (isHeld(task.status)) yield* attemptEnded(change, task, 'cancelled');
  return yield* saveTask(
    change,
    task,
    { status: 'cancelled', reason, waiting_for: null, ...noLease, retry_from: null, ended_at: change.wallMs },
    'task_cancelled',
  );
}

const openOfProject = define<{ project: number; after: number; most: number }>()(({ db, given, keeping }) =>
  keeping(db.selectFrom('task').selectAll())
    .where('project', '=', given.project)
    .where('seq', '>', given.after)
    .where('ended_at', 'is', null)
    .orderBy('seq')
    .limit(given.most),
);

const strangerThatNeeds = define<{ needs: number; project: number }>()(({ db, given }) =>
  db
    .selectFrom('edge')
    .innerJoin('task', 'task.seq', 'edge.task')
    .select('task.seq')
    .where('edge.needs', '=', given.needs)
    .where('task.ended_at', 'is', null)
    .where((eb) => eb.or([eb('task.project', 'is', null), eb('task.project', '!=', given.project)]))
    .limit(sql.lit(1)),
);

function* cancelTasks(change: Change, { subject, place }: ChoreRow, most: number): Ledger<Piece> {
  const tasks = yield* all(openOfProject, { project: subject, after: place, most });
  for (const task of tasks) {
    yield* cancelOne(change, task, 'Its project was cancelled.');
    const stranger = yield* first(strangerThatNeeds, { needs: task.seq, project: subject });
    if (stranger) yield* begin('ended', task.seq);
  }
  return pieceOf(tasks, most);
}

const tasksOfProject = define<{ project: number; most: number }>()(({ db, given, keeping }) =>
  keeping(db.selectFrom('task').selectAll())
    .where('project', '=', given.project)
    .orderBy('seq')
    .limit(given.most),
);
const deleteTask = define<{ seq: number }>()(({ db, given }) =>
  db.deleteFrom('task').where('seq', '=', given.seq),
);
const deleteProject = define<{ seq: number }>()(({ db, given }) =>
  db.deleteFrom('project').where('seq', '=', given.seq),
);
const deleteEvents = define<{ project: number; most: number }>()(({ db, given }) =>
  db
    .deleteFrom('event')
    .where(
      'seq',
      'in',
      db.selectFrom('event').select('seq').where('project', '=', given.project).limit(given.most),
    )
    .returning('seq'),
);

const dropEdgesTo = define<{ needs: number; most: number }>()(({ db, given }) =>
  db
    .deleteFrom('edge')
    .where('needs', '=', given.needs)
    .where(
      'task',
      'in',
      db.selectFrom('edge').select('task').where('needs', '=', given.needs).orderBy('task').limit(given.most),
    )
    .returning('task'),
);

/** Lets go of tasks that have ended, one after the other. @returns how much that was: when it is `most`, something may be left. */
export function* forgetTasks(change: Change, tasks: readonly TaskRow[], most: number): Ledger<number> {
  let left = most;
  for (const task of tasks) {
    if (left <= 0) break;
    left -= yield* forgetTask(change, task, left);
  }
  return most - left;
}

const openDependents = define<{ needs: number; most: number }>()(({ db, given, keeping }) =>
  keeping(db.selectFrom('task').selectAll())
    .where('seq', 'in', db.selectFrom('edge').select('task').where('needs', '=', given.needs))
    .where('ended_at', 'is', null)
    .orderBy('seq')
    .limit(given.most),
);

/** So many edges are dropped with no more work than one task is changed. */
const edgesPerTask = 10;

/** Its events go with their time. What still needs it can never begin; where much does, it stays until all of that is gone through. */
function* forgetTask(change: Change, task: TaskRow, most: number): Ledger<number> {
  const { seq } = task;
  const open = task.status === 'completed' ? [] : yield* all(openDependents, { needs: seq, most });
  for (const dependent of open) {
    const reason = `It needed ${taskId(task)}, which was deleted.`;
    const changed = { status: 'failed', reason, waiting_for: null, ended_at: change.wallMs } as const;
    yield* saveTask(change, dependent, changed, 'task_failed', { needs: taskId(task) });
    yield* begin('ended', dependent.seq);
  }
  const mostEdges = (most - open.length) * edgesPerTask;
  const dropped = mostEdges > 0 ? yield* all(dropEdgesTo, { needs: seq, most: mostEdges }) : [];
  if (dropped.length === mostEdges) return most;
  yield* run(deleteTask, { seq });
  count(change, task.project, task.status, -1);
  return open.length + Math.ceil(dropped.length / edgesPerTask) + 1;
}

function* deleteTasks(change: Change, { subject }: ChoreRow, most: number): Ledger<Piece> {
  const tasks = yield* all(tasksOfProject, { project: subject, most });
  const done = yield* forgetTasks(change, tasks, most);
  if (done >= most) return { done, next: 0 };
  const events = yield* all(deleteEvents, { project: subject, most });
  if (events.length === most) return { done: most, next: 0 };
  change.counted.delete(subject);
  yield* run(deleteProject, { seq: subject });
  return { done: done + events.length, next: undefined };
}

const hide = define<{ seq: number }>()(({ db, given }) =>
  // No batch has this number, so that nobody sees the project.
  db
    .updateTable('project')
    .set({ batch: sql.lit(0) })
    .where('seq', '=', given.seq),
);

/** The project is gone for everybody; what it had is deleted in pieces. Its end is told among the events of no project, which stay. */
export function* hideProject(change: Change, project: Pick<ProjectRow, 'seq' | 'nonce'>): Ledger<void> {
  yield* run(hide, { seq: project.seq });
  tell(change, 'project_deleted', { project: null, task: null }, { project_id: projectId(project) });
  yield* begin('delete_project', project.seq);
  change.news.hasChores = true;
}

const tasksOfBatch = define<{ batch: number; most: number }>()(({ db, given }) =>
  db.selectFrom('task').select('seq').where('batch', '=', given.batch).limit(given.most),
);
const projectOfBatch = define<{ batch: number }>()(({ db, given }) =>
  db.deleteFrom('project').where('batch', '=', given.batch),
);
const deleteBatch = define<{ id: number }>()(({ db, given }) =>
  db.deleteFrom('batch').where('id', '=', given.id),
);

/** Of a call that was cut off before all of its tasks were there. */
function* dropTasks(_change: Change, { subject }: ChoreRow, most: number): Ledger<Piece> {
  const tasks = yield* all(tasksOfBatch, { batch: subject, most });
  for (const { seq } of tasks) yield* run(deleteTask, { seq });
  if (tasks.length === most) return { done: most, next: 0 };
  yield* run(projectOfBatch, { batch: subject });
  yield* run(deleteBatch, { id: subject });
  return { done: tasks.length, next: undefined };
}
