/**
 * Checks values by JSON Schemas that callers bring. The only importer of `@cfworker/json-schema`, which makes no code of a schema.
 * A schema may hold only words whose check takes a time that can be foretold: each value is looked at once for each part of it.
 */
import { Validator } from '@cfworker/json-schema';

import { ToolError } from '../errors.ts';
import type { Said } from './envelope.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;

const longestSchema = 32 * 1024;
const deepestSchema = 32;
/** Parts of the value times parts of the schema: some 20 ms at most. */
const mostWork = 50_000;
const mostErrors = 20;
const mostKept = 500;

/** What would run a regular expression of the caller, go round in circles, or compare each value with each. */
const refused = new Set([
  '$ref',
  '$dynamicRef',
  '$recursiveRef',
  '$id',
  'id',
  'pattern',
  'patternProperties',
  'uniqueItems',
]);
const formats = new Set(['date-time', 'date', 'time', 'uuid', 'ipv4']);
const areNames = new Set(['properties', '$defs', 'definitions', 'dependentSchemas']);
const areData = new Set(['enum', 'const', 'default', 'examples']);

/** @throws ToolError for a schema by which nothing can be checked here. */
export function requireCheckable(schema: JsonSchema): void {
  if (JSON.stringify(schema).length > longestSchema)
    throw new ToolError('too_large', `A schema has at most ${longestSchema} characters.`);
  look(schema, '', 0);
  const { errors } = check('', schema, null);
  if (errors.some(({ code }) => code === 'unreadable'))
    throw new ToolError('invalid_input', `This is no JSON Schema: ${errors[0]?.message ?? ''}`);
}

function look(schema: unknown, path: string, depth: number): void {
  if (depth > deepestSchema)
    throw new ToolError('too_large', `A schema is at most ${deepestSchema} levels deep.`);
  if (Array.isArray(schema)) {
    for (const [at, inner] of schema.entries()) look(inner, `${path}/${at}`, depth + 1);
    return;
  }
  if (typeof schema !== 'object' || schema === null) return;
  for (const [key, inner] of Object.entries(schema)) {
    const place = `${path}/${key}`;
    if (refused.has(key))
      throw new ToolError('invalid_input', `${place}: schemas that are registered here do without ${key}.`, {
        hint: 'Write the part out where it is used; in place of a pattern, use enum, minLength and maxLength.',
      });
    if (key === 'format' && !formats.has(String(inner)))
      throw new ToolError('invalid_input', `${place}: this format is not checked here.`, {
        hint: `There are: ${[...formats].join(', ')}.`,
      });
    if (areData.has(key)) continue;
    if (!areNames.has(key) || typeof inner !== 'object' || inner === null) look(inner, place, depth + 1);
    else for (const [name, one] of Object.entries(inner)) look(one, `${place}/${name}`, depth + 1);
  }
}

/** By the name and version of its schema, used last at the end. */
const kept = new Map<string, Validator>();

/** What checks by this schema, made once for each key: the name of the schema and its version. */
export function validatorOf(key: string, schema: JsonSchema): Validator {
  const validator = kept.get(key) ?? new Validator(schema, '2020-12', false);
  kept.delete(key);
  if (key !== '') kept.set(key, validator);
  for (const oldest of kept.keys()) {
    if (kept.size <= mostKept) break;
    kept.delete(oldest);
  }
  return validator;
}

/** What is wrong with the value. @throws ToolError `too_large` where it would take long to find out. */
export function check(key: string, schema: JsonSchema, value: unknown): { readonly errors: readonly Said[] } {
  if (partsIn(value) * partsIn(schema) > mostWork)
    throw new ToolError('too_large', 'To check so large a value by this schema would take too long.', {
      hint: 'Send it in parts.',
    });
  try {
    const { errors } = validatorOf(key, schema).validate(value);
    // An outer word fails because an inner one does: that one says what is wrong.
    const inner = errors.filter(
      ({ instanceLocation: at, keyword }) =>
        !(wrapping.has(keyword) && errors.some((one) => one.instanceLocation.startsWith(`${at}/`))),
    );
    return {
      errors: inner.slice(0, mostErrors).map(({ keyword, instanceLocation, error }) => ({
        code: keyword,
        message: error.slice(0, longestMessage),
        path: instanceLocation.replace(/^#/, ''),
      })),
    };
  } catch (error) {
    return { errors: [{ code: 'unreadable', message: String(error).slice(0, longestMessage) }] };
  }
}

const longestMessage = 300;
const wrapping = new Set(['properties', 'items', 'prefixItems', 'additionalProperties']);

function partsIn(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1;
  let parts = 1;
  for (const inner of Object.values(value)) parts += partsIn(inner);
  return parts;
}
