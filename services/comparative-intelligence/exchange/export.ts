/** Battles as others read them, in pages. */
import type { Steps } from '#runtime/turns.ts';

import type { ExportedBattle, Reading } from '../store/reading.ts';
import { shortKey, type Kind } from '../subject.ts';
import { sourceAt, winnerOf } from '../vocabulary.ts';
import { csvHeader, csvLine, jsonLine, type BattleRow } from './csv.ts';

export type ExportFormat = 'battles_csv' | 'battles_jsonl';

export interface ExportRequest {
  readonly format: ExportFormat;
  readonly kind: Kind;
  readonly taskType: string | undefined;
  /** The state that is exported, so that all pages are of one; as of the first page unless given. */
  readonly state: number | undefined;
  /** The last battle that was exported; 0 at the start, where CSV has its names. */
  readonly after: number;
  /** The page ends at the first battle beyond. */
  readonly bytes: number;
}

interface ExportPage {
  readonly content: string;
  readonly state: number;
  /** The last battle in it. */
  readonly last: number;
  readonly battles: number;
  readonly isLast: boolean;
}

/** Looked at in one step, whether they belong to the export or not. */
const battlesPerStep = 200;

export function* exportPage(
  reading: Reading,
  { format, kind, taskType, state: given, after, bytes }: ExportRequest,
): Steps<ExportPage> {
  const type = reading.taskType(taskType);
  const written = format === 'battles_csv' ? csvLine : jsonLine;
  let content = format === 'battles_csv' && after === 0 ? csvHeader : '';
  let [last, battles] = [after, 0];
  const state = given ?? reading.snapshot(0).battles;
  const which = { kind, taskType: type, upTo: state };
  const end = reading.lastId();
  for (let from = after; from < end; from += battlesPerStep) {
    for (const row of reading.exported(which, { after: from, through: from + battlesPerStep })) {
      const line = written(rowOf(row));
      if (battles > 0 && content.length + line.length > bytes)
        return { content, state, last, battles, isLast: false };
      content += line;
      last = row.id;
      battles += 1;
    }
    yield;
  }
  return { content, state, last, battles, isLast: true };
}

function rowOf({
  model_a,
  model_b,
  outcome,
  both_bad,
  source,
  swapped,
  at_ms,
  ...rest
}: ExportedBattle): BattleRow {
  return {
    model_a: shortKey(model_a),
    model_b: shortKey(model_b),
    winner: winnerOf(outcome, both_bad === 1),
    item_id: rest.item_id,
    task_type: rest.task_type,
    judge: rest.judge,
    source: sourceAt(source),
    swapped: swapped === null ? null : swapped === 1,
    len_a: rest.len_a,
    len_b: rest.len_b,
    time: new Date(at_ms).toISOString(),
  };
}
