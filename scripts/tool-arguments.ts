/** Arguments of a tool as a shell gives them: flags, typed by the tool's schema; and that schema in words. */
import { UsageError } from '#runtime/errors.ts';
import type { Schema } from '#runtime/wire/plain-schema.ts';

import { didYouMean } from './nearest.ts';

type Properties = Readonly<Record<string, Schema>>;

/** `--max-results`, `--max_results` and `--maxResults` are one. */
const plain = (name: string) => name.replaceAll(/[-_]/g, '').toLowerCase();

/**
 * `--name value`, `--name=value`, `--name` and `--no-name` for true and false; a list is given item by item or as JSON.
 *
 * @throws UsageError for a flag that the tool does not have, and for a value that is none of its type.
 */
export function parseFlags(words: readonly string[], { properties = {} }: Schema): Record<string, unknown> {
  const args: Record<string, unknown> = {};
  const rest = [...words];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const [, given = '', inline] = /^--([^=]+)(?:=([^]*))?$/.exec(word) ?? [];
    if (given === '')
      throw new UsageError(`"${word}": give arguments as --name value, or as one JSON object.`);
    const { name, isNegated } = named(given, properties);
    const schema = properties[name] ?? {};
    const isFlag = typesOf(schema).includes('boolean') && !/^(true|false)$/.test(rest[0] ?? '');
    const text = inline ?? (isNegated ? 'false' : isFlag ? 'true' : rest.shift());
    if (text === undefined) throw new UsageError(`--${given} needs a value.`);
    const value = valueOf(text, schema, given);
    const before = args[name];
    args[name] =
      Array.isArray(before) && Array.isArray(value)
        ? [...(before as unknown[]), ...(value as unknown[])]
        : value;
  }
  return args;
}

function named(given: string, properties: Properties): { name: string; isNegated: boolean } {
  const find = (text: string) => Object.keys(properties).find((one) => plain(one) === plain(text));
  const name = find(given);
  if (name !== undefined) return { name, isNegated: false };
  const negated = /^no-(.+)$/.exec(given)?.[1];
  const opposite = negated === undefined ? undefined : find(negated);
  if (opposite !== undefined) return { name: opposite, isNegated: true };
  const known = Object.keys(properties);
  throw new UsageError(
    `There is no argument --${given}.${didYouMean(given, known)} There are: ${known.join(', ') || 'none'}.`,
  );
}

function typesOf({ type, anyOf, oneOf }: Schema): readonly string[] {
  const own = type === undefined ? [] : typeof type === 'string' ? [type] : type;
  return [...own, ...[...(anyOf ?? []), ...(oneOf ?? [])].flatMap(typesOf)];
}

function valueOf(text: string, schema: Schema, given: string): unknown {
  const types = typesOf(schema);
  if (types.includes('array')) {
    if (text.startsWith('[')) return jsonOf(text, given);
    return [valueOf(text, schema.items ?? {}, given)];
  }
  if (types.includes('object')) return jsonOf(text, given);
  if (types.includes('boolean') && /^(true|false)$/.test(text)) return text === 'true';
  if (types.includes('number') || types.includes('integer')) {
    const value = Number(text);
    if (text.trim() !== '' && !Number.isNaN(value)) return value;
    if (!types.includes('string')) throw new UsageError(`--${given} takes a number, not "${text}".`);
  }
  return text;
}

function jsonOf(text: string, given: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new UsageError(`--${given} takes JSON, and this is none: ${text}`);
  }
}

/** Each argument: its flag, its type, whether it is needed, what it is for. */
export function describeArguments({ properties = {}, required = [] }: Schema): (readonly string[])[] {
  return Object.entries(properties).map(([name, schema]) => [
    `--${name}`,
    typeInWords(schema),
    required.includes(name) ? 'needed' : defaultInWords(schema),
    schema.description ?? '',
  ]);
}

function typeInWords(schema: Schema): string {
  const { enum: values, items, anyOf, oneOf } = schema;
  if (values) return values.map(String).join(' | ');
  const variants = anyOf ?? oneOf;
  if (variants) return [...new Set(variants.map(typeInWords))].join(' | ');
  const [type = 'any'] = typesOf(schema);
  return type === 'array' && items ? `list of ${typeInWords(items)}` : type;
}

function defaultInWords({ default: value }: Schema): string {
  return value === undefined ? '' : `default ${JSON.stringify(value)}`;
}
