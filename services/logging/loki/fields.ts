/** Arguments and results that the Loki tools share, under the names that Grafana's server gives them. */
import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { storable } from '#runtime/fields.ts';

import { momentIn } from '../when.ts';
import { maxQueryLength } from './parse.ts';
import type { Range } from './reading.ts';

/** `now-1h` as Grafana writes it, and what the other tools take. */
const momentOf = (text: string, nowMs: number) =>
  momentIn(text.trim().replace(/^now ?- ?(?=\d)/i, ''), nowMs);

const momentField = (description: string) =>
  z
    .string()
    .max(64)
    .refine(
      (text) => momentOf(text, Date.UTC(2026, 0, 1)) !== undefined,
      'must be a time such as 2026-01-15T10:00:00Z, a date, now-1h, 15m, 2h ago, today or yesterday',
    )
    .optional()
    .describe(description);

export const rangeFields = {
  datasourceUid: z.string().max(200).optional().describe('Not needed: there is one store.'),
  startRfc3339: momentField(
    'From then on: RFC 3339, a date, or like now-1h, 15m, yesterday; UTC. An hour ago unless given.',
  ),
  endRfc3339: momentField('Before then. Now unless given.'),
};

export const logqlField = (description: string) =>
  storable(z.string().min(1).max(maxQueryLength)).describe(description);

const hourMs = 3_600_000;

interface Given {
  readonly startRfc3339?: string | undefined;
  readonly endRfc3339?: string | undefined;
}

/** @throws ToolError invalid_input for an end before the start. */
export function rangeOf({ startRfc3339, endRfc3339 }: Given, nowMs: number): Range {
  const endMs = momentOf(endRfc3339 ?? 'now', nowMs) ?? nowMs;
  const sinceMs = startRfc3339 === undefined ? endMs - hourMs : (momentOf(startRfc3339, nowMs) ?? 0);
  // What was logged in this millisecond counts.
  const untilMs = endRfc3339 === undefined ? endMs + 1 : endMs;
  if (sinceMs < untilMs) return { sinceMs, untilMs };
  throw new ToolError('invalid_input', `The start ${iso(sinceMs)} is not before the end ${iso(untilMs)}.`, {
    hint: 'Give startRfc3339 an earlier time, or leave out endRfc3339, which is now then.',
  });
}

export const iso = (atMs: number) => new Date(atMs).toISOString();

export const searchedOut = z
  .string()
  .optional()
  .describe('It took long: only lines from then on were looked at. Narrow the time or the selector.');
