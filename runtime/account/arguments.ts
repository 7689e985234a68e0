/**
 * What a model meant, where it wrote an argument in the wrong form: many clients send lists, numbers and booleans as text, and
 * null for what is not set. Taken only where it can mean nothing else.
 */
import { mostOfCalls, partsOf } from '../wire/complexity.ts';

/** As much of JSON Schema as is looked at. */
export interface Shape {
  readonly type?: string | readonly string[];
  readonly items?: Shape;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Shape;
  readonly anyOf?: readonly Shape[];
  readonly oneOf?: readonly Shape[];
}

/** How much is read from texts: together as much as a request may have as it is. */
interface Room {
  parts: number;
}

/** The same value in the form that its schema asks for; the value itself where nothing was to be mended. */
export function mended(value: unknown, shape: Shape, room: Room = { parts: mostOfCalls }): unknown {
  if (typeof value === 'string') return fromText(value, shape, room);
  if (Array.isArray(value)) {
    const { items } = shape;
    if (!items) return value;
    const all = value.map((item: unknown) => mended(item, items, room));
    return all.some((item, index) => item !== value[index]) ? all : value;
  }
  return typeof value === 'object' && value !== null ? mendedObject(value, shape, room) : value;
}

function mendedObject(value: object, { properties = {}, required = [] }: Shape, room: Room): object {
  const changes = new Map<string, unknown>();
  for (const [name, shape] of Object.entries(properties)) {
    if (!Object.hasOwn(value, name)) continue;
    const inner = (value as Record<string, unknown>)[name];
    const isUnset = inner === null && !required.includes(name) && !takes(shape, 'null');
    const meant = isUnset ? unset : mended(inner, shape, room);
    if (meant !== inner) changes.set(name, meant);
  }
  if (changes.size === 0) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([name, inner]): [string, unknown] => [name, changes.has(name) ? changes.get(name) : inner])
      .filter(([, inner]) => inner !== unset),
  );
}

/** Stands for an argument that is left out. */
const unset = Symbol('unset');

/** A text that is exactly the JSON of what is asked for. Where a text may stand, it is a text. */
function fromText(text: string, shape: Shape, room: Room): unknown {
  if (takes(shape, 'string')) return text;
  room.parts -= partsOf(Buffer.from(text), Math.max(room.parts, 0));
  if (room.parts < 0) return text;
  try {
    const value = JSON.parse(text) as unknown;
    return takes(shape, typeOf(value)) ? mended(value, shape, room) : text;
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
