/** The store as tools see it: one thread writes, two read, and nothing of it holds the event loop. */
import type { Log } from '#runtime/account/log.ts';
import { openToRead } from '#runtime/database.ts';
import { Lane } from '#runtime/lanes.ts';
import type { Kept, Quota } from '#runtime/quotas.ts';
import type { Call } from '#runtime/tool.ts';

import { registerFile, type Outcome } from './keeper.ts';
import type { Ingest, KeeperEvent, KeeperHandlers, KeeperSettings, OtlpIngest } from './keeper-thread.ts';
import type { Level, Line } from './line.ts';
import { levels, momentOf } from './line.ts';
import { Link, watched, type Answered, type Asked } from '#runtime/link.ts';
import type { Arrivals, Count, CountRequest, Filter, Order, StreamFacts } from './reader.ts';
import type { ReaderHandlers } from './reader-thread.ts';

/** A search that finds nothing for so long answers how far it came. */
export const searchBudgetMs = 8_000;
/** How long a reader works before it may serve another caller. */
const pieceMs = 100;
const linesPerPiece = 1_000;
const readers = 2;
const readerNice = 8;
/** Where others have all of them, a caller who has nothing at work gets one more. */
const readersForFirsts = 1;
const places = {
  perCaller: readers,
  inAll: readers,
  firsts: readers + readersForFirsts,
  waiting: 256,
};

/** How long the quick reader works for a call, which others do not outnumber on the processors. Most searches need no more. */
const quickMs = 10;

type Caller = Pick<Call, 'signal' | 'caller'>;

export interface Found {
  readonly lines: readonly Line[];
  /** The last line that was looked at, where there may be more behind it. */
  readonly next: number | undefined;
  /** Whether it stopped because its time was over, and not because it had enough. */
  readonly isOutOfTime: boolean;
}

export interface Holdings {
  readonly lines: number;
  readonly bytes: number;
  readonly segments: number;
  /** What was not taken, and what went, by reason. */
  readonly tallies: Readonly<Record<string, number>>;
}

export interface Purged {
  readonly lines: number;
  readonly bySource: Readonly<Record<string, number>>;
  /** Whether nothing of them is on disk any more; a full disk may have no room for that. */
  readonly isScrubbed: boolean;
}

export type Store = Awaited<ReturnType<typeof openStore>>;

export async function openStore(settings: KeeperSettings, quota: Quota, log: Log) {
  const { dataDir } = settings;
  const followers = new Set<(sources: readonly string[]) => void>();
  const keeper = new Link<KeeperHandlers>(new URL('keeper-thread.ts', import.meta.url), settings, (said) => {
    const event = said as KeeperEvent;
    if ('stored' in event) for (const tell of followers) tell(event.stored);
    else log[event.level](event.event, event.fields);
  });
  // What cannot be opened is told here, before anybody calls.
  await keeper.ask('probe', undefined);
  const newReader = (niceness: number) =>
    new Link<ReaderHandlers>(new URL('reader-thread.ts', import.meta.url), { dataDir, niceness }, () => {});
  const quick = newReader(0);
  const free = Array.from({ length: places.firsts }, () => newReader(readerNice));
  const all = [quick, ...free];
  const lane = new Lane(places);
  let isQuickFree = true;

  const register = openToRead(registerFile(dataDir));
  const kept = register.prepare<[], { owner: string; items: number; bytes: number }>(
    'SELECT owner, items, bytes FROM kept WHERE items > 0 ORDER BY bytes DESC, owner LIMIT 100',
  );
  const sources = register.prepare<[], StreamFacts>(
    'SELECT service, source, lines, last_ms AS lastMs FROM streams ORDER BY last_ms DESC, source, service',
  );
  const thresholds = register.prepare<[], { service: string; level: number }>(
    'SELECT service, level FROM thresholds ORDER BY service',
  );
  const sums = register.prepare<[], { lines: number; bytes: number; segments: number }>(
    'SELECT coalesce(sum(lines), 0) AS lines, coalesce(sum(bytes), 0) AS bytes, count(*) AS segments FROM segments',
  );
  const ranges = register.prepare<[], { start_ms: number; last: number; drift_ms: number }>(
    'SELECT start_ms, last, drift_ms FROM segments ORDER BY start_ms',
  );
  const tallies = register.prepare<[], { name: string; lines: number }>(
    'SELECT name, lines FROM tallies ORDER BY name',
  );

  const look = watched(
    async () => keeper.ask('probe', undefined),
    () => keeper.gone ?? all.find((reader) => reader.gone)?.gone,
  );

  /** A free reader, fairly between callers. */
  async function ask<K extends keyof ReaderHandlers>(
    caller: Caller,
    kind: K,
    request: Asked<ReaderHandlers[K]>,
  ): Promise<Answered<ReaderHandlers[K]>> {
    return lane.run<Answered<ReaderHandlers[K]>>(caller, async () => {
      const reader = free.pop();
      if (!reader) throw new Error('There are fewer readers than places.');
      return reader.ask(kind, request).finally(() => free.push(reader));
    });
  }

  /** The quick reader, for the beginning of a call: where it is at work, any other. */
  async function askFirst<K extends keyof ReaderHandlers>(
    caller: Caller,
    kind: K,
    request: (budgetMs: number) => Asked<ReaderHandlers[K]>,
  ): Promise<Answered<ReaderHandlers[K]>> {
    if (!isQuickFree) return ask(caller, kind, request(pieceMs));
    isQuickFree = false;
    return quick.ask(kind, request(quickMs)).finally(() => (isQuickFree = true));
  }

  /**
   * Lines in order of time, in pieces of at most 1,000 lines, 4 MB and some 100 ms of a reader's work; a piece may be empty, for
   * the way to the next line may be long. It goes on to the end of what the filter allows, unless its reader stops: it is for
   * the reader to bound how many lines it takes. Between pieces others are served, lines may come and go, and the signal of the
   * call ends it. Nothing is held open between pieces.
   *
   * @param after the line behind which to begin.
   * @throws ToolError `invalid_input` for a regular expression that is none, `unavailable` when too many wait.
   */
  async function* scan(
    filter: Filter,
    {
      order = 'newest',
      after,
      limit = linesPerPiece,
    }: { readonly order?: Order; readonly after?: number | undefined; readonly limit?: number },
    caller: Caller,
  ): AsyncGenerator<{ readonly lines: readonly Line[]; readonly next: number | undefined }, void> {
    const request = (from: number | undefined) => (budgetMs: number) => ({
      filter,
      order,
      after: from,
      limit: Math.min(limit, linesPerPiece),
      budgetMs,
    });
    let piece = await askFirst(caller, 'piece', request(after));
    for (;;) {
      caller.signal.throwIfAborted();
      yield piece;
      if (piece.next === undefined) return;
      piece = await ask(caller, 'piece', request(piece.next)(pieceMs));
    }
  }

  /** Those of which every line fits. */
  function wholeSegments({
    sinceMs = 0,
    untilMs = Infinity,
    levels: some,
    services,
    sources: from,
    query,
    regex,
  }: Filter): number[] {
    const narrows =
      some ?? services ?? from ?? (query === undefined || query.trim() === '' ? undefined : query) ?? regex;
    if (narrows !== undefined) return [];
    return ranges
      .all()
      .filter(
        ({ start_ms: startMs, last, drift_ms: driftMs }) =>
          startMs >= sinceMs && momentOf(last) + driftMs < untilMs,
      )
      .map(({ start_ms: startMs }) => startMs);
  }

  return {
    scan,

    /** The first lines that fit. It gives up after some seconds, and tells how far it came. */
    async find(
      filter: Filter,
      {
        order,
        after,
        limit,
      }: { readonly order: Order; readonly after?: number | undefined; readonly limit: number },
      caller: Caller,
    ): Promise<Found> {
      const endAtMs = performance.now() + searchBudgetMs;
      const lines: Line[] = [];
      let last = after;
      for await (const piece of scan(filter, { order, after, limit }, caller)) {
        lines.push(...piece.lines.slice(0, limit - lines.length));
        last = lines.length >= limit ? lines.at(-1)?.id : piece.next;
        if (last === undefined) break;
        if (lines.length >= limit) {
          const isEnd = piece.next === undefined && piece.lines.at(-1)?.id === last;
          return { lines, next: isEnd ? undefined : last, isOutOfTime: false };
        }
        if (performance.now() > endAtMs) return { lines, next: last, isOutOfTime: true };
      }
      return { lines, next: undefined, isOutOfTime: false };
    },

    /** How many lines there are, from sums by the minute: it takes as long for many lines as for few. */
    counts: async (request: CountRequest, caller: Caller): Promise<readonly Count[]> =>
      askFirst(caller, 'counts', () => request),

    /** Lines in the order in which they came. */
    arrivals: async (
      filter: Pick<Filter, 'levels' | 'services' | 'sources'>,
      after: readonly [number, number],
      limit: number,
      caller: Caller,
    ): Promise<Arrivals> => ask(caller, 'arrivals', { filter, after, limit, budgetMs: pieceMs }),

    newestBatch: async (caller: Caller): Promise<number> => askFirst(caller, 'newestBatch', () => undefined),

    /** On disk when it resolves. @throws ToolError `too_large` when the token would keep more than it may. */
    ingest: async (given: Ingest): Promise<Outcome> => keeper.ask('ingest', given),

    /** @throws ToolError `invalid_input` for what is no request, `too_large`. The body is handed over. */
    otlp: async (given: OtlpIngest): Promise<Outcome> =>
      keeper.ask('otlp', given, [given.body.buffer as ArrayBuffer]),

    async setThreshold(service: string, level: Level | undefined): Promise<void> {
      await keeper.ask('setThreshold', { service, level });
    },
    thresholds: () =>
      thresholds.all().map(({ service, level }) => ({ service, level: levels[level] ?? 'trace' })),

    sources: (): readonly StreamFacts[] => sources.all(),

    holdings(): Holdings {
      const { lines, bytes, segments } = sums.get() ?? { lines: 0, bytes: 0, segments: 0 };
      return {
        lines,
        bytes,
        segments,
        tallies: Object.fromEntries(tallies.all().map(({ name, lines: many }) => [name, many])),
      };
    },

    kept: (): Kept => ({ quota, holdings: kept.all() }),

    /** Takes out what fits, for good, in pieces; what was taken out stays so when it is stopped. */
    async purge(
      filter: Filter,
      { signal, caller, progress }: Pick<Call, 'signal' | 'caller' | 'progress'>,
    ): Promise<Purged> {
      const bySource: Record<string, number> = {};
      const touched = new Set<number>();
      let lines = 0;
      let after: number | undefined;
      let isScrubbed = true;
      const add = (gone: Readonly<Record<string, number>>) => {
        for (const [source, many] of Object.entries(gone)) {
          bySource[source] = (bySource[source] ?? 0) + many;
          lines += many;
        }
      };
      try {
        for (const startMs of wholeSegments(filter)) {
          signal.throwIfAborted();
          add(await keeper.ask('removeWhole', { startMs }));
        }
        do {
          signal.throwIfAborted();
          const found = await ask({ signal, caller }, 'rows', { filter, after, limit: linesPerPiece });
          after = found.next;
          if (found.startMs === undefined) continue;
          add(await keeper.ask('remove', { startMs: found.startMs, lines: found.lines }));
          touched.add(found.startMs);
          progress(lines);
        } while (after !== undefined);
      } finally {
        for (const startMs of touched) isScrubbed = (await keeper.ask('scrub', { startMs })) && isScrubbed;
      }
      await keeper.ask('forget', { none: await ask({ signal, caller }, 'streamsWithout', undefined) });
      return { lines, bySource, isScrubbed };
    },

    /** What is too old or too much goes now; it does so every minute as well. */
    retain: async (): Promise<number> => keeper.ask('retain', undefined),

    /** Tells of the sources of which something was stored, until it is disposed. */
    onStored(tell: (sources: readonly string[]) => void): Disposable {
      followers.add(tell);
      return { [Symbol.dispose]: () => followers.delete(tell) };
    },

    /** The thread that writes may be at work for a while, but not for long. @throws ToolError unavailable. */
    probe(): void {
      look();
      sums.get();
    },

    async [Symbol.asyncDispose](): Promise<void> {
      await Promise.all(all.map(async (reader) => reader[Symbol.asyncDispose]()));
      register[Symbol.dispose]();
      await keeper[Symbol.asyncDispose]();
    },
  };
}
