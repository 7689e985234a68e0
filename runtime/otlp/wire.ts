/**
 * What the signals of OTLP have in common, in protobuf and in JSON: resources, scopes, attributes, values. Field numbers are those
 * of the public protocol (opentelemetry-proto). Both ways give the same; a signal adds what its records hold.
 */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

import { textOf } from '../readable.ts';

export type Value =
  | string
  | number
  | bigint
  | boolean
  | Uint8Array
  | readonly Value[]
  | Attributes
  | undefined;
export interface Attributes {
  readonly [name: string]: Value;
}

/** What cannot be read as a request. */
export class OtlpError extends Error {
  override readonly name = 'OtlpError';
}

/** A request that says more than is taken at once. */
export class OtlpTooLargeError extends OtlpError {}

/**
 * Most of a request. Empty messages cost two bytes each, and next to nothing when they are packed, so they are counted as well as
 * records.
 */
export interface Most {
  readonly records: number;
  readonly messages: number;
}

/** Of the request that is read: one at a time, without a break. */
let most: Most = { records: 0, messages: 0 };
let left = { records: 0, messages: 0 };
function count(what: keyof Most): void {
  left[what] -= 1;
  if (left[what] < 0)
    throw new OtlpTooLargeError(`The request has more than ${most[what]} ${what}: send smaller batches.`);
}

/** Records within records, lists within lists: deeper ones are cut off. */
const mostDepth = 16;

// Protobuf. A message is read field by field; unknown ones are skipped, as the format wants it.

export type Read<State> = Readonly<
  Record<number, (reader: BinaryReader, state: State, depth: number) => void>
>;

function readMessage<State>(
  reader: BinaryReader,
  end: number,
  fields: Read<State>,
  state: State,
  depth: number,
): State {
  if (depth > mostDepth) throw new OtlpError('It is nested too deep.');
  while (reader.pos < end) {
    const [number, wire] = reader.tag();
    const read = fields[number];
    if (read) read(reader, state, depth);
    else reader.skip(wire, number);
  }
  if (reader.pos !== end) throw new OtlpError('A message goes beyond its end.');
  return state;
}

export function within<State>(reader: BinaryReader, fields: Read<State>, state: State, depth: number): State {
  count('messages');
  const length = reader.uint32();
  if (length > reader.len - reader.pos) throw new OtlpError('A message goes beyond its end.');
  return readMessage(reader, reader.pos + length, fields, state, depth + 1);
}

interface Held {
  value: Value;
}

const anyValue: Read<Held> = {
  1: (reader, held) => void (held.value = reader.string()),
  2: (reader, held) => void (held.value = reader.bool()),
  3: (reader, held) => void (held.value = whole(reader.int64())),
  4: (reader, held) => void (held.value = reader.double()),
  5: (reader, held, depth) => void (held.value = within(reader, arrayValue, [] as Value[], depth)),
  6: (reader, held, depth) => void (held.value = within(reader, listOfPairs(1), {}, depth)),
  7: (reader, held) => void (held.value = reader.bytes()),
};

export const readValue = (reader: BinaryReader, depth: number): Value =>
  within<Held>(reader, anyValue, { value: undefined }, depth).value;

const arrayValue: Read<Value[]> = {
  1: (reader, list, depth) => void list.push(readValue(reader, depth)),
};

const keyValue: Read<{ key: string; value: Value }> = {
  1: (reader, pair) => void (pair.key = reader.string()),
  2: (reader, pair, depth) => void (pair.value = readValue(reader, depth)),
};

export function readPair(reader: BinaryReader, into: Record<string, Value>, depth: number): void {
  const { key, value } = within(reader, keyValue, { key: '', value: undefined }, depth);
  set(into, key, value);
}

/** An assignment to the name `__proto__` would change the prototype, and lose the value. */
function set(into: Record<string, Value>, key: string, value: Value): void {
  Object.defineProperty(into, key, { value, enumerable: true, configurable: true, writable: true });
}

const listOfPairs = (number: number): Read<Record<string, Value>> => ({ [number]: readPair });

const resourceFields = listOfPairs(1);
const scopeFields: Read<{ name: string }> = { 1: (reader, scope) => void (scope.name = reader.string()) };

/** A signal: what its records are called in JSON, and what is in one. */
export interface Signal<Draft> {
  /** Of the request, of a resource and of a scope. */
  readonly names: readonly [string, string, string];
  readonly most: Most;
  draft(): Draft;
  readonly fields: Read<Draft>;
  draftIn(record: Json): Draft;
}

export interface Group<Draft> {
  readonly resource: Record<string, Value>;
  readonly scopes: { name: string; readonly drafts: Draft[] }[];
}

function requestFields<Draft>(signal: Signal<Draft>): Read<Group<Draft>[]> {
  const scopeOf: Read<Group<Draft>['scopes'][number]> = {
    1: (reader, scope, depth) => void within(reader, scopeFields, scope, depth),
    2: (reader, scope, depth) => {
      count('records');
      scope.drafts.push(within(reader, signal.fields, signal.draft(), depth));
    },
  };
  const resourceOf: Read<Group<Draft>> = {
    1: (reader, group, depth) => void within(reader, resourceFields, group.resource, depth),
    2: (reader, group, depth) =>
      void group.scopes.push(within(reader, scopeOf, { name: '', drafts: [] }, depth)),
  };
  return {
    1: (reader, groups, depth) =>
      void groups.push(within(reader, resourceOf, { resource: {}, scopes: [] }, depth)),
  };
}

/** @throws OtlpError for what is no export request of the signal. */
export function decodeProtobuf<Draft>(bytes: Uint8Array, signal: Signal<Draft>): Group<Draft>[] {
  ({ most } = signal);
  left = { ...most };
  try {
    const reader = new BinaryReader(bytes, readable);
    return readMessage(reader, bytes.length, requestFields(signal), [], 0);
  } catch (error) {
    throw error instanceof OtlpError
      ? error
      : new OtlpError(`The protobuf cannot be read: ${(error as Error).message}.`);
  }
}

/** Collectors send what programs wrote, without looking: one text that is no UTF-8 must not cost the whole request. */
const readable = (bytes: Uint8Array) =>
  textOf(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)).text;

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const whole = (value: bigint | string): number | bigint =>
  BigInt(value) >= -9_007_199_254_740_991n && BigInt(value) <= 9_007_199_254_740_991n
    ? Number(value)
    : BigInt(value);

// JSON, as protobuf maps it, with hex for the ids: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding

export type Json = Readonly<Record<string, unknown>>;

export const object = (value: unknown, what: string): Json => {
  count('messages');
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) throw new OtlpError(`${what} must be an object.`);
  return value as Json;
};

export const list = (value: unknown, what: string): readonly unknown[] => {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new OtlpError(`${what} must be a list.`);
  return value as unknown[];
};

export const textIn = (value: unknown): string => (typeof value === 'string' ? value : '');

/** Nanoseconds since the epoch. @throws OtlpError for what is no such time. */
export function timeIn(value: unknown): string | number | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  if (typeof value === 'string' && !/^\d{1,20}$/.test(value))
    throw new OtlpError('A time must be nanoseconds since the epoch.');
  return typeof value === 'number' ? Math.trunc(value) : value;
}

export const idIn = (value: unknown, length: number): string => {
  const id = textIn(value).toLowerCase();
  return id.length === length && /^[0-9a-f]*$/.test(id) ? id : '';
};

export function valueIn(given: unknown, depth: number): Value {
  if (depth > mostDepth) throw new OtlpError('It is nested too deep.');
  const value = object(given, 'A value');
  if ('stringValue' in value) return textIn(value['stringValue']);
  if ('boolValue' in value) return value['boolValue'] === true;
  if ('intValue' in value) {
    const number = value['intValue'];
    if (typeof number === 'number') return number;
    if (typeof number === 'string' && /^-?\d{1,20}$/.test(number)) return whole(number);
    throw new OtlpError('intValue must be a whole number.');
  }
  if ('doubleValue' in value) return Number(value['doubleValue']);
  if ('arrayValue' in value) {
    return list(object(value['arrayValue'], 'arrayValue')['values'], 'values').map((one) =>
      valueIn(one, depth + 1),
    );
  }
  if ('kvlistValue' in value)
    return pairsIn(object(value['kvlistValue'], 'kvlistValue')['values'], depth + 1);
  if ('bytesValue' in value) return Buffer.from(textIn(value['bytesValue']), 'base64');
  return undefined;
}

export function pairsIn(given: unknown, depth: number): Record<string, Value> {
  const pairs: Record<string, Value> = {};
  for (const one of list(given, 'attributes')) {
    const { key, value } = object(one, 'An attribute');
    set(pairs, textIn(key), valueIn(value, depth));
  }
  return pairs;
}

/** @throws OtlpError for what is no export request of the signal. */
export function decodeJson<Draft>(source: string, signal: Signal<Draft>): Group<Draft>[] {
  ({ most } = signal);
  left = { ...most };
  let given: unknown;
  try {
    given = JSON.parse(source);
  } catch {
    throw new OtlpError('The body is not JSON.');
  }
  const [ofRequest, ofResource, ofScope] = signal.names;
  return list(object(given, 'The request')[ofRequest], ofRequest).map((one): Group<Draft> => {
    const group = object(one, `An element of ${ofRequest}`);
    return {
      resource: pairsIn(object(group['resource'], 'resource')['attributes'], 1),
      scopes: list(group[ofResource], ofResource).map((scoped) => {
        const scope = object(scoped, `An element of ${ofResource}`);
        return {
          name: textIn(object(scope['scope'], 'scope')['name']),
          drafts: list(scope[ofScope], ofScope).map((each) => {
            count('records');
            return signal.draftIn(object(each, `An element of ${ofScope}`));
          }),
        };
      }),
    };
  });
}

/**
 * What a request is answered with, in the way in which it was sent: a partial success where records were refused, or, with none of
 * them, where there is something to say.
 *
 * @param rejectedName what JSON calls their number; in protobuf it is field 1 of every signal.
 */
export function encodeAnswer(
  isJson: boolean,
  rejectedName: string,
  rejected: number,
  message: string,
): Uint8Array | string {
  if (isJson) {
    return JSON.stringify(
      message === '' ? {} : { partialSuccess: { [rejectedName]: String(rejected), errorMessage: message } },
    );
  }
  if (message === '') return new Uint8Array();
  const partial = new BinaryWriter()
    .tag(1, WireType.Varint)
    .int64(rejected)
    .tag(2, WireType.LengthDelimited)
    .string(message);
  return new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(partial.finish()).finish();
}

/** A google.rpc.Status, as errors are told. */
export function encodeStatus(isJson: boolean, message: string): Uint8Array | string {
  if (isJson) return JSON.stringify({ message });
  return new BinaryWriter().tag(2, WireType.LengthDelimited).string(message).finish();
}
