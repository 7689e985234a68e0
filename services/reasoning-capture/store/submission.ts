/** What is handed to the thread that writes, and what comes back. */
import type { ErrorCode } from '#runtime/errors.ts';

import type { NewStep, Pack } from '../steps/step.ts';

export type Status = 'open' | 'completed' | 'failed' | 'abandoned';

export interface ChainFacts {
  readonly model?: string | undefined;
  readonly provider?: string | undefined;
  readonly version?: string | undefined;
  readonly effort?: string | undefined;
  readonly prompt_hash?: string | undefined;
  readonly agent?: string | undefined;
  readonly session?: string | undefined;
  readonly goal?: string | undefined;
  /** JSON. */
  readonly attrs?: string | undefined;
}

export interface Evaluation {
  readonly name: string;
  readonly value?: number | undefined;
  readonly label?: string | undefined;
  readonly explanation?: string | undefined;
  readonly source?: string | undefined;
  readonly seq?: number | undefined;
  readonly atUs?: number | undefined;
}

export interface Rejection {
  readonly index: number;
  readonly reason: string;
}

/** A step that came as a span, or of one: in hex. */
export interface ImportedStep extends NewStep {
  readonly span?: string | undefined;
  readonly parentSpan?: string | undefined;
}

export interface ImportedEvaluation extends Evaluation {
  /** The span that it came on. */
  readonly from: string;
  /** Whether it judges what the span said; the chain otherwise. */
  readonly isOfSpan: boolean;
}

export interface ImportedChain {
  readonly uid: string;
  readonly facts: ChainFacts;
  readonly status?: Exclude<Status, 'open'> | undefined;
  readonly startedUs?: number | undefined;
  readonly endedUs?: number | undefined;
  /** In their order; of one span, side by side. */
  readonly steps: readonly ImportedStep[];
  readonly evaluations: readonly ImportedEvaluation[];
}

interface Submitted {
  readonly owner: string;
  readonly nowUs: number;
}

export type Submission = Submitted &
  (
    | { readonly kind: 'step'; readonly step: NewStep }
    | {
        readonly kind: 'batch';
        readonly batch: string;
        readonly sha256: Uint8Array;
        readonly pack: Pack;
        /** What was refused before it came here; `refused` counts all of them. */
        readonly rejected: readonly Rejection[];
        readonly refused: number;
      }
    | {
        readonly kind: 'start';
        readonly uid: string;
        readonly facts: ChainFacts;
        readonly parent?: string | undefined;
      }
    | {
        readonly kind: 'end';
        readonly chain: string;
        readonly status: Exclude<Status, 'open'>;
        readonly outcome?: Evaluation | undefined;
      }
    | {
        readonly kind: 'trace';
        readonly origin: 'import' | 'otlp';
        readonly chains: readonly ImportedChain[];
      }
  );

export interface Appended {
  readonly seq: number;
  readonly isDuplicate: boolean;
}
export interface BatchOutcome {
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: readonly Rejection[];
  readonly refused: number;
}
export interface TraceOutcome extends BatchOutcome {
  readonly chains: readonly { readonly uid: string; readonly steps: number }[];
}
export interface EndOutcome {
  readonly steps: number;
}

export type Result =
  | { readonly value: Appended | BatchOutcome | TraceOutcome | EndOutcome | null }
  | {
      readonly failure: {
        readonly code: Exclude<ErrorCode, 'internal'>;
        readonly message: string;
        readonly hint: string;
      };
    };
