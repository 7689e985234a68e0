/**
 * What stands for values in the arguments of a step: `{{saved.path}}` for what an earlier step saved, `{{needs.KEY.path}}` for the result of
 * a task that this one needs, `{{task.title}}`. A text that is nothing else becomes the value itself; within a longer text it
 * becomes text. What is put in is never looked at again, so text of results can neither refer to others nor name tools. Pure.
 */
import { TaskFailure } from './failure.ts';
import { mostInsertedBytes, mostReferences } from './limits.ts';

export type Values = Readonly<Record<string, unknown>>;

/** Without spaces, and of paths that there can be: `{{ title }}` is somebody's template, and stays. A backslash before it leaves it as it is. */
const reference = /(\\?)\{\{([a-z][a-z0-9_]*(?:\.[A-Za-z0-9_-]+){0,100})\}\}/g;
const nothingElse = /^\{\{([a-z][a-z0-9_]*(?:\.[A-Za-z0-9_-]+){0,100})\}\}$/;

/** Which values the arguments refer to, as paths. @throws TaskFailure where they are more than there is room for. */
export function referencesIn(
  given: unknown,
  room: { left: number } = { left: mostReferences },
): readonly (readonly string[])[] {
  const found: (readonly string[])[] = [];
  const look = (value: unknown): void => {
    if (typeof value === 'string') {
      for (const [, escape, path = ''] of value.matchAll(reference)) {
        room.left -= 1;
        if (room.left < 0)
          throw new TaskFailure(
            'too_large',
            `The steps have more than ${mostReferences} references. Refer to a whole list, or run a program. Nothing was done.`,
          );
        if (escape === '') found.push(path.split('.'));
      }
    } else if (typeof value === 'object' && value !== null) Object.values(value).forEach(look);
  };
  look(given);
  return found;
}

/** @throws TaskFailure for a reference to nothing, and where too much would be put in. */
export function filled(given: Values, values: Values): Values {
  let insertedBytes = 0;
  const valueAt = (path: string): unknown => {
    const value = found(path, values);
    insertedBytes += JSON.stringify(value).length;
    if (insertedBytes > mostInsertedBytes)
      throw new TaskFailure(
        'too_large',
        `References would put more than ${mostInsertedBytes} bytes into one call, with {{${path}}}. Let a step write them to a file, and refer to its path.`,
      );
    return value;
  };
  const fill = (value: unknown): unknown => {
    if (typeof value === 'string') {
      const [, whole] = nothingElse.exec(value) ?? [];
      if (whole !== undefined) return valueAt(whole);
      return value.replaceAll(reference, (text, escape: string, path: string) =>
        escape === '' ? textOf(valueAt(path)) : text.slice(1),
      );
    }
    if (Array.isArray(value)) return value.map(fill);
    if (typeof value === 'object' && value !== null)
      return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, fill(one)]));
    return value;
  };
  return fill(given) as Values;
}

const textOf = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value));

function found(path: string, values: Values): unknown {
  let value: unknown = values;
  for (const name of path.split('.')) {
    if (isShortened(value))
      throw new TaskFailure(
        'too_large',
        `{{${path}}} was too long to be handed on (${value.bytes} bytes), or too deep. Let the step that saves it write a file, and hand on its path.`,
      );
    const isThere =
      typeof value === 'object' &&
      value !== null &&
      Object.hasOwn(value, name) &&
      (!Array.isArray(value) || /^\d+$/.test(name));
    if (!isThere) throw nothing(path, name, value);
    value = (value as Values)[name];
  }
  if (value === undefined) throw nothing(path, '', value);
  return value;
}

function nothing(path: string, name: string, value: unknown): TaskFailure {
  const names = typeof value === 'object' && value !== null ? Object.keys(value).slice(0, 20) : [];
  const there = names.length === 0 ? 'there is nothing below' : `there is ${names.join(', ')}`;
  return new TaskFailure('invalid_reference', `{{${path}}} refers to nothing: instead of ${name}, ${there}.`);
}

/** What stands in a result in the place of a value that is too long for it. */
export interface Shortened {
  readonly shortened: true;
  readonly bytes: number;
  readonly beginning: string;
}

export function isShortened(value: unknown): value is Shortened {
  return typeof value === 'object' && value !== null && (value as Partial<Shortened>).shortened === true;
}
