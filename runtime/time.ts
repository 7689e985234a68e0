/** Instants, kept as the ISO 8601 texts in UTC that SQLite compares. */
import { z } from 'zod';

const date = String.raw`(?<date>\d{4}-\d\d-\d\d)`;
const time = String.raw`(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?`;
const zone = String.raw`(?:Z|[+-](?:[01]\d|2[0-3]):?[0-5]\d)`;
const instant = new RegExp(`^${date}(?:T${time}${zone})?$`, 'i');

/** The text that is kept; `undefined` for what is no instant, such as a 30th of February. */
function parsed(text: string): string | undefined {
  const day = instant.exec(text)?.groups?.['date'];
  if (day === undefined || !isDay(day)) return undefined;
  const kept = iso(text);
  // Outside of the years 0 to 9999 texts do not compare as times do.
  return kept?.length === isoLength ? kept : undefined;
}

/** Whether the calendar has the day of a time: a 30th of February would become the 2nd of March. */
export const isDay = (text: string): boolean =>
  // All months have 28; the rest is looked up, which takes longer.
  Number(text.slice(8, 10)) <= 28 ||
  iso(`${text.slice(0, 10)}T00:00Z`)?.startsWith(text.slice(0, 10)) === true;

const isoLength = '2026-01-01T00:00:00.000Z'.length;

function iso(text: string): string | undefined {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : new Date(ms).toISOString();
}

/** With or without seconds, or a date alone, which is its start in UTC; not advertised as a pattern, which would be long. */
export const instantField = (description: string) =>
  z
    .string()
    .refine(
      (text) => parsed(text) !== undefined,
      'must be an ISO 8601 date, or a time with Z or an offset, such as 2026-01-15 or 2026-01-15T10:00Z',
    )
    .meta({ description });

/** How a description says which texts a field takes. */
export const instantForm = 'ISO 8601 time with Z or offset, or a date: its start in UTC';

export const toUtc = (text: string) => new Date(text).toISOString();

export const nowIso = ({ nowMs }: { readonly nowMs: number }) => new Date(nowMs).toISOString();
