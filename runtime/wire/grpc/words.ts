/**
 * What a message of gRPC is as the arguments of a tool, and what a tool's value is as a message: proto JSON with the names of the
 * .proto files, but enums in the tools' own words (`STATUS_IN_PROGRESS` is `in_progress`), and whole numbers as numbers.
 */
import {
  fromBinary,
  fromJson,
  ScalarType,
  toBinary,
  toJson,
  type DescEnum,
  type DescField,
  type DescMessage,
  type JsonValue,
} from '@bufbuild/protobuf';

import { ToolError } from '../../errors.ts';

/** @throws ToolError `invalid_input` for what JSON has no words for, such as a number that is none, or a time out of range. */
export function argumentsOf(desc: DescMessage, message: Uint8Array): Record<string, unknown> {
  let json: JsonValue;
  try {
    json = toJson(desc, fromBinary(desc, message, { readUnknownFields: false }), { useProtoFieldName: true });
  } catch (error) {
    throw new ToolError('invalid_input', `The message has a value that JSON has no words for.`, {
      hint: 'Numbers are finite, and times lie between the years 1 and 9999.',
      cause: error,
    });
  }
  return inWords(desc, json, toTool) as Record<string, unknown>;
}

/** @throws TypeError for a value that does not fit: a bug. */
export function encoded(desc: DescMessage, value: object): Uint8Array {
  const json = inWords(desc, value as JsonValue, toMessage);
  return toBinary(desc, fromJson(desc, json, { ignoreUnknownFields: true }));
}

interface Direction {
  readonly enum: (desc: DescEnum, value: JsonValue) => JsonValue;
  readonly long: (value: JsonValue) => JsonValue;
}

const toTool: Direction = {
  // What is no value of the enum is left to the tool to refuse.
  enum: (desc, name) => {
    const value = desc.values.find((one) => one.name === name);
    return value ? wordOf(value) : name;
  },
  // In JSON it is a text, since it may have more digits than a number there.
  long: Number,
};

const toMessage: Direction = {
  enum: (desc, word) => {
    const value = desc.values.find((one) => wordOf(one) === word);
    if (!value) throw new TypeError(`${desc.typeName} has no value for ${JSON.stringify(word)}.`);
    return value.name;
  },
  long: (value) => value,
};

/** Without the prefix that all values of an enum have. */
export const wordOf = ({ localName }: DescEnum['values'][number]) => localName.toLowerCase();

/** Only of messages in which something differs; JSON of others, such as `google.protobuf.Struct`, stays what it is. */
function inWords(desc: DescMessage, json: JsonValue, direction: Direction): JsonValue {
  if (!differs(desc) || typeof json !== 'object' || json === null || Array.isArray(json)) return json;
  const translated: Record<string, JsonValue> = { ...json };
  for (const field of desc.fields) {
    const value = json[field.name];
    if (value === undefined || value === null) continue;
    const one = translateOne(field, direction);
    if (!one) continue;
    translated[field.name] = Array.isArray(value)
      ? value.map((item) => one(item))
      : field.fieldKind === 'map'
        ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, one(each as JsonValue)]))
        : one(value);
  }
  return translated;
}

function translateOne(field: DescField, direction: Direction): ((value: JsonValue) => JsonValue) | undefined {
  const { enum: own, message, scalar } = field;
  if (own) return (value) => direction.enum(own, value);
  if (isLong(scalar)) return direction.long;
  return message && differs(message) ? (value) => inWords(message, value, direction) : undefined;
}

const isLong = (scalar: ScalarType | undefined) =>
  scalar === ScalarType.INT64 || scalar === ScalarType.UINT64 || scalar === ScalarType.SINT64;

const differing = new WeakMap<DescMessage, boolean>();

function differs(desc: DescMessage): boolean {
  const known = differing.get(desc);
  if (known !== undefined) return known;
  // A message that holds itself; and those of Google have JSON of their own.
  differing.set(desc, false);
  const found =
    !desc.typeName.startsWith('google.') &&
    desc.fields.some(
      ({ enum: own, message, scalar }) =>
        own !== undefined || isLong(scalar) || (message !== undefined && differs(message)),
    );
  differing.set(desc, found);
  return found;
}
