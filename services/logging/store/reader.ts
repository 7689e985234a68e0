/** Who reads: pieces of work that end soon, each of which says where the next begins. Works on threads of its own. */
import { existsSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

import { openToRead, type Database } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';

import { matcher } from '../regex.ts';
import { registerFile } from './keeper.ts';
import { levels, momentOf, placeOf, sizeOf, type Level, type Line, type LineKey } from './line.ts';
import { segmentFile } from './segment.ts';
import type { SeenStream } from './streams.ts';
import { compile, withoutExcluded, mostBeginnings, searchable, termsOf } from './words.ts';

/** Which lines; what is left out does not narrow. Times are in milliseconds since the epoch. */
export interface Filter {
  readonly sinceMs?: number | undefined;
  /** Not itself within. */
  readonly untilMs?: number | undefined;
  readonly levels?: readonly Level[] | undefined;
  readonly services?: readonly string[] | undefined;
  /** Whole, or all that begin so where the last character is `*`. */
  readonly sources?: readonly string[] | undefined;
  /** Words that must all be there, `"as they stand"` in quotes, `begin*`, and `-without`. */
  readonly query?: string | undefined;
  /** In the syntax of RE2, over the message. */
  readonly regex?: string | undefined;
  /** Only what was stored up to this batch. */
  readonly upToBatch?: number | undefined;
}

export type Order = 'newest' | 'oldest';

export interface PieceRequest {
  readonly filter: Filter;
  readonly order: Order;
  /** The line that was last; the piece begins behind it. */
  readonly after?: number | undefined;
  readonly limit: number;
  /** A piece ends at the first line after this time. */
  readonly budgetMs: number;
}

export interface Piece {
  readonly lines: readonly Line[];
  /** Where the next begins; `undefined` when there is nothing more. */
  readonly next: number | undefined;
}

export interface CountRequest {
  readonly filter: Pick<Filter, 'sinceMs' | 'untilMs' | 'levels' | 'services' | 'sources'>;
  readonly by: 'level' | 'service' | 'source' | 'none';
  /** In minutes; `undefined` for one sum. */
  readonly everyMinutes: number | undefined;
}

export interface Count {
  /** Start of the interval; 0 without intervals. */
  readonly atMs: number;
  readonly group: string;
  readonly lines: number;
  readonly bytes: number;
}

export interface ArrivalRequest {
  readonly filter: Pick<Filter, 'levels' | 'services' | 'sources'>;
  /** The batch and the line that were read last. */
  readonly after: readonly [batch: number, id: number];
  readonly limit: number;
  readonly budgetMs: number;
}

export interface Arrivals {
  readonly lines: readonly Line[];
  /** Of each line, where to go on behind it. */
  readonly ends: readonly (readonly [batch: number, id: number])[];
  readonly next: readonly [batch: number, id: number];
  readonly isComplete: boolean;
  /** Lines between are not known any more. */
  readonly hasGap: boolean;
}

export interface StreamFacts {
  readonly service: string;
  readonly source: string;
  /** Ever stored. */
  readonly lines: number;
  readonly lastMs: number;
}

export interface RowsRequest {
  readonly filter: Filter;
  readonly after: number | undefined;
  readonly limit: number;
}

export interface Rows {
  readonly startMs: number | undefined;
  readonly lines: readonly LineKey[];
  readonly next: number | undefined;
}

interface SegmentFacts {
  readonly start_ms: number;
  readonly end_ms: number;
  readonly first: number;
  readonly last: number;
  readonly drift_ms: number;
  readonly lines: number;
}

type Raw = [
  id: number,
  stream: number,
  level: number,
  batch: number,
  at: number | null,
  message: string,
  trace: string | null,
  fields: string | null,
  observed: number,
];

const columns = 'l.id, l.stream, l.level, l.batch, l.at_ms, l.message, l.trace, l.fields, b.observed_ms';
/** What a piece hands over is copied between threads: so much at a time. */
const mostBytes = 4 * 1024 * 1024;
/** The clock is looked at once in so many lines. */
const linesPerLook = 32;
/** Each has a cache of its own. */
const mostOpen = 8;
const commonOneIn = 8;

interface OpenSegment {
  readonly startMs: number;
  readonly database: Database & Disposable;
  readonly all: (
    wanted: string | undefined,
    order: Order,
    low: number,
    high: number,
  ) => IterableIterator<Raw>;
  readonly names: Map<number, { readonly service: string; readonly source: string }>;
  readonly refreshNames: () => void;
  readonly held: () => { readonly stream: number; readonly level: number; readonly lines: number }[];
  readonly beginningWith: (beginning: string) => readonly string[];
}

export function openReader(dataDir: string) {
  const register = openToRead(registerFile(dataDir));
  const segmentsNow = register.prepare<[], SegmentFacts>(
    'SELECT * FROM segments WHERE lines > 0 ORDER BY start_ms',
  );
  const committedNow = register.prepare<[], number | null>('SELECT max(id) FROM batches').pluck();
  const firstBatch = register.prepare<[], number | null>('SELECT min(id) FROM batches').pluck();
  const batchesAfter = register.prepare<[number], { id: number; parts: string }>(
    'SELECT id, parts FROM batches WHERE id >= ? ORDER BY id LIMIT 500',
  );
  const knownStreams = register.prepare<[], SeenStream>('SELECT service, source, lines FROM streams');
  const open = new Map<number, OpenSegment>();

  /** `undefined` for one that went meanwhile. */
  function opened(startMs: number): OpenSegment | undefined {
    const there = open.get(startMs);
    if (there) {
      open.delete(startMs);
      open.set(startMs, there);
      return there;
    }
    const file = segmentFile(dataDir, startMs);
    if (!existsSync(file)) return undefined;
    const database = openToRead(file);
    database.pragma('cache_size = -8192');
    database.pragma('mmap_size = 268435456');
    const names: OpenSegment['names'] = new Map();
    const readNames = database.prepare<[], { id: number; service: string; source: string }>(
      'SELECT * FROM streams',
    );
    const statement = (from: string, key: string, order: Order) =>
      database
        .prepare<unknown[], Raw>(
          `SELECT ${columns} FROM ${from} CROSS JOIN batches b ON b.id = l.batch WHERE ${key} BETWEEN @low AND @high ORDER BY ${key} ${order === 'newest' ? 'DESC' : 'ASC'}`,
        )
        .raw();
    const found = 'words w CROSS JOIN lines l ON l.id = w.rowid';
    const statements = {
      newest: statement('lines l', 'l.id', 'newest'),
      oldest: statement('lines l', 'l.id', 'oldest'),
    };
    const matching = (order: Order) =>
      database
        .prepare<unknown[], Raw>(
          `SELECT ${columns} FROM ${found} CROSS JOIN batches b ON b.id = l.batch WHERE words MATCH @wanted AND w.rowid BETWEEN @low AND @high ORDER BY w.rowid ${order === 'newest' ? 'DESC' : 'ASC'}`,
        )
        .raw();
    const matched = { newest: matching('newest'), oldest: matching('oldest') };
    const beginnings = database
      .prepare<[string, string], string>(
        `SELECT term FROM vocabulary WHERE term >= ? AND term < ? LIMIT ${mostBeginnings + 1}`,
      )
      .pluck();
    const held = database.prepare<[], { stream: number; level: number; lines: number }>(
      'SELECT stream, level, sum(lines) AS lines FROM counts GROUP BY 1, 2',
    );
    const segment: OpenSegment = {
      startMs,
      database,
      names,
      refreshNames() {
        for (const { id, service, source } of readNames.all()) names.set(id, { service, source });
      },
      held: () => held.all(),
      all: (wanted, order, low, high) =>
        wanted === undefined
          ? statements[order].iterate({ low, high })
          : matched[order].iterate({ wanted, low, high }),
      beginningWith: (beginning) => beginnings.all(beginning, `${beginning}\u{10ffff}`),
    };
    open.set(startMs, segment);
    for (const [oldStart, old] of open) {
      if (open.size <= mostOpen) break;
      open.delete(oldStart);
      old.database[Symbol.dispose]();
    }
    return segment;
  }

  function segments(): SegmentFacts[] {
    const now = segmentsNow.all();
    const known = new Set(now.map(({ start_ms: startMs }) => startMs));
    for (const [startMs, { database }] of open) {
      if (known.has(startMs)) continue;
      database[Symbol.dispose]();
      open.delete(startMs);
    }
    return now;
  }

  function streamsIn(
    segment: OpenSegment,
    { services, sources }: Pick<Filter, 'services' | 'sources'>,
  ): number[] | undefined {
    if (!services && !sources) return undefined;
    segment.refreshNames();
    const found: number[] = [];
    for (const [id, { service, source }] of segment.names) {
      if ((services?.includes(service) ?? true) && (sources?.some((one) => isOf(source, one)) ?? true))
        found.push(id);
    }
    return found;
  }

  /**
   * Whether one in so many lines is of these levels and streams. To go on within a long list, the index walks all of it up to there:
   * so a scan of such lines looks at each.
   */
  function isCommon(
    segment: OpenSegment,
    { levels: wanted }: Filter,
    streams: readonly number[] | undefined,
    { lines }: SegmentFacts,
  ): boolean {
    if (!wanted && !streams) return true;
    let held = 0;
    for (const { stream, level, lines: some } of segment.held())
      if (isIn({ levels: wanted }, streams, stream, level)) held += some;
    return held * commonOneIn > lines;
  }

  function lineOf(
    segment: OpenSegment,
    [id, stream, level, , at, message, trace, fields, observedMs]: Raw,
  ): Line {
    if (!segment.names.has(stream)) segment.refreshNames();
    const { service = '', source = '' } = segment.names.get(stream) ?? {};
    return {
      id,
      atMs: at ?? momentOf(id),
      observedMs,
      level: levels[level] ?? 'info',
      service,
      source,
      message,
      ...(trace !== null && { traceId: trace }),
      fields: fields === null ? {} : (JSON.parse(fields) as Record<string, string>),
    };
  }

  function beginningIn(segment: OpenSegment) {
    return (beginning: string) => {
      const words = segment.beginningWith(beginning);
      if (words.length <= mostBeginnings) return words;
      throw new ToolError('too_large', `More than ${mostBeginnings} words begin with "${beginning}".`, {
        hint: 'Write more of the word, or narrow the time and use regex.',
      });
    };
  }

  /**
   * Lines in order of time. It ends when it has enough, when its time is over, or when a few megabytes are together.
   *
   * @returns where the next piece begins; `undefined` when there is nothing more.
   */
  function search(
    { filter, order, after, limit, budgetMs }: PieceRequest,
    take: (raw: Raw, segment: OpenSegment) => void,
  ): number | undefined {
    const endAtMs = performance.now() + budgetMs;
    const { sinceMs = 0, untilMs = Number.MAX_SAFE_INTEGER / 128 } = filter;
    const terms = termsOf(filter.query ?? '');
    const isMatch = filter.regex === undefined ? undefined : matcher(filter.regex);
    const committed = Math.min(committedNow.get() ?? 0, filter.upToBatch ?? Infinity);
    const all = segments();
    let found = 0;
    let bytes = 0;
    let looked = 0;
    for (const facts of order === 'newest' ? all.toReversed() : all) {
      if (facts.end_ms <= sinceMs || facts.start_ms >= untilMs) continue;
      let low = Math.max(facts.first, placeOf(sinceMs - facts.drift_ms));
      let high = Math.min(facts.last, placeOf(untilMs + facts.drift_ms) - 1);
      if (after !== undefined) {
        if (order === 'newest') high = Math.min(high, after - 1);
        else low = Math.max(low, after + 1);
      }
      if (low > high) continue;
      const segment = opened(facts.start_ms);
      if (!segment) continue;
      const streams = streamsIn(segment, filter);
      const isScan = terms.every(({ isExcluded }) => isExcluded) && isCommon(segment, filter, streams, facts);
      const { match, verify } = isScan
        ? { match: undefined, verify: withoutExcluded(terms) }
        : compile({ terms, levels: filter.levels, streams }, beginningIn(segment));
      for (const raw of segment.all(match, order, low, high)) {
        const [id, stream, level, batch, at, message, traceOfLine, fields] = raw;
        looked += 1;
        const atMs = at ?? momentOf(id);
        const isWanted =
          batch <= committed &&
          (!isScan || isIn(filter, streams, stream, level)) &&
          atMs >= sinceMs &&
          atMs < untilMs &&
          (!verify || verify(searchable(message, traceOfLine, fields))) &&
          (!isMatch || isMatch(message));
        if (isWanted) {
          take(raw, segment);
          found += 1;
          bytes += sizeOf(message, fields);
        }
        const isOver = looked % linesPerLook === 0 && performance.now() > endAtMs;
        if (found >= limit || bytes > mostBytes || isOver) return id;
      }
      // Between segments too: that one may have taken long to find nothing.
      if (performance.now() > endAtMs) {
        const edge = order === 'newest' ? low : high;
        return edge;
      }
    }
    return undefined;
  }

  return {
    piece(request: PieceRequest): Piece {
      const lines: Line[] = [];
      const next = search(request, (raw, segment) => lines.push(lineOf(segment, raw)));
      return { lines, next };
    },

    /** Lines in the order in which they came. */
    arrivals({ filter, after: [batch, lastId], limit, budgetMs }: ArrivalRequest): Arrivals {
      const endAtMs = performance.now() + budgetMs;
      const known = new Set(segments().map(({ start_ms: startMs }) => startMs));
      const lines: Line[] = [];
      const ends: [number, number][] = [];
      const hasGap = batch > 0 && batch + 1 < (firstBatch.get() ?? 0);
      let at: readonly [number, number] = [batch, lastId];
      const after = batchesAfter.all(batch);
      for (const { id: number, parts } of after) {
        for (const [startMs, first, last] of JSON.parse(parts) as [number, number, number][]) {
          const segment = known.has(startMs) ? opened(startMs) : undefined;
          const low = number === batch ? Math.max(first, lastId + 1) : first;
          if (!segment || low > last) continue;
          const streams = streamsIn(segment, filter);
          let looked = 0;
          for (const raw of segment.all(undefined, 'oldest', low, last)) {
            const [id, stream, level, ofBatch] = raw;
            looked += 1;
            const isWanted = ofBatch === number && isIn(filter, streams, stream, level);
            if (isWanted) {
              lines.push(lineOf(segment, raw));
              ends.push([number, id]);
            }
            at = [number, id];
            const isOver = looked % linesPerLook === 0 && performance.now() > endAtMs;
            if (lines.length >= limit || isOver) return { lines, ends, next: at, isComplete: false, hasGap };
          }
        }
        at = [number, Number.MAX_SAFE_INTEGER];
      }
      return { lines, ends, next: at, isComplete: after.length < 500, hasGap };
    },

    /** How many lines there are, from the sums that are kept by the minute. */
    counts({ filter, by, everyMinutes }: CountRequest): Count[] {
      const { sinceMs = 0, untilMs = Number.MAX_SAFE_INTEGER / 128 } = filter;
      const sums = new Map<string, { atMs: number; group: string; lines: number; bytes: number }>();
      for (const { start_ms: startMs, end_ms: endMs } of segments()) {
        if (endMs <= sinceMs || startMs >= untilMs) continue;
        const segment = opened(startMs);
        if (!segment) continue;
        segment.refreshNames();
        const streams = streamsIn(segment, filter);
        const every = everyMinutes === undefined ? 'NULL' : `minute - minute % ${Math.trunc(everyMinutes)}`;
        const rows = segment.database
          .prepare<
            [number, number],
            { at: number | null; stream: number; level: number; lines: number; bytes: number }
          >(
            `SELECT ${every} AS at, stream, level, sum(lines) AS lines, sum(bytes) AS bytes FROM counts WHERE minute >= ? AND minute < ? GROUP BY 1, 2, 3`,
          )
          .all(Math.floor(sinceMs / 60_000), Math.ceil(untilMs / 60_000));
        for (const { at, stream, level, lines, bytes } of rows) {
          const name = levels[level] ?? 'info';
          if (!(streams?.includes(stream) ?? true) || !(filter.levels?.includes(name) ?? true)) continue;
          const names = segment.names.get(stream);
          const group = by === 'none' ? '' : by === 'level' ? name : (names?.[by] ?? '');
          const atMs = (at ?? 0) * 60_000;
          const key = `${atMs} ${group}`;
          const sum = sums.get(key);
          if (sum) {
            sum.lines += lines;
            sum.bytes += bytes;
          } else sums.set(key, { atMs, group, lines, bytes });
        }
      }
      return [...sums.values()].filter(({ lines }) => lines > 0);
    },

    /** Lines of one segment, for whoever takes them out. */
    rows({ filter, after, limit }: RowsRequest): Rows {
      const all: (LineKey & { readonly startMs: number })[] = [];
      const request = { filter, order: 'oldest', after, limit, budgetMs: 100 } as const;
      const next = search(request, ([id, , , batch], { startMs }) => all.push({ id, batch, startMs }));
      const startMs = all[0]?.startMs;
      const lines = all.filter((line) => line.startMs === startMs);
      return { startMs, lines, next: lines.length < all.length ? lines.at(-1)?.id : next };
    },

    /** What there are no lines of any more. */
    streamsWithout(): SeenStream[] {
      const all = knownStreams.all();
      const held = new Set<string>();
      for (const { start_ms: startMs } of segments()) {
        const segment = opened(startMs);
        if (!segment) continue;
        segment.refreshNames();
        for (const { stream, lines } of segment.held()) {
          const { service, source } = segment.names.get(stream) ?? {};
          if (lines > 0) held.add(`${service}\0${source}`);
        }
      }
      return all.filter(({ service, source }) => !held.has(`${service}\0${source}`));
    },

    newestBatch: () => committedNow.get() ?? 0,

    [Symbol.dispose](): void {
      for (const { database } of open.values()) database[Symbol.dispose]();
      register[Symbol.dispose]();
    },
  };
}

const isIn = (
  { levels: wanted }: Pick<Filter, 'levels'>,
  streams: readonly number[] | undefined,
  stream: number,
  level: number,
) => (streams?.includes(stream) ?? true) && (wanted?.includes(levels[level] ?? 'info') ?? true);

const isOf = (source: string, wanted: string) =>
  wanted.endsWith('*') ? source.startsWith(wanted.slice(0, -1)) : source === wanted;
