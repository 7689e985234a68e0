/** Types of messages that tokens register, with a JSON Schema: as much of it as can be checked in a time that is known before. */
import { CfWorkerJsonSchemaValidator } from '@modelcontextprotocol/client/validators/cf-worker';
import { z } from 'zod';

import { storedText } from '#runtime/fields.ts';

import { priorities } from '../message.ts';
import { longestName } from '../routing/glob.ts';

type Json = Readonly<Record<string, unknown>>;

const mostSchemaBytes = 16_384;
const deepest = 10;
const mostChoices = 100;
const mostAlternatives = 8;
const longestTtlSeconds = 604_800;

export const typeNameField = z
  .string()
  .max(longestName)
  .regex(
    /^[a-z][a-z0-9_-]*(?:\.[a-z0-9_-]+)*$/,
    'must be in lower case with dots between its parts, like build.finished',
  );

/** Of an entry whose key is the name of the type. */
export const typeValue = z.object({
  description: storedText(500, 'What messages of this type are for.').max(500).optional(),
  schema: z
    .record(z.string(), z.unknown())
    .superRefine((schema, context) => {
      const complaint = complaintAbout(schema);
      if (complaint !== undefined) context.addIssue({ code: 'custom', message: complaint });
    })
    .describe(
      'JSON Schema of the body, an object: type, properties, required, additionalProperties, items, enum, const, anyOf, oneOf, and bounds on lengths and numbers.',
    ),
  expects_answer: z.boolean().default(false).describe('Whether its sender waits for a reply.'),
  priority: z.enum(priorities).default('normal').describe('Unless its sender says another.'),
  ttl_seconds: z.int().min(1).max(longestTtlSeconds).optional().describe('Likewise.'),
});
export type TypeValue = z.infer<typeof typeValue>;

/** So many looks take 10 to 40 ms. */
const mostVisits = 100_000;
/** Names and choices of a schema that are compared in about the time of another look, and characters of a text. */
const namesPerVisit = 8;
const charactersPerVisit = 256;
const visitsOfFormat = 2;

/** What is wrong with a body; `undefined` when it fits. */
export type Check = (body: unknown) => { readonly fault: string; readonly isTooLarge: boolean } | undefined;

/** @param schema of which `complaintAbout` has nothing to say. */
export function checkOf(schema: Json): Check {
  const validate = new CfWorkerJsonSchemaValidator({ draft: '2020-12' }).getValidator(schema);
  const mostValues = Math.floor(mostVisits / visitsOf(schema));
  return (body) => {
    if (countOf(body, mostValues) > mostValues)
      return {
        fault: `is too long to be checked: its schema allows ${mostValues} values, where a text counts as one for each ${charactersPerVisit} characters`,
        isTooLarge: true,
      };
    const { valid, errorMessage } = validate(body);
    return valid ? undefined : { fault: (errorMessage ?? 'does not fit').slice(0, 500), isTooLarge: false };
  };
}

/** How often each value is looked at, at most: every alternative may look at it, and at all below it. */
function visitsOf(schema: Json): number {
  const { properties = {}, required = [], enum: choices = [], format } = schema;
  const names = [Object.keys(properties as Json), required, choices] as readonly (readonly unknown[])[];
  const ofNames = names.reduce((sum, { length }) => sum + length, 0) / namesPerVisit;
  const own = 1 + ofNames + (format === undefined ? 0 : visitsOfFormat);
  const below = schemasIn(schema, 'below').map(visitsOf);
  const alternatives = schemasIn(schema, 'alternatives').map(visitsOf);
  return Math.max(own, ...below) + alternatives.reduce((sum, visits) => sum + visits, 0);
}

function schemasIn(schema: Json, place: 'alternatives' | 'below'): Json[] {
  const { anyOf = [], oneOf = [], properties = {}, additionalProperties, items } = schema;
  const all =
    place === 'alternatives'
      ? [...(anyOf as unknown[]), ...(oneOf as unknown[])]
      : [...Object.values(properties as Json), additionalProperties, items];
  return all.filter((one) => typeof one === 'object' && one !== null) as Json[];
}

/** How many values a body has, itself among them, and more for long texts; more than the most when there are more. */
function countOf(body: unknown, most: number): number {
  const waiting = [body];
  let count = 0;
  while (waiting.length > 0 && count <= most) {
    const value = waiting.pop();
    count += 1 + (typeof value === 'string' ? Math.floor(value.length / charactersPerVisit) : 0);
    if (typeof value !== 'object' || value === null) continue;
    for (const inner of Object.values(value)) {
      waiting.push(inner);
      if (count + waiting.length > most) return most + 1;
    }
  }
  return count;
}

/** What stands in the way of a schema; `undefined` when it is taken. */
export function complaintAbout(schema: Json): string | undefined {
  const sizeBytes = Buffer.byteLength(JSON.stringify(schema));
  if (sizeBytes > mostSchemaBytes) return `has ${sizeBytes} bytes; ${mostSchemaBytes} are allowed`;
  if (schema['type'] !== 'object') return 'must be of an object: {"type": "object", "properties": {}}';
  return complaintAt(schema, '', 0);
}

const typeNames = new Set(['object', 'array', 'string', 'number', 'integer', 'boolean', 'null']);
const formats = new Set(['date-time', 'date', 'time', 'uuid']);

const isPrimitive = (value: unknown) =>
  value === null || ['string', 'number', 'boolean'].includes(typeof value);
const isLength = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0;
const isList = (value: unknown, most: number, isItem: (item: unknown) => boolean) =>
  Array.isArray(value) && value.length > 0 && value.length <= most && value.every(isItem);
const isSchema = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown) => typeof value === 'string';
const isAnything = () => true;

/** The words that are taken, and what has to stand behind them. Schemas in them are looked at by themselves. */
const words: Readonly<Record<string, readonly [(value: unknown) => boolean, string]>> = {
  type: [
    (value) => [value].flat().every((one) => typeNames.has(one as string)) && [value].flat().length > 0,
    `one or a list of ${[...typeNames].join(', ')}`,
  ],
  properties: [(value) => isSchema(value) && Object.values(value).every(isSchema), 'an object of schemas'],
  required: [(value) => Array.isArray(value) && value.every(isText), 'a list of names'],
  additionalProperties: [(value) => typeof value === 'boolean' || isSchema(value), 'true, false or a schema'],
  items: [isSchema, 'a schema'],
  enum: [
    (value) => isList(value, mostChoices, isPrimitive),
    `a list of 1 to ${mostChoices} texts, numbers, booleans or null`,
  ],
  const: [isPrimitive, 'a text, a number, a boolean or null'],
  anyOf: [(value) => isList(value, mostAlternatives, isSchema), `a list of 1 to ${mostAlternatives} schemas`],
  oneOf: [(value) => isList(value, mostAlternatives, isSchema), `a list of 1 to ${mostAlternatives} schemas`],
  format: [(value) => formats.has(value as string), `one of ${[...formats].join(', ')}`],
  ...Object.fromEntries(
    ['minLength', 'maxLength', 'minItems', 'maxItems', 'minProperties', 'maxProperties'].map((word) => [
      word,
      [isLength, 'a whole number from 0'],
    ]),
  ),
  ...Object.fromEntries(
    ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'].map((word) => [
      word,
      [Number.isFinite, 'a number'],
    ]),
  ),
  title: [isText, 'a text'],
  description: [isText, 'a text'],
  default: [isAnything, 'a value'],
  examples: [Array.isArray, 'a list'],
};
/** Only at the top. */
const dialects = new Set([
  'https://json-schema.org/draft/2020-12/schema',
  'http://json-schema.org/draft-07/schema#',
]);

function complaintAt(schema: Json, path: string, depth: number): string | undefined {
  const at = (where: string) => (path === '' ? where : `${path}.${where}`);
  if (depth > deepest) return `is deeper than ${deepest} schemas in each other`;
  for (const [word, value] of Object.entries(schema)) {
    if (word === '$schema' && depth === 0) {
      if (!dialects.has(value as string)) return `$schema must be ${[...dialects].join(' or ')}`;
      continue;
    }
    const rule = Object.hasOwn(words, word) ? words[word] : undefined;
    if (!rule) return `${at(word)}: is not taken here; there are ${Object.keys(words).join(', ')}`;
    const [isRight, what] = rule;
    if (!isRight(value)) return `${at(word)}: must be ${what}`;
  }
  const { properties = {} } = schema;
  if (Object.hasOwn(properties as Json, '__proto__')) return `${at('properties')}: must not name __proto__`;
  for (const [name, inner] of Object.entries(properties as Json)) {
    const complaint = complaintAt(inner as Json, at(`properties.${name}`), depth + 1);
    if (complaint !== undefined) return complaint;
  }
  for (const word of ['additionalProperties', 'items', 'anyOf', 'oneOf']) {
    for (const inner of [schema[word] ?? []].flat()) {
      const complaint = isSchema(inner) ? complaintAt(inner, at(word), depth + 1) : undefined;
      if (complaint !== undefined) return complaint;
    }
  }
  return undefined;
}
