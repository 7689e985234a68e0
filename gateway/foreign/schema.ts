/**
 * The schema of a foreign tool in the words that every client takes. What others write is brought into the form that
 * zod writes ours in, and then told as ours are told (`plain-schema`). Calls are checked by the original.
 */
import { plainInput, plainOutput, type Schema } from '#runtime/wire/plain-schema.ts';

type Json = Readonly<Record<string, unknown>>;
type Told = { readonly type: 'object' } & Record<string, unknown>;

/** Deeper, and beyond so many parts, anything is told. */
const deepest = 10;
const mostParts = 4_000;

export function tamedInput(schema: unknown): Told {
  return { ...plainInput(usual(schema)), type: 'object' };
}

/** `undefined` where what it says is of no use: an output is an object, or not told. */
export function tamedOutput(schema: unknown): Told | undefined {
  if (!isObject(schema)) return undefined;
  const told = plainOutput(usual(schema));
  return told.type === 'object' ? { ...told, type: 'object' } : undefined;
}

function usual(schema: unknown): Schema {
  const root = isObject(schema) ? schema : {};
  const { items: _, enum: __, ...shape } = new Reading(root).read(root, 0);
  return { ...shape, type: 'object', properties: shape.properties ?? {} };
}

class Reading {
  readonly #root: Json;
  #parts = 0;

  constructor(root: Json) {
    this.#root = root;
  }

  read(raw: unknown, depth: number): Schema {
    this.#parts += 1;
    // True takes anything, and false nothing, which no form of ours says.
    if (!isObject(raw) || depth > deepest || this.#parts > mostParts) return {};
    const below = (inner: unknown) => this.read(inner, depth + 1);
    const { $ref, allOf } = raw;
    const own = this.#plain(raw, below);
    const others = [
      ...(typeof $ref === 'string' ? [below(this.#target($ref))] : []),
      ...listOf(allOf).map(below),
      ...choice(listOf(raw['anyOf'] ?? raw['oneOf']).map(below)),
    ];
    return tidy(others.reduce(joined, own));
  }

  #plain(raw: Json, below: (inner: unknown) => Schema): Schema {
    const {
      type,
      description,
      enum: values,
      items,
      properties,
      required,
      additionalProperties,
      format,
    } = raw;
    const choices = Array.isArray(values) ? values : 'const' in raw ? [raw['const']] : undefined;
    const elements = Array.isArray(items) ? items[0] : (items ?? listOf(raw['prefixItems'])[0]);
    return {
      ...(isType(type) && { type }),
      ...(typeof description === 'string' && { description }),
      ...(raw['default'] !== undefined && raw['default'] !== null && { default: raw['default'] }),
      ...(choices && { enum: choices }),
      ...(typeof format === 'string' && { format }),
      ...(elements !== undefined && { items: below(elements) }),
      ...(isObject(properties) && {
        properties: Object.fromEntries(
          Object.entries(properties).map(([name, inner]) => [name, below(inner)]),
        ),
      }),
      ...(Array.isArray(required) && { required: required.filter((name) => typeof name === 'string') }),
      ...(additionalProperties === false && { additionalProperties }),
      ...bounds(raw),
    };
  }

  /** A place within the schema itself; nothing is fetched. */
  #target(reference: string): unknown {
    if (!reference.startsWith('#')) return undefined;
    let place: unknown = this.#root;
    for (const part of reference.slice(1).split('/').slice(1)) {
      const name = decode(part).replaceAll('~1', '/').replaceAll('~0', '~');
      if (typeof place !== 'object' || place === null || !Object.hasOwn(place, name)) return undefined;
      place = (place as Json)[name];
    }
    return place;
  }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const boundNames = [
  ...(['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'] as const),
  ...(['minLength', 'maxLength', 'minItems', 'maxItems'] as const),
];

const bounds = (raw: Json): Schema =>
  Object.fromEntries(
    boundNames.flatMap((name) => (typeof raw[name] === 'number' ? [[name, raw[name]] as const] : [])),
  );

/** Of several forms: one that holds what all of them may have, where they are alike; otherwise the first. */
function choice(choices: readonly Schema[]): Schema[] {
  const real = choices.filter(({ type, enum: values }) => type !== 'null' && values?.every(isNull) !== true);
  const [first] = real;
  if (!first) return [];
  const objects = real.filter(({ properties }) => properties);
  if (objects.length === real.length) {
    const all = real.reduce(joined);
    const required = (first.required ?? []).filter((name) =>
      real.every((one) => one.required?.includes(name)),
    );
    return [{ ...all, required }];
  }
  const values = real.flatMap((one) => one.enum ?? []);
  const areValues = real.every((one) => one.enum && one.type === first.type);
  return [areValues ? { ...first, enum: values } : first];
}

/** What both say; where they say it differently, the first. */
function joined(one: Schema, other: Schema): Schema {
  const properties = { ...other.properties };
  for (const [name, inner] of Object.entries(one.properties ?? {})) {
    const theirs = properties[name];
    properties[name] = theirs ? { ...theirs, ...inner, ...bothEnums(inner, theirs) } : inner;
  }
  const required = [...new Set([...(one.required ?? []), ...(other.required ?? [])])];
  return {
    ...other,
    ...one,
    ...((one.properties ?? other.properties) && { properties }),
    ...(required.length > 0 && { required }),
  };
}

const bothEnums = (one: Schema, other: Schema): Schema =>
  one.enum && other.enum ? { enum: [...new Set([...one.enum, ...other.enum])] } : {};

/** What some clients stumble over: a list without its items, a choice that is no text, a demand for what is not there. */
function tidy(schema: Schema): Schema {
  const { enum: values, properties, required, ...rest } = schema;
  const type = schema.type ?? impliedType(schema);
  const real = values?.filter((value) => !isNull(value)) ?? [];
  const areTexts = real.every((value) => typeof value === 'string');
  const listed = real.map((value) => JSON.stringify(value)).join(', ');
  const isList = type === 'array' || (Array.isArray(type) && type.includes('array'));
  const description = [schema.description, ...(areTexts ? [] : [`One of: ${listed.slice(0, 300)}.`])]
    .filter((text) => text !== undefined)
    .join(' ');
  return {
    ...rest,
    ...(type !== undefined && { type }),
    ...(description !== '' && { description }),
    ...(real.length > 0 && areTexts && { enum: [...new Set(real)] }),
    ...(isList && { items: rest.items ?? {} }),
    ...(properties && {
      properties,
      required: (required ?? []).filter((name) => Object.hasOwn(properties, name)),
    }),
  };
}

function impliedType({ properties, items, enum: values }: Schema): string | undefined {
  if (properties) return 'object';
  if (items) return 'array';
  const types = new Set((values ?? []).filter((value) => !isNull(value)).map((value) => typeof value));
  const [type] = types;
  return types.size === 1 && type !== 'object' ? type : undefined;
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const isNull = (value: unknown) => value === null;
const isType = (type: unknown): type is string | readonly string[] =>
  typeof type === 'string' || (Array.isArray(type) && type.every((name) => typeof name === 'string'));
