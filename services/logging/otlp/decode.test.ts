import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { expect, test } from 'vitest';

import { encodeAnswer, OtlpError } from '#runtime/otlp/wire.ts';

import { decodeJson, decodeProtobuf } from './decode.ts';
import { someRecords, asJson, asProtobuf } from './otlp.fixture.ts';

test('protobuf and JSON give the same records', () => {
  const fromProtobuf = decodeProtobuf(asProtobuf(someRecords));
  expect(fromProtobuf).toEqual(decodeJson(asJson(someRecords)));
  expect(fromProtobuf).toMatchObject([
    {
      timeUnixMs: 1_795_924_800_123,
      severityNumber: 17,
      severityText: 'ERROR',
      body: 'it broke',
      attributes: { 'http.status': 500, big: 9_007_199_254_740_993n, ok: true, ratio: 0.5, list: ['a', 'b'] },
      traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
      resource: { 'service.name': 'shop' },
      scope: 'checkout',
    },
    { body: 'later' },
  ]);
});

test('a field that is not known is passed over', () => {
  const known = asProtobuf(someRecords);
  const unknown = new BinaryWriter().tag(99, WireType.LengthDelimited).string('new').finish();
  expect(decodeProtobuf(Buffer.concat([unknown, known]))).toHaveLength(2);
});

test('an empty request has no records', () => {
  expect(decodeProtobuf(new Uint8Array())).toEqual([]);
  expect(decodeJson('{}')).toEqual([]);
});

test('what is cut off, changed or made up is refused, and nothing else happens', () => {
  const whole = asProtobuf(someRecords);
  const outcomeOf = (bytes: Uint8Array) => {
    try {
      return decodeProtobuf(bytes).length >= 0;
    } catch (error) {
      return error instanceof OtlpError;
    }
  };
  for (let at = 1; at < whole.length; at += 1) {
    expect(outcomeOf(whole.subarray(0, at))).toBe(true);
    const changed = Uint8Array.from(whole);
    changed[at] = (changed[at] ?? 0) ^ 0xff;
    expect(outcomeOf(changed)).toBe(true);
  }
  expect(() => decodeProtobuf(whole.subarray(0, 50))).toThrow(OtlpError);
});

test('values within values have an end', () => {
  let value: Uint8Array = new BinaryWriter().tag(1, WireType.LengthDelimited).string('deep').finish();
  let json: unknown = { stringValue: 'deep' };
  for (let depth = 0; depth < 100; depth += 1) {
    const list = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(value).finish();
    value = new BinaryWriter().tag(5, WireType.LengthDelimited).bytes(list).finish();
    json = { arrayValue: { values: [json] } };
  }
  const record = new BinaryWriter().tag(5, WireType.LengthDelimited).bytes(value).finish();
  const wrap = (number: number, bytes: Uint8Array) =>
    new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(bytes).finish();
  expect(() => decodeProtobuf(wrap(1, wrap(2, wrap(2, record))))).toThrow(OtlpError);
  expect(() =>
    decodeJson(JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: [{ body: json }] }] }] })),
  ).toThrow(OtlpError);
});

test.each([
  '',
  '[]',
  '"x"',
  '{"resourceLogs":{}}',
  '{"resourceLogs":[1]}',
  '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"soon"}]}]}]}',
  '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"intValue":"many"}}]}]}]}',
])('%s is no request in JSON', (text) => {
  expect(() => decodeJson(text)).toThrow(OtlpError);
});

test('a name that JavaScript gives a meaning is a name', () => {
  const [record] = decodeJson(
    '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"attributes":[{"key":"__proto__","value":{"stringValue":"x"}}]}]}]}]}',
  );
  expect(Object.keys(record?.attributes ?? {})).toEqual(['__proto__']);
});

test('what was refused is told in the way in which it was asked', () => {
  expect(encodeAnswer(true, 'rejectedLogRecords', 0, '')).toBe('{}');
  expect(encodeAnswer(true, 'rejectedLogRecords', 3, 'too_old: 3')).toBe(
    '{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too_old: 3"}}',
  );
  expect(Buffer.from(encodeAnswer(false, 'rejectedLogRecords', 3, 'x') as Uint8Array).toString('hex')).toBe(
    '0a050803120178',
  );
});
