/**
 * What a message of gRPC is as the arguments of a tool, and what a tool's value is as a message: proto JSON with the names of the
 * .proto files, and enums in the tools' own words (`TASK_STATUS_IN_PROGRESS` is `in_progress`).
 */
import {
  fromJson,
  toJson,
  type DescEnum,
  type DescField,
  type DescMessage,
  type JsonValue,
  type Message,
} from '@bufbuild/protobuf';

import { ToolError } from '../../errors.ts';

/** @throws ToolError `invalid_input` for what JSON has no words for, such as a number that is none, or a time out of range. */
export function argumentsOf(desc: DescMessage, message: Message): Record<string, unknown> {
  let json: JsonValue;
  try {
    json = toJson(desc, message, { useProtoFieldName: true });
  } catch (error) {
    throw new ToolError('invalid_input', `The message has a value that JSON has no words for.`, {
      hint: 'Numbers are finite, and times lie between the years 1 and 9999.',
      cause: error,
    });
  }
  return inWords(desc, json, toWord) as Record<string, unknown>;
}

/** @throws TypeError for a value that does not fit: a bug. */
export function messageOf(desc: DescMessage, value: object): Message {
  return fromJson(desc, inWords(desc, value as JsonValue, toName), { ignoreUnknownFields: true });
}

/** @throws TypeError for a word that the enum lacks: a bug. */
function toName(desc: DescEnum, word: JsonValue): JsonValue {
  const value = desc.values.find((one) => wordOf(one) === word);
  if (!value) throw new TypeError(`${desc.typeName} has no value for ${JSON.stringify(word)}.`);
  return value.name;
}

/** What is no value of the enum is left to the tool to refuse. */
const toWord = (desc: DescEnum, name: JsonValue): JsonValue => {
  const value = desc.values.find((one) => one.name === name);
  return value ? wordOf(value) : name;
};

/** Without the prefix that all values of an enum have. */
const wordOf = ({ localName }: DescEnum['values'][number]) => localName.toLowerCase();

type Translate = (desc: DescEnum, value: JsonValue) => JsonValue;

/** Only of messages that hold enums somewhere; JSON of others, such as `google.protobuf.Struct`, stays what it is. */
function inWords(desc: DescMessage, json: JsonValue, translate: Translate): JsonValue {
  if (!holdsEnums(desc) || typeof json !== 'object' || json === null || Array.isArray(json)) return json;
  const translated: Record<string, JsonValue> = { ...json };
  for (const field of desc.fields) {
    const value = json[field.name];
    if (value === undefined || value === null) continue;
    const one = translateOne(field, translate);
    if (!one) continue;
    translated[field.name] = Array.isArray(value)
      ? value.map(one)
      : field.fieldKind === 'map'
        ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, one(each as JsonValue)]))
        : one(value);
  }
  return translated;
}

function translateOne(field: DescField, translate: Translate): ((value: JsonValue) => JsonValue) | undefined {
  const { enum: own, message } = field;
  if (own) return (value) => translate(own, value);
  return message && holdsEnums(message) ? (value) => inWords(message, value, translate) : undefined;
}

const holding = new WeakMap<DescMessage, boolean>();

function holdsEnums(desc: DescMessage): boolean {
  const known = holding.get(desc);
  if (known !== undefined) return known;
  // A message that holds itself; and those of Google have JSON of their own.
  holding.set(desc, false);
  const holds =
    !desc.typeName.startsWith('google.') &&
    desc.fields.some((field) => field.enum ?? (field.message && holdsEnums(field.message)));
  holding.set(desc, holds);
  return holds;
}
