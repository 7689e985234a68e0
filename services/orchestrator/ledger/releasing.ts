/** Tasks that go back because their worker is no more there: no attempt has failed. */
import { attemptEnded } from './attempts.ts';
import { noLease, saveTask, type Change } from './change.ts';
import { all, define, first, run, type Ledger } from './query.ts';
import type { TaskRow } from './schema.ts';

const dropAttempt = define<{ task: number; fence: number }>()(({ db, given }) =>
  db.deleteFrom('attempt').where('task', '=', given.task).where('fence', '=', given.fence),
);

/** What nobody will see, because its worker has gone meanwhile, goes back: no attempt was made. */
export function* giveBack(change: Change, claimed: readonly TaskRow[]): Ledger<void> {
  for (const { seq, fence } of claimed) {
    const task = yield* first(heldTask, { seq, fence });
    if (!task) continue;
    yield* run(dropAttempt, { task: seq, fence });
    yield* saveTask(change, task, { status: 'pending', ...noLease }, 'task_released', {
      reason: 'its worker had gone',
    });
  }
}

const heldTask = define<{ seq: number; fence: number }>()(({ db, given, keeping }) =>
  keeping(db.selectFrom('task').selectAll())
    .where('seq', '=', given.seq)
    .where('fence', '=', given.fence)
    .where('lease_until', 'is not', null),
);

const heldBy = define<{ worker: string }>()(({ db, given, keeping }) =>
  keeping(db.selectFrom('task').selectAll()).where('lease_worker', '=', given.worker).orderBy('seq'),
);

/** All that a worker holds. @returns how many. */
export function* takeBack(change: Change, worker: string): Ledger<number> {
  const tasks = yield* all(heldBy, { worker });
  for (const task of tasks) {
    yield* attemptEnded(change, task, 'released');
    yield* saveTask(change, task, { status: 'pending', ...noLease }, 'task_released', { worker });
  }
  return tasks.length;
}
