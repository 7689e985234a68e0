/** What a process tells the dashboard of who does best. Both ends hold to it, and neither takes a name as it is. */
import { z } from 'zod';

import { plainText } from '../plain-text.ts';

/** Of each kind: models, clients. */
export const mostStanding = 10;
/** Of each of them. */
export const mostTaskTypes = 3;
const mostNameLength = 200;

const name = z.string().transform((text) => plainText(text, mostNameLength));
const count = z.int().min(0);
const share = z.number().min(0).max(1);

const resultSchema = z.object({
  /** With and without outcome. */
  decisions: count,
  /** Those whose outcome is known, by the strongest source that has judged any. */
  judged: count,
  judgedBy: name.nullable(),
  /** Of successes, with its interval of 95 %; both are there as soon as one outcome is known. */
  share: share.nullable(),
  interval: z.tuple([share, share]).nullable(),
  /** The first day with a decision. */
  since: z.iso.date().nullable(),
  warnings: z.array(name).max(4),
});
export type Result = z.output<typeof resultSchema>;

const standingSchema = resultSchema.extend({
  name,
  /** Kinds of tasks with the most decisions. */
  tasks: z.array(resultSchema.extend({ name })).max(mostTaskTypes),
});
export type Standing = z.output<typeof standingSchema>;

export const standingsSchema = z.object({
  at: z.iso.datetime(),
  /** How many days are looked at. */
  days: count,
  /** With fewer outcomes, nobody can tell. */
  needed: count,
  models: z.array(standingSchema).max(mostStanding),
  clients: z.array(standingSchema).max(mostStanding),
});
export type Standings = z.output<typeof standingsSchema>;
