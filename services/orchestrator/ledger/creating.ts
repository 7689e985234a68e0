/** How projects and tasks come into the ledger. */
import { ToolError } from '#runtime/errors.ts';

import { branchOf, folderOf } from '../branches.ts';
import type { Brief } from '../templates.ts';
import { changedAtOnce, mostDependents, mostTasksPerProject } from '../limits.ts';
import { tooManyDependents, type PlannedTask } from '../planning.ts';
import {
  isEnded,
  priorities,
  totalOf,
  type Counts,
  type OnFailure,
  type Priority,
  type Status,
} from '../states.ts';
import { count, keepProject, loadCounts, loadProject, tell, type Change } from './change.ts';
import { begin, workOff } from './chores.ts';
import { newNonce, noProject, parseId, taskId } from './ids.ts';
import { all, define, first, run, type Ledger } from './query.ts';
import { requireRoom } from './quota.ts';
import type { ProjectRow, TaskRow } from './schema.ts';
import { skillSet } from './skill-sets.ts';
import { taskOf } from './tasks.ts';

export interface ProjectSpec extends Brief {
  readonly priority: Priority;
  readonly on_failure: OnFailure;
  readonly template?: string | undefined;
}

/** Where tasks go, and what they take from there. */
export interface Home {
  readonly project: number | null;
  readonly priority: Priority;
  readonly onFailure: OnFailure;
}

const insertProject = define<Omit<ProjectRow, 'seq' | 'version' | 'cancelled' | 'ended_at'>>()(
  ({ db, given }) =>
    db
      .insertInto('project')
      .values({
        nonce: given.nonce,
        owner: given.owner,
        name: given.name,
        brief: given.brief,
        priority: given.priority,
        on_failure: given.on_failure,
        status: given.status,
        batch: given.batch,
        created_at: given.created_at,
        updated_at: given.updated_at,
        ended_at: null,
      })
      .returningAll(),
);
const insertCounts = define<{ project: number }>()(({ db, given }) =>
  db.insertInto('project_counts').values({ project: given.project }),
);

export const briefOf = ({
  description,
  requirements,
  tech_stack,
  template,
}: Omit<ProjectSpec, 'priority' | 'on_failure' | 'name'>) =>
  JSON.stringify({ description, requirements, tech_stack, template });

export function* addProject(
  change: Change,
  spec: ProjectSpec,
  owner: string,
  batch: number | null,
): Ledger<ProjectRow> {
  const project = yield* first(insertProject, {
    nonce: newNonce(),
    owner,
    name: spec.name,
    brief: briefOf(spec),
    priority: priorities.indexOf(spec.priority),
    on_failure: spec.on_failure,
    status: 'pending',
    batch,
    created_at: change.wallMs,
    updated_at: change.wallMs,
  });
  if (!project) throw new Error('The database returned no row for a new project.');
  yield* run(insertCounts, { project: project.seq });
  if (batch === null) tellProject(change, project);
  return project;
}

const tellProject = (change: Change, { seq, name }: Pick<ProjectRow, 'seq' | 'name'>): void =>
  tell(change, 'project_created', { project: seq, task: null }, { name });

/** A project that takes tasks. @throws ToolError not_found, conflict. */
export function* openProject(id: string): Ledger<ProjectRow> {
  const project = yield* projectOf(id);
  if (project.cancelled === 1)
    throw new ToolError('conflict', `The project ${id} is cancelled.`, {
      hint: 'create_project begins another.',
    });
  return project;
}

/** @throws ToolError not_found. */
export function* projectOf(id: string): Ledger<ProjectRow> {
  const { seq, nonce } = parseId(id);
  const project = yield* loadProject(seq);
  if (!project || project.nonce !== nonce || project.batch !== null) throw noProject(id);
  return project;
}

export const homeIn = ({ seq, priority, on_failure: onFailure }: ProjectRow): Home => ({
  project: seq,
  priority: priorities[priority] ?? 'medium',
  onFailure,
});

export const noHome: Home = { project: null, priority: 'medium', onFailure: 'block' };

/** @throws ToolError too_large, when a project would have more tasks than it may. */
export function* requirePlaces({ project }: Home, added: number): Ledger<void> {
  if (project !== null) requireFewer(yield* loadCounts(project), added);
}

/** The project as it is when the change is made: it takes so many more tasks. @throws ToolError conflict, not_found, too_large. */
function* requireProject({ project }: Home, added: number): Ledger<void> {
  if (project === null) return;
  const counts = yield* keepProject(project);
  const row = yield* loadProject(project);
  if (row?.cancelled !== 0)
    throw new ToolError('conflict', 'The project was cancelled or deleted meanwhile.', {
      hint: 'Nothing was made.',
    });
  requireFewer(counts, added);
}

function requireFewer(counts: Counts, added: number): void {
  const total = totalOf(counts) + added;
  if (total > mostTasksPerProject)
    throw new ToolError(
      'too_large',
      `The project would have ${total} tasks, and may have ${mostTasksPerProject}.`,
      { hint: 'Spread them over several projects: tasks may depend on those of others.' },
    );
}

const insertTask = define<{
  nonce: string;
  project: number | null;
  batch: number | null;
  owner: string;
  key: string | null;
  title: string;
  type: string;
  priority: number;
  skill_set: number;
  status: Status;
  waiting_for: string | null;
  open_needs: number;
  on_failure: string;
  max_attempts: number;
  lease_ms: number;
  deadline_at: number | null;
  bytes: number;
  at: number;
}>()(({ db, given }) =>
  db
    .insertInto('task')
    .values({
      nonce: given.nonce,
      project: given.project,
      batch: given.batch,
      owner: given.owner,
      key: given.key,
      title: given.title,
      type: given.type,
      priority: given.priority,
      skill_set: given.skill_set,
      status: given.status,
      waiting_for: given.waiting_for as never,
      open_needs: given.open_needs,
      on_failure: given.on_failure as never,
      max_attempts: given.max_attempts,
      lease_ms: given.lease_ms,
      deadline_at: given.deadline_at,
      bytes: given.bytes,
      created_at: given.at,
      updated_at: given.at,
    } as never)
    .returning('seq'),
);
const setBranch = define<{ seq: number; branch: string; folder: string | null }>()(({ db, given }) =>
  db.updateTable('task').set({ branch: given.branch, folder: given.folder }).where('seq', '=', given.seq),
);
const insertWork = define<{ task: number; body: string }>()(({ db, given }) =>
  db.insertInto('work').values({ task: given.task, body: given.body }),
);
const insertEdge = define<{ task: number; needs: number }>()(({ db, given }) =>
  db
    .insertInto('edge')
    .values({ task: given.task, needs: given.needs })
    .onConflict((conflict) => conflict.doNothing()),
);
const dependentCount = define<{ needs: number }>()(({ db, given }) =>
  db
    .selectFrom('edge')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('needs', '=', given.needs),
);

/** What a task takes beside its texts, in bytes. */
const rowBytes = 500;

/** A task that was made: as much of it as its sender is told. */
export interface Made {
  readonly seq: number;
  readonly nonce: string;
  readonly key: string | null;
  readonly title: string;
  readonly status: Status;
}

export interface Origin {
  readonly home: Home;
  readonly owner: string;
  readonly batch: number | null;
  /** By what they require, so that each is looked up once. */
  readonly sets: Map<string, number>;
  /** Tasks that were there before and that the new ones need, kept from others. */
  readonly needed: Map<string, TaskRow>;
  /** Those of them that have failed or were cancelled: told when all are there. */
  readonly endedNeeds: Set<number>;
}

export const newOrigin = (home: Home, owner: string, batch: number | null): Origin => ({
  home,
  owner,
  batch,
  sets: new Map(),
  needed: new Map(),
  endedNeeds: new Set(),
});

/** In the order in which others keep tasks, and before anything else is kept. @throws ToolError not_found. */
export function* keepNeeded(tasks: readonly PlannedTask[], { needed }: Origin): Ledger<void> {
  const ids = new Set(tasks.flatMap(({ needsIds }) => needsIds));
  for (const id of [...ids].toSorted((one, other) => parseId(one).seq - parseId(other).seq))
    needed.set(id, yield* taskOf(id));
}

/** Adds one task, and what it needs of those that were there before; needs among the tasks of the call come later. */
export function* addTask(
  change: Change,
  { spec, requires, work, needs, needsIds }: PlannedTask,
  { home, owner, batch, sets, needed: kept, endedNeeds }: Origin,
): Ledger<Made> {
  const requiresText = requires.join(' ');
  const set = sets.get(requiresText) ?? (yield* skillSet(requires, owner));
  sets.set(requiresText, set);
  const needed: TaskRow[] = [];
  for (const id of needsIds) needed.push(kept.get(id) ?? (yield* taskOf(id)));
  const open = needed.filter(({ status }) => status !== 'completed');
  const openNeeds = needs.length + open.length;
  const status = openNeeds > 0 ? 'blocked' : 'pending';
  const nonce = newNonce();
  const { key = null, title, type, deadline } = spec;
  const row = yield* first(insertTask, {
    nonce,
    project: home.project,
    batch,
    owner,
    key,
    title,
    type,
    priority: priorities.indexOf(spec.priority ?? home.priority),
    skill_set: set,
    status,
    waiting_for: openNeeds > 0 ? 'dependencies' : null,
    open_needs: openNeeds,
    on_failure: spec.on_failure ?? home.onFailure,
    max_attempts: spec.max_attempts,
    lease_ms: spec.lease_seconds * 1_000,
    deadline_at: deadline === undefined ? null : Date.parse(deadline),
    bytes: rowBytes + Buffer.byteLength(title) + Buffer.byteLength(work),
    at: change.wallMs,
  });
  if (!row) throw new Error('The database returned no row for a new task.');
  const { seq } = row;
  if (work !== '') yield* run(insertWork, { task: seq, body: work });
  if (spec.repository) {
    const branch = branchOf(taskId({ seq, nonce }), title, spec.repository.kind);
    yield* run(setBranch, { seq, branch, folder: folderOf(spec.repository) ?? null });
  }
  for (const need of needed) {
    yield* addNeed(seq, need);
    if (need.status !== 'completed' && isEnded(need.status)) endedNeeds.add(need.seq);
  }
  if (batch === null) {
    count(change, home.project, status, 1);
    if (status === 'pending') change.news.isReady = true;
  }
  return { seq, nonce, key, title, status };
}

/** @throws ToolError too_large, when too many would need one task. */
export function* addNeed(task: number, need: Pick<TaskRow, 'seq' | 'nonce'>): Ledger<void> {
  yield* run(insertEdge, { task, needs: need.seq });
  const { count: dependents = 0 } = (yield* first(dependentCount, { needs: need.seq })) ?? {};
  if (dependents > mostDependents) throw tooManyDependents(`the task ${taskId(need)}`);
}

export const addEdge = (task: number, needs: number): Ledger<void> => run(insertEdge, { task, needs });

/** So many ids of new tasks are told in one event. */
const mostTold = 100;

/** The end of making tasks, however many they are. */
export function tellMade(change: Change, { project }: Home, made: readonly Made[]): void {
  const [only] = made;
  if (!only) return;
  tell(
    change,
    'tasks_created',
    { project, task: made.length === 1 ? only.seq : null },
    { count: made.length, tasks: made.slice(0, mostTold).map(taskId) },
  );
}

/** All of a small call. */
export function* addTasks(
  change: Change,
  tasks: readonly PlannedTask[],
  home: Home,
  owner: string,
): Ledger<readonly Made[]> {
  yield* requirePlaces(home, tasks.length);
  const origin = newOrigin(home, owner, null);
  yield* keepNeeded(tasks, origin);
  const made: Made[] = [];
  for (const task of tasks) made.push(yield* addTask(change, task, origin));
  for (const [place, { needs }] of tasks.entries())
    for (const need of needs) yield* addEdge(made[place]?.seq ?? 0, made[need]?.seq ?? 0);
  tellMade(change, home, made);
  yield* requireRoom(change, owner);
  // What this change has made is counted at its end.
  yield* requireProject(home, made.length);
  for (const seq of origin.endedNeeds) yield* begin('ended', seq);
  if (origin.endedNeeds.size > 0) yield* workOff(change, changedAtOnce);
  return made;
}

const insertBatch = define<{ at: number }>()(({ db, given }) =>
  db.insertInto('batch').values({ begun_at: given.at }).returning('id'),
);

export function* beginBatch(change: Change): Ledger<number> {
  const row = yield* first(insertBatch, { at: change.wallMs });
  if (!row) throw new Error('The database returned no row for a new batch.');
  return row.id;
}

const showTasks = define<{ batch: number }>()(({ db, given }) =>
  db
    .updateTable('task')
    .set({ batch: null })
    .where('batch', '=', given.batch)
    .returning(['seq', 'project', 'status']),
);
const showProject = define<{ batch: number }>()(({ db, given }) =>
  db.updateTable('project').set({ batch: null }).where('batch', '=', given.batch).returningAll(),
);
const dropBatch = define<{ id: number }>()(({ db, given }) =>
  db.deleteFrom('batch').where('id', '=', given.id),
);

/** The batch is whole: all of it is seen from now on. */
export function* showBatch(
  change: Change,
  batch: number,
  { home, owner, endedNeeds }: Origin,
  made: readonly Made[],
): Ledger<void> {
  // As they are when they are kept: time, and what they need, may have ended some of them.
  const shown = yield* all(showTasks, { batch });
  if (shown.length !== made.length)
    throw new ToolError(
      'unavailable',
      'It took so long that its beginning was taken back. Nothing was made.',
      {
        hint: 'Try again, with fewer tasks in a call.',
      },
    );
  for (const { project, status } of shown) count(change, project, status, 1);
  yield* requireProject(home, made.length);
  for (const project of yield* all(showProject, { batch })) tellProject(change, project);
  yield* run(dropBatch, { id: batch });
  yield* requireRoom(change, owner);
  tellMade(change, home, made);
  for (const seq of endedNeeds) yield* begin('ended', seq);
  // Those of its tasks that have ended told the others before what needs what was written down.
  for (const { seq, status } of shown) if (isEnded(status)) yield* begin('ended', seq);
  change.news.isReady = true;
  change.news.hasChores = true;
}

const answerFor = define<{ owner: string; key: string }>()(({ db, given }) =>
  db
    .selectFrom('answer')
    .select(['digest', 'value'])
    .where('owner', '=', given.owner)
    .where('key', '=', given.key),
);
const keepAnswer = define<{ owner: string; key: string; digest: string; value: string; at: number }>()(
  ({ db, given }) =>
    db.insertInto('answer').values({
      owner: given.owner,
      key: given.key,
      digest: given.digest,
      value: given.value,
      at: given.at,
    }),
);

/** A key that its sender may repeat, with a digest of what it asked for. */
export interface Repeatable {
  readonly owner: string;
  readonly key: string;
  readonly digest: string;
}

/** @throws ToolError conflict when the key was used for something else. */
export function* answerBefore({ owner, key, digest }: Repeatable): Ledger<string | undefined> {
  const kept = yield* first(answerFor, { owner, key });
  if (kept && kept.digest !== digest)
    throw new ToolError('conflict', `The idempotency_key "${key}" was used with other arguments.`, {
      hint: 'Use another key for another call.',
    });
  return kept?.value;
}

export function* rememberAnswer(
  change: Change,
  { owner, key, digest }: Repeatable,
  value: string,
): Ledger<void> {
  yield* run(keepAnswer, { owner, key, digest, value, at: change.wallMs });
}
