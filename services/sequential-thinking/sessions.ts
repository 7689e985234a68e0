/** Sessions: the only SQL that writes and lists them. */
import { randomBytes } from 'node:crypto';

import type { Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import { nowIso } from '#runtime/time.ts';
import type { Call } from '#runtime/tool.ts';

import { checkLength, maxRemovedPerTurn, maxTitleLength } from './limits.ts';

export interface Session {
  readonly id: number;
  readonly handle: string;
  readonly title: string | null;
  readonly created_at: string;
  readonly updated_at: string;
  is_open: number;
  thoughts: number;
  last_number: number;
  last_total: number;
}

/** Where a list goes on: the time and the id of the last session of the answer before. */
export type SessionPosition = readonly [updatedAt: string, id: number];

export type Sessions = ReturnType<typeof openSessions>;

export function openSessions(database: Database) {
  const byHandle = database.prepare<[string], Session>('SELECT * FROM session WHERE handle = ?');
  const insert = database.prepare<unknown[], Session>(
    `INSERT INTO session (handle, title, caller, is_default, created_at, updated_at)
     VALUES (:handle, :title, :caller, :isDefault, :now, :now) RETURNING *`,
  );
  const update = database.prepare(
    `UPDATE session SET updated_at = :updated_at, is_open = :is_open, thoughts = :thoughts,
       last_number = :last_number, last_total = :last_total
     WHERE id = :id`,
  );
  const defaults = database.prepare<unknown[], Session>(
    `SELECT * FROM session
     WHERE caller = :caller AND updated_at > :since AND is_default AND is_open = :isOpen
       AND (:lastNumber IS NULL OR last_number = :lastNumber)
     LIMIT 2`,
  );
  const listed = database.prepare<unknown[], Session>(
    `SELECT * FROM session WHERE caller = :caller AND (updated_at, id) < (:updatedAt, :id)
     ORDER BY updated_at DESC, id DESC LIMIT :limit`,
  );
  const remove = database.prepare('DELETE FROM session WHERE id = ?');
  const leave = database.prepare('INSERT INTO leftover VALUES (?)');
  const someLeftover = database.prepare<[], number>('SELECT session_id FROM leftover LIMIT 1').pluck();
  const removeThoughts = database.prepare(
    'DELETE FROM thought WHERE id IN (SELECT id FROM thought WHERE session_id = ? LIMIT ?)',
  );
  const removeBranches = database.prepare('DELETE FROM branch WHERE session_id = ?');
  const forgetLeftover = database.prepare('DELETE FROM leftover WHERE session_id = ?');

  return {
    begin(call: Pick<Call, 'caller' | 'nowMs'>, title: string | undefined, isDefault: boolean): Session {
      if (title !== undefined) checkLength('title', title, maxTitleLength);
      // Whoever knows the handle may use the session: it must not be guessed.
      const handle = randomBytes(15).toString('base64url');
      const values = { handle, title: title ?? null, caller: call.caller, isDefault: Number(isDefault) };
      const session = insert.get({ ...values, now: nowIso(call) });
      if (!session) throw new TypeError('A row that was inserted is returned.');
      return session;
    },

    save: (session: Session, call: Pick<Call, 'nowMs'>) =>
      void update.run({ ...session, updated_at: nowIso(call) }),

    /** @throws ToolError not_found. */
    get(handle: string): Session {
      const session = byHandle.get(handle);
      if (!session) {
        throw new ToolError('not_found', `There is no session ${handle}.`, {
          hint: 'Call list_sessions, or start_session for a new one.',
        });
      }
      return session;
    },

    find: (handle: string) => byHandle.get(handle),

    /** Up to two, begun without a name: whether there is one, and whether it is the only one. */
    defaults(
      caller: string,
      since: string,
      { isOpen, lastNumber = null }: { isOpen: boolean; lastNumber?: number | null },
    ): Session[] {
      return defaults.all({ caller, since, isOpen: Number(isOpen), lastNumber });
    },

    /** Those that the caller began, last used first. */
    list: (caller: string, [updatedAt, id]: SessionPosition, limit: number): Session[] =>
      listed.all({ caller, updatedAt, id, limit }),

    /** From now on nobody finds it; its thoughts become leftovers. */
    remove(session: Session): void {
      remove.run(session.id);
      leave.run(session.id);
    },

    /** Takes some leftovers away. @returns whether there may be more. */
    removeLeftovers(): boolean {
      const id = someLeftover.get();
      if (id === undefined) return false;
      if (removeThoughts.run(id, maxRemovedPerTurn).changes < maxRemovedPerTurn) {
        removeBranches.run(id);
        forgetLeftover.run(id);
      }
      return true;
    },
  };
}
