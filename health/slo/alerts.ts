/** Alerts: what was found is opened once, told, reminded of, and resolved when it has been well for a while. */
import type { Log } from '#runtime/account/log.ts';

import type { AlertStore } from './alert-store.ts';
import { dayMs, type Severity } from './burn.ts';
import type { Evidence } from './evidence.ts';
import type { Finding, Found, Kind } from './findings.ts';

export interface Alert {
  readonly id: number;
  readonly key: string;
  readonly kind: Kind;
  readonly severity: Severity;
  readonly subject: string;
  readonly summary: string;
  readonly sinceMs: number;
  readonly openedMs: number;
  readonly resolvedMs: number | null;
  /** When it was told last; `null` as long as a maintenance window keeps it quiet. */
  readonly toldMs: number | null;
  readonly evidence: readonly Evidence[];
}

export type Event = 'opened' | 'worse' | 'reminder' | 'resolved';

/** Alerts that one look brought the same news of. */
export interface News {
  readonly event: Event;
  readonly alerts: readonly Alert[];
}

/** For how long something must be so before it is an alert, and be well again before that ends. */
const patienceMs: Readonly<Record<Kind, { readonly open: number; readonly clear: number }>> = {
  // A process that fell is back sooner, most often.
  down: { open: 10_000, clear: 60_000 },
  degraded: { open: 120_000, clear: 60_000 },
  flapping: { open: 0, clear: 600_000 },
  // The short window of a rule clears soon after an outage that comes back.
  burn: { open: 0, clear: 300_000 },
  // A new fleet makes its first one soon.
  backup: { open: 600_000, clear: 60_000 },
  audit: { open: 0, clear: 60_000 },
  disk: { open: 60_000, clear: 300_000 },
  file: { open: 0, clear: 0 },
};

/** When much opens at once, the host has other things to do than to say why. */
const mostLookedInto = 6;

const keptMs = 90 * dayMs;
const mostKept = 10_000;

interface Options {
  readonly store: AlertStore;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  /** Least time between two reminders of one alert, in milliseconds; 0 for none. */
  readonly remindMs: number;
  /** Whether a maintenance window keeps alerts about these processes quiet. */
  readonly isQuiet: (processes: readonly string[], nowMs: number) => boolean;
  /** What is known about processes that are not well. */
  readonly evidenceOf: (processes: readonly string[]) => Promise<readonly Evidence[]>;
  /** Takes the changes that keep a message, to be written together with the alert that it is about. */
  readonly tell: (news: News, nowMs: number) => readonly (() => void)[];
}

interface Row extends Omit<Alert, 'evidence'> {
  readonly evidence: string;
}

const columns = `id, key, kind, severity, subject, summary, since_ms AS sinceMs, opened_ms AS openedMs, resolved_ms AS resolvedMs,
  told_ms AS toldMs, evidence`;

const alertOf = ({ evidence, ...row }: Row): Alert => ({
  ...row,
  evidence: JSON.parse(evidence) as readonly Evidence[],
});

export class Alerts {
  readonly #options: Options;
  readonly #open = new Map<string, Alert>();
  /** When a key was found first in a row, and when it was found last. */
  readonly #foundMs = new Map<string, { readonly firstMs: number; lastMs: number }>();
  #lastId: number;
  #prunedMs = 0;

  constructor(options: Options, nowMs: number) {
    this.#options = options;
    const { database } = options.store;
    const open = database.prepare<[], Row>(`SELECT ${columns} FROM alerts WHERE resolved_ms IS NULL`).all();
    for (const row of open) {
      this.#open.set(row.key, alertOf(row));
      // Nothing is known yet of how it is now: it gets the time that any alert has to clear.
      this.#foundMs.set(row.key, { firstMs: row.sinceMs, lastMs: nowMs });
    }
    this.#lastId = database.prepare<[], number>('SELECT ifnull(max(id), 0) FROM alerts').pluck().get() ?? 0;
  }

  /** Newest first; the most severe of those first. */
  open(): readonly Alert[] {
    return [...this.#open.values()].toSorted(
      (one, other) => one.severity.localeCompare(other.severity) || other.openedMs - one.openedMs,
    );
  }

  /** Resolved ones, newest first. */
  history(sinceMs: number, limit: number): readonly Alert[] {
    return this.#options.store.database
      .prepare<[number, number], Row>(
        `SELECT ${columns} FROM alerts WHERE resolved_ms >= ? ORDER BY resolved_ms DESC, id DESC LIMIT ?`,
      )
      .all(sinceMs, limit)
      .map(alertOf);
  }

  /** Looks at what was found, and makes of it what is new. */
  async take({ findings, unknown }: Found, nowMs: number): Promise<void> {
    const due = this.#due(findings, nowMs);
    const keys = new Set([...findings.map(({ key }) => key), ...unknown]);
    for (const key of unknown) this.#touch(key, nowMs);
    const [worse, reminder, resolved]: [Alert[], Alert[], Alert[]] = [[], [], []];
    const opening: {
      readonly finding: Finding;
      readonly open: Alert | undefined;
      readonly isQuiet: boolean;
    }[] = [];
    for (const finding of due) {
      const isQuiet = this.#options.isQuiet(finding.processes, nowMs);
      const { severity, summary } = finding;
      const known = this.#open.get(finding.key);
      // Whoever looks reads how it is now; a message is not sent for other words.
      const open = known && { ...known, summary };
      if (open) this.#open.set(open.key, open);
      // Also where a window has ended, and it is so still.
      if (!open || (open.toldMs === null && !isQuiet)) opening.push({ finding, open, isQuiet });
      else if (open.toldMs === null) continue;
      else if (open.severity === 'ticket' && severity === 'page' && !isQuiet)
        worse.push({ ...open, severity, summary, toldMs: nowMs });
      else if (this.#isReminderDue(open, isQuiet, nowMs)) reminder.push({ ...open, summary, toldMs: nowMs });
    }
    const opened = await Promise.all(
      opening.map(async ({ finding, open, isQuiet }, index) => {
        const evidence = index < mostLookedInto ? await this.#options.evidenceOf(finding.processes) : [];
        const { severity, summary } = finding;
        const toldMs = isQuiet ? null : nowMs;
        return open
          ? { ...open, severity, summary, toldMs, evidence }
          : { ...this.#begun(finding, nowMs), toldMs, evidence };
      }),
    );
    for (const alert of this.#open.values()) {
      // After a clock was set back, nothing was found in the future.
      const lastMs = Math.min(nowMs, this.#foundMs.get(alert.key)?.lastMs ?? 0);
      this.#foundMs.set(alert.key, { firstMs: alert.sinceMs, lastMs });
      const isWell = !keys.has(alert.key) && nowMs - lastMs >= patienceMs[alert.kind].clear;
      if (isWell) resolved.push({ ...alert, resolvedMs: nowMs });
    }
    for (const [event, alerts] of Object.entries({ opened, worse, reminder, resolved })) {
      if (alerts.length > 0) this.#keep(event as Event, alerts, nowMs);
    }
    // What the disk did not take is tried again.
    this.#options.store.write();
    this.#prune(nowMs);
  }

  /** What was found for long enough. */
  #due(findings: readonly Finding[], nowMs: number): readonly Finding[] {
    return findings.filter((finding) => {
      const { key, kind, sinceMs } = finding;
      const last = this.#foundMs.get(key);
      // What was well for a while begins anew; a clock that was set back does not.
      const isNew = !last || nowMs - last.lastMs > patienceMs[kind].clear;
      const firstMs = isNew ? (sinceMs ?? nowMs) : Math.min(last.firstMs, nowMs);
      this.#foundMs.set(key, { firstMs, lastMs: nowMs });
      return this.#open.has(key) || nowMs - firstMs >= patienceMs[kind].open;
    });
  }

  #touch(key: string, nowMs: number): void {
    const found = this.#foundMs.get(key);
    if (found && this.#open.has(key)) found.lastMs = nowMs;
  }

  #begun(finding: Finding, nowMs: number): Omit<Alert, 'toldMs' | 'evidence'> {
    const { key, kind, severity, subject, summary } = finding;
    const sinceMs = this.#foundMs.get(key)?.firstMs ?? nowMs;
    const id = (this.#lastId += 1);
    return { id, key, kind, severity, subject, summary, sinceMs, openedMs: nowMs, resolvedMs: null };
  }

  #isReminderDue({ toldMs }: Alert, isQuiet: boolean, nowMs: number): boolean {
    const { remindMs } = this.#options;
    return remindMs > 0 && !isQuiet && toldMs !== null && nowMs - toldMs >= remindMs;
  }

  #keep(event: Event, alerts: readonly Alert[], nowMs: number): void {
    const { store, log, tell } = this.#options;
    for (const alert of alerts) {
      if (event === 'resolved') {
        this.#open.delete(alert.key);
        this.#foundMs.delete(alert.key);
      } else this.#open.set(alert.key, alert);
      const { id, severity, subject, summary, sinceMs, toldMs } = alert;
      const level = event === 'resolved' ? 'info' : severity === 'page' ? 'error' : 'warn';
      log[level](`alert_${event}`, {
        alert: id,
        severity,
        subject,
        reason: summary,
        since: new Date(sinceMs).toISOString(),
        ...(toldMs === null && { quiet: 'maintenance' }),
      });
    }
    // Who was not told that it began is not told that it ended.
    const told = alerts.filter(({ toldMs }) => toldMs !== null);
    store.write(
      ...alerts.map((alert) => this.#upsert(alert)),
      ...(told.length > 0 ? tell({ event, alerts: told }, nowMs) : []),
    );
  }

  #upsert(alert: Alert): () => void {
    const put = this.#options.store.database.prepare(
      `INSERT INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
         severity = excluded.severity, summary = excluded.summary, resolved_ms = excluded.resolved_ms,
         told_ms = excluded.told_ms, evidence = excluded.evidence`,
    );
    const { id, key, kind, severity, subject, summary, sinceMs, openedMs, resolvedMs, toldMs, evidence } =
      alert;
    return () =>
      void put.run(
        id,
        key,
        kind,
        severity,
        subject,
        summary,
        sinceMs,
        openedMs,
        resolvedMs,
        toldMs,
        JSON.stringify(evidence),
      );
  }

  /** By age and number, once an hour. */
  #prune(nowMs: number): void {
    if (Math.abs(nowMs - this.#prunedMs) < 3_600_000) return;
    this.#prunedMs = nowMs;
    const { store } = this.#options;
    const remove = store.database.prepare(
      `DELETE FROM alerts WHERE resolved_ms < ? OR (resolved_ms IS NOT NULL AND id <= ?)`,
    );
    store.write(() => void remove.run(nowMs - keptMs, this.#lastId - mostKept));
  }
}
