/** Instants, kept as the ISO 8601 texts in UTC that SQLite compares. */
import { z } from 'zod';

const instant = z.iso.datetime({ offset: true });

/** Not advertised as the pattern of zod, which is long. */
export const instantField = (description: string) =>
  z
    .string()
    .refine((text) => instant.safeParse(text).success, 'must be an ISO 8601 time with Z or an offset')
    .meta({ format: 'date-time', description });

export const toUtc = (text: string) => new Date(text).toISOString();

export const nowIso = ({ nowMs }: { readonly nowMs: number }) => new Date(nowMs).toISOString();
