/** Forms of what many tools and services answer, which nobody has to register. In words that every validator here looks at. */
import type { JsonSchema } from './validators.ts';

const text = { type: 'string' } as const;
const instant = { type: 'string', format: 'date-time' } as const;

function object(properties: Readonly<Record<string, object>>, required: readonly string[] = []): JsonSchema {
  return { type: 'object', properties, required, additionalProperties: false };
}

export const commonSchemas: Readonly<
  Record<string, { readonly describes: string; readonly schema: JsonSchema }>
> = {
  text: { describes: 'A text.', schema: text },
  number: { describes: 'A number.', schema: { type: 'number' } },
  flag: { describes: 'Yes or no.', schema: { type: 'boolean' } },
  timestamp: { describes: 'An instant of RFC 3339.', schema: instant },
  id: { describes: 'What names one thing.', schema: { type: 'string', minLength: 1, maxLength: 200 } },
  list: { describes: 'Any values in order.', schema: { type: 'array' } },
  record: { describes: 'Any values by name.', schema: { type: 'object' } },
  table: {
    describes: 'Rows under the names of their columns.',
    schema: object(
      {
        columns: { type: 'array', items: text },
        rows: { type: 'array', items: { type: 'array' } },
      },
      ['columns', 'rows'],
    ),
  },
  message: {
    describes: 'What somebody says to somebody.',
    schema: object({ from: text, to: text, text, at: instant }, ['text']),
  },
  file: {
    describes: 'A file by its path, with its contents where they are told.',
    schema: object(
      { path: text, mime_type: text, bytes: { type: 'integer', minimum: 0 }, text, base64: text },
      ['path'],
    ),
  },
  failure: {
    describes: 'What went wrong.',
    schema: object({ code: text, message: text, path: text, hint: text }, ['code', 'message']),
  },
  measurement: {
    describes: 'A figure with its unit.',
    schema: object({ name: text, value: { type: 'number' }, unit: text, at: instant }, ['value']),
  },
  page: {
    describes: 'A part of a list.',
    schema: object({ items: { type: 'array' }, next_cursor: text }, ['items']),
  },
  task: {
    describes: 'Something to be done.',
    schema: object(
      {
        title: { type: 'string', minLength: 1 },
        description: text,
        type: text,
        priority: { enum: ['critical', 'high', 'medium', 'low'] },
      },
      ['title'],
    ),
  },
};
