/**
 * Looks a message over before it is decoded: a value costs two bytes of the wire format, and some hundred of memory, and the decoder
 * takes what it is given. What passes here is decoded without an error.
 */
import { isUtf8 } from 'node:buffer';

import { ScalarType, type DescField, type DescMessage } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

import { ToolError } from '../../errors.ts';

/** As many as a message of JSON may have. */
const mostValues = 100_000;
/** Messages within messages; the decoder takes 100. */
const mostDepth = 64;

/** @throws ToolError `invalid_input` for what is no such message, or too much of one. */
export function scan(message: DescMessage, bytes: Uint8Array): void {
  const state: State = { reader: new BinaryReader(bytes), bytes, left: mostValues };
  try {
    scanMessage(state, shapeOf(message), bytes.length, 1);
  } catch (error) {
    // The reader's own: a varint, a tag or a length that makes no sense.
    const reason = error instanceof Malformed ? error.message : 'it is not in the wire format';
    throw new ToolError('invalid_input', `The message is no ${message.typeName}: ${reason}.`, {
      hint: 'Generate your client from the .proto files of this release.',
      cause: error,
    });
  }
}

class Malformed extends Error {}

interface State {
  readonly reader: BinaryReader;
  readonly bytes: Uint8Array;
  left: number;
}

/** What stands behind a field number. */
interface Shape {
  readonly wire: WireType;
  /** Whether many values may stand behind one another in one field. */
  readonly isPackable: boolean;
  readonly isText: boolean;
  /** Of a field that is a message itself. */
  readonly fields: (() => Fields) | undefined;
}

type Fields = ReadonlyMap<number, Shape>;

const known = new WeakMap<DescMessage, Fields>();

function shapeOf(message: DescMessage): Fields {
  let fields = known.get(message);
  if (!fields) {
    fields = new Map(message.fields.map((field) => [field.number, shapeOfField(field)]));
    known.set(message, fields);
  }
  return fields;
}

function shapeOfField(field: DescField): Shape {
  if (field.fieldKind !== 'map') return shapeOfValue(field.message, field.scalar, field.fieldKind === 'list');
  const entry: Fields = new Map([
    [1, shapeOfValue(undefined, field.mapKey, false)],
    [2, shapeOfValue(field.message, field.scalar, false)],
  ]);
  return { wire: WireType.LengthDelimited, isPackable: false, isText: false, fields: () => entry };
}

/** An enum has no scalar type of its own. */
function shapeOfValue(
  message: DescMessage | undefined,
  scalar: ScalarType | undefined,
  isList: boolean,
): Shape {
  const wire = message ? WireType.LengthDelimited : wireOf(scalar);
  return {
    wire,
    isPackable: isList && wire !== WireType.LengthDelimited,
    isText: scalar === ScalarType.STRING,
    fields: message && (() => shapeOf(message)),
  };
}

const wires: ReadonlyMap<ScalarType | undefined, WireType> = new Map([
  [ScalarType.STRING, WireType.LengthDelimited],
  [ScalarType.BYTES, WireType.LengthDelimited],
  [ScalarType.DOUBLE, WireType.Bit64],
  [ScalarType.FIXED64, WireType.Bit64],
  [ScalarType.SFIXED64, WireType.Bit64],
  [ScalarType.FLOAT, WireType.Bit32],
  [ScalarType.FIXED32, WireType.Bit32],
  [ScalarType.SFIXED32, WireType.Bit32],
]);

/** Of a value that is no message; an enum has no scalar type. */
export const wireOf = (scalar: ScalarType | undefined) => wires.get(scalar) ?? WireType.Varint;

function scanMessage(state: State, fields: Fields, end: number, depth: number): void {
  const { reader } = state;
  if (depth > mostDepth) throw new Malformed(`it is nested deeper than ${mostDepth} messages`);
  while (reader.pos < end) {
    spend(state);
    const [number, wire] = reader.tag();
    const shape = fields.get(number);
    // Groups are of an older wire format, and hold as much as they like.
    if (wire === WireType.StartGroup) throw new Malformed('it has a group in it');
    if (!shape) {
      skip(state, wire);
    } else if (wire === WireType.LengthDelimited && (shape.wire === wire || shape.isPackable)) {
      scanDelimited(state, shape, end, depth);
    } else if (wire === shape.wire) {
      skip(state, wire);
    } else {
      throw new Malformed(`field ${number} has another type`);
    }
  }
  if (reader.pos !== end) throw new Malformed('it goes beyond its end');
}

function scanDelimited(state: State, shape: Shape, end: number, depth: number): void {
  const { reader, bytes } = state;
  const length = reader.uint32();
  const to = reader.pos + length;
  if (to > end) throw new Malformed('it goes beyond its end');
  if (shape.fields) {
    scanMessage(state, shape.fields(), to, depth + 1);
  } else if (shape.isPackable) {
    while (reader.pos < to) {
      spend(state);
      skip(state, shape.wire);
    }
    if (reader.pos !== to) throw new Malformed('a list goes beyond its end');
  } else if (shape.isText && !isUtf8(bytes.subarray(reader.pos, to))) {
    throw new Malformed('a text in it is not UTF-8');
  }
  reader.pos = to;
}

/** A varint is at most so long; the reader skips longer ones, and cannot read them. */
const longestVarintBytes = 10;

function skip({ reader }: State, wire: WireType): void {
  const from = reader.pos;
  reader.skip(wire);
  if (wire === WireType.Varint && reader.pos - from > longestVarintBytes)
    throw new Malformed('a number in it is too long');
}

function spend(state: State): void {
  state.left -= 1;
  if (state.left < 0) throw new Malformed('it has more than 100,000 values: split it');
}
