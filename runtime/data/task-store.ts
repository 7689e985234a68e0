/** What tasks have come to, on disk: a client finds the result after a restart of the process too. */
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';

import { openDatabase, transactionsOf } from '../database.ts';

export type TaskEnd = 'completed' | 'failed' | 'cancelled';

export interface KeptTask {
  readonly id: string;
  readonly createdMs: number;
  readonly updatedMs: number;
  readonly status: 'working' | TaskEnd;
  /** The result of a completed task, or the error of a failed one, as JSON. */
  readonly outcome: string | null;
}

export interface TaskStore extends Disposable {
  /** A new task, on disk when this returns; `undefined` when the token keeps as many as it may. */
  begin(owner: string): KeptTask | undefined;
  /** Says what came of a task, on disk when this returns. */
  end(id: string, status: TaskEnd, outcome: unknown): void;
  /** `undefined` where this token has no such task, or had it longer ago than tasks are kept. */
  find(id: string, owner: string): KeptTask | undefined;
}

/** From its creation; longer than any call may take. */
export const taskTtlMs = 2 * 60 * 60_000;
const mostPerToken = 100;
const mostBytesPerToken = 16 * 1024 * 1024;

/** The JSON-RPC error of a task whose process ended before it did. */
const interrupted = {
  code: -32_603,
  message:
    'The service was stopped while this call ran. What it had done by then may have been kept: look, then call again.',
};

/**
 * Ids begin with the name of the service, so that whoever stands in front of many knows whom to ask.
 *
 * @throws what `openDatabase` throws.
 */
export function openTaskStore(file: string, service: string, now: () => number): TaskStore {
  const database = openDatabase(file, fileURLToPath(new URL('tasks', import.meta.url)));
  const { write } = transactionsOf(database);
  const held = database.prepare<[string], { readonly tasks: number; readonly bytes: number }>(
    'SELECT count(*) AS tasks, coalesce(sum(octet_length(outcome)), 0) AS bytes FROM task WHERE owner = ?',
  );
  const insert = database.prepare(
    "INSERT INTO task (id, owner, created_ms, updated_ms, status) VALUES (?, ?, ?, ?, 'working')",
  );
  const update = database.prepare('UPDATE task SET status = ?, outcome = ?, updated_ms = ? WHERE id = ?');
  const selected = database.prepare<[string, string, number], KeptTask>(
    `SELECT id, created_ms AS createdMs, updated_ms AS updatedMs, status, outcome FROM task
     WHERE id = ? AND owner = ? AND created_ms > ?`,
  );
  const removeExpired = database.prepare('DELETE FROM task WHERE created_ms <= ?');
  const failRest = database.prepare(
    "UPDATE task SET status = 'failed', outcome = ?, updated_ms = ? WHERE status = 'working'",
  );

  // Of a process that ended in their midst.
  write(() => failRest.run(JSON.stringify(interrupted), now()));

  return {
    begin: (owner) =>
      write(() => {
        removeExpired.run(now() - taskTtlMs);
        const { tasks, bytes } = held.get(owner) ?? { tasks: 0, bytes: 0 };
        if (tasks >= mostPerToken || bytes >= mostBytesPerToken) return undefined;
        const id = `${service}.${randomUUID()}`;
        insert.run(id, owner, now(), now());
        return selected.get(id, owner, 0);
      }),
    end: (id, status, outcome) =>
      write(() => {
        update.run(status, outcome === undefined ? null : JSON.stringify(outcome), now(), id);
      }),
    find: (id, owner) => selected.get(id, owner, now() - taskTtlMs),
    [Symbol.dispose]: () => database.close(),
  };
}
