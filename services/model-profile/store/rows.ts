/** Decisions and their later outcomes, one by one. */
import type { Database } from '#runtime/database.ts';

import type { NewDecision } from '../decision.ts';
import type { StoredDecision } from './reading.ts';

type DecisionRow = Omit<StoredDecision, 'previous'>;

interface EventRow {
  readonly outcome: number;
  readonly source: number;
  readonly error_kind: number | null;
  readonly evaluator: string | null;
}

/** Where a decision belongs. */
export interface Place {
  readonly id: number;
  readonly model: number;
  readonly taskType: number;
  /** The one before it of its model and token. */
  readonly previous: number;
  readonly owner: number;
  readonly atMs: number;
}

export interface NewEvent {
  readonly id: number;
  readonly atMs: number;
  readonly owner: number;
  readonly outcome: number;
  readonly source: number;
  readonly errorKind: number | null;
  readonly evaluator: string | null;
  readonly counts: boolean;
}

export function openRows(database: Database) {
  const insertDecision = database.prepare(
    'INSERT INTO decision VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );
  /** Most decisions say no more; each value that is bound takes its time. */
  const insertShort = database.prepare(
    'INSERT INTO decision (id, uid, model, task_type, previous, owner, at_ms, confidence, outcome, source, latency_ms, cost_usd) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const decisionBy = database.prepare<[number], DecisionRow>('SELECT * FROM decision WHERE id = ?');
  const firstEvent = database.prepare<
    [number],
    { outcome_before: number | null; source_before: number | null; error_kind_before: number | null }
  >(
    'SELECT outcome_before, source_before, error_kind_before FROM outcome_event WHERE decision = ? AND counts = 1 ORDER BY id LIMIT 1',
  );
  const lastEventOf = database.prepare<[number, number], EventRow>(
    'SELECT outcome, source, error_kind, evaluator FROM outcome_event WHERE decision = ? AND source = ? ORDER BY id DESC LIMIT 1',
  );
  const decisionOfEvent = database
    .prepare<[number], string>(
      'SELECT uid FROM outcome_event JOIN decision ON decision.id = decision WHERE outcome_event.id = ?',
    )
    .pluck();
  const insertEvent = database.prepare(
    'INSERT INTO outcome_event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
  );
  const setOutcome = database.prepare(
    'UPDATE decision SET outcome = ?, source = ?, error_kind = ? WHERE id = ?',
  );

  return {
    insert(decision: NewDecision, { id, model, taskType, previous, owner, atMs }: Place): void {
      const { uid, confidence, outcome, source, errorKind, latencyMs, costUsd } = decision;
      const { inputTokens, outputTokens, reasoningTokens, item, cluster, more } = decision;
      const place = [id, uid, model, taskType, previous, owner, atMs, confidence, outcome, source];
      if ((errorKind ?? inputTokens ?? outputTokens ?? reasoningTokens ?? item ?? cluster ?? more) === null) {
        insertShort.run(...place, latencyMs, costUsd);
        return;
      }
      const rest = [inputTokens, outputTokens, reasoningTokens, item, cluster, more];
      insertDecision.run(...place, errorKind, latencyMs, costUsd, ...rest);
    },

    decision: (id: number) => decisionBy.get(id),
    /** The uid of the decision whose later outcome this is. */
    decisionOfEvent: (id: number) => decisionOfEvent.get(id),

    /** Whether it is what came with this uid, whatever has been learned of its outcome since. */
    isSame(row: DecisionRow, decision: NewDecision, model: number, taskType: number | undefined): boolean {
      const original = firstEvent.get(row.id);
      const outcome = original ? original.outcome_before : row.outcome;
      const source = original ? original.source_before : row.source;
      const errorKind = original ? original.error_kind_before : row.error_kind;
      return (
        row.model === model &&
        row.task_type === taskType &&
        (decision.atMs === undefined || decision.atMs === row.at_ms) &&
        row.confidence === decision.confidence &&
        outcome === decision.outcome &&
        source === decision.source &&
        errorKind === decision.errorKind &&
        row.latency_ms === decision.latencyMs &&
        row.cost_usd === decision.costUsd &&
        row.input_tokens === decision.inputTokens &&
        row.output_tokens === decision.outputTokens &&
        row.reasoning_tokens === decision.reasoningTokens &&
        row.item === decision.item &&
        row.cluster === decision.cluster &&
        row.more === decision.more
      );
    },

    /** The last word of a source about a decision. */
    lastWord: (row: DecisionRow, source: number): EventRow | undefined =>
      lastEventOf.get(row.id, source) ??
      (row.source === source && row.outcome !== null
        ? { outcome: row.outcome, source, error_kind: row.error_kind, evaluator: evaluatorIn(row.more) }
        : undefined),

    /** With what was known before. */
    addEvent(row: DecisionRow, event: NewEvent): void {
      const { id, atMs, owner, outcome, source, errorKind, evaluator, counts } = event;
      const said = [id, row.id, atMs, owner, outcome, source, errorKind, evaluator, counts ? 1 : 0];
      insertEvent.run(...said, row.outcome, row.source, row.error_kind);
    },
    setOutcome: (id: number, outcome: number, source: number, errorKind: number | null) =>
      setOutcome.run(outcome, source, errorKind, id),
  };
}

function evaluatorIn(more: string | null): string | null {
  return more === null ? null : ((JSON.parse(more) as { evaluator?: string }).evaluator ?? null);
}
