/** Handoffs from one agent to another. The only SQL on them. */
import { randomBytes } from 'node:crypto';

import type { Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';
import type { Steps } from '#runtime/turns.ts';

import { isoAfter } from './iso-after.ts';
import { handlePattern, handoffTtl } from '../limits.ts';
import { rowsPerStep, type Position, type Shelf } from './shelf.ts';

/** In the order in which they are read. */
interface Sections {
  readonly goal: string;
  readonly state: string;
  readonly decisions: readonly string[];
  readonly open_questions: readonly string[];
  readonly files: readonly string[];
  readonly next_actions: readonly string[];
}

export interface Summary {
  readonly id: string;
  readonly state: 'open' | 'accepted';
  readonly session_id: string | null;
  readonly meant_for: string | null;
  readonly created_by: string;
  readonly created_at: string;
  readonly accepted_by: string | null;
  readonly accepted_at: string | null;
  /** How it begins. */
  readonly goal: string;
}

export interface Handoff extends Summary {
  readonly sections: Sections;
}

export interface HandoffFilter {
  readonly state?: Summary['state'] | undefined;
  readonly session_id?: string | undefined;
}

const goalShown = 300;

export function openHandoffs(database: Database, shelf: Shelf) {
  const columns = 'id, state, session_id, meant_for, created_by, created_at, accepted_by, accepted_at, goal';
  const insert = database.prepare(
    `INSERT INTO handoff (${columns}, bytes, sections)
     VALUES (:id, 'open', :session, :meantFor, :caller, :now, NULL, NULL, :goal, :bytes, :sections)`,
  );
  /** One that is meant for another is as if it were not there, except for its author. */
  const isSeen = '(meant_for IS NULL OR :caller IN (meant_for, created_by))';
  const isThere = `((expires_at IS NULL OR expires_at > :now) AND ${isSeen})`;
  const find = database.prepare<[object], Summary & { sections: string }>(
    `SELECT ${columns}, sections FROM handoff WHERE id = :id AND ${isThere}`,
  );
  const list = database.prepare<[object], Summary & { is_alive: number }>(
    `SELECT ${columns}, ${isThere} AS is_alive FROM handoff WHERE (created_at, id) < (:createdAt, :id)
     ORDER BY created_at DESC, id DESC LIMIT ${rowsPerStep}`,
  );
  const openIds = database
    .prepare<[object], string>(
      `SELECT id FROM handoff WHERE id >= :typed AND id < :end AND state = 'open' AND ${isSeen}
       ORDER BY id LIMIT 100`,
    )
    .pluck();
  const drop = database.prepare<[string, string]>('DELETE FROM handoff WHERE id = ? AND created_by = ?');
  const accept = database.prepare(
    `UPDATE handoff SET state = 'accepted', accepted_by = :caller, accepted_at = :now, expires_at = :expiresAt
     WHERE id = :id`,
  );

  /** @throws ToolError not_found. */
  function get(id: string, call: Call): Handoff {
    const row = find.get({ id, caller: call.caller, now: isoAfter(call, 0) });
    if (!row) {
      throw new ToolError('not_found', `There is no handoff ${id}.`, { hint: 'Call list_handoffs.' });
    }
    return { ...row, sections: JSON.parse(row.sections) as Sections };
  }

  return {
    get,

    create(
      sections: Sections,
      session: string | undefined,
      meantFor: string | undefined,
      call: Call,
    ): Handoff {
      const id = `hand_${randomBytes(8).toString('hex')}`;
      const text = JSON.stringify(sections);
      return shelf.add(call, (tables) => {
        insert.run({
          id,
          session: session ?? null,
          meantFor: meantFor ?? null,
          caller: call.caller,
          now: isoAfter(call, 0),
          goal: sections.goal.slice(0, goalShown).toWellFormed(),
          bytes: Buffer.byteLength(text),
          sections: text,
        });
        tables.mention(id, new Set(text.match(handlePattern)), call);
        return get(id, call);
      });
    },

    /** @throws ToolError not_found, or conflict when it was accepted before. */
    accept: (id: string, call: Call): Handoff =>
      shelf.change(call, () => {
        const { state, accepted_by: by, accepted_at: at } = get(id, call);
        if (state === 'accepted') {
          throw new ToolError('conflict', `Handoff ${id} was accepted by ${by} at ${at}.`, {
            hint: 'Call list_handoffs with status open for others; read_handoff still reads this one.',
          });
        }
        const now = isoAfter(call, 0);
        accept.run({ id, caller: call.caller, now, expiresAt: isoAfter(call, handoffTtl) });
        return get(id, call);
      }),

    /** Newest first, and one more where there is one. */
    list: ({ state, session_id: session }: HandoffFilter, below: Position, limit: number, call: Call) =>
      shelf.rowsOf(
        list,
        (row) => (state ?? row.state) === row.state && (session === undefined || session === row.session_id),
        below,
        limit,
        call,
      ),

    /** @returns those of the caller that were there. */
    *delete(ids: readonly string[], { caller }: Call): Steps<string[]> {
      const found: string[] = [];
      for (const id of ids) {
        if (drop.run(id, caller).changes > 0) found.push(id);
        yield;
      }
      return found;
    },

    /** For completion of what was typed. */
    idsFrom: (typed: string, { caller }: Call): string[] => openIds.all({ typed, end: `${typed}~`, caller }),
  };
}
