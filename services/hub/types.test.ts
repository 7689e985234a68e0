import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { ToolError } from '#runtime/errors.ts';

import { Directory } from './directory.ts';
import { priorities } from './message.ts';
import { allTypes, typeOf } from './types.ts';
import type { builtIn } from './types/bodies.ts';

const nowMs = 1_000_000;
const nobody = new Directory();

/** A body of each type with all that is named, one with as little as can be, and some that do not fit. */
const examples: Readonly<
  Record<keyof typeof builtIn, { full: object; least: object; wrong: readonly unknown[] }>
> = {
  context_update: {
    full: { context_id: 'c', change: 'created', version: 1, access: 'public', content: [1] },
    least: { context_id: 'c' },
    wrong: [{}, { context_id: 'c', change: 'eaten' }, { context_id: 'c', version: -1 }],
  },
  task_notification: {
    full: { task_id: 't', status: 'completed', title: 'T', detail: 'd', progress: 1, result: {} },
    least: { task_id: 't', status: 'pending' },
    wrong: [
      { task_id: 't' },
      { task_id: 't', status: 'done' },
      { task_id: 't', status: 'failed', progress: 2 },
    ],
  },
  agent_request: {
    full: { action: 'review', arguments: { a: 1 }, deadline: '2026-11-29T18:00:00+01:00' },
    least: { action: 'review' },
    wrong: [{}, { action: '' }, { action: 'x', deadline: 'soon' }, { action: 'x', arguments: [1] }],
  },
  agent_response: {
    full: { error: { code: 'timeout', message: 'late', more: 1 } },
    least: { result: null },
    wrong: [{}, { result: 1, error: { code: 'c', message: 'm' } }, { error: { code: 'c' } }],
  },
  system_status: {
    full: { status: 'gone', event: 'agent_gone', component: 'a', detail: 'd', metrics: { n: 1 } },
    least: { event: 'agent_gone' },
    wrong: [{}, { status: 'odd' }, { status: 'gone', metrics: { n: 'x' } }],
  },
  error: {
    full: {
      code: 'no_route',
      message: 'm',
      severity: 'low',
      category: 'system',
      message_id: 'i',
      retryable: true,
      retry_after_ms: 5,
      details: 1,
    },
    least: { code: 'c', message: 'm' },
    wrong: [{ code: 'c' }, { code: 'c', message: 'm', severity: 'huge' }],
  },
  heartbeat: {
    full: { status: 'busy', load: 0.5, note: 'n' },
    least: {},
    wrong: [{ load: 2 }, { status: 'dead' }, [], 'x', null, 5],
  },
  subscribe: {
    full: { topic: 'a.**', match: { 'a.b': { gt: 1 } } },
    least: { topic: 'a' },
    wrong: [{}, { topic: 'a b' }, { topic: 'a', match: {} }],
  },
  unsubscribe: { full: { topic: 'a.*' }, least: { topic: 'a' }, wrong: [{}, { topic: 5 }] },
  request: { full: { method: 'm', params: [1] }, least: { method: 'm' }, wrong: [{}, { method: 5 }] },
  response: { full: { result: { a: 1 } }, least: { result: 0 }, wrong: [{}, { result: 1, error: {} }] },
  notification: {
    full: { event: 'e', text: 't', data: {} },
    least: {},
    wrong: ['x', { event: 'x'.repeat(201) }],
  },
  broadcast: { full: { text: 't', data: 1 }, least: { text: 't' }, wrong: [{}, { text: '' }] },
  collaborate: {
    full: { goal: 'g', role: 'r', participants: ['a'], steps: ['s'], deadline: '2026-11-29T18:00:00Z' },
    least: { goal: 'g' },
    wrong: [{}, { goal: 'g', steps: 'one' }, { goal: 'g', steps: Array(1_001).fill('s') }],
  },
  context_sync: {
    full: {
      context_id: 'c',
      version: 2,
      base_version: 1,
      conversation_id: 'v',
      workspace_id: 'w',
      content: {},
      changes: [1],
      file_references: ['f'],
      symbol_references: ['s'],
      preferences: { p: 1 },
    },
    least: { context_id: 'c' },
    wrong: [{}, { context_id: 'c', file_references: [1] }],
  },
  intelligence_share: {
    full: { kind: 'finding', summary: 's', confidence: 0.9, evidence: [1], tags: ['t'] },
    least: { kind: 'finding', summary: 's' },
    wrong: [{ kind: 'finding' }, { kind: 'k', summary: 's', confidence: 50 }],
  },
  state_update: {
    full: { key: 'k', value: 1, previous: 0, version: 3 },
    least: { key: 'k', value: null },
    wrong: [{ key: 'k' }, { value: 1 }],
  },
  query: {
    full: { question: 'q', scope: ['s'], limit: 5 },
    least: { question: 'q' },
    wrong: [{}, { question: 'q', limit: 0 }],
  },
};

describe('A type that every hub knows', () => {
  test.each(Object.entries(examples))(
    '%s takes bodies that fit it, with whatever else they hold',
    (name, example) => {
      const { check } = typeOf(nobody, name, nowMs);

      check(example.full);
      check(example.least);
      check({ ...example.least, something_else: { deep: [1] } });
      for (const body of example.wrong)
        expect(() => check(body)).toThrow(
          expect.objectContaining({
            code: 'invalid_input',
            message: expect.stringMatching(new RegExp(`^The body does not fit the type ${name}: body`)),
          }),
        );
    },
  );

  test('says how it is treated, and has a JSON Schema', () => {
    const types = allTypes(nobody, nowMs);

    expect(types.map(({ name }) => name)).toEqual(Object.keys(examples));
    for (const { schema, description, priority } of types) {
      expect(schema()).toMatchObject({ type: 'object' });
      expect(description).toMatch(/\.$/);
      expect(priorities).toContain(priority);
    }
    const asking = types.filter(({ expectsAnswer }) => expectsAnswer).map(({ name }) => name);
    expect(asking).toEqual(['agent_request', 'request', 'collaborate', 'query']);
    expect(typeOf(nobody, 'error', nowMs)).toMatchObject({ priority: 'high', expectsAnswer: false });
  });

  test('is refused in few words, however much is wrong', () => {
    const wrong = Object.fromEntries(
      Array.from({ length: 1_000 }, (_, at) => [`figure ${at}`, 'x'.repeat(500)]),
    );

    expect(() => typeOf(nobody, 'system_status', nowMs).check({ status: 'gone', metrics: wrong })).toThrow(
      expect.objectContaining({ message: expect.stringMatching(/^.{50,2000}$/s) }),
    );
  });
});

const directoryWith = (value: object): Directory => {
  const directory = new Directory();
  const entry = {
    kind: 'type',
    key: 'own',
    owner: 'token',
    version: 1,
    changedAtMs: 0,
    expiresAtMs: undefined,
  } as const;
  expect(directory.apply({ put: { ...entry, value } })).toBeUndefined();
  return directory;
};
const checking = (schema: object) =>
  typeOf(directoryWith({ schema: { type: 'object', ...schema } }), 'own', nowMs).check;
const complaintAbout = (schema: unknown) =>
  new Directory().apply({
    put: {
      kind: 'type',
      key: 'own',
      owner: 'token',
      version: 1,
      changedAtMs: 0,
      expiresAtMs: undefined,
      value: { schema },
    },
  });

function codeOf(act: () => void): string {
  try {
    act();
    return 'fits';
  } catch (error) {
    return error instanceof ToolError ? error.code : String(error);
  }
}

describe('A registered type', () => {
  test('is treated as it says', () => {
    const directory = directoryWith({
      description: 'Mine.',
      schema: { type: 'object' },
      expects_answer: true,
      priority: 'low',
      ttl_seconds: 60,
    });

    expect(typeOf(directory, 'own', nowMs)).toMatchObject({
      name: 'own',
      owner: 'token',
      description: 'Mine.',
      expectsAnswer: true,
      priority: 'low',
      ttlSeconds: 60,
    });
    expect(allTypes(directory, nowMs).at(-1)).toBe(typeOf(directory, 'own', nowMs));
  });

  test('is not known before it is registered', () => {
    expect(() => typeOf(nobody, 'own', nowMs)).toThrow(
      expect.objectContaining({ code: 'not_found', message: 'There is no type of messages own.' }),
    );
  });

  test.each<[object, readonly unknown[], readonly unknown[]]>([
    [{}, [{}, { a: 1 }], [null, [], 'x', 5]],
    [{ required: ['a'] }, [{ a: null }], [{}]],
    [
      { properties: { a: { type: 'string', minLength: 2, maxLength: 3 } } },
      [{}, { a: 'xy' }],
      [{ a: 'x' }, { a: 'xyzz' }, { a: 5 }],
    ],
    [
      { properties: { a: { type: ['integer', 'null'], minimum: 1, exclusiveMaximum: 3 } } },
      [{ a: 2 }, { a: null }],
      [{ a: 0 }, { a: 3 }, { a: 1.5 }, { a: '1' }],
    ],
    [{ properties: { a: { minimum: 1 } } }, [{ a: 1 }, { a: 'x' }], [{ a: 0 }]],
    [{ properties: { a: {} }, additionalProperties: false }, [{ a: 1 }], [{ b: 1 }]],
    [{ additionalProperties: { type: 'number' } }, [{ a: 1 }], [{ a: 'x' }]],
    [{ maxProperties: 1, minProperties: 1 }, [{ a: 1 }], [{}, { a: 1, b: 2 }]],
    [
      { properties: { a: { type: 'array', items: { type: 'boolean' }, minItems: 1, maxItems: 2 } } },
      [{ a: [true] }],
      [{ a: [] }, { a: [1] }, { a: [true, true, true] }],
    ],
    [
      { properties: { a: { enum: ['x', 1, null] } } },
      [{ a: 'x' }, { a: 1 }, { a: null }],
      [{ a: 'y' }, { a: '1' }],
    ],
    [{ properties: { a: { const: 'x' } } }, [{ a: 'x' }], [{ a: 'y' }]],
    [
      { properties: { a: { anyOf: [{ type: 'string' }, { type: 'number', minimum: 5 }] } } },
      [{ a: 'x' }, { a: 5 }],
      [{ a: 4 }, { a: true }],
    ],
    [{ oneOf: [{ required: ['a'] }, { required: ['b'] }] }, [{ a: 1 }, { b: 1 }], [{}, { a: 1, b: 1 }]],
    [
      { properties: { a: { type: 'string', format: 'date-time' } } },
      [{ a: '2026-11-29T17:00:00Z' }],
      [{ a: 'noon' }],
    ],
    [
      { properties: { a: { type: 'string', format: 'uuid' } } },
      [{ a: '0b1e6c1e-6f0f-4d4c-8f5a-3a4d5b6c7d8e' }],
      [{ a: 'x' }],
    ],
    [
      {
        $schema: 'https://json-schema.org/draft/2020-12/schema',
        title: 'T',
        properties: { a: { type: 'number', default: 5, description: 'd', examples: [1] } },
      },
      [{}, { a: 1 }],
      [{ a: '1' }],
    ],
  ])('with %j takes what fits its JSON Schema', (schema, fitting, unfit) => {
    const check = checking(schema);

    for (const body of fitting) check(body);
    for (const body of unfit)
      expect(() => check(body)).toThrow(
        expect.objectContaining({
          code: 'invalid_input',
          message: expect.stringContaining('The body does not fit the type own: '),
        }),
      );
  });

  test.each<[unknown, RegExp]>([
    [undefined, /expected record/],
    [{}, /must be of an object/],
    [{ type: 'array' }, /must be of an object/],
    [{ type: 'object', pattern: '(a+)+$' }, /pattern: is not taken here; there are type, /],
    [
      { type: 'object', properties: { a: { type: 'string', pattern: 'x' } } },
      /properties\.a\.pattern: is not taken/,
    ],
    [{ type: 'object', patternProperties: {} }, /patternProperties: is not taken/],
    [{ type: 'object', properties: { a: { $ref: '#' } } }, /\$ref: is not taken/],
    [{ type: 'object', $defs: {} }, /\$defs: is not taken/],
    [
      { type: 'object', properties: { a: { type: 'array', uniqueItems: true } } },
      /uniqueItems: is not taken/,
    ],
    [{ type: 'object', not: {} }, /not: is not taken/],
    [{ type: 'object', constructor: {} }, /constructor: is not taken/],
    [{ type: 'object', $schema: 'http://json-schema.org/draft-04/schema#' }, /\$schema must be/],
    [{ type: 'object', properties: { a: { $schema: 'x' } } }, /\$schema: is not taken/],
    [{ type: 'object', properties: { a: true } }, /properties: must be an object of schemas/],
    [JSON.parse('{"type":"object","properties":{"__proto__":{}}}'), /must not name __proto__/],
    [{ type: 'object', properties: { a: { type: 'text' } } }, /type: must be one or a list of object/],
    [{ type: 'object', required: 'a' }, /required: must be a list of names/],
    [{ type: 'object', minProperties: -1 }, /minProperties: must be a whole number/],
    [{ type: 'object', properties: { a: { minimum: '1' } } }, /minimum: must be a number/],
    [{ type: 'object', properties: { a: { enum: [] } } }, /enum: must be a list of 1 to 100/],
    [{ type: 'object', properties: { a: { enum: [{}] } } }, /enum: must be a list/],
    [{ type: 'object', properties: { a: { enum: Array(101).fill(1) } } }, /enum: must be a list/],
    [{ type: 'object', anyOf: Array.from({ length: 9 }, () => ({})) }, /anyOf: must be a list of 1 to 8/],
    [{ type: 'object', oneOf: [{ pattern: 'x' }] }, /oneOf\.pattern: is not taken/],
    [{ type: 'object', properties: { a: { items: [{}] } } }, /items: must be a schema/],
    [{ type: 'object', additionalProperties: { format: 'email' } }, /format: must be one of date-time/],
    [{ type: 'object', description: 'x'.repeat(20_000) }, /has \d+ bytes; 16384 are allowed/],
    [
      Array.from({ length: 12 }).reduce<object>((inner) => ({ type: 'object', properties: { a: inner } }), {
        type: 'object',
      }),
      /is deeper than 10/,
    ],
  ])('%#: refuses a schema like %j', (schema, words) => {
    expect(complaintAbout(schema)).toMatch(words);
  });

  test('refuses a body with so many values that checking it would hold the hub', () => {
    const alternatives = Array.from({ length: 8 }, (_, at) => ({ type: 'integer', minimum: at }));
    const check = checking({ properties: { a: { type: 'array', items: { anyOf: alternatives } } } });
    const isTooLarge = expect.objectContaining({ code: 'too_large' });

    check({ a: Array(2_000).fill(7) });
    expect(() => check({ a: Array(100_000).fill(7) })).toThrow(isTooLarge);
    expect(() => checking({})({ a: Array(100_000).fill(7) })).toThrow(isTooLarge);
    const times = checking({
      properties: { a: { anyOf: Array.from({ length: 8 }, () => ({ type: 'string', format: 'time' })) } },
    });
    expect(() => times({ a: 'x'.repeat(10_000_000) })).toThrow(isTooLarge);
    checking({ properties: { a: { type: 'string' } } })({ a: 'x'.repeat(10_000_000) });
  });

  test('never fails in another way, whatever the schema and the body are', () => {
    const words = [
      'type',
      'properties',
      'required',
      'items',
      'enum',
      'anyOf',
      'oneOf',
      'minimum',
      'additionalProperties',
      'maxLength',
    ];
    const schema = fc.letrec<{ one: unknown }>((tie) => ({
      one: fc.oneof(
        { maxDepth: 4 },
        fc.constantFrom<unknown>('object', 'string', ['number', 'null'], 5, true, ['a'], 'array'),
        fc.dictionary(fc.constantFrom(...words, 'a'), tie('one'), { maxKeys: 4 }),
        fc.array(tie('one'), { maxLength: 3 }),
      ),
    })).one;
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...words), schema), fc.jsonValue(), (given, body) => {
        const value = { ...given, type: 'object' };
        if (complaintAbout(value) !== undefined) return;
        expect(codeOf(() => checking(value)(body))).toMatch(/^(?:fits|invalid_input)$/);
      }),
      { numRuns: 300 },
    );
  });
});
