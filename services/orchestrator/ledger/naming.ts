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

const mostIds = 10_000;

/** Ids of projects that were asked for: most are of few projects. An id never changes. */
export class ProjectIds {
  readonly #ids = new Map<number, string>();

  *of(seq: number | null): Ledger<string | null> {
    const known = seq === null ? null : this.#ids.get(seq);
    if (known !== undefined) return known;
    const id = yield* idOfProject(seq);
    if (id === null || seq === null) return id;
    if (this.#ids.size >= mostIds) this.#ids.clear();
    this.#ids.set(seq, id);
    return id;
  }

  /** A change that was taken back may have made some, whose numbers others get, where numbers are given again. */
  forget(): void {
    this.#ids.clear();
  }
}

const taskNonce = define<{ seq: number }>()(({ db, given }) =>
  db.selectFrom('task').select(['seq', 'nonce']).where('seq', '=', given.seq),
);

export function* idOfTask(seq: number | null): Ledger<string | null> {
  if (seq === null) return null;
  const task = yield* first(taskNonce, { seq });
  return task ? taskId(task) : null;
}
