/** Sessions: the only SQL that writes and lists them. */
import { randomBytes } from 'node:crypto';

import type { Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import { nowIso } from '#runtime/time.ts';
import type { Call } from '#runtime/tool.ts';

import { checkLength, maxTitleLength, removedPerStep } from './limits.ts';

export interface Session {
  readonly id: number;
  readonly handle: string;
  readonly title: string | null;
  readonly created_at: string;
  readonly updated_at: string;
  /** How its first thought begins. */
  first: string | null;
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
    `INSERT INTO session (handle, title, caller, client, is_default, created_at, updated_at)
     VALUES (:handle, :title, :caller, :client, :isDefault, :now, :now) RETURNING *`,
  );
  const update = database.prepare(
    `UPDATE session SET updated_at = :updated_at, is_open = :is_open, thoughts = :thoughts,
       last_number = :last_number, last_total = :last_total, first = :first
     WHERE id = :id`,
  );
  const [defaults, defaultsAt] = ['', 'AND last_number = :lastNumber'].map((ofNumber) =>
    database.prepare<unknown[], Session>(
      `SELECT * FROM session
       WHERE caller = :caller AND client IS :client AND is_default AND is_open = :isOpen ${ofNumber}
         AND updated_at > :since
       LIMIT 2`,
    ),
  );
  const anyDefault = database.prepare(
    `SELECT 1 FROM session
     WHERE caller = :caller AND client = :client AND is_default AND is_open IN (0, 1) AND updated_at > :since
     LIMIT 1`,
  );
  const listed = database.prepare<unknown[], Session>(
    `SELECT * FROM session WHERE caller = :caller AND (updated_at, id) < (:updatedAt, :id)
     ORDER BY updated_at DESC, id DESC LIMIT :limit`,
  );
  const remove = database.prepare('DELETE FROM session WHERE id = ?');
  const stage = database.prepare('INSERT INTO staged VALUES (?)');
  const unstage = database.prepare('DELETE FROM staged WHERE session_id = ?');
  const leaveStaged = database.prepare('INSERT INTO leftover SELECT session_id FROM staged');
  const unstageAll = database.prepare('DELETE FROM staged');
  const publish = database.prepare(
    `INSERT INTO session (id, handle, title, caller, client, is_default, is_open, thoughts, last_number, last_total, first,
       created_at, updated_at)
     VALUES (:id, :handle, :title, :caller, :client, :is_default, :is_open, :thoughts, :last_number, :last_total, :first,
       :created_at, :updated_at)`,
  );
  const leave = database.prepare('INSERT INTO leftover VALUES (?)');
  const someLeftover = database.prepare<[], number>('SELECT session_id FROM leftover LIMIT 1').pluck();
  const removeThoughts = database.prepare(
    'DELETE FROM thought WHERE id IN (SELECT id FROM thought WHERE session_id = ? LIMIT ?)',
  );
  const removeBranches = database.prepare('DELETE FROM branch WHERE session_id = ?');
  const forgetLeftover = database.prepare('DELETE FROM leftover WHERE session_id = ?');

  function begin(
    call: Pick<Call, 'caller' | 'session' | 'nowMs'>,
    title: string | undefined,
    isDefault: boolean,
  ): Session {
    if (title !== undefined) checkLength('title', title, maxTitleLength);
    // Whoever knows the handle may use the session: it must not be guessed.
    const handle = randomBytes(15).toString('base64url');
    const session = insert.get({
      handle,
      title: title ?? null,
      caller: call.caller,
      client: call.session ?? null,
      isDefault: Number(isDefault),
      now: nowIso(call),
    });
    if (!session) throw new TypeError('A row that was inserted is returned.');
    return session;
  }

  return {
    begin,

    /** Begins one that nobody finds before it is published. Until then a crash leaves leftovers of it. */
    stage(call: Pick<Call, 'caller' | 'session' | 'nowMs'>, title: string | undefined): Session {
      const session = begin(call, title, false);
      remove.run(session.id);
      stage.run(session.id);
      return session;
    },

    publish(session: Session, call: Pick<Call, 'nowMs'>): void {
      unstage.run(session.id);
      publish.run({ ...session, updated_at: nowIso(call) });
    },

    /** What was staged and is not published becomes leftovers: that of one session, or all of it. */
    discard(session?: Session): void {
      if (!session) {
        leaveStaged.run();
        unstageAll.run();
      } else if (unstage.run(session.id).changes > 0) leave.run(session.id);
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

    /** Whether a client that the protocol tells apart began any itself without a name, finished or not. */
    hasDefaults({ caller, session: client }: Pick<Call, 'caller' | 'session'>, since: string): boolean {
      return client !== undefined && anyDefault.get({ caller, client, since }) !== undefined;
    },

    /**
     * Up to two that this client began without a name, or one that has none: whether there is one, and whether it is the
     * only one.
     */
    defaults(
      caller: string,
      client: string | undefined,
      since: string,
      { isOpen, lastNumber }: { isOpen: boolean; lastNumber?: number },
    ): Session[] {
      const statement = lastNumber === undefined ? defaults : defaultsAt;
      const values = { caller, client: client ?? null, since, isOpen: Number(isOpen) };
      return statement?.all({ ...values, ...(lastNumber !== undefined && { lastNumber }) }) ?? [];
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
      if (removeThoughts.run(id, removedPerStep).changes < removedPerStep) {
        removeBranches.run(id);
        forgetLeftover.run(id);
      }
      return true;
    },
  };
}
