/** A figure never comes alone: with its interval, how many it rests on, how it was made, who judged, and as of when. */
import type { Interval } from './rates.ts';

export interface Figure {
  readonly value: number | null;
  /** 95 %, the lower bound first; none where a bound is no number. */
  readonly ci95: number[] | null;
  readonly n: number;
  readonly method: string;
  readonly source_mix: Record<string, number>;
  readonly as_of: string;
  readonly snapshot_id: string;
  readonly warnings: string[];
}

/** When, and of which state of the data. */
export type State = Pick<Figure, 'as_of' | 'snapshot_id'>;

export interface About {
  readonly value: number | undefined;
  readonly interval?: Interval | undefined;
  readonly n: number;
  readonly method: string;
  readonly mix?: Readonly<Record<string, number>>;
  readonly warnings?: readonly string[];
}

/** So that an answer holds no digits that nobody can rely on. */
export const rounded = (value: number): number =>
  Number.isFinite(value) ? Number(value.toPrecision(10)) : value;

/** The same; what is no number is nothing. */
export const finite = (value: number): number | null => (Number.isFinite(value) ? rounded(value) : null);

export function figure(
  { as_of, snapshot_id }: State,
  { value, interval, n, method, mix = {}, warnings = [] }: About,
): Figure {
  const bounds = interval?.map(finite);
  return {
    value: value === undefined ? null : finite(value),
    ci95: bounds && bounds.every((bound) => bound !== null) ? bounds : null,
    n,
    method,
    source_mix: { ...mix },
    as_of,
    snapshot_id,
    warnings: [...warnings],
  };
}
