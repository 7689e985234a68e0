import type { ChainRow, EvaluationRow, StoredStep } from '../store/reads.ts';

/** How a chain is written, step by step: a page of it is a document of its own. */
export interface Format {
  head(chain: ChainRow, evaluations: readonly EvaluationRow[]): string;
  step(step: StoredStep, chain: ChainRow): string;
  readonly between: string;
  /** After the last step of a page; with what judges the chain as a whole, after the last of all. */
  foot(chain: ChainRow, evaluations: readonly EvaluationRow[]): string;
}
