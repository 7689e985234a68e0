import type { ThoughtRow } from '../thoughts.ts';

/** How a session, or a part of it, is written as a document. */
export interface Format {
  readonly head: string;
  readonly between: string;
  readonly foot: string;
  /** What a part holds. */
  readonly mostThoughts: number;
  readonly mostCharacters: number;
  write(row: ThoughtRow): string;
}
