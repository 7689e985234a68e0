import { expect, test } from 'vitest';
import { z } from 'zod';

import { plainInput, plainOutput, type Schema } from './plain-schema.ts';

const input = (schema: z.ZodType) => plainInput(z.toJSONSchema(schema, { io: 'input' }) as Schema);
const output = (schema: z.ZodType) => plainOutput(z.toJSONSchema(schema, { io: 'output' }) as Schema);

test.each([
  ['a pattern', z.string().regex(/^\p{L}+$/u), { type: 'string' }],
  ['a large bound', z.string().max(65_000), { type: 'string' }],
  ['a small bound', z.array(z.string()).min(1).max(10), { type: 'array', minItems: 1, maxItems: 10 }],
  ['a format that is not a time', z.email(), { type: 'string' }],
  ['an integer', z.int(), { type: 'integer' }],
  ['an exclusive bound', z.int().positive(), { type: 'integer', minimum: 1 }],
  ['null', z.string().nullable(), { type: 'string' }],
  ['a choice of types', z.union([z.array(z.string()), z.string()]), { type: 'array' }],
  ['a list of types', z.union([z.boolean(), z.enum(['true'])]), { type: 'boolean' }],
  ['a constant', z.literal('a'), { type: 'string', enum: ['a'] }],
  ['a record', z.record(z.string(), z.int()), { type: 'object' }],
])('of an input, %s is told in plain words', (_what, schema, told) => {
  expect(input(schema)).toMatchObject(told);
  expect(JSON.stringify(input(schema))).not.toMatch(/pattern|anyOf|oneOf|null|\$schema|exclusive|65000/);
});

test('an input keeps what a model needs: names, descriptions, defaults, choices, what is required', () => {
  const schema = z.strictObject({
    mode: z.enum(['a', 'b']).default('a').describe('How.'),
    names: z.array(z.string().describe('A name.')).describe('Which.'),
  });

  expect(input(schema)).toEqual({
    type: 'object',
    properties: {
      mode: { type: 'string', description: 'How.', default: 'a', enum: ['a', 'b'] },
      names: { type: 'array', description: 'Which.', items: { type: 'string', description: 'A name.' } },
    },
    required: ['names'],
    additionalProperties: false,
  });
});

test('an output is told no narrower than it is', () => {
  const schema = z.object({
    moved: z.string().nullable().describe('Null for none.'),
    value: z.union([z.string(), z.int()]),
    cut: z.literal(true).optional(),
    count: z.int().max(5),
  });

  expect(output(schema)).toEqual({
    type: 'object',
    properties: {
      moved: { description: 'Null for none.' },
      value: {},
      cut: { type: 'boolean' },
      count: { type: 'integer' },
    },
    required: ['moved', 'value', 'count'],
  });
});

test('what refers to itself is told to a depth', () => {
  const tree: z.ZodType = z.lazy(() => z.object({ name: z.string(), below: z.array(tree).optional() }));

  const told = JSON.stringify(output(tree));

  expect(told).not.toContain('$ref');
  expect(told.length).toBeLessThan(2_000);
});
