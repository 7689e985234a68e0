/**
 * What a model meant, where it wrote an argument in the wrong form: many clients send lists, numbers and booleans as text, and
 * null for what is not set. Taken only where it can mean nothing else.
 */
import type { Steps } from '../turns.ts';
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

/** Where long work may be interrupted: after so many values. */
export class Pace {
  #left = valuesPerStep;

  /** Counts a value. @returns whether it is time to let others have their turn. */
  isOver(): boolean {
    this.#left -= 1;
    if (this.#left > 0) return false;
    this.#left = valuesPerStep;
    return true;
  }
}

/** Far less than a millisecond of work. */
const valuesPerStep = 250;

/** The same value in the form that its schema asks for; the value itself where nothing was to be mended. */
export function mended(value: unknown, shape: Shape): unknown {
  const steps = mending(value, shape, new Pace());
  for (let step = steps.next(); ; step = steps.next()) if (step.done) return step.value;
}

/** The same in steps, for values that may be long. */
export function* mending(
  value: unknown,
  shape: Shape,
  pace: Pace,
  room: Room = { parts: mostOfCalls },
): Steps<unknown> {
  if (typeof value === 'string') return yield* fromText(value, shape, pace, room);
  if (Array.isArray(value)) {
    const { items } = shape;
    if (!items) return value;
    const all: unknown[] = [];
    let isChanged = false;
    for (const item of value as readonly unknown[]) {
      if (pace.isOver()) yield;
      const meant = canBeMended(item) ? yield* mending(item, items, pace, room) : item;
      isChanged ||= meant !== item;
      all.push(meant);
    }
    return isChanged ? all : value;
  }
  return typeof value === 'object' && value !== null ? yield* mendingObject(value, shape, pace, room) : value;
}

/** Numbers and the like are what they are. */
const canBeMended = (value: unknown) =>
  typeof value === 'string' || (typeof value === 'object' && value !== null);

function* mendingObject(
  value: object,
  { properties = {}, required = [] }: Shape,
  pace: Pace,
  room: Room,
): Steps<object> {
  const changes = new Map<string, unknown>();
  for (const [name, shape] of Object.entries(properties)) {
    if (!Object.hasOwn(value, name)) continue;
    if (pace.isOver()) yield;
    const inner = (value as Record<string, unknown>)[name];
    const isUnset = inner === null && !required.includes(name) && !takes(shape, 'null');
    const meant = isUnset ? unset : canBeMended(inner) ? yield* mending(inner, shape, pace, room) : inner;
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
function* fromText(text: string, shape: Shape, pace: Pace, room: Room): Steps<unknown> {
  if (takes(shape, 'string')) return text;
  room.parts -= partsOf(Buffer.from(text), Math.max(room.parts, 0));
  if (room.parts < 0) return text;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return text;
  }
  return takes(shape, typeOf(value)) ? yield* mending(value, shape, pace, room) : text;
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
