/** Arguments and results that several tools share. */
import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { storable } from '#runtime/fields.ts';

import { sourceChoices } from './figure.ts';
import { maxNameLength } from './limits.ts';
import { dayMs, dayOf } from './store/day.ts';
import { kinds } from './subject.ts';

export const nameField = (description: string, maxLength = maxNameLength) =>
  storable(z.string().min(1).max(maxLength)).describe(description);

/** A key is longer than each of its parts. */
export const modelField = nameField('Key of the model, from register_model.', 3_000);
export const kindField = z.enum(kinds).describe('Of what: kinds are never mixed.');
export const taskTypeField = nameField('Only this kind of task.').optional();
export const sourceField = z
  .enum(sourceChoices)
  .optional()
  .describe('Whose outcomes: named from strong to weak; the strongest that there are unless given.');

export const windowFields = {
  window_days: z.int().min(1).max(4_000).optional().describe('The last so many days (UTC); else all.'),
  until: z
    .string()
    .regex(/^\d{4}-\d\d-\d\d$/, 'must be a date like 2026-11-20')
    .optional()
    .describe('Last day, like 2026-11-20; today if left out.'),
};

export interface Window {
  readonly fromDay: number;
  readonly toDay: number;
}

/** @throws ToolError invalid_input. */
export function windowOf(
  {
    window_days: days,
    until,
  }: { readonly window_days?: number | undefined; readonly until?: string | undefined },
  nowMs: number,
): Window {
  const last = until === undefined ? undefined : Date.parse(`${until}T00:00Z`);
  if (last !== undefined && (Number.isNaN(last) || new Date(last).toISOString().slice(0, 10) !== until)) {
    throw new ToolError('invalid_input', `until: ${until} is no day of the calendar.`);
  }
  // A clock may be ahead of ours by minutes, and so in the next day.
  const toDay = dayOf(last ?? nowMs + dayMs);
  return { fromDay: days === undefined ? 0 : dayOf(last ?? nowMs) - days + 1, toDay };
}
