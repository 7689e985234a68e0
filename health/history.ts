/**
 * What was seen of every process: polls of the last day, sums of them for minutes, hours and days, and every change of status. The
 * only SQL of it. One thread writes (keeper-thread.ts); who reads has a connection of its own, and waits for no writer.
 */
import { fileURLToPath } from 'node:url';

import { openAgain, openDatabase, type Database, type Statement } from '#runtime/database.ts';
import type { Probe } from '#runtime/process/probe.ts';

import type { Status } from './verdict.ts';

export interface Sample extends Pick<Probe, 'result' | 'latencyMs' | 'reason'> {
  readonly name: string;
}

export type KnownStatus = Status | 'absent';

/** A change of status. */
export interface Change {
  readonly name: string;
  readonly atMs: number;
  readonly from: KnownStatus | 'unknown';
  readonly to: KnownStatus;
  readonly reason: string | null;
  /** Of a fall: from the last good look to the verdict. */
  readonly detectionMs: number | null;
  /** How long it was as it is no more, by a clock that is never set; `null` where this process has not seen all of it. */
  readonly heldMs: number | null;
}

/** A change as it is kept. */
export interface Transition extends Omit<Change, 'heldMs'> {
  readonly endedAtMs: number | null;
  readonly durationMs: number | null;
}

/** Shares of polls that found the process up, from 0 to 1; `null` for a time of which too much was not polled. */
export interface Uptime {
  readonly hour: number | null;
  readonly day: number | null;
}

export interface Counts {
  /** Polls that found it up. */
  readonly good: number;
  readonly total: number;
}

interface Options {
  /** The process that polls: minutes in which nobody polled are its own downtime. */
  readonly self?: string;
  readonly pollsPerMinute?: number;
  /** Another connection of this process has opened it. */
  readonly isOpen?: boolean;
}

const migrations = fileURLToPath(new URL('migrations', import.meta.url));
const minuteMs = 60_000;
const dayMs = 86_400_000;
const hourMinutes = 60;
const dayMinutes = 24 * hourMinutes;

/** Sums of polls, the finest first: how many of the one before make one, and how long they are kept. */
const units = [
  { table: 'minutes', column: 'minute', minutes: 1, keptMs: 3 * dayMs },
  { table: 'hours', column: 'hour', minutes: hourMinutes, keptMs: 90 * dayMs },
  { table: 'days', column: 'day', minutes: dayMinutes, keptMs: 400 * dayMs },
] as const;
const samplesKeptMs = dayMs;
/** A round deletes no more than this much of each: a backlog of old rows must not hold up the next rounds. */
const samplesAtOnceMs = minuteMs;
/** Of each process; the oldest go. */
const mostTransitions = 1_000;

/** A figure for a time needs polls in so much of it: a restart of health is no reason to show none. */
const leastPolled = 0.95;
/** Health that comes back within this time goes on where it was. */
export const briefGapMs = minuteMs;
/** A clock that was set so far ahead may be set back: for so many rounds nothing goes because of its age. */
const jumpMs = minuteMs;
const roundsWithoutPruning = 3_600;

interface Sums {
  readonly name: string;
  readonly polls: number;
  readonly up: number;
  readonly minutes: number;
}
interface Row {
  readonly atMs: number;
  readonly result: Probe['result'];
  readonly latencyMs: number | null;
  readonly reason: string | null;
}
interface Open {
  readonly id: number;
  readonly name: string;
  readonly to: KnownStatus;
  readonly atMs: number;
}

export class History implements Disposable {
  readonly #database: Database;
  readonly #self: string | undefined;
  readonly #pollsPerMinute: number;
  readonly #record: (
    atMs: number,
    samples: readonly Sample[],
    changes: readonly Change[],
    sincePreviousMs: number | undefined,
  ) => void;
  readonly #statements = new Map<string, Statement<unknown>>();
  #withoutPruning = 0;

  constructor(file: string, { self, pollsPerMinute = 60, isOpen = false }: Options = {}) {
    const database = isOpen ? openAgain(file) : openDatabase(file, migrations);
    // Nobody is promised the last polls: a power cut may take them, and no round waits for the disk.
    database.pragma('synchronous = NORMAL');
    this.#database = database;
    this.#self = self;
    this.#pollsPerMinute = pollsPerMinute;

    const insert = database.prepare('INSERT OR REPLACE INTO samples VALUES (?, ?, ?, ?, ?)');
    const add = units.map(({ table, minutes }) => {
      const statement = database.prepare(
        `INSERT INTO ${table} VALUES (?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET polls = polls + excluded.polls, up = up + excluded.up`,
      );
      return (minute: number, name: string, polls: number, up: number) =>
        statement.run(Math.floor(minute / minutes), name, polls, up);
    });
    const prune = [
      database.prepare(
        `DELETE FROM samples WHERE at_ms < min(?, (SELECT min(at_ms) FROM samples) + ${samplesAtOnceMs})`,
      ),
      ...units.map(({ table, column }) =>
        database.prepare(
          `DELETE FROM ${table} WHERE ${column} < min(?, (SELECT min(${column}) FROM ${table}) + 1)`,
        ),
      ),
    ];
    const pruneAll = (atMs: number) => {
      const [samples, ...sums] = prune;
      samples?.run(atMs - samplesKeptMs);
      for (const [index, { minutes, keptMs }] of units.entries())
        sums[index]?.run(Math.floor((atMs - keptMs) / (minutes * minuteMs)));
    };

    this.#record = database.transaction((atMs, samples, changes, sincePreviousMs) => {
      const before = this.lastAtMs;
      const gap = before === undefined ? undefined : this.#gapOf(before, atMs, sincePreviousMs);
      if (gap) this.#fill(gap, add);
      // Nobody knows how they were meanwhile; a process that polls all the time does, as the clock of a stopped one goes on.
      if (gap && sincePreviousMs === undefined) this.#forget(gap.beforeMs);
      for (const { name, result, latencyMs, reason } of samples) {
        insert.run(atMs, name, result, latencyMs, reason);
        for (const one of add) one(Math.floor(atMs / minuteMs), name, 1, result === 'up' ? 1 : 0);
      }
      for (const change of changes) this.#change(change);
      if (this.#withoutPruning > 0) this.#withoutPruning -= 1;
      else pruneAll(atMs);
    });
  }

  /**
   * One round, in one transaction; what is too old goes, a bounded part of it.
   *
   * @param sincePreviousMs since the last round, by a clock that is never set; `undefined` for the first one of a process.
   */
  record(
    atMs: number,
    samples: readonly Sample[],
    {
      changes = [],
      sincePreviousMs,
    }: { readonly changes?: readonly Change[]; readonly sincePreviousMs?: number | undefined } = {},
  ): void {
    this.#record(atMs, samples, changes, sincePreviousMs);
  }

  /** The time in which nobody polled: what the clock says, unless it was set meanwhile. */
  #gapOf(beforeMs: number, atMs: number, sincePreviousMs: number | undefined) {
    const apartMs = atMs - beforeMs;
    if (sincePreviousMs !== undefined && apartMs - sincePreviousMs > jumpMs) {
      this.#withoutPruning = roundsWithoutPruning;
      return undefined;
    }
    const [from, until] = [Math.floor(beforeMs / minuteMs) + 1, Math.floor(atMs / minuteMs)];
    return until > from ? { beforeMs, atMs, from, until } : undefined;
  }

  /** Whole minutes without a poll are downtime of whoever polls, and nobody else's. */
  #fill(
    gap: { readonly beforeMs: number; readonly atMs: number; readonly from: number; readonly until: number },
    add: readonly ((minute: number, name: string, polls: number, up: number) => void)[],
  ): void {
    const self = this.#self;
    if (self === undefined) return;
    for (const [index, { minutes, keptMs }] of units.entries()) {
      let minute = Math.max(gap.from, Math.floor((gap.atMs - keptMs) / minuteMs));
      while (minute < gap.until) {
        const next = Math.min(gap.until, (Math.floor(minute / minutes) + 1) * minutes);
        add[index]?.(minute, self, (next - minute) * this.#pollsPerMinute, 0);
        minute = next;
      }
    }
    const reason = 'it did not poll';
    const heldMs = null;
    const detectionMs = null;
    const open = this.openTransitions().get(self);
    const from = open?.to ?? 'unknown';
    this.#change({ name: self, atMs: gap.beforeMs, from, to: 'down', reason, detectionMs, heldMs });
    this.#change({ name: self, atMs: gap.atMs, from: 'down', to: 'up', reason: null, detectionMs, heldMs });
  }

  #forget(atMs: number): void {
    this.#prepared('UPDATE transitions SET ended_at_ms = ? WHERE ended_at_ms IS NULL AND at_ms <= ?').run(
      atMs,
      atMs,
    );
  }

  #change({ name, atMs, from, to, reason, detectionMs, heldMs }: Change): void {
    const open = this.openTransitions().get(name);
    // Health was started again meanwhile, and nothing has changed.
    if (from === 'unknown' && open?.to === to) return;
    if (open)
      this.#prepared('UPDATE transitions SET ended_at_ms = ?, duration_ms = ? WHERE id = ?').run(
        atMs,
        heldMs,
        open.id,
      );
    this.#prepared(
      'INSERT INTO transitions (name, at_ms, from_status, to_status, reason, detection_ms) VALUES (?, ?, ?, ?, ?, ?)',
    ).run(name, atMs, from === 'unknown' && open ? open.to : from, to, reason, detectionMs);
    this.#prepared(
      `DELETE FROM transitions WHERE name = :name AND id <=
         (SELECT id FROM transitions WHERE name = :name ORDER BY id DESC LIMIT 1 OFFSET ${mostTransitions})`,
    ).run({ name });
  }

  #prepared<Row>(sql: string): Statement<Row> {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement as Statement<Row>;
  }

  #least(table: string, column: string): number {
    return (
      this.#prepared<{ least: number | null }>(`SELECT min(${column}) AS least FROM ${table}`).get()?.least ??
      0
    );
  }

  /** When the last round was, as far as the clock was ever. */
  get lastAtMs(): number | undefined {
    const row = this.#prepared<{ last: number | null }>('SELECT max(at_ms) AS last FROM samples').get();
    return row?.last ?? undefined;
  }

  /** The status of each process as it was last, and since when. */
  openTransitions(): ReadonlyMap<string, Open> {
    const rows = this.#prepared<Open>(
      `SELECT id, name, to_status AS "to", at_ms AS atMs FROM transitions
       WHERE id IN (SELECT max(id) FROM transitions GROUP BY name) AND ended_at_ms IS NULL`,
    ).all();
    return new Map(rows.map((row) => [row.name, row]));
  }

  /** Of every process that was polled within a day. Hour and day are whole minutes and include the running one. */
  uptimes(nowMs: number): ReadonlyMap<string, Uptime> {
    const minute = Math.floor(nowMs / minuteMs);
    const of = (minutes: number) =>
      this.#prepared<Sums>(
        `SELECT name, sum(polls) AS polls, sum(up) AS up, count(*) AS minutes
         FROM minutes WHERE minute > ? AND minute <= ? GROUP BY name`,
      )
        .all(minute - minutes, minute)
        .map(
          (sums) => [sums.name, sums.minutes < minutes * leastPolled ? null : sums.up / sums.polls] as const,
        );
    const hours = new Map(of(hourMinutes));
    return new Map(of(dayMinutes).map(([name, day]) => [name, { day, hour: hours.get(name) ?? null }]));
  }

  /** Oldest first. */
  samples(name: string, sinceMs: number, limit: number): readonly Row[] {
    return this.#prepared<Row>(
      `SELECT at_ms AS atMs, result, latency_ms AS latencyMs, reason
       FROM samples WHERE name = ? AND at_ms >= ? ORDER BY at_ms LIMIT ?`,
    ).all(name, sinceMs, limit);
  }

  /**
   * Polls from one instant to another, by whole minutes as long as these are kept, then by whole hours, then days: the first one is
   * counted whole. Of a long time the middle is read from the coarse sums, so that a month costs no more than a day.
   */
  counts(name: string, fromMs: number, toMs: number): Counts {
    const until = Math.ceil(toMs / minuteMs);
    const from = Math.floor(fromMs / minuteMs);
    // What is older than the finest sums is counted from the beginning of a coarser one.
    const finest = units.find(({ table, column, minutes }) => from >= this.#least(table, column) * minutes);
    const { minutes } = finest ?? units[units.length - 1] ?? { minutes: 1 };
    return this.#within(name, Math.floor(from / minutes) * minutes, until, units.length - 1);
  }

  /** By sums of a kind, with finer ones at both ends. */
  #within(name: string, from: number, until: number, index: number): Counts {
    const unit = units[index];
    if (!unit || from >= until) return { good: 0, total: 0 };
    const { table, column, minutes } = unit;
    const [first, last] = [Math.ceil(from / minutes), Math.floor(until / minutes)];
    if (first >= last && index > 0) return this.#within(name, from, until, index - 1);
    const middle = this.#prepared<Counts>(
      `SELECT coalesce(sum(up), 0) AS good, coalesce(sum(polls), 0) AS total
       FROM ${table} WHERE name = ? AND ${column} >= ? AND ${column} < ?`,
    ).get(name, first, last);
    const parts = [
      middle,
      this.#within(name, from, first * minutes, index - 1),
      this.#within(name, last * minutes, until, index - 1),
    ];
    return parts.reduce<Counts>(
      (sum, part) => ({ good: sum.good + (part?.good ?? 0), total: sum.total + (part?.total ?? 0) }),
      { good: 0, total: 0 },
    );
  }

  /**
   * The last so many cells of time, the oldest first and the last one with `nowMs` in it; `null` for one in which nobody polled.
   * Cells begin at multiples of their length since the epoch: those of a day at midnight UTC.
   *
   * @throws RangeError for cells that are no whole minutes, hours or days.
   */
  strip(
    name: string,
    cells: number,
    cellMs: number,
    nowMs: number,
  ): readonly ({ readonly up: number; readonly polls: number } | null)[] {
    const cellMinutes = cellMs / minuteMs;
    const unit = units.findLast(({ minutes }) => cellMinutes % minutes === 0);
    if (!unit || cellMinutes < 1) throw new RangeError(`Cells of ${cellMs} ms are no whole minutes.`);
    const last = Math.floor(nowMs / cellMs);
    const each = cellMinutes / unit.minutes;
    const rows = this.#prepared<{ cell: number; up: number; polls: number }>(
      `SELECT ${unit.column} / ${each} AS cell, sum(up) AS up, sum(polls) AS polls
       FROM ${unit.table} WHERE name = ? AND ${unit.column} >= ? AND ${unit.column} < ? GROUP BY cell`,
    ).all(name, (last - cells + 1) * each, (last + 1) * each);
    const known = new Map(rows.map(({ cell, up, polls }) => [cell, { up, polls }]));
    return Array.from({ length: cells }, (_, index) => known.get(last - cells + 1 + index) ?? null);
  }

  /** Changes of status that came after an instant, or whose status lasted beyond it; the newest first. */
  transitions(sinceMs: number, limit: number): readonly Transition[] {
    return this.#prepared<Transition>(
      `SELECT name, at_ms AS atMs, from_status AS "from", to_status AS "to", reason, detection_ms AS detectionMs,
         ended_at_ms AS endedAtMs, duration_ms AS durationMs
       FROM transitions WHERE coalesce(ended_at_ms, 9e15) >= ? ORDER BY at_ms DESC, id DESC LIMIT ?`,
    ).all(sinceMs, limit);
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}
