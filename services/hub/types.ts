/** The types of messages: those that every hub knows, and those that tokens have registered. */
import { z } from 'zod';

import { ToolError } from '#runtime/errors.ts';

import type { Directory, RegisteredType } from './directory.ts';
import { builtIn, type BuiltIn, type Treatment } from './types/bodies.ts';
import { checkOf, type Check } from './types/registered.ts';

export interface MessageType extends Treatment {
  readonly name: string;
  /** The token that has registered it; `undefined` for those that every hub knows. */
  readonly owner: string | undefined;
  /** JSON Schema of its body. */
  readonly schema: () => Readonly<Record<string, unknown>>;
  /** @throws ToolError invalid_input, or too_large, for a body that does not fit. */
  readonly check: (body: unknown) => void;
}

const known: ReadonlyMap<string, MessageType> = new Map(
  Object.entries(builtIn).map(([name, { body, ...treatment }]: [string, BuiltIn]) => [
    name,
    {
      ...treatment,
      name,
      owner: undefined,
      schema: () => z.toJSONSchema(body, { io: 'input', unrepresentable: 'any' }),
      check(given) {
        const { error } = body.safeParse(given);
        if (error) throw unfit(name, plain(error.issues));
      },
    },
  ]),
);

export const isBuiltIn = (name: string): boolean => known.has(name);

const registered = new WeakMap<RegisteredType, MessageType>();

/** @throws ToolError not_found for one that nobody has registered. */
export function typeOf(directory: Directory, name: string, nowMs: number): MessageType {
  const type = known.get(name);
  if (type) return type;
  const entry = directory.registeredType(name, nowMs);
  if (!entry)
    throw new ToolError('not_found', `There is no type of messages ${name}.`, {
      hint: `Register it with its JSON Schema first, or use one of ${[...known.keys()].join(', ')}.`,
    });
  return typeOfEntry(entry);
}

/** Those that every hub knows first. */
export const allTypes = (directory: Directory, nowMs: number): readonly MessageType[] => [
  ...known.values(),
  ...directory.registeredTypes(nowMs).map(typeOfEntry),
];

/** Its check is made when it is first needed. */
function typeOfEntry(entry: RegisteredType): MessageType {
  const before = registered.get(entry);
  if (before) return before;
  const { key: name, owner, value } = entry;
  let check: Check | undefined;
  const type: MessageType = {
    name,
    owner,
    description: value.description ?? '',
    expectsAnswer: value.expects_answer,
    priority: value.priority,
    ttlSeconds: value.ttl_seconds,
    schema: () => value.schema,
    check(body) {
      check ??= checkOf(value.schema);
      const found = check(body);
      if (!found) return;
      if (found.isTooLarge)
        throw new ToolError('too_large', `The body of a message of type ${name} ${found.fault}.`);
      throw unfit(name, found.fault);
    },
  };
  registered.set(entry, type);
  return type;
}

const mostTold = 5;
const longestTold = 300;

const plain = (issues: readonly z.core.$ZodIssue[]) =>
  issues
    .slice(0, mostTold)
    .map(({ path, message }) => `${['body', ...path].join('.')}: ${message}`.slice(0, longestTold))
    .join('; ');

/** Registered schemas are the words of others. */
const unfit = (name: string, fault: string) =>
  new ToolError('invalid_input', `The body does not fit the type ${name}: ${fault}.`, {
    hint: 'Call list_message_types for what it may hold.',
    isUntrusted: !known.has(name),
  });
