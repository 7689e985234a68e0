/** Which battles or decisions are meant, and how statements ask for them. */
import { maxRowsRead } from '../limits.ts';
import type { Kind } from '../subject.ts';
import { sources } from '../vocabulary.ts';

export interface Which {
  readonly kind: Kind;
  /** Places in `sources`; all unless given. */
  readonly sources?: readonly number[] | undefined;
  readonly taskType?: number | undefined;
  /** The state of the battles that counts. */
  readonly upTo?: number | undefined;
}

export const parametersOf = ({ kind, sources: chosen, taskType, upTo }: Which) => ({
  kind,
  sources: JSON.stringify(chosen ?? sources.map((_, place) => place)),
  taskType: taskType ?? null,
  upTo: upTo ?? Number.MAX_SAFE_INTEGER,
  limit: maxRowsRead + 1,
});

export const hasType = '(@taskType IS NULL OR task_type = @taskType)';
/** Of decisions. */
export const isJudged = 'outcome IS NOT NULL AND source IN (SELECT value FROM json_each(@sources))';
export const isOfKind = 'subject IN (SELECT id FROM subject WHERE kind = @kind)';
/** Of battles. */
export const ofSources =
  'judge IN (SELECT id FROM judge WHERE source IN (SELECT value FROM json_each(@sources)))';
export const ofKind = 'a IN (SELECT id FROM subject WHERE kind = @kind)';
/** Of batches that were whole in the state that counts. */
export const isSeen =
  'batch NOT IN (SELECT batch FROM unfinished UNION ALL SELECT id FROM batch WHERE through > @upTo)';
