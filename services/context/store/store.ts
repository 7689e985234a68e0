/** All that the tools of this service depend on: what is kept on disk, the same again in memory, and the tokenizers. */
import { createHash, randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';

import { openDatabase } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import type { Call } from '#runtime/tool.ts';
import { inTurns, type Steps } from '#runtime/turns.ts';

import { openBudgets } from './budgets.ts';
import { openGrep } from './grep.ts';
import { openHandoffs } from './handoffs.ts';
import { isoAfter } from './iso-after.ts';
import { levels, maxDurableBytes, maxEphemeralBytes, type Level } from '../limits.ts';
import { openShelf, type Filter, type OutputRow, type Position, type Shelf } from './shelf.ts';
import { linesIn } from '../lines.ts';
import { openTokenizers } from '../tokens/tokenizer.ts';

/** Where a text is put, and for how long. */
interface Keep {
  readonly level: Level;
  readonly session_id?: string | undefined;
  readonly label?: string | undefined;
  readonly ttl_seconds?: number | undefined;
}

export interface Entry {
  readonly key: string;
  readonly text: string;
}

export const handoffUri = (id: string) => `context://handoff/${id}`;

const compare = (a: string, b: string) => (a < b ? -1 : Number(a > b));

const migrations = fileURLToPath(new URL('../migrations', import.meta.url));

export type Store = ReturnType<typeof openStore>;

/** Vocabularies can be shared between stores; each holds its own otherwise. */
export function openStore(file: string, tokenizer = openTokenizers()) {
  const database = openDatabase(file, migrations);
  // What is deleted is to be gone from the file too.
  database.pragma('secure_delete = ON');
  const volatile = openDatabase(':memory:', migrations);
  // A large sort would otherwise go through a file.
  volatile.pragma('temp_store = MEMORY');
  const durable = openShelf(database, maxDurableBytes);
  const ephemeral = openShelf(volatile, maxEphemeralBytes);
  const both = [durable, ephemeral] as const;
  const shelfOf = (level: Level): Shelf => (level === 'ephemeral' ? ephemeral : durable);

  /** The newest first, from both. */
  function newest<Row extends { id: string; created_at: string }>(
    { level }: Filter,
    limit: number,
    read: (shelf: Shelf) => readonly Row[],
  ): { found: Row[]; next: Position | undefined } {
    const rows = (level === undefined ? both : [shelfOf(level)])
      .flatMap(read)
      .toSorted((a, b) => compare(b.created_at, a.created_at) || compare(b.id, a.id));
    const found = rows.slice(0, limit);
    const last = found.at(-1);
    return { found, next: rows.length > limit && last ? [last.created_at, last.id] : undefined };
  }

  return {
    tokenizer,
    grep: openGrep(),
    inTurns: <Value>(call: Call, steps: Steps<Value>) => inTurns((step) => step(), call, steps),
    budgets: openBudgets(database, durable),
    handoffs: openHandoffs(database, durable),

    /** Keeps texts, all or none, and gives their handles in order. */
    keep(texts: readonly string[], keep: Keep, call: Call): string[] {
      if (texts.length === 0) return [];
      const { level, session_id: session = null, label = null } = keep;
      const ttl = Math.min(keep.ttl_seconds ?? levels[level].ttl, levels[level].maxTtl);
      const expiresAt = isoAfter(call, ttl);
      const rows = texts.map((text) => ({
        id: handleOf(level, session, text),
        level,
        session_id: session,
        label,
        created_by: call.caller,
        created_at: isoAfter(call, 0),
        expires_at: expiresAt,
        length: text.length,
        lines: linesIn(text),
        bytes: Buffer.byteLength(text),
        text,
      }));
      shelfOf(level).write(call, (tables) => rows.forEach((row) => tables.putOutput(row)));
      return rows.map(({ id }) => id);
    },

    /** @throws ToolError not_found. */
    output(handle: string, call: Call): OutputRow {
      for (const shelf of both) {
        const found = shelf.output(handle, isoAfter(call, 0));
        if (found) return found;
      }
      throw new ToolError('not_found', `There is no output ${handle}.`, {
        hint: 'It may have expired. Call list_outputs to see what is kept.',
      });
    },

    listOutputs: (filter: Filter, below: Position, limit: number, call: Call) =>
      newest(filter, limit, (shelf) => shelf.outputs(filter, below, limit + 1, isoAfter(call, 0))),

    deleteOutputs: (handles: readonly string[], call: Call): string[] =>
      both.flatMap((shelf) =>
        shelf.write(call, (tables) => handles.filter((handle) => tables.dropOutput(handle))),
      ),

    saveSnapshot(name: string, entries: readonly Entry[], keep: Keep, call: Call) {
      const { level, session_id: session = null } = keep;
      const text = JSON.stringify(entries);
      const row = {
        id: `snap_${randomBytes(8).toString('hex')}`,
        name,
        level,
        session_id: session,
        created_by: call.caller,
        created_at: isoAfter(call, 0),
        expires_at: level === 'ephemeral' ? isoAfter(call, levels.ephemeral.maxTtl) : null,
        entry_count: entries.length,
        length: entries.reduce((sum, entry) => sum + entry.text.length, 0),
        bytes: Buffer.byteLength(text),
        entries: text,
      };
      shelfOf(level).write(call, (tables) => tables.addSnapshot(row));
      return row;
    },

    /** @throws ToolError not_found. */
    snapshot(id: string, call: Call) {
      for (const shelf of both) {
        const row = shelf.snapshot(id, isoAfter(call, 0));
        if (row) return { ...row, entries: JSON.parse(row.entries) as Entry[] };
      }
      throw new ToolError('not_found', `There is no snapshot ${id}.`, { hint: 'Call list_snapshots.' });
    },

    listSnapshots: (
      filter: Filter & { name?: string | undefined },
      below: Position,
      limit: number,
      call: Call,
    ) => newest(filter, limit, (shelf) => shelf.snapshots(filter, below, limit + 1, isoAfter(call, 0))),

    deleteSnapshot: (id: string, call: Call): boolean =>
      both.some((shelf) => shelf.write(call, (tables) => tables.dropSnapshot(id))),

    /** Takes the write lock and gives it back. @throws when the database cannot be written. */
    probe: durable.probe,

    holdings: () => ({ durable: durable.holdings(), ephemeral: ephemeral.holdings() }),

    [Symbol.dispose]() {
      database.close();
      volatile.close();
    },
  };
}

/** The same for the same text, level and session, so that the same call gives the same answer. */
export function handleOf(level: Level, session: string | null, text: string): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([level, session]))
    .update(text);
  return `out_${hash.digest('hex').slice(0, 24)}`;
}
