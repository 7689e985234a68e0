/** What has failed, grouped and counted, in a database of its own. The only SQL on it. Bounded by age, by count, and for each token. */
import { fileURLToPath } from 'node:url';

import { openDatabase, transactionsOf } from '#runtime/database.ts';
import { openQuotas, type Quota } from '#runtime/quotas.ts';

import type { Category, Rule, Severity } from './rules.ts';

/** What one failure has cost. */
export interface Cost {
  readonly lostAttempts: number;
  /** How long work went on before it failed. */
  readonly workedMs: number;
  readonly delayedMessages: number;
}

/** A failure as it is kept: classified, cleaned, masked. */
export interface Noted extends Cost {
  readonly owner: string;
  readonly agent: string;
  readonly rule: Rule;
  readonly sign: string;
  readonly fingerprint: string;
  readonly message: string;
  readonly pattern: string;
  readonly correlationId: string | undefined;
}

export interface Pattern {
  readonly id: number;
  readonly fingerprint: string;
  readonly kind: string;
  readonly category: Category;
  readonly severity: Severity;
  readonly sign: string;
  /** Masked. */
  readonly message: string;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly alertedMs: number | null;
}

/** One failure, as it was told. */
export interface Example {
  readonly atMs: number;
  readonly agent: string;
  readonly message: string;
  readonly correlationId: string | null;
}

/** Failures of one pattern and agent in ten minutes. */
export interface Slot extends Cost {
  readonly startMs: number;
  readonly pattern: number;
  readonly agent: string;
  readonly failures: number;
}

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
export const slotMs = 10 * minuteMs;

/** Reports look at 30 days, and at the 30 days before. */
const keptMs = { failures: 30 * dayMs, sums: 61 * dayMs };

export interface Bounds {
  /** Of each token: how many failures, and how many bytes of them. The oldest go. */
  readonly quota: Quota;
  readonly mostPatterns: number;
  readonly mostSlots: number;
  /** Of all tokens together. */
  readonly mostFailures: number;
}

export const defaultBounds: Bounds = {
  quota: { items: 10_000, bytes: 8 * 1024 * 1024 },
  mostPatterns: 1_000,
  mostSlots: 20_000,
  mostFailures: 200_000,
};

/** How many rows go at once to make room. */
const roomRows = 64;
const sweptRows = 500;
/** Takes well under a millisecond. */
const rowsPerRead = 200;

const patternColumns = `id, fingerprint, kind, category, severity, sign, message, first_ms AS firstMs, last_ms AS lastMs,
  alerted_ms AS alertedMs`;

export type History = ReturnType<typeof openHistory>;

export function openHistory(file: string, bounds: Bounds = defaultBounds) {
  const database = openDatabase(file, fileURLToPath(new URL('migrations', import.meta.url)));
  const transactions = transactionsOf(database);
  const quotas = openQuotas(database, bounds.quota, '');

  const putPattern = database.prepare<object, Pattern>(
    `INSERT INTO pattern (owner, fingerprint, kind, category, severity, sign, message, first_ms, last_ms)
     VALUES (:owner, :fingerprint, :kind, :category, :severity, :sign, :pattern, :nowMs, :nowMs)
     ON CONFLICT (owner, fingerprint) DO UPDATE SET last_ms = max(last_ms, excluded.last_ms), category = excluded.category,
       severity = excluded.severity
     RETURNING ${patternColumns}`,
  );
  const putFailure = database.prepare<object>(
    `INSERT INTO failure (pattern, owner, at_ms, agent, message, correlation_id)
     VALUES (:id, :owner, :nowMs, :agent, :message, :correlationId)`,
  );
  const putSlot = database.prepare<object>(
    `INSERT INTO slot VALUES (:owner, :startMs, :id, :agent, 1, :lostAttempts, :workedMs, :delayedMessages)
     ON CONFLICT DO UPDATE SET failures = failures + 1, lost_attempts = lost_attempts + excluded.lost_attempts,
       worked_ms = worked_ms + excluded.worked_ms, delayed_messages = delayed_messages + excluded.delayed_messages`,
  );
  const setAlerted = database.prepare<[number | null, number]>(
    'UPDATE pattern SET alerted_ms = ? WHERE id = ?',
  );
  const recent = database.prepare<
    [number, number, number],
    { readonly atMs: number; readonly agent: string }
  >('SELECT at_ms AS atMs, agent FROM failure WHERE pattern = ? AND at_ms > ? ORDER BY at_ms DESC LIMIT ?');
  const findPattern = database.prepare<[number], Pattern>(
    `SELECT ${patternColumns} FROM pattern WHERE id = ?`,
  );
  const readSlots = database.prepare<[string, number, number, number, number, string, number], Slot>(
    `SELECT start_ms AS startMs, pattern, agent, failures, lost_attempts AS lostAttempts, worked_ms AS workedMs,
       delayed_messages AS delayedMessages
     FROM slot WHERE owner = ? AND start_ms >= ? AND start_ms < ? AND (start_ms, pattern, agent) > (?, ?, ?)
     ORDER BY start_ms, pattern, agent LIMIT ?`,
  );
  const newest = database.prepare<[string, string, number], Example>(
    `SELECT at_ms AS atMs, agent, failure.message, correlation_id AS correlationId
     FROM pattern JOIN failure ON failure.pattern = pattern.id WHERE pattern.owner = ? AND fingerprint = ?
     ORDER BY at_ms DESC, failure.id DESC LIMIT ?`,
  );

  const kept = database.prepare<[string], Quota & { readonly patterns: number; readonly slots: number }>(
    'SELECT items, bytes, patterns, slots FROM kept WHERE owner = ?',
  );
  const total = database.prepare<[], number>('SELECT ifnull(sum(items), 0) FROM kept').pluck();
  const fullest = database.prepare<[], string>('SELECT owner FROM kept ORDER BY items DESC LIMIT 1').pluck();
  const dropFailures = database.prepare<[string, number]>(
    'DELETE FROM failure WHERE id IN (SELECT id FROM failure WHERE owner = ? ORDER BY id LIMIT ?)',
  );
  const dropPatterns = database.prepare<[string, number]>(
    'DELETE FROM pattern WHERE id IN (SELECT id FROM pattern WHERE owner = ? ORDER BY last_ms LIMIT ?)',
  );
  const dropSlots = database.prepare<[string, string, number]>(
    `DELETE FROM slot WHERE owner = ? AND (start_ms, pattern, agent) IN
       (SELECT start_ms, pattern, agent FROM slot WHERE owner = ? ORDER BY start_ms, pattern, agent LIMIT ?)`,
  );
  const aged = {
    failure: database.prepare<[number, number]>(
      'DELETE FROM failure WHERE id IN (SELECT id FROM failure WHERE at_ms < ? LIMIT ?)',
    ),
    slot: database.prepare<[number, number]>(
      `DELETE FROM slot WHERE (owner, start_ms, pattern, agent) IN
         (SELECT owner, start_ms, pattern, agent FROM slot WHERE start_ms < ? LIMIT ?)`,
    ),
    pattern: database.prepare<[number, number]>(
      'DELETE FROM pattern WHERE id IN (SELECT id FROM pattern WHERE last_ms < ? LIMIT ?)',
    ),
  };
  let dropped = 0;

  /** Makes room for what was added; ends also when nothing more can go. */
  function holdWithin(owner: string): void {
    while (makeRoom(owner) > 0);
    while ((total.get() ?? 0) > bounds.mostFailures && drop(fullest.get() ?? owner) > 0);
  }

  /** @returns how much has gone; 0 when the token is within its bounds. */
  function makeRoom(owner: string): number {
    const held = kept.get(owner);
    if (!held) return 0;
    const { quota, mostPatterns, mostSlots } = bounds;
    if (held.items > quota.items || held.bytes > quota.bytes) return drop(owner);
    if (held.slots > mostSlots) return dropSlots.run(owner, owner, roomRows).changes;
    if (held.patterns <= mostPatterns) return 0;
    const { changes } = dropPatterns.run(owner, roomRows);
    dropped += held.items - (kept.get(owner)?.items ?? 0);
    return changes;
  }

  function drop(owner: string): number {
    const { changes } = dropFailures.run(owner, roomRows);
    dropped += changes;
    return changes;
  }

  return {
    /** Changes that belong together; with `stage`, a power cut may take the last ones away. */
    write: transactions.write,
    stage: transactions.stage,
    read: transactions.read,
    probe: transactions.probe,

    /** @returns the pattern that it is of, as it is now. */
    note(noted: Noted, nowMs: number): Pattern {
      const { rule } = noted;
      const row = {
        ...noted,
        rule: null,
        kind: rule.name,
        category: rule.category,
        severity: rule.severity,
        correlationId: noted.correlationId ?? null,
        nowMs,
        startMs: Math.floor(nowMs / slotMs) * slotMs,
      };
      const pattern = putPattern.get(row) as Pattern;
      putFailure.run({ ...row, id: pattern.id });
      putSlot.run({ ...row, id: pattern.id });
      return pattern;
    },

    holdWithin,

    /** Failures of a pattern after a time, the newest first. */
    recent: (pattern: number, sinceMs: number, most: number) => recent.all(pattern, sinceMs, most),
    /** Of one fingerprint, the newest first. */
    newest: (owner: string, fingerprint: string, most: number) => newest.all(owner, fingerprint, most),
    alerted: (pattern: number, atMs: number | null): void => void setAlerted.run(atMs, pattern),
    pattern: (id: number): Pattern | undefined => findPattern.get(id),

    /** What a token's slots hold from one time up to another, in the order of time and in steps. */
    *slots(owner: string, fromMs: number, toMs: number): Generator<readonly Slot[], void> {
      let after: readonly [number, number, string] = [fromMs, -1, ''];
      for (;;) {
        const rows = readSlots.all(owner, after[0], toMs, ...after, rowsPerRead);
        if (rows.length > 0) yield rows;
        const last = rows.at(-1);
        if (!last || rows.length < rowsPerRead) return;
        after = [last.startMs, last.pattern, last.agent];
      }
    },

    /** Lets go of what is too old, some at a time. @returns whether there is more. */
    sweep: (nowMs: number): boolean =>
      transactions.stage(() => {
        const failures = aged.failure.run(nowMs - keptMs.failures, sweptRows).changes;
        const slots = aged.slot.run(nowMs - keptMs.sums, sweptRows).changes;
        const patterns = aged.pattern.run(nowMs - keptMs.sums, sweptRows).changes;
        return Math.max(failures, slots, patterns) === sweptRows;
      }),

    /** How many failures each token keeps, and the bytes of them. */
    kept: () => quotas.kept(),
    /** Failures that left before their time, to make room, since the start. */
    dropped: () => dropped,
    [Symbol.dispose]: () => database.close(),
  };
}
