/** A tool as a function of Python, for programs that call it: its arguments, and what it answers. Pure. */
import type { ListedTool } from './surface.ts';

type Schema = Readonly<Record<string, unknown>>;

/** Types within types that are told. */
const deepest = 8;
/** A longer type is told as what it is, without its parts. */
const longestType = 1_500;
const longestLine = 200;
const mostChoices = 30;

const isName = (name: string) => /^[A-Za-z]\w*$/.test(name) && !keywords.has(name);
const keywords = new Set(
  'False None True and as assert async await break class continue def del elif else except finally for from global if import in is lambda nonlocal not or pass raise return try while with yield'.split(
    ' ',
  ),
);

/** The name of its function. */
export const functionName = (tool: string): string => tool.replaceAll(/\W/g, '_');

/** @param isFull with what it says of itself and of its arguments. */
export function signatureOf(
  { name, description = '', inputSchema, outputSchema }: ListedTool,
  isFull: boolean,
): string {
  const { properties, required } = inputSchema;
  const fields = Object.entries((properties ?? {}) as Readonly<Record<string, Schema>>);
  const needed = new Set(Array.isArray(required) ? (required as unknown[]) : []);
  const ordered = fields.toSorted(([a], [b]) => Number(needed.has(b)) - Number(needed.has(a)));
  const told = ordered.every(([key]) => isName(key))
    ? ordered.map(([key, schema]) =>
        needed.has(key)
          ? `${key}: ${typeOf(schema)}`
          : `${key}: ${typeOf(schema)} = ${valueOf(schema['default'])}`,
      )
    : [objectOf(inputSchema, deepest)];
  const plain = functionName(name);
  const call =
    isName(plain) && plain !== 'call'
      ? `fleet.${plain}(${told.join(', ')})`
      : `fleet.call(${[JSON.stringify(name), ...told].join(', ')})`;
  const answer = outputSchema === undefined ? 'str' : typeOf(outputSchema);
  const lines = [`${call} -> ${answer}`];
  if (isFull) {
    const said = ordered.map(([key, { description: text }]) => [key, text] as const);
    if (description !== '') lines.push(`  ${oneLine(description)}`);
    for (const [key, text] of said) if (typeof text === 'string') lines.push(`  ${key}: ${oneLine(text)}`);
  }
  return lines.join('\n');
}

function typeOf(schema: unknown): string {
  const type = partOf(schema, deepest);
  return type.length <= longestType ? type : partOf(schema, 0);
}

function partOf(schema: unknown, levels: number): string {
  if (typeof schema !== 'object' || schema === null) return 'Any';
  const { type, enum: choices, const: only, anyOf, oneOf, items } = schema as Schema;
  if (only !== undefined) return valueOf(only);
  if (Array.isArray(choices) && choices.length > 0 && choices.length <= mostChoices)
    return choices.map(valueOf).join(' | ');
  const types = Array.isArray(type)
    ? type.map((one: unknown) => ({ ...(schema as Schema), type: one }))
    : undefined;
  const variants = anyOf ?? oneOf ?? types;
  if (Array.isArray(variants)) {
    if (levels <= 0) return 'Any';
    const told = variants.slice(0, mostChoices).map((one) => partOf(one, levels - 1));
    return [...new Set(told)].join(' | ');
  }
  if (type === 'object') return objectOf(schema as Schema, levels);
  if (type === 'array') return levels > 0 && items ? `list[${partOf(items, levels - 1)}]` : 'list';
  return plainTypes[String(type)] ?? 'Any';
}

const plainTypes: Readonly<Record<string, string>> = {
  string: 'str',
  integer: 'int',
  number: 'float',
  boolean: 'bool',
  null: 'None',
};

function objectOf({ properties, required, additionalProperties }: Schema, levels: number): string {
  const fields = Object.entries(properties ?? {});
  const isMap = typeof additionalProperties === 'object' && fields.length === 0;
  if (levels > 0 && isMap) return `dict[str, ${partOf(additionalProperties, levels - 1)}]`;
  if (levels <= 0 || fields.length === 0) return 'dict';
  const needed = new Set(Array.isArray(required) ? (required as unknown[]) : []);
  const told = fields.map(
    ([key, schema]) => `${JSON.stringify(key)}${needed.has(key) ? '' : '?'}: ${partOf(schema, levels - 1)}`,
  );
  return `{${told.join(', ')}}`;
}

/** As Python writes it. */
function valueOf(value: unknown): string {
  if (value === undefined || value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  return JSON.stringify(value);
}

function oneLine(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length <= longestLine ? line : `${line.slice(0, longestLine - 1).trimEnd()}…`;
}
