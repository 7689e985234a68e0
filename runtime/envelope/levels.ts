/**
 * How strictly values are held to a schema. `strict` takes only what fits; `permissive` reads what is written in the wrong form and
 * can mean one thing only; `loose` leaves out, besides, what the schema does not know. What was changed is told. Pure.
 */
import { mended, type Shape } from '../account/arguments.ts';
import type { Said } from './envelope.ts';

export const levels = ['strict', 'permissive', 'loose'] as const;
export type Level = (typeof levels)[number];

export interface Fitted {
  readonly value: unknown;
  /** Why it is not taken: what is wrong lies there. */
  readonly errors: readonly Said[];
  readonly warnings: readonly Said[];
}

/** An answer about wrong values must not grow with them. */
const mostSaid = 20;
const longestName = 100;

/** Where a value lies; written out only where something is said of it. */
interface Place {
  readonly within: Place | undefined;
  readonly key: string | number;
}

function pointerTo(place: Place | undefined): string {
  const keys: string[] = [];
  for (let at = place; at; at = at.within)
    keys.unshift(String(at.key).slice(0, longestName).replaceAll('~', '~0').replaceAll('/', '~1'));
  return keys.map((key) => `/${key}`).join('');
}

/** The value at the level; whether it is within bounds, is for others to find out. */
export function fitted(value: unknown, shape: Shape, level: Level): Fitted {
  const errors: Said[] = [];
  const warnings: Said[] = [];
  const known = withoutUnknown(value, shape, undefined, (place) => {
    if (level === 'loose') say(warnings, 'unknown_left_out', place, 'is not known here; it was left out.');
    else say(errors, 'unknown_argument', place, 'is not known here.');
  });
  const meant = mended(known, shape);
  findChanges(known, meant, undefined, (place) => {
    if (level === 'strict')
      say(errors, 'wrong_type', place, 'is written in another form than the schema has.');
    else
      say(
        warnings,
        'coerced',
        place,
        'is written in another form than the schema has; it was read as it was meant.',
      );
  });
  return { value: level === 'strict' ? value : meant, errors, warnings };
}

function say(list: Said[], code: string, place: Place | undefined, what: string): void {
  if (list.length >= mostSaid) return;
  const path = pointerTo(place);
  list.push({ code, message: `${path === '' ? 'The value' : path} ${what}`, path });
}

type Tell = (place: Place | undefined) => void;

/** The same value where all of it is known. */
function withoutUnknown(value: unknown, shape: Shape, within: Place | undefined, tell: Tell): unknown {
  if (Array.isArray(value)) {
    const { items } = shape;
    if (!items || (!items.properties && !items.items)) return value;
    const kept = value.map((item: unknown, key) => withoutUnknown(item, items, { within, key }, tell));
    return kept.some((item, at) => item !== value[at]) ? kept : value;
  }
  if (!isObject(value) || !shape.properties) return value;
  const { properties, additionalProperties } = shape;
  let changed: Record<string, unknown> | undefined;
  for (const [key, inner] of Object.entries(value)) {
    const innerShape = Object.hasOwn(properties, key) ? properties[key] : undefined;
    if (!innerShape && additionalProperties !== false) continue;
    const place = { within, key };
    const kept = innerShape ? withoutUnknown(inner, innerShape, place, tell) : undefined;
    if (!innerShape) tell(place);
    if (innerShape && kept === inner) continue;
    changed ??= Object.fromEntries(Object.entries(value));
    if (innerShape) changed[key] = kept;
    else delete changed[key];
  }
  return changed ?? value;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Where the two differ, which have the same keys but for those that stand for nothing. */
function findChanges(before: unknown, after: unknown, within: Place | undefined, tell: Tell): void {
  if (before === after) return;
  if (Array.isArray(before) && Array.isArray(after)) {
    for (const [key, item] of before.entries()) findChanges(item, after[key], { within, key }, tell);
    return;
  }
  if (!isObject(before) || !isObject(after)) {
    tell(within);
    return;
  }
  for (const [key, inner] of Object.entries(before)) findChanges(inner, after[key], { within, key }, tell);
}
