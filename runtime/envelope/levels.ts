/**
 * How strictly values are held to a schema. `strict` takes only what fits; `permissive` reads what is written in the wrong form and
 * can mean one thing only; `loose` leaves out, besides, what the schema does not know. What was changed is told. Pure.
 */
import { mending, Pace, type Shape } from '../account/arguments.ts';
import type { Steps } from '../turns.ts';
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

/** The value at the level; whether it is within bounds, is for others to find out. In steps: a body may have very many values. */
export function* fitted(value: unknown, shape: Shape, level: Level): Steps<Fitted> {
  const errors: Said[] = [];
  const warnings: Said[] = [];
  const pace = new Pace();
  const known = yield* withoutUnknown(value, shape, undefined, {
    pace,
    tell(place) {
      if (level === 'loose') say(warnings, 'unknown_left_out', place, 'is not known here; it was left out.');
      else say(errors, 'unknown_argument', place, 'is not known here.');
    },
  });
  const meant = yield* mending(known, shape, pace);
  yield* findChanges(known, meant, undefined, {
    pace,
    tell(place) {
      if (level === 'strict')
        say(errors, 'wrong_type', place, 'is written in another form than the schema has.');
      else
        say(
          warnings,
          'coerced',
          place,
          'is written in another form than the schema has; it was read as it was meant.',
        );
    },
  });
  return { value: level === 'strict' ? value : meant, errors, warnings };
}

function say(list: Said[], code: string, place: Place | undefined, what: string): void {
  if (list.length >= mostSaid) return;
  const path = pointerTo(place);
  list.push({ code, message: `${path === '' ? 'The value' : path} ${what}`, path });
}

interface Walk {
  readonly pace: Pace;
  readonly tell: (place: Place | undefined) => void;
}

/** The same value where all of it is known. */
function* withoutUnknown(
  value: unknown,
  shape: Shape,
  within: Place | undefined,
  walk: Walk,
): Steps<unknown> {
  if (Array.isArray(value)) {
    const { items } = shape;
    if (!items || (!items.properties && !items.items)) return value;
    const kept: unknown[] = [];
    let isChanged = false;
    for (const [key, item] of (value as readonly unknown[]).entries()) {
      if (walk.pace.isOver()) yield;
      const known = hasParts(item) ? yield* withoutUnknown(item, items, { within, key }, walk) : item;
      isChanged ||= known !== item;
      kept.push(known);
    }
    return isChanged ? kept : value;
  }
  if (!isObject(value) || !shape.properties) return value;
  const { properties, additionalProperties } = shape;
  const kept: [string, unknown][] = [];
  let isChanged = false;
  for (const key of Object.keys(value)) {
    if (walk.pace.isOver()) yield;
    const inner = value[key];
    const innerShape = Object.hasOwn(properties, key) ? properties[key] : undefined;
    if (!innerShape && additionalProperties === false) {
      walk.tell({ within, key });
      isChanged = true;
      continue;
    }
    const known =
      innerShape && hasParts(inner) ? yield* withoutUnknown(inner, innerShape, { within, key }, walk) : inner;
    isChanged ||= known !== inner;
    kept.push([key, known]);
  }
  return isChanged ? Object.fromEntries(kept) : value;
}

const hasParts = (value: unknown): value is object => typeof value === 'object' && value !== null;

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  hasParts(value) && !Array.isArray(value);

/** Where the two differ, which have the same keys but for those that stand for nothing. */
function* findChanges(before: unknown, after: unknown, within: Place | undefined, walk: Walk): Steps<void> {
  if (before === after) return;
  if (Array.isArray(before) && Array.isArray(after)) {
    for (const [key, item] of (before as readonly unknown[]).entries()) {
      if (walk.pace.isOver()) yield;
      if (item !== after[key]) yield* findChanges(item, after[key], { within, key }, walk);
    }
    return;
  }
  if (!isObject(before) || !isObject(after)) {
    walk.tell(within);
    return;
  }
  for (const key of Object.keys(before)) {
    if (walk.pace.isOver()) yield;
    const inner = before[key];
    if (inner !== after[key]) yield* findChanges(inner, after[key], { within, key }, walk);
  }
}
