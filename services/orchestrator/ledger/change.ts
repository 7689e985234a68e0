/** One change of the ledger: when it is made, what it has to tell, and how tasks and their counts are kept in step. */
import type { Quota } from '#runtime/quotas.ts';

import {
  isEnded,
  noCounts,
  projectStatusOf,
  statuses,
  totalOf,
  type Counts,
  type Status,
} from '../states.ts';
import { projectId, taskId } from './ids.ts';
import { all, define, first, run, sql, type Ledger, type Query } from './query.ts';
import type { CountsRow, EventRow, ProjectRow, TaskRow } from './schema.ts';

/** What others have to hear of when the change is made. */
export interface News {
  /** A task may be given out, or a worker has room again. */
  isReady: boolean;
  hasEvents: boolean;
  readonly tasks: Set<string>;
  readonly projects: Set<string>;
  /** That were taken out, or can do something else now. */
  readonly workers: Set<string>;
  hasChores: boolean;
}

export const noNews = (): News => ({
  isReady: false,
  hasEvents: false,
  hasChores: false,
  tasks: new Set(),
  projects: new Set(),
  workers: new Set(),
});

export interface Change {
  /** By the clock of the host: for people. */
  readonly wallMs: number;
  /** By the clock of the ledger: for leases and retries. */
  readonly ledgerMs: number;
  readonly quota: Quota;
  readonly news: News;
  /** What became more and less in each project. */
  readonly counted: Map<number, Partial<Record<Status, number>>>;
  /** Events, written at its end: see closeChange. */
  readonly told: NewEvent[];
}

type NewEvent = Pick<EventRow, 'at' | 'type' | 'project' | 'task' | 'data'>;

export const newChange = (wallMs: number, ledgerMs: number, quota: Quota): Change => ({
  wallMs,
  ledgerMs,
  quota,
  news: noNews(),
  counted: new Map(),
  told: [],
});

const taskBySeq = define<{ seq: number }>()(({ db, given, keeping }) =>
  keeping(db.selectFrom('task').selectAll()).where('seq', '=', given.seq),
);

export const loadTask = (seq: number): Ledger<TaskRow | undefined> => first(taskBySeq, { seq });

type Column = keyof TaskRow;
const updates = new Map<string, Query<Readonly<Record<string, number | string | null>>, unknown>>();

/** For each set of columns its own text: an index is written again when one of its columns is named, changed or not. */
function updateOf(columns: readonly Column[]) {
  const key = columns.join();
  const known = updates.get(key);
  if (known) return known;
  const made = define()(({ db, given }) =>
    db
      .updateTable('task')
      .set(Object.fromEntries(columns.map((column) => [column, given[column]])))
      .where('seq', '=', sql<number>`${given['seq']}`),
  );
  updates.set(key, made);
  return made;
}

const eventColumns = ['at', 'type', 'project', 'task', 'data'] as const;

/** Several rows with one statement, by how many. */
const addEvents = [64, 16, 4, 1].map((rows) => ({
  rows,
  query: define()(({ db, given }) =>
    db
      .insertInto('event')
      .values(
        Array.from(
          { length: rows },
          (_, at) =>
            Object.fromEntries(
              eventColumns.map((name) => [name, given[`${name}${at}`]]),
            ) as never as NewEvent,
        ),
      ),
  ),
}));

function* writeEvents(told: readonly NewEvent[]): Ledger<void> {
  let from = 0;
  for (const { rows, query } of addEvents)
    for (; told.length - from >= rows; from += rows)
      yield* run(
        query,
        Object.fromEntries(
          told
            .slice(from, from + rows)
            .flatMap((event, at) => eventColumns.map((name) => [`${name}${at}`, event[name]])),
        ),
      );
}

type Subject = { readonly project: number | null; readonly task: number | null };

export function tell(change: Change, type: string, { project, task }: Subject, data: object = {}): void {
  change.news.hasEvents = true;
  change.told.push({ at: change.wallMs, type, project, task, data: JSON.stringify(data) });
}

/** Stands for the tasks that have no project. */
const noProject = 0;

/** Counts tasks that are there now, or are there no more. */
export function count(change: Change, project: number | null, status: Status, by: number): void {
  const counted = change.counted.get(project ?? noProject) ?? {};
  counted[status] = (counted[status] ?? 0) + by;
  change.counted.set(project ?? noProject, counted);
}

/**
 * Writes what has changed of a task, as its next version.
 *
 * @param event what it is called; nothing is told without.
 */
export function* saveTask(
  change: Change,
  before: TaskRow,
  changed: Partial<TaskRow>,
  event?: string,
  data?: object,
): Ledger<TaskRow> {
  const task: TaskRow = { ...before, ...changed, version: before.version + 1, updated_at: change.wallMs };
  const columns = (Object.keys(task) as Column[]).filter((column) => task[column] !== before[column]);
  yield* run(updateOf(columns), { ...task });
  // Of what nobody sees yet nothing is told.
  if (task.batch !== null) return task;
  if (before.status !== task.status) {
    count(change, task.project, before.status, -1);
    count(change, task.project, task.status, 1);
  }
  // Its worker has room again, and so has its folder.
  const isFree = before.lease_until !== null && task.lease_until === null;
  if (isFree || isReady(task)) change.news.isReady = true;
  change.news.tasks.add(taskId(task));
  if (event !== undefined) tell(change, event, { project: task.project, task: task.seq }, data);
  return task;
}

/** Whether it may be given out. */
export const isReady = ({ status, waiting_for: waitingFor, batch }: TaskRow): boolean =>
  status === 'pending' && waitingFor === null && batch === null;

/** What a task loses whose lease is over. */
export const noLease = { lease_until: null, lease_worker: null, lease_owner: null } as const;

const addCounts = define<Omit<CountsRow, 'project'> & { project: number }>()(({ db, given }) =>
  db
    .updateTable('project_counts')
    .set({
      pending: sql`pending + ${given.pending}`,
      assigned: sql`assigned + ${given.assigned}`,
      in_progress: sql`in_progress + ${given.in_progress}`,
      completed: sql`completed + ${given.completed}`,
      failed: sql`failed + ${given.failed}`,
      blocked: sql`blocked + ${given.blocked}`,
      cancelled: sql`cancelled + ${given.cancelled}`,
    })
    .where('project', '=', given.project)
    .returningAll()
    .returning((of) => {
      const its = of.selectFrom('project').whereRef('project.seq', '=', 'project_counts.project');
      return [
        its.select('project.nonce').as('of_nonce'),
        its.select('project.status').as('of_status'),
        its.select('project.cancelled').as('of_cancelled'),
      ];
    }),
);

const projectBySeq = define<{ seq: number }>()(({ db, given }) =>
  db.selectFrom('project').selectAll().where('seq', '=', given.seq),
);

export const loadProject = (seq: number): Ledger<ProjectRow | undefined> => first(projectBySeq, { seq });

const setProjectStatus = define<{ seq: number; status: Status; ended_at: number | null }>()(({ db, given }) =>
  db
    .updateTable('project')
    .set({ status: given.status, ended_at: given.ended_at })
    .where('seq', '=', given.seq),
);

/**
 * The last part of every change. Counts and the order of events are what changes wait for each other at, where several are made at a time:
 * so they come last, and in one order.
 */
export function* closeChange(change: Change): Ledger<void> {
  yield* settleCounts(change);
  yield* writeEvents(change.told);
}

/** Brings the projects up to what was counted. */
export function* settleCounts(change: Change): Ledger<void> {
  for (const [project, counted] of [...change.counted].toSorted(([one], [other]) => one - other)) {
    if (statuses.every((status) => (counted[status] ?? 0) === 0)) continue;
    // Kept first: a statement that had to wait would see the counts as they are, and the project as it was.
    yield* run(keptCounts, { project });
    const found = yield* first(addCounts, { ...noCounts, ...counted, project });
    if (!found || found.of_nonce === null) continue;
    const { project: _, of_nonce: nonce, of_status: before, of_cancelled: cancelled, ...counts } = found;
    change.news.projects.add(projectId({ seq: project, nonce }));
    if (cancelled === 1) continue;
    const status = projectStatusOf(counts);
    if (status === before) continue;
    yield* run(setProjectStatus, {
      seq: project,
      status,
      ended_at: isEnded(status) ? change.wallMs : null,
    });
    tell(change, `project_${status}`, { project, task: null }, { tasks: totalOf(counts), ...counts });
  }
  change.counted.clear();
}

const countsOfProject = define<{ project: number }>()(({ db, given }) =>
  db.selectFrom('project_counts').selectAll().where('project', '=', given.project),
);
const keptCounts = define<{ project: number }>()(({ db, given, keeping }) =>
  keeping(db.selectFrom('project_counts').selectAll()).where('project', '=', given.project),
);

/**
 * Who adds to a project, and who ends it, come one after the other: its row of counts is kept until the change is made. To be asked
 * after the tasks that it touches are kept.
 */
export function* keepProject(project: number): Ledger<Counts> {
  return (yield* first(keptCounts, { project })) ?? noCounts;
}

export function* loadCounts(project: number): Ledger<Counts> {
  return (yield* first(countsOfProject, { project })) ?? noCounts;
}

const needsOf = define<{ task: number }>()(({ db, given }) =>
  db
    .selectFrom('edge')
    .innerJoin('task', 'task.seq', 'edge.needs')
    .select(['task.seq', 'task.nonce', 'task.status'])
    .where('edge.task', '=', given.task)
    .orderBy('edge.needs'),
);

export const loadNeeds = (task: number) => all(needsOf, { task });

const needCounts = define<{ task: number }>()(({ db, given }) =>
  db
    .selectFrom('edge')
    .innerJoin('task', 'task.seq', 'edge.needs')
    .select([
      sql<number>`count(case when task.status <> 'completed' then 1 end)`.as('open'),
      sql<number>`count(case when task.status in ('failed', 'cancelled') then 1 end)`.as('ended'),
    ])
    .where('edge.task', '=', given.task),
);

/** Of what a task needs: how many have not completed, and how many of those never will, as they are. */
export function* countNeeds(task: number): Ledger<{ readonly open: number; readonly ended: number }> {
  return (yield* first(needCounts, { task })) ?? { open: 0, ended: 0 };
}
