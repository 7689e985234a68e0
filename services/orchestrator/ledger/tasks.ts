/** Tasks by their ids, and lists of them. */
import { loadTask } from './change.ts';
import { noTask, parseId } from './ids.ts';
import type { Ledger } from './query.ts';
import type { TaskRow } from './schema.ts';

/** A task by its id, kept from others until the change is made. @throws ToolError not_found. */
export function* taskOf(id: string): Ledger<TaskRow> {
  const { seq, nonce } = parseId(id);
  const task = yield* loadTask(seq);
  if (!task || task.nonce !== nonce || task.batch !== null) throw noTask(id);
  return task;
}
