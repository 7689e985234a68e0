/** A stored decision as answers and exports show it. */
import { z } from 'zod';

import type { Change, StoredDecision } from './store/reading.ts';
import { errorKinds, sources } from './vocabulary.ts';

/** In the order of the columns of a CSV. */
const recordShape = {
  change: z.int().describe('Number of this change.'),
  kind: z
    .enum(['decision', 'outcome'])
    .describe('outcome: a later or revised one came; all fields are as of now.'),
  uid: z.string().describe('Of the decision.'),
  model: z.string().describe('Its key.'),
  task_type: z.string().describe('Kind of task.'),
  time: z.string().describe('When it was made.'),
  chosen: z.string().optional().describe('What was decided.'),
  confidence: z.number().optional().describe('As the model stated it.'),
  outcome: z.number().optional().describe('What counts now.'),
  source: z.string().optional().describe('Who judged it.'),
  evaluator: z.string().optional().describe('By what name.'),
  error_kind: z.string().optional().describe('What went wrong.'),
  cost_usd: z.number().optional().describe('Its price.'),
  latency_ms: z.number().optional().describe('Time it took.'),
  input_tokens: z.int().optional().describe('Tokens read.'),
  output_tokens: z.int().optional().describe('Tokens written.'),
  reasoning_tokens: z.int().optional().describe('Tokens of thinking.'),
  request_bytes: z.int().optional().describe('Bytes sent.'),
  response_bytes: z.int().optional().describe('Bytes received.'),
  item_id: z.string().optional().describe('The item.'),
  cluster_id: z.string().optional().describe('Its cluster.'),
  chain_id: z.string().optional().describe('Its chain of reasoning.'),
  step: z.int().optional().describe('Step of that chain.'),
  policy: z.string().optional().describe('What chose the model.'),
  propensity: z.number().optional().describe('With which chance.'),
  token: z.int().optional().describe('Of changes: a number for the token that recorded it.'),
  said: z
    .object({
      outcome: z.number().describe('The outcome that came.'),
      source: z.string().describe('Whose.'),
      evaluator: z.string().optional().describe('By what name.'),
      time: z.string().describe('When it came.'),
      counts: z.boolean().describe('false: a stronger source stood.'),
    })
    .optional()
    .describe('Of an outcome: what was said.'),
};

export const recordOut = z.object(recordShape);
export type DecisionRecord = z.output<typeof recordOut>;
export const recordNames = Object.keys(recordShape).filter(
  (name) => name !== 'said' && name !== 'token',
) as readonly (keyof DecisionRecord)[];

interface Names {
  readonly modelKey: (id: number) => string;
  readonly taskTypes: ReadonlyMap<number, string>;
}

const iso = (atMs: number) => new Date(atMs).toISOString();

export function recordOf(
  row: StoredDecision & Partial<Change>,
  { modelKey, taskTypes }: Names,
): DecisionRecord {
  const record: Record<string, unknown> = {
    change: row.change ?? row.id,
    kind: typeof row.event_outcome === 'number' ? 'outcome' : 'decision',
    uid: row.uid,
    model: modelKey(row.model),
    task_type: taskTypes.get(row.task_type) ?? '',
    time: iso(row.at_ms),
    confidence: row.confidence,
    outcome: row.outcome,
    source: row.source === null ? null : sources[row.source],
    error_kind: row.error_kind === null ? null : errorKinds[row.error_kind],
    cost_usd: row.cost_usd,
    latency_ms: row.latency_ms,
    input_tokens: row.input_tokens,
    output_tokens: row.output_tokens,
    reasoning_tokens: row.reasoning_tokens,
    item_id: row.item,
    cluster_id: row.cluster,
    ...(row.more !== null && (JSON.parse(row.more) as object)),
    // Whoever follows can keep a copy of which, too, each token pushes out its own decisions alone.
    token: row.change === undefined ? null : row.owner,
  };
  for (const [name, value] of Object.entries(record)) if (value === null) delete record[name];
  if (typeof row.event_outcome === 'number' && typeof row.event_ms === 'number') {
    record['said'] = {
      outcome: row.event_outcome,
      source: sources[row.event_source ?? 0],
      ...(typeof row.event_evaluator === 'string' && { evaluator: row.event_evaluator }),
      time: iso(row.event_ms),
      counts: row.event_counts === 1,
    };
  }
  return record as DecisionRecord;
}
