/** One segment: the file that holds the lines of a stretch of time, with their index. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { openAgain, openDatabase, transactionsOf, type Database } from '#runtime/database.ts';

import {
  fieldsText,
  levels,
  momentOf,
  placeOf,
  placesPerMs,
  sizeOf,
  type LineKey,
  type NewLine,
  type Sum,
} from './line.ts';
import { indexed, searchable } from './words.ts';

const migrations = fileURLToPath(new URL('segment', import.meta.url));

export const segmentFile = (dataDir: string, startMs: number) =>
  join(
    dataDir,
    'segments',
    `${new Date(startMs)
      .toISOString()
      .replaceAll(/[-:.]|Z$/g, '')
      .toLowerCase()}.db`,
  );

/** What one batch put into a segment. */
export interface Part {
  readonly lines: number;
  readonly bytes: number;
  readonly first: number;
  readonly last: number;
  readonly driftMs: number;
}

interface Placed extends NewLine {
  readonly id: number;
}

const minuteMs = 60_000;
const streamKey = (service: string, source: string) => `${source}\0${service}`;

export type Segment = ReturnType<typeof openSegment>;

/** To write. @param startMs where it begins; its end is where no line of it may be placed any more. */
export function openSegment(dataDir: string, startMs: number, endMs: number) {
  const file = segmentFile(dataDir, startMs);
  // One that is there is large, and was checked when it was made.
  if (!existsSync(file)) openDatabase(file, migrations).close();
  const database: Database = openAgain(file);
  database.pragma('cache_size = -32768');
  const { write, stage } = transactionsOf(database);
  const insertLine = database.prepare('INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
  const insertWords = database.prepare('INSERT INTO words (rowid, text) VALUES (?, ?)');
  const lastLine = database.prepare<[], number | null>('SELECT max(id) FROM lines').pluck();
  const lastBetween = database
    .prepare<[number, number], number | null>('SELECT max(id) FROM lines WHERE id BETWEEN ? AND ?')
    .pluck();
  const isTaken = database.prepare<[number], number>('SELECT 1 FROM lines WHERE id = ?').pluck();
  const count = database.prepare(
    'INSERT INTO counts VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET lines = lines + excluded.lines, bytes = bytes + excluded.bytes',
  );
  const insertStream = database.prepare<[string, string]>(
    'INSERT INTO streams (service, source) VALUES (?, ?)',
  );
  const insertBatch = database.prepare('INSERT OR REPLACE INTO batches VALUES (?, ?, ?, ?)');
  const forgetWords = database.prepare("INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)");
  const takeLine = database.prepare<[number, number], StoredRow>(
    'DELETE FROM lines WHERE id = ? AND batch = ? RETURNING id, stream, level, at_ms, message, trace, fields',
  );
  const sourceOf = database.prepare<[number], string>('SELECT source FROM streams WHERE id = ?').pluck();
  const rangeOf = database.prepare<[number], { first: number; last: number }>(
    'SELECT first, last FROM batches WHERE id = ?',
  );
  const renumber = database.prepare('UPDATE lines SET batch = ? WHERE id BETWEEN ? AND ? AND batch = ?');
  const renumberBatch = database.prepare('UPDATE batches SET id = ? WHERE id = ?');
  const ofBatch = database.prepare<[number, number, number], LineKey>(
    'SELECT id, batch FROM lines WHERE id BETWEEN ? AND ? AND batch = ?',
  );

  const streams = new Map<string, number>();
  function loadStreams(): void {
    streams.clear();
    const all = database
      .prepare<[], { id: number; service: string; source: string }>('SELECT * FROM streams')
      .all();
    for (const { id, service, source } of all) streams.set(streamKey(service, source), id);
  }
  loadStreams();

  function streamOf({ service, source }: NewLine): number {
    const key = streamKey(service, source);
    const known = streams.get(key);
    if (known !== undefined) return known;
    const id = Number(insertStream.run(service, source).lastInsertRowid);
    streams.set(key, id);
    return id;
  }

  /** Full milliseconds, and where behind them there was room last: many lines may have one and the same time. */
  const rooms = new Map<number, number>();

  /** The first place from here on that no stored line has. */
  function roomFrom(place: number, lastStored: number): number {
    let at = place;
    for (;;) {
      if (at > lastStored) return at;
      const endOfMs = placeOf(momentOf(at)) + placesPerMs - 1;
      const taken = lastBetween.get(at, endOfMs) ?? undefined;
      if (taken === undefined) return at;
      if (taken < endOfMs) return taken + 1;
      at = Math.max(endOfMs + 1, rooms.get(momentOf(at)) ?? 0);
    }
  }

  let backFrom = placeOf(endMs);

  /** Lines in the order of time, each with its place. */
  function placed(lines: readonly NewLine[]): Placed[] {
    const lastStored = lastLine.get() ?? -1;
    const endPlace = placeOf(endMs);
    const used = new Set<number>();
    const all: Placed[] = [];
    let previous = -1;
    // Of a stretch without stored lines, all places are free.
    let freeUntil = -1;
    for (const line of lines) {
      let id = Math.max(placeOf(line.atMs), previous + 1);
      if (id <= lastStored && id > freeUntil) {
        id = roomFrom(id, lastStored);
        freeUntil = placeOf(momentOf(id)) + placesPerMs - 1;
      }
      if (rooms.size > 10_000) rooms.clear();
      if (momentOf(id) > line.atMs) rooms.set(line.atMs, id);
      if (id >= endPlace) {
        // The stretch is full to its end: back from there, and not over the same places again.
        do backFrom -= 1;
        while (used.has(backFrom) || isTaken.get(backFrom) !== undefined);
        id = backFrom;
      } else previous = id;
      used.add(id);
      all.push({ ...line, id });
    }
    return all.toSorted((one, other) => one.id - other.id);
  }

  /** Lines in order of time, beside those that the batch has here already. */
  function put(batch: number, observedMs: number, lines: readonly NewLine[]): Part {
    const before = rangeOf.get(batch);
    const counts = new Map<
      string,
      [minute: number, stream: number, level: number, lines: number, bytes: number]
    >();
    const all = placed(lines);
    let bytes = 0;
    let driftMs = 0;
    for (const line of all) {
      const stream = streamOf(line);
      const level = levels.indexOf(line.level);
      const moment = momentOf(line.id);
      driftMs = Math.max(driftMs, Math.abs(moment - line.atMs));
      const fields = fieldsText(line);
      const trace = line.traceId ?? null;
      const { message } = line;
      insertLine.run(
        line.id,
        stream,
        level,
        batch,
        moment === line.atMs ? null : line.atMs,
        message,
        trace,
        fields,
      );
      insertWords.run(line.id, indexed(searchable(message, trace, fields), level, stream));
      const size = sizeOf(message, fields);
      bytes += size;
      const minute = Math.floor(line.atMs / minuteMs);
      const key = `${minute} ${stream} ${level}`;
      const counted = counts.get(key);
      if (counted) {
        counted[3] += 1;
        counted[4] += size;
      } else counts.set(key, [minute, stream, level, 1, size]);
    }
    for (const counted of counts.values()) count.run(...counted);
    const first = all[0]?.id ?? 0;
    const last = all.at(-1)?.id ?? 0;
    insertBatch.run(
      batch,
      observedMs,
      Math.min(first, before?.first ?? first),
      Math.max(last, before?.last ?? last),
    );
    return { lines: all.length, bytes, first, last, driftMs };
  }

  return {
    startMs,
    database,
    loadStreams,

    /** All lines of a batch, in order of time; on disk when this returns. */
    append: (batch: number, observedMs: number, lines: readonly NewLine[]): Part =>
      write(() => put(batch, observedMs, lines)),

    /** Some lines of a batch that is not to be seen yet. They are on disk with what is written next. */
    stage: (batch: number, observedMs: number, lines: readonly NewLine[]): Part =>
      stage(() => put(batch, observedMs, lines)),

    /** What was staged as one batch becomes another, which may be seen. @returns how many lines are there of it. */
    adopt: (staged: number, batch: number): number =>
      write(() => {
        const range = rangeOf.get(staged);
        if (!range) return 0;
        renumberBatch.run(batch, staged);
        return renumber.run(batch, range.first, range.last, staged).changes;
      }),

    /**
     * Takes lines out, with what the index and the counts have of them. Those that are gone already, at another's word, are left:
     * the index must hear of a line that goes once, and of its text as it was.
     *
     * @returns what went, by source.
     */
    remove(lines: readonly LineKey[]): Map<string, Sum> {
      const byStream = new Map<number, Sum>();
      write(() => {
        for (const line of lines) {
          const row = takeLine.get(line.id, line.batch);
          if (!row) continue;
          const { id, stream, level, at_ms: atMs, message, trace, fields } = row;
          forgetWords.run(id, indexed(searchable(message, trace, fields), level, stream));
          const size = sizeOf(message, fields);
          count.run(Math.floor((atMs ?? momentOf(id)) / minuteMs), stream, level, -1, -size);
          const sum = byStream.get(stream) ?? { lines: 0, bytes: 0 };
          byStream.set(stream, { lines: sum.lines + 1, bytes: sum.bytes + size });
        }
      });
      const bySource = new Map<string, Sum>();
      for (const [stream, { lines: gone, bytes }] of byStream) {
        const source = sourceOf.get(stream) ?? '';
        const sum = bySource.get(source) ?? { lines: 0, bytes: 0 };
        bySource.set(source, { lines: sum.lines + gone, bytes: sum.bytes + bytes });
      }
      return bySource;
    },

    /** What batches left that were never acknowledged, and are not being stored. */
    removeAfter(batch: number, isStaged: (batch: number) => boolean): void {
      const left = database
        .prepare<[number], { id: number; first: number; last: number }>(
          'SELECT id, first, last FROM batches WHERE id > ?',
        )
        .all(batch)
        .filter(({ id }) => !isStaged(id));
      for (const { id, first, last } of left) {
        this.remove(ofBatch.all(first, last, id));
        database.prepare('DELETE FROM batches WHERE id = ?').run(id);
      }
      loadStreams();
    },

    /** Merges some of the index. @returns whether there was anything to do. */
    tidy(): boolean {
      const before = database.prepare<[], number>('SELECT total_changes()').pluck().get() ?? 0;
      database.prepare("INSERT INTO words (words, rank) VALUES ('merge', 200)").run();
      return (database.prepare<[], number>('SELECT total_changes()').pluck().get() ?? 0) - before > 1;
    },

    /** After lines were taken out: all of the file is written anew, for pages keep what was moved or removed. */
    scrub(): void {
      database.exec('VACUUM');
      database.pragma('wal_checkpoint(TRUNCATE)');
    },

    /** What each source has here. */
    bySource: (): Map<string, Sum> =>
      new Map(
        database
          .prepare<[], Sum & { source: string }>(
            'SELECT source, sum(lines) AS lines, sum(bytes) AS bytes FROM counts JOIN streams ON streams.id = stream GROUP BY source',
          )
          .all()
          .map(({ source, lines, bytes }) => [source, { lines, bytes }]),
      ),

    [Symbol.dispose]: () => void database.close(),
  };
}

interface StoredRow {
  readonly id: number;
  readonly stream: number;
  readonly level: number;
  readonly at_ms: number | null;
  readonly message: string;
  readonly trace: string | null;
  readonly fields: string | null;
}
