import type { ChainRow, EvaluationRow, StoredStep } from '../store/reads.ts';

/** How a chain is written, step by step: a page of it is a document of its own. */
export interface Format {
  head(chain: ChainRow, evaluations: readonly EvaluationRow[]): string;
  step(step: StoredStep, chain: ChainRow): string;
  readonly between: string;
  /** After the last step of a page; with what judges the chain as a whole, after the last of all. */
  foot(chain: ChainRow, evaluations: readonly EvaluationRow[]): string;
}

// oxlint-disable-next-line no-control-regex -- control characters are what it is about
const unseen = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

/** For people to read: with marks in place of characters that act on a terminal, or turn the direction of what follows. */
export const visible = (text: string): string => text.replaceAll(unseen, '\u{fffd}');
