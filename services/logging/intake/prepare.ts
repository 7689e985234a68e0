/** Makes a line fit to be stored: clean, without secrets, within bounds, at a time that can be. */
import { cutAt } from '#runtime/page.ts';
import { redactedMark, withoutSecrets } from '#runtime/redaction.ts';

import type { NewLine } from '../store/line.ts';
import { isSecretName, withoutEscapes } from './clean.ts';
import type { Said } from './parse.ts';

export const limits = {
  messageCharacters: 65_536,
  valueCharacters: 8_192,
  nameCharacters: 200,
  fields: 64,
  depth: 4,
} as const;

/** A clock that is this far ahead is wrong: its line gets the time at which it came. */
const mostAheadMs = 10 * 60_000;
/** A secret that the cut goes through is found whole. */
const beyondCut = 4_096;

/** What is ours in the fields of a line. */
const ours = { cut: 'flotilla.cut_characters', left: 'flotilla.fields_left_out', time: 'flotilla.logged_at' };

export interface Origin {
  readonly source: string;
  /** Where the line does not say. */
  readonly service: string;
  readonly nowMs: number;
}

export function prepared(said: Said, { source, service, nowMs }: Origin): NewLine {
  const fields = fieldsOf(said.fields);
  const { length } = said.message;
  const message = clean(said.message, limits.messageCharacters);
  if (length > limits.messageCharacters) fields[ours.cut] = String(length);
  let atMs = said.atMs ?? nowMs;
  if (atMs > nowMs + mostAheadMs) {
    // What is beyond the dates of ECMAScript has no text.
    fields[ours.time] = atMs <= 8.64e15 ? new Date(atMs).toISOString() : String(atMs);
    atMs = nowMs;
  }
  return {
    atMs: Math.max(0, Math.floor(atMs)),
    level: said.level ?? 'info',
    service: name(said.service ?? service) || 'unknown',
    source,
    message,
    ...(said.traceId !== undefined && { traceId: name(said.traceId) }),
    fields,
  };
}

function clean(text: string, most: number): string {
  let part = text.length > most + beyondCut ? text.slice(0, cutAt(text, most + beyondCut)) : text;
  if (!part.isWellFormed())
    part = part.replaceAll(/\p{Surrogate}/gu, (half) => `\\u${half.charCodeAt(0).toString(16)}`);
  part = withoutSecrets(withoutEscapes(part));
  return part.length > most ? part.slice(0, cutAt(part, most)) : part;
}

const name = (text: string) => clean(text, limits.nameCharacters).trim();

function fieldsOf(given: Readonly<Record<string, unknown>> | undefined): Record<string, string> {
  const fields: Record<string, string> = {};
  if (!given) return fields;
  let count = 0;
  let leftOut = 0;
  const add = (path: string, value: unknown, depth: number) => {
    if (value === undefined || value === null) return;
    if (typeof value === 'object' && !Array.isArray(value) && depth < limits.depth) {
      for (const key in value) add(`${path}.${key}`, (value as Record<string, unknown>)[key], depth + 1);
      return;
    }
    if (count >= limits.fields) {
      leftOut += 1;
      return;
    }
    count += 1;
    const key = name(path);
    fields[key] = isSecretName(key) ? redactedMark : clean(textOf(value), limits.valueCharacters);
  };
  for (const key in given) add(key, given[key], 1);
  if (leftOut > 0) fields[ours.left] = String(leftOut);
  return fields;
}

/** Values come from JSON, or are as JSON has them. */
const textOf = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
