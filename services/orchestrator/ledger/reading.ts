/** What the ledger tells of tasks and projects, in the words of the tools. */
import { gitOf } from '../branches.ts';
import {
  isoOf,
  type ClaimedOut,
  type ProjectOut,
  type Repository,
  type TaskOut,
  type Work,
} from '../fields.ts';
import {
  isEnded,
  isHeld,
  percentOf,
  priorities,
  statuses,
  type Counts,
  type Status,
  type WaitingFor,
} from '../states.ts';
import { loadCounts, loadNeeds } from './change.ts';
import type { LedgerClock } from './clock.ts';
import type { ProjectSpec } from './creating.ts';
import { loadOpenQuestion, loadWork } from './editing.ts';
import { eventView } from './events.ts';
import { parseId, projectId, taskId } from './ids.ts';
import { loadMergeNews } from './merging.ts';
import type { ProjectIds } from './naming.ts';
import { all, define, first, sql, type Ledger, type Query } from './query.ts';
import type { AttemptRow, ProjectRow, TaskRow } from './schema.ts';
import { loadResult } from './settling.ts';
import type { SkillSets } from './skill-sets.ts';

/** What rows are told with. */
export interface View {
  readonly sets: SkillSets;
  readonly ids: ProjectIds;
  readonly clock: LedgerClock;
  readonly wallMs: number;
}

export function* taskView(view: View, task: TaskRow): Ledger<TaskOut> {
  const { clock, wallMs } = view;
  const wallOf = (ms: number) => isoOf(clock.wallOf(ms, wallMs));
  return {
    task_id: taskId(task),
    project_id: yield* view.ids.of(task.project),
    ...(task.key !== null && { key: task.key }),
    title: task.title,
    type: task.type,
    priority: priorities[task.priority] ?? 'medium',
    status: task.status,
    ...(task.reason !== null && { status_reason: task.reason }),
    waiting_for: task.waiting_for,
    requires: [...(yield* view.sets.requiresOf(task.skill_set))],
    on_failure: task.on_failure,
    ...(task.lease_until !== null && {
      lease: { worker: task.lease_worker ?? '', fence: task.fence, until: wallOf(task.lease_until) },
    }),
    ...(task.percent !== null && {
      progress: { percent: task.percent, ...(task.note !== null && { note: task.note }) },
    }),
    failures: task.failures,
    max_attempts: task.max_attempts,
    ...(task.retry_from !== null && { retry_at: wallOf(task.retry_from) }),
    ...(task.deadline_at !== null && { deadline: isoOf(task.deadline_at) }),
    owner: task.owner,
    version: task.version,
    created_at: isoOf(task.created_at),
    updated_at: isoOf(task.updated_at),
    ...(task.started_at !== null && { started_at: isoOf(task.started_at) }),
    ...(task.ended_at !== null && { ended_at: isoOf(task.ended_at) }),
  };
}

const answeredQuestions = define<{ task: number }>()(({ db, given }) =>
  db
    .selectFrom('question')
    .selectAll()
    .where('task', '=', given.task)
    .where('answer', 'is not', null)
    .orderBy('fence'),
);

/** What a worker has to know, of at most so many bytes. */
export function* workView(task: TaskRow, mostBytes: number) {
  const needs = yield* loadNeeds(task.seq);
  const text = (yield* loadWork(task.seq)) ?? '';
  const bytes = Buffer.byteLength(text);
  const answers = yield* all(answeredQuestions, { task: task.seq });
  const work = (bytes > mostBytes || text === '' ? {} : JSON.parse(text)) as Work & Record<string, unknown>;
  return {
    depends_on: needs.map(taskId),
    ...(bytes > mostBytes ? { work_bytes: bytes } : work),
    ...(task.branch !== null &&
      work.repository && { git: yield* gitView(task, task.branch, work, work.repository) }),
    ...(answers.length > 0 && {
      answers: answers.map(({ question, choices, asked_at, answer, answered_by, answered_at }) => ({
        question,
        ...(choices !== null && { choices: JSON.parse(choices) as string[] }),
        asked_at: isoOf(asked_at),
        answer,
        answered_by,
        answered_at: isoOf(answered_at ?? 0),
      })),
    }),
  };
}

function* gitView(task: TaskRow, branch: string, { refs }: Work, repository: Repository) {
  const { status, waiting_for: waitingFor } = task;
  const news = yield* loadMergeNews(task.seq);
  const standing = { id: taskId(task), branch, status, waitsForMerge: waitingFor === 'merge', news };
  return gitOf(standing, repository, refs);
}

export function* claimedView(view: View, task: TaskRow, mostBytes: number): Ledger<ClaimedOut> {
  const told = yield* taskView(view, task);
  const lease = { worker: '', fence: task.fence, until: '', ...told.lease };
  return { ...told, ...(yield* workView(task, mostBytes)), lease };
}

const attemptsOf = define<{ task: number }>()(({ db, given }) =>
  db
    .selectFrom('attempt')
    .selectAll()
    .where('task', '=', given.task)
    .orderBy('fence', 'desc')
    .limit(sql.lit(20)),
);

const attemptView = ({ fence, worker, outcome, error, started_at, ended_at }: AttemptRow) => ({
  fence,
  worker,
  outcome,
  ...(error !== null && { error: JSON.parse(error) as Record<string, unknown> }),
  started_at: isoOf(started_at),
  ...(ended_at !== null && { ended_at: isoOf(ended_at) }),
});

const dependentsOf = define<{ task: number }>()(({ db, given }) =>
  db
    .selectFrom('edge')
    .innerJoin('task', 'task.seq', 'edge.task')
    .select(['task.seq', 'task.nonce'])
    .where('edge.needs', '=', given.task)
    .where('task.batch', 'is', null)
    .orderBy('task.seq')
    .limit(sql.lit(100)),
);

const lastEvents = define<{ task: number }>()(({ db, given }) =>
  db.selectFrom('event').selectAll().where('task', '=', given.task).orderBy('seq', 'desc').limit(sql.lit(10)),
);

/** Of events in an answer beside others, each at most. */
const mostEventBytes = 1_000;

export function* detailedTaskView(view: View, task: TaskRow, mostBytes: number) {
  const result = yield* loadResult(task.seq);
  const resultBytes = result === undefined ? 0 : Buffer.byteLength(result);
  const question = task.waiting_for === 'input' ? yield* loadOpenQuestion(task.seq) : undefined;
  const events = [];
  for (const event of (yield* all(lastEvents, { task: task.seq })).toReversed())
    events.push(yield* eventView(event, mostEventBytes));
  return {
    ...(yield* taskView(view, task)),
    ...(yield* workView(task, mostBytes)),
    ...(result !== undefined &&
      (resultBytes > mostBytes ? { result_bytes: resultBytes } : { result: JSON.parse(result) as unknown })),
    ...(question && {
      question: {
        question: question.question,
        ...(question.choices !== null && { choices: JSON.parse(question.choices) as string[] }),
        asked_at: isoOf(question.asked_at),
      },
    }),
    dependents: (yield* all(dependentsOf, { task: task.seq })).map(taskId),
    attempts: (yield* all(attemptsOf, { task: task.seq })).map(attemptView),
    events,
  };
}

export interface TaskFilter {
  readonly project?: number | undefined;
  readonly statuses?: readonly Status[] | undefined;
  readonly type?: string | undefined;
  readonly worker?: string | undefined;
  readonly waitingFor?: WaitingFor | undefined;
}

const noTasks: readonly TaskRow[] = [];

type ListGiven = {
  project: number;
  type: string;
  worker: string;
  after: number;
  most: number;
};
const lists = new Map<string, Query<ListGiven, TaskRow>>();

/** For each set of filters its own text, so that each is found by its index. */
function listOf(filter: Omit<TaskFilter, 'statuses'>, status: Status | undefined) {
  const key = JSON.stringify([
    ...Object.entries(filter)
      .filter(([, value]) => value !== undefined)
      .map(([name]) => name),
    filter.waitingFor,
    status,
  ]);
  const known = lists.get(key);
  if (known) return known;
  const made = define<ListGiven>()(({ db, given }) => {
    let query = db.selectFrom('task').selectAll().where('batch', 'is', null).where('seq', '>', given.after);
    if (filter.project !== undefined) query = query.where('project', '=', given.project);
    if (status !== undefined) query = query.where('status', '=', sql.lit(status));
    // By the index of leases.
    if (status !== undefined && isHeld(status)) query = query.where('lease_worker', 'is not', null);
    if (filter.type !== undefined) query = query.where('type', '=', given.type);
    if (filter.worker !== undefined) query = query.where('lease_worker', '=', given.worker);
    if (filter.waitingFor !== undefined) query = query.where('waiting_for', '=', sql.lit(filter.waitingFor));
    // By an index of theirs.
    if (filter.waitingFor === 'retry') query = query.where('retry_from', 'is not', null);
    if (filter.waitingFor === 'dependencies') query = query.where('status', '=', sql.lit('blocked'));
    return query.orderBy('seq').limit(given.most);
  }) as Query<ListGiven, TaskRow>;
  lists.set(key, made);
  return made;
}

/** In the order in which they were made. */
export function* tasksAfter(filter: TaskFilter, after: number, most: number): Ledger<readonly TaskRow[]> {
  const { project = 0, statuses: wanted, type = '', worker = '' } = filter;
  const given = { project, type, worker, after, most };
  const { statuses: _, ...others } = filter;
  if (!wanted || wanted.length === 0) return yield* all(listOf(others, undefined), given);
  let found = noTasks;
  for (const status of new Set(wanted)) found = [...found, ...(yield* all(listOf(others, status), given))];
  return found.toSorted((one, other) => one.seq - other.seq).slice(0, most);
}

export function projectView(project: ProjectRow, counts: Counts): ProjectOut {
  return {
    project_id: projectId(project),
    name: project.name,
    status: project.status,
    priority: priorities[project.priority] ?? 'medium',
    on_failure: project.on_failure,
    percent: percentOf(counts),
    counts: Object.fromEntries(statuses.map((status) => [status, counts[status]])),
    owner: project.owner,
    version: project.version,
    created_at: isoOf(project.created_at),
    updated_at: isoOf(project.updated_at),
    ...(project.ended_at !== null && isEnded(project.status) && { ended_at: isoOf(project.ended_at) }),
  };
}

const edgesOfProject = define<{ project: number }>()(({ db, given }) =>
  db
    .selectFrom('task')
    .innerJoin('edge', 'edge.task', 'task.seq')
    .innerJoin('task as other', 'other.seq', 'edge.needs')
    .select(['task.seq', 'task.nonce', 'other.seq as needs', 'other.nonce as needs_nonce'])
    .where('task.project', '=', given.project)
    .orderBy('task.seq')
    .orderBy('edge.needs')
    .limit(sql.lit(1_000)),
);

const newestCompleted = define<{ project: number }>()(({ db, given }) =>
  db
    .selectFrom('task')
    .select(['seq', 'nonce', 'title', 'ended_at'])
    .where('project', '=', given.project)
    .where('status', '=', 'completed')
    .orderBy('ended_at', 'desc')
    .orderBy('seq', 'desc')
    .limit(sql.lit(20)),
);
const beginningOfResult = define<{ task: number }>()(({ db, given }) =>
  db
    .selectFrom('result')
    .select(sql<string>`substr(body, 1, 400)`.as('summary'))
    .where('task', '=', given.task),
);

function* resultsOf(project: number) {
  const results = [];
  for (const { seq, nonce, title, ended_at: endedAt } of yield* all(newestCompleted, { project })) {
    const result = yield* first(beginningOfResult, { task: seq });
    results.push({
      task_id: taskId({ seq, nonce }),
      title,
      summary: result?.summary.toWellFormed() ?? '',
      ended_at: isoOf(endedAt ?? 0),
    });
  }
  return results;
}

const firstTasks = 200;

export function* detailedProjectView(view: View, project: ProjectRow) {
  const brief = JSON.parse(project.brief) as ProjectSpec;
  const counts = yield* loadCounts(project.seq);
  const tasks: TaskOut[] = [];
  for (const task of yield* tasksAfter({ project: project.seq }, 0, firstTasks))
    tasks.push(yield* taskView(view, task));
  const edges = yield* all(edgesOfProject, { project: project.seq });
  return {
    ...projectView(project, counts),
    ...(brief.description !== undefined && { description: brief.description }),
    requirements: [...brief.requirements],
    tech_stack: { ...brief.tech_stack },
    ...(brief.template !== undefined && { template: brief.template }),
    tasks,
    edges: edges.map(({ seq, nonce, needs, needs_nonce: needsNonce }) => ({
      task_id: taskId({ seq, nonce }),
      needs: taskId({ seq: needs, nonce: needsNonce }),
    })),
    results: yield* resultsOf(project.seq),
  };
}

const projectsAfter = define<{ after: number; most: number }>()(({ db, given }) =>
  db
    .selectFrom('project')
    .selectAll()
    .where('batch', 'is', null)
    .where('seq', '<', given.after)
    .orderBy('seq', 'desc')
    .limit(given.most),
);
const projectsWith = define<{ status: Status; after: number; most: number }>()(({ db, given }) =>
  db
    .selectFrom('project')
    .selectAll()
    .where('batch', 'is', null)
    .where('status', '=', given.status)
    .where('seq', '<', given.after)
    .orderBy('seq', 'desc')
    .limit(given.most),
);

/** The newest first. */
export function* projectsBefore(
  status: Status | undefined,
  after: number,
  most: number,
): Ledger<readonly ProjectOut[]> {
  const rows =
    status === undefined
      ? yield* all(projectsAfter, { after, most })
      : yield* all(projectsWith, { status, after, most });
  const views: ProjectOut[] = [];
  for (const row of rows) views.push(projectView(row, yield* loadCounts(row.seq)));
  return views;
}

export const seqOf = (id: string): number => parseId(id).seq;
