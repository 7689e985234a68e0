/** The format that is read back: a document of JSON with one thought per line, or a part of one. */
import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';
import { storedText } from '#runtime/fields.ts';
import { instantField, toUtc } from '#runtime/time.ts';
import { isTooComplex } from '#runtime/wire/complexity.ts';

import { maxExportLength, maxImportParts, maxThoughtsPerImport, maxTitleLength } from '../limits.ts';
import { saidFields } from '../thought-schema.ts';
import { saidOf } from '../thoughts.ts';
import type { Format } from './format.ts';

const version = 1;

const document = z.strictObject({
  version: z.literal(version).optional(),
  title: storedText(maxTitleLength, 'What it is about.').optional(),
  /** Position of the first thought: more than 1 in a part of a longer session. */
  from: z.int().min(1).default(1),
  thoughts: z
    .array(z.strictObject({ ...saidFields, at: instantField('When.').transform(toUtc).optional() }))
    .max(maxThoughtsPerImport),
});

export const jsonFormat = (title: string | null, from: number): Format => ({
  head: `${JSON.stringify({ version, ...(title !== null && { title }), from }).slice(0, -1)},"thoughts":[\n`,
  between: ',\n',
  foot: '\n]}\n',
  mostThoughts: maxThoughtsPerImport,
  mostCharacters: maxExportLength,
  write: (row) => JSON.stringify(saidOf(row)),
});

/** @throws ToolError invalid_input. */
export function parseDocument(text: string): z.output<typeof document> {
  if (isTooComplex(Buffer.from(text), maxImportParts)) {
    throw new ToolError('invalid_input', `The content has more than ${maxImportParts} keys and values.`, {
      hint: 'Import a long session in parts, as export_session writes them.',
    });
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ToolError('invalid_input', 'The content is not valid JSON; nothing was imported.', {
      hint: 'Pass the content of an export_session with format json, unchanged.',
      cause,
    });
  }
  const parsed = document.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue?.path.join('.');
  const what = `${where ? `${where}: ` : ''}${issue?.message ?? 'not understood'}`.slice(0, 300);
  throw new ToolError('invalid_input', `${what.toWellFormed()}; nothing was imported.`, {
    hint: 'Pass {"thoughts": [...]} with the arguments of sequentialthinking, as export_session writes it.',
  });
}
