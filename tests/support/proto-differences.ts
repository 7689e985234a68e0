/** Where the .proto files and the tools behind their methods do not say the same. */
import { ScalarType, type DescField, type DescMessage } from '@bufbuild/protobuf';
import { FeatureSet_FieldPresence } from '@bufbuild/protobuf/wkt';
import { z } from 'zod';

import { wordOf } from '#runtime/wire/grpc/words.ts';

import { taskField } from '../../services/orchestrator/fields.ts';

const explicit = FeatureSet_FieldPresence.EXPLICIT;

/** A schema of zod without what stands around it. */
function bare(schema: unknown): unknown {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault)
    return bare(schema.unwrap());
  return schema instanceof z.ZodPipe ? bare(schema.in) : schema;
}

/** Where a message and a schema do not say the same. @param isWhole whether the message may have no field that the schema lacks. */
export function* differences(
  message: DescMessage,
  schema: unknown,
  where: string,
  isWhole: boolean,
  used: Set<DescField>,
): Generator<string> {
  const { shape } = bare(schema) as z.ZodObject;
  const names = message.fields.map(({ name }) => name);
  for (const name of Object.keys(shape))
    if (!names.includes(name)) yield `${where}.${name} is not in the .proto files`;
  for (const field of message.fields) {
    const inside = `${where}.${field.name}`;
    const value = shape[field.name];
    if (value === undefined) {
      if (isWhole) yield `${inside} is in the .proto files alone`;
      continue;
    }
    used.add(field);
    // Long lists are checked by the service, in turns.
    const isTasks = field.message?.typeName === 'flotilla.v1.NewTask';
    yield* fieldDifferences(field, isTasks ? z.array(taskField) : bare(value), inside, isWhole, used);
    if (isWhole && field.presence !== explicit && mayBeZero(field, value as z.ZodType))
      yield `${inside} may be 0, which is not sent: make it optional`;
  }
}

/** An argument of which nothing and zero are not the same. */
const mayBeZero = ({ fieldKind, scalar }: DescField, schema: z.ZodType) =>
  fieldKind === 'scalar' &&
  scalar !== ScalarType.STRING &&
  z.safeParse(schema, scalar === ScalarType.BOOL ? false : 0).success;

function* fieldDifferences(
  field: DescField,
  schema: unknown,
  where: string,
  isWhole: boolean,
  used: Set<DescField>,
): Generator<string> {
  if (field.fieldKind === 'list') {
    if (!(schema instanceof z.ZodArray)) yield `${where} is no list`;
    else if (
      field.message &&
      !field.message.typeName.startsWith('google.') &&
      bare(schema.element) instanceof z.ZodObject
    )
      yield* differences(field.message, schema.element, where, isWhole, used);
    else if (field.enum) yield* wordDifferences(field, bare(schema.element), where);
    return;
  }
  if (schema instanceof z.ZodArray) yield `${where} is a list`;
  if (field.enum) yield* wordDifferences(field, schema, where);
  if (field.fieldKind === 'message' && schema instanceof z.ZodObject)
    yield* differences(field.message, schema, where, isWhole, used);
  if (schema instanceof z.ZodString && field.fieldKind === 'scalar' && field.scalar !== ScalarType.STRING)
    yield `${where} is a text`;
  if (schema instanceof z.ZodNumber && (field.fieldKind !== 'scalar' || field.scalar === ScalarType.STRING))
    yield `${where} is a number`;
}

function* wordDifferences(field: DescField, schema: unknown, where: string): Generator<string> {
  // Rows of the ledger tell some words as texts.
  if (!(schema instanceof z.ZodEnum)) return;
  const words = field.enum?.values.slice(1).map(wordOf) ?? [];
  const told = schema.options.map(String);
  if (words.toSorted().join() !== told.toSorted().join())
    yield `${where} has the words ${words.join()}, and the tool ${told.join()}`;
}
