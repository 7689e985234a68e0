/** The parsers of a pipeline: each takes labels out of a text, in one pass. */
import type { Extraction, PatternPart } from './query.ts';

/** More are not taken out of one line: each is a label that somebody could group by. */
const maxLabels = 256;
const maxDepth = 16;

/** @returns what the text holds; `undefined` where it is no JSON object. */
export function fromJson(text: string, wanted: readonly Extraction[]): Map<string, string> | undefined {
  const root = parseObject(text);
  if (root === undefined) return undefined;
  const found = new Map<string, string>();
  if (wanted.length === 0) flatten(root, '', found, 0);
  for (const { label, path } of wanted) {
    const value = textOf(path.reduce(memberOf, root as unknown));
    if (value !== undefined) found.set(label, value);
  }
  return found;
}

function parseObject(text: string): object | undefined {
  if (!/^\s*\{/.test(text)) return undefined;
  try {
    return JSON.parse(text) as object;
  } catch {
    return undefined;
  }
}

/** Objects in objects become `a_b`; lists are passed over, as their places mean nothing. */
function flatten(value: object, prefix: string, found: Map<string, string>, depth: number): void {
  for (const [key, member] of Object.entries(value)) {
    if (found.size >= maxLabels || Array.isArray(member)) continue;
    const name = `${prefix}${key.replaceAll(/\W/g, '_')}`;
    if (typeof member === 'object' && member !== null) {
      if (depth < maxDepth) flatten(member as object, `${name}_`, found, depth + 1);
    } else {
      const text = textOf(member);
      const label = /^\d/.test(name) ? `_${name}` : name;
      // Of two that come to one name, the first counts.
      if (text !== undefined && label !== '' && !found.has(label)) found.set(label, text);
    }
  }
}

function memberOf(value: unknown, step: string | number): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, step)
    ? (value as Record<string | number, unknown>)[step]
    : undefined;
}

function textOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** `key=value key="a value"`; whatever else stands between them is passed over. `undefined` where there is no such pair. */
export function fromLogfmt(text: string, wanted: readonly Extraction[]): Map<string, string> | undefined {
  const all = new Map<string, string>();
  for (const [key, value] of pairsIn(text)) {
    if (all.size >= maxLabels) break;
    const name = key.replaceAll(/\W/g, '_').replace(/^(?=\d)/, '_');
    if (!all.has(name)) all.set(name, value);
  }
  if (all.size === 0) return undefined;
  if (wanted.length === 0) return all;
  const found = new Map<string, string>();
  for (const { label, path } of wanted) {
    const value = all.get(String(path[0]).replaceAll(/\W/g, '_'));
    if (value !== undefined) found.set(label, value);
  }
  return found;
}

/** Read once from front to end, whatever quotes and escapes stand in it. */
function* pairsIn(text: string): Generator<[string, string]> {
  let isClosedLater = true;
  for (let at = 0; at < text.length;) {
    const start = skip(spaces, text, at);
    const equals = skip(keyCharacters, text, start);
    if (equals === start || text[equals] !== '=') {
      at = Math.max(skip(words, text, equals), start + 1);
      continue;
    }
    const key = text.slice(start, equals);
    if (text[equals + 1] !== '"') {
      at = skip(words, text, equals + 1);
      yield [key, text.slice(equals + 1, at)];
      continue;
    }
    const end = isClosedLater ? skip(quotedCharacters, text, equals + 2) : text.length;
    if (text[end] === '"') {
      yield [key, text.slice(equals + 2, end).replaceAll(/\\(.)/gs, unescape)];
      at = end + 1;
    } else {
      isClosedLater = false;
      at = skip(words, text, equals + 1);
    }
  }
}

const spaces = /\s*/y;
const words = /\S*/y;
const keyCharacters = /[^\s="]*/y;
const quotedCharacters = /(?:[^"\\]|\\.)*/sy;

function skip(form: RegExp, text: string, at: number): number {
  form.lastIndex = at;
  form.test(text);
  return form.lastIndex;
}

const unescape = (_: string, kind: string) => ({ n: '\n', t: '\t', r: '\r' })[kind] ?? kind;

/** The parts one after the other; `undefined` where some text of the pattern is not there. */
export function fromPattern(text: string, parts: readonly PatternPart[]): Map<string, string> | undefined {
  const found = new Map<string, string>();
  let at = 0;
  for (const [index, part] of parts.entries()) {
    if ('literal' in part) {
      if (!text.startsWith(part.literal, at)) return undefined;
      at += part.literal.length;
      continue;
    }
    const next = parts[index + 1];
    const end = next && 'literal' in next ? text.indexOf(next.literal, at) : text.length;
    if (end < 0) return undefined;
    if (part.capture !== undefined) found.set(part.capture, text.slice(at, end));
    at = end;
  }
  return found;
}
