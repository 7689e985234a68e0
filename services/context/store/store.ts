/** All that the tools of this service depend on: what is kept on disk, the same again in memory, and the tokenizers. */
import { createHash, randomBytes } from 'node:crypto';
import { fileURLToPath } from 'node:url';

import { openDatabase } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import type { Quota } from '#runtime/quotas.ts';
import type { Call } from '#runtime/tool.ts';
import { inTurns, telling, type Steps } from '#runtime/turns.ts';

import { entriesDiff, isShortJob, type EntriesDiff, type EntriesJob } from '../compress/line-diff.ts';
import { openBudgets } from './budgets.ts';
import { openHandoffs, type HandoffFilter } from './handoffs.ts';
import { isoAfter } from './iso-after.ts';
import {
  handlePattern,
  levels,
  maxDurableBytes,
  maxEphemeralBytes,
  maxEphemeralBytesPerToken,
  type Level,
} from '../limits.ts';
import { linesIn } from '../lines.ts';
import { atOnce } from '../pace.ts';
import { openQueue } from './queue.ts';
import {
  openShelf,
  outputId,
  type Listed,
  type OutputRow,
  type ReadableOutput,
  type Place,
  type Position,
  type Shelf,
  type SnapshotRow,
} from './shelf.ts';
import { headOf, partLength, partsOf } from './texts.ts';
import type { GrepJob, GrepResult } from '../threads/grep.ts';
import { openThreads, type ThreadLimits } from '../threads/threads.ts';
import { openTokenizers, type EncodingName, type Tokenizers } from '../tokens/tokenizer.ts';

/** Where a text is put, and for how long. */
export interface Keep {
  readonly level: Level;
  readonly session_id?: string | undefined;
  readonly label?: string | undefined;
  readonly ttl_seconds?: number | undefined;
  /** Nobody else may read it. */
  readonly private?: boolean | undefined;
}

export interface Filter {
  readonly level?: Level | undefined;
  readonly session_id?: string | undefined;
  readonly name?: string | undefined;
}

export interface Entry {
  readonly key: string;
  readonly text: string;
}

export const handoffUri = (id: string) => `context://handoff/${id}`;

const compare = (a: string, b: string) => (a < b ? -1 : Number(a > b));

const migrations = fileURLToPath(new URL('../migrations', import.meta.url));

export type Store = ReturnType<typeof openStore>;

export interface StoreOptions {
  /** Vocabularies can be shared between stores; each holds its own otherwise. */
  readonly tokenizer?: Tokenizers;
  readonly threads?: ThreadLimits;
}

/** @param quota what one token may keep on disk. */
export function openStore(
  file: string,
  quota: Quota,
  { tokenizer = openTokenizers(), threads: limits }: StoreOptions = {},
) {
  const database = openDatabase(file, migrations);
  // What is deleted is to be gone from the file too.
  database.pragma('secure_delete = ON');
  const volatile = openDatabase(':memory:', migrations);
  // A large sort would otherwise go through a file.
  volatile.pragma('temp_store = MEMORY');
  const durable = openShelf(database, maxDurableBytes, quota);
  const ephemeral = openShelf(volatile, maxEphemeralBytes, {
    ...quota,
    bytes: Math.min(quota.bytes, maxEphemeralBytesPerToken),
  });
  const both = [durable, ephemeral] as const;
  const shelfOf = (level: Level): Shelf => (level === 'ephemeral' ? ephemeral : durable);
  const handoffs = openHandoffs(database, durable);
  const queue = openQueue();
  const threads = openThreads(limits);

  /** The newest first, from both, and one more where there is one. */
  function* newest<Row extends Place>(
    level: Level | undefined,
    limit: number,
    read: (shelf: Shelf) => Steps<Row[]>,
  ): Steps<Row[]> {
    const rows: Row[] = [];
    for (const shelf of level === undefined ? both : [shelfOf(level)]) rows.push(...(yield* read(shelf)));
    rows.sort((a, b) => compare(b.created_at, a.created_at) || compare(b.id, a.id));
    return rows.slice(0, limit + 1);
  }

  /** Step by step, with room for all of it taken before the first is written. */
  async function keepInTurns(texts: readonly string[], keep: Keep, call: Call): Promise<KeptOutput[]> {
    const shelf = shelfOf(keep.level);
    const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    const begun: number[] = [];
    shelf.reserve(call, texts.length, bytes);
    try {
      return await inTurns(
        shelf.inWrite,
        call,
        (function* () {
          const kept: KeptOutput[] = [];
          for (const text of texts) {
            const handle = yield* handleSteps(text, keep);
            const textId = shelf.hasOutput(handle, call) ? null : yield* shelf.texts.write(text, begun);
            const row = rowOf(handle, text, textId, keep, call);
            kept.push({ handle, expires_at: shelf.tables.putOutput(row) });
            yield;
          }
          return kept;
        })(),
      );
    } finally {
      shelf.texts.settle(begun);
      shelf.release(call, texts.length, bytes);
    }
  }

  /** @throws ToolError not_found. */
  function foundSnapshot(id: string, call: Call) {
    for (const shelf of both) {
      const row = shelf.snapshot(id, isoAfter(call, 0));
      if (row) return { shelf, row };
    }
    throw new ToolError('not_found', `There is no snapshot ${id}.`, {
      hint: 'It may have been deleted, or, if it was ephemeral, have expired.',
    });
  }

  const large = async <Value>(call: Call, size: number, work: Steps<Value>): Promise<Value> =>
    size <= largeText ? steps(call, work) : queue(call, async () => steps(call, telling(call, work)));

  async function countLater(encoding: EncodingName, text: string, call: Call): Promise<number> {
    return large(call, text.length, (await tokenizer(encoding)).count(text));
  }

  return {
    tokenizer,
    grep: async (job: GrepJob, call: Call): Promise<GrepResult> => threads.run(job, call),
    compare: async (job: EntriesJob, call: Call): Promise<EntriesDiff> =>
      isShortJob(job) ? entriesDiff(job) : threads.run(job, call),
    budgets: openBudgets(database, durable),
    handoffs,

    /**
     * Work on texts of so many characters together, in turns with others. Of one token there is one large work at a time:
     * the longest run of letters takes a hundred megabytes to count.
     */
    inTurns: large,

    /** At once where the text is short and the vocabulary is there. */
    count(encoding: EncodingName, text: string, call: Call): number | Promise<number> {
      const ready = text.length <= shortText ? tokenizer.ready(encoding) : undefined;
      return ready ? atOnce(ready.count(text)) : countLater(encoding, text, call);
    },

    /** The handle that a text will have, wherever it is not there yet. */
    handleFor: async (text: string, keep: Keep, call: Call) => steps(call, handleSteps(text, keep)),

    /** Keeps texts and says in order by which handles, and until when: a few short ones at once, others step by step. */
    keep(texts: readonly string[], keep: Keep, call: Call): KeptOutput[] | Promise<KeptOutput[]> {
      if (texts.length === 0) return [];
      const isShort = texts.reduce((sum, { length }) => sum + length, 0) <= partLength;
      if (!isShort || texts.length > mostAtOnce) return keepInTurns(texts, keep, call);
      const rows = texts.map((text) => rowOf(atOnce(handleSteps(text, keep)), text, null, keep, call));
      return shelfOf(keep.level).add(call, (tables) =>
        rows.map((row) => ({ handle: row.handle, expires_at: tables.putOutput(row) })),
      );
    },

    /** @throws ToolError not_found. */
    output(handle: string, call: Call): StoredOutput {
      for (const shelf of both) {
        const row = shelf.output(handle, call);
        if (!row) continue;
        return {
          row,
          between: (start, end) => shelf.texts.between(row, start, end),
          lineStart: (line) => shelf.texts.lineStart(row, line),
          all: async () =>
            row.text_id === null ? row.text : await inTurns(shelf.inRead, call, shelf.texts.all(row)),
        };
      }
      throw new ToolError('not_found', `There is no output ${handle}.`, {
        hint: 'It may have expired, or have been deleted.',
      });
    },

    listOutputs: async (filter: Filter, below: Position, limit: number, call: Call) =>
      steps(
        call,
        newest<Listed<OutputRow>>(filter.level, limit, (shelf) =>
          shelf.outputs((row) => isListed(filter, row), below, limit, call),
        ),
      ),

    /** @returns those of the caller that were there. */
    deleteOutputs: async (handles: readonly string[], call: Call): Promise<string[]> => {
      const deleted: string[] = [];
      for (const shelf of both) {
        const drop = (handle: string) => shelf.tables.dropOutput(handle, call);
        deleted.push(...(await inTurns(shelf.inWrite, call, removed(shelf, handles, drop))));
      }
      return deleted;
    },

    async saveSnapshot(
      name: string,
      entries: readonly Entry[],
      keep: Keep,
      call: Call,
    ): Promise<SnapshotRow> {
      const { level, session_id: session = null } = keep;
      const shelf = shelfOf(level);
      const text = JSON.stringify(entries);
      // In JSON a letter of an escape can stand before a name.
      const handles = new Set(text.match(handlePattern));
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
        text: headOf(text),
        text_id: null as number | null,
      };
      const begun: number[] = [];
      const isLong = row.text.length < text.length;
      if (isLong) shelf.reserve(call, 1, row.bytes);
      try {
        try {
          if (isLong) row.text_id = await inTurns(shelf.inWrite, call, shelf.texts.write(text, begun));
        } finally {
          if (isLong) shelf.release(call, 1, row.bytes);
        }
        shelf.add(call, (tables) => {
          tables.addSnapshot(row);
          tables.mention(row.id, handles, call);
        });
      } finally {
        shelf.texts.settle(begun);
      }
      return row;
    },

    /** @throws ToolError not_found. */
    async snapshot(
      id: string,
      call: Call,
    ): Promise<Listed<SnapshotRow> & { readonly entries: readonly Entry[] }> {
      const { shelf, row } = foundSnapshot(id, call);
      const text = await inTurns(shelf.inRead, call, shelf.texts.all(row));
      return { ...row, entries: JSON.parse(text) as Entry[] };
    },

    listSnapshots: async (filter: Filter, below: Position, limit: number, call: Call) =>
      steps(
        call,
        newest<Listed<SnapshotRow>>(filter.level, limit, (shelf) =>
          shelf.snapshots(
            (row) => isListed(filter, row) && (filter.name ?? row.name) === row.name,
            below,
            limit,
            call,
          ),
        ),
      ),

    /** @throws ToolError not_found, forbidden when another saved it. */
    async deleteSnapshot(id: string, call: Call): Promise<void> {
      const { shelf, row } = foundSnapshot(id, call);
      if (row.created_by !== call.caller) {
        throw new ToolError('forbidden', `Snapshot ${id} was saved by ${row.created_by}.`, {
          hint: 'Only the token that saved it can delete it.',
        });
      }
      const drop = (each: string) => shelf.tables.dropSnapshot(each, call);
      await inTurns(shelf.inWrite, call, removed(shelf, [id], drop));
    },

    listHandoffs: async (filter: HandoffFilter, below: Position, limit: number, call: Call) =>
      steps(call, handoffs.list(filter, below, limit, call)),

    /** @returns those of the caller that were there. */
    deleteHandoffs: async (ids: readonly string[], call: Call) =>
      inTurns(durable.inWrite, call, handoffs.delete(ids, call)),

    /** Takes the write lock and gives it back. @throws when the database cannot be written. */
    probe: durable.probe,

    holdings: () => ({ durable: durable.holdings(), ephemeral: ephemeral.holdings() }),
    kept: durable.kept,

    [Symbol.dispose]() {
      threads[Symbol.dispose]();
      database.close();
      volatile.close();
    },
  };
}

export interface KeptOutput {
  readonly handle: string;
  readonly expires_at: string;
}

/** A text that is kept, of which long ones are read in parts. */
export interface StoredOutput {
  readonly row: ReadableOutput;
  /** The characters from `start` up to `end`. */
  between(start: number, end: number): string;
  /** Where a line begins, counted from 0. */
  lineStart(line: number): number | undefined;
  all(): Promise<string>;
}

/** Counted at once: a millisecond of work at most. */
const shortText = 8_192;
const steps = async <Value>(call: Call, work: Steps<Value>): Promise<Value> =>
  inTurns((step) => step(), call, work);

/** Of more characters a token has one at work at a time. */
const largeText = 100_000;
/** So many short texts are kept at once. */
const mostAtOnce = 20;
const isListed = ({ level, session_id: session }: Filter, row: Listed<OutputRow | SnapshotRow>) =>
  (level ?? row.level) === row.level && (session === undefined || session === row.session_id);

function rowOf(handle: string, text: string, textId: number | null, keep: Keep, call: Call): OutputRow {
  const { level, session_id: session = null, label = null } = keep;
  const ttl = Math.min(keep.ttl_seconds ?? levels[level].ttl, levels[level].maxTtl);
  return {
    id: outputId(handle, call),
    handle,
    level,
    session_id: session,
    label,
    created_by: call.caller,
    created_at: isoAfter(call, 0),
    expires_at: isoAfter(call, ttl),
    length: text.length,
    lines: linesIn(text),
    bytes: Buffer.byteLength(text),
    is_private: keep.private ? 1 : 0,
    text: headOf(text),
    text_id: textId,
  };
}

/** Gone at once; the rest gives the room back, part by part. */
function* removed(
  { texts }: Shelf,
  ids: readonly string[],
  drop: (id: string) => Pick<OutputRow, 'text_id'> | undefined,
): Steps<string[]> {
  const found: string[] = [];
  for (const id of ids) {
    const row = drop(id);
    if (row) {
      texts.leave(row);
      found.push(id);
      yield;
      yield* texts.remove(row.text_id);
    }
    yield;
  }
  return found;
}

/** The same for the same text, level and session, so that the same call gives the same answer. */
function* handleSteps(text: string, { level, session_id: session }: Keep): Steps<string> {
  const hash = createHash('sha256').update(JSON.stringify([level, session ?? null]));
  for (const part of partsOf(text)) {
    hash.update(part);
    yield;
  }
  return `out_${hash.digest('hex').slice(0, 24)}`;
}
