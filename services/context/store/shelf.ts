/** Outputs and snapshots in one database, on disk or in memory. The only SQL on them. */
import { transactionsOf, type Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';

import { isoAfter } from './iso-after.ts';
import { maxRows, type Level } from '../limits.ts';

export interface OutputRow {
  /** The handle. */
  id: string;
  level: Level;
  session_id: string | null;
  label: string | null;
  created_by: string;
  created_at: string;
  expires_at: string;
  length: number;
  lines: number;
  bytes: number;
  text: string;
}

export interface SnapshotRow {
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
  entries: string;
}

export interface Filter {
  readonly level?: Level | undefined;
  readonly session_id?: string | undefined;
}

/** Where a list goes on, newest first: when the last row was made, and its id. */
export type Position = readonly [createdAt: string, id: string];

type Kind = keyof typeof maxRows;
interface Holding {
  readonly items: number;
  readonly bytes: number;
  readonly expired: number;
}

/** No more is purged by one write, so that none takes long. */
const purgedPerWrite = 100;

const isAlive = `(expires_at > :now OR EXISTS (SELECT 1 FROM mention WHERE mention.handle = output.id))`;
const isListed = `(:level IS NULL OR level = :level) AND (:session IS NULL OR session_id = :session)`;
const outputColumns =
  'id, level, session_id, label, created_by, created_at, expires_at, length, lines, bytes';
const snapshotColumns =
  'id, name, level, session_id, created_by, created_at, expires_at, entry_count, length, bytes';

const asked = ({ level, session_id: session }: Filter) => ({
  level: level ?? null,
  session: session ?? null,
});

export type Shelf = ReturnType<typeof openShelf>;

export function openShelf(database: Database, maxBytes: number) {
  const { write, probe } = transactionsOf(database);
  const statements = {
    put: database.prepare<[OutputRow]>(
      `INSERT INTO output (${outputColumns}, text)
       VALUES (:id, :level, :session_id, :label, :created_by, :created_at, :expires_at, :length, :lines, :bytes, :text)
       ON CONFLICT (id) DO UPDATE SET expires_at = max(expires_at, excluded.expires_at),
         label = coalesce(excluded.label, label)`,
    ),
    output: database.prepare<[object], OutputRow>(`SELECT * FROM output WHERE id = :id AND ${isAlive}`),
    outputs: database.prepare<[object], Omit<OutputRow, 'text'>>(
      `SELECT ${outputColumns} FROM output
       WHERE (created_at, id) < (:createdAt, :id) AND ${isListed} AND ${isAlive}
       ORDER BY created_at DESC, id DESC LIMIT :limit`,
    ),
    dropOutput: database.prepare<[string]>('DELETE FROM output WHERE id = ?'),
    addSnapshot: database.prepare<[SnapshotRow]>(
      `INSERT INTO snapshot (${snapshotColumns}, entries) VALUES (:id, :name, :level, :session_id, :created_by, :created_at,
         :expires_at, :entry_count, :length, :bytes, :entries)`,
    ),
    snapshot: database.prepare<[object], SnapshotRow>(
      'SELECT * FROM snapshot WHERE id = :id AND (expires_at IS NULL OR expires_at > :now)',
    ),
    snapshots: database.prepare<[object], Omit<SnapshotRow, 'entries'>>(
      `SELECT ${snapshotColumns} FROM snapshot
       WHERE (created_at, id) < (:createdAt, :id) AND ${isListed} AND (:name IS NULL OR name = :name)
         AND (expires_at IS NULL OR expires_at > :now)
       ORDER BY created_at DESC, id DESC LIMIT :limit`,
    ),
    dropSnapshot: database.prepare<[string]>('DELETE FROM snapshot WHERE id = ?'),
    mention: database.prepare<[string, string]>(
      'INSERT OR IGNORE INTO mention (owner, handle) VALUES (?, ?)',
    ),
    unmention: database.prepare<[string]>('DELETE FROM mention WHERE owner = ?'),
    holdings: database.prepare<[], Holding & { kind: Kind }>('SELECT * FROM holding'),
    countExpired: database.prepare<[number, Kind]>('UPDATE holding SET expired = expired + ? WHERE kind = ?'),
  };
  const purges = (
    [
      ['output', `expires_at <= :now AND NOT ${isAlive}`],
      ['snapshot', 'expires_at <= :now'],
      ['handoff', 'expires_at <= :now'],
      ['budget', 'expires_at <= :now'],
    ] as const
  ).map(([kind, isOver]) => ({
    kind,
    statement: database.prepare<[object]>(
      `DELETE FROM ${kind} WHERE rowid IN (SELECT rowid FROM ${kind} WHERE ${isOver} LIMIT ${purgedPerWrite})`,
    ),
  }));
  const forget = database.prepare(
    `DELETE FROM mention WHERE owner NOT IN (SELECT id FROM snapshot UNION ALL SELECT id FROM handoff)`,
  );

  const holdings = () =>
    Object.fromEntries(statements.holdings.all().map(({ kind, ...holding }) => [kind, holding])) as Record<
      Kind,
      Holding
    >;

  function purge(now: string): void {
    for (const { kind, statement } of purges) {
      const { changes } = statement.run({ now });
      if (changes === 0) continue;
      statements.countExpired.run(changes, kind);
      if (kind === 'snapshot' || kind === 'handoff') forget.run();
    }
  }

  /** Undoes the write. @throws ToolError too_large. */
  function requireRoom(before: Record<Kind, Holding>): void {
    const after = holdings();
    for (const kind of Object.keys(maxRows) as Kind[]) {
      if (after[kind].items > Math.max(maxRows[kind], before[kind].items)) {
        throw full(`${maxRows[kind]} ${kind}s`);
      }
    }
    const bytes = (all: Record<Kind, Holding>) =>
      Object.values(all).reduce((sum, holding) => sum + holding.bytes, 0);
    if (bytes(after) > Math.max(maxBytes, bytes(before))) throw full(`${maxBytes} bytes`);
  }

  const tables = {
    putOutput: (row: OutputRow) => statements.put.run(row),
    dropOutput: (handle: string) => statements.dropOutput.run(handle).changes > 0,
    addSnapshot(row: SnapshotRow) {
      statements.addSnapshot.run(row);
      tables.mention(row.id, row.entries);
    },
    dropSnapshot(id: string) {
      statements.unmention.run(id);
      return statements.dropSnapshot.run(id).changes > 0;
    },
    /** The outputs that a text names stay while its owner does. In JSON a letter of an escape can stand before a name. */
    mention(owner: string, text: string) {
      for (const [handle] of text.matchAll(/out_[0-9a-f]{24}/g)) statements.mention.run(owner, handle);
    },
  };

  return {
    holdings,
    probe,

    output: (id: string, now: string) => statements.output.get({ id, now }),
    outputs: (filter: Filter, [createdAt, id]: Position, limit: number, now: string) =>
      statements.outputs.all({ ...asked(filter), createdAt, id, limit, now }),
    snapshot: (id: string, now: string) => statements.snapshot.get({ id, now }),
    snapshots: (
      { name = null, ...filter }: Filter & { name?: string | undefined | null },
      [createdAt, id]: Position,
      limit: number,
      now: string,
    ) => statements.snapshots.all({ ...asked(filter), name, createdAt, id, limit, now }),

    /** One transaction, which is undone when there is no room for what it adds. */
    write: <Value>(call: Call, work: (to: typeof tables) => Value): Value =>
      write(() => {
        purge(isoAfter(call, 0));
        const before = holdings();
        const value = work(tables);
        requireRoom(before);
        return value;
      }),
  };
}

const full = (most: string) =>
  new ToolError('too_large', `The store is full: ${most} are kept at most, and nothing was changed.`, {
    hint: 'Delete what is no longer needed with delete_outputs or delete_snapshot, or wait until something expires.',
  });
