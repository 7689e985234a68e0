/** What a suite hands back: pure data, which report.ts and report-page.ts render. */
export type Cell = string | number | null;

export interface Column {
  readonly name: string;
  /** Digits after the point of its numbers; 0 unless it says otherwise. */
  readonly digits?: number;
}

export interface Section {
  readonly title: string;
  /** What was done, so that anyone can repeat it. */
  readonly method: string;
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly Cell[])[];
  /** The column that the chart draws as bars; its label is the first column. */
  readonly chart?: { readonly column: number };
  /** Why there are no figures. */
  readonly skipped?: string;
  /** What went wrong in the measurement itself: its figures are not to be trusted. */
  readonly faults?: readonly string[];
}

export type Depth = 'quick' | 'normal' | 'full';

/** What a suite gets. */
export interface BenchContext {
  readonly depth: Depth;
  /** A file in the format of LoCoMo. */
  readonly data: string | undefined;
  /** The only services that are measured, by suites that measure each; all by default. */
  readonly services: readonly string[] | undefined;
  readonly progress: (line: string) => void;
}

export type Suite = (context: BenchContext) => Promise<readonly Section[]>;

export function skippedSection(title: string, reason: string): Section {
  return { title, method: '', columns: [], rows: [], skipped: reason };
}
