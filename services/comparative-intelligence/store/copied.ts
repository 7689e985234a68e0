/** The copy of what model-profile knows, in step with its changes. */
import type { Database } from '#runtime/database.ts';

import { kindOf, type Kind } from '../subject.ts';
import type { Names } from './names.ts';
import { newestOf } from './newest.ts';

/** A decision as model-profile tells it. */
export interface CopiedDecision {
  readonly uid: string;
  /** Who recorded it, by its number there. */
  readonly token: number;
  readonly subject: string;
  readonly taskType: string;
  readonly item: string | null;
  readonly cluster: string | null;
  readonly outcome: number | null;
  /** Its place in `sources`. */
  readonly source: number | null;
  readonly confidence: number | null;
  readonly costUsd: number | null;
  readonly latencyMs: number | null;
  readonly propensity: number | null;
  readonly atMs: number;
}

/** One change of model-profile, and what it is known by: after a restore there, its number may belong to another. */
export interface Mark {
  readonly change: number;
  readonly identity: number;
}

export interface CopyPage {
  readonly kind: Kind;
  readonly decisions: readonly CopiedDecision[];
  /** Of the last of them. */
  readonly newest?: Mark | undefined;
  /** The last change that is in it: the next page begins there. */
  readonly change: number;
  /** Whether nothing is left to be copied; then the copy is in step as of `atMs`. */
  readonly isComplete: boolean;
  readonly atMs: number;
}

/** @param most decisions of each token that are kept; its oldest go. */
export function openCopied(database: Database, names: Names, most: number) {
  const copyDecision = database.prepare(
    'INSERT INTO decision VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uid) DO UPDATE SET outcome = excluded.outcome, source = excluded.source, confidence = excluded.confidence, cost_usd = excluded.cost_usd, latency_ms = excluded.latency_ms, propensity = excluded.propensity',
  );
  const isThere = database.prepare<[string], number>('SELECT 1 FROM decision WHERE uid = ?').pluck();
  const setSync = database.prepare(
    'INSERT INTO sync VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
  );
  const syncOf = database.prepare<[string], number>('SELECT value FROM sync WHERE name = ?').pluck();
  const startAnew = [database.prepare('DELETE FROM decision'), database.prepare('DELETE FROM sync')];
  const kept = newestOf(database, { table: 'decision', column: 'token', most });

  return {
    /** To be called in a transaction. */
    copy({ kind, decisions, newest, change, isComplete, atMs }: CopyPage): void {
      const naming = names.naming('');
      try {
        for (const decision of decisions) {
          const isNew = isThere.get(decision.uid) === undefined;
          copyDecision.run(
            decision.uid,
            naming.subject(decision.subject, kindOf(decision.subject)),
            naming.taskType(decision.taskType),
            decision.item,
            decision.cluster,
            decision.outcome,
            decision.source,
            decision.confidence,
            decision.costUsd,
            decision.latencyMs,
            decision.propensity,
            decision.atMs,
            decision.token,
          );
          if (isNew) kept.added(decision.token);
        }
        naming.store();
      } finally {
        naming.release();
      }
      setSync.run(`change:${kind}`, change);
      if (newest && newest.change > (syncOf.get('mark:change') ?? 0)) {
        setSync.run('mark:change', newest.change);
        setSync.run('mark:identity', newest.identity);
      }
      if (isComplete) setSync.run(`in_step_ms:${kind}`, atMs);
    },

    /** Forgets all of it, so that it is made from the start. To be called in a transaction. */
    forget(): void {
      for (const statement of startAnew) statement.run();
      kept.forget();
    },
    undone: () => kept.forget(),
  };
}
