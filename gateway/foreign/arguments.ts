/** Arguments of a call, checked by the schema that the foreign server gave itself, before it is asked. */
import { CfWorkerJsonSchemaValidator } from '@modelcontextprotocol/client/validators/cf-worker';

import { mended } from '#runtime/account/arguments.ts';
import { ToolError } from '#runtime/errors.ts';

type Json = Record<string, unknown>;
type Check = (value: unknown) => { readonly valid: boolean; readonly errorMessage?: string | undefined };

const checks = new WeakMap<object, Check>();

/** A longer schema, or one that cannot be read, is left to the server, which checks for itself. */
const longestSchema = 64 * 1024;

/**
 * The arguments in the form that is meant. No code is made of a schema, and none of its regular expressions runs: both come
 * from others, and could hold the process. The server checks by them itself.
 *
 * @throws ToolError `invalid_input`.
 */
export function checkedArguments(name: string, schema: object, args: unknown): Json {
  if (typeof args !== 'object' || args === null || Array.isArray(args))
    throw new ToolError('invalid_input', `The arguments of ${name} must be an object.`);
  const meant = mended(args, schema) as Json;
  let found: ReturnType<Check>;
  try {
    found = checkOf(schema)(meant);
  } catch {
    return meant;
  }
  if (found.valid) return meant;
  throw new ToolError(
    'invalid_input',
    `The arguments do not fit ${name}: ${(found.errorMessage ?? '').slice(0, 500)}`,
    { hint: 'Look at its input schema.', isUntrusted: true },
  );
}

/**
 * Whether what a tool answers still fits its own schema. One that has rules which are not looked at here, or that is too long, is not
 * known to fit.
 */
export function fitsSchema(schema: unknown, value: Json): boolean {
  if (typeof schema !== 'object' || schema === null) return true;
  const text = JSON.stringify(schema);
  if (text.length > longestSchema || /"(?:pattern|patternProperties|format|uniqueItems)":/.test(text))
    return false;
  try {
    return checkOf(schema)(value).valid;
  } catch {
    return false;
  }
}

function checkOf(schema: object): Check {
  const known = checks.get(schema);
  if (known) return known;
  const text = JSON.stringify(schema);
  const draft = /draft-0?[467]\b/.test(text.slice(0, 4_096)) ? '7' : '2020-12';
  const check: Check =
    text.length > longestSchema
      ? () => ({ valid: true })
      : new CfWorkerJsonSchemaValidator({ draft }).getValidator(withoutCode(schema) as never);
  checks.set(schema, check);
  return check;
}

const left = new Set(['pattern', 'patternProperties', 'format', 'uniqueItems', '$schema', '$id', 'id']);

function withoutCode(schema: unknown, isNames = false): unknown {
  if (Array.isArray(schema)) return schema.map((inner) => withoutCode(inner));
  if (typeof schema !== 'object' || schema === null) return schema;
  const entries = Object.entries(schema).filter(([key]) => isNames || !left.has(key));
  const kept = entries.map(([key, inner]) => [
    key,
    isData.has(key) && !isNames ? inner : withoutCode(inner, !isNames && areNames.has(key)),
  ]);
  // What matches a pattern may stand beside what is named.
  const takesMore = !isNames && 'patternProperties' in schema;
  return Object.fromEntries(takesMore ? kept.filter(([key]) => key !== 'additionalProperties') : kept);
}

const areNames = new Set(['properties', '$defs', 'definitions', 'dependentSchemas']);
const isData = new Set(['enum', 'const', 'default', 'examples']);
