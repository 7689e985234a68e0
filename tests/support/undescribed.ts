/** Finds the fields of a JSON Schema that say nothing of themselves. */

interface Schema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema | boolean;
  readonly additionalProperties?: Schema | boolean;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly $defs?: Readonly<Record<string, Schema>>;
}

export function undescribedFields(schema: unknown, path = ''): string[] {
  const {
    properties = {},
    items,
    additionalProperties,
    anyOf = [],
    oneOf = [],
    allOf = [],
    $defs = {},
  } = schema as Schema;
  return [
    ...Object.entries(properties).flatMap(([name, field]) => {
      const place = path === '' ? name : `${path}.${name}`;
      return [...(field.description ? [] : [place]), ...undescribedFields(field, place)];
    }),
    ...(typeof items === 'object' ? undescribedFields(items, `${path}[]`) : []),
    ...(typeof additionalProperties === 'object' ? undescribedFields(additionalProperties, `${path}.*`) : []),
    ...[...anyOf, ...oneOf, ...allOf].flatMap((part) => undescribedFields(part, path)),
    ...Object.entries($defs).flatMap(([name, part]) => undescribedFields(part, `$defs.${name}`)),
  ];
}
