/** Ids of what is known by its number. */
import { projectId, taskId } from './ids.ts';
import { define, first, type Ledger } from './query.ts';

const projectNonce = define<{ seq: number }>()(({ db, given }) =>
  db.selectFrom('project').select(['seq', 'nonce']).where('seq', '=', given.seq),
);

export function* idOfProject(seq: number | null): Ledger<string | null> {
  if (seq === null) return null;
  const project = yield* first(projectNonce, { seq });
  return project ? projectId(project) : null;
}

const taskNonce = define<{ seq: number }>()(({ db, given }) =>
  db.selectFrom('task').select(['seq', 'nonce']).where('seq', '=', given.seq),
);

export function* idOfTask(seq: number | null): Ledger<string | null> {
  if (seq === null) return null;
  const task = yield* first(taskNonce, { seq });
  return task ? taskId(task) : null;
}
