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

const below = (path: string, key: string | number) =>
  `${path}/${String(key).slice(0, longestName).replaceAll('~', '~0').replaceAll('/', '~1')}`;

/** The value at the level; whether it is within bounds, is for others to find out. */
export function fitted(value: unknown, shape: Shape, level: Level): Fitted {
  const errors: Said[] = [];
  const warnings: Said[] = [];
  const known = withoutUnknown(value, shape, '', (path) => {
    const message = `${path} is not known here`;
    if (level === 'loose')
      say(warnings, { code: 'unknown_left_out', message: `${message}; it was left out.`, path });
    else say(errors, { code: 'unknown_argument', message: `${message}.`, path });
  });
  const meant = mended(known, shape);
  for (const path of changesIn(known, meant, '')) {
    const message = `${path} is written in another form than the schema has`;
    if (level === 'strict') say(errors, { code: 'wrong_type', message: `${message}.`, path });
    else say(warnings, { code: 'coerced', message: `${message}; it was read as it was meant.`, path });
  }
  return { value: level === 'strict' ? value : meant, errors, warnings };
}

function say(list: Said[], one: Said): void {
  if (list.length < mostSaid) list.push(one);
}

function withoutUnknown(value: unknown, shape: Shape, path: string, tell: (path: string) => void): unknown {
  if (Array.isArray(value)) {
    const { items } = shape;
    return items
      ? value.map((item: unknown, at) => withoutUnknown(item, items, below(path, at), tell))
      : value;
  }
  if (typeof value !== 'object' || value === null || !shape.properties) return value;
  const { properties, additionalProperties } = shape;
  const kept: [string, unknown][] = [];
  for (const [name, inner] of Object.entries(value)) {
    const innerShape = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (innerShape) kept.push([name, withoutUnknown(inner, innerShape, below(path, name), tell)]);
    else if (additionalProperties === false) tell(below(path, name));
    else kept.push([name, inner]);
  }
  return Object.fromEntries(kept);
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Where the two differ, which have the same keys but for those that stand for nothing. */
function changesIn(before: unknown, after: unknown, path: string): readonly string[] {
  if (before === after) return [];
  if (Array.isArray(before) && Array.isArray(after))
    return before.flatMap((item: unknown, at) => changesIn(item, after[at], below(path, at)));
  if (isObject(before) && isObject(after))
    return Object.entries(before).flatMap(([name, inner]) =>
      changesIn(inner, after[name], below(path, name)),
    );
  return [path];
}
