/**
 * The labels of a line. Three are those of its stream; its fields are labels too, and what a pipeline took out of the text
 * comes before both.
 */
import type { Line } from '../store/line.ts';

export const streamLabels = ['service', 'level', 'source'] as const;

/** Names under which others know them. */
const aliases: Readonly<Record<string, (typeof streamLabels)[number]>> = {
  service_name: 'service',
  detected_level: 'level',
};

/** A line on its way through a pipeline. */
export interface Entry {
  readonly line: Line;
  text: string;
  /** What parsers took out of it. */
  parsed: Map<string, string> | undefined;
  /** What went wrong first. */
  error: string;
}

export const entryOf = (line: Line): Entry => ({ line, text: line.message, parsed: undefined, error: '' });

/** @returns the empty string for what it does not have, as a missing label counts in LogQL. */
export function labelOf(entry: Entry, name: string): string {
  if (name === '__error__') return entry.error;
  return entry.parsed?.get(name) ?? labelOfLine(entry.line, name) ?? '';
}

/** The label of a line as it is stored; `undefined` where it has none of this name. */
export function labelOfLine(line: Line, name: string): string | undefined {
  switch (name) {
    case 'service':
    case 'level':
    case 'source':
      return line[name];
    case 'trace_id':
      if (line.traceId !== undefined) return line.traceId;
      break;
    default:
  }
  const field = fieldOf(line, name);
  if (field !== undefined) return field;
  const alias = aliases[name];
  return alias === undefined ? undefined : line[alias];
}

function fieldOf({ fields }: Line, name: string): string | undefined {
  if (Object.hasOwn(fields, name)) return fields[name];
  // A field of a name with dots is asked for with underscores; one that is called like a label of the stream, so.
  const extracted = name.endsWith('_extracted') ? name.slice(0, -'_extracted'.length) : undefined;
  for (const key in fields) if (nameOf(key) === name || key === extracted) return fields[key];
  return undefined;
}

/** The names of all labels of a line as it is stored. */
export function* labelNamesOf(line: Line): Generator<string> {
  yield* streamLabels;
  if (line.traceId !== undefined) yield 'trace_id';
  for (const key in line.fields) yield isOfStream(key) ? `${key}_extracted` : nameOf(key);
}

export const isOfStream = (name: string) => (streamLabels as readonly string[]).includes(name);

/** A name as LogQL can write it: letters, digits and underscores, no digit first. */
export function nameOf(key: string): string {
  if (/^[a-zA-Z_]\w*$/.test(key)) return key;
  const name = key.replaceAll(/\W/g, '_');
  return /^\d/.test(name) ? `_${name}` : name;
}

export const streamOf = ({ service, level, source }: Line) => ({ service, level, source });

/** The same for equal labels, whatever their order. */
export const keyOf = (labels: Readonly<Record<string, string>>) =>
  JSON.stringify(Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)));
