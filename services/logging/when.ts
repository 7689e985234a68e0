/** Moments as people and models write them. */
import { z } from 'zod';

const units: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const dayMs = 86_400_000;

const relative =
  /^(?:last )?(\d{1,6}) ?(s|m|h|d|w|sec(?:ond)?s?|min(?:ute)?s?|hours?|days?|weeks?)(?: ago)?$/i;
const absolute = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?$/i;

/** `undefined` for what is no moment. Times without an offset, dates and days are of UTC. */
export function momentIn(text: string, nowMs: number): number | undefined {
  const trimmed = text.trim();
  const ago = relative.exec(trimmed);
  if (ago) return nowMs - Number(ago[1]) * (units[(ago[2] ?? '').charAt(0).toLowerCase()] ?? 0);
  const today = nowMs - (nowMs % dayMs);
  switch (trimmed.toLowerCase()) {
    case 'now':
      return nowMs;
    case 'today':
      return today;
    case 'yesterday':
      return today - dayMs;
  }
  if (!absolute.test(trimmed)) return undefined;
  const date = trimmed.slice(0, 10);
  const start = Date.parse(`${date}T00:00Z`);
  // Days that do not exist would become the next ones.
  if (Number.isNaN(start) || new Date(start).toISOString().slice(0, 10) !== date) return undefined;
  const time = trimmed.slice(10).replace(' ', 'T');
  const hasZone = /(?:Z|[+-]\d\d:?\d\d)$/i.test(time);
  const atMs = time === '' ? start : Date.parse(`${date}${time}${hasZone ? '' : 'Z'}`);
  return Number.isNaN(atMs) || atMs < 0 ? undefined : atMs;
}

export const whenForm = 'RFC 3339, a date, or like 15m, 2h ago, yesterday; UTC';

const isMoment = (text: string) => momentIn(text, Date.UTC(2026, 0, 1)) !== undefined;

export const whenField = (description: string) =>
  z
    .string()
    .max(64)
    .refine(isMoment, 'must be a time such as 2026-01-15T10:00:00Z, a date, 15m, 2h ago, today or yesterday')
    .optional()
    .describe(description);

const interval = /^(\d{1,4}) ?(m|h|d|w|min(?:ute)?s?|hours?|days?|weeks?)$/i;

/** In minutes. */
export function minutesIn(text: string): number | undefined {
  const found = interval.exec(text.trim());
  const minutes =
    found && (Number(found[1]) * (units[(found[2] ?? '').charAt(0).toLowerCase()] ?? 0)) / 60_000;
  return minutes === null || minutes < 1 ? undefined : minutes;
}
