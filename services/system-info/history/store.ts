/** What the sampler has measured, over one database: the only SQL of the service. */
import { fileURLToPath } from 'node:url';

import { openDatabase } from '#runtime/database.ts';

import {
  coarseSeconds,
  eventSeconds,
  fineSeconds,
  keptCoarseSeconds,
  keptFineSeconds,
  mostEvents,
} from '../limits.ts';
import { metricNames, type MetricName, type Sample } from './metrics.ts';
import { mean, quantile, sorted } from './statistics.ts';

export interface Point {
  readonly atSeconds: number;
  readonly value: number;
}

/** Five minutes of samples. */
export interface Coarse {
  readonly atSeconds: number;
  readonly samples: number;
  readonly mean: number;
  readonly least: number;
  readonly most: number;
  readonly p95: number;
}

export const eventKinds = [
  'host_started',
  'host_slept',
  'clock_changed',
  'sampling_started',
  'sampling_paused',
  'out_of_memory',
  'process_started',
  'process_restarted',
  'process_lost',
] as const;
export type EventKind = (typeof eventKinds)[number];

export interface Event {
  readonly id: number;
  readonly atSeconds: number;
  readonly kind: EventKind;
  /** The host, or the name of a process of the fleet. */
  readonly subject: string;
  readonly detail: string;
  /** How long it took. */
  readonly seconds: number | null;
}

export type Store = ReturnType<typeof openStore>;

export function openStore(file: string) {
  const database = openDatabase(file, fileURLToPath(new URL('../migrations', import.meta.url)));
  // Nobody is promised the last samples: a power cut may take them, and none waits for the disk.
  database.pragma('synchronous = NORMAL');
  const insertFine = database.prepare(
    `INSERT OR REPLACE INTO fine (at_s, ${metricNames.join(', ')}) VALUES (?${', ?'.repeat(metricNames.length)})`,
  );
  const insertCoarse = database.prepare(
    'INSERT OR REPLACE INTO coarse VALUES (:metric, :atSeconds, :samples, :mean, :least, :most, :p95)',
  );
  const fine = new Map(
    metricNames.map((name) => [
      name,
      database.prepare<[number, number], Point>(
        `SELECT at_s AS atSeconds, ${name} AS value FROM fine WHERE at_s >= ? AND at_s < ? AND ${name} IS NOT NULL ORDER BY at_s`,
      ),
    ]),
  );
  const coarse = database.prepare<[string, number, number], Coarse>(
    `SELECT at_s AS atSeconds, samples, mean, least, most, p95 FROM coarse
     WHERE metric = ? AND at_s >= ? AND at_s < ? ORDER BY at_s`,
  );
  const edges = database.prepare<[], { first: number | null; last: number | null }>(
    'SELECT (SELECT min(at_s) FROM fine) AS first, (SELECT max(at_s) FROM fine) AS last',
  );
  const firstCoarse = database.prepare<[], number | null>('SELECT min(at_s) FROM coarse').pluck();
  const lastCoarse = database.prepare<[], number | null>('SELECT max(at_s) FROM coarse').pluck();
  const pruneFine = database.prepare<[number]>(
    'DELETE FROM fine WHERE at_s IN (SELECT at_s FROM fine WHERE at_s < ? ORDER BY at_s LIMIT 100)',
  );
  const pruneCoarse = metricNames.map((name) =>
    database.prepare<[number]>(
      `DELETE FROM coarse WHERE metric = '${name}' AND at_s IN
         (SELECT at_s FROM coarse WHERE metric = '${name}' AND at_s < ? ORDER BY at_s LIMIT 10)`,
    ),
  );
  const insertEvent = database.prepare(
    'INSERT INTO event (at_s, kind, subject, detail, seconds) VALUES (?, ?, ?, ?, ?)',
  );
  const pruneEvents = database.prepare<[number, number]>(
    'DELETE FROM event WHERE at_s < ? OR id <= (SELECT max(id) FROM event) - ?',
  );
  // What the fleet tells of itself comes late: so the order is that of the times, not that in which they were written.
  const events = database.prepare<[number, number, number, number], Event>(
    `SELECT id, at_s AS atSeconds, kind, subject, detail, seconds FROM event
     WHERE at_s >= ? AND (at_s, id) < (?, ?) ORDER BY at_s DESC, id DESC LIMIT ?`,
  );
  const countEvents = database
    .prepare<[string, string, number], number>(
      'SELECT count(*) FROM event WHERE kind = ? AND subject = ? AND at_s >= ?',
    )
    .pluck();
  const see = database.prepare(
    'INSERT INTO seen VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value',
  );
  const seen = database.prepare<[string], string>('SELECT value FROM seen WHERE name = ?').pluck();

  const samplesOf = (name: MetricName, from: number, to: number): Point[] =>
    fine.get(name)?.all(from, to) ?? [];

  /** Sums up the five minutes that begin then. */
  function sumUp(from: number): void {
    for (const metric of metricNames) {
      const values = sorted(samplesOf(metric, from, from + coarseSeconds).map(({ value }) => value));
      if (values.length === 0) continue;
      insertCoarse.run({
        metric,
        atSeconds: from,
        samples: values.length,
        mean: mean(values),
        least: values[0],
        most: values.at(-1),
        p95: quantile(values, 0.95),
      });
    }
  }

  const record = database.transaction((atSeconds: number, sample: Sample) => {
    const from = edges.get()?.last ?? atSeconds;
    insertFine.run(atSeconds, ...metricNames.map((name) => finite(sample[name])));
    const begun = atSeconds - (atSeconds % coarseSeconds);
    const due = (lastCoarse.get() ?? begun - 2 * coarseSeconds) + coarseSeconds;
    if (due < begun) {
      // After a pause only what has samples: the last minutes before it, and those before now.
      for (const start of new Set([due, from - (from % coarseSeconds), begun - coarseSeconds])) {
        if (start < begun) sumUp(start);
      }
    }
    pruneFine.run(atSeconds - keptFineSeconds);
    for (const prune of pruneCoarse)
      if (atSeconds % coarseSeconds < fineSeconds) prune.run(atSeconds - keptCoarseSeconds);
  });

  return {
    /** One moment. What is older than a day goes, summed up by five minutes, which go after a month. */
    record: (atSeconds: number, sample: Sample) => record(atSeconds, sample),
    samples: samplesOf,
    sums: (name: MetricName, from: number, to: number): Coarse[] => coarse.all(name, from, to),
    /** When the first and the last sample were taken. */
    reach: () => {
      const { first, last } = edges.get() ?? { first: null, last: null };
      // Five minutes begin before the first sample that is in them.
      const summed = firstCoarse.get() ?? Infinity;
      const isWithin = first !== null && first - summed < coarseSeconds;
      return { first: isWithin ? first : Math.min(first ?? Infinity, summed), last: last ?? undefined };
    },
    /** Puts in a past: for tests. */
    import: database.transaction((name: MetricName, rows: readonly Coarse[]) => {
      for (const row of rows) insertCoarse.run({ metric: name, ...row });
    }),
    addEvent(event: Omit<Event, 'id'>): void {
      insertEvent.run(event.atSeconds, event.kind, event.subject, event.detail, event.seconds);
      pruneEvents.run(event.atSeconds - eventSeconds, mostEvents);
    },
    /** Newest first, before one at this time with this number. */
    events: (
      since: number,
      limit: number,
      [atSeconds, id]: readonly [number, number] = [Number.MAX_SAFE_INTEGER, 0],
    ): Event[] => events.all(since, atSeconds, id, limit),
    countEvents: (kind: EventKind, subject: string, since: number): number =>
      countEvents.get(kind, subject, since) ?? 0,
    seen: (name: string): string | undefined => seen.get(name),
    see: (name: string, value: string) => void see.run(name, value),
    probe: () => void edges.get(),
    [Symbol.dispose]: () => void database.close(),
  };
}

const finite = (value: number | undefined) => (value === undefined || !Number.isFinite(value) ? null : value);
