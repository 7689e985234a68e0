import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { errorCodes } from '../errors.ts';
import { commonSchemas } from './common-schemas.ts';
import { envelope, failures, normalizeError, normalizeResponse, statuses, statusOf } from './envelope.ts';
import type { Steps } from '../turns.ts';
import { fitted } from './levels.ts';
import { check, requireCheckable, validatorOf } from './validators.ts';

const metadata = { request_id: 'r1', timestamp: '2026-11-29T12:00:00Z', duration_ms: 1.5 };

describe('An envelope', () => {
  test('holds what went well, whatever it is', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (data) => {
        const told = normalizeResponse(data, 'success', 'Done.', { metadata });
        expect(envelope.parse(told)).toEqual({
          status: 'success',
          data,
          message: 'Done.',
          errors: [],
          warnings: [],
          metadata,
        });
      }),
    );
    expect(normalizeResponse(undefined, 'pending', 'It goes on.', { metadata }).data).toBeNull();
  });

  test('holds what did not, with the first error as its message', () => {
    const errors = [
      { code: 'a', message: 'One.' },
      { code: 'b', message: 'Two.', path: '/x' },
    ];
    const told = normalizeError(errors, 'validation_error', {
      metadata,
      warnings: [{ code: 'w', message: 'W.' }],
    });
    expect(envelope.parse(told)).toEqual(told);
    expect(told).toMatchObject({ status: 'validation_error', data: null, message: 'One.', errors });
    expect(normalizeError([], 'error', { metadata }).message).not.toBe('');
  });

  test('has a status for every way in which a call can fail', () => {
    expect(Object.keys(failures)).toEqual(Object.keys(errorCodes));
    for (const { status } of Object.values(failures)) expect(statuses[status]).toBeGreaterThanOrEqual(400);
    expect([401, 403, 404, 409, 422, 504].map(statusOf)).toEqual([
      'unauthorized',
      'forbidden',
      'not_found',
      'error',
      'validation_error',
      'timeout',
    ]);
  });
});

const shape = {
  type: 'object',
  properties: {
    count: { type: 'integer' },
    names: {
      type: 'array',
      items: { type: 'object', properties: { n: { type: 'boolean' } }, additionalProperties: false },
    },
  },
  additionalProperties: false,
};

describe('A level', () => {
  const given = { count: '3', names: [{ n: 'true', more: 1 }], 'a/b': 1 };

  test.each([
    [
      'strict',
      given,
      [
        ['unknown_argument', '/names/0/more'],
        ['unknown_argument', '/a~1b'],
        ['wrong_type', '/count'],
        ['wrong_type', '/names/0/n'],
      ],
      [],
    ],
    [
      'permissive',
      { count: 3, names: [{ n: true }] },
      [
        ['unknown_argument', '/names/0/more'],
        ['unknown_argument', '/a~1b'],
      ],
      [
        ['coerced', '/count'],
        ['coerced', '/names/0/n'],
      ],
    ],
    [
      'loose',
      { count: 3, names: [{ n: true }] },
      [],
      [
        ['unknown_left_out', '/names/0/more'],
        ['unknown_left_out', '/a~1b'],
        ['coerced', '/count'],
        ['coerced', '/names/0/n'],
      ],
    ],
  ] as const)('%s', (level, value, errors, warnings) => {
    const told = allOf(fitted(given, shape, level)).value;
    const brief = (list: typeof told.errors) => list.map(({ code, path }) => [code, path]);
    expect([told.value, brief(told.errors), brief(told.warnings)]).toEqual([value, errors, warnings]);
  });

  test('never changes what fits, and says no more than some things', () => {
    const fits = fc.record({ count: fc.integer(), names: fc.array(fc.record({ n: fc.boolean() })) });
    fc.assert(
      fc.property(fits, fc.constantFrom('strict', 'permissive', 'loose'), (value, level) => {
        expect(allOf(fitted(value, shape, level)).value).toEqual({ value, errors: [], warnings: [] });
      }),
    );
    expect(allOf(fitted('7', { type: 'integer' }, 'strict')).value.errors[0]?.message).toMatch(
      /^The value is/,
    );
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, at) => [`k${at}`, 1]));
    expect(allOf(fitted(many, shape, 'strict')).value.errors).toHaveLength(20);
  });

  const wrongTypes = { count: '3', names: Array.from({ length: 20_000 }, () => ({ n: 'true', more: 1 })) };
  const unknown = Object.fromEntries(Array.from({ length: 20_000 }, (_, at) => [`k${at}`, at]));
  const asText = { names: JSON.stringify(wrongTypes.names) };
  test.each([
    ['of wrong types', wrongTypes],
    ['that nobody knows', unknown],
    ['within a text', asText],
  ])('lets others have their turn while it looks at very many values %s', (_what, value) => {
    for (const level of ['strict', 'permissive', 'loose'] as const)
      expect(allOf(fitted(value, shape, level)).turns).toBeGreaterThan(50);
  });
});

function allOf<Value>(steps: Steps<Value>): { readonly value: Value; readonly turns: number } {
  for (let turns = 1; ; turns += 1) {
    const step = steps.next();
    if (step.done) return { value: step.value, turns };
  }
}

describe('A schema', () => {
  test('says what is wrong and where', () => {
    const schema = {
      type: 'object',
      properties: { a: { type: 'array', items: { type: 'number', minimum: 0 } } },
      required: ['a', 'b'],
    };
    expect(check('x@1', schema, { a: [1, -1], b: 0 }).errors.map(({ code, path }) => [code, path])).toEqual([
      ['minimum', '/a/1'],
    ]);
    expect(check('x@1', schema, {}).errors.map(({ code }) => code)).toEqual(['required', 'required']);
    expect(check('x@1', schema, { a: [], b: 1 }).errors).toEqual([]);
  });

  test('is prepared once for its name and version', () => {
    const schema = { type: 'string' };
    expect(validatorOf('kept@1', schema)).toBe(validatorOf('kept@1', schema));
    expect(validatorOf('kept@2', { type: 'number' })).not.toBe(validatorOf('kept@1', schema));
  });

  test('that would take long is not begun', () => {
    const wide = { anyOf: Array.from({ length: 500 }, (_, at) => ({ const: at })) };
    expect(() =>
      check(
        '',
        { type: 'array', items: wide },
        Array.from({ length: 10_000 }, () => -1),
      ),
    ).toThrow(/too long/);
  });

  test.each([
    [{ type: 'string', pattern: '^(a+)+$' }],
    [{ allOf: [{ $ref: '#' }] }],
    [{ items: { patternProperties: { x: {} } } }],
    [{ format: 'regex' }],
  ])('%o could hold the process, and is refused', (schema) => {
    expect(() => requireCheckable(schema)).toThrow(/do without|not checked here/);
  });

  test('may have fields and values that are named like words of JSON Schema', () => {
    const schema = { properties: { pattern: { enum: [{ $ref: 'x' }] } } };
    expect(() => requireCheckable(schema)).not.toThrow();
  });

  test('is there for common types: each takes its values, and no other', () => {
    const fitting: Readonly<Record<string, unknown>> = {
      text: 'a',
      number: 1.5,
      flag: false,
      timestamp: '2026-11-29T12:00:00Z',
      id: 'a',
      list: [1, 'a'],
      record: { a: 1 },
      table: { columns: ['a'], rows: [[1]] },
      message: { text: 'a', to: 'ben' },
      file: { path: 'a.txt', bytes: 3 },
      failure: { code: 'a', message: 'b' },
      measurement: { value: 1, unit: 's' },
      page: { items: [], next_cursor: 'a' },
      task: { title: 'a', priority: 'low' },
    };
    expect(Object.keys(fitting)).toEqual(Object.keys(commonSchemas));
    for (const [name, { schema }] of Object.entries(commonSchemas)) {
      requireCheckable(schema);
      expect(check(name, schema, fitting[name]).errors, name).toEqual([]);
      expect(
        check(name, schema, null).errors.map(({ code }) => code),
        name,
      ).toContain('type');
    }
    expect(check('', commonSchemas['measurement']?.schema ?? {}, { value: 'x' }).errors).toHaveLength(1);
  });
});
