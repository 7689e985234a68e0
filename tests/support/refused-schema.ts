/**
 * What some client is known to refuse in a tool's schema, often with the whole list of tools: OpenAI's strict mode, Gemini's
 * subset, the grammars of llama.cpp, VS Code.
 */

const known = new Set([
  'type',
  'description',
  'enum',
  'default',
  'format',
  'items',
  'properties',
  'required',
  'additionalProperties',
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
]);
const types = new Set(['string', 'integer', 'number', 'boolean', 'array', 'object']);
const largestLength = 100;
/** Claude Code puts this before the name of a tool, and takes 64 characters in all. */
const mostName = 64;

/** @param side of an input every field has to have one plain type; of an output it may have none. */
export function refusedIn(schema: unknown, side: 'input' | 'output', path = ''): string[] {
  if (typeof schema !== 'object' || schema === null) return [`${path}: ${String(schema)} for a schema`];
  const told = schema as Readonly<Record<string, unknown>>;
  const { type, items, properties, additionalProperties } = told;
  const lengths = ['minLength', 'maxLength', 'minItems', 'maxItems'].filter(
    (name) => Number(told[name] ?? 0) > largestLength,
  );
  return [
    ...Object.keys(told)
      .filter((key) => !known.has(key))
      .map((key) => `${path}: ${key}`),
    ...(type === undefined && side === 'input' ? [`${path}: no type`] : []),
    ...(type !== undefined && !types.has(type as string) ? [`${path}: type ${JSON.stringify(type)}`] : []),
    ...lengths.map((name) => `${path}: ${name} ${String(told[name])}`),
    ...(told['format'] !== undefined && told['format'] !== 'date-time' ? [`${path}: format`] : []),
    ...(additionalProperties !== undefined && additionalProperties !== false
      ? [`${path}: additionalProperties`]
      : []),
    ...(type === 'array' && items === undefined && side === 'input' ? [`${path}: no items`] : []),
    ...(items === undefined ? [] : refusedIn(items, side, `${path}[]`)),
    ...Object.entries(properties ?? {}).flatMap(([name, inner]) =>
      refusedIn(inner, side, path === '' ? name : `${path}.${name}`),
    ),
  ];
}

export const isNameTooLong = (service: string, tool: string): boolean =>
  `mcp__flotilla-${service}__${tool}`.length > mostName;
