/** Outputs and snapshots in one database, on disk or in memory, and what each token keeps there. The only SQL on them. */
import { transactionsOf, type Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import { openQuotas, type Quota } from '#runtime/quotas.ts';
import type { Call } from '#runtime/tool.ts';
import type { Steps } from '#runtime/turns.ts';

import { isoAfter } from './iso-after.ts';
import { maxMentions, type Level } from '../limits.ts';
import { openTexts, type TextRow } from './texts.ts';

export interface OutputRow extends TextRow {
  /** The handle and the owner. */
  id: string;
  /** The same for all who store the same text. */
  handle: string;
  level: Level;
  session_id: string | null;
  label: string | null;
  created_by: string;
  created_at: string;
  expires_at: string;
  length: number;
  lines: number;
  bytes: number;
  /** 1 where nobody but its owner may read it. */
  is_private: 0 | 1;
}

/** `text` is a JSON array of the entries. */
export interface SnapshotRow extends TextRow {
  id: string;
  name: string;
  level: Level;
  session_id: string | null;
  created_by: string;
  created_at: string;
  expires_at: string | null;
  entry_count: number;
  length: number;
  bytes: number;
}

/** What is needed of one to read it. */
export type ReadableOutput = TextRow & Pick<OutputRow, 'length' | 'lines'>;

export type Listed<Row extends TextRow> = Omit<Row, keyof TextRow>;

/** Where a list goes on, newest first: when the last row was made, and its id. */
export type Position = readonly [createdAt: string, id: string];

export interface Place {
  id: string;
  created_at: string;
}

const kinds = ['output', 'snapshot', 'handoff', 'budget'] as const;
type Kind = (typeof kinds)[number];
interface Holding {
  readonly items: number;
  readonly bytes: number;
  readonly expired: number;
}

const remedy =
  'Delete what is no longer needed with delete_outputs, delete_snapshot, delete_handoffs or delete_budgets. Or wait until some of it expires.';

/** No more is purged by one write, so that none takes long. */
const purgedPerWrite = 20;
/** When all that has expired is gone, nobody looks again for so long. */
const purgedEveryMs = 1_000;
/** What a list looks at in one step. */
export const rowsPerStep = 250;

const isAlive = `(expires_at > :now OR EXISTS (SELECT 1 FROM mention WHERE output_id = output.id))`;
const outputColumns =
  'id, handle, level, session_id, label, created_by, created_at, expires_at, length, lines, bytes, is_private';
const snapshotColumns =
  'id, name, level, session_id, created_by, created_at, expires_at, entry_count, length, bytes';

/** Each token has its own output of a text, so that what one does with it changes nothing for others. */
export const outputId = (handle: string, { caller }: Call) => `${handle}/${caller}`;

export type Shelf = ReturnType<typeof openShelf>;

/** @param maxBytes of all tokens together. */
export function openShelf(database: Database, maxBytes: number, quota: Quota) {
  const transactions = transactionsOf(database);
  const texts = openTexts(database);
  const quotas = openQuotas(database, quota, remedy);
  const statements = {
    put: database.prepare<[OutputRow], { expires_at: string }>(
      `INSERT INTO output (${outputColumns}, text, text_id)
       VALUES (:id, :handle, :level, :session_id, :label, :created_by, :created_at, :expires_at, :length, :lines, :bytes, :is_private, :text, :text_id)
       ON CONFLICT (id) DO UPDATE SET expires_at = max(expires_at, excluded.expires_at),
         label = coalesce(excluded.label, label), is_private = min(is_private, excluded.is_private)
       RETURNING expires_at`,
    ),
    ownOutput: database.prepare<[object], ReadableOutput>(
      `SELECT length, lines, text, text_id FROM output WHERE id = :id AND ${isAlive}`,
    ),
    output: database.prepare<[object], ReadableOutput>(
      `SELECT length, lines, text, text_id FROM output WHERE handle = :handle AND is_private = 0 AND ${isAlive} ORDER BY created_at LIMIT 1`,
    ),
    hasOutput: database.prepare<[string], number>('SELECT 1 FROM output WHERE id = ?').pluck(),
    outputs: database.prepare<[object], Listed<OutputRow> & { is_alive: number }>(
      `SELECT ${outputColumns}, ${isAlive} AS is_alive FROM output
       WHERE (created_at, id) < (:createdAt, :id) AND (is_private = 0 OR created_by = :caller)
       ORDER BY created_at DESC, id DESC LIMIT ${rowsPerStep}`,
    ),
    dropOutput: database.prepare<[string], TextRow>('DELETE FROM output WHERE id = ? RETURNING text_id'),
    addSnapshot: database.prepare<[SnapshotRow]>(
      `INSERT INTO snapshot (${snapshotColumns}, entries, text_id)
       VALUES (:id, :name, :level, :session_id, :created_by, :created_at, :expires_at, :entry_count, :length, :bytes, :text, :text_id)`,
    ),
    snapshot: database.prepare<[object], SnapshotRow>(
      `SELECT ${snapshotColumns}, entries AS text, text_id FROM snapshot
       WHERE id = :id AND (expires_at IS NULL OR expires_at > :now)`,
    ),
    snapshots: database.prepare<[object], Listed<SnapshotRow> & { is_alive: number }>(
      `SELECT ${snapshotColumns}, expires_at IS NULL OR expires_at > :now AS is_alive FROM snapshot
       WHERE (created_at, id) < (:createdAt, :id) ORDER BY created_at DESC, id DESC LIMIT ${rowsPerStep}`,
    ),
    dropSnapshot: database.prepare<[string, string], TextRow>(
      'DELETE FROM snapshot WHERE id = ? AND created_by = ? RETURNING text_id',
    ),
    mention: database.prepare<[string, string]>('INSERT OR IGNORE INTO mention VALUES (?, ?)'),
    holdings: database.prepare<[], Holding & { kind: Kind }>(
      `SELECT kind, sum(holding.items) AS items, sum(bytes) AS bytes, expired.items AS expired
       FROM expired LEFT JOIN holding USING (kind) GROUP BY kind`,
    ),
    bytes: database.prepare<[], number>('SELECT ifnull(sum(bytes), 0) FROM holding').pluck(),
    reserve: database.prepare<[string, number, number]>(
      `INSERT INTO holding VALUES (?, 'reserved', ?, ?)
       ON CONFLICT DO UPDATE SET items = items + excluded.items, bytes = bytes + excluded.bytes`,
    ),
    countExpired: database.prepare<[Kind]>('UPDATE expired SET items = items + 1 WHERE kind = ?'),
  };
  // Of a process that was killed.
  database.exec("DELETE FROM holding WHERE kind = 'reserved'");

  const purges = kinds.map((kind) => ({
    kind,
    /** Where the last look ended: what is mentioned stays, and is not looked at again each time. */
    after: ['', ''] as Position,
    look: database.prepare<[object], { id: string; expires_at: string; is_kept: number }>(
      `SELECT id, expires_at, ${kind === 'output' ? isAlive : '0'} AS is_kept FROM ${kind}
       WHERE expires_at <= :now AND (expires_at, id) > (:expiresAt, :id)
       ORDER BY expires_at, id LIMIT ${purgedPerWrite}`,
    ),
    drop: database.prepare<[string], TextRow>(
      `DELETE FROM ${kind} WHERE id = ? RETURNING ${kind === 'output' || kind === 'snapshot' ? 'text_id' : 'NULL AS text_id'}`,
    ),
  }));
  let purgedUntilMs = 0;

  /** Takes away some of what has expired, and one part of what belongs to nobody any more. */
  function purge(call: Call): void {
    texts.removeSome();
    if (call.nowMs < purgedUntilMs) return;
    let isDone = true;
    for (const each of purges) {
      const [expiresAt, id] = each.after;
      const rows = each.look.all({ now: isoAfter(call, 0), expiresAt, id });
      for (const row of rows) if (row.is_kept === 0) drop(each, row.id);
      const last = rows.length === purgedPerWrite ? rows.at(-1) : undefined;
      each.after = last ? [last.expires_at, last.id] : ['', ''];
      if (last) isDone = false;
    }
    if (isDone) purgedUntilMs = call.nowMs + purgedEveryMs;
  }

  function drop({ kind, drop: statement }: (typeof purges)[number], id: string): void {
    const row = statement.get(id);
    if (!row) return;
    texts.leave(row);
    statements.countExpired.run(kind);
  }

  /** To be called after what was added. @throws ToolError too_large, which undoes it. */
  function requireRoom(call: Call): void {
    quotas.requireWithin(call.caller);
    if ((statements.bytes.get() ?? 0) <= maxBytes) return;
    throw new ToolError(
      'too_large',
      `The store is full: ${maxBytes} bytes are kept for all tokens together.`,
      {
        hint: `Nothing was changed. ${remedy}`,
      },
    );
  }

  const tables = {
    /** One that is there already is only kept longer. @returns until when. */
    putOutput(row: OutputRow): string {
      if (row.text_id !== null && statements.hasOutput.get(row.id) === undefined) texts.adopt(row.text_id);
      return statements.put.get(row)?.expires_at ?? row.expires_at;
    },
    /** @returns its long text, to be taken away; `undefined` when the caller has no such output. */
    dropOutput: (handle: string, call: Call) => statements.dropOutput.get(outputId(handle, call)),
    addSnapshot(row: SnapshotRow) {
      statements.addSnapshot.run(row);
      texts.adopt(row.text_id);
    },
    dropSnapshot: (id: string, { caller }: Call) => statements.dropSnapshot.get(id, caller),
    /** Outputs of the caller that a text names stay while its owner does. @throws ToolError too_large. */
    mention(owner: string, handles: ReadonlySet<string>, call: Call) {
      if (handles.size > maxMentions) {
        throw new ToolError(
          'too_large',
          `It names ${handles.size} outputs; at most ${maxMentions} are kept with it.`,
          {
            hint: 'Name fewer, or save it as several.',
          },
        );
      }
      for (const handle of handles) statements.mention.run(owner, outputId(handle, call));
    },
  };

  /** The rows of a list that fit, newest first, and one more where there is one. */
  function* rowsOf<Row extends Place & { is_alive: number }>(
    statement: { all(values: object): Row[] },
    fits: (row: Row) => boolean,
    below: Position,
    limit: number,
    call: Call,
  ): Steps<Row[]> {
    const values = { now: isoAfter(call, 0), caller: call.caller };
    const found: Row[] = [];
    for (let [createdAt, id] = below; ;) {
      const rows = statement.all({ ...values, createdAt, id });
      for (const row of rows) if (row.is_alive !== 0 && fits(row) && found.push(row) > limit) return found;
      const last = rows.at(-1);
      if (!last || rows.length < rowsPerStep) return found;
      [createdAt, id] = [last.created_at, last.id];
      yield;
    }
  }

  return {
    tables,
    texts,
    kept: quotas.kept,
    probe: transactions.probe,
    /** Wraps a step that reads, or one that writes what no room is asked for. */
    inRead: transactions.read,
    inWrite: transactions.write,

    holdings: () =>
      Object.fromEntries(
        statements.holdings
          .all()
          .map(({ kind, items, bytes, expired }) => [
            kind,
            { items: items ?? 0, bytes: bytes ?? 0, expired },
          ]),
      ) as Record<Kind, Holding>,

    hasOutput: (handle: string, call: Call) => statements.hasOutput.get(outputId(handle, call)) !== undefined,
    /** That of the caller where there are several. */
    output(handle: string, call: Call): ReadableOutput | undefined {
      const now = isoAfter(call, 0);
      return transactions.read(
        () =>
          statements.ownOutput.get({ id: outputId(handle, call), now }) ??
          statements.output.get({ handle, now }),
      );
    },
    outputs: (fits: (row: Listed<OutputRow>) => boolean, below: Position, limit: number, call: Call) =>
      rowsOf(statements.outputs, fits, below, limit, call),
    snapshot: (id: string, now: string) => statements.snapshot.get({ id, now }),
    snapshots: (fits: (row: Listed<SnapshotRow>) => boolean, below: Position, limit: number, call: Call) =>
      rowsOf(statements.snapshots, fits, below, limit, call),
    rowsOf,

    /** One transaction, which is undone when there is no room for what it adds. */
    add: <Value>(call: Call, work: (to: typeof tables) => Value): Value =>
      transactions.write(() => {
        purge(call);
        const value = work(tables);
        requireRoom(call);
        return value;
      }),

    /** One transaction that adds nothing. */
    change: <Value>(call: Call, work: (to: typeof tables) => Value): Value =>
      transactions.write(() => {
        purge(call);
        return work(tables);
      }),

    /** Takes room for what is about to be written in several steps. @throws ToolError too_large. */
    reserve(call: Call, items: number, bytes: number): void {
      transactions.write(() => {
        statements.reserve.run(call.caller, items, bytes);
        requireRoom(call);
      });
    },

    /** Gives it back, within the transaction that writes, or when nothing more is written. */
    release: ({ caller }: Call, items: number, bytes: number) =>
      void statements.reserve.run(caller, -items, -bytes),
  };
}
