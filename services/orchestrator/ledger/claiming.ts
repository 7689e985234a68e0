/** How tasks are given out. */
import { canDo, scoreOf, successRate } from '../assign.ts';
import { changedAtOnce } from '../limits.ts';
import { saveTask, type Change } from './change.ts';
import { all, define, first, run, sql, type Ledger } from './query.ts';
import type { TaskRow, WorkerRow } from './schema.ts';
import type { SkillSet, SkillSets } from './skill-sets.ts';
import { loadTally, takeWorker, workerLoad } from './workers.ts';

const readyTasks = define<{ skill_set: number; most: number }>()(({ db, given, taking }) =>
  taking(db.selectFrom('task').selectAll())
    .where('skill_set', '=', given.skill_set)
    .where('status', '=', sql.lit('pending'))
    .where('waiting_for', 'is', null)
    .where('batch', 'is', null)
    .where((its) =>
      its.or([
        its('folder', 'is', null),
        its.not(
          its.exists(
            its
              .selectFrom('task as other')
              .select('other.seq')
              .whereRef('other.folder', '=', 'task.folder')
              .where('other.lease_until', 'is not', null),
          ),
        ),
      ]),
    )
    .orderBy('priority')
    .orderBy('seq')
    .limit(given.most),
);

const insertAttempt = define<{
  task: number;
  fence: number;
  worker: string;
  owner: string;
  begun_from: number;
  started_at: number;
}>()(({ db, given }) =>
  db.insertInto('attempt').values({
    task: given.task,
    fence: given.fence,
    worker: given.worker,
    owner: given.owner,
    begun_from: given.begun_from,
    started_at: given.started_at,
    ended_at: null,
    outcome: null,
    error: null,
  }),
);

const atWorkIn = define<{ folder: string }>()(({ db, given }) =>
  db
    .selectFrom('task')
    .select('seq')
    .where('folder', '=', given.folder)
    .where('lease_until', 'is not', null)
    .limit(sql.lit(1)),
);
/** Two changes could each give out a task in one folder, and not see the other's. */
const aloneWithFolders = define()(({ db, alone }) => db.selectNoFrom(alone('task').as('kept')));

/** Whether nobody is at work in a folder where branches are checked out; nobody else begins there before this change is made. */
function* takeFolder(folder: string): Ledger<boolean> {
  yield* run(aloneWithFolders, {});
  return (yield* first(atWorkIn, { folder })) === undefined;
}

/** A worker that asks for tasks, and for how many. */
export interface Asking {
  readonly worker: WorkerRow;
  readonly most: number;
  /** Its row is kept by this change; else it is looked at again before it is given anything. */
  readonly isKept?: boolean;
}

interface Place {
  readonly asking: Asking;
  readonly capabilities: ReadonlySet<string>;
  /** Asked for when it matters first: many may wait. */
  load: number | undefined;
  readonly claimed: TaskRow[];
}

/** So many of those who could do a task are compared, those who asked first. */
const mostCompared = 16;

/**
 * Gives out what can be given to those who ask: the most urgent task first, of those the oldest, each to the worker that fits it best.
 *
 * @param askings in the order in which they asked: the first of equals gets the task.
 * @returns what each of them got.
 */
export function* giveOut(
  change: Change,
  askings: readonly Asking[],
  sets: SkillSets,
): Ledger<readonly (readonly TaskRow[])[]> {
  const places = askings.map((asking): Place => ({
    asking,
    capabilities: new Set(JSON.parse(asking.worker.capabilities) as string[]),
    load: undefined,
    claimed: [],
  }));
  const wanted = askings.reduce((sum, { most }) => sum + most, 0);
  const candidates = yield* readyFor(places, Math.min(wanted, changedAtOnce), yield* sets.known());
  for (const { task, requires } of candidates) {
    if (task.folder !== null && !(yield* takeFolder(task.folder))) continue;
    const place = yield* bestFor(task, requires, places);
    if (!place) continue;
    const { worker } = place.asking;
    place.claimed.push(yield* claim(change, task, worker));
    // The same worker may ask twice at once.
    for (const one of places)
      if (one.asking.worker.name === worker.name && one.load !== undefined) one.load += 1;
  }
  return places.map(({ claimed }) => claimed);
}

interface CandidateTask {
  readonly task: TaskRow;
  readonly requires: readonly string[];
}

function* readyFor(
  places: readonly Place[],
  most: number,
  sets: readonly SkillSet[],
): Ledger<readonly CandidateTask[]> {
  const found: CandidateTask[] = [];
  for (const { id, requires } of sets) {
    if (!places.some((place) => canDo(requires, place))) continue;
    for (const task of yield* all(readyTasks, { skill_set: id, most })) found.push({ task, requires });
  }
  return found
    .toSorted(({ task: one }, { task: other }) => one.priority - other.priority || one.seq - other.seq)
    .slice(0, most);
}

function* hasRoom(place: Place): Ledger<boolean> {
  const { worker, most, isKept } = place.asking;
  if (place.claimed.length >= most) return false;
  // It may have changed, gone, or be claiming elsewhere just now.
  if (place.load === undefined && !isKept && (yield* takeWorker(worker.name))?.version !== worker.version)
    place.load = Infinity;
  place.load ??= yield* workerLoad(worker.name);
  return place.load < worker.most_tasks;
}

function* bestFor(
  task: TaskRow,
  requires: readonly string[],
  places: readonly Place[],
): Ledger<Place | undefined> {
  const able: Place[] = [];
  for (const place of places) {
    if (!canDo(requires, place) || !(yield* hasRoom(place))) continue;
    able.push(place);
    if (able.length === mostCompared) break;
  }
  if (able.length <= 1) return able[0];
  let best: Place | undefined;
  let bestScore = -Infinity;
  for (const place of able) {
    const { worker } = place.asking;
    const { completed = 0, failed = 0, lost = 0 } = (yield* loadTally(worker.name, task.type)) ?? {};
    const { capabilities, load = 0 } = place;
    const candidate = { capabilities, load, mostTasks: worker.most_tasks };
    const score = scoreOf(requires, candidate, successRate(completed, failed + lost));
    if (score <= bestScore) continue;
    best = place;
    bestScore = score;
  }
  return best;
}

function* claim(change: Change, task: TaskRow, worker: WorkerRow): Ledger<TaskRow> {
  const fence = task.fence + 1;
  const { name, owner } = worker;
  const claimed = yield* saveTask(
    change,
    task,
    {
      status: 'assigned',
      reason: null,
      fence,
      lease_until: change.ledgerMs + task.lease_ms,
      lease_worker: name,
      lease_owner: owner,
      percent: null,
      note: null,
      started_at: change.wallMs,
    },
    'task_assigned',
    { worker: name, fence },
  );
  yield* run(insertAttempt, {
    task: task.seq,
    fence,
    worker: name,
    owner,
    begun_from: change.ledgerMs,
    started_at: change.wallMs,
  });
  return claimed;
}
