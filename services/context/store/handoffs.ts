/** Handoffs from one agent to another. The only SQL on them. */
import { randomBytes } from 'node:crypto';

import type { Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

import { isoAfter } from './iso-after.ts';
import { handoffTtl } from '../limits.ts';
import type { Position, Shelf } from './shelf.ts';

/** In the order in which they are read. */
interface Sections {
  readonly goal: string;
  readonly state: string;
  readonly decisions: readonly string[];
  readonly open_questions: readonly string[];
  readonly files: readonly string[];
  readonly next_actions: readonly string[];
}

interface Row {
  id: string;
  state: 'open' | 'accepted';
  session_id: string | null;
  meant_for: string | null;
  created_by: string;
  created_at: string;
  accepted_by: string | null;
  accepted_at: string | null;
  sections: string;
}

export interface Handoff extends Omit<Row, 'sections'> {
  readonly sections: Sections;
}

interface HandoffFilter {
  readonly state?: Row['state'] | undefined;
  readonly session_id?: string | undefined;
}

const handoffOf = (row: Row): Handoff => ({ ...row, sections: JSON.parse(row.sections) as Sections });

export function openHandoffs(database: Database, shelf: Shelf) {
  const columns = 'id, state, session_id, meant_for, created_by, created_at, accepted_by, accepted_at';
  const insert = database.prepare(
    `INSERT INTO handoff (${columns}, bytes, sections)
     VALUES (:id, 'open', :session, :meantFor, :caller, :now, NULL, NULL, :bytes, :sections)`,
  );
  const isAlive = '(expires_at IS NULL OR expires_at > :now)';
  const find = database.prepare<[object], Row>(
    `SELECT ${columns}, sections FROM handoff WHERE id = :id AND ${isAlive}`,
  );
  const list = database.prepare<[object], Row>(
    `SELECT ${columns}, sections FROM handoff
     WHERE (created_at, id) < (:createdAt, :id) AND (:state IS NULL OR state = :state)
       AND (:session IS NULL OR session_id = :session) AND ${isAlive}
     ORDER BY created_at DESC, id DESC LIMIT :limit`,
  );
  const accept = database.prepare(
    `UPDATE handoff SET state = 'accepted', accepted_by = :caller, accepted_at = :now, expires_at = :expiresAt
     WHERE id = :id`,
  );

  /** @throws ToolError not_found. */
  function get(id: string, call: Call): Handoff {
    const row = find.get({ id, now: isoAfter(call, 0) });
    if (!row) {
      throw new ToolError('not_found', `There is no handoff ${id}.`, { hint: 'Call list_handoffs.' });
    }
    return handoffOf(row);
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
      return shelf.write(call, (tables) => {
        insert.run({
          id,
          session: session ?? null,
          meantFor: meantFor ?? null,
          caller: call.caller,
          now: isoAfter(call, 0),
          bytes: Buffer.byteLength(text),
          sections: text,
        });
        tables.mention(id, text);
        return get(id, call);
      });
    },

    /** @throws ToolError conflict when it was accepted before, forbidden when it is meant for another. */
    accept: (id: string, call: Call): Handoff =>
      shelf.write(call, () => {
        const { state, meant_for: meantFor, accepted_by: by, accepted_at: at } = get(id, call);
        if (state === 'accepted') {
          throw new ToolError('conflict', `Handoff ${id} was accepted by ${by} at ${at}.`, {
            hint: 'Call list_handoffs with state open for others; read_handoff still reads this one.',
          });
        }
        if (meantFor !== null && meantFor !== call.caller) {
          throw new ToolError(
            'forbidden',
            `Handoff ${id} is meant for ${meantFor}, not for ${call.caller}.`,
            {
              hint: 'read_handoff reads it without accepting.',
            },
          );
        }
        const now = isoAfter(call, 0);
        accept.run({ id, caller: call.caller, now, expiresAt: isoAfter(call, handoffTtl) });
        return get(id, call);
      }),

    list: (
      { state, session_id: session }: HandoffFilter,
      [createdAt, id]: Position,
      limit: number,
      call: Call,
    ): Handoff[] =>
      list
        .all({ state: state ?? null, session: session ?? null, createdAt, id, limit, now: isoAfter(call, 0) })
        .map(handoffOf),

    /** For completion of what was typed. */
    idsFrom: (typed: string): string[] =>
      list
        .all({ state: 'open', session: null, createdAt: '~', id: '', limit: 100, now: '' })
        .map(({ id }) => id)
        .filter((id) => id.startsWith(typed)),
  };
}
