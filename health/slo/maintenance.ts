/** Maintenance windows: begun by hand, or by a file that says when they come back. They end by themselves. */
import { join } from 'node:path';

import { Cron } from 'croner';
import { z } from 'zod';

import { allProcesses } from '#config/catalogue.ts';
import { ConfigError } from '#runtime/errors.ts';

import type { AlertStore } from './alert-store.ts';
import { dayMs } from './burn.ts';
import type { Span } from './ledger.ts';
import { readYaml } from './yaml-file.ts';

/** Of windows that come back; in the fleet's data folder, beside `slo/`. */
export const maintenanceFile = (dataRoot: string) => join(dataRoot, 'maintenance.yaml');

const minuteMs = 60_000;
export const longestWindowMs = 14 * dayMs;
/** Ended ones are shown for as long as they may count in a budget, and somewhat longer. */
const keptMs = 90 * dayMs;
/** Occurrences of one recurring window that are caught up with after a time in which health was off. */
const mostCaughtUp = 1_000;

const names = allProcesses.map((entry) => entry.name);

export interface MaintenanceWindow extends Span {
  readonly id: number;
  /** `null` for all. */
  readonly processes: readonly string[] | null;
  readonly reason: string;
  /** The token that began it; empty for one that comes back by itself. */
  readonly startedBy: string;
  readonly recurring: string | null;
}

const recurringSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be up to 63 small letters, digits and hyphens'),
  processes: z.union(
    [
      z.literal('all'),
      z.array(z.enum(names, `must be one of ${names.join(', ')}`)).min(1, 'must name a process'),
    ],
    `must be all, or a list of ${names.join(', ')}`,
  ),
  schedule: z.string('must be a schedule in quotation marks, such as "0 3 * * sun"').refine(isSchedule, {
    message: 'must be a schedule of five fields (minute, hour, day, month, weekday), such as "0 3 * * sun"',
  }),
  timezone: z.string().refine(isTimeZone, 'must be a time zone, such as Europe/Berlin').optional(),
  minutes: z
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(longestWindowMs / minuteMs, `must be at most ${longestWindowMs / minuteMs}`),
  reason: z.string().min(1, 'must say why').max(500),
});
export type RecurringWindow = z.output<typeof recurringSchema>;

const fileSchema = z.strictObject({ windows: z.array(recurringSchema, 'must be a list of windows') });

function isSchedule(text: string): boolean {
  try {
    return text.trim().split(/\s+/).length === 5 && new Cron(text).nextRun() !== null;
  } catch {
    return false;
  }
}

function isTimeZone(text: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: text }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

/** None where there is no file. @throws ConfigError that names file, line and field. */
export function readRecurring(file: string): readonly RecurringWindow[] {
  const windows = readYaml(file, fileSchema).flatMap((document) => document.windows);
  for (const [name, twins] of Map.groupBy(windows, (window) => window.name))
    if (twins.length > 1) throw new ConfigError(`${file}, windows: ${name} stands there twice: rename one.`);
  return windows;
}

/** When a window begins in a span, in order. Pure; the time zone is the host's unless the window has one. */
export function beginningsOf(
  { schedule, timezone }: Pick<RecurringWindow, 'schedule' | 'timezone'>,
  { fromMs, toMs }: Span,
): readonly number[] {
  const cron = new Cron(schedule, timezone === undefined ? {} : { timezone });
  const found: number[] = [];
  // `nextRun` is later than what it is given.
  let next = cron.nextRun(new Date(fromMs - 1_000));
  while (next !== null && next.getTime() < toMs && found.length < mostCaughtUp) {
    if (next.getTime() >= fromMs) found.push(next.getTime());
    next = cron.nextRun(next);
  }
  return found;
}

interface Row {
  readonly id: number;
  readonly processes: string | null;
  readonly fromMs: number;
  readonly toMs: number;
  readonly reason: string;
  readonly startedBy: string;
  readonly recurring: string | null;
}

export class Maintenance {
  readonly #store: AlertStore;
  #windows: MaintenanceWindow[];
  #lastId: number;
  #plannedMs: number | undefined;

  constructor(store: AlertStore) {
    this.#store = store;
    this.#windows = store.database
      .prepare<[], Row>(
        `SELECT id, processes, from_ms AS fromMs, until_ms AS toMs, reason, started_by AS startedBy, recurring
         FROM maintenance ORDER BY from_ms, id`,
      )
      .all()
      .map(({ processes, ...row }) => ({
        ...row,
        processes: processes === null ? null : (JSON.parse(processes) as string[]),
      }));
    this.#lastId = Math.max(0, ...this.#windows.map(({ id }) => id));
  }

  /** Begins a window now. */
  start(
    window: Pick<MaintenanceWindow, 'processes' | 'reason' | 'startedBy' | 'toMs'>,
    nowMs: number,
  ): MaintenanceWindow {
    return this.#add({ ...window, fromMs: nowMs, recurring: null });
  }

  #add(window: Omit<MaintenanceWindow, 'id'>): MaintenanceWindow {
    const added = { ...window, id: (this.#lastId += 1) };
    this.#windows.push(added);
    const { id, processes, fromMs, toMs, reason, startedBy, recurring } = added;
    const insert = this.#store.database.prepare('INSERT INTO maintenance VALUES (?, ?, ?, ?, ?, ?, ?)');
    this.#store.write(() => {
      insert.run(id, processes && JSON.stringify(processes), fromMs, toMs, reason, startedBy, recurring);
    });
    return added;
  }

  /** Ends windows that are open: the one with this number, or all. @returns those that it ended. */
  end(id: number | undefined, nowMs: number): readonly MaintenanceWindow[] {
    const ended = this.at(nowMs).filter((window) => id === undefined || window.id === id);
    const update = this.#store.database.prepare('UPDATE maintenance SET until_ms = ? WHERE id = ?');
    this.#windows = this.#windows.map((window) =>
      ended.includes(window) ? { ...window, toMs: nowMs } : window,
    );
    this.#store.write(...ended.map((window) => () => void update.run(nowMs, window.id)));
    return ended.map((window) => ({ ...window, toMs: nowMs }));
  }

  /** Begins those of the file that are due; those that came while health was off are written down too. */
  plan(recurring: readonly RecurringWindow[], nowMs: number): void {
    const sinceMs = Math.min(this.#plannedMs ?? nowMs - dayMs, nowMs);
    for (const { name, processes, minutes, reason, ...when } of recurring) {
      // One that began before health did may still be open.
      const fromMs = this.#plannedMs === undefined ? Math.min(sinceMs, nowMs - minutes * minuteMs) : sinceMs;
      for (const beginMs of beginningsOf(when, { fromMs, toMs: nowMs + 1 })) {
        if (this.#windows.some((one) => one.recurring === name && one.fromMs === beginMs)) continue;
        this.#add({
          processes: processes === 'all' ? null : processes,
          fromMs: beginMs,
          toMs: beginMs + minutes * minuteMs,
          reason,
          startedBy: '',
          recurring: name,
        });
      }
    }
    this.#plannedMs = nowMs;
    if (this.#windows.some(({ toMs }) => toMs < nowMs - keptMs)) {
      this.#windows = this.#windows.filter(({ toMs }) => toMs >= nowMs - keptMs);
      const remove = this.#store.database.prepare('DELETE FROM maintenance WHERE until_ms < ?');
      this.#store.write(() => void remove.run(nowMs - keptMs));
    }
  }

  /** Those that are open at an instant. */
  at(nowMs: number): readonly MaintenanceWindow[] {
    return this.#windows.filter(({ fromMs, toMs }) => fromMs <= nowMs && nowMs < toMs);
  }

  /** Newest first. */
  history(sinceMs: number): readonly MaintenanceWindow[] {
    return this.#windows.filter(({ toMs }) => toMs >= sinceMs).toReversed();
  }

  /** Of a process, in a span. */
  spans(process: string, span: Span): readonly Span[] {
    return this.#windows.filter(
      ({ processes, fromMs, toMs }) =>
        fromMs < span.toMs && toMs > span.fromMs && (processes === null || processes.includes(process)),
    );
  }

  /** Whether all of these processes are in maintenance; what is of none of them is when all are. */
  covers(processes: readonly string[], nowMs: number): boolean {
    const open = this.at(nowMs);
    if (processes.length === 0) return open.some((window) => window.processes === null);
    return processes.every((process) => open.some((window) => window.processes?.includes(process) ?? true));
  }
}
