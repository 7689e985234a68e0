/**
 * The form of a tool's arguments and values as clients are told it: only words that every client understands. Clients refuse
 * a schema, and often the whole list with it, for a pattern, a list of types, a null beside other types, a reference, or a
 * large bound (grammars of local models count them); what is left out here is enforced when the tool is called.
 */

/** JSON Schema, as zod writes it. */
export interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly format?: string;
  readonly items?: Schema;
  readonly prefixItems?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
}

/** Larger bounds on lengths are not told: a grammar would repeat a rule so often. */
const largestLength = 100;

/** Of an input: one plain type for every field, so that a model which is held to the schema can only write what is taken. */
export function plainInput(schema: Schema): Schema {
  return plain(schema, schema.$defs ?? {}, 'input', 0);
}

/** Of an output: looser than what is sent, since clients check answers by it; where there may be null, no type is told. */
export function plainOutput(schema: Schema): Schema {
  return plain(schema, schema.$defs ?? {}, 'output', 0);
}

/** A reference into itself is told to this depth. */
const deepest = 8;

function plain(
  schema: Schema,
  definitions: Readonly<Record<string, Schema>>,
  side: 'input' | 'output',
  depth: number,
): Schema {
  if (depth > deepest) return {};
  const below = (inner: Schema) => plain(inner, definitions, side, depth + 1);
  const { description, default: initial } = schema;
  const told = {
    ...(description !== undefined && { description }),
    ...(initial !== undefined && { default: initial }),
  };

  const definition = schema.$ref?.replace('#/$defs/', '');
  if (definition !== undefined) return { ...below(definitions[definition] ?? {}), ...told };
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) {
    const real = choices.filter(({ type }) => type !== 'null');
    if (side === 'output' && (real.length < choices.length || real.length > 1)) return told;
    return { ...below(real[0] ?? {}), ...told };
  }
  if (Array.isArray(schema.type)) {
    if (side === 'output') return told;
    const type = (schema.type as readonly string[]).find((name) => name !== 'string' && name !== 'null');
    return below({ ...schema, type: type ?? 'string' });
  }

  const type = schema.type as string | undefined;
  const values = schema.enum ?? (schema.const === undefined ? undefined : [schema.const]);
  return {
    ...(type !== undefined && { type }),
    ...told,
    // A boolean that has one value is a boolean.
    ...(values && type !== 'boolean' && { enum: values }),
    ...(schema.format === 'date-time' && { format: schema.format }),
    ...(side === 'input' && bounds(schema)),
    ...(schema.items && { items: below(schema.items) }),
    ...(type === 'object' && objectOf(schema, below, side)),
  };
}

function objectOf(schema: Schema, below: (inner: Schema) => Schema, side: 'input' | 'output'): Schema {
  const { properties, required } = schema;
  if (!properties) return {};
  return {
    properties: Object.fromEntries(Object.entries(properties).map(([name, inner]) => [name, below(inner)])),
    ...(required && required.length > 0 && { required }),
    ...(side === 'input' && schema.additionalProperties === false && { additionalProperties: false }),
  };
}

function bounds(schema: Schema): Schema {
  const { type, minLength, maxLength, minItems, maxItems } = schema;
  const minimum = type === 'integer' ? (schema.minimum ?? after(schema.exclusiveMinimum)) : schema.minimum;
  const { maximum } = schema;
  return {
    ...(isTelling(minimum) && { minimum }),
    ...(isTelling(maximum) && { maximum }),
    ...(isSmall(minLength) && { minLength }),
    ...(isSmall(maxLength) && { maxLength }),
    ...(isSmall(minItems) && { minItems }),
    ...(isSmall(maxItems) && { maxItems }),
  };
}

const after = (bound: number | undefined) => (bound === undefined ? undefined : bound + 1);

/** What every integer keeps anyway, in JSON, is not worth telling. */
const isTelling = (bound: number | undefined): bound is number =>
  bound !== undefined && Math.abs(bound) < Number.MAX_SAFE_INTEGER;

const isSmall = (length: number | undefined): length is number =>
  length !== undefined && length > 0 && length <= largestLength;
