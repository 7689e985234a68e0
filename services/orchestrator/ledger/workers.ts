/** Workers in the ledger: who they are, what they hold, and how they have done. */
import { ToolError } from '#runtime/errors.ts';

import { mostWorkersPerToken } from '../limits.ts';
import { tell, type Change } from './change.ts';
import { all, define, first, run, sql, type Ledger } from './query.ts';
import type { TallyRow, WorkerRow } from './schema.ts';

const workerByName = define<{ name: string }>()(({ db, given, keeping }) =>
  keeping(db.selectFrom('worker').selectAll()).where('name', '=', given.name),
);

const workerToGive = define<{ name: string }>()(({ db, given, taking }) =>
  taking(db.selectFrom('worker').select('version')).where('name', '=', given.name),
);

/** Keeps a worker from others; nothing where another change does, or where it is gone. */
export const takeWorker = (name: string) => first(workerToGive, { name });

const noWorker = (name: string) =>
  new ToolError('not_found', `There is no worker ${name}.`, { hint: 'Call register_worker first.' });

/** @param orAny also one of another token. @throws ToolError not_found, or forbidden for one of another token. */
export function* ownWorker(name: string, owner: string, orAny = false): Ledger<WorkerRow> {
  const worker = yield* first(workerByName, { name });
  if (!worker) throw noWorker(name);
  if (worker.owner !== owner && !orAny)
    throw new ToolError('forbidden', `The worker ${name} belongs to another token.`, {
      hint: 'Register one under a name of your own.',
    });
  return worker;
}

const loadOf = define<{ name: string }>()(({ db, given }) =>
  db
    .selectFrom('task')
    .select(({ fn }) => fn.countAll<number>().as('load'))
    .where('lease_worker', '=', given.name),
);

export function* workerLoad(name: string): Ledger<number> {
  return (yield* first(loadOf, { name }))?.load ?? 0;
}

const insertWorker = define<Omit<WorkerRow, 'version' | 'up_ms'>>()(({ db, given }) =>
  db.insertInto('worker').values({
    name: given.name,
    owner: given.owner,
    capabilities: given.capabilities,
    most_tasks: given.most_tasks,
    description: given.description,
    registered_at: given.registered_at,
    seen_at: given.seen_at,
  }),
);

const updateWorker = define<Pick<WorkerRow, 'name' | 'capabilities' | 'most_tasks' | 'description'>>()(
  ({ db, given }) =>
    db
      .updateTable('worker')
      .set({
        capabilities: given.capabilities,
        most_tasks: given.most_tasks,
        description: given.description,
        version: sql`version + 1`,
      })
      .where('name', '=', given.name),
);

const workersOfOwner = define<{ owner: string }>()(({ db, given }) =>
  db
    .selectFrom('worker')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('owner', '=', given.owner),
);

export interface WorkerSpec {
  readonly name: string;
  readonly capabilities: readonly string[];
  readonly mostTasks: number;
  readonly description: string;
}

/** The same name again changes its entry. @throws ToolError conflict for a name of another token. */
export function* registerWorker(change: Change, spec: WorkerSpec, owner: string) {
  const { name } = spec;
  const before = yield* first(workerByName, { name });
  if (before && before.owner !== owner)
    throw new ToolError('conflict', `The name ${name} belongs to a worker of another token.`, {
      hint: 'Take another name.',
    });
  const columns = {
    name,
    capabilities: JSON.stringify([...new Set(spec.capabilities)].toSorted()),
    most_tasks: spec.mostTasks,
    description: spec.description,
  };
  change.news.workers.add(name);
  if (before) yield* run(updateWorker, columns);
  else {
    const { count = 0 } = (yield* first(workersOfOwner, { owner })) ?? {};
    if (count >= mostWorkersPerToken)
      throw new ToolError('too_large', `The token has ${count} workers, which is the most.`, {
        hint: 'remove_worker takes out those that are gone.',
      });
    yield* run(insertWorker, {
      ...columns,
      owner,
      registered_at: change.wallMs,
      seen_at: change.wallMs,
    });
    tell(change, 'worker_registered', { project: null, task: null }, { worker: name });
  }
  change.news.isReady = true;
  return { worker: yield* ownWorker(name, owner), isNew: !before };
}

const deleteWorker = define<{ name: string }>()(({ db, given }) =>
  db.deleteFrom('worker').where('name', '=', given.name),
);

export function* dropWorker(change: Change, name: string): Ledger<void> {
  yield* run(deleteWorker, { name });
  change.news.workers.add(name);
  tell(change, 'worker_removed', { project: null, task: null }, { worker: name });
}

const tallyOf = define<{ worker: string; type: string }>()(({ db, given }) =>
  db.selectFrom('worker_tally').selectAll().where('worker', '=', given.worker).where('type', '=', given.type),
);

export const loadTally = (worker: string, type: string): Ledger<TallyRow | undefined> =>
  first(tallyOf, { worker, type });

const talliesOf = define<{ worker: string }>()(({ db, given }) =>
  db.selectFrom('worker_tally').selectAll().where('worker', '=', given.worker),
);

export const loadTallies = (worker: string): Ledger<readonly TallyRow[]> => all(talliesOf, { worker });

/** Of a worker that was taken out meanwhile nothing is kept. */
const addTally = define<TallyRow>()(({ db, given }) =>
  db
    .insertInto('worker_tally')
    .columns(['worker', 'type', 'completed', 'failed', 'lost', 'worked_ms'])
    .expression(
      db
        .selectFrom('worker')
        .select(['name', given.type.as('type'), given.completed.as('completed')])
        .select([given.failed.as('failed'), given.lost.as('lost'), given.worked_ms.as('worked_ms')])
        .where('name', '=', given.worker),
    )
    .onConflict((conflict) =>
      conflict.columns(['worker', 'type']).doUpdateSet({
        completed: sql`worker_tally.completed + excluded.completed`,
        failed: sql`worker_tally.failed + excluded.failed`,
        lost: sql`worker_tally.lost + excluded.lost`,
        worked_ms: sql`worker_tally.worked_ms + excluded.worked_ms`,
      }),
    ),
);

export const tally = (
  worker: string,
  type: string,
  what: Partial<Pick<TallyRow, 'completed' | 'failed' | 'lost' | 'worked_ms'>>,
): Ledger<void> => run(addTally, { completed: 0, failed: 0, lost: 0, worked_ms: 0, ...what, worker, type });

const markSeen = define<{ name: string; at: number; up: number }>()(({ db, given }) =>
  db
    .updateTable('worker')
    .set({ seen_at: given.at, up_ms: sql`up_ms + ${given.up}` })
    .where('name', '=', given.name),
);

/** At another orchestrator it may have been heard of meanwhile: no time counts twice. */
const markSeenHere = define<{ name: string; at: number; up: number }>()(({ db, given }) =>
  db
    .updateTable('worker')
    .set({
      seen_at: given.at,
      up_ms: sql`up_ms + case when ${given.at} - seen_at < ${given.up} then ${given.at} - seen_at else ${given.up} end`,
    })
    .where('name', '=', given.name)
    .where('seen_at', '<', given.at),
);

/** When workers were heard of, and for how much longer they have been here. */
export function* keepSeen(
  seen: Iterable<{ name: string; atMs: number; upMs: number }>,
  isShared: boolean,
): Ledger<void> {
  for (const { name, atMs, upMs } of seen)
    yield* run(isShared ? markSeenHere : markSeen, { name, at: atMs, up: upMs });
}

const workersAfter = define<{ after: string; most: number }>()(({ db, given }) =>
  db.selectFrom('worker').selectAll().where('name', '>', given.after).orderBy('name').limit(given.most),
);
const workerNamed = define<{ name: string }>()(({ db, given }) =>
  db.selectFrom('worker').selectAll().where('name', '=', given.name),
);

/** By name; only the one that is named, if one is. */
export const listWorkers = (
  name: string | undefined,
  after: string,
  most: number,
): Ledger<readonly WorkerRow[]> =>
  name === undefined ? all(workersAfter, { after, most }) : all(workerNamed, { name });
