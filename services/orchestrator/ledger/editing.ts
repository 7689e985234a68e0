/** What the owner of a project or a task changes of it. */
import { ToolError } from '#runtime/errors.ts';

import { mostNeeds, mostWalked, mostWorkBytes } from '../limits.ts';
import { isEnded, isHeld, priorities, type OnFailure, type Priority } from '../states.ts';
import { countNeeds, keepProject, loadNeeds, saveTask, settleCounts, tell, type Change } from './change.ts';
import { begin, cancelOne, hideProject, tellDependents, workOff } from './chores.ts';
import { addNeed, briefOf, projectOf, type ProjectSpec } from './creating.ts';
import { parseId, projectId, taskId } from './ids.ts';
import { all, define, first, run, sql, type Ledger } from './query.ts';
import { requireRoom } from './quota.ts';
import type { ProjectRow, QuestionRow, TaskRow } from './schema.ts';
import { taskOf } from './tasks.ts';

/** Who asks; an operator's token may change what belongs to others. */
export interface Editor {
  readonly caller: string;
  readonly isOperator: boolean;
}

/** @throws ToolError forbidden. */
function requireOwner({ caller, isOperator }: Editor, owner: string, what: string): void {
  if (owner === caller || isOperator) return;
  throw new ToolError('forbidden', `${what} belongs to the token "${owner}".`, {
    hint: 'Ask its owner, or a token with the scope *.',
  });
}

/** @throws ToolError conflict. */
function requireVersion(version: number, wanted: number | undefined, what: string): void {
  if (wanted === undefined || wanted === version) return;
  throw new ToolError('conflict', `${what} has the version ${version}, not ${wanted}. Nothing was changed.`, {
    hint: 'Read it again, and decide anew.',
  });
}

function* ownTask(id: string, editor: Editor, version?: number): Ledger<TaskRow> {
  const task = yield* taskOf(id);
  requireOwner(editor, task.owner, `The task ${id}`);
  requireVersion(task.version, version, `The task ${id}`);
  return task;
}

function* ownProject(id: string, editor: Editor, version?: number): Ledger<ProjectRow> {
  const project = yield* projectOf(id);
  requireOwner(editor, project.owner, `The project ${id}`);
  requireVersion(project.version, version, `The project ${id}`);
  return project;
}

export interface TaskEdit {
  readonly title?: string | undefined;
  readonly priority?: Priority | undefined;
  readonly maxAttempts?: number | undefined;
  readonly deadlineMs?: number | undefined;
  readonly onFailure?: OnFailure | undefined;
  readonly addNeeds: readonly string[];
  readonly dropNeeds: readonly string[];
  /** Replaces the description, and leaves the rest of the work. */
  readonly description?: string | undefined;
}

const workOfTask = define<{ task: number }>()(({ db, given }) =>
  db.selectFrom('work').select('body').where('task', '=', given.task),
);
const setWork = define<{ task: number; body: string }>()(({ db, given }) =>
  db
    .insertInto('work')
    .values({ task: given.task, body: given.body })
    .onConflict((conflict) => conflict.column('task').doUpdateSet({ body: given.body })),
);

export function* loadWork(task: number): Ledger<string | undefined> {
  return (yield* first(workOfTask, { task }))?.body;
}

/** @throws ToolError conflict where the task has ended, or is at work and its dependencies should change. */
export function* editTask(
  change: Change,
  id: string,
  edit: TaskEdit,
  editor: Editor,
  version: number | undefined,
): Ledger<TaskRow> {
  const task = yield* ownTask(id, editor, version);
  const fields = Object.keys(edit).filter((key) => isGiven(edit, key));
  if (fields.length === 0) return task;
  if (isEnded(task.status))
    throw new ToolError('conflict', `The task ${id} is ${task.status}.`, {
      hint: 'retry_task opens one again that failed or was cancelled.',
    });
  const changed: { -readonly [Column in keyof TaskRow]?: TaskRow[Column] } = {};
  if (edit.title !== undefined) changed.title = edit.title;
  if (edit.priority !== undefined) changed.priority = priorities.indexOf(edit.priority);
  if (edit.maxAttempts !== undefined) changed.max_attempts = edit.maxAttempts;
  if (edit.deadlineMs !== undefined) changed.deadline_at = edit.deadlineMs;
  if (edit.onFailure !== undefined) changed.on_failure = edit.onFailure;
  if (edit.description !== undefined) {
    const before = (yield* loadWork(task.seq)) ?? '';
    const body = JSON.stringify({
      ...(before === '' ? {} : (JSON.parse(before) as object)),
      description: edit.description,
    });
    if (body.length > mostWorkBytes || Buffer.byteLength(body) > mostWorkBytes)
      throw new ToolError(
        'too_large',
        `The task ${id} would have ${Buffer.byteLength(body)} bytes of description, steps and goal, and may have ${mostWorkBytes}.`,
        { hint: 'Put long texts where the worker finds them, such as a file, and name the place.' },
      );
    const more = Buffer.byteLength(body) - Buffer.byteLength(before);
    if (more > 0) yield* requireRoom(change, task.owner, 1, more);
    yield* run(setWork, { task: task.seq, body });
    changed.bytes = task.bytes + more;
  }
  if (edit.addNeeds.length + edit.dropNeeds.length > 0) Object.assign(changed, yield* editNeeds(task, edit));
  return yield* saveTask(change, task, changed, 'task_changed', { fields });
}

function isGiven(edit: TaskEdit, key: string): boolean {
  const value = edit[key as keyof TaskEdit];
  return Array.isArray(value) ? value.length > 0 : value !== undefined;
}

const dropEdge = define<{ task: number; needs: number }>()(({ db, given }) =>
  db.deleteFrom('edge').where('task', '=', given.task).where('needs', '=', given.needs),
);

/** Two edges of two changes could make a circle that neither sees. */
const aloneWithEdges = define()(({ db, alone }) => db.selectNoFrom(alone('edge').as('kept')));

function* editNeeds(task: TaskRow, { addNeeds, dropNeeds }: TaskEdit): Ledger<Partial<TaskRow>> {
  const id = taskId(task);
  if (addNeeds.length > 0) yield* run(aloneWithEdges, {});
  if (isHeld(task.status) || task.waiting_for === 'input' || task.waiting_for === 'merge')
    throw new ToolError('conflict', `The task ${id} has begun: what it needs cannot change.`, {
      hint: 'cancel_task and create_tasks make another in its place.',
    });
  for (const need of dropNeeds) yield* run(dropEdge, { task: task.seq, needs: (yield* taskOf(need)).seq });
  for (const need of addNeeds) {
    const needed = yield* taskOf(need);
    yield* requireNoCircle(task, needed);
    yield* addNeed(task.seq, needed);
    if (needed.status !== 'completed' && isEnded(needed.status)) yield* begin('ended', needed.seq);
  }
  const needs = yield* loadNeeds(task.seq);
  if (needs.length > mostNeeds)
    throw new ToolError(
      'too_large',
      `The task ${id} would need ${needs.length} tasks, and may need ${mostNeeds}.`,
      {
        hint: 'Put tasks in between: some that need those, and this one that needs them.',
      },
    );
  const openNeeds = needs.filter(({ status }) => status !== 'completed').length;
  return openNeeds > 0
    ? {
        open_needs: openNeeds,
        status: 'blocked',
        waiting_for: 'dependencies',
        reason: null,
        retry_from: null,
      }
    : {
        open_needs: 0,
        ...(task.waiting_for === 'dependencies' && { status: 'pending', waiting_for: null, reason: null }),
      };
}

const needsOfTask = define<{ task: number }>()(({ db, given }) =>
  db.selectFrom('edge').select('needs').where('task', '=', given.task),
);

/** Walks from the task that is to be needed along what that needs. @throws ToolError invalid_input, too_large. */
function* requireNoCircle(task: TaskRow, needed: TaskRow): Ledger<void> {
  const id = taskId(task);
  const seen = new Set([needed.seq]);
  const open = [needed.seq];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (at === task.seq)
      throw new ToolError(
        'invalid_input',
        `The task ${id} cannot need ${taskId(needed)}, which waits for it. Nothing was changed.`,
        { hint: 'get_project shows who needs whom.' },
      );
    for (const { needs } of yield* all(needsOfTask, { task: at })) {
      if (seen.has(needs)) continue;
      seen.add(needs);
      open.push(needs);
    }
    if (seen.size > mostWalked)
      throw new ToolError('too_large', `${taskId(needed)} waits for more than ${mostWalked} tasks.`, {
        hint: 'Make a new task that needs it, in place of changing this one.',
      });
  }
}

export function* cancelTask(
  change: Change,
  id: string,
  reason: string | undefined,
  editor: Editor,
): Ledger<TaskRow> {
  const task = yield* ownTask(id, editor);
  if (task.status === 'cancelled') return task;
  if (isEnded(task.status))
    throw new ToolError('conflict', `The task ${id} is ${task.status} already.`, {
      hint: 'Nothing is left to cancel.',
    });
  const cancelled = yield* cancelOne(change, task, reason ?? null);
  yield* tellDependents(change, cancelled);
  return cancelled;
}

/** Opens a task again that failed or was cancelled, with all of its attempts before it. */
export function* retryTask(change: Change, id: string, editor: Editor): Ledger<TaskRow> {
  const task = yield* ownTask(id, editor);
  if (task.status === 'completed' || !isEnded(task.status))
    throw new ToolError(
      'conflict',
      `The task ${id} is ${task.status}: only what failed or was cancelled is tried again.`,
      {
        hint: 'get_task tells how it stands.',
      },
    );
  yield* requireOpenProject(task);
  // While it was over, some of what it needed may have been deleted.
  const { open } = yield* countNeeds(task.seq);
  const isFree = open === 0;
  const opened = yield* saveTask(
    change,
    task,
    {
      status: isFree ? 'pending' : 'blocked',
      waiting_for: isFree ? null : 'dependencies',
      open_needs: open,
      reason: null,
      failures: 0,
      cascaded: 0,
      percent: null,
      note: null,
      ended_at: null,
      // One that has passed would end it again at once.
      ...((task.deadline_at ?? Infinity) <= change.wallMs && { deadline_at: null }),
    },
    'task_retrying',
    { again: true },
  );
  yield* begin('revived', task.seq);
  yield* workOff(change, 100);
  if (task.project !== null) yield* keepProject(task.project);
  yield* requireOpenProject(task);
  return opened;
}

/** @throws ToolError conflict. */
function* requireOpenProject(task: TaskRow): Ledger<void> {
  const project = task.project === null ? undefined : yield* first(projectState, { seq: task.project });
  if (project && (project.cancelled === 1 || project.batch !== null))
    throw new ToolError('conflict', `The project of the task ${taskId(task)} is cancelled or deleted.`, {
      hint: 'Make the task anew in another project.',
    });
}

const projectState = define<{ seq: number }>()(({ db, given }) =>
  db.selectFrom('project').select(['cancelled', 'batch']).where('seq', '=', given.seq),
);

const openQuestion = define<{ task: number }>()(({ db, given }) =>
  db
    .selectFrom('question')
    .selectAll()
    .where('task', '=', given.task)
    .where('answer', 'is', null)
    .orderBy('fence', 'desc')
    .limit(sql.lit(1)),
);

export const loadOpenQuestion = (task: number): Ledger<QuestionRow | undefined> =>
  first(openQuestion, { task });

const setAnswer = define<{ task: number; fence: number; answer: string; by: string; at: number }>()(
  ({ db, given }) =>
    db
      .updateTable('question')
      .set({ answer: given.answer, answered_by: given.by, answered_at: given.at })
      .where('task', '=', given.task)
      .where('fence', '=', given.fence),
);

/** Whoever may write may answer. @throws ToolError conflict, invalid_input for an answer that is none of the choices. */
export function* answerQuestion(change: Change, id: string, answer: string, caller: string): Ledger<TaskRow> {
  const task = yield* taskOf(id);
  const question = yield* loadOpenQuestion(task.seq);
  if (task.waiting_for !== 'input' || !question)
    throw new ToolError('conflict', `The task ${id} waits for no answer: it is ${task.status}.`, {
      hint: 'list_tasks with waiting_for input tells those that do.',
    });
  const choices = question.choices === null ? undefined : (JSON.parse(question.choices) as string[]);
  if (choices && !choices.includes(answer))
    throw new ToolError('invalid_input', `The answer is none of the choices of the task ${id}.`, {
      hint: `Choose one: ${choices.map((one) => JSON.stringify(one.slice(0, 100))).join(', ')}.`,
    });
  yield* run(setAnswer, { task: task.seq, fence: question.fence, answer, by: caller, at: change.wallMs });
  return yield* saveTask(
    change,
    task,
    { status: 'pending', waiting_for: null, reason: null },
    'task_answered',
    { answered_by: caller },
  );
}

const updateProject = define<
  Pick<
    ProjectRow,
    | 'seq'
    | 'name'
    | 'brief'
    | 'priority'
    | 'on_failure'
    | 'status'
    | 'cancelled'
    | 'ended_at'
    | 'updated_at'
    | 'batch'
  >
>()(({ db, given }) =>
  db
    .updateTable('project')
    .set({
      name: given.name,
      brief: given.brief,
      priority: given.priority,
      on_failure: given.on_failure,
      status: given.status,
      cancelled: given.cancelled,
      batch: given.batch,
      ended_at: given.ended_at,
      updated_at: given.updated_at,
      version: sql`version + 1`,
    })
    .where('seq', '=', given.seq),
);

function* saveProject(
  change: Change,
  before: ProjectRow,
  changed: Partial<ProjectRow>,
  event: string,
): Ledger<ProjectRow> {
  const {
    nonce: _,
    owner: _owner,
    created_at: _created,
    version,
    ...columns
  } = {
    ...before,
    ...changed,
    updated_at: change.wallMs,
  };
  yield* run(updateProject, columns);
  change.news.projects.add(projectId(before));
  tell(change, event, { project: before.seq, task: null });
  return { ...before, ...changed, updated_at: change.wallMs, version: version + 1 };
}

export function* editProject(
  change: Change,
  id: string,
  edit: { readonly [Field in keyof ProjectSpec]?: ProjectSpec[Field] | undefined },
  editor: Editor,
  version: number | undefined,
): Ledger<ProjectRow> {
  yield* keepProject(parseId(id).seq);
  const project = yield* ownProject(id, editor, version);
  if (Object.values(edit).every((value) => value === undefined)) return project;
  const brief = JSON.parse(project.brief) as ProjectSpec;
  const { name = project.name, priority, on_failure = project.on_failure } = edit;
  const changed = briefOf({
    description: edit.description ?? brief.description,
    requirements: edit.requirements ?? brief.requirements,
    tech_stack: edit.tech_stack ?? brief.tech_stack,
    template: brief.template,
  });
  const more = Buffer.byteLength(changed) - Buffer.byteLength(project.brief);
  if (more > 0) yield* requireRoom(change, project.owner, 1, more);
  return yield* saveProject(
    change,
    project,
    {
      name,
      priority: priority === undefined ? project.priority : priorities.indexOf(priority),
      on_failure,
      brief: changed,
    },
    'project_changed',
  );
}

/** Its tasks are cancelled in pieces after this. */
export function* cancelProject(change: Change, id: string, editor: Editor): Ledger<ProjectRow> {
  yield* keepProject(parseId(id).seq);
  const project = yield* ownProject(id, editor);
  if (project.cancelled === 1) return project;
  const cancelled = yield* saveProject(
    change,
    project,
    { cancelled: 1, status: 'cancelled', ended_at: change.wallMs },
    'project_cancelled',
  );
  yield* begin('cancel_project', project.seq);
  change.news.hasChores = true;
  yield* settleCounts(change);
  return cancelled;
}

const openTask = define<{ project: number }>()(({ db, given }) =>
  db
    .selectFrom('task')
    .select(['seq', 'nonce', 'status'])
    .where('project', '=', given.project)
    .where('ended_at', 'is', null)
    .limit(sql.lit(1)),
);

/** @throws ToolError conflict while a task of it is open. */
export function* deleteProject(change: Change, id: string, editor: Editor): Ledger<void> {
  yield* keepProject(parseId(id).seq);
  const project = yield* ownProject(id, editor);
  const open = yield* first(openTask, { project: project.seq });
  if (open)
    throw new ToolError('conflict', `The project ${id} has open tasks: ${taskId(open)} is ${open.status}.`, {
      hint: 'cancel_project first.',
    });
  yield* hideProject(change, project);
  change.news.hasChores = true;
}
