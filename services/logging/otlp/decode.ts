/**
 * OTLP/HTTP, logs: what a request holds, whichever way it is written. Field numbers are those of the public protocol
 * (opentelemetry-proto, collector/logs/v1). Both ways give the same records; nothing here knows the store.
 */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

import { textOf } from '../intake/clean.ts';
import { maxOtlpMessages, maxOtlpRecords } from '../limits.ts';

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

export interface LogRecord {
  readonly timeUnixMs: number | undefined;
  readonly severityNumber: number;
  readonly severityText: string;
  readonly body: Value;
  readonly attributes: Attributes;
  /** In hex; empty where there is none. */
  readonly traceId: string;
  readonly spanId: string;
  readonly resource: Attributes;
  readonly scope: string;
}

/** What cannot be read as a request. */
export class OtlpError extends Error {
  override readonly name = 'OtlpError';
}

/** A request that says more than is taken at once. */
export class OtlpTooLargeError extends OtlpError {}

const most = { records: maxOtlpRecords, messages: maxOtlpMessages };
/** Of the request that is read: one at a time, without a break. */
let left = { ...most };
function count(what: keyof typeof most): void {
  left[what] -= 1;
  if (left[what] < 0)
    throw new OtlpTooLargeError(`The request has more than ${most[what]} ${what}: send smaller batches.`);
}

/** Records within records, lists within lists: deeper ones are cut off. */
const mostDepth = 16;

// Protobuf. A message is read field by field; unknown ones are skipped, as the format wants it.

type Read<State> = Readonly<Record<number, (reader: BinaryReader, state: State, depth: number) => void>>;

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

function within<State>(reader: BinaryReader, fields: Read<State>, state: State, depth: number): State {
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

const arrayValue: Read<Value[]> = {
  1: (reader, list, depth) =>
    void list.push(within<Held>(reader, anyValue, { value: undefined }, depth).value),
};

const keyValue: Read<{ key: string; value: Value }> = {
  1: (reader, pair) => void (pair.key = reader.string()),
  2: (reader, pair, depth) =>
    void (pair.value = within<Held>(reader, anyValue, { value: undefined }, depth).value),
};

function readPair(reader: BinaryReader, into: Record<string, Value>, depth: number): void {
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

interface Draft {
  time: number | undefined;
  observed: number | undefined;
  number: number;
  text: string;
  body: Value;
  attributes: Record<string, Value>;
  traceId: string;
  spanId: string;
}

const draft = (): Draft => {
  count('records');
  return {
    time: undefined,
    observed: undefined,
    number: 0,
    text: '',
    body: undefined,
    attributes: {},
    traceId: '',
    spanId: '',
  };
};

const nanoseconds = (value: string | bigint | number): number | undefined => {
  const ms = Number(BigInt(value) / 1_000_000n);
  return ms > 0 ? ms : undefined;
};

const recordFields: Read<Draft> = {
  1: (reader, record) => void (record.time = nanoseconds(reader.fixed64())),
  2: (reader, record) => void (record.number = reader.int32()),
  3: (reader, record) => void (record.text = reader.string()),
  5: (reader, record, depth) =>
    void (record.body = within<Held>(reader, anyValue, { value: undefined }, depth).value),
  6: (reader, record, depth) => readPair(reader, record.attributes, depth),
  9: (reader, record) => void (record.traceId = hex(reader.bytes())),
  10: (reader, record) => void (record.spanId = hex(reader.bytes())),
  11: (reader, record) => void (record.observed = nanoseconds(reader.fixed64())),
};

interface Group {
  readonly resource: Record<string, Value>;
  readonly scopes: { name: string; readonly drafts: Draft[] }[];
}

const scopeLogs: Read<{ name: string; readonly drafts: Draft[] }> = {
  1: (reader, scope, depth) => void within(reader, scopeFields, scope, depth),
  2: (reader, scope, depth) => void scope.drafts.push(within(reader, recordFields, draft(), depth)),
};

const resourceLogs: Read<Group> = {
  1: (reader, group, depth) => void within(reader, resourceFields, group.resource, depth),
  2: (reader, group, depth) =>
    void group.scopes.push(within(reader, scopeLogs, { name: '', drafts: [] }, depth)),
};

const requestFields: Read<Group[]> = {
  1: (reader, groups, depth) =>
    void groups.push(within(reader, resourceLogs, { resource: {}, scopes: [] }, depth)),
};

/** @throws OtlpError for what is no ExportLogsServiceRequest. */
export function decodeProtobuf(bytes: Uint8Array): LogRecord[] {
  left = { ...most };
  try {
    const reader = new BinaryReader(bytes, readable);
    return recordsOf(readMessage(reader, bytes.length, requestFields, [], 0));
  } catch (error) {
    throw error instanceof OtlpError
      ? error
      : new OtlpError(`The protobuf cannot be read: ${(error as Error).message}.`);
  }
}

/** Collectors send what programs wrote, without looking: one text that is no UTF-8 must not cost the whole request. */
const readable = (bytes: Uint8Array) =>
  textOf(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)).text;

function recordsOf(groups: readonly Group[]): LogRecord[] {
  return groups.flatMap(({ resource, scopes }) =>
    scopes.flatMap(({ name, drafts }) =>
      drafts.map((one) => ({
        timeUnixMs: one.time ?? one.observed,
        severityNumber: one.number,
        severityText: one.text,
        body: one.body,
        attributes: one.attributes,
        traceId: one.traceId,
        spanId: one.spanId,
        resource,
        scope: name,
      })),
    ),
  );
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const whole = (value: bigint | string): number | bigint =>
  BigInt(value) >= -9_007_199_254_740_991n && BigInt(value) <= 9_007_199_254_740_991n
    ? Number(value)
    : BigInt(value);

// JSON, as protobuf maps it, with hex for the ids: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding

type Json = Readonly<Record<string, unknown>>;

const object = (value: unknown, what: string): Json => {
  count('messages');
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) throw new OtlpError(`${what} must be an object.`);
  return value as Json;
};

const list = (value: unknown, what: string): readonly unknown[] => {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new OtlpError(`${what} must be a list.`);
  return value as unknown[];
};

const textIn = (value: unknown) => (typeof value === 'string' ? value : '');

function timeIn(value: unknown): number | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  if (typeof value === 'string' && !/^\d{1,20}$/.test(value))
    throw new OtlpError('A time must be nanoseconds since the epoch.');
  return nanoseconds(typeof value === 'number' ? Math.trunc(value) : value);
}

const idIn = (value: unknown, length: number) => {
  const id = textIn(value).toLowerCase();
  return new RegExp(`^[0-9a-f]{${length}}$`).test(id) ? id : '';
};

function valueIn(given: unknown, depth: number): Value {
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

function pairsIn(given: unknown, depth: number): Record<string, Value> {
  const pairs: Record<string, Value> = {};
  for (const one of list(given, 'attributes')) {
    const { key, value } = object(one, 'An attribute');
    set(pairs, textIn(key), valueIn(value, depth));
  }
  return pairs;
}

/** @throws OtlpError for what is no ExportLogsServiceRequest. */
export function decodeJson(source: string): LogRecord[] {
  left = { ...most };
  let given: unknown;
  try {
    given = JSON.parse(source);
  } catch {
    throw new OtlpError('The body is not JSON.');
  }
  const groups = list(object(given, 'The request')['resourceLogs'], 'resourceLogs').map((one): Group => {
    const group = object(one, 'An element of resourceLogs');
    return {
      resource: pairsIn(object(group['resource'], 'resource')['attributes'], 1),
      scopes: list(group['scopeLogs'], 'scopeLogs').map((scoped) => {
        const scope = object(scoped, 'An element of scopeLogs');
        return {
          name: textIn(object(scope['scope'], 'scope')['name']),
          drafts: list(scope['logRecords'], 'logRecords').map((each) =>
            draftIn(object(each, 'A log record')),
          ),
        };
      }),
    };
  });
  return recordsOf(groups);
}

function draftIn(record: Json): Draft {
  count('records');
  return {
    time: timeIn(record['timeUnixNano']),
    observed: timeIn(record['observedTimeUnixNano']),
    number: Number(record['severityNumber'] ?? 0) || 0,
    text: textIn(record['severityText']),
    body: record['body'] === undefined ? undefined : valueIn(record['body'], 1),
    attributes: pairsIn(record['attributes'], 1),
    traceId: idIn(record['traceId'], 32),
    spanId: idIn(record['spanId'], 16),
  };
}

/** What a request is answered with: a partial success where records were refused, in the way in which it was sent. */
export function encodeAnswer(isJson: boolean, rejected: number, message: string): Uint8Array | string {
  if (isJson) {
    return JSON.stringify(
      rejected === 0
        ? {}
        : { partialSuccess: { rejectedLogRecords: String(rejected), errorMessage: message } },
    );
  }
  if (rejected === 0) return new Uint8Array();
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
