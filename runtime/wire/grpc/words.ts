/**
 * What a message of gRPC is as the arguments of a tool, and what a tool's value is as a message: proto JSON with the names of the
 * .proto files, but enums in the tools' own words (`STATUS_IN_PROGRESS` is `in_progress`), and whole numbers as numbers.
 */
import {
  fromBinary,
  ScalarType,
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
  return inWords(desc, json) as Record<string, unknown>;
}

/** What is no value of the enum is left to the tool to refuse. */
function wordIn({ values }: DescEnum, name: JsonValue): JsonValue {
  const value = values.find((one) => one.name === name);
  return value ? wordOf(value) : name;
}

/** Without the prefix that all values of an enum have. */
export const wordOf = ({ localName }: DescEnum['values'][number]) => localName.toLowerCase();

/** Only of messages in which something differs; JSON of others, such as `google.protobuf.Struct`, stays what it is. */
function inWords(desc: DescMessage, json: JsonValue): JsonValue {
  if (!differs(desc) || typeof json !== 'object' || json === null || Array.isArray(json)) return json;
  const translated: Record<string, JsonValue> = { ...json };
  for (const field of desc.fields) {
    const value = json[field.name];
    if (value === undefined || value === null) continue;
    const one = translateOne(field);
    if (!one) continue;
    translated[field.name] = Array.isArray(value)
      ? value.map((item) => one(item))
      : field.fieldKind === 'map'
        ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, one(each as JsonValue)]))
        : one(value);
  }
  return translated;
}

function translateOne(field: DescField): ((value: JsonValue) => JsonValue) | undefined {
  const { enum: own, message, scalar } = field;
  if (own) return (name) => wordIn(own, name);
  // In JSON it is a text, since it may have more digits than a number there.
  if (isLong(scalar)) return Number;
  return message && differs(message) ? (value) => inWords(message, value) : undefined;
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
