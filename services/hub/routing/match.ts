/** Filters over the bodies of messages: what has to be at which place in them. Rules and subscriptions have them. */
import { z } from 'zod';

import { wholeObject } from '../objects.ts';

type Primitive = string | number | boolean | null;
type Test = (value: unknown) => boolean;

const mostPaths = 20;
const mostDepth = 16;
const mostChoices = 100;

const text = z.string().max(1_000);
const primitive = z.union([text, z.number(), z.boolean(), z.null()]);
/** Numbers by their size, texts by their characters: so times in ISO 8601 come in order. */
const ordered = z.union([z.number(), text]);

const usage =
  'must be a text, a number, true, false or null to be equal to, or conditions such as {"gte": 3}: gt, gte, lt, lte (number or text), ne, in (a list), exists (true or false)';

const conditions = z
  .strictObject(
    {
      gt: ordered.optional(),
      gte: ordered.optional(),
      lt: ordered.optional(),
      lte: ordered.optional(),
      ne: primitive.optional(),
      in: z.array(primitive).min(1).max(mostChoices).optional(),
      exists: z.boolean().optional(),
    },
    { error: ({ code }) => (code === 'unrecognized_keys' ? usage : undefined) },
  )
  .refine((given) => Object.keys(given).length > 0, usage);
type Conditions = z.infer<typeof conditions>;

const mostPathLength = 200;
const pathRule = `must be named by keys with dots between them, like status.code: at most ${mostDepth} keys and ${mostPathLength} characters`;
const path = z
  .string()
  .max(mostPathLength)
  .refine((dotted) => dotted.split('.').every((key) => key !== ''))
  .refine((dotted) => dotted.split('.').length <= mostDepth);

const wanted = z.union([primitive, conditions], { error: usage });

export const filterField = wholeObject
  .pipe(z.record(path, wanted, { error: ({ code }) => (code === 'invalid_key' ? pathRule : undefined) }))
  .refine((given) => Object.keys(given).length <= mostPaths, `must have at most ${mostPaths} paths`)
  .refine((given) => Object.keys(given).length > 0, 'must have a path: leave it out to take everything');
export type Filter = z.infer<typeof filterField>;

/** Whether a body has all that a filter wants. Only keys of its own count; elements of lists are keys, from 0. */
export function matcherOf(filter: Filter): (body: unknown) => boolean {
  const tests = Object.entries(filter).map(([dotted, value]) => ({
    keys: dotted.split('.'),
    test: testOf(value),
  }));
  return (body) => tests.every(({ keys, test }) => test(valueAt(body, keys)));
}

/** `undefined` where nothing is: JSON has no such value. */
function valueAt(body: unknown, keys: readonly string[]): unknown {
  let value = body;
  for (const key of keys) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    // Of a list only its elements, not its length.
    if (Array.isArray(value) && !/^\d+$/.test(key)) return undefined;
    value = (value as Record<string, unknown>)[key];
  }
  return value;
}

function testOf(want: Primitive | Conditions): Test {
  if (typeof want !== 'object' || want === null) return (value) => value === want;
  const tests = (Object.keys(want) as (keyof Conditions)[])
    .filter((name) => want[name] !== undefined)
    .map((name) => conditionTests[name](want[name] as never));
  return (value) => tests.every((test) => test(value));
}

/** What is of another kind is neither greater nor less. */
const comparing =
  (holds: (value: string | number, bound: string | number) => boolean) =>
  (bound: string | number): Test =>
  (value) =>
    typeof value === typeof bound && holds(value as string | number, bound);

const conditionTests = {
  gt: comparing((value, bound) => value > bound),
  gte: comparing((value, bound) => value >= bound),
  lt: comparing((value, bound) => value < bound),
  lte: comparing((value, bound) => value <= bound),
  /** Also where there is nothing. */
  ne: (other: Primitive) => (value) => value !== other,
  in: (choices: readonly Primitive[]) => {
    const set = new Set<unknown>(choices);
    return (value) => set.has(value);
  },
  exists: (isThere: boolean) => (value) => (value !== undefined) === isThere,
} satisfies Record<keyof Conditions, (want: never) => Test>;
