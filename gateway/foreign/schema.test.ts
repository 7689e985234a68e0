import { expect, test } from 'vitest';

import { refusedIn } from '../../tests/support/refused-schema.ts';
import { checkedArguments } from './arguments.ts';
import { tamedInput, tamedOutput } from './schema.ts';

const field = (schema: unknown, more: object = {}) => ({
  type: 'object',
  properties: { a: schema },
  ...more,
});

test.each([
  ['a pattern', { type: 'string', pattern: '^\\p{L}+$' }, { type: 'string' }],
  ['a list of types', { type: ['integer', 'null'] }, { type: 'integer' }],
  ['a reference of the older kind', { $ref: '#/definitions/x' }, { type: 'string', description: 'An x.' }],
  ['a reference to a neighbour', { $ref: '#/properties/b' }, { type: 'boolean' }],
  [
    'a reference with words of its own',
    { $ref: '#/$defs/y', description: 'Mine.' },
    { type: 'number', description: 'Mine.' },
  ],
  ['a reference to nothing', { $ref: '#/nowhere' }, {}],
  ['a reference to elsewhere', { $ref: 'https://x.example/schema' }, {}],
  ['a reference to itself', { $ref: '#/$defs/loop' }, { type: 'object' }],
  ['true for a schema', true, {}],
  [
    'a tuple',
    { type: 'array', items: [{ type: 'number' }, { type: 'string' }] },
    { type: 'array', items: { type: 'number' } },
  ],
  [
    'a tuple of the newer kind',
    { type: 'array', prefixItems: [{ type: 'number' }] },
    { type: 'array', items: { type: 'number' } },
  ],
  ['a list of anything', { type: 'array' }, { type: 'array', items: {} }],
  [
    'parts that all hold',
    {
      allOf: [
        { type: 'object', properties: { x: { type: 'string' } } },
        { properties: { y: { type: 'number' } }, required: ['y'] },
      ],
    },
    { type: 'object', properties: { x: { type: 'string' }, y: { type: 'number' } }, required: ['y'] },
  ],
  [
    'one of several objects',
    {
      oneOf: [
        { type: 'object', properties: { k: { const: 'a' }, x: {} }, required: ['k', 'x'] },
        { type: 'object', properties: { k: { const: 'b' } }, required: ['k'] },
      ],
    },
    { type: 'object', properties: { k: { type: 'string', enum: ['a', 'b'] }, x: {} }, required: ['k'] },
  ],
  [
    'one of several values',
    { anyOf: [{ const: 'a' }, { const: 'b' }, { type: 'null' }] },
    { type: 'string', enum: ['a', 'b'] },
  ],
  ['one of several types', { anyOf: [{ type: 'string' }, { type: 'number' }] }, { type: 'string' }],
  [
    'a demand beside fields',
    { type: 'object', properties: { x: { type: 'string' } }, anyOf: [{ required: ['x'] }] },
    { type: 'object', properties: { x: { type: 'string' } } },
  ],
  [
    'numbers to choose from',
    { type: 'integer', enum: [1, 2] },
    { type: 'integer', description: 'One of: 1, 2.' },
  ],
  ['null among values', { enum: ['a', null] }, { type: 'string', enum: ['a'] }],
  ['null for a default', { type: 'string', default: null }, { type: 'string' }],
  ['a large bound', { type: 'string', maxLength: 50_000 }, { type: 'string' }],
  [
    'no type, but fields',
    { properties: { x: { type: 'string' } } },
    { type: 'object', properties: { x: { type: 'string' } } },
  ],
  ['a description that is no text', { type: 'string', description: 5 }, { type: 'string' }],
  ['any fields', { type: 'object', additionalProperties: { type: 'string' } }, { type: 'object' }],
])('%s is told in words that every client takes', (_what, schema, told) => {
  const whole = field(schema, {
    properties: { a: schema, b: { type: 'boolean' } },
    definitions: { x: { type: 'string', description: 'An x.' } },
    $defs: {
      y: { type: 'number' },
      loop: { type: 'object', properties: { next: { $ref: '#/$defs/loop' } } },
    },
  });
  const tamed = tamedInput(whole);

  expect((tamed['properties'] as Record<string, unknown>)['a']).toMatchObject(told);
  // What takes anything has no type to tell.
  const refused = refusedIn(tamed, 'input').filter((complaint) => !complaint.endsWith(': no type'));
  expect(refused).toEqual([]);
});

test.each([
  ['nothing', undefined],
  ['no object', 'x'],
  ['a list', []],
  ['another type', { type: 'array' }],
  ['demands for what is not there', { type: 'object', required: ['x'] }],
])('of %s for the whole, there is an object', (_what, schema) => {
  expect(tamedInput(schema)).toEqual({ type: 'object', properties: {} });
  expect(tamedOutput(schema)?.['required']).toBeUndefined();
});

test('a schema that grows with each reference ends', () => {
  const wide = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`f${index}`, { $ref: '#' }]));

  expect(JSON.stringify(tamedInput({ type: 'object', properties: wide })).length).toBeLessThan(500_000);
});

test.each([
  ['what fits', { n: 1 }, { n: 1 }],
  ['a number as text', { n: '5' }, { n: 5 }],
  ['null for what is not set', { n: 1, k: null }, { n: 1 }],
  ['what its own expression refuses, which the server finds', { n: 1, k: 'b' }, { n: 1, k: 'b' }],
])('%s is taken', (_what, args, meant) => {
  expect(checkedArguments('t', original, args)).toEqual(meant);
});

const original = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  type: 'object',
  properties: {
    n: { type: 'integer', exclusiveMinimum: 0 },
    k: { type: 'string', pattern: '^(a+)+$' },
    pattern: { type: 'boolean' },
  },
  required: ['n'],
  additionalProperties: false,
};

test.each([
  ['no object', [], /must be an object/],
  ['a bound of the original that is not told', { n: 0 }, /do not fit t/],
  ['a missing one', {}, /do not fit t/],
  ['one that there is not', { n: 1, z: 2 }, /do not fit t/],
  ['a field that is called as a word of schemas is', { n: 1, pattern: 'x' }, /do not fit t/],
])('%s is refused', (_what, args, message) => {
  expect(() => checkedArguments('t', original, args)).toThrow(message);
});

test('a schema that cannot be read is left to the server', () => {
  const args = { a: 1 };
  for (const schema of [{ $ref: '#/nowhere' }, { anyOf: [{ $ref: '#' }, { $ref: '#' }] }])
    expect(checkedArguments('t', schema, args)).toEqual(args);
});
