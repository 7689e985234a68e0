/** Arguments and results that several tools share. */
import { z } from 'zod';

import { storable, toldBriefly } from '#runtime/fields.ts';

import { maxNameLength } from './limits.ts';
import { kinds } from './subject.ts';
import { sources, verdicts } from './vocabulary.ts';

export const nameField = (description: string, maxLength = maxNameLength) =>
  storable(z.string().min(1).max(maxLength)).describe(description);

/** A key of model-profile is longer than each of its parts. */
export const modelField = (description: string) => nameField(description, 3_000);
export const modelsField = z
  .array(modelField('A key.'))
  .min(1)
  .max(400)
  .optional()
  .describe('Only these; all of the kind unless given.');
export const kindField = z.enum(kinds).default('model').describe('Kinds are never ranked together.');
export const taskTypeField = nameField('Only this kind of task.').optional();
export const sourceField = z
  .enum(['decisions', 'battles'])
  .optional()
  .describe(
    'decisions come from model-profile, battles from record_battles; decisions where there are some unless given.',
  );
export const judgedByField = z
  .array(z.enum(sources))
  .min(1)
  .max(sources.length)
  .optional()
  .describe('Whose outcomes, pooled if several; the strongest there is unless given.');
export const marginField = z
  .number()
  .min(1e-6)
  .optional()
  .describe('Differences below this do not matter: lets the verdict be equivalent.');
export const seedField = z
  .int()
  .min(0)
  .max(Number.MAX_SAFE_INTEGER)
  .default(1)
  .describe('The same seed and snapshot give the same figures.');

/** Places in `sources`. */
export const placesOf = (names: readonly (typeof sources)[number][] | undefined) =>
  names?.map((name) => sources.indexOf(name));

export const figureShape = {
  value: z.number().nullable().describe('null: nothing to tell it from.'),
  ci95: z.array(z.number()).nullable().describe('95 % interval, lower bound first.'),
  n: z.int().describe('What it rests on.'),
  method: z.string().describe('How value and interval were made.'),
  source_mix: z.record(z.string(), z.int()).describe('Who judged how many.'),
  as_of: z.string().describe('When it was read.'),
  snapshot_id: z.string().describe('The state of the data.'),
  verdict: z.enum(verdicts).optional().describe('What it means.'),
  needed_n: z.int().optional().describe('So many would decide, with 80 % power.'),
  warnings: z.array(z.string()).describe('What to know before relying on it.'),
};
export const figureOut = z.object(figureShape);
/** A figure beside the main one: what it has is seen in the answer. */
export const figureBriefly = (description: string) => toldBriefly(figureOut, 'value').describe(description);
/** The figure that an answer is about. */
export const figureMain = (description: string) => toldBriefly(figureOut, ...mainKeys).describe(description);
/** What a model should look at. */
export const mainKeys = ['value', 'ci95', 'n', 'verdict', 'needed_n', 'warnings'] as const;

const digits = (value: number) => String(Number(value.toPrecision(4)));

/** One line for whoever reads no structure. */
export function lineOf(
  { value, ci95, n, verdict, needed_n: needed }: z.output<typeof figureOut>,
  what: string,
): string {
  const parts = [
    `${what}: ${value === null ? 'unknown' : digits(value)}`,
    ...(ci95 ? [`95 % ${ci95.map(digits).join(' to ')}`] : []),
    `n ${n}`,
    ...(verdict ? [verdict] : []),
    ...(needed === undefined ? [] : [`needs n ${needed}`]),
  ];
  return `${parts.join(', ')}.`;
}
