/** What happened, as those who follow it are told. */
import { pageBytes } from '#runtime/page.ts';

import { isoOf } from '../fields.ts';
import { projectOf } from './creating.ts';
import { idOfProject, idOfTask } from './naming.ts';
import { all, define, first, sql, type Ledger } from './query.ts';
import type { EventRow } from './schema.ts';
import { taskOf } from './tasks.ts';

export interface EventOut {
  readonly seq: number;
  readonly at: string;
  readonly type: string;
  readonly project_id: string | null;
  readonly task_id: string | null;
  readonly data: Record<string, unknown>;
}

export function* eventView(
  { seq, at, type, project, task, data }: EventRow,
  mostBytes = pageBytes,
): Ledger<EventOut> {
  return {
    seq,
    at: isoOf(at),
    type,
    project_id: yield* idOfProject(project),
    task_id: yield* idOfTask(task),
    data: data.length > mostBytes ? { bytes: data.length } : (JSON.parse(data) as Record<string, unknown>),
  };
}

const everyEvent = define<{ after: number; most: number }>()(({ db, given }) =>
  db.selectFrom('event').selectAll().where('seq', '>', given.after).orderBy('seq').limit(given.most),
);
const projectEvents = define<{ project: number; after: number; most: number }>()(({ db, given }) =>
  db
    .selectFrom('event')
    .selectAll()
    .where('project', '=', given.project)
    .where('seq', '>', given.after)
    .orderBy('seq')
    .limit(given.most),
);
const taskEvents = define<{ task: number; after: number; most: number }>()(({ db, given }) =>
  db
    .selectFrom('event')
    .selectAll()
    .where('task', '=', given.task)
    .where('seq', '>', given.after)
    .orderBy('seq')
    .limit(given.most),
);

export interface EventFilter {
  readonly project?: number | undefined;
  readonly task?: number | undefined;
}

/** @throws ToolError not_found. */
export function* filterOf(given: {
  readonly project_id?: string | undefined;
  readonly task_id?: string | undefined;
}): Ledger<EventFilter> {
  return {
    project: given.project_id === undefined ? undefined : (yield* projectOf(given.project_id)).seq,
    task: given.task_id === undefined ? undefined : (yield* taskOf(given.task_id)).seq,
  };
}

export function* eventsAfter(
  { project, task }: EventFilter,
  after: number,
  most: number,
): Ledger<readonly EventOut[]> {
  const rows =
    task !== undefined
      ? yield* all(taskEvents, { task, after, most })
      : project !== undefined
        ? yield* all(projectEvents, { project, after, most })
        : yield* all(everyEvent, { after, most });
  const events: EventOut[] = [];
  for (const row of rows) events.push(yield* eventView(row));
  return events;
}

const newestEvent = define()(({ db }) =>
  db.selectFrom('event').select('seq').orderBy('seq', 'desc').limit(sql.lit(1)),
);

export function* newestSeq(): Ledger<number> {
  return (yield* first(newestEvent, {}))?.seq ?? 0;
}
