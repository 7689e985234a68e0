/** What time does to the ledger: leases end, retries come due, deadlines pass, what is old goes. Each in pieces. */
import { answersKeptMs, changedAtOnce } from '../limits.ts';
import { isHeld } from '../states.ts';
import { attemptEnded } from './attempts.ts';
import { noLease, saveTask, type Change } from './change.ts';
import { begin, forgetTasks, hideProject } from './chores.ts';
import { all, define, first, run, sql, type Ledger } from './query.ts';
import { attemptFailed } from './settling.ts';
import { tally } from './workers.ts';

const overdueLeases = define<{ now: number; most: number }>()(({ db, given, taking }) =>
  taking(db.selectFrom('task').selectAll())
    .where('lease_until', '<=', given.now)
    .where('lease_until', 'is not', null)
    .orderBy('lease_until')
    .limit(given.most),
);

const dueRetries = define<{ now: number; most: number }>()(({ db, given, taking }) =>
  taking(db.selectFrom('task').selectAll())
    .where('retry_from', '<=', given.now)
    .where('retry_from', 'is not', null)
    .orderBy('retry_from')
    .limit(given.most),
);

const passedDeadlines = define<{ now: number; most: number }>()(({ db, given, taking }) =>
  taking(db.selectFrom('task').selectAll())
    .where('deadline_at', '<=', given.now)
    .where('deadline_at', 'is not', null)
    .where('ended_at', 'is', null)
    .orderBy('deadline_at')
    .limit(given.most),
);

/** How many of each there were, for those who watch. */
export interface Swept {
  readonly lost: number;
  readonly retried: number;
  readonly late: number;
}

/** A piece of all that is due. What follows for other tasks is left to chores: it may be many times as much. */
export function* sweep(change: Change): Ledger<Swept & { readonly isMore: boolean }> {
  const most = changedAtOnce;
  const lost = yield* all(overdueLeases, { now: change.ledgerMs, most });
  for (const task of lost) {
    const worker = task.lease_worker ?? '';
    const reason = `The lease of the worker ${worker} ended before it was done.`;
    yield* attemptEnded(change, task, 'lost');
    yield* tally(worker, task.type, { lost: 1 });
    const { status } = yield* attemptFailed(change, task, {
      reason,
      mayRetry: true,
      delays: false,
      data: { worker, fence: task.fence, lost: true },
    });
    if (status === 'failed') yield* begin('ended', task.seq);
  }
  const due = yield* all(dueRetries, { now: change.ledgerMs, most });
  for (const task of due)
    yield* saveTask(change, task, { waiting_for: null, retry_from: null }, 'task_ready');
  const late = yield* all(passedDeadlines, { now: change.wallMs, most });
  for (const task of late) {
    if (isHeld(task.status)) yield* attemptEnded(change, task, 'cancelled');
    yield* saveTask(
      change,
      task,
      {
        status: 'failed',
        reason: 'Its deadline passed.',
        waiting_for: null,
        retry_from: null,
        ...noLease,
        ended_at: change.wallMs,
      },
      'task_failed',
      { deadline: true },
    );
    yield* begin('ended', task.seq);
  }
  return {
    lost: lost.length,
    retried: due.length,
    late: late.length,
    isMore: Math.max(lost.length, due.length, late.length) === most,
  };
}

const oldProjects = define<{ before: number; most: number }>()(({ db, given, taking }) =>
  taking(db.selectFrom('project').select(['seq', 'nonce']))
    .where('ended_at', '<', given.before)
    .where('batch', 'is', null)
    .orderBy('ended_at')
    .limit(given.most),
);
const oldTasks = define<{ before: number; most: number }>()(({ db, given, taking }) =>
  taking(db.selectFrom('task').selectAll())
    .where('project', 'is', null)
    .where('ended_at', '<', given.before)
    .orderBy('ended_at')
    .limit(given.most),
);
const oldEvents = define<{ before: number; most: number }>()(({ db, given }) =>
  db
    .deleteFrom('event')
    .where('seq', 'in', db.selectFrom('event').select('seq').orderBy('seq').limit(given.most))
    .where('at', '<', given.before)
    .where('seq', '<', (query) => query.selectFrom('event').select(({ fn }) => fn.max('seq').as('newest')))
    .returning('seq'),
);
const oldAnswers = define<{ before: number }>()(({ db, given }) =>
  db.deleteFrom('answer').where('at', '<', given.before),
);

/** Lets go of what ended before `beforeMs`. @returns whether there may be more. */
export function* trim(change: Change, beforeMs: number): Ledger<boolean> {
  const most = changedAtOnce;
  const projects = yield* all(oldProjects, { before: beforeMs, most });
  for (const project of projects) yield* hideProject(change, project);
  const tasks = yield* all(oldTasks, { before: beforeMs, most });
  const forgotten = yield* forgetTasks(change, tasks, most);
  const events = yield* all(oldEvents, { before: beforeMs, most });
  yield* run(oldAnswers, { before: change.wallMs - answersKeptMs });
  return Math.max(projects.length, forgotten, events.length) >= most;
}

const batches = define<{ before: number }>()(({ db, given }) =>
  db.selectFrom('batch').select('id').where('begun_at', '<', given.before),
);

/** Calls that were cut off before all of their tasks were there: those begun before `beforeMs`. */
export function* dropBatches(change: Change, beforeMs: number): Ledger<void> {
  for (const { id } of yield* all(batches, { before: beforeMs })) {
    yield* begin('drop_batch', id);
    change.news.hasChores = true;
  }
}

const readClock = define()(({ db }) => db.selectFrom('clock').select('ms').where('id', '=', sql.lit(1)));
const setClock = define<{ ms: number }>()(({ db, given }) =>
  db
    .updateTable('clock')
    .set({ ms: sql`case when ms < ${given.ms} then ${given.ms} else ms end` })
    .where('id', '=', sql.lit(1))
    .returning('ms'),
);

export function* loadClock(): Ledger<number> {
  return (yield* first(readClock, {}))?.ms ?? 0;
}

/** @returns what it shows then: more, where the clock of another orchestrator is ahead. */
export function* keepClock(ms: number): Ledger<number> {
  return (yield* first(setClock, { ms }))?.ms ?? ms;
}

const anyLease = define()(({ db }) =>
  db.selectFrom('task').select('seq').where('lease_until', 'is not', null).limit(sql.lit(1)),
);
const anyRetry = define()(({ db }) =>
  db.selectFrom('task').select('seq').where('retry_from', 'is not', null).limit(sql.lit(1)),
);

const anyDeadline = define()(({ db }) =>
  db
    .selectFrom('task')
    .select('seq')
    .where('deadline_at', 'is not', null)
    .where('ended_at', 'is', null)
    .limit(sql.lit(1)),
);
const anyChore = define()(({ db }) => db.selectFrom('chore').select('seq').limit(sql.lit(1)));

/** Whether anything of the ledger goes by its clock now, and whether time or chores may have something to do at all. */
export function* dueWork(): Ledger<{ readonly byClock: boolean; readonly any: boolean }> {
  const byClock = Boolean((yield* first(anyLease, {})) ?? (yield* first(anyRetry, {})));
  const any = byClock || Boolean((yield* first(anyDeadline, {})) ?? (yield* first(anyChore, {})));
  return { byClock, any };
}
