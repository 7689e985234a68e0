/**
 * What a model meant, where it wrote an argument in the wrong form: many clients send lists, numbers and booleans as text, and
 * null for what is not set. Taken only where it can mean nothing else.
 */

/** As much of JSON Schema as is looked at. */
interface Shape {
  readonly type?: string | readonly string[];
  readonly items?: Shape;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly anyOf?: readonly Shape[];
  readonly oneOf?: readonly Shape[];
}

/** The same value in the form that its schema asks for; the value itself where nothing was to be mended. */
export function mended(value: unknown, shape: Shape): unknown {
  if (typeof value === 'string') return fromText(value, shape);
  if (Array.isArray(value)) {
    const { items } = shape;
    if (!items) return value;
    const all = value.map((item: unknown) => mended(item, items));
    return all.some((item, index) => item !== value[index]) ? all : value;
  }
  return typeof value === 'object' && value !== null ? mendedObject(value, shape) : value;
}

function mendedObject(value: object, { properties, required = [] }: Shape): object {
  if (!properties) return value;
  const entries = Object.entries(value);
  const kept = entries.flatMap(([name, inner]): [string, unknown][] => {
    const shape = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (!shape) return [[name, inner]];
    if (inner === null && !required.includes(name) && !takes(shape, 'null')) return [];
    return [[name, mended(inner, shape)]];
  });
  const isSame =
    kept.length === entries.length && kept.every(([, inner], index) => inner === entries[index]?.[1]);
  return isSame ? value : Object.fromEntries(kept);
}

/** A text that is exactly the JSON of what is asked for. Where a text may stand, it is a text. */
function fromText(text: string, shape: Shape): unknown {
  if (takes(shape, 'string')) return text;
  try {
    const value = JSON.parse(text) as unknown;
    return takes(shape, typeOf(value)) ? mended(value, shape) : text;
  } catch {
    return text;
  }
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

function takes(shape: Shape, type: string): boolean {
  const choices = shape.anyOf ?? shape.oneOf;
  if (choices) return choices.some((choice) => takes(choice, type));
  // What has no type takes everything as it is.
  if (shape.type === undefined) return true;
  const types = typeof shape.type === 'string' ? [shape.type] : shape.type;
  return types.includes(type) || (type === 'number' && types.includes('integer'));
}
