/**
 * Keeps the events of the error budgets: a ring of minutes and one of hours for each source, on disk once a minute. Minutes in
 * which a maintenance window was open are left out here, and are in the history of polls all the same.
 */
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { openDatabase, type Database } from '#runtime/database.ts';

import { windowNames, windowsMs, type Counts, type WindowCounts, type Windows } from './burn.ts';
import type { Measure, Objective } from './objectives.ts';
import { together } from './budget.ts';

const migrations = fileURLToPath(new URL('ledger', import.meta.url));
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
/** The longest window that is summed up by minutes, and the period. */
const minutesForMs = windowsMs['1d'];
const minutesKeptMs = windowsMs['3d'];
const hoursKeptMs = windowsMs['30d'];
const keptMsOf = (unitMs: number) => (unitMs === minuteMs ? minutesKeptMs : hoursKeptMs);
/** Reading what was missed gives way to the polls after so long. */
const sliceMs = 4;

/** Where events come from: one process and one measure. */
export interface Source {
  readonly process: string;
  readonly measure: Measure;
  /** Events of whole minutes, or of whole hours where these are older than three days; `null` where nobody looked. */
  readonly counts: (fromMs: number, toMs: number) => Counts | null;
}

/** Half open, as all spans here: `toMs` is no part of it. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

export function sourceKey(process: string, measure: Measure): string {
  return measure.count === 'polls' ? `${process} polls` : `${process} calls ${measure.withinSeconds}`;
}

const nothing: WindowCounts = { good: 0, total: 0, knownMs: 0 };

/** Sums of the last units of time: one slot for each, used again when it is too old. */
class Ring {
  readonly unitMs: number;
  readonly #units: Float64Array;
  readonly #sums: Float64Array;
  readonly changed = new Set<number>();

  constructor(unitMs: number, forMs: number) {
    this.unitMs = unitMs;
    const slots = Math.ceil(forMs / unitMs) + 1;
    this.#units = new Float64Array(slots).fill(-1);
    this.#sums = new Float64Array(3 * slots);
  }

  set(unit: number, { good, total, knownMs }: WindowCounts): void {
    const slot = unit % this.#units.length;
    this.#units[slot] = unit;
    this.#sums.set([good, total, Math.min(this.unitMs, knownMs)], 3 * slot);
    this.changed.add(unit);
  }

  /** Puts `now` in place of `before`, which was a part of it. */
  change(unit: number, before: WindowCounts, now: WindowCounts): void {
    const sums = this.at(unit);
    this.set(unit, {
      good: sums.good + now.good - before.good,
      total: sums.total + now.total - before.total,
      knownMs: sums.knownMs + now.knownMs - before.knownMs,
    });
  }

  at(unit: number): WindowCounts {
    const slot = unit % this.#units.length;
    if (this.#units[slot] !== unit) return nothing;
    const [good = 0, total = 0, knownMs = 0] = this.#sums.subarray(3 * slot, 3 * slot + 3);
    return { good, total, knownMs };
  }

  /** Of the unit in which the span begins, the part that lies in it counts. */
  within(fromMs: number, toMs: number): WindowCounts {
    let [good, total, knownMs] = [0, 0, 0];
    const first = Math.floor(fromMs / this.unitMs);
    const slots = this.#units.length;
    for (let unit = first; unit * this.unitMs < toMs; unit += 1) {
      const slot = unit % slots;
      if (this.#units[slot] !== unit) continue;
      const share = unit === first ? 1 - (fromMs - unit * this.unitMs) / this.unitMs : 1;
      good += (this.#sums[3 * slot] ?? 0) * share;
      total += (this.#sums[3 * slot + 1] ?? 0) * share;
      knownMs += (this.#sums[3 * slot + 2] ?? 0) * share;
    }
    return { good, total, knownMs };
  }
}

interface Book {
  readonly source: Source;
  readonly minutes: Ring;
  readonly hours: Ring;
  untilMs: number | undefined;
}

interface SumRow extends WindowCounts {
  readonly unit: number;
}

export class Ledger implements Disposable {
  readonly #database: Database;
  #books: ReadonlyMap<string, Book> = new Map();
  readonly #save: (key: string, book: Book, nowMs: number) => void;
  #savedMinute = -1;

  /** `file` is a path, or `:memory:`. @throws what `openDatabase` throws. */
  constructor(file: string) {
    const database = openDatabase(file, migrations);
    // What the last minute had is read again from the history.
    database.pragma('synchronous = NORMAL');
    this.#database = database;

    const put = database.prepare(
      `INSERT INTO sums VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
         good = excluded.good, total = excluded.total, known_ms = excluded.known_ms`,
    );
    const reach = database.prepare(
      'INSERT INTO read VALUES (?, ?) ON CONFLICT DO UPDATE SET until_ms = excluded.until_ms',
    );
    const prune = database.prepare('DELETE FROM sums WHERE source = ? AND unit_ms = ? AND unit < ?');
    this.#save = database.transaction((key: string, { minutes, hours, untilMs }: Book, nowMs: number) => {
      for (const ring of [minutes, hours]) {
        for (const unit of ring.changed) {
          const { good, total, knownMs } = ring.at(unit);
          put.run(ring.unitMs, unit, key, good, total, knownMs);
        }
        prune.run(key, ring.unitMs, Math.floor((nowMs - keptMsOf(ring.unitMs)) / ring.unitMs));
      }
      if (untilMs !== undefined) reach.run(key, untilMs);
    });
  }

  /** Counts these sources from now on, and no others; what is on disk of them goes on. */
  follow(sources: readonly Source[]): void {
    this.#books = new Map(
      sources.map((source) => {
        const key = sourceKey(source.process, source.measure);
        const known = this.#books.get(key);
        return [key, known ? { ...known, source } : this.#loaded(key, source)];
      }),
    );
  }

  #loaded(key: string, source: Source): Book {
    const minutes = new Ring(minuteMs, minutesKeptMs);
    const hours = new Ring(hourMs, hoursKeptMs);
    for (const ring of [minutes, hours]) {
      const rows = this.#database
        .prepare<[number, string], SumRow>(
          `SELECT unit, good, total, known_ms AS knownMs FROM sums WHERE unit_ms = ? AND source = ? ORDER BY unit`,
        )
        .all(ring.unitMs, key);
      for (const row of rows) ring.set(row.unit, row);
      ring.changed.clear();
    }
    const untilMs = this.#database
      .prepare<[string], number>('SELECT until_ms FROM read WHERE source = ?')
      .pluck()
      .get(key);
    return { source, minutes, hours, untilMs };
  }

  /**
   * Reads on, up to now, what the sources have; `excluded` are the maintenance windows of a process in a span. What was missed
   * while nobody read is made up for.
   */
  async read(nowMs: number, excluded: (process: string, span: Span) => readonly Span[]): Promise<void> {
    const pause = inSlices();
    for (const book of this.#books.values()) {
      // By whole hours, as older events are summed up.
      const oldestMs = (Math.floor((nowMs - hoursKeptMs) / hourMs) + 1) * hourMs;
      const readMs = Math.min(nowMs, book.untilMs ?? oldestMs);
      // The minute before may have got its last events since.
      const minute = Math.floor(readMs / minuteMs) - 1;
      const span = { fromMs: Math.max(minute * minuteMs, oldestMs), toMs: nowMs };
      await this.#readSpan(book, span, nowMs, excluded, pause);
      // Where nobody looks now, who does next may tell of the time before: that health itself was away.
      const lately = (Math.floor(nowMs / minuteMs) - 1) * minuteMs;
      if (book.source.counts(lately, lately + 2 * minuteMs)) book.untilMs = nowMs;
    }
    const minute = Math.floor(nowMs / minuteMs);
    if (minute === this.#savedMinute) return;
    for (const [key, book] of this.#books) {
      this.#saveOne(key, book, nowMs);
      await pause();
    }
    this.#savedMinute = minute;
  }

  /** By parts of one unit each; where a longer part has nothing, its parts are not asked for. */
  async #readSpan(
    book: Book,
    span: Span,
    nowMs: number,
    excluded: (process: string, span: Span) => readonly Span[],
    pause: () => Promise<void>,
  ): Promise<void> {
    await pause();
    const unitMs = nowMs - span.fromMs <= minutesKeptMs ? minuteMs : hourMs;
    const unit = Math.floor(span.fromMs / unitMs);
    const whole = { fromMs: span.fromMs, toMs: Math.ceil(span.toMs / minuteMs) * minuteMs };
    const counts = book.source.counts(whole.fromMs, whole.toMs);
    if (!counts) return;
    if (unit === Math.floor((span.toMs - 1) / unitMs)) {
      const isExcluded = excluded(book.source.process, span).length > 0;
      const now = isExcluded ? nothing : { ...counts, knownMs: span.toMs - span.fromMs };
      if (unitMs === hourMs) {
        book.hours.set(unit, now);
        return;
      }
      const before = book.minutes.at(unit);
      book.minutes.set(unit, now);
      book.hours.change(Math.floor(span.fromMs / hourMs), before, now);
      return;
    }
    const stepMs = [windowsMs['1d'], hourMs, minuteMs].find(
      (step) => Math.floor(span.fromMs / step) !== Math.floor((span.toMs - 1) / step),
    );
    for (const part of parts(span, stepMs ?? unitMs))
      await this.#readSpan(book, part, nowMs, excluded, pause);
  }

  /** Writes what has changed. @throws SqliteError, as for a full disk; what could not be written is tried again. */
  save(nowMs: number): void {
    for (const [key, book] of this.#books) this.#saveOne(key, book, nowMs);
  }

  #saveOne(key: string, book: Book, nowMs: number): void {
    this.#save(key, book, nowMs);
    book.minutes.changed.clear();
    book.hours.changed.clear();
  }

  /** Counts of an objective over every window up to now. */
  windows({ processes, measure }: Pick<Objective, 'processes' | 'measure'>, nowMs: number): Windows {
    const books = processes.flatMap((process) => this.#books.get(sourceKey(process, measure)) ?? []);
    return Object.fromEntries(
      windowNames.map((name) => {
        const fromMs = nowMs - windowsMs[name];
        return [
          name,
          together(
            books.map(({ minutes, hours }) =>
              (windowsMs[name] <= minutesForMs ? minutes : hours).within(fromMs, nowMs),
            ),
          ),
        ];
      }),
    ) as unknown as Windows;
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

export const ledgerFile = (dataDir: string) => join(dataDir, 'budget.db');

/** Gives way to others whenever it has worked for a while. */
function inSlices(): () => Promise<void> {
  let sinceMs = performance.now();
  return async () => {
    if (performance.now() - sinceMs < sliceMs) return;
    await nextTurn();
    sinceMs = performance.now();
  };
}

function* parts({ fromMs, toMs }: Span, stepMs: number): Generator<Span> {
  for (let from = fromMs; from < toMs;) {
    const to = Math.min(toMs, (Math.floor(from / stepMs) + 1) * stepMs);
    yield { fromMs: from, toMs: to };
    from = to;
  }
}
