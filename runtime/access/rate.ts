/** How often a token may call, as its record has it: `600/min`. */
import { UsageError } from '../errors.ts';

export interface Rate {
  readonly calls: number;
  readonly perMs: number;
}

const unitMs = { s: 1_000, min: 60_000, h: 3_600_000 } as const;
export const ratePattern = /^([1-9]\d{0,6})\/(s|min|h)$/;

/** @throws UsageError for what is none. */
export function parseRate(text: string): Rate {
  const [, calls, unit] = ratePattern.exec(text) ?? [];
  if (calls === undefined)
    throw new UsageError(
      `"${text}" is no rate: write calls per second, minute or hour, such as 10/s, 600/min, 5000/h.`,
    );
  return { calls: Number(calls), perMs: unitMs[unit as keyof typeof unitMs] };
}
