/**
 * A tool's value as a message on the wire. The library goes there by way of JSON and of a message in memory, which takes a large share of
 * a small call.
 */
import { ScalarType, type DescEnum, type DescField, type DescMessage } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';

import { wireOf } from './scan.ts';
import { wordOf } from './words.ts';

/** What the message has no field for is left out. @throws TypeError or RangeError for a value that does not fit: a bug. */
export function encoded(desc: DescMessage, value: object): Uint8Array {
  const writer = new BinaryWriter();
  writeFields(writer, fieldsOf(desc), value);
  return writer.finish();
}

// oxlint-disable-next-line typescript/no-explicit-any -- what tools answer has been checked, and what does not fit is thrown by the writer
type Value = any;
type Write = (writer: BinaryWriter, value: Value) => void;

/** How a value is written, without its tag. */
interface Form {
  readonly wire: WireType;
  readonly write: Write;
}

interface Field {
  readonly name: string;
  readonly write: Write;
}

const known = new WeakMap<DescMessage, readonly Field[]>();

function fieldsOf(desc: DescMessage): readonly Field[] {
  let fields = known.get(desc);
  if (!fields) {
    fields = desc.fields.map((field) => ({ name: field.name, write: writeOf(field) }));
    known.set(desc, fields);
  }
  return fields;
}

function writeFields(writer: BinaryWriter, fields: readonly Field[], value: Value): void {
  for (const { name, write } of fields) {
    const one: Value = value[name];
    if (one !== undefined && one !== null) write(writer, one);
  }
}

function writeOf(field: DescField): Write {
  const { number, fieldKind } = field;
  const { wire, write } = formOf(field);
  const writeTagged: Write = (writer, value) => write(writer.tag(number, wire), value);
  if (fieldKind === 'map') {
    return (writer, entries) => {
      for (const [key, value] of Object.entries(entries)) {
        writer.tag(number, WireType.LengthDelimited).fork();
        writer.tag(1, WireType.LengthDelimited).string(key);
        write(writer.tag(2, wire), value);
        writer.join();
      }
    };
  }
  if (fieldKind !== 'list') {
    // Of what is always there, nothing is said when it is nothing.
    const isAlways = field.presence === FeatureSet_FieldPresence.IMPLICIT;
    return isAlways ? (writer, value) => value && writeTagged(writer, value) : writeTagged;
  }
  if (!field.packed) return (writer, list) => list.forEach((item: Value) => writeTagged(writer, item));
  return (writer, list) => {
    if (list.length === 0) return;
    writer.tag(number, WireType.LengthDelimited).fork();
    for (const item of list) write(writer, item);
    writer.join();
  };
}

function formOf({ enum: own, message, scalar }: DescField): Form {
  if (own) return { wire: WireType.Varint, write: writeWordOf(own) };
  if (message) return { wire: WireType.LengthDelimited, write: inside(writeMessageOf(message)) };
  const wire = wireOf(scalar);
  if (scalar === ScalarType.BYTES)
    return { wire, write: (writer, base64) => writer.bytes(Buffer.from(base64, 'base64')) };
  const method = ScalarType[scalar].toLowerCase() as 'string' | 'int32';
  return { wire, write: (writer, value) => writer[method](value as never) };
}

function writeWordOf({ typeName, values }: DescEnum): Write {
  const numbers = new Map(values.map((one) => [wordOf(one), one.number]));
  return (writer, word) => {
    const number = numbers.get(word);
    if (number === undefined) throw new TypeError(`${typeName} has no value for ${JSON.stringify(word)}.`);
    writer.int32(number);
  };
}

/** Those of Google have words of their own. */
function writeMessageOf(message: DescMessage): Write {
  if (message.typeName === 'google.protobuf.Timestamp') return writeTime;
  if (message.typeName === 'google.protobuf.Struct') return writeStruct;
  // Looked up when it is written: a message may hold itself.
  return (writer, value) => writeFields(writer, fieldsOf(message), value);
}

/** With its length before it. */
const inside =
  (write: Write): Write =>
  (writer, value) => {
    writer.fork();
    write(writer, value);
    writer.join();
  };

/** https://protobuf.dev/reference/protobuf/google.protobuf/#timestamp */
const writeTime: Write = (writer, text: string) => {
  const seconds = Math.floor(Date.parse(text) / 1_000);
  const nanos = Number((/\.(\d{1,9})/.exec(text)?.[1] ?? '').padEnd(9, '0'));
  writer.tag(1, WireType.Varint).int64(seconds);
  if (nanos !== 0) writer.tag(2, WireType.Varint).int32(nanos);
};

/** https://protobuf.dev/reference/protobuf/google.protobuf/#struct */
const writeStruct: Write = (writer, object) => {
  for (const [key, value] of Object.entries(object)) {
    if (value === undefined) continue;
    writer.tag(1, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(key);
    writeAny(writer.tag(2, WireType.LengthDelimited), value);
    writer.join();
  }
};

const writeAny = inside((writer, value) => {
  if (value === null) writer.tag(1, WireType.Varint).int32(0);
  else if (typeof value === 'number') writer.tag(2, WireType.Bit64).double(value);
  else if (typeof value === 'string') writer.tag(3, WireType.LengthDelimited).string(value);
  else if (typeof value === 'boolean') writer.tag(4, WireType.Varint).bool(value);
  else if (Array.isArray(value)) writeList(writer.tag(6, WireType.LengthDelimited), value);
  else writeObject(writer.tag(5, WireType.LengthDelimited), value);
});

const writeObject = inside(writeStruct);

const writeList = inside((writer, list) => {
  for (const item of list) writeAny(writer.tag(1, WireType.LengthDelimited), item);
});
