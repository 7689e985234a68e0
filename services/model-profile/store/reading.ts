/** What is read: sums for figures, decisions one by one, changes in their order. Long walks are steps that yield. */
import { transactionsOf, type Database, type Transactions } from '#runtime/database.ts';
import { ToolError } from '#runtime/errors.ts';
import type { Steps } from '#runtime/turns.ts';

import { fullKey, unknownModel, type Kind } from '../subject.ts';
import { decodeCell, type Cell } from './cell.ts';

export interface ModelRow {
  readonly id: number;
  readonly key: string;
  readonly kind: Kind;
  readonly name: string;
  readonly version: string | null;
  readonly effort: string | null;
  readonly prompt_hash: string | null;
  readonly note: string | null;
  readonly owner: string;
  readonly registered_ms: number;
  readonly decisions: number;
  readonly monitors: Buffer;
}

export interface StoredDecision {
  readonly id: number;
  readonly uid: string;
  readonly model: number;
  readonly task_type: number;
  readonly previous: number;
  readonly owner: number;
  readonly at_ms: number;
  readonly confidence: number | null;
  readonly outcome: number | null;
  readonly source: number | null;
  readonly error_kind: number | null;
  readonly latency_ms: number | null;
  readonly cost_usd: number | null;
  readonly input_tokens: number | null;
  readonly output_tokens: number | null;
  readonly reasoning_tokens: number | null;
  readonly item: string | null;
  readonly cluster: string | null;
  readonly more: string | null;
}

/** A change: a decision that came, or a later outcome of one, with the decision as it is now. */
export interface Change extends StoredDecision {
  readonly change: number;
  readonly event_outcome: number | null;
  readonly event_source: number | null;
  readonly event_counts: number | null;
  readonly event_evaluator: string | null;
  readonly event_ms: number | null;
}

export interface CellFilter {
  readonly model: number;
  readonly fromDay: number;
  readonly toDay: number;
  readonly taskType?: number | undefined;
}

export interface DriftEvent {
  readonly metric: number;
  readonly change: number;
  readonly at_ms: number;
  readonly direction: 'up' | 'down';
  readonly baseline: number;
  readonly deviation: number;
}

const cellsPerStep = 8;
const rowsPerStep = 32;

export type Reading = ReturnType<typeof readingFrom>;

export function readingFrom(database: Database) {
  const { read }: Pick<Transactions, 'read'> = transactionsOf(database);
  const counter = database.prepare<[string], number>('SELECT value FROM counter WHERE name = ?').pluck();
  const modelBy = database.prepare<[string], ModelRow>('SELECT * FROM model WHERE key = ?');
  const modelById = database.prepare<[number], ModelRow>('SELECT * FROM model WHERE id = ?');
  const modelsAfter = database.prepare<[string, string, number], ModelRow>(
    'SELECT * FROM model WHERE kind = ? AND key > ? ORDER BY key LIMIT ?',
  );
  const standing = database.prepare<
    [number, string, string, number],
    Pick<ModelRow, 'id' | 'key' | 'decisions'> & { readonly recent: number }
  >(
    'SELECT id, key, decisions, EXISTS (SELECT 1 FROM cell WHERE model = model.id AND day >= ?) AS recent FROM model WHERE key > ? AND key < ? ORDER BY key LIMIT ?',
  );
  const alike = database
    .prepare<[string, string], string>(
      'SELECT key FROM model WHERE key >= ? AND key < ? ORDER BY key LIMIT 5',
    )
    .pluck();
  const taskTypes = database.prepare<[], { id: number; name: string }>('SELECT * FROM task_type');
  const taskTypeBy = database.prepare<[string], number>('SELECT id FROM task_type WHERE name = ?').pluck();
  const cellsAfter = database.prepare<
    [number, number, number, number, number],
    { day: number; task_type: number; sums: Buffer }
  >(
    'SELECT day, task_type, sums FROM cell WHERE model = ? AND (day, task_type) > (?, ?) AND day <= ? ORDER BY day, task_type LIMIT ?',
  );
  const decisionBy = database.prepare<[number], StoredDecision>('SELECT * FROM decision WHERE id = ?');
  const strandsOf = database.prepare<[number], number>('SELECT last FROM strand WHERE model = ?').pluck();
  const decisionsDown = database.prepare<[number, number], StoredDecision>(
    'SELECT * FROM decision WHERE id <= ? ORDER BY id DESC LIMIT ?',
  );
  const decisionsAfter = database.prepare<[number, number], Change>(
    'SELECT decision.*, id AS change, NULL AS event_outcome, NULL AS event_source, NULL AS event_counts, NULL AS event_evaluator, NULL AS event_ms FROM decision WHERE id > ? ORDER BY id LIMIT ?',
  );
  const eventsAfter = database.prepare<[number, number, number], Change>(
    'SELECT d.*, e.id AS change, e.outcome AS event_outcome, e.source AS event_source, e.counts AS event_counts, e.evaluator AS event_evaluator, e.at_ms AS event_ms FROM outcome_event e JOIN decision d ON d.id = e.decision WHERE e.id > ? AND e.id <= ? ORDER BY e.id LIMIT ?',
  );
  const driftOf = database.prepare<[number, number], DriftEvent>(
    'SELECT * FROM drift_event WHERE model = ? AND metric = ? ORDER BY id DESC LIMIT 20',
  );
  const counts = database.prepare<[], { models: number; task_types: number }>(
    'SELECT (SELECT count(*) FROM model) AS models, (SELECT count(*) FROM task_type) AS task_types',
  );

  /** @throws ToolError not_found. */
  function model(given: string): ModelRow {
    const key = fullKey(given);
    const row = modelBy.get(key);
    if (row) return row;
    const stem = key.split(/[@+#]/, 1)[0] ?? key;
    throw unknownModel(given, alike.all(stem, `${stem}\u{10FFFF}`));
  }

  return {
    read,
    model,
    modelById: (id: number) => modelById.get(id),
    models: (kind: Kind, after: string, limit: number) => modelsAfter.all(kind, after, limit),
    /** Those of a kind with the most decisions, of whom some are not older than a day; the busiest first. */
    *busiest(
      kind: Kind,
      fromDay: number,
      limit: number,
    ): Steps<Pick<ModelRow, 'id' | 'key' | 'decisions'>[]> {
      let best: Pick<ModelRow, 'id' | 'key' | 'decisions'>[] = [];
      let after = `${kind}:`;
      for (;;) {
        const rows = standing.all(fromDay, after, `${kind};`, rowsPerStep);
        best = [...best, ...rows.filter(({ recent }) => recent === 1)]
          .toSorted((one, other) => other.decisions - one.decisions)
          .slice(0, limit);
        const last = rows.at(-1);
        if (!last || rows.length < rowsPerStep) return best;
        after = last.key;
        yield;
      }
    },
    taskTypeNames: (): ReadonlyMap<number, string> =>
      new Map(taskTypes.all().map(({ id, name }) => [id, name])),

    /** @throws ToolError not_found. */
    taskType(name: string): number {
      const id = taskTypeBy.get(name.normalize('NFC'));
      if (id !== undefined) return id;
      throw new ToolError('not_found', `There is no task type ${JSON.stringify(name.slice(0, 200))}.`, {
        hint: 'get_profile with by: "task_type" names those that there are.',
      });
    },

    /** The number of the last change on disk. */
    change: () => counter.get('change') ?? 0,
    /** The last change that is no longer kept; others before it may be. */
    lastGone: () => counter.get('last_gone') ?? 0,
    counts: () => counts.get() ?? { models: 0, task_types: 0 },

    /** All sums that fit, one after the other. */
    *cells(filter: CellFilter, take: (cell: Cell, day: number, taskType: number) => void): Steps<void> {
      let [day, taskType] = [filter.fromDay, -1];
      for (;;) {
        const rows = cellsAfter.all(filter.model, day, taskType, filter.toDay, cellsPerStep);
        for (const row of rows) {
          if (filter.taskType === undefined || row.task_type === filter.taskType)
            take(decodeCell(row.sums), row.day, row.task_type);
        }
        const last = rows.at(-1);
        if (!last || rows.length < cellsPerStep) return;
        [day, taskType] = [last.day, last.task_type];
        yield;
      }
    },

    /** Where a walk through the decisions of a model begins: the newest of each token. */
    newestOf: (one: ModelRow): readonly number[] => strandsOf.all(one.id),

    /**
     * Decisions of a model, those that came last first, until `take` says that it has enough.
     *
     * @param from the next of each token. @returns the same of those that are left.
     */
    *decisions(from: readonly number[], take: (row: StoredDecision) => boolean): Steps<number[]> {
      const next = from.map((id) => decisionBy.get(id)).filter((row) => row !== undefined);
      for (let step = 1; next.length > 0; step += 1) {
        let at = 0;
        for (let other = 1; other < next.length; other += 1)
          if ((next[other] as StoredDecision).id > (next[at] as StoredDecision).id) at = other;
        const row = next[at] as StoredDecision;
        if (!take(row)) return next.map(({ id }) => id);
        // What a token has let go are the oldest of its own: one that is not there is the end of them.
        const before = decisionBy.get(row.previous);
        if (before) next[at] = before;
        else next.splice(at, 1);
        if (step % rowsPerStep === 0) yield;
      }
      return [];
    },

    /** The same of all models. */
    *newest([newest = 0]: readonly number[], take: (row: StoredDecision) => boolean): Steps<number[]> {
      let id = newest;
      for (;;) {
        const rows = decisionsDown.all(id, rowsPerStep);
        for (const row of rows) if (!take(row)) return [row.id];
        const last = rows.at(-1);
        if (!last || rows.length < rowsPerStep) return [];
        id = last.id - 1;
        yield;
      }
    },

    /** Changes after a number, in their order, at most so many. Some of the last may be there already when the next are asked for. */
    changes(after: number, limit: number): readonly Change[] {
      const decisions = decisionsAfter.all(after, limit);
      const to = decisions.length < limit ? Number.MAX_SAFE_INTEGER : (decisions.at(-1)?.change ?? after);
      const events = eventsAfter.all(after, to, limit);
      if (events.length === 0) return decisions;
      return [...decisions, ...events].toSorted((a, b) => a.change - b.change).slice(0, limit);
    },

    drift: (modelId: number, metric: number): readonly DriftEvent[] => driftOf.all(modelId, metric),
  };
}
