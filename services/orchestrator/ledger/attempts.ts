/** How attempts end. */
import type { Change } from './change.ts';
import { define, first, type Ledger } from './query.ts';
import type { Outcome, TaskRow } from './schema.ts';

const endAttempt = define<{
  task: number;
  fence: number;
  outcome: Outcome;
  error: string | null;
  ended_at: number;
}>()(({ db, given }) =>
  db
    .updateTable('attempt')
    .set({ outcome: given.outcome, error: given.error, ended_at: given.ended_at })
    .where('task', '=', given.task)
    .where('fence', '=', given.fence)
    .returning('begun_from'),
);

/** @returns how long the attempt took. */
export function* attemptEnded(
  change: Change,
  { seq, fence }: Pick<TaskRow, 'seq' | 'fence'>,
  outcome: Outcome,
  error?: object,
): Ledger<number> {
  const ended = yield* first(endAttempt, {
    task: seq,
    fence,
    outcome,
    error: error ? JSON.stringify(error) : null,
    ended_at: change.wallMs,
  });
  return ended ? Math.max(0, change.ledgerMs - ended.begun_from) : 0;
}
