/** What tools say as messages of gRPC: read back by the library, it is the same. */
import type { DescMessage } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { encoded } from '#runtime/wire/grpc/encode.ts';
import { readProtos } from '#runtime/wire/grpc/protos.ts';
import { argumentsOf } from '#runtime/wire/grpc/words.ts';

const protos = readProtos(new URL('support/wire-protos.json', import.meta.url));
const repeat = protos.getMessage('flotilla.test.v1.RepeatRequest') as DescMessage;

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ minLength: 100, maxLength: 400, unit: 'binary' }),
);
const colour = fc.constantFrom('red', 'dark_blue');
const int32 = fc.integer();
const json = fc.jsonValue({ depthSize: 'medium' });
const { part } = fc.letrec((tie) => ({
  part: fc.record(
    { colour, parts: fc.array(tie('part'), { minLength: 1, maxLength: 2, depthIdentifier: 'part' }) },
    { requiredKeys: [] },
  ),
}));
const value = fc.record(
  {
    text,
    count: int32,
    share: fc.double({ noNaN: true, noDefaultInfinity: true }).map((one) => one || 0),
    flag: fc.boolean(),
    colour,
    colours: fc.array(colour, { minLength: 1 }),
    named: fc.dictionary(text, colour, { minKeys: 1 }),
    part,
    anything: fc.dictionary(text, json),
    at: fc
      .date({
        min: new Date('0001-01-01T00:00:00Z'),
        max: new Date('9999-12-31T23:59:59.999Z'),
        noInvalidDate: true,
      })
      .map((date) => date.toISOString()),
    numbers: fc.array(int32, { minLength: 1 }),
    long: fc.maxSafeInteger(),
  },
  { requiredKeys: [] },
);

/** As JSON has it; and without the zeros that the library writes in times. */
function plain(one: object): unknown {
  const { at, ...rest } = one as { at?: string };
  return JSON.parse(JSON.stringify({ ...rest, ...(at !== undefined && { at: new Date(at) }) }));
}

describe('A value', () => {
  test('is read back as it was', () => {
    fc.assert(
      fc.property(value, (given) => {
        expect(plain(argumentsOf(repeat, encoded(repeat, given)))).toEqual(plain(given));
      }),
    );
  });

  test('may have a time between two milliseconds, and before 1970', () => {
    for (const at of ['1969-12-31T23:59:59.123456789Z', '2026-01-01T00:00:00.000001Z'])
      expect(argumentsOf(repeat, encoded(repeat, { at }))).toEqual({ at });
  });

  test('that is nothing is left out, and so is what the message has no field for', () => {
    expect(
      encoded(repeat, { text: null, part: undefined, colours: [], numbers: [], unknown: 1 }),
    ).toHaveLength(0);
  });

  test.each([
    ['a word that the enum lacks', { colour: 'green' }, 'no value for "green"'],
    ['a number that is too large', { count: 2 ** 40 }, 'invalid int32'],
    ['a number with a fraction', { long: 1.5 }, '1.5'],
    ['a time that is none', { at: 'yesterday' }, 'NaN'],
  ])('with %s is a bug', (_what, wrong, words) => {
    expect(() => encoded(repeat, wrong)).toThrow(words);
  });
});
