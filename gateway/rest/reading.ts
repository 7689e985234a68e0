/** What a request asks for: the arguments of the tool behind it, from path, query, headers and body. Pure. */
import { Pace, type Shape } from '#runtime/account/arguments.ts';
import { fitted, levels, type Level } from '#runtime/envelope/levels.ts';
import type { Said } from '#runtime/envelope/envelope.ts';
import type { Steps } from '#runtime/turns.ts';

import { hasBody, variablesOf, type Operation, type Value } from './operation.ts';
import { Refusal, refusal } from './refusal.ts';

type Shapes = Readonly<Record<string, Shape>>;

/** As much of a tool's schema as is looked at. */
export interface InputShape extends Shape {
  readonly description?: string;
}

export interface Read {
  readonly args: Value;
  readonly warnings: readonly Said[];
}

export interface Given {
  readonly variables: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly ifMatch: string | undefined;
  readonly idempotencyKey: string | undefined;
  readonly level: Level;
  /** `undefined` where there was none. */
  readonly body: unknown;
}

/** Deeper values would be walked through in one go. */
const deepest = 64;
const longestKey = 200;

/** Arguments that headers stand for. */
const byHeader = ['if_version', 'idempotency_key'] as const;

/** What query or body may say: the tool's arguments, but for those that come from elsewhere. */
export function acceptedBy(
  operation: Operation,
  { properties = {}, required = [], ...rest }: InputShape,
): InputShape {
  const elsewhere = new Set([
    // The name of a tool is none of its arguments.
    ...(operation.tool === '*' ? [] : variablesOf(operation)),
    ...Object.keys(operation.fixed ?? {}),
    ...(operation.without ?? []),
    ...(operation.isVersioned ? [byHeader[0]] : []),
    ...(operation.takesKey ? [byHeader[1]] : []),
  ]);
  const { wraps } = operation;
  const inner = wraps === undefined ? undefined : properties[wraps]?.items;
  if (wraps !== undefined) elsewhere.add(wraps);
  const kept = Object.entries(properties).filter(([name]) => !elsewhere.has(name));
  return {
    ...rest,
    properties: { ...Object.fromEntries(kept), ...inner?.properties },
    required: [...required.filter((name) => !elsewhere.has(name)), ...(inner?.required ?? [])],
  };
}

/** Which level the client asks for. @throws Refusal */
export function levelOf(query: URLSearchParams, header: string | undefined): Level {
  const asked = query.get('level') ?? header ?? levels[0];
  if ((levels as readonly string[]).includes(asked)) return asked as Level;
  throw refusal(422, 'There is no such level.', `There are: ${levels.join(', ')}.`);
}

/** In steps: a body may have very many values. @throws Refusal for what cannot be meant. */
export function* readArguments(operation: Operation, schema: InputShape, given: Given): Steps<Read> {
  const { variables, query, body, level } = given;
  const accepted = acceptedBy(operation, schema);
  const { properties = {} } = accepted;
  if (!hasBody(operation) && body !== undefined)
    throw refusal(400, `${operation.method} takes no body here.`, 'Put what it says into the query.');
  yield* requireReadable(body, deepest, new Pace());
  const source = hasBody(operation) ? (body ?? {}) : fromQuery(query, properties);
  if (typeof source !== 'object' || source === null || Array.isArray(source))
    throw refusal(422, 'The body must be an object of JSON.');
  if (hasBody(operation)) requireNoQuery(query);
  const { value, errors, warnings } = yield* fitted(source, accepted, level);
  const [first, ...more] = errors;
  if (first) throw new Refusal(422, [{ ...first, hint: hintOf(properties) }, ...more]);
  const fromPath = operation.tool === '*' ? {} : typed(variables, schema.properties ?? {});
  return {
    args: {
      ...wrapped(operation, schema, value as Value),
      ...operation.fixed,
      ...fromPath,
      ...fromHeaders(operation, schema, given),
    },
    warnings,
  };
}

const hintOf = (properties: Shapes) => {
  const names = Object.keys(properties);
  return names.length === 0 ? 'It takes none.' : `It takes ${names.join(', ')}; see GET /openapi.json.`;
};

function requireNoQuery(query: URLSearchParams): void {
  const name = [...query.keys()].find((one) => one !== 'level');
  if (name !== undefined)
    throw refusal(
      422,
      `The query says ${JSON.stringify(name.slice(0, 100))}; arguments come in the body here.`,
    );
}

function fromQuery(query: URLSearchParams, properties: Shapes): Value {
  const names = new Set(query.keys());
  names.delete('level');
  return Object.fromEntries(
    [...names].map((name) => {
      const values = query.getAll(name);
      const shape = Object.hasOwn(properties, name) ? properties[name] : undefined;
      if (shape?.type === 'array') return [name, values.map((text) => valueIn(text, shape.items))];
      if (values.length > 1)
        throw refusal(422, `The query says ${JSON.stringify(name.slice(0, 100))} more than once.`);
      return [name, valueIn(values[0] ?? '', shape)];
    }),
  );
}

/** What a text stands for where the schema wants something else; the text itself where it stands for nothing. */
function valueIn(text: string, shape: Shape | undefined): unknown {
  const { type } = shape ?? {};
  if (type === 'integer' || type === 'number')
    return /^-?\d{1,16}(?:\.\d{1,16})?$/.test(text) ? Number(text) : text;
  if (type === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  return text;
}

const typed = (variables: Readonly<Record<string, string>>, properties: Shapes): Value =>
  Object.fromEntries(
    Object.entries(variables).map(([name, text]) => [name, valueIn(text, properties[name])]),
  );

function wrapped({ wraps }: Operation, { properties = {} }: InputShape, value: Value): Value {
  const inner = wraps === undefined ? undefined : properties[wraps]?.items?.properties;
  if (wraps === undefined || !inner) return value;
  const entries = Object.entries(value);
  return {
    ...Object.fromEntries(entries.filter(([name]) => !Object.hasOwn(inner, name))),
    [wraps]: [Object.fromEntries(entries.filter(([name]) => Object.hasOwn(inner, name)))],
  };
}

function fromHeaders(
  operation: Operation,
  { properties = {} }: InputShape,
  { ifMatch, idempotencyKey, level }: Given,
): Value {
  const args: Record<string, unknown> = {};
  if (!hasBody(operation) && operation.method !== 'DELETE') return args;
  if (ifMatch !== undefined && ifMatch !== '*') {
    if (!operation.isVersioned || !('if_version' in properties))
      throw refusal(422, 'This operation takes no If-Match: it does not depend on a version.');
    args['if_version'] = versionIn(ifMatch);
  }
  if (idempotencyKey === undefined) return args;
  if (operation.takesKey && 'idempotency_key' in properties) args['idempotency_key'] = keyIn(idempotencyKey);
  else if (level !== 'loose')
    throw refusal(
      422,
      'This operation takes no Idempotency-Key.',
      'Leave it out, or ask for the level loose.',
    );
  return args;
}

/** @throws Refusal for what no version can match. */
function versionIn(ifMatch: string): number {
  const version = /^"(\d{1,15})(?:-[\w-]+)?"$/.exec(ifMatch.trim())?.[1];
  if (version === undefined)
    throw refusal(412, 'If-Match names no version of this.', 'Send the ETag that GET answered.');
  return Number(version);
}

/** With the quotation marks of https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header, or without. */
function keyIn(header: string): string {
  const key = /^"(.*)"$/.exec(header)?.[1] ?? header;
  if (key.length > 0 && key.length <= longestKey) return key;
  throw refusal(422, `An Idempotency-Key has 1 to ${longestKey} characters.`);
}

/** @throws Refusal for what would be walked through in one go, or be told on as something else. */
function* requireReadable(value: unknown, levelsLeft: number, pace: Pace): Steps<void> {
  if (typeof value === 'number' && !Number.isFinite(value))
    throw refusal(400, 'The body has a number that is too large to be one.');
  if (typeof value !== 'object' || value === null) return;
  if (levelsLeft === 0) throw refusal(400, `The body is more than ${deepest} levels deep.`);
  for (const key of Object.keys(value)) {
    if (pace.isOver()) yield;
    const inner = (value as Value)[key];
    if (typeof inner === 'number' || typeof inner === 'object')
      yield* requireReadable(inner, levelsLeft - 1, pace);
  }
}
