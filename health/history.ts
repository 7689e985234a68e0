/** The poll results of the last day: the only SQL of health. */
import { fileURLToPath } from 'node:url';

import { openDatabase, type Database, type Statement } from '#runtime/database.ts';

import type { Probe } from '#runtime/process/probe.ts';

export interface Sample extends Probe {
  readonly name: string;
}

/** Shares of polls that found the process up, from 0 to 1; `null` for a time of which too much was not polled. */
export interface Uptime {
  readonly hour: number | null;
  readonly day: number | null;
}

const migrations = fileURLToPath(new URL('migrations', import.meta.url));
const hourMinutes = 60;
const dayMinutes = 24 * 60;
const keptMs = 24 * 3_600_000;
const minuteMs = 60_000;
/** A figure for a time needs polls in so much of it: a restart of health is no reason to show none. */
const leastPolled = 0.95;

/** A round deletes no more than this much time, so that a day of old rows never holds up the next polls. */
const prunedAtOnceMs = minuteMs;

interface Sums {
  readonly name: string;
  readonly dayUp: number;
  readonly dayPolls: number;
  readonly dayMinutes: number;
  readonly hourUp: number | null;
  readonly hourPolls: number | null;
  readonly hourMinutes: number;
}

interface HistoryRow {
  readonly atMs: number;
  readonly result: Probe['result'];
  readonly latencyMs: number | null;
  readonly reason: string | null;
}

export class History implements Disposable {
  readonly #database: Database;
  readonly #record: (atMs: number, samples: readonly Sample[]) => void;
  readonly #sums: Statement<Sums>;
  readonly #rows: Statement<HistoryRow>;
  readonly #counts: Statement<{ readonly good: number; readonly total: number }>;

  constructor(file: string) {
    const database = openDatabase(file, migrations);
    // Nobody is promised the last polls: a power cut may take them, and no round waits for the disk.
    database.pragma('synchronous = NORMAL');
    this.#database = database;

    const insert = database.prepare('INSERT OR REPLACE INTO samples VALUES (?, ?, ?, ?, ?)');
    const count = database.prepare(
      `INSERT INTO minutes VALUES (?, ?, 1, ?)
       ON CONFLICT DO UPDATE SET polls = polls + 1, up = up + excluded.up`,
    );
    const pruneSamples = database.prepare(
      `DELETE FROM samples WHERE at_ms < min(?, (SELECT min(at_ms) FROM samples) + ${prunedAtOnceMs})`,
    );
    const pruneMinutes = database.prepare('DELETE FROM minutes WHERE minute < ?');
    this.#record = database.transaction((atMs: number, samples: readonly Sample[]) => {
      for (const { name, result, latencyMs, reason } of samples) {
        insert.run(atMs, name, result, latencyMs, reason);
        count.run(Math.floor(atMs / minuteMs), name, result === 'up' ? 1 : 0);
      }
      pruneSamples.run(atMs - keptMs);
      pruneMinutes.run(Math.floor((atMs - keptMs) / minuteMs));
    });

    this.#sums = database.prepare(
      `SELECT name, sum(up) AS dayUp, sum(polls) AS dayPolls, count(*) AS dayMinutes,
         sum(up) FILTER (WHERE minute > :hour) AS hourUp, sum(polls) FILTER (WHERE minute > :hour) AS hourPolls,
         count(*) FILTER (WHERE minute > :hour) AS hourMinutes
       FROM minutes WHERE minute > :day GROUP BY name`,
    );
    this.#counts = database.prepare(
      `SELECT count(*) FILTER (WHERE result = 'up') AS good, count(*) AS total
       FROM samples WHERE name = ? AND at_ms >= ? AND at_ms < ?`,
    );
    this.#rows = database.prepare(
      `SELECT at_ms AS atMs, result, latency_ms AS latencyMs, reason
       FROM samples WHERE name = ? AND at_ms >= ? ORDER BY at_ms LIMIT ?`,
    );
  }

  /** One round, in one transaction; what is older than a day goes. */
  record(atMs: number, samples: readonly Sample[]): void {
    this.#record(atMs, samples);
  }

  /** Of every process that was polled within a day. Hour and day are whole minutes and include the running one. */
  uptimes(nowMs: number): ReadonlyMap<string, Uptime> {
    const minute = Math.floor(nowMs / minuteMs);
    const sums = this.#sums.all({ hour: minute - hourMinutes, day: minute - dayMinutes });
    return new Map(
      sums.map((of) => [
        of.name,
        {
          day: of.dayMinutes < dayMinutes * leastPolled ? null : of.dayUp / of.dayPolls,
          hour: of.hourMinutes < hourMinutes * leastPolled ? null : (of.hourUp ?? 0) / (of.hourPolls ?? 1),
        },
      ]),
    );
  }

  /** Polls that found a process up, and all polls of it, from an instant on, up to another one. */
  counts(name: string, fromMs: number, toMs: number): { readonly good: number; readonly total: number } {
    return this.#counts.get(name, fromMs, toMs) ?? { good: 0, total: 0 };
  }

  /** Oldest first. */
  samples(name: string, sinceMs: number, limit: number): readonly HistoryRow[] {
    return this.#rows.all(name, sinceMs, limit);
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}
